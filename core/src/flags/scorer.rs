//! Scores and flags of one tile. In: pixels, labels, the spread of its latents, the crops it was shown. Out: score planes on the raster,
//! one number a score, flags.

use std::collections::{BTreeMap, BTreeSet};

use image::RgbImage;

use super::agree::{self, Prototypes};
use super::calibration::Calibration;
use super::cells::{CELL_PX, CellLabel, cell_labels, features, pooled, texture};
use super::copy;
use super::duplicates::{Duplicates, Own};
use super::grain::{Density, Grain};
use super::hard::{Stain, StainLimits, densities, is_saturated};
use super::manifold::Manifold;
use super::rendering::Rendering;
use super::score::{self, SCORES, TileScores, index};
use super::{Flag, TileFlags};
use crate::condition::LATENT_PX;
use crate::semantic_map::SemanticMap;
use crate::{Encoder, Job, LatentCodec, Planes, Result};

/// A cell is judged as one class when this share of its pixels asks for it; the rest is boundary.
const PURE: f32 = 0.9;

/// Margin (as S2's) beyond which a crop is of another class than it says: that of a cell as far beyond its own leaf as real cells lie from it.
const BAD_CROP: f32 = 1.0;

/// What tiles are held against.
#[derive(Clone, Copy, Default)]
pub struct Judge<'a> {
    /// The calibration and the SHA-256 of its file, if it may be used.
    pub calibration: Option<(&'a Calibration, &'a str)>,
    /// Why there is none.
    pub uncalibrated: Option<&'a str>,
    /// Pictures the model was trained on.
    pub duplicates: Option<&'a Duplicates>,
    /// What the autoencoder does to the map's tissue, where it is known already; else it is found out for each run.
    pub rendering: Option<&'a Rendering>,
}

/// A tile to be scored.
#[derive(Clone, Copy)]
pub struct Scored<'a> {
    /// Its pixels: square, side a multiple of 32.
    pub rgb: &'a RgbImage,
    /// One class a pixel, 0 = background.
    pub labels: &'a [u8],
    /// S3 by cell; none where nothing was sampled.
    pub unstable: Option<&'a [f32]>,
    /// S4 by cell and the number of seeds behind it; none where one seed was all.
    pub disagree: Option<(&'a [f32], u32)>,
    /// Indices of the map's crops that it was shown.
    pub crops: &'a [usize],
    /// Where a real tile comes from.
    pub own: Option<Own<'a>>,
    /// Whether it came through the autoencoder: what that does to any tissue is not held against the tile.
    pub generated: bool,
}

/// Scores the tiles of one map with one encoder.
pub struct Scorer<'a> {
    map: &'a SemanticMap,
    encoder: &'a dyn Encoder,
    manifold: Option<Manifold>,
    prototypes: Option<Prototypes>,
    grain: Option<Grain>,
    /// Found out here, unless the judge knows it.
    rendering: Option<Rendering>,
    limits: StainLimits,
    judge: Judge<'a>,
    crops: BTreeMap<usize, Option<Flag>>,
}

impl<'a> Scorer<'a> {
    /// Prepares the real tissue of the map: spheres of S1, prototypes of S2, fineness of S7, limits of S6; and, with the autoencoder through
    /// which generated tiles come, what it does to tissue by itself.
    pub fn new(
        map: &'a SemanticMap,
        encoder: &'a dyn Encoder,
        codec: Option<&dyn LatentCodec>,
        judge: Judge<'a>,
        job: &Job,
    ) -> Result<Self> {
        let stride = encoder.stride_px() as usize;
        let raster = stride > 0 && CELL_PX.is_multiple_of(stride);
        let manifold = Manifold::new(&map.bank).filter(|m| raster && m.channels() == encoder.channels());
        let prototypes = manifold.as_ref().and_then(|_| Prototypes::of(map, encoder));
        let unknown = codec.filter(|_| manifold.is_some() && judge.rendering.is_none());
        let rendering = unknown.map(|codec| Rendering::of(map, encoder, codec, job)).transpose()?;
        let (grain, limits) = (Grain::of(map), StainLimits::of(map));
        Ok(Self { map, encoder, manifold, prototypes, grain, rendering, limits, judge, crops: BTreeMap::new() })
    }

