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

/// Writes a picture in the colours of stained tissue, always the same: discs of haematoxylin on eosin with noise.
pub fn stained(path: &Path, side: u32) -> Result<()> {
    let mut state = 1u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    };
    let mut pixel = |x: u32, y: u32| {
        let nucleus = (x % 24).abs_diff(12).pow(2) + (y % 24).abs_diff(12).pow(2) < 36;
        let base: [u8; 3] = if nucleus { [90, 60, 140] } else { [190, 115, 160] };
        base.map(|v| v + noise())
    };
    let data: Vec<u8> = (0..side * side).flat_map(|i| pixel(i % side, i / side)).collect();
    let bad = |e: String| Failure::other(format!("cannot write `{}`: {e}; set TMPDIR", path.display()));
    let file = std::fs::File::create(path).map_err(|e| bad(e.to_string()))?;
    let mut encoder = png::Encoder::new(file, side, side);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().and_then(|mut w| w.write_image_data(&data)).map_err(|e| bad(e.to_string()))
}
