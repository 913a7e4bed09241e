//! Checks that need no calibration (S6): saturation and stain. In: pixels. Out: scores a cell against limits taken from the map's
//! own crops of real tissue.
//!
//! Optical density of a value v in 0..=255 is OD = -log10((v + 1) / 256) (Beer-Lambert; Ruifrok and Johnston, Anal Quant Cytol
//! Histol 23:291, 2001). A cell is judged by its mean density and by the share of each channel in it, which says which stain is
//! there whatever its strength. Cells of mean OD below 0.15 are taken for transparent (Macenko et al., ISBI 2009).

use image::RgbImage;

use super::cells::CELL_PX;
use super::manifold::quantile;
use crate::semantic_map::SemanticMap;

/// Mean optical density below which nothing is stained.
const TRANSPARENT: f32 = 0.15;
/// Fewest stained cells of the crops from which limits are taken.
const FEWEST: usize = 32;
/// The limits are the 0.5th and 99.5th percentile of the crops' cells, widened by this share of their distance on each side,
const WIDEN: f32 = 0.25;
/// and by this much, for a map with little variety.
const SLACK: f32 = 0.03;
/// Saturation that is always allowed: scanners clip highlights.
const SATURATED: f32 = 0.05;

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
    /// Largest mean optical density.
    pub density: f32,
    /// Smallest and largest share of each channel.
    pub shares: [(f32, f32); 3],
    /// Largest share of pixels at 0 or 255 in the tissue of a tile.
    pub saturation: f32,
    /// Whether the map's crops made the limits, or the fixed ones of H&E stand in for too few crops.
    pub from_crops: bool,
}

/// The optical densities of all 256 values.
pub(super) fn densities() -> [f32; 256] {
    std::array::from_fn(|v| -((v as f32 + 1.0) / 256.0).log10())
}

impl Stain {
    /// The stain of a square of pixels whose corner is at (x, y).
    pub(super) fn of(rgb: &RgbImage, x: u32, y: u32, side: u32, od: &[f32; 256]) -> Self {
        let mut sum = [0f32; 3];
        for (r, c) in (0..side).flat_map(|r| (0..side).map(move |c| (r, c))) {
            let p = rgb.get_pixel(x + c, y + r);
            sum.iter_mut().zip(p.0).for_each(|(s, v)| *s += od[usize::from(v)]);
        }
        let total: f32 = sum.iter().sum();
        let density = total / (3 * side * side) as f32;
        Self { density, shares: sum.map(|s| if total > 0.0 { s / total } else { 1.0 / 3.0 }) }
    }

    /// Whether there is stain to judge.
    pub fn is_stained(&self) -> bool {
        self.density >= TRANSPARENT
    }
}

impl StainLimits {
    /// Limits for H&E where a map has too few crops: the shares of pure hematoxylin (0.650, 0.704, 0.286) and eosin (0.072,
    /// 0.990, 0.105) of Ruifrok and Johnston, widened by 0.15 for scanners and counterstains; density 1.5, well above crowded
    /// nuclei.
    pub const HE: Self = Self { density: 1.5, shares: [(0.0, 0.55), (0.28, 0.98), (0.0, 0.33)], saturation: SATURATED, from_crops: false };

    /// From the crops of a map.
    pub fn of(map: &SemanticMap) -> Self {
        let od = densities();
        let side = CELL_PX as u32;
        let corners = |n: u32| (0..n / side).map(move |i| i * side);
        let mut stains = Vec::new();
        for crop in &map.crops {
            let all = corners(crop.rgb.height()).flat_map(|y| corners(crop.rgb.width()).map(move |x| (x, y)));
            stains.extend(all.map(|(x, y)| Stain::of(&crop.rgb, x, y, side, &od)).filter(Stain::is_stained));
        }
        // one bad crop must not switch the flag off
        let clipped = 2.0 * quantile(map.crops.iter().map(|c| share_saturated(&c.rgb)).collect(), 0.9);
        let clipped = clipped.clamp(SATURATED, 3.0 * SATURATED);
        if stains.len() < FEWEST {
            return Self { saturation: clipped, ..Self::HE };
        }
        let range = |value: &dyn Fn(&Stain) -> f32| {
            let values: Vec<f32> = stains.iter().map(value).collect();
            let (lo, hi) = (quantile(values.clone(), 0.005), quantile(values, 0.995));
            let more = WIDEN * (hi - lo) + SLACK;
            (lo - more, hi + more)
        };
        let shares = std::array::from_fn(|c| range(&|s: &Stain| s.shares[c]));
        Self { density: range(&|s: &Stain| s.density).1, shares, saturation: clipped, from_crops: true }
    }

    /// How far a stain lies outside, in widths of the allowed range; 0 inside and where there is no stain.
    pub fn outside(&self, stain: &Stain) -> f32 {
        if !stain.is_stained() {
            return 0.0;
        }
        let beyond = |v: f32, (lo, hi): (f32, f32)| (lo - v).max(v - hi).max(0.0) / (hi - lo).max(SLACK);
        let shares = stain.shares.iter().zip(self.shares).map(|(v, range)| beyond(*v, range));
        shares.fold(beyond(stain.density, (0.0, self.density)), f32::max)
    }
}

/// Whether a pixel has a channel at an end of its range.
pub(super) fn is_saturated(pixel: &image::Rgb<u8>) -> bool {
    pixel.0.iter().any(|v| matches!(v, 0 | 255))
}

/// Share of the pixels with a channel at an end, white ones aside: they are glass.
fn share_saturated(rgb: &RgbImage) -> f32 {
    let tissue: Vec<_> = rgb.pixels().filter(|p| p.0.iter().any(|v| *v < 230)).collect();
    tissue.iter().filter(|p| is_saturated(p)).count() as f32 / tissue.len().max(1) as f32
}
