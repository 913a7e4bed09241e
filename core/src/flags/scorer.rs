//! Scores and flags of one tile. In: pixels, labels, the spread of its latents. Out: score planes on the raster and flags.

use std::collections::{BTreeMap, BTreeSet};

use image::RgbImage;

use super::cells::{CELL_PX, CellLabel, cell_labels, features, pooled, texture};
use super::hard::{Stain, StainLimits, densities, is_saturated};
use super::manifold::Manifold;
use super::{Flag, TileFlags};
use crate::condition::LATENT_PX;
use crate::semantic_map::SemanticMap;
use crate::{Encoder, Planes, Result};

/// Names of the score planes, in order.
pub const SCORES: [&str; 5] = ["s1_off_manifold", "s2_map_disagrees", "s3_unstable", "s6_saturation", "s6_stain"];
/// A cell is judged as one class when this share of its pixels asks for it; the rest is boundary.
const PURE: f32 = 0.9;
/// Cells to each side that S2 averages over: 5 x 5 in all, about the width of the map's own smoothing.
const REACH: usize = 2;

/// Scores the tiles of one map with one encoder.
pub struct Scorer<'a> {
    map: &'a SemanticMap,
    encoder: &'a dyn Encoder,
    manifold: Option<Manifold>,
    limits: StainLimits,
    crops: BTreeMap<usize, Option<Flag>>,
}

impl<'a> Scorer<'a> {
    /// Prepares the real tissue of the map: spheres of S1, limits of S6.
    pub fn new(map: &'a SemanticMap, encoder: &'a dyn Encoder) -> Self {
        let stride = encoder.stride_px() as usize;
        let fits = |m: &Manifold| m.channels() == encoder.channels() && stride > 0 && CELL_PX.is_multiple_of(stride);
        let manifold = Manifold::new(&map.bank).filter(fits);
        Self { map, encoder, manifold, limits: StainLimits::of(map), crops: BTreeMap::new() }
    }

    /// Scores of a tile (square, side a multiple of 32) whose latents had this spread `[1, size/8, size/8]`, and the flags they
    /// raise, `UNCALIBRATED` first.
    pub fn score(&self, rgb: &RgbImage, labels: &[u8], spread: &Planes) -> Result<TileFlags> {
        let (rows, columns) = (rgb.height() as usize / CELL_PX, rgb.width() as usize / CELL_PX);
        let mut scores = unjudged(rows, columns);
        scores.plane_mut(3).fill(0.0);
        let mut flags = vec![uncalibrated()];
        let asked = cell_labels(labels, rgb.width() as usize, CELL_PX);
        match &self.manifold {
            Some(m) => self.embedded(m, rgb, labels, &asked, &mut scores, &mut flags)?,
            None => flags
                .push(Flag::tile("NOT_SCORED", "The map holds no embeddings of this encoder, so likeness to real tissue was not judged.")),
        }
        unstable(spread, scores.plane_mut(2));
        self.saturated(rgb, labels, scores.plane_mut(3), &mut flags);
        self.stained(rgb, scores.plane_mut(4), &mut flags);
        Ok(TileFlags { scores, names: names(), flags, calibrated: false })
    }

    /// The flag of a crop of the map that is nearer to another class than to its own, if it is.
    pub fn crop(&mut self, index: usize) -> Result<Option<Flag>> {
        if let Some(known) = self.crops.get(&index) {
            return Ok(known.clone());
        }
        let flag = self.judged(index)?;
        self.crops.insert(index, flag.clone());
        Ok(flag)
    }

    fn judged(&self, index: usize) -> Result<Option<Flag>> {
        let (Some(m), Some(crop)) = (&self.manifold, self.map.crops.get(index)) else { return Ok(None) };
        let mean = texture(self.encoder, &crop.rgb)?;
        let Some((class, near, own)) = m.nearest(&mean, crop.class) else { return Ok(None) };
        let reason = || format!("A crop shown as {} looks more like {}.", self.name(crop.class), self.name(class));
        Ok((class != crop.class).then(|| Flag::tile("S6_BAD_CROP", reason()).against(own, near)))
    }

    /// S1 and S2.
    fn embedded(
        &self,
        m: &Manifold,
        rgb: &RgbImage,
        labels: &[u8],
        asked: &[CellLabel],
        scores: &mut Planes,
        flags: &mut Vec<Flag>,
    ) -> Result<()> {
        let f = features(self.encoder, rgb)?;
        let columns = scores.width;
        let mut unknown = BTreeSet::new();
        for (i, (row, label)) in pooled(&f, CELL_PX / self.encoder.stride_px() as usize).iter().zip(asked).enumerate() {
            if label.class == 0 {
                continue;
            }
            let Some((score, threshold)) = m.inverse_realism(label.class, row) else {
                unknown.insert(label.class);
                continue;
            };
            scores.plane_mut(0)[i] = score;
            if score > threshold && label.purity >= PURE {
                let reason = format!("This cell is unlike the real {} of the map.", self.name(label.class));
                flags.push(Flag::tile("S1_OFF_MANIFOLD", reason).against(score, threshold).at(i / columns, i % columns));
            }
        }
        for class in unknown {
            let reason = format!("The map holds too little real {} to judge likeness to it.", self.name(class));
            flags.push(Flag::tile("NOT_SCORED", reason));
        }
        self.disagreeing(m, &f, labels, scores);
        Ok(())
    }

