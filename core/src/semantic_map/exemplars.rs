//! Exemplar crops: what a class looks like, taken from the slide.

use crate::cluster::{Rows, distance2};
use crate::slide::{Region, read_inside};
use crate::tiles::Grid;
use crate::{Job, Result, TileSource};

use super::Crop;
use super::features::Features;

/// Margin of a crop in pixels, for the autoencoder.
const MARGIN_PX: u32 = 16;
/// Sides of a crop in pixels, margin included; the second where a class offers no place for the first.
const SIDES_PX: [u32; 2] = [128, 96];
/// A crop's inside belongs to its class in at least this share.
const PURE: f64 = 0.8;
/// Places of all classes together of which distances are taken; beyond it every n-th place of a class counts.
const PLACES: usize = 1 << 20;
/// Places looked at per class when spreading crops over the slide, the most central first.
const MOST_CENTRAL: usize = 4096;

/// The labelled slide the exemplars are taken from.
pub struct Labelled<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Labels of its cells.
    pub labels: &'a [u8],
    /// Features of the cells.
    pub features: &'a Features<'a>,
    /// Labels of the classes, ascending.
    pub classes: Vec<u8>,
}

/// How a crop lies on the grid: in the middle of a square of whole cells, the smallest that holds it.
#[derive(Clone, Copy, Default)]
struct Fit {
    /// Side of the crop in pixels.
    side_px: u32,
    /// Side of the square in cells.
    cells: u32,
    /// From the square's edge to the crop's, in pixels.
    offset_px: f64,
    /// Cells at each edge of the square that hold nothing of the crop's inside.
    margin: u32,
}

impl Fit {
    fn new(side_px: u32, stride_px: u32) -> Self {
        let cells = side_px.div_ceil(stride_px);
        let offset_px = f64::from(cells * stride_px - side_px) / 2.0;
        let margin = ((offset_px + f64::from(MARGIN_PX)) / f64::from(stride_px)) as u32;
        Self { side_px, cells, offset_px, margin }
    }
}

/// A place for a crop: its first cell and how far its middle lies from the class's mean.
#[derive(Clone, Copy)]
struct Place {
    row: u32,
    column: u32,
    distance: f32,
}

/// What crops of one class are cut from.
#[derive(Clone, Default)]
struct Places {
    fit: Fit,
    places: Vec<Place>,
}

