//! How fine the detail of a tile is (S7), and whether a lattice lies over it (S8). In: pixels. Out: numbers a cell.
//!
//! S7: the optical density is split into bands by Gaussians; the logarithm of the energy of the finest band over that of a coarse one
//! (about 4 to 9 px) says how fine the texture is, whatever its contrast. It is compared with the slide's own cells of the same class,
//! those of the map's crops and of its measured tissue together: blur and magnification lie below, noise and tissue drawn too small above.
//!
//! A tile's score is the mean over its cells, and so its unit is of such means: how far from their classes 95 % of the slide's own tiles
//! lie, to that side. The spread of single cells does not tell that: cells of a tile share its focus, so that means of tiles lie far apart
//! where focus varies over the slide and close together where it does not, whatever single cells do. The two sides differ, for nothing is
//! sharper than in focus. A tile as soft as the softest twentieth of the slide's own scores 1.
//!
//! S8: the residual of the density after a Gaussian is averaged over all places 8 px apart. What repeats every 8 px (and so every 2 or
//! 4) stays, everything else averages out: networks that upsample leave such a lattice, and so does a sampler that was stopped early.

use std::collections::BTreeMap;

use image::RgbImage;

use super::cells::{CELL_PX, CellLabel};
use super::hard::densities;
use super::manifold::quantile;
use crate::condition::MARGIN_PX;
use crate::semantic_map::SemanticMap;
use crate::semantic_map::tissue::classes;

