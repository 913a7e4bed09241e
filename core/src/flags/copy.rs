//! Whether a tile repeats a crop that was shown to the model (S5_CROP_COPY). In: pixels of tile and crops. Out: the largest normalised
//! cross-correlation of any 48 px square of a crop with any place of the tile, by cell.
//!
//! Squares of the crop's shown part are correlated at a quarter of the resolution everywhere in the tile, and the best places again at half
//! of it: sensor noise, the autoencoder's softness and a shift by some pixels change little at these scales, and another piece of
//! the same tissue correlates no better than chance allows. Squares without structure are left out: glass correlates with glass.

use image::RgbImage;

use super::cells::CELL_PX;
use super::hard::densities;
use crate::condition::MARGIN_PX;

/// Side of a square, in pixels.
const SQUARE_PX: usize = 48;
/// Distance between squares, in pixels.
const STEP_PX: usize = 16;
/// Places that are looked at again.
const AGAIN: usize = 4;
/// Standard deviation of optical density below which a square shows nothing.
const STRUCTURE: f32 = 0.03;

/// A plane of means over squares of pixels.
struct Small {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl Small {
    /// Optical density, averaged over `k x k` pixels.
    fn of(rgb: &RgbImage, k: usize) -> Self {
        let od = densities();
        let (width, height) = (rgb.width() as usize / k, rgb.height() as usize / k);
        let mut data = vec![0.0; width * height];
        for (x, y, p) in rgb.enumerate_pixels() {
            let (c, r) = (x as usize / k, y as usize / k);
            if c < width && r < height {
                data[r * width + c] += p.0.iter().map(|v| od[usize::from(*v)]).sum::<f32>() / (3 * k * k) as f32;
            }
        }
        Self { width, height, data }
    }

    /// A square with mean 0 and norm 1; none without structure.
    fn template(&self, x: usize, y: usize, side: usize) -> Option<Vec<f32>> {
        let mut t: Vec<f32> = (0..side).flat_map(|r| self.data[(y + r) * self.width + x..][..side].iter().copied()).collect();
        let mean = t.iter().sum::<f32>() / t.len() as f32;
        t.iter_mut().for_each(|v| *v -= mean);
        let norm = t.iter().map(|v| v * v).sum::<f32>().sqrt();
        t.iter_mut().for_each(|v| *v /= norm);
        (norm / side as f32 >= STRUCTURE).then_some(t)
    }

    /// Correlation of a template with the square at a place.
    fn correlation(&self, template: &[f32], x: usize, y: usize, side: usize) -> f32 {
        let (mut dot, mut sum, mut squares) = (0f32, 0f32, 0f32);
        for (r, t) in template.chunks_exact(side).enumerate() {
            for (v, t) in self.data[(y + r) * self.width + x..][..side].iter().zip(t) {
                dot += v * t;
                sum += v;
                squares += v * v;
            }
        }
        let n = (side * side) as f32;
        let spread = (squares - sum * sum / n).max(0.0).sqrt();
        if spread / side as f32 >= STRUCTURE { dot / spread } else { 0.0 }
    }
}

/// The tile, small.
pub struct Tile {
    half: Small,
    quarter: Small,
}

impl Tile {
    /// A tile to be looked through.
    pub fn new(rgb: &RgbImage) -> Self {
        Self { half: Small::of(rgb, 2), quarter: Small::of(rgb, 4) }
    }

    /// Raises `cells` (a plane of the flag raster, `columns` wide) to the largest correlation of a crop's squares with what lies there.
    pub fn mark(&self, crop: &RgbImage, cells: &mut [f32], columns: usize) {
        let (w, h) = crop.dimensions();
        let inner = (w.saturating_sub(2 * MARGIN_PX), h.saturating_sub(2 * MARGIN_PX));
        let core = image::imageops::crop_imm(crop, MARGIN_PX, MARGIN_PX, inner.0, inner.1).to_image();
        let (half, quarter) = (Small::of(&core, 2), Small::of(&core, 4));
        let last = |n: u32| (n as usize).checked_sub(SQUARE_PX);
        let (Some(right), Some(bottom)) = (last(inner.0), last(inner.1)) else { return };
        for (y, x) in (0..=bottom).step_by(STEP_PX).flat_map(|y| (0..=right).step_by(STEP_PX).map(move |x| (y, x))) {
            let fine = half.template(x / 2, y / 2, SQUARE_PX / 2);
            let coarse = quarter.template(x / 4, y / 4, SQUARE_PX / 4);
            if let (Some(fine), Some(coarse)) = (fine, coarse) {
                self.best(&coarse, &fine).into_iter().for_each(|(c, x, y)| raise(cells, columns, c, x, y));
            }
        }
    }

    /// The best places of a square: correlation and corner in pixels of the tile.
    fn best(&self, coarse: &[f32], fine: &[f32]) -> Vec<(f32, usize, usize)> {
        let side = SQUARE_PX / 4;
        let q = &self.quarter;
        let (Some(right), Some(bottom)) = (q.width.checked_sub(side), q.height.checked_sub(side)) else { return Vec::new() };
        let at = |i: usize| (i % (right + 1), i / (right + 1));
        let all: Vec<f32> = (0..(right + 1) * (bottom + 1)).map(|i| q.correlation(coarse, at(i).0, at(i).1, side)).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        let worse = |a: &usize, b: &usize| all[*b].total_cmp(&all[*a]).then(a.cmp(b));
        if order.len() > AGAIN {
            order.select_nth_unstable_by(AGAIN, worse);
            order.truncate(AGAIN);
        }
        order.into_iter().map(|i| self.again(fine, at(i))).collect()
    }

    /// The best place near one that was found at a quarter of the resolution.
    fn again(&self, fine: &[f32], (x, y): (usize, usize)) -> (f32, usize, usize) {
        let (side, h) = (SQUARE_PX / 2, &self.half);
        let range = |at: usize, n: usize| (2 * at).saturating_sub(2)..=(2 * at + 2).min(n - side);
        let places = range(y, h.height).flat_map(|y| range(x, h.width).map(move |x| (x, y)));
        let best = places.map(|(x, y)| (h.correlation(fine, x, y, side), 2 * x, 2 * y));
        best.fold((0.0, 0, 0), |a, b| if b.0 > a.0 { b } else { a })
    }
}

/// Raises the cells whose middle lies under a square.
fn raise(cells: &mut [f32], columns: usize, value: f32, x: usize, y: usize) {
    let of = |at: usize| (at + CELL_PX / 2) / CELL_PX..(at + SQUARE_PX + CELL_PX / 2) / CELL_PX;
    for (r, c) in of(y).flat_map(|r| of(x).map(move |c| (r, c))) {
        if let Some(cell) = cells.get_mut(r * columns + c).filter(|_| c < columns) {
            *cell = cell.max(value); // NaN until something was compared
        }
    }
}
