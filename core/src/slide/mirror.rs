//! The slide continued beyond its edges. In: a source and a region that may reach over an edge. Out: its pixels, those outside the
//! slide replaced by the mirror image of those inside. Fails where the host does, and for a slide smaller than one pixel read.

use image::RgbImage;

use super::{Region, SlideInfo, read};
use crate::{Result, TileSource};

/// [`read`], with what lies outside the slide mirrored instead of white.
pub fn read_inside(source: &dyn TileSource, region: &Region) -> Result<RgbImage> {
    mirrored(read(source, region)?, region, source.info())
}

/// `picture` with what lies outside the slide replaced by the mirror image of what lies inside: a cut edge of the file is no edge of
/// the tissue, and must not look like glass to the encoder.
fn mirrored(picture: RgbImage, region: &Region, info: &SlideInfo) -> Result<RgbImage> {
    let inside = |from: i64, slide_px: u64, n: u32| {
        let first = (-(from as f64) / region.downsample).ceil().clamp(0.0, f64::from(n)) as u32;
        let end = ((slide_px as f64 - from as f64) / region.downsample).floor().clamp(0.0, f64::from(n)) as u32;
        first..end
    };
    let (xs, ys) = (inside(region.x, info.width_px, region.width_px), inside(region.y, info.height_px, region.height_px));
    if xs.is_empty() || ys.is_empty() {
        return Err(info.error("it is smaller than one pixel at the resolution worked at", "check its size and its mpp"));
    }
    if (xs.len(), ys.len()) == (region.width_px as usize, region.height_px as usize) {
        return Ok(picture);
    }
    Ok(RgbImage::from_fn(region.width_px, region.height_px, |x, y| *picture.get_pixel(reflect(x, &xs), reflect(y, &ys))))
}

/// The position within `inside` that mirrors `i`, as often as it takes.
fn reflect(i: u32, inside: &std::ops::Range<u32>) -> u32 {
    let n = i64::from(inside.end - inside.start);
    let at = (i64::from(i) - i64::from(inside.start)).rem_euclid(2 * n);
    inside.start + at.min(2 * n - 1 - at) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_edge_the_slide_is_mirrored_not_white() {
        let info = SlideInfo {
            name: "small".into(),
            id: String::new(),
            width_px: 20,
            height_px: 12,
            downsamples: vec![1.0],
            mpp: None,
            origin_px: (0, 0),
        };
        let region = Region { x: -8, y: -4, downsample: 2.0, width_px: 16, height_px: 10 };
        let picture = RgbImage::from_fn(16, 10, |x, y| {
            let inside = (4..14).contains(&x) && (2..8).contains(&y);
            image::Rgb(if inside { [x as u8, y as u8, 0] } else { [255; 3] })
        });
        let m = mirrored(picture.clone(), &region, &info).unwrap();
        assert_eq!([m.get_pixel(3, 2).0, m.get_pixel(14, 9).0, m.get_pixel(0, 0).0], [[4, 2, 0], [13, 6, 0], [7, 3, 0]]);
        assert_eq!(m.get_pixel(9, 5), picture.get_pixel(9, 5));
    }
}