/// Standard deviations of the Gaussians, in pixels: the finest band lies above the first, the coarse one between the last two.
const SIGMAS: [f32; 3] = [0.7, 3.2, 6.5];
/// Standard deviation of the Gaussian that S8 takes away.
const SMOOTH: f32 = 2.0;
/// Period of the lattice: that of a latent cell.
const PERIOD: usize = 8;
/// Energy of optical density below which there is nothing to compare.
const FLOOR: f32 = 1e-6;
/// Fewest cells of a class.
const FEWEST: usize = 9;
/// Fewest measured tiles that say how far tiles lie apart. With fewer the crops count beside them: they are smaller, and so lie further
/// apart.
const FEWEST_TILES: usize = 8;
/// Share of the slide's tiles that lie within one unit.
const WITHIN: f64 = 0.95;
/// Least unit, in standard deviations of the cells about their classes: within it lie 95 % of the means of 64 independent cells
/// (1.645 / 8), to a side, and means of cells that resemble each other lie further apart.
const INDEPENDENT: f32 = 0.2;
/// Least standard deviation of cells.
const LEAST: f32 = 0.05;

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
    pub fn fineness(&self) -> Vec<f32> {
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

/// Fineness of the cells of a crop, its margins left out; none of a crop that is hardly more than margin.
pub fn of_crop(rgb: &RgbImage) -> Vec<f32> {
    let (w, h) = (rgb.width().saturating_sub(2 * MARGIN_PX), rgb.height().saturating_sub(2 * MARGIN_PX));
    if w.min(h) < CELL_PX as u32 {
        return Vec::new();
    }
    Density::of(&image::imageops::crop_imm(rgb, MARGIN_PX, MARGIN_PX, w, h).to_image()).fineness()
}

/// Classes and fineness of the cells of one place.
type Piece = Vec<(u8, f32)>;

/// How fine the slide's tissue of each class is, and how far a place may be from that.
#[derive(Debug)]
pub struct Grain {
    means: BTreeMap<u8, f32>,
    /// How far below and above its classes 95 % of the slide's tiles lie.
    within: [f32; 2],
}

impl Grain {
    /// From a map's crops and measured tiles; none if no class has enough cells.
    pub fn of(map: &SemanticMap) -> Option<Self> {
        let crops: Vec<Piece> = map.crops.iter().map(|c| of_crop(&c.rgb).into_iter().map(|f| (c.class, f)).collect()).collect();
        let measured = map.tissue.iter().zip(classes(map));
        let tiles: Vec<Piece> = measured
            .map(|(tile, classes)| {
                classes.into_iter().zip(tile.cells.iter().map(|c| c.fineness)).filter(|(class, _)| *class != 0).collect()
            })
            .collect();
        Self::of_pieces(&crops, &tiles)
    }

    fn of_pieces(crops: &[Piece], tiles: &[Piece]) -> Option<Self> {
        let mut cells: BTreeMap<u8, Vec<f32>> = BTreeMap::new();
        crops.iter().chain(tiles).flatten().for_each(|(class, f)| cells.entry(*class).or_default().push(*f));
        cells.retain(|_, v| v.len() >= FEWEST);
        let means: BTreeMap<u8, f32> = cells.iter().map(|(class, v)| (*class, mean(v))).collect();
        let beyond = |(class, f): &(u8, f32)| means.get(class).map(|m| f - m);
        let squares: Vec<f32> = cells.iter().flat_map(|(class, v)| v.iter().map(|f| (f - means[class]).powi(2))).collect();
        let deviation = mean(&squares).sqrt();
        let of_piece = |piece: &Piece| {
            let beyond: Vec<f32> = piece.iter().filter_map(beyond).collect();
            (!beyond.is_empty()).then(|| mean(&beyond))
        };
        let mut pieces: Vec<f32> = tiles.iter().filter_map(of_piece).collect();
        if pieces.len() < FEWEST_TILES {
            pieces.extend(crops.iter().filter_map(of_piece));
        }
        let least = INDEPENDENT * deviation.max(LEAST);
        let within = [-1.0, 1.0].map(|side| quantile(pieces.iter().map(|d| side * d).collect(), WITHIN).max(least));
        deviation.is_finite().then_some(Self { means, within })
    }

    /// The same for tissue that came through the autoencoder, from the classes of cells and how far it moved their fineness: each class
    /// moves by the mean of its cells, one without any by that of all. None where nothing was moved.
    pub fn moved(&self, by: &[(u8, f32)]) -> Option<Self> {
        let of = |class: Option<u8>| by.iter().filter(|(c, _)| class.is_none_or(|class| class == *c)).map(|(_, d)| *d).collect::<Vec<_>>();
        let all = mean(&of(None));
        let shift = |class: u8| Some(mean(&of(Some(class)))).filter(|d| !d.is_nan()).unwrap_or(all);
        let means = self.means.iter().map(|(class, m)| (*class, m + shift(*class))).collect();
        all.is_finite().then_some(Self { means, within: self.within })
    }

    /// How soft and how grainy each cell is: its distance below and above the mean of its class over what tiles of the slide keep to; NaN
    /// where nothing was judged.
    pub fn scores(&self, density: &Density, asked: &[CellLabel]) -> Vec<[f32; 2]> {
        let [soft, grainy] = self.within;
        let of = |(f, l): (f32, &CellLabel)| self.means.get(&l.class).map_or([f32::NAN; 2], |m| [(m - f) / soft, (f - m) / grainy]);
        density.fineness().into_iter().zip(asked).map(of).collect()
    }
}

/// NaN of nothing.
fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

#[cfg(test)]
mod tests {
    use image::imageops::blur;

    use super::*;
    use crate::flags::cells::cell_labels;
    use crate::semantic_map::{SemanticMap, TissueTile};
    use crate::synth::fakes::{PINK, map, tissue};

    /// Tissue of much contrast, more or less in focus.
    fn picture(side: u32, seed: u64, out_of_focus: f32) -> RgbImage {
        let mut rgb = tissue(PINK, side, seed);
        let strong = |v: u8, mean: u8| (120 + 7 * (i32::from(v) - i32::from(mean))).clamp(0, 255) as u8;
        rgb.pixels_mut().for_each(|p| p.0 = [0, 1, 2].map(|c| strong(p.0[c], PINK[c])));
        if out_of_focus > 0.0 { blur(&rgb, out_of_focus) } else { rgb }
    }

    /// A map whose crops are in focus and whose tissue, all of class 1, lies as much out of it as is said.
    fn slide(out_of_focus: &[f32]) -> SemanticMap {
        let mut m = map();
        m.labels.fill(1);
        m.crops.retain(|c| c.class == 1);
        m.crops.iter_mut().zip(50..).for_each(|(c, seed)| c.rgb = picture(128, seed, 0.0));
        let tile = |(i, sigma): (usize, &f32)| {
            let rgb = picture(256, 100 + i as u64, *sigma);
            TissueTile { row: 0, column: 2 * i as u32, cells: crate::semantic_map::tissue::cells(&rgb) }
        };
        m.tissue = out_of_focus.iter().enumerate().map(tile).collect();
        m
    }

    /// S7 of a tile that asks for class 1.
    fn scores(grain: &Grain, rgb: &RgbImage) -> [f32; 2] {
        let asked = cell_labels(&vec![1; 256 * 256], 256, CELL_PX);
        let cells = grain.scores(&Density::of(rgb), &asked);
        [0, 1].map(|side| mean(&cells.iter().map(|c| c[side]).collect::<Vec<_>>()))
    }

    #[test]
    fn where_focus_varies_over_the_slide_its_soft_tissue_is_not_soft_and_blur_is() {
        let varied = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.6, 0.7, 0.8];
        let [of_slide, even, of_crops] = [&varied[..], &[0.0; 10], &[]].map(|focus| Grain::of(&slide(focus)).unwrap());
        let (soft, blurred) = (picture(256, 1, 0.7), picture(256, 1, 3.0));
        let s7 = |grain: &Grain, rgb: &RgbImage| scores(grain, rgb)[0];
        assert!(s7(&of_slide, &soft) < 1.1, "{}", s7(&of_slide, &soft));
        assert!(s7(&of_slide, &blurred) > 2.0, "{}", s7(&of_slide, &blurred));
        for grain in [&even, &of_crops] {
            assert!(s7(grain, &soft) > 3.0, "all of that slide is in focus: {}", s7(grain, &soft));
        }
    }

    #[test]
    fn a_soft_part_of_the_slide_does_not_excuse_grain() {
        let mut half = [0.0; 20];
        half[10..].fill(0.8);
        let grain = Grain::of(&slide(&half)).unwrap();
        let [soft, grainy] = grain.within;
        assert!(soft > 0.3 && grainy > 0.3 && (soft - grainy).abs() < 0.3, "two halves: {soft} {grainy}");
        half[2..].fill(0.0);
        half[..2].fill(0.8);
        let grain = Grain::of(&slide(&half)).unwrap();
        let [soft, grainy] = grain.within;
        assert!(soft > 3.0 * grainy, "a tenth is soft, nothing is grainy: {soft} {grainy}");
    }

    #[test]
    fn tissue_out_of_focus_everywhere_is_what_the_class_looks_like() {
        let grain = Grain::of(&slide(&[1.0; 10])).unwrap();
        let [soft, grainy] = scores(&grain, &picture(256, 1, 1.0));
        assert!(soft < 2.0 && grainy < 2.0, "{soft} {grainy}");
        assert!(scores(&grain, &picture(256, 1, 0.0))[1] > 2.0, "in focus it is grainier than the slide");
        assert!(Grain::of(&SemanticMap { crops: Vec::new(), ..slide(&[]) }).is_none());
    }

    #[test]
    fn the_autoencoder_moves_each_class_by_its_own_cells() {
        let grain = Grain { means: BTreeMap::from([(1, -1.0), (2, -2.0), (3, -3.0)]), within: [0.5, 0.25] };
        let moved = grain.moved(&[(1, -0.5), (1, -0.3), (2, -1.0)]).unwrap();
        let means: Vec<f32> = moved.means.values().copied().collect();
        assert!(means.iter().zip([-1.4, -3.0, -3.6]).all(|(a, b)| (a - b).abs() < 1e-6), "{means:?}");
        assert_eq!(moved.within, grain.within);
        assert!(grain.moved(&[]).is_none());
    }
}
