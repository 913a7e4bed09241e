//! A PNG's pixels, to be compared. In: a path. Out: decoded bytes. Bounded: a hostile file cannot make this allocate more than
//! [`ROOM_BYTES`].

use std::path::Path;

use crate::error::{Failure, Result};

/// Largest file read, in bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Largest allocation of the decoder, in bytes.
const ROOM_BYTES: usize = 64 << 20;

/// The bytes of a regular file of bounded size.
pub fn file(path: &Path) -> Result<Vec<u8>> {
    let bad = |why: String| Failure::input(format!("cannot read `{}`: {why}; give a file that Histoloom wrote", path.display()));
    let meta = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?;
    if !meta.is_file() {
        return Err(bad("it is not a regular file".into()));
    }
    if meta.len() > FILE_BYTES {
        return Err(bad(format!("it has {} bytes, more than anything we write", meta.len())));
    }
    std::fs::read(path).map_err(|e| bad(e.to_string()))
}

/// Width, height and decoded samples of a PNG.
pub fn decode(path: &Path) -> Result<(u32, u32, Vec<u8>)> {
    let bad =
        |why: String| Failure::input(format!("cannot decode `{}`: {why}; the file is damaged, give an undamaged copy", path.display()));
    let bytes = file(path)?;
    let decoder = png::Decoder::new_with_limits(std::io::Cursor::new(&bytes), png::Limits { bytes: ROOM_BYTES });
    let mut reader = decoder.read_info().map_err(|e| bad(e.to_string()))?;
    let size = reader.output_buffer_size().filter(|s| *s <= ROOM_BYTES).ok_or_else(|| bad("too large".into()))?;
    let mut out = vec![0; size];
    let frame = reader.next_frame(&mut out).map_err(|e| bad(e.to_string()))?;
    out.truncate(frame.buffer_size());
    Ok((frame.width, frame.height, out))
}
