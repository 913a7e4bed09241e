//! A map's folder for one run alone, from what it reads to what it writes. In: a folder. Out: [`Held`]; another run that comes meanwhile
//! waits for some seconds. Where the file system has no locks, whoever comes may write. Fails where the folder holds files of the user's
//! under the names of a map's, where it cannot be written, or where another run keeps it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::files::make_dir;
use super::map_names::{LOCK, check_map, holds_a_map};
use crate::{Error, Result, own_file};

/// How long a run waits for another one.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A map's folder that no other run writes as long as this lives.
pub struct Held {
    dir: PathBuf,
    lock: Option<File>,
}

impl Held {
    /// Holds a folder, which is made if it is not there.
    pub fn of(dir: &Path) -> Result<Self> {
        Self::within(dir, PATIENCE)
    }

    /// Holds a folder for a change of the map in it; none where there is no map.
    pub fn of_map(dir: &Path) -> Result<Option<Self>> {
        holds_a_map(dir).then(|| Self::of(dir)).transpose()
    }

    fn within(dir: &Path, patience: Duration) -> Result<Self> {
        make_dir(dir)?;
        check_map(dir)?;
        let path = dir.join(LOCK);
        let file = own_file::open(&path).map_err(|e| Error::file("cannot open", &path, e, "choose a folder you may write to"))?.file;
        let until = Instant::now() + patience;
        let lock = loop {
            match file.try_lock() {
                Ok(()) => break Some(file),
                Err(TryLockError::Error(_)) => break None,
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::file("cannot write into", dir, "another run writes this map", "try again when it is done"));
                }
            }
        };
        Ok(Self { dir: dir.to_owned(), lock })
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether others are really kept out.
    pub(super) fn alone(&self) -> bool {
        self.lock.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_holds_a_folder_and_another_is_told_or_waits() {
        let dir = tempfile::tempdir().unwrap();
        let first = Held::of(dir.path()).unwrap();
        assert!(first.alone());
        let e = Held::within(dir.path(), Duration::ZERO).err().unwrap().to_string();
        assert!(e.contains("another run writes this map; try again"), "{e}");
        std::thread::scope(|s| {
            let second = s.spawn(|| Held::of(dir.path()).map(|h| h.alone()));
            sleep(3 * PAUSE);
            drop(first);
            assert!(second.join().unwrap().unwrap());
        });
    }

    #[test]
    fn a_folder_without_a_map_is_left_as_it_is_where_a_map_is_to_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Held::of_map(dir.path()).unwrap().is_none() && Held::of_map(&dir.path().join("none")).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join("map.json"), "{\"format\": \"histoloom-map\"}").unwrap();
        assert!(Held::of_map(dir.path()).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_the_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join(LOCK)).unwrap();
        assert!(Held::of(dir.path()).err().unwrap().to_string().contains("a link"));
        assert!(!dir.path().join("elsewhere").exists());
    }
}
