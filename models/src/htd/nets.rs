//! The published networks behind core's traits.

use std::path::Path;
use std::sync::Arc;

use histoloom_core::condition::paper::Variant;
use histoloom_core::diffuse::ddim::{EpsDenoiser, TRAINED_STEPS};
use histoloom_core::{Error, LatentCodec, Planes, Result};
use image::RgbImage;
use sha2::{Digest, Sha256};

use super::layers::Layers;
use super::{RESCALER, SIDE_PX, UNET, VQ, rescaler, unet, vq};
use crate::nets::{check_pictures, check_planes, stacked};
use crate::ops::Ops;
use crate::pictures;
use crate::runner::Runner;
use crate::weights::Weights;

/// Latents handed to the UNet at once; bounds its memory.
const BATCH: usize = 4;

/// A published model: its first stage and its denoiser.
#[derive(Clone)]
pub struct Paper {
    /// Pictures to latents and back.
    pub codec: Arc<dyn LatentCodec>,
    /// Noise of x_t, with the reduction of its condition.
    pub denoiser: Arc<dyn EpsDenoiser>,
}

impl Paper {
    /// Loads the networks of a folder made by an import.
    pub fn load<O: Ops + Clone>(ops: &O, runner: &Runner, dir: &Path) -> Result<Self> {
        let codec = CodecNet::new(ops.clone(), runner.clone(), &Weights::load(dir, VQ)?)?;
        let (unet, rescaler) = (Weights::load(dir, UNET)?, Weights::load(dir, RESCALER)?);
        let denoiser = DenoiserNet::new(ops.clone(), runner.clone(), &unet, &rescaler)?;
        if codec.channels() != denoiser.channels() {
            let (a, b) = (codec.channels(), denoiser.channels());
            return Err(refused(UNET, format!("it works on {b} channels, the first stage on {a}")));
        }
        Ok(Self { codec: Arc::new(codec), denoiser: Arc::new(denoiser) })
    }
}

fn refused(file: &str, why: String) -> Error {
    Error::Weights { file: file.into(), why, hint: "import the checkpoint again with `histoloom models import`".into() }
}

fn check_side(planes: &[Planes], cell_px: usize) -> Result<()> {
    let side = planes.first().map_or(0, |p| p.height.max(p.width)) * cell_px;
    if side <= SIDE_PX {
        return Ok(());
    }
    Err(Error::Limit {
        field: "size_px".into(),
        value: format!("{side} px"),
        limit: format!("{SIDE_PX} px for the published networks"),
        hint: "make tiles of 256 px, or use the default model".into(),
    })
}

/// The first stage.
pub struct CodecNet<O: Ops> {
    ops: O,
    runner: Runner,
    encoder: vq::Encoder<O>,
    decoder: vq::Decoder<O>,
    book: vq::Codebook,
    sha256: String,
}

impl<O: Ops> CodecNet<O> {
    /// From weights already read.
    pub fn new(ops: O, runner: Runner, w: &Weights) -> Result<Self> {
        let config = vq::Config::read(&|name| w.shape(name).map(<[usize]>::to_vec))?;
        let (encoder, decoder, book) = runner.run(|| {
            let l = Layers { ops: &ops, from: w };
            Ok((vq::Encoder::load(&l, config)?, vq::Decoder::load(&l, config)?, vq::Codebook::load(&l, config)?))
        })?;
        Ok(Self { ops, runner, encoder, decoder, book, sha256: w.sha256().into() })
    }

    /// Each cell's nearest code.
    pub fn quantise(&self, latents: &[Planes]) -> Vec<Planes> {
        latents.iter().map(|z| self.book.nearest(z)).collect()
    }

    /// Pictures `[3, h, w]` in about [-1, 1], not rounded.
    pub fn decode_planes(&self, latents: &[Planes]) -> Result<Vec<Planes>> {
        check_planes("first stage", latents, self.encoder.channels, 1, vq::FACTOR_PX as usize)?;
        check_side(latents, vq::FACTOR_PX as usize)?;
        let codes = self.quantise(latents);
        self.runner.run(|| self.ops.in_batches(&codes, |ops, codes| ops.download(self.decoder.forward(ops, codes))))
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
        vq::FACTOR_PX
    }