impl Labelled<'_> {
    /// Up to `wanted` crops a class, read from the slide: first the most central, then as many that differ most from them and from
    /// each other. Small classes may get fewer, or none.
    pub fn crops(&self, source: &dyn TileSource, wanted: usize, job: &Job) -> Result<Vec<Crop>> {
        let mut all = self.places();
        self.measure(&mut all)?;
        let mut found: Vec<(u8, Choice)> = Vec::new();
        for &class in &self.classes {
            let Places { fit, mut places } = std::mem::take(&mut all[usize::from(class)]);
            places.sort_by(|a, b| a.distance.total_cmp(&b.distance));
            let chosen = spread(&places, fit.cells, wanted.div_ceil(2));
            found.push((class, Choice { fit, candidates: typical(&places), chosen }));
        }
        // rows of all classes in one pass over the slide
        let middles: Vec<u32> = found.iter().flat_map(|(_, c)| c.middles(self.grid.columns as u32)).collect();
        let rows = self.features.gather(&middles)?;
        let (mut rest, mut places) = (rows.as_slice(), Vec::new());
        for (class, mut choice) in found {
            let (own, after) = rest.split_at((choice.chosen.len() + choice.candidates.len()) * self.features.embedding.channels);
            choice.vary(Rows { data: own, channels: self.features.embedding.channels }, wanted);
            places.extend(choice.chosen.iter().map(|p| (class, choice.fit, *p)));
            rest = after;
        }
        job.stage("choosing exemplars", places.len() as u64);
        places.into_iter().map(|(class, fit, place)| self.crop(source, class, fit, place, job)).collect()
    }

    fn crop(&self, source: &dyn TileSource, class: u8, fit: Fit, place: Place, job: &Job) -> Result<Crop> {
        job.check()?;
        let at = |cell: u32| (f64::from(cell) * self.grid.cell_px() + fit.offset_px * self.grid.downsample).round() as i64;
        let (x, y, side) = (at(place.column), at(place.row), fit.side_px);
        let rgb = read_inside(source, &Region { x, y, downsample: self.grid.downsample, width_px: side, height_px: side })?;
        job.advance(1);
        Ok(Crop { class, x, y, rgb })
    }

    /// Mean feature of each label.
    fn means(&self) -> Result<Vec<Vec<f32>>> {
        let mut sums = vec![(vec![0.0f64; self.features.embedding.channels], 0u64); 256];
        for view in self.features.views(0) {
            let view = view?;
            for cell in self.features.tissue(view.core.clone()) {
                let (sum, n) = &mut sums[usize::from(self.labels[cell])];
                sum.iter_mut().zip(view.smoothed.row(cell)).for_each(|(s, v)| *s += f64::from(*v));
                *n += 1;
            }
        }
        Ok(sums.into_iter().map(|(sum, n)| sum.iter().map(|s| (s / n.max(1) as f64) as f32).collect()).collect())
    }

    /// Places of each class whose inside is almost wholly that class and whose middle belongs to it, in order: of the larger side, or
    /// of the smaller where a class has none of the larger.
    fn places(&self) -> Vec<Places> {
        let mut out = vec![Places::default(); 256];
        for side_px in SIDES_PX {
            let fit = Fit::new(side_px, self.grid.stride_px);
            let mut counts = [0usize; 256];
            self.each_place(fit, &out, |class, _, _| counts[class] += 1);
            let steps = counts.map(|n| n.div_ceil(PLACES / self.classes.len().max(1)).max(1));
            let mut new = vec![(0usize, Vec::new()); 256];
            self.each_place(fit, &out, |class, row, column| {
                let (seen, places) = &mut new[class];
                if *seen % steps[class] == 0 {
                    places.push(Place { row, column, distance: 0.0 });
                }
                *seen += 1;
            });
            for (places, (_, new)) in out.iter_mut().zip(new).filter(|(_, (seen, _))| *seen > 0) {
                *places = Places { fit, places: new };
            }
        }
        out
    }

    /// Calls `see` with class, row and column of every place of classes that have none in `before`.
    fn each_place(&self, fit: Fit, before: &[Places], mut see: impl FnMut(usize, u32, u32)) {
        let (side, margin) = (fit.cells as usize, fit.margin as usize);
        let inside = side - 2 * margin;
        let least = (PURE * (inside * inside) as f64).ceil() as usize;
        for row in 0..(self.grid.rows + 1).saturating_sub(side) {
            for column in 0..(self.grid.columns + 1).saturating_sub(side) {
                let class = self.labels[(row + side / 2) * self.grid.columns + column + side / 2];
                let wanted = class != 0 && before[usize::from(class)].places.is_empty();
                if wanted && self.count(class, row + margin, column + margin, inside) >= least {
                    see(usize::from(class), row as u32, column as u32);
                }
            }
        }
    }

    /// Sets the distances of places from the mean of their class.
    fn measure(&self, all: &mut [Places]) -> Result<()> {
        let (means, columns) = (self.means()?, self.grid.columns as u32);
        let mut next = vec![0; all.len()];
        for view in self.features.views(0) {
            let view = view?;
            for ((of, next), mean) in all.iter_mut().zip(&mut next).zip(&means) {
                let half = of.fit.cells / 2;
                for p in of.places[*next..].iter_mut().take_while(|p| view.core.contains(&((p.row + half) as usize))) {
                    let middle = (p.row + half) * columns + p.column + half;
                    p.distance = distance2(view.smoothed.row(middle as usize), mean);
                    *next += 1;
                }
            }
        }
        Ok(())
    }

    /// Cells of a class in a square.
    fn count(&self, class: u8, row: usize, column: usize, side: usize) -> usize {
        (row..row + side).map(|r| self.labels[r * self.grid.columns + column..][..side].iter().filter(|l| **l == class).count()).sum()
    }
}

/// Every n-th place of the more central nine tenths; the rest is dirt and borders.
fn typical(places: &[Place]) -> Vec<Place> {
    let typical = &places[..(places.len() * 9).div_ceil(10)];
    typical.iter().step_by(typical.len().div_ceil(MOST_CENTRAL).max(1)).copied().collect()
}

/// Places of one class: those chosen and those to choose from.
struct Choice {
    fit: Fit,
    candidates: Vec<Place>,
    chosen: Vec<Place>,
}

impl Choice {
    /// The cells in the middle of places, the chosen ones first.
    fn middles(&self, columns: u32) -> impl Iterator<Item = u32> + '_ {
        let half = self.fit.cells / 2;
        self.chosen.iter().chain(&self.candidates).map(move |p| (p.row + half) * columns + p.column + half)
    }

    /// Chooses further places until there are `wanted`: each time the one whose features are farthest from all chosen so far. `rows`
    /// are those of [`Choice::middles`].
    fn vary(&mut self, rows: Rows<'_>, wanted: usize) {
        let apart = |p: &Place, q: &Place| p.row.abs_diff(q.row).max(p.column.abs_diff(q.column)) >= self.fit.cells;
        let first = self.chosen.len();
        let mut least = vec![f32::INFINITY; self.candidates.len()];
        let see = |q: &Place, row: usize, least: &mut [f32]| {
            for (i, p) in self.candidates.iter().enumerate() {
                // a place that overlaps a chosen one is out
                least[i] = if apart(p, q) { least[i].min(distance2(rows.row(first + i), rows.row(row))) } else { -1.0 };
            }
        };
        self.chosen.iter().enumerate().for_each(|(i, q)| see(q, i, &mut least));
        while self.chosen.len() < wanted {
            let best = (0..least.len()).max_by(|a, b| least[*a].total_cmp(&least[*b]).then(b.cmp(a)));
            let Some(i) = best.filter(|i| least[*i] >= 0.0) else { return };
            let q = self.candidates[i];
            see(&q, first + i, &mut least);
            self.chosen.push(q);
        }
    }
}

/// Chooses up to `wanted` places that do not overlap: as far apart as leaves enough of them, the most central first.
fn spread(places: &[Place], side: u32, wanted: usize) -> Vec<Place> {
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
