//! The networks behind core's traits: weights loaded and checked, inputs checked, work run in batches on the engine's device.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use histoloom_core::diffuse::{Asked, Entry, Played, Tape};
use histoloom_core::{Denoiser, Encoder, Error, LatentCodec, Planes, Result, limits};
use image::RgbImage;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::ops::{After, Before, ConvSpec, Ops};
use crate::runner::Runner;
use crate::weights::{self, Weights};
use crate::{autoencoder, denoiser, efficientnet_lite0};

/// The encoder's first file.
const TRUNK: &str = "efficientnet_lite0";
/// The encoder's second file: `mean` [112] and `projection` [n, 112], which makes embeddings forget orientation.
const PROJECTION: &str = "encoder_projection";
/// Noisy latents handed to the denoiser at once.
const DENOISE_BATCH: usize = 16;
/// Seconds for which a device may work without a look at whether the user has cancelled.
const LONGEST_S: f64 = 1.0;
/// Seconds a latent cell that no GPU of its own needs: a batch of four tiles by the default preset in 0.3 s.
const FAST_S: f64 = 5e-6;
/// Cells of conditions that the denoiser remembers what they say of, some 2.5 kB a cell: a batch of eight tiles of 256 px with guidance.
const SAID_CELLS: usize = 16 << 10;

/// Pictures of one size whose sides are multiples of `step`, not larger than core allows.
pub(crate) fn check_pictures(what: &str, pictures: &[RgbImage], step: u32) -> Result<()> {
    let Some(first) = pictures.first() else { return Ok(()) };
    let (w, h) = first.dimensions();
    if pictures.iter().any(|p| p.dimensions() != (w, h)) {
        return Err(Error::internal(format!("{what}: pictures of different sizes in one batch")));
    }
    if w == 0 || h == 0 || w % step != 0 || h % step != 0 {
        return Err(Error::internal(format!("{what}: {w} x {h} px, sides must be multiples of {step}")));
    }
    check_side(what, w.max(h))
}

fn check_side(what: &str, side_px: u32) -> Result<()> {
    if side_px <= limits::WINDOW_PX {
        return Ok(());
    }
    Err(Error::Limit {
        field: format!("{what} window"),
        value: format!("{side_px} px"),
        limit: format!("{} px", limits::WINDOW_PX),
        hint: "use smaller tiles".into(),
    })
}

/// Planes of one shape with this many channels.
pub(crate) fn check_planes(what: &str, planes: &[Planes], channels: usize, step: usize, cell_px: usize) -> Result<()> {
    let Some(first) = planes.first() else { return Ok(()) };
    let (h, w) = (first.height, first.width);
    let odd = |p: &Planes| p.channels != channels || p.height != h || p.width != w || p.data.len() != channels * h * w;
    if planes.iter().any(odd) || h == 0 || w == 0 || h % step != 0 || w % step != 0 {
        let why = format!("{what}: every block must be {channels} channels, one size, sides multiples of {step}");
        return Err(Error::internal(why));
    }
    check_side(what, u32::try_from(h.max(w) * cell_px).unwrap_or(u32::MAX))
}

/// The texture encoder: trunk and orientation-invariant projection.
pub struct EncoderNet<O: Ops> {
    ops: O,
    runner: Runner,
    trunk: efficientnet_lite0::Trunk<O>,
    projection: Option<O::Conv>,
    channels: usize,
    licence: String,
    sha256: String,
}

impl<O: Ops> EncoderNet<O> {
    /// Loads the trunk, and the projection where the manifest lists one (else embeddings are the trunk's own channels).
    pub fn load(ops: O, runner: Runner, dir: &Path) -> Result<Self> {
        let w = Weights::load(dir, TRUNK)?;
        let models = weights::manifest(dir)?.models;
        let licence = models.iter().find(|m| m.id == TRUNK).map_or_else(String::new, |m| m.licence.clone());
        let p = if models.iter().any(|m| m.id == PROJECTION) { Some(Weights::load(dir, PROJECTION)?) } else { None };
        let (trunk, projected) = runner.run(|| {
            let projected = p.as_ref().map(|p| projection(&ops, p)).transpose()?;
            Ok((efficientnet_lite0::Trunk::load(&ops, &w)?, projected))
        })?;
        let joined: Vec<&str> = [Some(&w), p.as_ref()].into_iter().flatten().map(Weights::sha256).collect();
        let sha256 = Sha256::digest(joined.join("\n")).iter().map(|b| format!("{b:02x}")).collect();
        let (projection, channels) = projected.map_or((None, efficientnet_lite0::CHANNELS), |(p, n)| (Some(p), n));
        Ok(Self { ops, runner, trunk, projection, channels, licence, sha256 })
    }

