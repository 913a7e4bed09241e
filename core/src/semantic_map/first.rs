//! A first map within seconds, and better ones while rows come in. In: the windows embedded so far and the colour of every tissue cell.
//! Out: partial pictures: classes of a small sample's k-means, in order of their brightness so that they hardly change colour from
//! picture to picture; cells not embedded yet take the class whose mean colour is nearest, at half the opacity. The final map does not
//! depend on any of it.

use image::{Rgba, RgbaImage};

use super::palette::palette;
use super::picture::{ALPHA, View, pixels_of};
use crate::cluster::{Centroids, Rows, fit};
use crate::embed::Embedding;
use crate::tiles::{Grid, Window};
use crate::{Error, Job, Result};

/// Cells that the classes of a partial picture are fitted on.
const SAMPLE_ROWS: usize = 2000;
/// Windows of the first look: 24 windows of 32 x 32 cells, spread over the tissue.
pub const FIRST_WINDOWS: usize = 24;
/// Windows after which the first picture is published; the next ones come each time as many again are done.
const FIRST_PICTURE: usize = 4;

/// What partial pictures are made of.
pub struct First<'a> {
    /// Rows so far.
    pub embedding: &'a Embedding<'a>,
    /// Number of classes.
    pub k: usize,
    /// Seed of the sample's classes.
    pub seed: u64,
    /// What a picture shows.
    pub view: View,
    /// Where pictures go.
    pub job: &'a Job,
    /// Mean colour of a cell if it is tissue.
    pub color: &'a dyn Fn(usize) -> Option<[u8; 3]>,
}

/// Classes of a sample.
struct Guess {
    centroids: Centroids,
    /// Label of each centroid.
    labels: Vec<u8>,
    /// Mean colour of each centroid's cells.
    colors: Vec<[f32; 3]>,
}

impl First<'_> {
    /// Publishes a picture when `done` windows are and that is due; `next` is when the next one is.
    pub fn when_due(&self, done: usize, next: &mut usize, windows: &[Window]) -> Result<()> {
        if done >= (*next).max(FIRST_PICTURE) {
            *next = 2 * done;
            self.publish(windows)?;
        }
        Ok(())
    }

    /// Publishes a picture of what is there of `windows`; says whether there was enough for one.
    pub fn publish(&self, windows: &[Window]) -> Result<bool> {
        let done: Vec<Window> = windows.iter().filter(|w| self.embedding.has(w)).copied().collect();
        let guess = match self.guess(&done) {
            Err(Error::Parameter { .. }) => return Ok(false), // fewer textures than classes so far
            other => other?,
        };
        self.job.publish(self.paint(&done, &guess)?);
        Ok(true)
    }

    fn guess(&self, done: &[Window]) -> Result<Guess> {
        let channels = self.embedding.channels;
        let (mut rows, mut colors) = (Vec::new(), Vec::new());
        for window in done {
            let cells: Vec<(usize, [u8; 3])> = self.tissue(window).collect();
            let block = self.embedding.block(window)?;
            for (cell, color) in cells.iter().step_by((cells.len() * done.len()).div_ceil(SAMPLE_ROWS).max(1)) {
                rows.extend(around(&block, window, cell / self.grid().columns, cell % self.grid().columns, channels));
                colors.push(*color);
            }
        }
        let rows = Rows { data: &rows, channels };
        let centroids = fit(rows, self.k, self.seed, self.job)?.centroids;
        let mut means = vec![([0.0f32; 3], 0.0f32); centroids.k()];
        for (class, color) in centroids.of(rows).into_iter().zip(colors) {
            (0..3).for_each(|c| means[class].0[c] += f32::from(color[c]));
            means[class].1 += 1.0;
        }
        let colors: Vec<[f32; 3]> = means.iter().map(|(sum, n)| sum.map(|s| s / n.max(1.0))).collect();
        let mut order: Vec<usize> = (0..colors.len()).collect();
        order.sort_by(|a, b| colors[*a].iter().sum::<f32>().total_cmp(&colors[*b].iter().sum()));
        let mut labels = vec![0; order.len()];
        (1u8..).zip(order).for_each(|(label, class)| labels[class] = label);
        Ok(Guess { centroids, labels, colors })
    }

    /// As [`View::picture`], with two opacities.
    fn paint(&self, done: &[Window], guess: &Guess) -> Result<RgbaImage> {
        let (grid, view, colors) = (self.grid(), &self.view, palette(guess.labels.len()));
        let shown = |class: usize, alpha: u8| {
            let [r, g, b] = colors[usize::from(guess.labels[class]) - 1];
            Rgba([r, g, b, alpha])
        };
        let color = |row: usize, column: usize| (self.color)(row * grid.columns + column);
        let mut out = view.paint(|row, column| color(row, column).map_or(Rgba([0; 4]), |color| shown(guess.by_color(color), ALPHA / 2)));
        for window in done {
            let block = self.embedding.block(window)?;
            for y in pixels_of(&view.rows, window.row..window.row + window.rows) {
                for x in pixels_of(&view.columns, window.column..window.column + window.columns) {
                    let (row, column) = (view.rows[y], view.columns[x]);
                    if color(row, column).is_some() {
                        let features = around(&block, window, row, column, self.embedding.channels);
                        out.put_pixel(x as u32, y as u32, shown(guess.centroids.nearest(&features).0, ALPHA));
                    }
                }
            }
        }
        Ok(out)
    }

    fn grid(&self) -> &Grid {
        &self.embedding.grid
    }

    /// Tissue cells of a window with their colours.
    fn tissue(&self, window: &Window) -> impl Iterator<Item = (usize, [u8; 3])> + '_ {
        let (w, columns) = (*window, self.grid().columns);
        let cells = (0..w.rows * w.columns).map(move |i| (w.row + i / w.columns) * columns + w.column + i % w.columns);
        cells.filter_map(|cell| Some((cell, (self.color)(cell)?)))
    }
}

