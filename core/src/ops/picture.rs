//! A picture that ops are tried on. In: a PNG, perhaps with a label PNG. Out: pixels, labels, and whether it says that it is synthetic.
//! Errors name the parameter and the remedy.

use std::path::Path;

use image::RgbImage;

use crate::condition::layout::drawn::{Grey, grey_png};
use crate::export::{self, read_file};
use crate::synth::rgb_png;
use crate::{Error, Result};

/// Largest file, in bytes.
const FILE_BYTES: usize = 64 << 20;
/// Largest side of a picture, in pixels.
pub const SIDE_PX: u32 = 2048;
/// The label of all of a picture that came without labels.
const ALL: u8 = 1;

/// A picture with its labels.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Pixels.
    pub rgb: RgbImage,
    /// One class a pixel.
    pub labels: Vec<u8>,
    /// Whether its file says that it is synthetic. What says nothing may be real tissue.
    pub synthetic: bool,
    /// SHA-256 of the file, hex.
    pub sha256: String,
}

/// Reads a picture and its labels.
pub fn read(tile: &Path, labels: Option<&Path>) -> Result<Picture> {
    let bytes = read_file(tile, FILE_BYTES, "give the PNG of a tile")?;
    let rgb = rgb_png("tile", &bytes)?;
    let (w, h) = rgb.dimensions();
    if w > SIDE_PX || h > SIDE_PX {
        let limit = format!("{SIDE_PX} px a side");
        return Err(Error::Limit { field: "tile".into(), value: format!("{w} x {h} px"), limit, hint: "cut it into parts".into() });
    }
    let labels = match labels {
        None => vec![ALL; w as usize * h as usize],
        Some(path) => {
            let Grey { width, height, values } = grey_png("labels", &read_file(path, FILE_BYTES, "give a label PNG")?)?;
            if (width, height) != (w, h) {
                let why = format!("they are {width} x {height} px, the tile is {w} x {h}");
                return Err(Error::parameter("labels", why, "give the labels of this tile"));
            }
            values
        }
    };
    let synthetic = export::inspect(tile).is_ok_and(|said| said["synthetic"] == true);
    Ok(Picture { rgb, labels, synthetic, sha256: export::sha256(&bytes) })
}
