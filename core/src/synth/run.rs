//! The run: plans in, tiles out, a few at a time.

use std::borrow::Cow;

use image::{GrayImage, Rgb, RgbImage, imageops};

use super::crops::Encoded;
use super::inputs::Inputs;
use super::plan::Plan;
use super::provenance::{Common, Made};
use super::shown::Shown;
use super::{SyntheticTile, assign, published};
use crate::condition::layout::{Layout, Layouts};
use crate::condition::{CHANNELS, LATENT, LATENT_PX, TEXTURE};
use crate::diffuse::ddim::{self, EpsDenoiser};
use crate::diffuse::windows::{self, Windowed};
use crate::diffuse::{self, Anchor, Batch, Denoised, Guidance, Sampler, Settings, Start, denoise, refine};
use crate::flags::{CELL_PX, Flag, Judge, Networks, Scored, Scorer, TileFlags, unstable, withheld};
use crate::ops::{Applied, Seen, Step, apply};
use crate::semantic_map::{Crop, SemanticMap};
use crate::{Denoiser, Encoder, Error, Job, LatentCodec, Planes, Result, limits, params};

/// Tiles denoised at once unless the host says otherwise.
const BATCH: usize = 4;
/// Standard deviation of the seam between kept and new pixels, in pixels.
const SEAM_PX: f32 = 3.0;
/// A blurred mask above this, of 255, is further than the seam from its edge.
const THICK: f32 = 210.0;
/// log2(um/px / 0.5) of the tissue the denoiser was trained on (models/weights/CARD.md).
const TRAINED_LOG2_MPP: std::ops::RangeInclusive<f64> = -1.0..=1.0;

/// The networks of a run.
#[derive(Clone, Copy)]
pub struct Nets<'a> {
    /// Autoencoder.
    pub codec: &'a dyn LatentCodec,
    /// Denoiser.
    pub denoiser: &'a dyn Denoiser,
    /// Takes the last steps where that is asked for.
    pub refiner: Option<&'a dyn Denoiser>,
    /// Encoder of the map's bank, for the flags.
    pub encoder: &'a dyn Encoder,
    /// The device they run on, as provenance should name it.
    pub device: Option<&'a str>,
    /// An imported network, used instead of `denoiser`; the codec is then its own.
    pub published: Option<&'a dyn EpsDenoiser>,
    /// What the tiles are held against.
    pub judge: Judge<'a>,
    /// Tiles denoised at once, at least 1. It changes memory and speed only, as long as a network's samples do not depend on
    /// their batch.
    pub batch: usize,
}

impl<'a> Nets<'a> {
    /// Networks on a device nobody named, four tiles at once.
    pub fn new(codec: &'a dyn LatentCodec, denoiser: &'a dyn Denoiser, encoder: &'a dyn Encoder) -> Self {
        Self { codec, denoiser, refiner: None, encoder, published: None, device: None, judge: Judge::default(), batch: BATCH }
    }

    /// The same with an imported network and its own codec.
    pub fn published(self, codec: &'a dyn LatentCodec, network: &'a dyn EpsDenoiser) -> Self {
        Self { codec, published: Some(network), ..self }
    }

    /// The same with a refiner.
    pub fn refined(self, refiner: Option<&'a dyn Denoiser>) -> Self {
        Self { refiner, ..self }
    }

    /// Names the device.
    pub fn on(self, device: &'a str) -> Self {
        Self { device: Some(device), ..self }
    }

    /// Sets what the tiles are held against.
    pub fn judged(self, judge: Judge<'a>) -> Self {
        Self { judge, ..self }
    }

    /// The hashes that a calibration is bound to.
    pub fn hashes(&self, refine: bool) -> Networks {
        Networks {
            codec_sha256: self.codec.sha256().into(),
            denoiser_sha256: self.published.map_or_else(|| self.denoiser.sha256(), EpsDenoiser::sha256).into(),
            refiner_sha256: self.refiner.filter(|_| refine).map(|r| r.sha256().into()),
            encoder_sha256: self.encoder.sha256().into(),
        }
    }

