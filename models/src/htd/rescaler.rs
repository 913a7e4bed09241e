//! The reduction of the condition: two bilinear halvings, then a bias-free 1x1 convolution. Key: CompVis'
//! `cond_stage_model.channel_mapper.weight`.
//!
//! In: class planes `[c, h, w]`, sides multiples of 4. Out: `[3, h/4, w/4]`. A bilinear halving is the mean of 2 x 2 pixels, so the whole
//! is one convolution with a 4 x 4 kernel of equal taps.

use histoloom_core::condition::paper::Variant;
use histoloom_core::{Error, Planes, Result};

use super::layers::{Layers, Listed};
use super::{Asked, CHANNELS, Shape, read};
use crate::ops::{After, Before, ConvSpec, Ops};

/// Pixels a cell.
const FACTOR: usize = 4;

/// What is read from shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Planes of the condition.
    pub input: usize,
    /// Channels that the UNet takes.
    pub output: usize,
}

impl Config {
    /// From the shape of the weight.
    pub fn read(shape: &Shape<'_>) -> Result<Self> {
        let extent = |n| read(shape, "channel_mapper.weight", n, CHANNELS);
        Ok(Self { input: extent(1)?, output: extent(0)? })
    }

    /// Name and shape of the weight.
    pub fn tensors(&self) -> Result<Listed> {
        Asked::by(|l| Rescaler::load(l, *self))
    }

    /// Which planes the condition has.
    pub fn variant(&self) -> Result<Variant> {
        Variant::from_channels(self.input).ok_or_else(|| Error::Weights {
            file: "channel_mapper.weight".into(),
            why: format!("it mixes {} planes; known are 4 a class, and 1 more with a background", self.input),
            hint: "import a checkpoint of the published networks (Camelyon16 has 8 planes, PANDA 9)".into(),
        })
    }
}

/// The network on a device.
pub struct Rescaler<O: Ops> {
    conv: O::Conv,
}

impl<O: Ops> Rescaler<O> {
    /// Takes the weight.
    pub fn load(l: &Layers<'_, O>, config: Config) -> Result<Self> {
        let (c_in, c_out, taps) = (config.input, config.output, FACTOR * FACTOR);
        let mixed = l.part("channel_mapper", "weight", &[c_out, c_in, 1, 1])?;
        let weight: Vec<f32> = mixed.iter().flat_map(|w| std::iter::repeat_n(w / taps as f32, taps)).collect();
        let spec = ConvSpec { weight: &weight, bias: &vec![0.0; c_out], c_in, c_out, kernel: FACTOR, stride: FACTOR, pad: (0, 0) };
        Ok(Self { conv: l.ops.conv_layer(&spec) })
    }

    /// `[b, c, h, w]` to `[b, 3, h/4, w/4]`.
    pub fn forward(&self, ops: &O, conditions: &[Planes]) -> O::Map {
        ops.conv(&ops.upload(conditions), Before::Plain, &self.conv, After::Plain)
    }
}
