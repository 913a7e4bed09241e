//! A quick picture of labels for hosts that poll while the job runs.

use std::ops::Range;

use image::{Rgba, RgbaImage};

use crate::slide::SlideInfo;
use crate::tiles::Grid;

/// Longest side of the picture.
const SIDE: usize = 1024;
/// Opacity of a class.
pub const ALPHA: u8 = 160;

/// The cell below each pixel of a picture of the whole slide: one pixel a cell, or every n-th cell of a large map.
pub struct View {
    /// Column of each column of pixels.
    pub columns: Vec<usize>,
    /// Row of each row of pixels.
    pub rows: Vec<usize>,
}

impl View {
    /// The picture covers the slide alone, beyond which its last cells may reach.
    pub fn new(grid: &Grid, info: &SlideInfo) -> Self {
        let step = grid.rows.max(grid.columns).div_ceil(SIDE).max(1);
        let along = |cells: usize, side_px: u64| {
            let n = cells.div_ceil(step);
            let cell = |i: usize| ((i as f64 + 0.5) / n as f64 * side_px as f64 / grid.cell_px()) as usize;
            (0..n).map(|i| cell(i).min(cells - 1)).collect()
        };
        Self { columns: along(grid.columns, info.width_px), rows: along(grid.rows, info.height_px) }
    }

    /// A picture by the colour of (row, column).
    pub fn paint(&self, color: impl Fn(usize, usize) -> Rgba<u8>) -> RgbaImage {
        RgbaImage::from_fn(self.columns.len() as u32, self.rows.len() as u32, |x, y| color(self.rows[y as usize], self.columns[x as usize]))
    }

    /// Colours of the labels; background is transparent.
    pub fn picture(&self, grid: &Grid, labels: &[u8], colors: &[[u8; 3]]) -> RgbaImage {
        self.paint(|row, column| match usize::from(labels[row * grid.columns + column]).checked_sub(1).and_then(|i| colors.get(i)) {
            Some([r, g, b]) => Rgba([*r, *g, *b, ALPHA]),
            None => Rgba([0; 4]),
        })
    }
}

/// Numbers of the pixels of [`View::columns`] or [`View::rows`] that show these cells.
pub fn pixels_of(shown: &[usize], cells: Range<usize>) -> Range<usize> {
    shown.partition_point(|c| *c < cells.start)..shown.partition_point(|c| *c < cells.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width_px: u64, height_px: u64) -> SlideInfo {
        let (name, id) = (String::new(), String::new());
        SlideInfo { name, id, width_px, height_px, downsamples: vec![1.0], mpp: None, origin_px: (0, 0) }
    }

    /// Stretched over the slide, a pixel's middle lies in its cell.
    #[test]
    fn a_partial_picture_covers_the_slide_and_not_what_its_cells_reach_beyond() {
        for (width, height) in [(100_000, 70_001), (40_000, 41_111), (500, 300), (32, 17)] {
            let grid = Grid { rows: height / 32 + 1, columns: width / 32 + 1, stride_px: 16, downsample: 2.0 };
            let view = View::new(&grid, &info(width as u64, height as u64));
            for (shown, side_px, cells) in [(&view.columns, width, grid.columns), (&view.rows, height, grid.rows)] {
                assert!(shown.len() <= SIDE && shown.iter().all(|c| *c < cells));
                for (i, cell) in shown.iter().enumerate() {
                    let middle_px = (i as f64 + 0.5) * side_px as f64 / shown.len() as f64;
                    assert!((*cell as f64..=*cell as f64 + 1.0).contains(&(middle_px / 32.0)), "{width} x {height}: {i}");
                }
                let half = pixels_of(shown, 0..cells / 2);
                assert!(half.clone().all(|i| shown[i] < cells / 2) && shown[half.end..].iter().all(|c| *c >= cells / 2));
            }
        }
    }
}
