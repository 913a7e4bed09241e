//! Files of ours under names that anyone can foresee: a cache, a lock. In: a path. Out: the file of that name, never what a link of that
//! name points to. Fails where the name belongs to something other than a regular file, or where that may not even be read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::Path;

/// A file, and whether it may be written.
pub(crate) struct Opened {
    pub file: File,
    pub writable: bool,
}

/// Opens a file to read and write it, making an empty one where there is none; to read it alone where no more is allowed.
pub(crate) fn open(path: &Path) -> io::Result<Opened> {
    // to make a file never follows a link
    let made = OpenOptions::new().create_new(true).read(true).write(true).open(path);
    let Err(why) = made else { return made.map(|file| Opened { file, writable: true }) };
    match fs::symlink_metadata(path) {
        Err(_) => return Err(why),
        Ok(there) if !there.is_file() => return Err(io::Error::other("it is a link, a folder or a device, not a file")),
        Ok(_) => {}
    }
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Opened { file, writable: true }),
        Err(e) if may_only_read(&e) => File::open(path).map(|file| Opened { file, writable: false }),
        Err(e) => Err(e),
    }
}

fn may_only_read(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_or_opened_as_it_is_and_a_folder_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(open(&path).unwrap().writable && fs::read(&path).unwrap().is_empty());
        fs::write(&path, "kept").unwrap();
        assert!(open(&path).unwrap().writable && fs::read(&path).unwrap() == b"kept");
        assert!(open(dir.path()).err().unwrap().to_string().contains("not a file"));
        assert!(open(&dir.path().join("none/a")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_not_followed_whether_it_leads_somewhere_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for target in ["there", "nowhere"] {
            fs::write(at("there"), "kept").unwrap();
            std::os::unix::fs::symlink(at(target), at("link")).unwrap();
            assert!(open(&at("link")).err().unwrap().to_string().contains("a link"), "{target}");
            fs::remove_file(at("link")).unwrap();
        }
        assert!(!at("nowhere").exists() && fs::read(at("there")).unwrap() == b"kept");
    }
}