    fn encode(&self, rgb: &[RgbImage]) -> Result<Vec<Planes>> {
        check_pictures("first stage", rgb, vq::FACTOR_PX)?;
        let planes: Vec<Planes> = rgb.iter().map(|p| pictures::planes(p, |v| f32::from(v) / 127.5 - 1.0)).collect();
        check_side(&planes, 1)?;
        self.runner.run(|| self.ops.in_batches(&planes, |ops, planes| ops.download(self.encoder.forward(ops, planes))))
    }

    fn decode(&self, latents: &[Planes]) -> Result<Vec<RgbImage>> {
        self.decode_planes(latents)?.iter().map(|p| pictures::rgb(p, |v| v * 0.5 + 0.5)).collect()
    }
}

/// UNet and reduction.
pub struct DenoiserNet<O: Ops> {
    ops: O,
    runner: Runner,
    unet: unet::Unet<O>,
    rescaler: rescaler::Rescaler<O>,
    reduced: usize,
    variant: Variant,
    sha256: String,
}

impl<O: Ops> DenoiserNet<O> {
    /// From weights already read.
    pub fn new(ops: O, runner: Runner, unet_weights: &Weights, rescaler_weights: &Weights) -> Result<Self> {
        let (u, r) = (unet_weights, rescaler_weights);
        let config = unet::Config::read(&|name| u.shape(name).map(<[usize]>::to_vec))?;
        let reduction = rescaler::Config::read(&|name| r.shape(name).map(<[usize]>::to_vec))?;
        let variant = reduction.variant()?;
        if config.input != config.output + reduction.output {
            let why = format!("it takes {} channels, not {} + {}", config.input, config.output, reduction.output);
            return Err(refused(UNET, why));
        }
        let (unet, rescaler) = runner.run(|| {
            let unet = unet::Unet::load(&Layers { ops: &ops, from: u }, config)?;
            Ok((unet, rescaler::Rescaler::load(&Layers { ops: &ops, from: r }, reduction)?))
        })?;
        let joined = format!("{}\n{}", u.sha256(), r.sha256());
        let sha256 = Sha256::digest(joined).iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { ops, runner, unet, rescaler, reduced: reduction.output, variant, sha256 })
    }
}

impl<O: Ops> EpsDenoiser for DenoiserNet<O> {
    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn channels(&self) -> usize {
        self.unet.config.output
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn reduce(&self, conditions: &[Planes]) -> Result<Vec<Planes>> {
        check_planes("condition", conditions, self.variant.channels(), vq::FACTOR_PX as usize, 1)?;
        check_side(conditions, 1)?;
        self.runner.run(|| self.ops.in_batches(conditions, |ops, c| ops.download(self.rescaler.forward(ops, c))))
    }

    fn eps(&self, x: &[Planes], reduced: &[Planes], t: u32) -> Result<Vec<Planes>> {
        check_planes("UNet", x, self.channels(), 4, vq::FACTOR_PX as usize)?;
        check_planes("UNet", reduced, self.reduced, 4, vq::FACTOR_PX as usize)?;
        check_side(x, vq::FACTOR_PX as usize)?;
        let same = |(x, c): (&Planes, &Planes)| x.height == c.height && x.width == c.width;
        if x.len() != reduced.len() || !x.iter().zip(reduced).all(same) || t as usize >= TRAINED_STEPS {
            return Err(Error::internal(format!("UNet: latents and conditions do not match, or step {t} is none")));
        }
        let inputs: Vec<Planes> = x.iter().zip(reduced).map(|(x, c)| stacked(x, c)).collect();
        self.runner.run(|| {
            let mut out = Vec::with_capacity(inputs.len());
            for batch in inputs.chunks(BATCH) {
                out.extend(self.ops.download(self.unet.forward(&self.ops, batch, t))?);
            }
            Ok(out)
        })
    }
}