    fn through(&self, windows: &[RgbImage], project: bool) -> Result<Vec<Planes>> {
        check_pictures("encoder", windows, efficientnet_lite0::STRIDE_PX)?;
        self.runner.run(|| {
            self.ops.in_batches(windows, |ops, windows| {
                let normalised: Vec<Planes> = windows.iter().map(efficientnet_lite0::normalised).collect();
                let x = self.trunk.forward(ops, &normalised);
                let projection = self.projection.as_ref().filter(|_| project);
                ops.download(projection.map_or(x.clone(), |p| ops.conv(&x, Before::Plain, p, After::Plain)))
            })
        })
    }

    /// The trunk's 112 channels, for comparison with the reference.
    pub fn embed_raw(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        self.through(windows, false)
    }
}

/// y = projection (x - mean) as a 1x1 convolution, and its number of rows.
fn projection<O: Ops>(ops: &O, w: &Weights) -> Result<(O::Conv, usize)> {
    let (rows, columns) = (w.shape("projection")?[0], efficientnet_lite0::CHANNELS);
    let weight = w.values("projection", &[rows, columns])?;
    let mean = w.values("mean", &[columns])?;
    let bias: Vec<f32> = weight.chunks_exact(columns).map(|r| -r.iter().zip(mean).map(|(a, b)| a * b).sum::<f32>()).collect();
    let spec = ConvSpec { weight, bias: &bias, c_in: columns, c_out: rows, kernel: 1, stride: 1, pad: (0, 0) };
    Ok((ops.conv_layer(&spec), rows))
}

impl<O: Ops> Encoder for EncoderNet<O> {
    fn id(&self) -> &str {
        TRUNK
    }

    fn licence(&self) -> &str {
        &self.licence
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn arithmetic(&self) -> &str {
        self.runner.name()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn stride_px(&self) -> u32 {
        efficientnet_lite0::STRIDE_PX
    }

    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        self.through(windows, true)
    }
}

/// The autoencoder.
pub struct CodecNet<O: Ops> {
    ops: O,
    runner: Runner,
    encoder: autoencoder::Encoder<O>,
    decoder: autoencoder::Decoder<O>,
    sha256: String,
}

impl<O: Ops> CodecNet<O> {
    /// Loads the weights.
    pub fn load(ops: O, runner: Runner, dir: &Path) -> Result<Self> {
        let w = Weights::load(dir, "he_autoencoder")?;
        Self::new(ops, runner, &w)
    }

    /// From weights already read.
    pub fn new(ops: O, runner: Runner, w: &Weights) -> Result<Self> {
        let (encoder, decoder) = runner.run(|| Ok((autoencoder::Encoder::load(&ops, w)?, autoencoder::Decoder::load(&ops, w)?)))?;
        Ok(Self { ops, runner, encoder, decoder, sha256: w.sha256().into() })
    }
}

impl<O: Ops> LatentCodec for CodecNet<O> {
    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn channels(&self) -> usize {
        self.encoder.channels
    }

    fn factor_px(&self) -> u32 {
        autoencoder::FACTOR_PX
    }

    fn encode(&self, pictures: &[RgbImage]) -> Result<Vec<Planes>> {
        check_pictures("autoencoder", pictures, autoencoder::FACTOR_PX)?;
        self.runner.run(|| {
            self.ops.in_batches(pictures, |ops, pictures| {
                let packed: Vec<Planes> = pictures.iter().map(autoencoder::packed).collect();
                ops.download(self.encoder.forward(ops, &packed))
            })
        })
    }

