//! How fine the detail of a tile is (S7), and whether a lattice lies over it (S8). In: pixels. Out: numbers a cell.
//!
//! S7: the optical density is split into bands by Gaussians; the logarithm of the energy of the finest band over that of a coarse one
//! (about 4 to 9 px) says how fine the texture is, whatever its contrast. It is compared with the cells of the map's crops of the same
//! class: blur and magnification lie below, noise and tissue drawn too small above.
//!
//! S8: the residual of the density after a Gaussian is averaged over all places 8 px apart. What repeats every 8 px (and so every 2 or
//! 4) stays, everything else averages out: networks that upsample leave such a lattice, and so does a sampler that was stopped early.

use std::collections::BTreeMap;

use image::RgbImage;

use super::cells::{CELL_PX, CellLabel};
use super::hard::densities;
use crate::condition::MARGIN_PX;

/// Standard deviations of the Gaussians, in pixels: the finest band lies above the first, the coarse one between the last two.
const SIGMAS: [f32; 3] = [0.7, 3.2, 6.5];
/// Standard deviation of the Gaussian that S8 takes away.
const SMOOTH: f32 = 2.0;
/// Period of the lattice: that of a latent cell.
const PERIOD: usize = 8;
/// Energy of optical density below which there is nothing to compare.
const FLOOR: f32 = 1e-6;
/// Fewest cells of crops of a class.
const FEWEST: usize = 9;

/// A plane of one number a pixel.
pub struct Density {
    width: usize,
    data: Vec<f32>,
}

impl Density {
    /// The mean optical density of a picture's channels.
    pub fn of(rgb: &RgbImage) -> Self {
        let od = densities();
        let data = rgb.pixels().map(|p| p.0.iter().map(|v| od[usize::from(*v)]).sum::<f32>() / 3.0).collect();
        Self { width: rgb.width() as usize, data }
    }

    fn height(&self) -> usize {
        self.data.len() / self.width.max(1)
    }

    /// Blurred by a Gaussian; edges are mirrored.
    fn blurred(&self, sigma: f32) -> Self {
        let reach = (4.0 * sigma).ceil() as usize;
        let weight = |i: usize| (-0.5 * (i as f32 / sigma).powi(2)).exp();
        let kernel: Vec<f32> = (0..=2 * reach).map(|i| weight(i.abs_diff(reach))).collect();
        let sum: f32 = kernel.iter().sum();
        let kernel: Vec<f32> = kernel.iter().map(|k| k / sum).collect();
        let (w, h) = (self.width, self.height());
        let across = crate::condition::mirror(w + 2 * reach, w, (2 * w).saturating_sub(reach % (2 * w).max(1)));
        let down = crate::condition::mirror(h + 2 * reach, h, (2 * h).saturating_sub(reach % (2 * h).max(1)));
        let mut rows = vec![0.0; w * h];
        let mut line = vec![0.0; w + 2 * reach];
        for (from, to) in self.data.chunks_exact(w).zip(rows.chunks_exact_mut(w)) {
            line.iter_mut().zip(&across).for_each(|(l, x)| *l = from[*x]);
            to.iter_mut().enumerate().for_each(|(x, t)| *t = line[x..].iter().zip(&kernel).map(|(l, k)| l * k).sum());
        }
        let mut data = vec![0.0; w * h];
        for (y, to) in data.chunks_exact_mut(w).enumerate() {
            for (k, weight) in kernel.iter().enumerate() {
                let from = &rows[down[y + k] * w..][..w];
                to.iter_mut().zip(from).for_each(|(t, f)| *t += weight * f);
            }
        }
        Self { width: w, data }
    }

    /// Fineness of each cell: ln of the energy of the finest band over that of the coarse one.
    fn fineness(&self) -> Vec<f32> {
        let [fine, broad, broader] = SIGMAS.map(|s| self.blurred(s));
        let energy = |a: &Self, b: &Self| {
            let squares: Vec<f32> = a.data.iter().zip(&b.data).map(|(a, b)| (a - b) * (a - b)).collect();
            self.by_cell(&squares)
        };
        let (high, low) = (energy(self, &fine), energy(&broad, &broader));
        high.iter().zip(low).map(|(h, l)| ((h + FLOOR) / (l + FLOOR)).ln()).collect()
    }

