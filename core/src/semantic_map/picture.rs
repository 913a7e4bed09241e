//! A quick picture of labels for hosts that poll while the job runs.

use image::{Rgba, RgbaImage};

use crate::tiles::Grid;

/// Longest side of the picture.
const SIDE: usize = 1024;
/// Opacity of a class.
pub const ALPHA: u8 = 160;

/// Every how many cells a pixel is taken.
pub fn step(grid: &Grid) -> usize {
    grid.rows.max(grid.columns).div_ceil(SIDE).max(1)
}

/// One pixel a cell (or every n-th cell of a large map); background is transparent.
pub fn picture(grid: &Grid, labels: &[u8], colors: &[[u8; 3]]) -> RgbaImage {
    let step = step(grid);
    RgbaImage::from_fn(grid.columns.div_ceil(step) as u32, grid.rows.div_ceil(step) as u32, |x, y| {
        let label = labels[y as usize * step * grid.columns + x as usize * step];
        match usize::from(label).checked_sub(1).and_then(|i| colors.get(i)) {
            Some([r, g, b]) => Rgba([*r, *g, *b, ALPHA]),
            None => Rgba([0; 4]),
        }
    })
}
