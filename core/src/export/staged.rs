//! A map's folder replaced as a whole. In: files put into a hidden folder inside it. Out: the same files in their places. At every
//! moment the folder holds the old map or the new one, whole, for whoever reads through [`found`]: the hidden folder takes its final
//! name in one rename when everything is in it, from then on its files stand for those of the map's folder, and moving them into place
//! can be cut off and taken up again. `map.json` is moved last. A link in the place of the hidden folder is not followed, and only files
//! with names of a map's are moved. Fails with `Error::File`; the map that was there is then still there.

use std::fs::{self, DirEntry};
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

use super::files::make_dir;
use super::held::Held;
use super::map_names::{CROPS, SIDECAR, is_of_a_map};
use crate::{Error, Result};

/// The hidden folder, once it holds a whole map.
const NEXT: &str = ".histoloom-next";
/// How the name of a hidden folder that is not whole yet begins and ends.
const PART: (&str, &str) = (".histoloom-", ".part");

/// Where a file of a map's folder is.
pub(super) fn found(dir: &Path, name: &str) -> PathBuf {
    let next = dir.join(NEXT);
    let file = next.join(name);
    let real = is_dir(&next) && file.parent().is_some_and(is_dir) && fs::symlink_metadata(&file).is_ok_and(|m| m.is_file());
    if real { file } else { dir.join(name) }
}

/// Whether there is a folder and no link to one.
fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// Files on their way into a folder; dropped before [`Staged::settle`] they leave nothing.
pub(super) struct Staged {
    dir: PathBuf,
    beside: tempfile::TempDir,
}