    /// Scores of a tile and the flags they raise. Without a calibration `UNCALIBRATED` comes first and only S6 raises others. A cancelled
    /// job ends it between its parts: a large tile takes seconds.
    pub fn score(&self, tile: &Scored<'_>, job: &Job) -> Result<TileFlags> {
        let (rgb, labels) = (tile.rgb, tile.labels);
        let (rows, columns) = (rgb.height() as usize / CELL_PX, rgb.width() as usize / CELL_PX);
        let mut scores = unjudged(rows, columns);
        let mut flags = Vec::new();
        let asked = cell_labels(labels, rgb.width() as usize, CELL_PX);
        let nearest = match &self.manifold {
            Some(m) => self.embedded(m, tile, &asked, &mut scores, &mut flags, job)?,
            None => {
                let reason = "The map holds no embeddings of this encoder, so likeness to real tissue was not judged.";
                flags.push(Flag::tile("NOT_SCORED", reason));
                None
            }
        };
        for (plane, values) in [(index::UNSTABLE, tile.unstable), (index::SEEDS_DISAGREE, tile.disagree.map(|(s4, _)| s4))] {
            values.into_iter().for_each(|v| scores.plane_mut(plane).copy_from_slice(v));
        }
        self.copied(tile, &mut scores, job)?;
        job.check()?;
        self.drawn(tile, &asked, &mut scores);
        self.saturated(rgb, labels, scores.plane_mut(index::SATURATION), &mut flags);
        self.stained(rgb, scores.plane_mut(index::STAIN), &mut flags);
        let tile_scores = score::of_tile(&scores);
        beyond(&tile_scores, &scores, &mut flags);
        let mut ranked = tile_scores;
        if self.judge.calibration.is_some_and(|(c, _)| tile.disagree.is_some_and(|(_, seeds)| seeds != c.seeds)) {
            ranked[index::SEEDS_DISAGREE] = f32::NAN; // entropies of another number of seeds are no reference
        }
        match self.judge.calibration {
            Some((calibration, _)) => flags.extend(calibration.flags(&ranked, &scores)),
            None => flags.insert(0, uncalibrated(self.judge.uncalibrated)),
        }
        let calibration = self.judge.calibration.map(|(_, sha256)| sha256.to_owned());
        let fused = self.judge.calibration.and_then(|(c, _)| Some((c.fused(&ranked)?.0, c.tau)));
        Ok(TileFlags { scores, names: names(), tile_scores: Some(tile_scores), nearest, flags, calibration, fused })
    }

    /// The class that each feature cell of a generated picture looks most like, 0 where `labels` ask for none; none without prototypes.
    pub fn seen(&self, rgb: &RgbImage, labels: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(p) = &self.prototypes else { return Ok(None) };
        let mut f = features(self.encoder, rgb)?;
        self.rendering().iter().for_each(|r| r.taken_off(&mut f));
        Ok(Some(p.seen(&f, labels, self.encoder.stride_px() as usize)))
    }

    /// S4 by cell of the raster, of pictures `width` pixels wide: entropy in nats of the classes that several pictures show.
    pub fn disagreement(&self, seen: &[Vec<u8>], width: u32) -> Vec<f32> {
        agree::entropy(seen, width as usize / self.encoder.stride_px() as usize, CELL_PX / self.encoder.stride_px() as usize)
    }

    fn rendering(&self) -> Option<&Rendering> {
        self.judge.rendering.or(self.rendering.as_ref())
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
        let (Some(p), Some(crop)) = (&self.prototypes, self.map.crops.get(index)) else { return Ok(None) };
        let Some((class, margin)) = p.of_crop(&texture(self.encoder, &crop.rgb)?, crop.class) else { return Ok(None) };
        let reason = || format!("A crop shown as {} looks more like {}.", self.name(crop.class), self.name(class));
        Ok((margin > BAD_CROP).then(|| Flag::tile("S6_BAD_CROP", reason()).against(margin, BAD_CROP)))
    }

    /// S1, S2 and near duplicates; the distance to the nearest training picture comes back.
    fn embedded(
        &self,
        m: &Manifold,
        tile: &Scored<'_>,
        asked: &[CellLabel],
        scores: &mut Planes,
        flags: &mut Vec<Flag>,
        job: &Job,
    ) -> Result<Option<f32>> {
        let mut f = features(self.encoder, tile.rgb)?;
        job.check()?;
        if let Some(rendering) = self.rendering().filter(|_| tile.generated) {
            rendering.taken_off(&mut f);
        }
        let stride = self.encoder.stride_px() as usize;
        let mut unknown = BTreeSet::new();
        for (i, (row, label)) in pooled(&f, CELL_PX / stride).iter().zip(asked).enumerate() {
            if label.class == 0 {
                continue;
            }
            match m.inverse_realism(label.class, row) {
                Some((score, own)) if label.purity >= PURE => scores.plane_mut(index::OFF_MANIFOLD)[i] = score / own.max(1e-6),
                Some(_) => {}
                None => drop(unknown.insert(label.class)),
            }
        }
        for class in unknown {
            let reason = format!("The map holds too little real {} to judge likeness to it.", self.name(class));
            flags.push(Flag::tile("NOT_SCORED", reason));
        }
        if let Some(p) = &self.prototypes {
            scores.plane_mut(index::MAP_DISAGREES).copy_from_slice(&p.margins(&f, tile.labels, stride));
        }
        let mut nearest: Option<f32> = None;
        if let Some(d) = self.judge.duplicates {
            let columns = scores.width;
            let plane = scores.plane_mut(index::NEAR_DUPLICATE);
            for (r, c, near) in d.nearest(&f, stride, self.map.work_mpp, tile.own, job)? {
                nearest = Some(nearest.map_or(near.distance, |d| d.min(near.distance)));
                for at in (r..r + 4).flat_map(|r| (c..c + 4).map(move |c| r * columns + c)) {
                    plane[at] = plane[at].max(near.score);
                }
            }
        }
        Ok(nearest)
    }

