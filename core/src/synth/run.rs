//! The run: plans in, tiles out, a few at a time.

use std::sync::Arc;

use image::{Rgb, RgbImage};

use super::SyntheticTile;
use super::crops::Encoded;
use super::plan::Plan;
use super::provenance::{Common, Made};
use crate::condition::{CHANNELS, LATENT, LATENT_PX, Places};
use crate::diffuse::{Denoised, Sampler, Settings, denoise};
use crate::flags::{CELL_PX, Flag, Scorer, TileFlags, withheld};
use crate::ops::{Applied, apply};
use crate::semantic_map::SemanticMap;
use crate::{Denoiser, Encoder, Error, Job, LatentCodec, Op, Planes, Result, limits, params};

/// Tiles denoised at once unless the host says otherwise.
const BATCH: usize = 4;
/// log2(um/px / 0.5) of the tissue the denoiser was trained on (models/weights/CARD.md).
const TRAINED_LOG2_MPP: std::ops::RangeInclusive<f64> = -1.0..=1.0;

/// The networks of a run.
#[derive(Clone, Copy)]
pub struct Nets<'a> {
    /// Autoencoder.
    pub codec: &'a dyn LatentCodec,
    /// Denoiser.
    pub denoiser: &'a dyn Denoiser,
    /// Encoder of the map's bank, for the flags.
    pub encoder: &'a dyn Encoder,
    /// The device they run on, as provenance should name it.
    pub device: Option<&'a str>,
    /// Tiles denoised at once, at least 1. It changes memory and speed only, as long as a network's samples do not depend on
    /// their batch.
    pub batch: usize,
}

impl<'a> Nets<'a> {
    /// Networks on a device nobody named, four tiles at once.
    pub fn new(codec: &'a dyn LatentCodec, denoiser: &'a dyn Denoiser, encoder: &'a dyn Encoder) -> Self {
        Self { codec, denoiser, encoder, device: None, batch: BATCH }
    }

    /// Names the device.
    pub fn on(self, device: &'a str) -> Self {
        Self { device: Some(device), ..self }
    }

    /// Sets how many tiles are denoised at once.
    pub fn batched(self, batch: usize) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// Whether they fit each other and the crop field.
    fn check(&self) -> Result<()> {
        let (c, d) = (self.codec, self.denoiser);
        let seen = [
            ("codec", "latent channels", c.channels(), LATENT),
            ("codec", "pixels a latent cell", c.factor_px() as usize, LATENT_PX as usize),
            ("denoiser", "latent channels", d.channels(), LATENT),
            ("denoiser", "condition channels", d.condition_channels(), CHANNELS),
        ];
        match seen.into_iter().find(|(_, _, has, wanted)| has != wanted) {
            None => Ok(()),
            Some((file, what, has, wanted)) => Err(Error::Weights {
                file: file.into(),
                why: format!("it has {has} {what}, the crop field needs {wanted}"),
                hint: "use codec and denoiser of one manifest".into(),
            }),
        }
    }
}

/// Makes tiles `first .. first + n` of a map and hands each to `sink` as it is done. `ops` are those named in the parameters, in
/// order. Progress counts denoising steps times tiles.
pub fn run(
    map: &SemanticMap,
    nets: &Nets<'_>,
    ops: &[Arc<dyn Op>],
    params: &params::Synth,
    job: &Job,
    sink: &mut dyn FnMut(SyntheticTile) -> Result<()>,
) -> Result<()> {
    job.check()?;
    nets.check()?;
    check(map, params)?;
    let places = Places::new(map, params.size_px)?;
    let mut loom = Loom::new(map, nets, ops, params, job)?;
    job.stage("denoise", u64::from(params.n) * u64::from(params.steps));
    let indices: Vec<u32> = (params.first..params.first.saturating_add(params.n)).collect();
    for chunk in indices.chunks(nets.batch.max(1)) {
        let plans: Vec<Plan> = chunk.iter().map(|i| Plan::new(map, &places, params, *i)).collect();
        for (plan, latents) in plans.iter().zip(loom.denoised(&plans)?) {
            job.check()?;
            let tile = loom.finished(plan, latents)?;
            job.publish(image::DynamicImage::ImageRgb8(tile.rgb.clone()).into_rgba8());
            sink(tile)?;
        }
    }
    Ok(())
}

/// Whether map and parameters can be worked with; both may come from files.
fn check(map: &SemanticMap, p: &params::Synth) -> Result<()> {
    let damaged = |why: String| Err(Error::parameter("from", why, "cluster the slide again"));
    if map.rows.checked_mul(map.columns) != Some(map.labels.len()) || map.labels.len() > limits::MAP_CELLS {
        return damaged(format!("the map has {} labels for {} x {} cells", map.labels.len(), map.rows, map.columns));
    }
    if [map.cell_px, map.mpp, map.work_mpp].iter().any(|v| !v.is_finite() || *v <= 0.0) {
        return damaged(format!("the map's scale is not positive: cell {} px, {} and {} um/px", map.cell_px, map.mpp, map.work_mpp));
    }
    let cells = f64::from(p.size_px) * map.work_mpp / (map.cell_px * map.mpp);
    if !(0.5..=f64::from(limits::WINDOW_PX)).contains(&cells) {
        return damaged(format!("a tile would cover {cells} cells of the map"));
    }
    for (field, value, limit) in [("n", p.n, limits::TILES), ("first", p.first, limits::TILES), ("steps", p.steps, limits::STEPS)] {
        if value > limit {
            let hint = "make fewer at once".into();
            return Err(Error::Limit { field: field.into(), value: value.to_string(), limit: limit.to_string(), hint });
        }
    }
    if p.size_px == 0 || !p.size_px.is_multiple_of(CELL_PX as u32) || p.size_px > limits::WINDOW_PX {
        let why = format!("{} is not a multiple of 32 up to {}", p.size_px, limits::WINDOW_PX);
        return Err(Error::parameter("size_px", why, "use 256"));
    }
    Ok(())
}