    /// Means over the cells of the flag raster.
    fn by_cell(&self, values: &[f32]) -> Vec<f32> {
        let (rows, columns) = (self.height() / CELL_PX, self.width / CELL_PX);
        let mut out = vec![0.0; rows * columns];
        for (i, v) in values.iter().enumerate() {
            let (r, c) = (i / self.width / CELL_PX, i % self.width / CELL_PX);
            if r < rows && c < columns {
                out[r * columns + c] += v / (CELL_PX * CELL_PX) as f32;
            }
        }
        out
    }

    /// S8 of each cell: ln of the share of the residual's energy, over 256 px around the cell (or the whole of a smaller picture), that
    /// repeats every [`PERIOD`] pixels.
    pub fn lattice(&self) -> Vec<f32> {
        let smooth = self.blurred(SMOOTH);
        let residual: Vec<f32> = self.data.iter().zip(&smooth.data).map(|(d, s)| d - s).collect();
        let (rows, columns) = (self.height() / CELL_PX, self.width / CELL_PX);
        let side = super::score::WINDOW;
        let first = |i: usize, n: usize| (i / side * side).min(n.saturating_sub(side));
        let mut known = BTreeMap::new();
        let mut of = |r: usize, c: usize| {
            let (r, c) = (first(r, rows), first(c, columns));
            let (h, w) = (side.min(rows - r) * CELL_PX, side.min(columns - c) * CELL_PX);
            *known.entry((r, c)).or_insert_with(|| self.repeating(&residual, (c * CELL_PX, r * CELL_PX), (w, h)))
        };
        (0..rows * columns).map(|i| of(i / columns, i % columns)).collect()
    }

    /// ln of the share of the energy in a rectangle that repeats.
    fn repeating(&self, residual: &[f32], (x, y): (usize, usize), (w, h): (usize, usize)) -> f32 {
        let (mut sums, mut all) = ([0f64; PERIOD * PERIOD], 0f64);
        for (r, c) in (y..y + h).flat_map(|r| (x..x + w).map(move |c| (r, c))) {
            let v = f64::from(residual[r * self.width + c]);
            sums[r % PERIOD * PERIOD + c % PERIOD] += v;
            all += v * v;
        }
        let places = (w * h / (PERIOD * PERIOD)).max(1) as f64;
        let repeats = sums.iter().map(|s| (s / places).powi(2)).sum::<f64>() * places;
        ((repeats + f64::from(FLOOR)) / (all + f64::from(FLOOR) * places)).max(1e-6).ln() as f32
    }
}

/// How fine the crops of each class are.
pub struct Grain {
    means: BTreeMap<u8, f32>,
    deviation: f32,
}

impl Grain {
    /// From crops with their classes, their margins left out; none if no class has enough.
    pub fn of<'a>(crops: impl Iterator<Item = (u8, &'a RgbImage)>) -> Option<Self> {
        let mut classes: BTreeMap<u8, Vec<f32>> = BTreeMap::new();
        for (class, rgb) in crops {
            let inner = (rgb.width().saturating_sub(2 * MARGIN_PX), rgb.height().saturating_sub(2 * MARGIN_PX));
            let core = image::imageops::crop_imm(rgb, MARGIN_PX, MARGIN_PX, inner.0, inner.1).to_image();
            if inner.0.min(inner.1) >= CELL_PX as u32 {
                classes.entry(class).or_default().extend(Density::of(&core).fineness());
            }
        }
        classes.retain(|_, v| v.len() >= FEWEST);
        let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
        let means: BTreeMap<u8, f32> = classes.iter().map(|(c, v)| (*c, mean(v))).collect();
        let squares: Vec<f32> = classes.iter().flat_map(|(c, v)| v.iter().map(|x| (x - means[c]).powi(2)).collect::<Vec<_>>()).collect();
        let deviation = mean(&squares).sqrt();
        (!means.is_empty() && deviation.is_finite()).then_some(Self { means, deviation: deviation.max(0.05) })
    }

    /// Deviations of each cell's fineness from its class, in standard deviations; NaN where nothing was judged.
    pub fn deviations(&self, density: &Density, asked: &[CellLabel]) -> Vec<f32> {
        let of = |(f, l): (f32, &CellLabel)| self.means.get(&l.class).map_or(f32::NAN, |m| (f - m) / self.deviation);
        density.fineness().into_iter().zip(asked).map(of).collect()
    }
}