    /// Sets how many tiles are denoised at once.
    pub fn batched(self, batch: usize) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// The refiner, where it is asked for.
    pub(crate) fn refiner_of(&self, params: &params::Synth) -> Result<Option<&'a dyn Denoiser>> {
        match (params.refine && self.published.is_none(), self.refiner) {
            (true, None) => Err(Error::internal("a refiner is asked for and there is none")),
            (asked, refiner) => Ok(refiner.filter(|_| asked)),
        }
    }

    /// Whether they fit each other and the crop field.
    fn check(&self) -> Result<()> {
        let (c, d) = (self.codec, self.denoiser);
        let r = self.refiner.unwrap_or(d);
        if self.published.is_some() {
            return Ok(()); // its loader has checked them
        }
        let seen = [
            ("codec", "latent channels", c.channels(), LATENT),
            ("codec", "pixels a latent cell", c.factor_px() as usize, LATENT_PX as usize),
            ("denoiser", "latent channels", d.channels(), LATENT),
            ("denoiser", "condition channels", d.condition_channels(), CHANNELS),
            ("refiner", "latent channels", r.channels(), LATENT),
            ("refiner", "condition channels", r.condition_channels(), CHANNELS),
            ("encoder", "channels", self.encoder.channels(), TEXTURE),
        ];
        match seen.into_iter().find(|(_, _, has, wanted)| has != wanted) {
            None => Ok(()),
            Some((file, what, has, wanted)) => Err(Error::Weights {
                file: file.into(),
                why: format!("it has {has} {what}, the condition needs {wanted}"),
                hint: "use encoder, codec, denoiser and refiner of one manifest".into(),
            }),
        }
    }
}

/// Makes tiles `first .. first + n` of a map and hands each to `sink` as it is done. `ops` are those named in the parameters, in
/// order. Progress counts steps, those of a refiner too, times tiles.
pub fn run(
    map: &SemanticMap,
    nets: &Nets<'_>,
    ops: &[Step],
    params: &params::Synth,
    job: &Job,
    sink: &mut dyn FnMut(SyntheticTile) -> Result<()>,
) -> Result<()> {
    job.check()?;
    check(map, params)?;
    let steps = params.steps as usize;
    let steps = match (nets.published, nets.refiner_of(params)?) {
        (Some(_), _) => ddim::schedule(steps, params.eta)?.len(),
        (None, Some(_)) => {
            let top = params.init.as_ref().map_or(1.0, |_| params.strength.unwrap_or(params::STRENGTH));
            if top <= refine::FROM {
                let [strength, steps, sampler, guidance, refine] =
                    ["strength", "steps", "sampler", "guidance", "refine"].map(params::title::<params::Synth>);
                job.note(format!(
                    "a '{strength}' of {top} is the refiner's alone: '{steps}', '{sampler}' and '{guidance}' have no effect; \
                     switch off '{refine}' and the denoiser works there"
                ));
            }
            refine::steps(steps, top)
        }
        (None, None) => steps,
    };
    job.stage("making tiles", u64::from(params.n) * u64::from(params.seeds.max(1)) * steps as u64);
    let inputs = Inputs::read(params, map)?;
    inputs.notes.iter().for_each(|n| job.note(n.clone()));
    run_with(map, nets, ops, inputs, job, sink)
}

