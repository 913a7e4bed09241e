//! The grid of map cells over a slide, and the overlapping windows in which it is read.

use crate::slide::{Region, Scale, SlideInfo};
use crate::{Error, Result, limits};

/// Side of a window's core in cells: what is kept of it. Fewer where cells are so large that a window would be beyond
/// [`limits::WINDOW_PX`].
const CORE_CELLS: usize = 32;
/// Cells around the core that are read and thrown away, so that the encoder's padding is never seen.
const MARGIN_CELLS: usize = 2;

/// Cells over a slide; row-major cell numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// Side of a cell in pixels at the working resolution: the encoder's stride.
    pub stride_px: u32,
    /// Level-0 pixels per pixel at the working resolution.
    pub downsample: f64,
}

/// A square piece of the grid, read in one go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// First row of the core.
    pub row: usize,
    /// First column of the core.
    pub column: usize,
    /// Rows of the core inside the grid.
    pub rows: usize,
    /// Columns of the core inside the grid.
    pub columns: usize,
    /// Cells of margin on every side.
    pub margin: usize,
    /// What to read: core and margin.
    pub region: Region,
}

impl Grid {
    /// The grid for a slide: the last row and column may reach beyond it, so that every working pixel lies in a cell.
    /// [`Error::Limit`] beyond [`limits::MAP_CELLS`].
    pub fn new(info: &SlideInfo, scale: &Scale, stride_px: u32) -> Result<Self> {
        let cell_px = f64::from(stride_px) * scale.downsample;
        // a remainder of less than one working pixel is rounding, not tissue
        let cells = |side_px: u64| ((side_px as f64 - scale.downsample) / cell_px).ceil().max(1.0) as usize;
        let (rows, columns) = (cells(info.height_px), cells(info.width_px));
        if rows.saturating_mul(columns) > limits::MAP_CELLS {
            return Err(Error::Limit {
                field: "map cells".into(),
                value: format!("{rows} x {columns}"),
                limit: limits::MAP_CELLS.to_string(),
                hint: "is `mpp` right? A slide this large cannot be mapped at once".into(),
            });
        }
        Ok(Self { rows, columns, stride_px, downsample: scale.downsample })
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.rows * self.columns
    }

    /// Side of a cell in level-0 pixels.
    pub fn cell_px(&self) -> f64 {
        f64::from(self.stride_px) * self.downsample
    }

    /// The level-0 region of `rows x columns` cells from (`row`, `column`) on, read with `pixels_per_cell`.
    pub fn region(&self, row: i64, column: i64, rows: usize, columns: usize, pixels_per_cell: u32) -> Region {
        Region {
            x: (column as f64 * self.cell_px()).round() as i64,
            y: (row as f64 * self.cell_px()).round() as i64,
            downsample: self.cell_px() / f64::from(pixels_per_cell),
            width_px: columns as u32 * pixels_per_cell,
            height_px: rows as u32 * pixels_per_cell,
        }
    }

    /// Side of a window's core in cells.
    pub fn core_cells(&self) -> usize {
        let most = (limits::WINDOW_PX / self.stride_px.max(1)) as usize;
        CORE_CELLS.min(most.saturating_sub(2 * MARGIN_CELLS)).max(1)
    }

    /// Rows and columns of windows over the grid.
    pub fn window_counts(&self) -> (usize, usize) {
        (self.rows.div_ceil(self.core_cells()), self.columns.div_ceil(self.core_cells()))
    }

    /// The windows that hold at least one cell of `mask`, row by row. All have one size.
    pub fn windows(&self, mask: &[bool]) -> Vec<Window> {
        self.windows_where(|row, column, rows, columns| {
            (row..row + rows).any(|r| mask[r * self.columns + column..][..columns].contains(&true))
        })
    }

    /// The windows whose core (row, column, rows, columns) is wanted.
    pub fn windows_where(&self, wanted: impl Fn(usize, usize, usize, usize) -> bool) -> Vec<Window> {
        let (core, mut out) = (self.core_cells(), Vec::new());
        for row in (0..self.rows).step_by(core) {
            for column in (0..self.columns).step_by(core) {
                let (rows, columns) = (core.min(self.rows - row), core.min(self.columns - column));
                if wanted(row, column, rows, columns) {
                    let side = core + 2 * MARGIN_CELLS;
                    let first = |core: usize| core as i64 - MARGIN_CELLS as i64;
                    let region = self.region(first(row), first(column), side, side, self.stride_px);
                    out.push(Window { row, column, rows, columns, margin: MARGIN_CELLS, region });
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(side_px: u64) -> SlideInfo {
        SlideInfo {
            name: "square".into(),
            id: String::new(),
            width_px: side_px,
            height_px: side_px,
            downsamples: vec![1.0],
            mpp: None,
            origin_px: (0, 0),
        }
    }

    #[test]
    fn windows_cover_every_wanted_cell_once_and_no_empty_place() {
        let grid = Grid { rows: 70, columns: 40, stride_px: 16, downsample: 2.0 };
        let mut mask = vec![true; grid.cells()];
        mask[..32 * 40].fill(false);
        let windows = grid.windows(&mask);
        let mut seen = vec![0; grid.cells()];
        for w in &windows {
            assert_eq!((w.region.width_px, w.region.height_px), (576, 576));
            assert_eq!(w.region.x, (w.column as i64 - 2) * 32);
            for r in w.row..w.row + w.rows {
                (w.column..w.column + w.columns).for_each(|c| seen[r * 40 + c] += 1);
            }
        }
        assert!(mask.iter().zip(&seen).all(|(wanted, n)| usize::from(*wanted) == *n));
        assert_eq!(windows.len(), 4);
    }

    #[test]
    fn every_pixel_of_the_slide_lies_in_a_cell_and_rounding_adds_none() {
        for (side_px, downsample, cells) in
            [(2967, 1.0, 186), (2960, 1.0, 185), (2961, 1.0, 185), (2962, 1.0, 186), (5923, 2.0, 186), (1, 1.0, 1)]
        {
            let scale = Scale { mpp: 0.5 / downsample, work_mpp: 0.5, downsample };
            let grid = Grid::new(&info(side_px), &scale, 16).unwrap();
            assert_eq!((grid.rows, grid.columns), (cells, cells), "{side_px} px");
        }
    }

    #[test]
    fn windows_of_any_stride_are_small_enough_for_a_network() {
        for stride_px in [8, 14, 16, 28, 32, 64] {
            let grid = Grid { rows: 100, columns: 90, stride_px, downsample: 1.0 };
            let windows = grid.windows(&vec![true; grid.cells()]);
            assert!(windows.iter().all(|w| w.region.width_px <= limits::WINDOW_PX && w.region.width_px % stride_px == 0), "{stride_px}");
            assert_eq!(windows.iter().map(|w| w.rows * w.columns).sum::<usize>(), grid.cells(), "{stride_px}");
        }
    }

    #[test]
    fn a_grid_beyond_the_limit_is_refused_before_anything_is_allocated() {
        let scale = Scale { mpp: 0.5, work_mpp: 0.5, downsample: 1.0 };
        let e = Grid::new(&info(2_000_000), &scale, 16).unwrap_err().to_string();
        assert!(e.contains("125000 x 125000"), "{e}");
    }
}
