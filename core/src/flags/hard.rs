//! Checks that need no calibration (S6): saturation and stain. In: pixels. Out: scores a cell against limits taken from the tissue of the
//! map's slide.
//!
//! Optical density of a value v in 0..=255 is OD = -log10((v + 1) / 256) (Beer-Lambert; Ruifrok and Johnston, Anal Quant Cytol
//! Histol 23:291, 2001). A cell is judged by its mean density and by the share of each channel in it, which says which stain is
//! there whatever its strength. Cells of mean OD below 0.15 are taken for transparent (Macenko et al., ISBI 2009).
//!
//! A stain is foreign when no cell of the slide's own tissue is like it. A box around those cells was tried before: where a slide holds a
//! dye beside its stains, as inked margins do, the box holds every colour between them and many foreign ones.

use image::RgbImage;

use super::cells::CELL_PX;
use super::manifold::quantile;
use crate::semantic_map::tissue::CELLS;
use crate::semantic_map::{SemanticMap, TissueTile};

/// Mean optical density below which nothing is stained.
const TRANSPARENT: f32 = 0.15;
/// Fewest stained cells of tissue that say which stains there are.
const FEWEST: usize = 32;
/// Distance to the nearest stain of the slide beyond which another one is foreign: the root of the squared differences of shares and, times
/// [`DENSITY`], of densities where it is darker. It lies between what tiles of a slide reach and what tiles with exchanged channels do.
const NEAR: f32 = 0.03;
/// Largest such distance, for slides whose own tiles differ by more.
const FARTHEST: f32 = 0.06;
/// What is allowed over the distance that 95 % of a slide's tiles keep to its other tiles: on even slides it comes to [`NEAR`].
const ROOM: f32 = 3.0;
/// Weight of the density: a section varies in thickness more than in the colour of its stains.
const DENSITY: f32 = 0.15;
/// Saturation that is always allowed: scanners clip highlights.
const SATURATED: f32 = 0.05;
/// And saturation that never is.
const MOST_SATURATED: f32 = 0.3;

/// Stain of a cell: mean optical density and the shares of red, green and blue in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stain {
    /// Mean over the pixels and channels.
    pub density: f32,
    /// Share of each channel, adding up to 1.
    pub shares: [f32; 3],
}

/// What stains and saturation may be.
#[derive(Clone, Debug, PartialEq)]
pub struct StainLimits {
    /// Stains of the slide's tissue; none where it is not known, then limits of H&E stand in.
    pub known: Vec<Stain>,
    /// Distance from the nearest of them that is still like it, 0.03 to 0.06.
    pub near: f32,
    /// Largest share of pixels at 0 or 255 in the tissue of a tile.
    pub saturation: f32,
}

/// The optical densities of all 256 values.
pub(crate) fn densities() -> [f32; 256] {
    std::array::from_fn(|v| -((v as f32 + 1.0) / 256.0).log10())
}

impl Stain {
    /// The stain of a square of pixels whose corner is at (x, y).
    pub(crate) fn of(rgb: &RgbImage, x: u32, y: u32, side: u32, od: &[f32; 256]) -> Self {
        let mut sum = [0f32; 3];
        for (r, c) in (0..side).flat_map(|r| (0..side).map(move |c| (r, c))) {
            let p = rgb.get_pixel(x + c, y + r);
            sum.iter_mut().zip(p.0).for_each(|(s, v)| *s += od[usize::from(v)]);
        }
        let total: f32 = sum.iter().sum();
        let density = total / (3 * side * side) as f32;
        Self { density, shares: sum.map(|s| if total > 0.0 { s / total } else { 1.0 / 3.0 }) }
    }

    /// Squared distance from a known stain; paler counts as the same, for any stain gets paler towards glass.
    fn beyond2(&self, known: &Self) -> f32 {
        let shares = self.shares.iter().zip(known.shares).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        shares + (DENSITY * (self.density - known.density).max(0.0)).powi(2)
    }

