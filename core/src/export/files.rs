//! Writing beside and renaming; reading with a bound. In: bytes and a path. Out: the whole file or an error that says what to try.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256, hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Makes a folder and those above it.
pub(super) fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Error::file("cannot make the folder", dir, e, "choose a folder you may write to"))
}

/// An error where nothing can be written into a folder, which is made: before hours of work, not after.
pub fn check_folder(dir: &Path) -> Result<()> {
    make_dir(dir)?;
    let fail = |e| Error::file("cannot write into", dir, e, "choose a folder you may write to");
    tempfile_beside(dir).and_then(tempfile::NamedTempFile::close).map_err(fail)
}

/// Writes a file so that whoever looks sees the old one or the whole new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Like [`write`], making the folder if it is not there.
pub(super) fn write_making_dir(path: &Path, bytes: &[u8]) -> Result<()> {
    path.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), make_dir)?;
    write(path, bytes)
}

/// Like [`write`], for files that are made piece by piece.
pub(super) fn write_with(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>) -> Result<()> {
    let hint = "check free space and permissions, or choose another folder";
    let fail = |e: std::io::Error| Error::file("cannot write", path, e, hint);
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile_beside(dir).map_err(fail)?;
    let mut out = BufWriter::new(beside.as_file_mut());
    fill(&mut out).and_then(|()| out.flush()).map_err(fail)?;
    drop(out);
    beside.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// A temporary file with the permissions any new file would have (tempfile's own default is for secrets).
fn tempfile_beside(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".histoloom-").suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(dir)
}

/// Reads a regular file of at most `limit` bytes; a pipe or a device is refused, so nothing can hang.
pub fn read(path: &Path, limit: usize, hint: &str) -> Result<Vec<u8>> {
    let fail = |why: String| Error::file("cannot read", path, why, hint);
    let meta = fs::metadata(path).map_err(|e| fail(e.to_string()))?;
    if !meta.is_file() {
        return Err(fail(if meta.is_dir() { "it is a folder".into() } else { "it is not a regular file".into() }));
    }
    if meta.len() > limit as u64 {
        return Err(Error::Limit {
            field: format!("size of {}", name(path)),
            value: format!("{} bytes", meta.len()),
            limit: format!("{limit} bytes"),
            hint: hint.into(),
        });
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    let file = File::open(path).map_err(|e| fail(e.to_string()))?;
    file.take(limit as u64).read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
    Ok(bytes)
}

/// Reads a text file of at most `limit` bytes.
pub fn read_text(path: &Path, limit: usize, hint: &str) -> Result<String> {
    String::from_utf8(read(path, limit, hint)?).map_err(|_| Error::file("cannot read", path, "it is not UTF-8 text", hint))
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}