impl Guess {
    /// The class whose mean colour is nearest.
    fn by_color(&self, color: [u8; 3]) -> usize {
        let apart = |mean: &[f32; 3]| (0..3).map(|c| (mean[c] - f32::from(color[c])).powi(2)).sum::<f32>();
        (0..self.colors.len()).min_by(|a, b| apart(&self.colors[*a]).total_cmp(&apart(&self.colors[*b]))).unwrap_or(0)
    }
}

/// Mean of the rows around a cell, one to each side, as far as its window reaches.
fn around(block: &[f32], window: &Window, row: usize, column: usize, channels: usize) -> Vec<f32> {
    let (r, c) = (row - window.row, column - window.column);
    let (mut sum, mut n) = (vec![0.0f32; channels], 0.0f32);
    for y in r.saturating_sub(1)..(r + 2).min(window.rows) {
        for x in c.saturating_sub(1)..(c + 2).min(window.columns) {
            sum.iter_mut().zip(&block[(y * window.columns + x) * channels..]).for_each(|(s, v)| *s += v);
            n += 1.0;
        }
    }
    sum.iter_mut().for_each(|s| *s /= n);
    sum
}

/// The order in which windows are embedded: those that meet the viewport (`[x, y, width, height]`, level-0 pixels), then [`FIRST_WINDOWS`]
/// from coarse to fine all over the slide, then the rest row by row. Those in the viewport come from coarse to fine as well.
pub fn ordered(windows: Vec<Window>, viewport: Option<[f64; 4]>, grid: &Grid) -> Vec<Window> {
    let (cell_px, core) = (grid.cell_px(), grid.core_cells());
    let meets = |w: &Window| {
        viewport.is_some_and(|[x, y, width, height]| {
            let (left, top) = (w.column as f64 * cell_px, w.row as f64 * cell_px);
            let (right, bottom) = (left + w.columns as f64 * cell_px, top + w.rows as f64 * cell_px);
            left < x + width && right > x && top < y + height && bottom > y
        })
    };
    let (mut first, mut others): (Vec<Window>, Vec<Window>) = windows.into_iter().partition(meets);
    // on the grid of every 2^n-th window, the larger n the earlier
    let coarse = |w: &Window| std::cmp::Reverse(((w.row / core) | (w.column / core)).trailing_zeros());
    first.sort_by_key(coarse);
    let mut by_level = others.clone();
    by_level.sort_by_key(coarse);
    let mut spread = Vec::new();
    for level in by_level.chunk_by(|a, b| coarse(a) == coarse(b)) {
        let left = FIRST_WINDOWS - spread.len();
        spread.extend(level.iter().step_by(level.len().div_ceil(left.max(1)).max(1)).take(left));
    }
    others.retain(|w| !spread.contains(w));
    [first, spread, others].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_viewport_comes_first_then_a_coarse_look_all_over_then_the_rest() {
        let grid = Grid { rows: 32 * 16, columns: 32 * 16, stride_px: 16, downsample: 2.0 };
        let windows = grid.windows(&vec![true; grid.cells()]);
        let order = ordered(windows.clone(), Some([5000.0, 9000.0, 2000.0, 1000.0]), &grid);
        let at = |w: &Window| (w.row / 32, w.column / 32);
        // 32 cells of 32 px are 1024 px a window
        let mut seen: Vec<_> = order[..6].iter().map(at).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(8, 4), (8, 5), (8, 6), (9, 4), (9, 5), (9, 6)]);
        let spread = &order[6..6 + FIRST_WINDOWS];
        for quarter in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            let inside = |w: &&Window| (quarter.0..quarter.0 + 8).contains(&at(w).0) && (quarter.1..quarter.1 + 8).contains(&at(w).1);
            assert!(spread.iter().filter(inside).count() >= 3, "{quarter:?}");
        }
        let mut all: Vec<_> = order.iter().map(at).collect();
        assert!(all[6 + FIRST_WINDOWS..].is_sorted(), "row by row, as readers like it");
        all.sort_unstable();
        assert_eq!(all, windows.iter().map(at).collect::<Vec<_>>(), "each once");
    }
}