    /// Whether there is stain to judge.
    pub fn is_stained(&self) -> bool {
        self.density >= TRANSPARENT
    }
}

/// Shares of red, green and blue in H&E where the slide's tissue is not known: those of pure hematoxylin (0.650, 0.704, 0.286) and eosin
/// (0.072, 0.990, 0.105) of Ruifrok and Johnston, widened by 0.15 for scanners and counterstains.
const HE: [(f32, f32); 3] = [(0.0, 0.55), (0.28, 0.98), (0.0, 0.33)];
/// Largest mean optical density then, well above crowded nuclei.
const HE_DENSITY: f32 = 1.5;

impl StainLimits {
    /// From the tissue of a map: its measured tiles and its crops.
    pub fn of(map: &SemanticMap) -> Self {
        let (od, side) = (densities(), CELL_PX as u32);
        let corners = |n: u32| (0..n / side).map(move |i| i * side);
        let shown = map.crops.iter().flat_map(|c| {
            let all = corners(c.rgb.height()).flat_map(|y| corners(c.rgb.width()).map(move |x| (x, y)));
            all.map(|(x, y)| Stain::of(&c.rgb, x, y, side, &od))
        });
        let measured = map.tissue.iter().flat_map(|tile| &tile.cells).map(|cell| cell.stain);
        let known: Vec<Stain> = measured.chain(shown).filter(Stain::is_stained).collect();
        let clipped = |tile: &TissueTile| tile.cells.iter().map(|c| c.clipped).sum::<f32>() / CELLS as f32;
        let clipped = 2.0 * quantile(map.tissue.iter().map(clipped).collect(), 0.95);
        let saturation = clipped.clamp(SATURATED, MOST_SATURATED); // a clipped scan must not switch the flag off
        let known = if known.len() < FEWEST { Vec::new() } else { known };
        Self { known, near: (ROOM * apart(&map.tissue)).clamp(NEAR, FARTHEST), saturation }
    }

    /// Distance to the nearest known stain.
    fn nearest(known: &[Stain], stain: &Stain) -> f32 {
        known.iter().map(|k| stain.beyond2(k)).fold(f32::MAX, f32::min).sqrt()
    }

    /// How far a stain lies outside, in units of what is allowed; 0 inside and where there is no stain.
    pub fn outside(&self, stain: &Stain) -> f32 {
        if !stain.is_stained() {
            return 0.0;
        }
        if self.known.is_empty() {
            let beyond = |v: f32, (lo, hi): (f32, f32)| (lo - v).max(v - hi).max(0.0) / (hi - lo);
            let shares = stain.shares.iter().zip(HE).map(|(v, range)| beyond(*v, range));
            return shares.fold(beyond(stain.density, (0.0, HE_DENSITY)), f32::max);
        }
        (Self::nearest(&self.known, stain) / self.near - 1.0).max(0.0)
    }
}

/// How far a tile's most unusual cell lies from the stains of all other tiles, the 95th percentile over the tiles; 0 for fewer than two.
fn apart(tissue: &[TissueTile]) -> f32 {
    let stained = |tiles: &[TissueTile]| {
        let cells = tiles.iter().flat_map(|tile| &tile.cells);
        cells.map(|c| c.stain).filter(Stain::is_stained).collect::<Vec<_>>()
    };
    let farthest = |i: usize, tile: &TissueTile| {
        let others: Vec<Stain> = [stained(&tissue[..i]), stained(&tissue[i + 1..])].concat();
        let far = stained(std::slice::from_ref(tile)).iter().map(|s| StainLimits::nearest(&others, s)).fold(0.0, f32::max);
        if others.is_empty() { 0.0 } else { far }
    };
    quantile(tissue.iter().enumerate().map(|(i, tile)| farthest(i, tile)).collect(), 0.95)
}

/// Whether a pixel has a channel at an end of its range.
pub(crate) fn is_saturated(pixel: &image::Rgb<u8>) -> bool {
    pixel.0.iter().any(|v| matches!(v, 0 | 255))
}
