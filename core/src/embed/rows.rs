//! The rows of a slide's windows. In: feature blocks, window by window, in any order. Out: [`Strip`]s, whole rows of the grid as f32.
//! Values are kept as f16, which every run rounds to whether its rows are kept in a file or not; those beyond its range are cut to it.
//! Fails where the cache cannot be read or written.

use std::ops::Range;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use crate::cache::{Cache, Kind};
use crate::tiles::{Grid, Window};
use crate::{Planes, Result};

/// Embeddings of a slide: for each window done, `[row, column, channel]` of its core.
pub struct Embedding<'a> {
    /// The grid.
    pub grid: Grid,
    /// Length of a row.
    pub channels: usize,
    cache: &'a Cache,
}

/// Rows of neighbouring rows of the grid; zero where nothing was embedded.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// Rows of the grid.
    pub rows: Range<usize>,
    /// Columns of the grid.
    pub columns: usize,
    /// Length of a row.
    pub channels: usize,
    /// A row for every cell.
    pub data: Vec<f32>,
}

impl Strip {
    /// All zero.
    pub fn zeros(rows: Range<usize>, columns: usize, channels: usize) -> Self {
        let data = vec![0.0; rows.len() * columns * channels];
        Self { rows, columns, channels, data }
    }

    /// The row of a cell of the grid, which must lie inside.
    pub fn row(&self, cell: usize) -> &[f32] {
        &self.data[(cell - self.rows.start * self.columns) * self.channels..][..self.channels]
    }

    /// Numbers of the cells inside.
    pub fn cells(&self) -> Range<usize> {
        self.rows.start * self.columns..self.rows.end * self.columns
    }
}

impl<'a> Embedding<'a> {
    /// What `cache` has for this grid.
    pub fn new(grid: Grid, channels: usize, cache: &'a Cache) -> Self {
        Self { grid, channels, cache }
    }

    /// Bytes of the rows of every cell of a grid.
    pub fn bytes(grid: &Grid, channels: usize) -> usize {
        grid.cells() * channels * size_of::<f16>()
    }

    /// Whether a window is done.
    pub fn has(&self, window: &Window) -> bool {
        self.cache.has(Kind::Window, self.number_of(window))
    }

    /// Keeps a window's core from its feature block.
    pub fn put(&self, window: &Window, block: &Planes) -> Result<()> {
        let (most, mut row) = (f16::MAX.to_f32(), vec![0.0f32; self.channels]);
        let (mut halves, mut bytes) = (vec![f16::ZERO; self.channels], Vec::new());
        for r in 0..window.rows {
            for c in 0..window.columns {
                for (k, v) in row.iter_mut().enumerate() {
                    *v = block.at(k, r + window.margin, c + window.margin).clamp(-most, most);
                }
                halves.convert_from_f32_slice(&row);
                bytes.extend(halves.iter().flat_map(|h| h.to_le_bytes()));
            }
        }
        self.cache.put(Kind::Window, self.number_of(window), &bytes)
    }

    /// Rows of a window's core, all zero if it is not done.
    pub fn block(&self, window: &Window) -> Result<Vec<f32>> {
        let mut out = Strip::zeros(window.row..window.row + window.rows, window.columns, self.channels);
        if let Some(content) = self.cache.get(Kind::Window, self.number_of(window))? {
            self.unpack(&content, window.row, window.column, 0, &mut out)?;
        }
        Ok(out.data)
    }

