//! A map's folder replaced as a whole. In: files put into a hidden folder inside it. Out: the same files in their places. At every
//! moment the folder holds the old map or the new one, whole, for whoever reads through [`found`]: the hidden folder takes its final
//! name in one rename when everything is in it, from then on its files stand for those of the map's folder, and moving them into place
//! can be cut off and taken up again. `map.json` is moved last. Fails with `Error::File`; the map that was there is then still there.

use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use super::files::make_dir;
use crate::{Error, Result};

/// The hidden folder, once it holds a whole map.
const NEXT: &str = ".histoloom-next";
/// Moved last.
const LAST: &str = "map.json";
/// How often a writer makes way for others that write into the same folder.
const PATIENCE: usize = 8;

/// Where a file of a map's folder is.
pub(super) fn found(dir: &Path, name: &str) -> PathBuf {
    let next = dir.join(NEXT).join(name);
    if next.is_file() { next } else { dir.join(name) }
}

/// Files on their way into a folder; dropped before [`Staged::settle`] they leave nothing.
pub(super) struct Staged {
    dir: PathBuf,
    beside: tempfile::TempDir,
}

impl Staged {
    /// Makes the folder, and the hidden one in it.
    pub fn begin(dir: &Path) -> Result<Self> {
        make_dir(dir)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".histoloom-").suffix(".part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let beside = builder.tempdir_in(dir).map_err(|e| Error::file("cannot write into", dir, e, "choose a folder you may write to"))?;
        make_dir(&beside.path().join("crops"))?;
        Ok(Self { dir: dir.to_owned(), beside })
    }

    /// Where files are put.
    pub fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Moves everything into place.
    pub fn settle(self) -> Result<()> {
        let next = self.dir.join(NEXT);
        for last in (0..PATIENCE).rev() {
            settle(&self.dir)?; // what an earlier writer was cut off at
            match fs::rename(self.beside.path(), &next) {
                Ok(()) => return settle(&self.dir),
                Err(e) if last == 0 => return Err(Error::file("cannot write", &next, e, "let one job at a time write into a folder")),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Moves what a whole hidden folder holds into place, if there is one.
fn settle(dir: &Path) -> Result<()> {
    let next = dir.join(NEXT);
    if !next.is_dir() {
        return Ok(());
    }
    make_dir(&dir.join("crops"))?;
    let names = |below: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(next.join(below)).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_file()).map(|e| Path::new(below).join(e.file_name())).collect()
    };
    let mut all = [names("crops"), names("")].concat();
    all.sort_by_key(|name| name == Path::new(LAST));
    for name in all {
        let (from, to) = (next.join(&name), dir.join(&name));
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != NotFound || from.exists() => {
                let hint =
                    "close the programs that have it open and run this again; the new map is whole and is used from the folder inside";
                return Err(Error::file("cannot write over", &to, e, hint));
            }
            _ => {} // or another writer has moved it
        }
    }
    let _ = fs::remove_dir_all(&next); // empty by now
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(dir: &Path, name: &str, text: &str) {
        fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        fs::write(dir.join(name), text).unwrap();
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(found(dir, name)).unwrap()
    }

    /// As if the process had died after each of its steps: the folder reads as the old one or the new one, never as a mixture.
    #[test]
    fn whoever_reads_sees_the_old_files_or_the_new_ones_wherever_the_writer_stops() {
        let names = ["labels.png", "crops/class_01_1.png", LAST];
        for moved in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            names.iter().for_each(|n| put(dir.path(), n, "old"));
            let staged = Staged::begin(dir.path()).unwrap();
            names.iter().for_each(|n| put(staged.path(), n, "new"));
            assert!(names.iter().all(|n| read(dir.path(), n) == "old"), "nothing is seen before it is whole");
            fs::rename(staged.path(), dir.path().join(NEXT)).unwrap();
            for name in &names[..moved] {
                fs::rename(dir.path().join(NEXT).join(name), dir.path().join(name)).unwrap();
            }
            assert!(names.iter().all(|n| read(dir.path(), n) == "new"), "{moved} moved");
            let again = Staged::begin(dir.path()).unwrap();
            put(again.path(), "labels.png", "newest");
            again.settle().unwrap();
            assert_eq!(read(dir.path(), "labels.png"), "newest");
            assert!(names[1..].iter().all(|n| fs::read_to_string(dir.path().join(n)).unwrap() == "new"), "what was cut off is finished");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left over");
        }
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        put(Staged::begin(dir.path()).unwrap().path(), "labels.png", "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
