//! Features of a slide's cells, strip by strip, so that memory does not grow with the slide. In: the kept embedding and each cell's
//! depth. Out: [`View`]s that go down the slide, each with the cells' own rows and their smoothed rows, and rows of single cells.

use std::ops::Range;

use super::smooth::{RADIUS, REACH, smooth};
use crate::Result;
use crate::embed::{Embedding, Strip, gather};
use crate::tiles::Grid;

/// What features are made from.
pub struct Features<'a> {
    /// Rows of the cells.
    pub embedding: &'a Embedding<'a>,
    /// Distance of each cell from the glass, 0 where there is no tissue.
    pub depth: &'a [u8],
}

/// Features of some rows of the grid.
pub struct View {
    /// Rows of the grid that this view is about.
    pub core: Range<usize>,
    /// The cells' own features, over the core and what lies around it.
    pub own: Strip,
    /// Means of neighbourhoods, over the core and the margin asked for.
    pub smoothed: Strip,
}

impl Features<'_> {
    /// The grid.
    pub fn grid(&self) -> &Grid {
        &self.embedding.grid
    }

    /// Tissue cells among some rows of the grid, in order.
    pub fn tissue(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        let columns = self.grid().columns;
        (rows.start * columns..rows.end * columns).filter(|cell| self.depth[*cell] > 0)
    }

    /// Views of one row of windows each, from the top down; smoothed rows reach `margin` rows beyond the core.
    pub fn views(&self, margin: usize) -> impl Iterator<Item = Result<View>> + '_ {
        (0..self.grid().rows).step_by(self.grid().core_cells()).map(move |row| self.view(row, margin))
    }

    fn view(&self, row: usize, margin: usize) -> Result<View> {
        let core = row..(row + self.grid().core_cells()).min(self.grid().rows);
        let around = |by: usize| core.start.saturating_sub(by)..(core.end + by).min(self.grid().rows);
        let own = self.embedding.strip(around(margin + REACH + RADIUS))?;
        let smoothed = smooth(&own, around(margin), self.grid(), self.depth);
        Ok(View { core, own, smoothed })
    }

    /// Smoothed rows of single cells, one after the other as asked for.
    pub fn gather(&self, cells: &[u32]) -> Result<Vec<f32>> {
        let core = self.grid().core_cells();
        gather(self.grid(), self.embedding.channels, cells, |rows| Ok(self.view(rows.start / core * core, 0)?.smoothed))
    }
}