/// The same with inputs that were read or made before.
pub(crate) fn run_with(
    map: &SemanticMap,
    nets: &Nets<'_>,
    ops: &[Step],
    mut inputs: Inputs,
    job: &Job,
    sink: &mut dyn FnMut(SyntheticTile) -> Result<()>,
) -> Result<()> {
    job.check()?;
    nets.check()?;
    let params = &inputs.told.clone();
    check(map, params)?;
    let extended = with_crops(map, std::mem::take(&mut inputs.crops));
    let layout = match (inputs.source.take(), &inputs.init) {
        (Some(source), _) => Layer::Drawn(Layouts::new(map, source, inputs.annotations.take(), inputs.size_px)?),
        (None, Some(init)) => Layer::Fixed(assign::layout(map, nets.encoder, &init.rgb)?),
        (None, None) => return Err(Error::internal("neither a layout nor a picture")),
    };
    let mut loom = Loom::new(map, &extended, nets, ops, &inputs, job)?;
    let indices: Vec<u32> = (params.first..params.first.saturating_add(params.n)).collect();
    let batch = if inputs.size_px as usize <= windows::SIDE * LATENT_PX as usize { nets.batch.max(1) } else { 1 };
    for chunk in indices.chunks(batch) {
        let plan = |i: &u32| Ok(Plan::new(&extended, layout.of(params.seed, *i)?, &inputs.own, params, *i));
        let plans = chunk.iter().map(plan).collect::<Result<Vec<_>>>()?;
        let seed = params.noise_seed.unwrap_or(params.seed);
        let mut others = Vec::new();
        for i in 1..params.seeds {
            others.push(loom.denoised(&plans, other_seed(seed, i))?);
        }
        for (i, (plan, latents)) in plans.iter().zip(loom.denoised(&plans, seed)?).enumerate() {
            job.check()?;
            let others: Vec<&Denoised> = others.iter().filter_map(|of| of.get(i)).collect();
            let tile = loom.finished(plan, &latents, &others)?;
            job.publish(image::DynamicImage::ImageRgb8(tile.rgb.clone()).into_rgba8());
            sink(tile)?;
        }
    }
    Ok(())
}

/// The seed of the noise of another tile of the same place (S4): an odd step, so that none of them meet.
fn other_seed(seed: u64, i: u32) -> u64 {
    seed.wrapping_add(u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Where the layouts of a run come from.
enum Layer<'a> {
    Drawn(Layouts<'a>),
    Fixed(Layout),
}

impl Layer<'_> {
    fn of(&self, seed: u64, tile: u32) -> Result<Layout> {
        match self {
            Self::Drawn(l) => l.of(seed, tile),
            Self::Fixed(l) => Ok(l.clone()),
        }
    }
}

/// The map with the user's crops behind its own.
fn with_crops(map: &SemanticMap, crops: Vec<Crop>) -> Cow<'_, SemanticMap> {
    if crops.is_empty() {
        return Cow::Borrowed(map);
    }
    let mut map = map.clone();
    map.crops.extend(crops);
    Cow::Owned(map)
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
    if !(0.5..=f64::from(limits::TILE_PX)).contains(&cells) {
        return damaged(format!("a tile would cover {cells} cells of the map"));
    }
    for (field, value, limit) in [("n", p.n, limits::TILES), ("first", p.first, limits::TILES), ("steps", p.steps, limits::STEPS)] {
        if value > limit {
            let hint = "make fewer at once".into();
            return Err(Error::Limit { field: field.into(), value: value.to_string(), limit: limit.to_string(), hint });
        }
    }
    if p.size_px == 0 || !p.size_px.is_multiple_of(CELL_PX as u32) || p.size_px > limits::TILE_PX {
        let why = format!("{} is not a multiple of 32 up to {}", p.size_px, limits::TILE_PX);
        return Err(Error::parameter("size_px", why, "use 256"));
    }
    Ok(())
}