impl Staged {
    /// Makes the hidden folder; those of runs that were killed go.
    pub fn begin(held: &Held) -> Result<Self> {
        let dir = held.dir();
        if held.alone() {
            remove_parts(dir);
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(PART.0).suffix(PART.1);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let beside = builder.tempdir_in(dir).map_err(|e| Error::file("cannot write into", dir, e, "choose a folder you may write to"))?;
        make_dir(&beside.path().join(CROPS))?;
        Ok(Self { dir: dir.to_owned(), beside })
    }

    /// Where files are put.
    pub fn path(&self) -> &Path {
        self.beside.path()
    }

    /// Moves everything into place.
    pub fn settle(self) -> Result<()> {
        settle(&self.dir)?; // what an earlier run was cut off at
        let next = self.dir.join(NEXT);
        let hint = "let one run at a time write into a folder; if none does, delete what has that name";
        fs::rename(self.beside.path(), &next).map_err(|e| Error::file("cannot write", &next, e, hint))?;
        settle(&self.dir)
    }
}

/// Removes the hidden folders of killed runs. A failure leaves one and nothing worse.
fn remove_parts(dir: &Path) {
    for entry in entries(dir).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        if entry.file_name().to_str().is_some_and(|n| n.starts_with(PART.0) && n.ends_with(PART.1)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

/// Moves what a whole hidden folder holds into place, if there is one.
fn settle(dir: &Path) -> Result<()> {
    let next = dir.join(NEXT);
    if !is_dir(&next) {
        return Ok(());
    }
    make_dir(&dir.join(CROPS))?;
    let mut all = [names(&next, CROPS), names(&next, "")].concat();
    all.sort_by_key(|name| name == Path::new(SIDECAR));
    for name in all {
        let to = dir.join(&name);
        let hint = "close the programs that have it open and run this again; the new map is whole and is used from the folder inside";
        let from = next.join(&name);
        match fs::rename(&from, &to) {
            Err(e) if e.kind() != NotFound || from.exists() => return Err(Error::file("cannot write over", &to, e, hint)),
            _ => {} // or, where there are no locks, another run has moved it
        }
    }
    // empty by now, but for what no run of ours put there
    let _ = fs::remove_dir(next.join(CROPS));
    let _ = fs::remove_dir(&next);
    Ok(())
}

/// The files of a map's in a hidden folder, or below it.
fn names(next: &Path, below: &str) -> Vec<PathBuf> {
    let dir = next.join(below);
    let ours = |e: &DirEntry| e.file_type().is_ok_and(|t| t.is_file()) && e.file_name().to_str().is_some_and(|n| is_of_a_map(below, n));
    let there = is_dir(&dir).then(|| entries(&dir)).into_iter().flatten();
    there.filter(ours).map(|e| Path::new(below).join(e.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::map_names::LOCK;
    use super::*;

    /// In a folder that is a map's.
    fn begin(dir: &Path) -> Staged {
        put(dir, LOCK, "");
        Staged::begin(&Held::of(dir).unwrap()).unwrap()
    }

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
        let names = ["labels.png", "crops/class_01_1.png", SIDECAR];
        for moved in 0..=3 {
            let dir = tempfile::tempdir().unwrap();
            names.iter().for_each(|n| put(dir.path(), n, "old"));
            let staged = begin(dir.path());
            names.iter().for_each(|n| put(staged.path(), n, "new"));
            assert!(names.iter().all(|n| read(dir.path(), n) == "old"), "nothing is seen before it is whole");
            fs::rename(staged.path(), dir.path().join(NEXT)).unwrap();
            for name in &names[..moved] {
                fs::rename(dir.path().join(NEXT).join(name), dir.path().join(name)).unwrap();
            }
            assert!(names.iter().all(|n| read(dir.path(), n) == "new"), "{moved} moved");
            let again = begin(dir.path());
            put(again.path(), "labels.png", "newest");
            again.settle().unwrap();
            assert_eq!(read(dir.path(), "labels.png"), "newest");
            assert!(names[1..].iter().all(|n| fs::read_to_string(dir.path().join(n)).unwrap() == "new"), "what was cut off is finished");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left over but the lock");
        }
    }

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        put(begin(dir.path()).path(), "labels.png", "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "but the lock");
    }

    #[test]
    fn what_killed_runs_left_goes_and_files_that_others_write_stay() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), ".histoloom-killed.part/labels.png", "half");
        put(dir.path(), ".histoloom-tile.part", "being written");
        drop(begin(dir.path()));
        assert!(!dir.path().join(".histoloom-killed.part").exists() && dir.path().join(".histoloom-tile.part").exists());
    }

    #[test]
    fn names_that_no_map_has_are_not_moved() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["labels.png", "notes.txt", "crops/mine.png", "other/labels.png"] {
            put(&dir.path().join(NEXT), name, "planted");
        }
        settle(dir.path()).unwrap();
        assert!(dir.path().join("labels.png").is_file() && !dir.path().join("notes.txt").exists());
        assert!(!dir.path().join("crops/mine.png").exists() && dir.path().join(NEXT).join("other/labels.png").is_file());
        let e = begin(dir.path()).settle().unwrap_err().to_string();
        assert!(e.contains(NEXT) && e.contains("delete"), "{e}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_elsewhere_is_not_taken_for_the_hidden_folder() {
        use std::os::unix::fs::symlink;
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        ["labels.png", "crops/class_01_1.png"].iter().for_each(|n| put(elsewhere.path(), n, "theirs"));
        put(dir.path(), "labels.png", "ours");
        let untouched = || ["labels.png", "crops/class_01_1.png"].iter().all(|n| elsewhere.path().join(n).is_file());
        let next = dir.path().join(NEXT);
        symlink(elsewhere.path(), &next).unwrap();
        settle(dir.path()).unwrap();
        assert!(untouched() && read(dir.path(), "labels.png") == "ours");
        assert!(begin(dir.path()).settle().unwrap_err().to_string().contains("delete") && untouched());
        fs::remove_file(&next).unwrap();
        // links inside a real one
        fs::create_dir(&next).unwrap();
        symlink(elsewhere.path().join(CROPS), next.join(CROPS)).unwrap();
        symlink(elsewhere.path().join("labels.png"), next.join("labels.png")).unwrap();
        settle(dir.path()).unwrap();
        assert!(untouched() && read(dir.path(), "labels.png") == "ours");
        assert_eq!(found(dir.path(), "crops/class_01_1.png"), dir.path().join("crops/class_01_1.png"));
    }
}
