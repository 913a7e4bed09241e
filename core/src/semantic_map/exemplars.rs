//! Exemplar crops and the bank of real embeddings: what a class looks like, taken from the slide.

use crate::cluster::distance2;
use crate::embed::Embedding;
use crate::rng::Stream;
use crate::slide::read_inside;
use crate::tiles::Grid;
use crate::{Job, Result, TileSource};

use super::{Bank, Crop};

/// Margin of a crop in pixels, for the autoencoder.
const MARGIN_PX: u32 = 16;
/// Sides of a crop in pixels, margin included; the second where a class offers no place for the first.
const SIDES_PX: [u32; 2] = [128, 96];
/// A crop's inside belongs to its class in at least this share.
const PURE: f64 = 0.8;
/// Places looked at per class when spreading crops over the slide, the most central first.
const MOST_CENTRAL: usize = 4096;
/// Side of a bank cell in pixels.
const BANK_PX: u32 = 32;
/// Rows of the bank a class.
const BANK_ROWS: usize = 48;

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
        let mut places: Vec<(u8, u32, Place)> = Vec::new();
        for &class in &self.classes {
            let mean = &means[usize::from(class)];
            let chosen = SIDES_PX.iter().map(|side| (*side, self.places(class, mean, *side))).find(|(_, places)| !places.is_empty());
            if let Some((side, candidates)) = chosen {
                let mut chosen = spread(&candidates, side / self.grid.stride_px, wanted.div_ceil(2));
                self.varied(&candidates, side / self.grid.stride_px, wanted, &mut chosen);
                places.extend(chosen.into_iter().map(|p| (class, side, p)));
            }
        }
        job.stage("crops", places.len() as u64);
        places.into_iter().map(|(class, side, place)| self.crop(source, class, side, place, job)).collect()
    }

    fn crop(&self, source: &dyn TileSource, class: u8, side_px: u32, place: Place, job: &Job) -> Result<Crop> {
        job.check()?;
        let cells = (side_px / self.grid.stride_px) as usize;
        let region = self.grid.region(place.row as i64, place.column as i64, cells, cells, self.grid.stride_px);
        let rgb = read_inside(source, &region)?;
        job.advance(1);
        Ok(Crop { class, x: region.x, y: region.y, rgb })
    }

    /// Adds places to those `chosen` until there are `wanted`: each time the one whose features are farthest from all chosen so far.
    /// The least central tenth is left out: dirt and borders.
    fn varied(&self, places: &[Place], side: u32, wanted: usize, chosen: &mut Vec<Place>) {
        let typical = &places[..(places.len() * 9).div_ceil(10)];
        let step = typical.len().div_ceil(MOST_CENTRAL).max(1);
        let candidates: Vec<Place> = typical.iter().step_by(step).copied().collect();
        let middle = |p: &Place| (p.row + side as usize / 2) * self.grid.columns + p.column + side as usize / 2;
        let row = |p: &Place| self.smoothed.row_of(middle(p)).map(|i| self.smoothed.rows().row(i));
        let apart = |p: &Place, q: &Place| p.row.abs_diff(q.row).max(p.column.abs_diff(q.column)) >= side as usize;
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
    fn places(&self, class: u8, mean: &[f32], side_px: u32) -> Vec<Place> {
        let stride = self.grid.stride_px;
        let (side, margin) = ((side_px / stride) as usize, (MARGIN_PX.div_ceil(stride)) as usize);
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

    /// Up to 48 rows a class: means of the embeddings (not smoothed) under 32 px cells that lie wholly in the class, drawn by `seed`.
    pub fn bank(&self, embedding: &Embedding, seed: u64) -> Bank {
        let side = (BANK_PX / self.grid.stride_px).max(1) as usize;
        let mut corners: Vec<Vec<(usize, usize)>> = vec![Vec::new(); 256];
        for row in (0..(self.grid.rows + 1).saturating_sub(side)).step_by(side) {
            for column in (0..(self.grid.columns + 1).saturating_sub(side)).step_by(side) {
                let class = self.labels[row * self.grid.columns + column];
                if class > 0 && self.count(class, row, column, side) == side * side {
                    corners[usize::from(class)].push((row, column));
                }
            }
        }
        let mut bank = Bank { channels: embedding.channels, ..Bank::default() };
        for (class, corners) in (0..=u8::MAX).zip(&corners) {
            for (row, column) in draw(corners, BANK_ROWS, seed, u32::from(class)) {
                bank.classes.push(class);
                bank.rows.extend(self.mean_under(embedding, row, column, side));
            }
        }
        bank
    }

    fn mean_under(&self, embedding: &Embedding, row: usize, column: usize, side: usize) -> Vec<f32> {
        let mut sum = vec![0.0f32; embedding.channels];
        for i in 0..side * side {
            let cell = (row + i / side) * self.grid.columns + column + i % side;
            if let Some(j) = embedding.row_of(cell) {
                sum.iter_mut().zip(embedding.rows().row(j)).for_each(|(s, v)| *s += v);
            }
        }
        sum.iter().map(|s| s / (side * side) as f32).collect()
    }
}

/// Chooses up to `wanted` places that do not overlap: as far apart as leaves enough of them, the most central first.
fn spread(places: &[Place], side: u32, wanted: usize) -> Vec<Place> {
    // every n-th of the better half, so that one large bright spot does not fill the list
    let half = places.len().div_ceil(2);
    let step = half.div_ceil(MOST_CENTRAL).max(1);
    let mut best = Vec::new();
    for apart in [16, 8, 4, 2, 1].map(|n| (n * side) as usize) {
        let reach = if apart == side as usize { places.len() } else { half };
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

/// `n` of `from` without repetition, in the order drawn (Fisher-Yates).
fn draw<T: Copy>(from: &[T], n: usize, seed: u64, lane: u32) -> Vec<T> {
    let mut random = Stream::new(seed, u32::MAX - 1, lane);
    let mut pool = from.to_vec();
    let n = n.min(pool.len());
    for i in 0..n {
        let j = i + random.below(pool.len() - i);
        pool.swap(i, j);
    }
    pool.truncate(n);
    pool
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

    #[test]
    fn draws_repeat_nothing_and_depend_on_the_seed() {
        let all: Vec<u32> = (0..100).collect();
        let a = draw(&all, 48, 1, 1);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 48);
        assert_ne!(a, draw(&all, 48, 2, 1));
        assert_eq!(a, draw(&all, 48, 1, 1));
    }
}