    /// S5_CROP_COPY.
    fn copied(&self, tile: &Scored<'_>, scores: &mut Planes, job: &Job) -> Result<()> {
        let columns = scores.width;
        let plane = scores.plane_mut(index::CROP_COPY);
        if tile.crops.is_empty() {
            plane.fill(0.0); // nothing was shown that could be copied
        }
        let small = copy::Tile::new(tile.rgb);
        for crop in tile.crops.iter().filter_map(|i| self.map.crops.get(*i)) {
            job.check()?;
            small.mark(&crop.rgb, plane, columns);
        }
        Ok(())
    }

    /// S7 and S8.
    fn drawn(&self, tile: &Scored<'_>, asked: &[CellLabel], scores: &mut Planes) {
        let density = Density::of(tile.rgb);
        let rendered = self.rendering().filter(|_| tile.generated).and_then(|r| r.grain.as_ref());
        if let Some(grain) = rendered.or(self.grain.as_ref()) {
            for (i, [soft, grainy]) in grain.scores(&density, asked).into_iter().enumerate() {
                scores.plane_mut(index::SOFT)[i] = soft;
                scores.plane_mut(index::GRAINY)[i] = grainy;
            }
        }
        scores.plane_mut(index::LATTICE).copy_from_slice(&density.lattice());
    }

    fn saturated(&self, rgb: &RgbImage, labels: &[u8], plane: &mut [f32], flags: &mut Vec<Flag>) {
        plane.fill(0.0);
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
            flags.push(Flag::tile(SCORES[index::SATURATION].code, reason).against(share, self.limits.saturation));
        }
    }

    fn stained(&self, rgb: &RgbImage, plane: &mut [f32], flags: &mut Vec<Flag>) {
        let od = densities();
        let columns = rgb.width() as usize / CELL_PX;
        let of = &SCORES[index::STAIN];
        for (i, s) in plane.iter_mut().enumerate() {
            let (r, c) = (i / columns, i % columns);
            let stain = Stain::of(rgb, (c * CELL_PX) as u32, (r * CELL_PX) as u32, CELL_PX as u32, &od);
            *s = self.limits.outside(&stain);
            if *s > 0.0 {
                flags.push(Flag::tile(of.code, of.reason).against(*s, 0.0).at(r, c));
            }
        }
    }

    fn name(&self, class: u8) -> String {
        self.map.classes.iter().find(|c| c.id == class).map_or_else(|| format!("class {class}"), |c| c.name.clone())
    }
}

/// Flags of the scores that have a fixed limit.
fn beyond(tile: &TileScores, planes: &Planes, flags: &mut Vec<Flag>) {
    for (i, score) in SCORES.iter().enumerate() {
        let Some(limit) = score.limit().filter(|limit| tile[i] >= *limit) else { continue };
        flags.push(Flag::tile(score.code, score.reason).against(tile[i], limit));
        let cells = planes.plane(i).iter().enumerate().filter(|(_, v)| **v >= limit);
        let at = |cell: usize| (cell / planes.width, cell % planes.width);
        flags.extend(cells.map(|(cell, v)| Flag::tile(score.code, score.reason).against(*v, limit).at(at(cell).0, at(cell).1)));
    }
}

/// Flags of a tile of `size_px` that was not made because its latents were not numbers.
pub fn withheld(size_px: u32) -> TileFlags {
    let side = size_px as usize / CELL_PX;
    let reason = "The network's latents were not finite numbers; the tile was withheld and its pixels are plain grey.";
    let flags = vec![uncalibrated(None), Flag::tile("S6_NON_FINITE", reason)];
    TileFlags { scores: unjudged(side, side), names: names(), tile_scores: None, nearest: None, flags, calibration: None, fused: None }
}

/// Score planes in which nothing was judged yet.
fn unjudged(rows: usize, columns: usize) -> Planes {
    let mut scores = Planes::zeros(SCORES.len(), rows, columns);
    scores.data.fill(f32::NAN);
    scores
}

fn names() -> Vec<String> {
    SCORES.iter().map(|s| s.name.to_owned()).collect()
}

fn uncalibrated(why: Option<&str>) -> Flag {
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    Flag::tile(
        "UNCALIBRATED",
        format!("No calibration for this tile{why}: nothing says how likely a fault is to be caught, so it counts as flagged."),
    )
}

/// S3 by cell: logarithm of the mean variance of its latents `[1, size/8, size/8]`; 1e-8 keeps a settled cell finite.
pub fn unstable(spread: &Planes) -> Vec<f32> {
    let k = CELL_PX / LATENT_PX as usize;
    pooled(spread, k).iter().map(|v| (v.first().copied().unwrap_or(0.0) + 1e-8).ln()).collect()
}
