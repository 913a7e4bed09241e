//! Exemplar crops: what a class looks like, taken from the slide.

use crate::cluster::distance2;
use crate::embed::Embedding;
use crate::slide::{Region, read_inside};
use crate::tiles::Grid;
use crate::{Job, Result, TileSource};

use super::Crop;

/// Margin of a crop in pixels, for the autoencoder.
const MARGIN_PX: u32 = 16;
/// Sides of a crop in pixels, margin included; the second where a class offers no place for the first.
const SIDES_PX: [u32; 2] = [128, 96];
/// A crop's inside belongs to its class in at least this share.
const PURE: f64 = 0.8;
/// Places looked at per class when spreading crops over the slide, the most central first.
const MOST_CENTRAL: usize = 4096;

/// The labelled slide the exemplars are taken from.
pub struct Labelled<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Labels of its cells.
    pub labels: &'a [u8],
    /// Smoothed features.
    pub smoothed: &'a Embedding,
    /// Labels of the classes, ascending.
    pub classes: Vec<u8>,
}

/// How a crop lies on the grid: in the middle of a square of whole cells, the smallest that holds it.
#[derive(Clone, Copy)]
struct Fit {
    /// Side of the crop in pixels.
    side_px: u32,
    /// Side of the square in cells.
    cells: usize,
    /// From the square's edge to the crop's, in pixels.
    offset_px: f64,
    /// Cells at each edge of the square that hold nothing of the crop's inside.
    margin: usize,
}

impl Fit {
    fn new(side_px: u32, stride_px: u32) -> Self {
        let cells = side_px.div_ceil(stride_px);
        let offset_px = f64::from(cells * stride_px - side_px) / 2.0;
        let margin = ((offset_px + f64::from(MARGIN_PX)) / f64::from(stride_px)) as usize;
        Self { side_px, cells: cells as usize, offset_px, margin }
    }
}

/// A place for a crop: its first cell and how far its middle lies from the class's mean.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    distance: f32,
}