    fn decode(&self, latents: &[Planes]) -> Result<Vec<RgbImage>> {
        check_planes("autoencoder", latents, self.encoder.channels, 1, autoencoder::FACTOR_PX as usize)?;
        self.runner.run(|| {
            self.ops.in_batches(latents, |ops, latents| {
                let limited: Vec<Planes> = latents.iter().map(autoencoder::limited).collect();
                ops.download(self.decoder.forward(ops, &ops.upload(&limited)))?.iter().map(autoencoder::unpacked).collect()
            })
        })
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// The denoiser.
pub struct DenoiserNet<O: Ops> {
    ops: O,
    runner: Runner,
    net: denoiser::Denoiser<O>,
    /// What the newest conditions say, for the steps that follow.
    said: Mutex<Vec<Said<O>>>,
    /// Seconds that a latent cell of an item took last; none where that is not known and may be long, infinite where a tape could not be played.
    pace: Mutex<Option<f64>>,
    sha256: String,
}

/// Conditions and what they say.
struct Said<O: Ops> {
    conditions: Vec<Planes>,
    asked: denoiser::Asked<O>,
}

impl<O: Ops> DenoiserNet<O> {
    /// From weights already read.
    pub fn new(ops: O, runner: Runner, w: &Weights) -> Result<Self> {
        let net = runner.run(|| denoiser::Denoiser::load(&ops, w))?;
        let pace = Mutex::new(ops.surely_fast().then_some(FAST_S));
        Ok(Self { ops, runner, net, said: Mutex::default(), pace, sha256: w.sha256().into() })
    }

    /// As it was said before, where these conditions were among the newest.
    fn asked(&self, conditions: &[Planes]) -> denoiser::Asked<O> {
        let found = self.said.lock().iter().find(|s| s.conditions == conditions).map(|s| s.asked.clone());
        found.unwrap_or_else(|| {
            let asked = self.net.asked(&self.ops, conditions);
            let cells = |said: &Said<O>| said.conditions.iter().map(Planes::area).sum::<usize>();
            let mut said = self.said.lock();
            said.push(Said { conditions: conditions.to_vec(), asked: asked.clone() });
            while said.iter().map(cells).sum::<usize>() > SAID_CELLS {
                said.remove(0);
            }
            asked
        })
    }
}

/// A tape played on the device.
impl<O: Ops> DenoiserNet<O> {
    /// As if steps took no time.
    #[cfg(test)]
    pub(crate) fn hurried(&self) {
        *self.pace.lock() = Some(0.0);
    }

    /// How long it will take, by what the last step took; None before there was one.
    fn seconds(&self, tape: &Tape) -> Option<f64> {
        self.pace.lock().map(|pace| pace * cells(tape))
    }

    /// All of it, with one reading back. Fails with what went wrong first on the device.
    fn played(&self, tape: &Tape, refiner: Option<&Self>, codec: &CodecNet<O>) -> Result<Played> {
        check_planes("denoiser", &tape.conditions, self.net.condition_channels, 4, autoencoder::FACTOR_PX as usize)?;
        let (ops, began) = (&self.ops, Instant::now());
        let conditions = |asked: Asked| match asked {
            Asked::Given => &tape.conditions[..tape.items],
            Asked::Nothing => &tape.conditions[tape.items..],
            Asked::Both => &tape.conditions[..],
        };
        let mut uploaded: BTreeMap<Asked, O::Map> = BTreeMap::new();
        let mut made: Vec<O::Map> = Vec::with_capacity(tape.entries.len());
        for entry in &tape.entries {
            let next = match entry {
                Entry::Noise(noise) => {
                    check_planes("denoiser", noise, self.net.channels, 4, autoencoder::FACTOR_PX as usize)?;
                    ops.upload(noise)
                }
                Entry::Mix(terms) => ops.mixed(&terms.iter().map(|(k, name)| (*k, &made[*name])).collect::<Vec<_>>()),
                Entry::Velocity { x, t, refiner: by_refiner, asked } => {
                    let net = refiner.filter(|_| *by_refiner).unwrap_or(self);
                    let conditions = conditions(*asked);
                    let x = if *asked == Asked::Both { ops.twice(&made[*x]) } else { made[*x].clone() };
                    let joined = ops.concat(&x, uploaded.entry(*asked).or_insert_with(|| ops.upload(conditions)));
                    let v = net.net.forward(ops, &joined, &net.asked(conditions), *t, tape.log2_mpp);
                    if *asked == Asked::Both { ops.guided(&v, tape.scale) } else { v }
                }
            };
            made.push(next);
        }
        let end = &made[tape.end];
        let mut maps = vec![end.clone(), codec.decoder.forward(ops, &ops.limited(end))];
        maps.extend(tape.predictions.iter().map(|name| made[*name].clone()));
        let done = ops.download_all(maps).inspect_err(|_| [Some(self), refiner].into_iter().flatten().for_each(|n| n.said.lock().clear()));
        let mut done = done?.into_iter();
        let (latents, pictures) = (done.next().unwrap_or_default(), done.next().unwrap_or_default());
        *self.pace.lock() = Some(began.elapsed().as_secs_f64() / cells(tape));
        Ok(Played { latents, pictures: pictures.iter().map(autoencoder::unpacked).collect::<Result<_>>()?, predictions: done.collect() })
    }
}

/// Latent cells that go through a network, each as often as it does.
fn cells(tape: &Tape) -> f64 {
    let passes = |e: &Entry| match e {
        Entry::Velocity { asked: Asked::Both, .. } => 2,
        Entry::Velocity { .. } => 1,
        _ => 0,
    };
    let once: usize = tape.conditions[..tape.items].iter().map(Planes::area).sum();
    (once * tape.entries.iter().map(passes).sum::<usize>()).max(1) as f64
}

/// Latents and condition of one item, stacked.
pub(crate) fn stacked(x: &Planes, condition: &Planes) -> Planes {
    let data = x.data.iter().chain(&condition.data).copied().collect();
    Planes { channels: x.channels + condition.channels, height: x.height, width: x.width, data }
}

impl<O: Ops> Denoiser for DenoiserNet<O> {
    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn channels(&self) -> usize {
        self.net.channels
    }

    fn condition_channels(&self) -> usize {
        self.net.condition_channels
    }

    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>> {
        check_planes("denoiser", x, self.net.channels, 4, autoencoder::FACTOR_PX as usize)?;
        check_planes("denoiser", condition, self.net.condition_channels, 4, autoencoder::FACTOR_PX as usize)?;
        let same = |(x, c): (&Planes, &Planes)| x.height == c.height && x.width == c.width;
        if x.len() != condition.len() || !x.iter().zip(condition).all(same) {
            return Err(Error::internal("denoiser: latents and conditions do not match"));
        }
        self.runner.run(|| {
            let mut out = Vec::with_capacity(x.len());
            for (x, condition) in x.chunks(DENOISE_BATCH).zip(condition.chunks(DENOISE_BATCH)) {
                let began = Instant::now();
                let asked = self.asked(condition);
                let joined: Vec<Planes> = x.iter().zip(condition).map(|(x, c)| stacked(x, c)).collect();
                let done = self.ops.download(self.net.forward(&self.ops, &self.ops.upload(&joined), &asked, t, log2_mpp));
                // what a device failed to make is not to be taken for an answer later
                out.extend(done.inspect_err(|_| self.said.lock().clear())?);
                let took = began.elapsed().as_secs_f64() / x.iter().map(Planes::area).sum::<usize>() as f64;
                let mut pace = self.pace.lock();
                *pace = pace.filter(|p| p.is_infinite()).or(Some(took));
            }
            Ok(out)
        })
    }

    fn play(&self, tape: &Tape, refiner: Option<&dyn Denoiser>, codec: &dyn LatentCodec) -> Option<Result<Played>> {
        if !self.ops.in_one_go() || tape.items == 0 || tape.conditions.len() > DENOISE_BATCH || self.seconds(tape)? > LONGEST_S {
            return None;
        }
        let codec = codec.own()?.downcast_ref()?;
        let refiner = match refiner {
            Some(r) => Some(r.own()?.downcast_ref()?),
            None => None,
        };
        let played = self.runner.run(|| self.played(tape, refiner, codec));
        Some(played.inspect_err(|_| *self.pace.lock() = Some(f64::INFINITY)))
    }

    fn own(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