    /// Rows of the grid `rows`, within it.
    pub fn strip(&self, rows: Range<usize>) -> Result<Strip> {
        let mut out = Strip::zeros(rows.clone(), self.grid.columns, self.channels);
        if rows.is_empty() {
            return Ok(out);
        }
        let core = self.grid.core_cells();
        for down in rows.start / core..rows.end.div_ceil(core) {
            for across in 0..self.grid.window_counts().1 {
                if let Some(content) = self.cache.get(Kind::Window, self.number(down, across))? {
                    self.unpack(&content, down * core, across * core, across * core, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    /// Rows of single cells, one after the other as asked for.
    pub fn gather(&self, cells: &[u32]) -> Result<Vec<f32>> {
        gather(&self.grid, self.channels, cells, |rows| self.strip(rows))
    }

    /// Copies what lies inside a strip from the window at (`row`, `column`) to the strip's column `left` on.
    fn unpack(&self, content: &[u8], row: usize, column: usize, left: usize, to: &mut Strip) -> Result<()> {
        let core = self.grid.core_cells();
        let (rows, columns) = (core.min(self.grid.rows - row), core.min(self.grid.columns - column));
        let line = columns * self.channels;
        let bits: Vec<u16> = content.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        if bits.len() != rows * line {
            return Err(self.cache.forged(format!("{} values kept for a window of {rows} x {columns} cells", bits.len())));
        }
        if bits.iter().any(|b| !f16::from_bits(*b).is_finite()) {
            return Err(self.cache.forged("a window holds what is no number".into()));
        }
        for r in row.max(to.rows.start)..(row + rows).min(to.rows.end) {
            let at = ((r - to.rows.start) * to.columns + left) * self.channels;
            bits[(r - row) * line..][..line].reinterpret_cast::<f16>().convert_to_f32_slice(&mut to.data[at..at + line]);
        }
        Ok(())
    }

    fn number_of(&self, window: &Window) -> u32 {
        self.number(window.row / self.grid.core_cells(), window.column / self.grid.core_cells())
    }

    fn number(&self, down: usize, across: usize) -> u32 {
        (down * self.grid.window_counts().1 + across) as u32
    }

    /// Keeps rows given cell by cell, for tests.
    #[cfg(test)]
    pub fn fill(&self, row: impl Fn(usize) -> Vec<f32>) {
        for w in self.grid.windows(&vec![true; self.grid.cells()]) {
            let mut block = Planes::zeros(self.channels, w.rows + 2 * w.margin, w.columns + 2 * w.margin);
            for i in 0..w.rows * w.columns {
                let (r, c) = (i / w.columns, i % w.columns);
                let values = row((w.row + r) * self.grid.columns + w.column + c);
                let one = Planes::new(self.channels, 1, 1, values).unwrap();
                block.put(&one, r + w.margin, c + w.margin);
            }
            self.put(&w, &block).unwrap();
        }
    }
}

/// Rows of single cells, one after the other as asked for, from strips that are read once each, from the top down.
pub fn gather(grid: &Grid, channels: usize, cells: &[u32], strip: impl Fn(Range<usize>) -> Result<Strip>) -> Result<Vec<f32>> {
    let (core, mut out) = (grid.core_cells(), vec![0.0; cells.len() * channels]);
    let mut order: Vec<u32> = (0..cells.len() as u32).collect();
    order.sort_by_key(|i| cells[*i as usize]);
    let row = |i: &u32| cells[*i as usize] as usize / grid.columns;
    for wanted in order.chunk_by(|a, b| row(a) / core == row(b) / core) {
        let Some((first, last)) = wanted.first().map(row).zip(wanted.last().map(row)) else { continue };
        let strip = strip(first..last + 1)?;
        for i in wanted {
            let to = *i as usize * channels;
            out[to..to + channels].copy_from_slice(strip.row(cells[*i as usize] as usize));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_hold_the_rows_of_their_cells_rounded_to_f16_and_cut_to_its_range() {
        let grid = Grid { rows: 70, columns: 41, stride_px: 16, downsample: 1.0 };
        let cache = Cache::memory();
        let e = Embedding::new(grid, 3, &cache);
        let value = |cell: usize, k: usize| if cell == 100 { 1e9 } else { (cell * 3 + k) as f32 / 7.0 };
        e.fill(|cell| (0..3).map(|k| value(cell, k)).collect());
        for rows in [0..70, 5..6, 31..33, 60..70, 9..9] {
            let strip = e.strip(rows.clone()).unwrap();
            assert_eq!((strip.cells().len(), strip.data.len()), (rows.len() * 41, rows.len() * 123));
            for cell in strip.cells() {
                let want: Vec<f32> = (0..3).map(|k| f16::from_f32(value(cell, k).min(65504.0)).to_f32()).collect();
                assert_eq!(strip.row(cell), want);
            }
        }
    }

    #[test]
    fn what_was_not_embedded_is_zero() {
        let grid = Grid { rows: 40, columns: 40, stride_px: 16, downsample: 1.0 };
        let cache = Cache::memory();
        let e = Embedding::new(grid, 1, &cache);
        let w = grid.windows(&vec![true; 1600]);
        e.put(&w[3], &Planes::new(1, 12, 12, vec![2.0; 144]).unwrap()).unwrap();
        assert!(e.has(&w[3]) && !e.has(&w[0]));
        assert_eq!((e.block(&w[3]).unwrap(), e.block(&w[0]).unwrap()), (vec![2.0; 64], vec![0.0; 1024]));
        let strip = e.strip(0..40).unwrap();
        assert!(strip.cells().all(|c| strip.row(c) == [if c / 40 >= 32 && c % 40 >= 32 { 2.0 } else { 0.0 }]));
    }
}