/// Everything that stays over a run.
struct Loom<'a> {
    map: &'a SemanticMap,
    nets: &'a Nets<'a>,
    ops: &'a [Step],
    inputs: &'a Inputs,
    params: &'a params::Synth,
    job: &'a Job,
    settings: Settings,
    encoded: Encoded<'a>,
    shown: Shown<'a>,
    scorer: Scorer<'a>,
    /// Latents of the picture to begin from.
    real: Option<Planes>,
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
    /// `map` is the map as it came, `extended` the same with the user's crops.
    fn new(
        map: &SemanticMap,
        extended: &'a SemanticMap,
        nets: &'a Nets<'a>,
        ops: &'a [Step],
        inputs: &'a Inputs,
        job: &'a Job,
    ) -> Result<Self> {
        let params = &inputs.told;
        let settings = Settings {
            sampler: if nets.published.is_some() { Sampler::Euler } else { Sampler::named(&params.sampler, params.eta)? },
            steps: params.steps.max(1) as usize,
            guidance: Guidance { scale: params.guidance as f32, rescale: params.rescale as f32, interval: params.interval.into() },
            shift: 1.0,
            log2_mpp: log2_mpp(map.work_mpp, job),
        };
        let encoded = Encoded::new(extended, nets.codec, nets.encoder);
        // an imported network's own autoencoder is large, and its tiles have no calibration
        let codec = Some(nets.codec).filter(|_| nets.published.is_none());
        let scorer = Scorer::new(extended, nets.encoder, codec, nets.judge, job)?;
        let real = inputs.init.as_ref().map(|i| windows::encode(nets.codec, &i.rgb, job)).transpose()?;
        let common = Common::new(map, nets, params, &inputs.crop_files);
        let shown = Shown::new(extended);
        Ok(Self { map: extended, nets, ops, inputs, params, job, settings, encoded, shown, scorer, real, common })
    }

    /// Latents of a few tiles.
    fn denoised(&mut self, plans: &[Plan], seed: u64) -> Result<Vec<Denoised>> {
        if let Some(network) = self.nets.published {
            return published::denoised(network, self.map, plans, self.params, seed, self.job);
        }
        for index in plans.iter().flat_map(Plan::crops) {
            self.job.check()?;
            self.encoded.prepare(index)?;
        }
        let conditions = plans.iter().map(|p| p.condition(&self.encoded, self.params)).collect::<Result<Vec<_>>>()?;
        let noise = plans.iter().map(|p| p.noise(seed)).collect::<Result<Vec<_>>>()?;
        let tiles: Vec<(u64, u32)> = plans.iter().map(|p| (seed, p.index)).collect();
        let start: Vec<Start> = plans.iter().filter_map(|p| self.start(p)).collect();
        let anchors = plans.iter().filter_map(|p| self.anchor(p).transpose()).collect::<Result<Vec<_>>>()?;
        let windowed = |inner| Windowed { inner, job: self.job };
        let (net, refiner) = (windowed(self.nets.denoiser), self.nets.refiner_of(self.params)?.map(windowed));
        let (every, mut done) = (self.params.preview_every as usize, 0);
        let mut watch = |_: usize, z: &[Planes]| {
            done += 1;
            if let (true, Some(z)) = (every > 0 && done % every.max(1) == 0, z.first()) {
                let picture = windows::decode(self.nets.codec, z, self.job)?;
                self.job.publish(image::DynamicImage::ImageRgb8(picture).into_rgba8());
            }
            Ok(())
        };
        let batch = Batch { conditions: &conditions, noise, tiles: &tiles, start: &start, anchors: &anchors };
        let nets = diffuse::Networks {
            denoiser: &net,
            refiner: refiner.as_ref().map(|r| r as &dyn Denoiser),
            codec: Some(self.nets.codec).filter(|_| every == 0),
        };
        denoise(nets, &batch, &self.settings, self.job, &mut watch)
    }

    /// What the regions of a tile are held to; none where it begins from a picture, whose stain is to stay, or where guidance 0 asks for
    /// no crops at all.
    fn anchor(&self, plan: &Plan) -> Result<Option<Anchor>> {
        if self.real.is_some() || self.params.anchor <= 0.0 || self.params.guidance == 0.0 {
            return Ok(None);
        }
        plan.means(&self.encoded, self.params).map(|means| Some(Anchor::new(&plan.layout.latent_labels, means, self.params.anchor)))
    }

    /// What a tile begins from.
    fn start(&self, plan: &Plan) -> Option<Start> {
        let latents = self.real.clone()?;
        let mask = self.mask(plan).map(|m| mask_latents(&m, plan.side));
        Some(Start { latents, strength: self.params.strength.unwrap_or(params::STRENGTH), mask })
    }

    /// 255 where a pixel is made anew, 0 where the picture is kept; none where nothing is kept.
    fn mask(&self, plan: &Plan) -> Option<Vec<u8>> {
        let init = self.inputs.init.as_ref()?;
        let drawn = self
            .params
            .inpaint
            .as_ref()
            .map(|labels| plan.layout.labels.iter().map(|l| if labels.contains(l) { 255 } else { 0 }).collect::<Vec<u8>>());
        drawn.or_else(|| init.mask.clone())
    }

    /// The tile's pixels with those of the picture where it is kept, so that nothing outside the mask changes but for a seam of a
    /// few pixels.
    fn kept(&self, plan: &Plan, mut rgb: RgbImage) -> RgbImage {
        if let (Some(init), Some(mask)) = (&self.inputs.init, self.mask(plan)) {
            blend(&mut rgb, &init.rgb, &mask);
        }
        rgb
    }

    /// A tile from its latents.
    fn finished(&mut self, plan: &Plan, done: &Denoised, others: &[&Denoised]) -> Result<SyntheticTile> {
        if !done.latents.data.iter().all(|v| v.is_finite()) {
            self.job.note(format!("tile {} was withheld: its latents are not finite numbers", plan.index));
            let grey = RgbImage::from_pixel(self.inputs.size_px, self.inputs.size_px, Rgb([128; 3]));
            let labels = plan.layout.labels.clone();
            return self.tile(plan, grey, labels, withheld(self.inputs.size_px), &Made { ops: &[], withheld: true, notes: &[] });
        }
        self.job.check()?;
        let rgb = self.kept(plan, self.decoded(done)?);
        let labels = &plan.layout.labels;
        self.job.check()?;
        let mut crops: Vec<usize> = plan.crops().collect();
        crops.sort_unstable();
        crops.dedup();
        let unstable = unstable(&done.spread);
        let disagree = self.disagreement(&rgb, labels, others)?;
        let (unstable, disagree) = (Some(unstable.as_slice()), disagree.as_ref().map(|(s4, seeds)| (s4.as_slice(), *seeds)));
        let made = Scored { rgb: &rgb, labels, unstable, disagree, crops: &crops, own: None, generated: true };
        let before = self.scorer.score(&made, self.job)?;
        let Applied { rgb, labels, changed, flags: raised, records, mut notes } = self.applied(plan, rgb, &before, &done.spread)?;
        notes.iter().for_each(|n| self.job.note(format!("tile {}: {n}", plan.index)));
        let mut flags = before;
        if changed {
            // flags describe the pixels and labels that are delivered; what an op cleared stays on record
            let after = Scored { rgb: &rgb, labels: &labels, unstable, disagree, crops: &crops, own: None, generated: true };
            let after = self.scorer.score(&after, self.job)?;
            notes.extend(cleared(&flags.flags, &after.flags));
            flags = after;
        }
        for class in &plan.choice.unknown {
            notes.push(format!("class {class} has no crop outside this window: its region was left to the model"));
        }
        for (class, with) in plan.unmixed(self.params) {
            let (missing, crops) = (format!("class {with} has no crop outside this window"), params::title::<params::Synth>("crops"));
            notes.push(format!("{missing}: class {class} was made without it; name one under '{crops}'"));
        }
        if plan.layout.missed {
            notes.push("the annotations do not touch this window: its map is the slide's own".into());
            self.job.note(format!("tile {}: the annotations do not touch its window", plan.index));
        }
        if self.inputs.init.as_ref().is_some_and(|i| i.rgb == rgb) {
            notes.push("nothing was made anew: this is the picture it began from (the mask or the classes to inpaint hold nothing)".into());
        }
        for index in crops {
            flags.flags.extend(self.scorer.crop(index)?);
        }
        flags.flags.extend(raised);
        self.tile(plan, rgb, labels, flags, &Made { ops: &records, withheld: false, notes: &notes })
    }

    /// S4 by cell and the seeds behind it, where other seeds were asked for.
    fn disagreement(&self, rgb: &RgbImage, labels: &[u8], others: &[&Denoised]) -> Result<Option<(Vec<f32>, u32)>> {
        if others.is_empty() {
            return Ok(None);
        }
        let mut seen: Vec<Vec<u8>> = self.scorer.seen(rgb, labels)?.into_iter().collect();
        for other in others.iter().filter(|o| o.latents.data.iter().all(|v| v.is_finite())) {
            self.job.check()?;
            seen.extend(self.scorer.seen(&self.decoded(other)?, labels)?);
        }
        Ok((seen.len() > 1).then(|| (self.scorer.disagreement(&seen, rgb.width()), seen.len() as u32)))
    }

    /// The tile after its ops.
    fn applied(&mut self, plan: &Plan, rgb: RgbImage, flags: &TileFlags, spread: &Planes) -> Result<Applied> {
        let classes = if self.ops.is_empty() { Vec::new() } else { self.shown.of(plan) };
        let seams = windows::seams(plan.side, LATENT_PX as usize);
        let seen = Seen { mpp: self.map.work_mpp as f32, spread: Some(spread), classes: &classes, seams: &seams };
        apply(self.ops, rgb, &plan.layout.labels, &flags.scores, seen, self.job)
    }

    fn tile(&self, plan: &Plan, rgb: RgbImage, labels: Vec<u8>, flags: TileFlags, made: &Made<'_>) -> Result<SyntheticTile> {
        let mut shown: Vec<usize> = plan.crops().collect();
        shown.dedup();
        let crops = shown.iter().filter_map(|i| self.map.crops.get(*i)).cloned().collect();
        let provenance = self.common.of(self.map, plan, &flags, made)?;
        Ok(SyntheticTile { index: plan.index, rgb, labels, crops, flags, provenance, inputs: self.inputs.files.clone() })
    }

    fn decoded(&self, done: &Denoised) -> Result<RgbImage> {
        let rgb = match &done.picture {
            Some(picture) => picture.clone(),
            None => windows::decode(self.nets.codec, &done.latents, self.job)?,
        };
        let size = self.inputs.size_px;
        if rgb.dimensions() != (size, size) {
            return Err(Error::internal(format!("the codec decoded {} x {} pixels for a tile of {size}", rgb.width(), rgb.height())));
        }
        Ok(rgb)
    }
}