    /// S2: the share of the feature cells, boundaries and background left out, that are nearer to another class. The map's classes
    /// come from smoothed features, so a cell is judged by the mean of its region within [`REACH`] cells.
    fn disagreeing(&self, m: &Manifold, f: &Planes, labels: &[u8], scores: &mut Planes) {
        let stride = self.encoder.stride_px() as usize;
        let asked = cell_labels(labels, f.width * stride, stride);
        let k = CELL_PX / stride;
        let columns = scores.width;
        let (mut wrong, mut judged) = (vec![0f32; scores.area()], vec![0f32; scores.area()]);
        for (i, label) in asked.iter().enumerate() {
            if label.class == 0 || around(f, i, 1).any(|j| asked[j].class != label.class || asked[j].purity < 1.0) {
                continue;
            }
            let region: Vec<usize> = around(f, i, REACH).filter(|j| asked[*j].class == label.class).collect();
            let mean = |c: usize| region.iter().map(|j| f.plane(c)[*j]).sum::<f32>() / region.len().max(1) as f32;
            let row: Vec<f32> = (0..f.channels).map(mean).collect();
            let cell = i / f.width / k * columns + i % f.width / k;
            if let Some((class, _, _)) = m.nearest(&row, label.class) {
                judged[cell] += 1.0;
                wrong[cell] += f32::from(u8::from(class != label.class));
            }
        }
        for (s, (w, n)) in scores.plane_mut(1).iter_mut().zip(wrong.iter().zip(judged)) {
            *s = if n > 0.0 { w / n } else { f32::NAN };
        }
    }

    fn saturated(&self, rgb: &RgbImage, labels: &[u8], plane: &mut [f32], flags: &mut Vec<Flag>) {
        let width = rgb.width() as usize;
        let columns = width / CELL_PX;
        let (mut clipped, mut tissue) = (0u32, 0u32);
        for (i, (pixel, label)) in rgb.pixels().zip(labels).enumerate() {
            let hit = is_saturated(pixel);
            tissue += u32::from(*label != 0);
            clipped += u32::from(*label != 0 && hit);
            if hit {
                plane[i / width / CELL_PX * columns + i % width / CELL_PX] += 1.0 / (CELL_PX * CELL_PX) as f32;
            }
        }
        let share = clipped as f32 / tissue.max(1) as f32;
        if share > self.limits.saturation {
            let reason = format!("{:.0} % of the tissue's pixels are clipped to black or full colour.", 100.0 * share);
            flags.push(Flag::tile("S6_SATURATED", reason).against(share, self.limits.saturation));
        }
    }

    fn stained(&self, rgb: &RgbImage, plane: &mut [f32], flags: &mut Vec<Flag>) {
        let od = densities();
        let columns = rgb.width() as usize / CELL_PX;
        for (i, s) in plane.iter_mut().enumerate() {
            let (r, c) = (i / columns, i % columns);
            let stain = Stain::of(rgb, (c * CELL_PX) as u32, (r * CELL_PX) as u32, CELL_PX as u32, &od);
            *s = self.limits.outside(&stain);
            if *s > 0.0 {
                let reason = "The colour of this cell lies outside the stains of the map's real tissue.";
                flags.push(Flag::tile("S6_STAIN", reason).against(*s, 0.0).at(r, c));
            }
        }
    }

    fn name(&self, class: u8) -> String {
        self.map.classes.iter().find(|c| c.id == class).map_or_else(|| format!("class {class}"), |c| c.name.clone())
    }
}

/// Flags of a tile of `size_px` that was not made because its latents were not numbers.
pub fn withheld(size_px: u32) -> TileFlags {
    let side = size_px as usize / CELL_PX;
    let reason = "The network's latents were not finite numbers; the tile was withheld and its pixels are plain grey.";
    let flags = vec![uncalibrated(), Flag::tile("S6_NON_FINITE", reason)];
    TileFlags { scores: unjudged(side, side), names: names(), flags, calibrated: false }
}

/// Score planes in which nothing was judged yet.
fn unjudged(rows: usize, columns: usize) -> Planes {
    let mut scores = Planes::zeros(SCORES.len(), rows, columns);
    scores.data.fill(f32::NAN);
    scores
}

/// Cells up to `reach` rows and columns away from cell `i`, itself included.
fn around(f: &Planes, i: usize, reach: usize) -> impl Iterator<Item = usize> + use<> {
    let (r, c, width) = (i / f.width, i % f.width, f.width);
    let rows = r.saturating_sub(reach)..(r + reach + 1).min(f.height);
    let columns = c.saturating_sub(reach)..(c + reach + 1).min(f.width);
    rows.flat_map(move |r| columns.clone().map(move |c| r * width + c))
}

fn names() -> Vec<String> {
    SCORES.iter().map(|n| (*n).to_owned()).collect()
}

fn uncalibrated() -> Flag {
    Flag::tile(
        "UNCALIBRATED",
        "No calibration of this model and encoder exists: scores and thresholds are provisional and nothing is verified.",
    )
}

/// S3: logarithm of the mean variance of a cell's latents; 1e-8 keeps a settled cell finite.
fn unstable(spread: &Planes, plane: &mut [f32]) {
    let k = CELL_PX / LATENT_PX as usize;
    for (s, v) in plane.iter_mut().zip(pooled(spread, k)) {
        *s = (v.first().copied().unwrap_or(0.0) + 1e-8).ln();
    }
}
