//! A label picture the user drew. In: a PNG of one grey value (or palette entry) a class, 0 = background, square, its side a multiple
//! of 32 px. Out: labels. Errors name what is wrong with the picture and the remedy.

use std::io::Cursor;

use super::known;
use crate::semantic_map::SemanticMap;
use crate::{Error, Result, limits};

/// Labels of every tile of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Side in pixels.
    pub side_px: u32,
    /// `side_px * side_px` labels.
    pub labels: Vec<u8>,
}

/// One byte a pixel, as the file has them: grey values or palette indices.
#[derive(Clone, Debug, PartialEq)]
pub struct Grey {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row-major.
    pub values: Vec<u8>,
}

/// Reads an 8-bit grey or palette PNG; `field` is the parameter it was given as.
pub fn grey_png(field: &str, bytes: &[u8]) -> Result<Grey> {
    let bad = |why: String| Error::parameter(field, why, "give an 8-bit grey or palette PNG, one value a class");
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 256 << 20 });
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| bad(format!("not a whole PNG: {e}")))?;
    let (width, height, color, depth) = {
        let i = reader.info();
        (i.width, i.height, i.color_type, i.bit_depth)
    };
    if depth != png::BitDepth::Eight || !matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed) {
        return Err(bad(format!("a PNG of {color:?} at {} bits a channel", depth as u8)));
    }
    if width > limits::TILE_PX || height > limits::TILE_PX {
        let limit = format!("{0} x {0} px", limits::TILE_PX);
        return Err(Error::Limit { field: field.into(), value: format!("{width} x {height} px"), limit, hint: "cut it into parts".into() });
    }
    let mut values = vec![0; width as usize * height as usize];
    reader.next_frame(&mut values).map_err(|e| bad(format!("not a whole PNG: {e}")))?;
    Ok(Grey { width, height, values })
}

impl Drawing {
    /// From a label PNG, for a map.
    pub fn read(bytes: &[u8], map: &SemanticMap) -> Result<Self> {
        let Grey { width, height, values } = grey_png("labels", bytes)?;
        if width != height || !width.is_multiple_of(32) || width < 128 {
            let near = (width.max(height) / 32 * 32).max(128);
            let hint = format!("crop or pad it to a square whose side is a multiple of 32 from 128 on, for instance {near} x {near}");
            return Err(Error::parameter("labels", format!("the picture is {width} x {height} px"), hint));
        }
        known(map, "labels", (0..=255).filter(|l| values.contains(l)))?;
        if values.iter().all(|l| *l == 0) {
            return Err(Error::parameter("labels", "the picture holds background only", "draw at least one class"));
        }
        Ok(Self { side_px: width, labels: values })
    }
}