/// Everything that stays over a run.
struct Loom<'a> {
    map: &'a SemanticMap,
    nets: &'a Nets<'a>,
    ops: &'a [Arc<dyn Op>],
    params: &'a params::Synth,
    job: &'a Job,
    settings: Settings,
    encoded: Encoded<'a>,
    scorer: Scorer<'a>,
    common: Common,
}

/// log2(um/px / 0.5) as the denoiser was trained: on whole numbers. A level within 10 % of one counts as it (reading takes levels as
/// they are within that); beyond the trained range the user is told.
fn log2_mpp(mpp: f64, job: &Job) -> f32 {
    let exact = (mpp / 0.5).log2();
    let whole = exact.round();
    let near = (exact - whole).abs() <= 1.1f64.log2();
    if !near || !TRAINED_LOG2_MPP.contains(&whole) {
        job.note(format!("the map has {mpp:.3} um/px; the model was trained at 0.25, 0.5 and 1 and may do worse here"));
    }
    if near { whole as f32 } else { exact as f32 }
}

impl<'a> Loom<'a> {
    fn new(map: &'a SemanticMap, nets: &'a Nets<'a>, ops: &'a [Arc<dyn Op>], params: &'a params::Synth, job: &'a Job) -> Result<Self> {
        let settings = Settings {
            sampler: Sampler::named(&params.sampler)?,
            steps: params.steps.max(1) as usize,
            guidance: params.guidance as f32,
            shift: 1.0,
            log2_mpp: log2_mpp(map.work_mpp, job),
        };
        let encoded = Encoded::new(map, nets.codec);
        let scorer = Scorer::new(map, nets.encoder);
        Ok(Self { map, nets, ops, params, job, settings, encoded, scorer, common: Common::new(map, nets, params) })
    }

    /// Latents of a few tiles.
    fn denoised(&mut self, plans: &[Plan]) -> Result<Vec<Denoised>> {
        for index in plans.iter().flat_map(Plan::crops) {
            self.job.check()?;
            self.encoded.prepare(index)?;
        }
        let conditions = plans.iter().map(|p| p.condition(&self.encoded)).collect::<Result<Vec<_>>>()?;
        let noise = plans.iter().map(|p| p.noise(self.params.seed)).collect::<Result<Vec<_>>>()?;
        denoise(self.nets.denoiser, &conditions, noise, &self.settings, self.job)
    }

    /// A tile from its latents.
    fn finished(&mut self, plan: &Plan, done: Denoised) -> Result<SyntheticTile> {
        if !done.latents.data.iter().all(|v| v.is_finite()) {
            self.job.note(format!("tile {} was withheld: its latents are not finite numbers", plan.index));
            let grey = RgbImage::from_pixel(self.params.size_px, self.params.size_px, Rgb([128; 3]));
            return self.tile(plan, grey, withheld(self.params.size_px), &Made { ops: &[], withheld: true, notes: &[] });
        }
        let rgb = self.decoded(done.latents)?;
        let before = self.scorer.score(&rgb, &plan.labels, &done.spread)?;
        let Applied { rgb, changed, flags: raised, records, mut notes } = apply(self.ops, rgb, &plan.labels, &before.scores, self.job)?;
        notes.iter().for_each(|n| self.job.note(format!("tile {}: {n}", plan.index)));
        let mut flags = before;
        if changed {
            // flags describe the pixels that are delivered; what an op cleared stays on record
            let after = self.scorer.score(&rgb, &plan.labels, &done.spread)?;
            notes.extend(cleared(&flags.flags, &after.flags));
            flags = after;
        }
        for class in &plan.choice.unknown {
            notes.push(format!("class {class} has no crop outside this window: its region was left to the model"));
        }
        let mut crops: Vec<usize> = plan.crops().collect();
        crops.dedup();
        for index in crops {
            flags.flags.extend(self.scorer.crop(index)?);
        }
        flags.flags.extend(raised);
        self.tile(plan, rgb, flags, &Made { ops: &records, withheld: false, notes: &notes })
    }

    fn tile(&self, plan: &Plan, rgb: RgbImage, flags: TileFlags, made: &Made<'_>) -> Result<SyntheticTile> {
        let mut shown: Vec<usize> = plan.crops().collect();
        shown.dedup();
        let crops = shown.iter().filter_map(|i| self.map.crops.get(*i)).cloned().collect();
        let provenance = self.common.of(self.map, plan, made)?;
        Ok(SyntheticTile { index: plan.index, rgb, labels: plan.labels.clone(), crops, flags, provenance })
    }

    fn decoded(&self, latents: Planes) -> Result<RgbImage> {
        let rgb = self.nets.codec.decode(&[latents])?.pop().ok_or_else(|| Error::internal("the codec decoded nothing"))?;
        let size = self.params.size_px;
        if rgb.dimensions() != (size, size) {
            return Err(Error::internal(format!("the codec decoded {} x {} pixels for a tile of {size}", rgb.width(), rgb.height())));
        }
        Ok(rgb)
    }
}

/// A note for each kind of flag that ops made disappear.
fn cleared(before: &[Flag], after: &[Flag]) -> Vec<String> {
    let count = |flags: &[Flag], code: &str| flags.iter().filter(|f| f.code == code).count();
    let mut codes: Vec<&str> = before.iter().map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let fewer = |code: &&str| count(after, code) < count(before, code);
    codes
        .into_iter()
        .filter(fewer)
        .map(|c| format!("ops changed pixels: {} flags {c} before, {} after", count(before, c), count(after, c)))
        .collect()
}
