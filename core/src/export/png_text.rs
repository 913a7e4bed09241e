//! PNG with text chunks. In: pixels and key/value texts. Out: bytes; and the texts of a PNG read back within bounds.
//! Texts stand before the pixels, so reading them decodes none.

use std::io::Cursor;
use std::path::Path;

use crate::{Error, Result, limits};

/// The kinds of pictures written here, 8 bits a sample.
#[derive(Clone, Copy)]
pub(super) enum Pixels<'a> {
    Rgb(&'a [u8]),
    Grey(&'a [u8]),
}

/// Encodes a picture with its texts, in their order.
pub(super) fn encode(width: u32, height: u32, pixels: Pixels<'_>, texts: &[(&str, String)]) -> Result<Vec<u8>> {
    let internal = |e: png::EncodingError| Error::internal(format!("PNG of {width} x {height}: {e}"));
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    let (color, data) = match pixels {
        Pixels::Rgb(d) => (png::ColorType::Rgb, d),
        Pixels::Grey(d) => (png::ColorType::Grayscale, d),
    };
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    for (key, text) in texts {
        if text.len() > limits::TEXT_BYTES {
            return Err(Error::Limit {
                field: format!("PNG text `{key}`"),
                value: format!("{} bytes", text.len()),
                limit: format!("{} bytes", limits::TEXT_BYTES),
                hint: "shorten the list of ops or the names".into(),
            });
        }
        // tEXt is Latin-1 and what most readers know; iTXt holds the rest of the world
        if text.is_ascii() {
            encoder.add_text_chunk((*key).to_owned(), text.clone()).map_err(internal)?;
        } else {
            encoder.add_itxt_chunk((*key).to_owned(), text.clone()).map_err(internal)?;
        }
    }
    let mut writer = encoder.write_header().map_err(internal)?;
    writer.write_image_data(data).map_err(internal)?;
    writer.finish().map_err(internal)?;
    Ok(out)
}

/// The texts of a PNG, without decoding its pixels.
pub(super) fn texts(bytes: &[u8], path: &Path) -> Result<Vec<(String, String)>> {
    let bad = |why: String| Error::file("cannot read", path, why, "give a PNG that Histoloom wrote, unchanged");
    let room = png::Limits { bytes: 8 * limits::TEXT_BYTES };
    let reader = png::Decoder::new_with_limits(Cursor::new(bytes), room).read_info().map_err(|e| bad(format!("not a whole PNG: {e}")))?;
    let info = reader.info();
    let mut out: Vec<_> = info.uncompressed_latin1_text.iter().map(|t| (t.keyword.clone(), t.text.clone())).collect();
    for t in &info.utf8_text {
        let mut t = t.clone();
        t.decompress_text_with_limit(limits::TEXT_BYTES).map_err(|e| bad(format!("text `{}`: {e}", t.keyword)))?;
        let text = t.get_text().map_err(|e| bad(e.to_string()))?;
        out.push((t.keyword, text));
    }
    Ok(out)
}

/// Decodes an 8-bit grey picture of exactly the given size; the size is checked before pixels are allocated.
pub(super) fn grey(bytes: &[u8], size: (u32, u32), path: &Path, hint: &str) -> Result<Vec<u8>> {
    match decode(bytes, size, path, hint)? {
        image::DynamicImage::ImageLuma8(g) => Ok(g.into_raw()),
        other => Err(Error::file("cannot use", path, format!("{:?} where 8-bit grey is needed", other.color()), hint)),
    }
}

/// Decodes an 8-bit RGB picture of exactly the given size.
pub(super) fn rgb(bytes: &[u8], size: (u32, u32), path: &Path, hint: &str) -> Result<image::RgbImage> {
    match decode(bytes, size, path, hint)? {
        image::DynamicImage::ImageRgb8(p) => Ok(p),
        other => Err(Error::file("cannot use", path, format!("{:?} where 8-bit RGB is needed", other.color()), hint)),
    }
}

fn decode(bytes: &[u8], size: (u32, u32), path: &Path, hint: &str) -> Result<image::DynamicImage> {
    use image::ImageDecoder;
    let bad = |why: String| Error::file("cannot read", path, why, hint);
    let decoder = image::codecs::png::PngDecoder::new(Cursor::new(bytes)).map_err(|e| bad(e.to_string()))?;
    if decoder.dimensions() != size {
        return Err(bad(format!("it is {:?} px, {size:?} px belong here", decoder.dimensions())));
    }
    image::DynamicImage::from_decoder(decoder).map_err(|e| bad(e.to_string()))
}