/// The mask by latent cell: 1 where any of its pixels is made anew, so that nothing new is held by a kept cell.
fn mask_latents(mask: &[u8], side: usize) -> Planes {
    let f = LATENT_PX as usize;
    let any = |i: usize| (0..f * f).any(|k| mask[(i / side * f + k / f) * side * f + i % side * f + k % f] != 0);
    let data = (0..side * side).map(|i| f32::from(u8::from(any(i)))).collect();
    Planes { channels: 1, height: side, width: side, data }
}

/// Puts `kept` where the mask is 0; over the few pixels inside the mask's edge the two are mixed. Parts of a mask thinner than the
/// seam are half new throughout.
fn blend(rgb: &mut RgbImage, kept: &RgbImage, mask: &[u8]) {
    let blurred = |mask: Vec<u8>| imageops::blur(&GrayImage::from_raw(rgb.width(), rgb.height(), mask).unwrap_or_default(), SEAM_PX);
    let soft = blurred(mask.to_vec());
    // where the mask is thick, its inside lies near
    let inside = blurred(soft.pixels().map(|s| if f32::from(s.0[0]) > THICK { 255 } else { 0 }).collect());
    for ((pixel, k), (m, (s, near))) in rgb.pixels_mut().zip(kept.pixels()).zip(mask.iter().zip(soft.pixels().zip(inside.pixels()))) {
        // blurred, the mask is 1/2 at its edge: the mix begins there, so that kept pixels stay to the last bit
        let ramp = ((f32::from(s.0[0]) / 255.0 - 0.5) * 2.0).clamp(0.0, 1.0);
        let share = match (*m, near.0[0]) {
            (0, _) => 0.0,
            (_, 0) => ramp.max(0.5),
            _ => ramp,
        };
        pixel.0.iter_mut().zip(k.0).for_each(|(p, k)| *p = (f32::from(k) + share * (f32::from(*p) - f32::from(k))).round() as u8);
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
        .map(|c| format!("ops changed pixels or labels: {} flags {c} before, {} after", count(before, c), count(after, c)))
        .collect()
}