impl Labelled<'_> {
    /// Up to `wanted` crops a class, read from the slide: first the most central, then as many that differ most from them and from
    /// each other. Small classes may get fewer, or none.
    pub fn crops(&self, source: &dyn TileSource, wanted: usize, job: &Job) -> Result<Vec<Crop>> {
        let means = self.means();
        let mut places: Vec<(u8, Fit, Place)> = Vec::new();
        for &class in &self.classes {
            let mean = &means[usize::from(class)];
            let fits = SIDES_PX.iter().map(|side| Fit::new(*side, self.grid.stride_px));
            let chosen = fits.map(|fit| (fit, self.places(class, mean, &fit))).find(|(_, places)| !places.is_empty());
            if let Some((fit, candidates)) = chosen {
                let mut chosen = spread(&candidates, fit.cells, wanted.div_ceil(2));
                self.varied(&candidates, fit.cells, wanted, &mut chosen);
                places.extend(chosen.into_iter().map(|p| (class, fit, p)));
            }
        }
        job.stage("crops", places.len() as u64);
        places.into_iter().map(|(class, fit, place)| self.crop(source, class, fit, place, job)).collect()
    }

    fn crop(&self, source: &dyn TileSource, class: u8, fit: Fit, place: Place, job: &Job) -> Result<Crop> {
        job.check()?;
        let at = |cell: usize| (cell as f64 * self.grid.cell_px() + fit.offset_px * self.grid.downsample).round() as i64;
        let (x, y, side) = (at(place.column), at(place.row), fit.side_px);
        let rgb = read_inside(source, &Region { x, y, downsample: self.grid.downsample, width_px: side, height_px: side })?;
        job.advance(1);
        Ok(Crop { class, x, y, rgb })
    }

    /// Adds places to those `chosen` until there are `wanted`: each time the one whose features are farthest from all chosen so far.
    /// The least central tenth is left out: dirt and borders.
    fn varied(&self, places: &[Place], side: usize, wanted: usize, chosen: &mut Vec<Place>) {
        let typical = &places[..(places.len() * 9).div_ceil(10)];
        let step = typical.len().div_ceil(MOST_CENTRAL).max(1);
        let candidates: Vec<Place> = typical.iter().step_by(step).copied().collect();
        let middle = |p: &Place| (p.row + side / 2) * self.grid.columns + p.column + side / 2;
        let row = |p: &Place| self.smoothed.row_of(middle(p)).map(|i| self.smoothed.rows().row(i));
        let apart = |p: &Place, q: &Place| p.row.abs_diff(q.row).max(p.column.abs_diff(q.column)) >= side;
        let unlike = |p: &Place, q: &Place| row(p).zip(row(q)).map_or(0.0, |(a, b)| distance2(a, b));
        let mut least = vec![f32::INFINITY; candidates.len()];
        let mut seen = 0;
        while chosen.len() < wanted {
            for q in &chosen[seen..] {
                // a place that overlaps a chosen one is out
                least.iter_mut().zip(&candidates).for_each(|(l, p)| *l = if apart(p, q) { l.min(unlike(p, q)) } else { -1.0 });
            }
            seen = chosen.len();
            let best = (0..candidates.len()).max_by(|a, b| least[*a].total_cmp(&least[*b]).then(b.cmp(a)));
            match best.filter(|i| least[*i] >= 0.0) {
                Some(i) => chosen.push(candidates[i]),
                None => return,
            }
        }
    }

    /// Mean feature of each label.
    fn means(&self) -> Vec<Vec<f32>> {
        let channels = self.smoothed.channels;
        let mut sums = vec![(vec![0.0f64; channels], 0u64); 256];
        for (i, cell) in self.smoothed.cells.iter().enumerate() {
            let (sum, n) = &mut sums[usize::from(self.labels[*cell as usize])];
            sum.iter_mut().zip(self.smoothed.rows().row(i)).for_each(|(s, v)| *s += f64::from(*v));
            *n += 1;
        }
        sums.into_iter().map(|(sum, n)| sum.iter().map(|s| (s / n.max(1) as f64) as f32).collect()).collect()
    }

    /// Places whose inside is almost wholly one class and whose middle belongs to it, most central first.
    fn places(&self, class: u8, mean: &[f32], fit: &Fit) -> Vec<Place> {
        let (side, margin) = (fit.cells, fit.margin);
        let inside = side - 2 * margin;
        let least = (PURE * (inside * inside) as f64).ceil() as usize;
        let mut out = Vec::new();
        for row in 0..(self.grid.rows + 1).saturating_sub(side) {
            for column in 0..(self.grid.columns + 1).saturating_sub(side) {
                let middle = (row + side / 2) * self.grid.columns + column + side / 2;
                if self.labels[middle] != class || self.count(class, row + margin, column + margin, inside) < least {
                    continue;
                }
                if let Some(i) = self.smoothed.row_of(middle) {
                    out.push(Place { row, column, distance: distance2(self.smoothed.rows().row(i), mean) });
                }
            }
        }
        out.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        out
    }

    /// Cells of a class in a square.
    fn count(&self, class: u8, row: usize, column: usize, side: usize) -> usize {
        (row..row + side).map(|r| self.labels[r * self.grid.columns + column..][..side].iter().filter(|l| **l == class).count()).sum()
    }
}

/// Chooses up to `wanted` places that do not overlap: as far apart as leaves enough of them, the most central first.
fn spread(places: &[Place], side: usize, wanted: usize) -> Vec<Place> {
    // every n-th of the better half, so that one large bright spot does not fill the list
    let half = places.len().div_ceil(2);
    let step = half.div_ceil(MOST_CENTRAL).max(1);
    let mut best = Vec::new();
    for apart in [16, 8, 4, 2, 1].map(|n| n * side) {
        let reach = if apart == side { places.len() } else { half };
        let mut chosen: Vec<Place> = Vec::new();
        for p in places[..reach].iter().step_by(step) {
            if chosen.len() == wanted {
                break;
            }
            if chosen.iter().all(|q| p.row.abs_diff(q.row).max(p.column.abs_diff(q.column)) >= apart) {
                chosen.push(*p);
            }
        }
        if chosen.len() > best.len() {
            best = chosen;
        }
        if best.len() == wanted {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_spread_and_never_overlap() {
        let places: Vec<Place> =
            (0..100).flat_map(|row| (0..100).map(move |column| Place { row, column, distance: (row * 100 + column) as f32 })).collect();
        let chosen = spread(&places, 8, 6);
        assert_eq!(chosen.len(), 6);
        for (i, a) in chosen.iter().enumerate() {
            assert!(chosen[..i].iter().all(|b| a.row.abs_diff(b.row).max(a.column.abs_diff(b.column)) >= 8));
        }
        assert!(chosen.iter().any(|p| p.row >= 16), "not all from one corner");
    }
}
