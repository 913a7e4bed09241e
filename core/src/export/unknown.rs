//! What an atlas does not know, for the eye. In: a map that an atlas labelled. Out: the slide in pale grey under the distance of its
//! tissue to the atlas: white to blue within the bound, orange to dark red beyond. As large as the overlay. Cannot fail.

use image::{Rgb, RgbImage};

use super::picture::{INK, PAPER, cell, extent, grey, mixed};
use super::text;
use crate::atlas::{Assigned, BOUND};
use crate::semantic_map::SemanticMap;

/// Colours at a distance in hundredths of the bound; between them they are mixed.
const STOPS: [(u8, [u8; 3]); 4] = [(0, [255, 255, 255]), (BOUND, [86, 180, 233]), (BOUND + 1, [240, 165, 30]), (200, [110, 10, 50])];
/// Opacity of the distance over the grey slide.
const OPACITY: f32 = 0.65;
/// The scale: its width in pixels, and the smallest picture that has one.
const SCALE_PX: u32 = 160;
const LEAST_PX: u32 = 320;

/// The picture.
pub fn unknown(map: &SemanticMap, assigned: &Assigned) -> RgbImage {
    let mut out = map.thumbnail.clone();
    let (width, height) = out.dimensions();
    let (cells_x, cells_y) = extent(map);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let (column, row) = (cell(x, width, cells_x), cell(y, height, cells_y));
        let distance = if column < map.columns { assigned.distance.get(row * map.columns + column).copied().unwrap_or(0) } else { 0 };
        *pixel = mixed(grey(*pixel), PAPER, 0.25);
        if distance > 0 {
            *pixel = mixed(*pixel, color(distance), OPACITY);
        }
    }
    if width >= LEAST_PX && height >= LEAST_PX {
        scale(&mut out, height);
    }
    out
}

/// The colour of a distance in hundredths of the bound.
fn color(distance: u8) -> [u8; 3] {
    let upper = STOPS.iter().position(|s| s.0 >= distance);
    match upper {
        None => STOPS[STOPS.len() - 1].1,
        Some(0) => STOPS[0].1,
        Some(i) => {
            let ((from, a), (to, b)) = (STOPS[i - 1], STOPS[i]);
            mixed(Rgb(a), b, f32::from(distance - from) / f32::from(to - from)).0
        }
    }
}

/// A scale in the lower left corner.
fn scale(out: &mut RgbImage, height: u32) {
    let (left, top) = (8, height - 52);
    text::fill(out, left - 4, top - 4, SCALE_PX + 24, 52, PAPER);
    for x in 0..SCALE_PX {
        text::fill(out, left + x, top, 1, 12, color((x * 200 / SCALE_PX).max(1) as u8));
    }
    text::frame(out, left, top, SCALE_PX, 12, 1, INK);
    for (at, label) in [(0, "0"), (SCALE_PX / 2, "1"), (SCALE_PX - 4, "2+")] {
        text::draw(out, left + at, top + 15, 1, INK, label);
    }
    text::draw(out, left, top + 26, 1, INK, "distance to atlas");
    text::draw(out, left, top + 36, 1, INK, "beyond 1: unknown");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_is_blue_and_unknown_is_red() {
        assert_eq!((color(100), color(101), color(255)), (STOPS[1].1, STOPS[2].1, STOPS[3].1));
        for d in 1..=BOUND {
            assert!(color(d)[2] >= color(d)[0], "{d}");
        }
        for d in BOUND + 1..=255 {
            assert!(color(d)[0] > color(d)[2], "{d}");
        }
    }
}
