//! Our tiny H&E autoencoder: 8 x 8 pixels a latent cell, 16 channels of unit variance. Reference: `reference/autoencoder.py`.
//!
//! In: RGB pictures, sides multiples of 8 px. Out: latents `[16, h/8, w/8]`, and back. Pixels are packed 2 x 2 into channels
//! (space-to-depth) on the host, so most of the work happens at 1/4 and 1/8 of the resolution. Widths and depths are read from the
//! weights.

use histoloom_core::{Planes, Result};
use image::RgbImage;

use crate::ops::{After, Before, Ops};
use crate::pictures;
use crate::weights::Weights;

/// Pixels a latent cell.
pub const FACTOR_PX: u32 = 8;
/// Channels after packing 2 x 2 pixels.
const PACKED: usize = 12;

/// x + conv(relu(conv(relu(x)))).
struct Block<O: Ops> {
    conv1: O::Conv,
    conv2: O::Conv,
}

fn blocks<O: Ops>(ops: &O, w: &Weights, level: &str, c: usize) -> Result<Vec<Block<O>>> {
    let block = |i: usize| {
        Ok(Block {
            conv1: w.conv(ops, &format!("{level}.{i}.conv1"), c, c, 3, 1)?,
            conv2: w.conv(ops, &format!("{level}.{i}.conv2"), c, c, 3, 1)?,
        })
    };
    (0..w.count(level, "conv1.weight")).map(block).collect()
}

fn through<O: Ops>(ops: &O, blocks: &[Block<O>], mut x: O::Map) -> O::Map {
    for b in blocks {
        let h = ops.conv(&x, Before::Relu, &b.conv1, After::Plain);
        x = ops.conv(&h, Before::Relu, &b.conv2, After::Add(&x));
    }
    x
}

/// Pictures to latents.
pub struct Encoder<O: Ops> {
    input: O::Conv,
    level2: Vec<Block<O>>,
    down4: O::Conv,
    level4: Vec<Block<O>>,
    down8: O::Conv,
    level8: Vec<Block<O>>,
    output: O::Conv,
    /// Latent channels.
    pub channels: usize,
}

impl<O: Ops> Encoder<O> {
    /// Takes the tensors `encoder.*`.
    pub fn load(ops: &O, w: &Weights) -> Result<Self> {
        let (a, b) = (w.shape("encoder.input.weight")?[0], w.shape("encoder.down4.weight")?[0]);
        let (c, z) = (w.shape("encoder.down8.weight")?[0], w.shape("encoder.output.weight")?[0]);
        Ok(Self {
            input: w.conv(ops, "encoder.input", PACKED, a, 3, 1)?,
            level2: blocks(ops, w, "encoder.level2", a)?,
            down4: w.conv(ops, "encoder.down4", a, b, 2, 2)?,
            level4: blocks(ops, w, "encoder.level4", b)?,
            down8: w.conv(ops, "encoder.down8", b, c, 2, 2)?,
            level8: blocks(ops, w, "encoder.level8", c)?,
            output: w.conv(ops, "encoder.output", c, z, 3, 1)?,
            channels: z,
        })
    }

    /// `[b, 12, h/2, w/2]` in [-1, 1] to `[b, 16, h/8, w/8]`.
    pub fn forward(&self, ops: &O, packed: &[Planes]) -> O::Map {
        let x = ops.conv(&ops.upload(packed), Before::Plain, &self.input, After::Plain);
        let x = through(ops, &self.level2, x);
        let x = ops.conv(&x, Before::Plain, &self.down4, After::Plain);
        let x = through(ops, &self.level4, x);
        let x = ops.conv(&x, Before::Plain, &self.down8, After::Plain);
        let x = through(ops, &self.level8, x);
        ops.conv(&x, Before::Relu, &self.output, After::Plain)
    }
}

/// Latents to pictures.
pub struct Decoder<O: Ops> {
    input: O::Conv,
    level8: Vec<Block<O>>,
    up4: O::Conv,
    level4: Vec<Block<O>>,
    up2: O::Conv,
    level2: Vec<Block<O>>,
    output: O::Conv,
}

impl<O: Ops> Decoder<O> {
    /// Takes the tensors `decoder.*`.
    pub fn load(ops: &O, w: &Weights) -> Result<Self> {
        let (c, z) = (w.shape("decoder.input.weight")?[0], *w.shape("decoder.input.weight")?.get(1).unwrap_or(&0));
        let (b, a) = (w.shape("decoder.up4.weight")?[0] / 4, w.shape("decoder.up2.weight")?[0] / 4);
        Ok(Self {
            input: w.conv(ops, "decoder.input", z, c, 3, 1)?,
            level8: blocks(ops, w, "decoder.level8", c)?,
            up4: w.conv(ops, "decoder.up4", c, 4 * b, 1, 1)?,
            level4: blocks(ops, w, "decoder.level4", b)?,
            up2: w.conv(ops, "decoder.up2", b, 4 * a, 1, 1)?,
            level2: blocks(ops, w, "decoder.level2", a)?,
            output: w.conv(ops, "decoder.output", a, PACKED, 3, 1)?,
        })
    }

    /// Latents `[b, 16, h, w]`, already limited by [`limited`], to `[b, 12, 4h, 4w]` in [-1, 1].
    pub fn forward(&self, ops: &O, latents: &O::Map) -> O::Map {
        let x = ops.conv(latents, Before::Plain, &self.input, After::Plain);
        let x = through(ops, &self.level8, x);
        let x = ops.pixel_shuffle2(&ops.conv(&x, Before::Relu, &self.up4, After::Plain)); // [b, b, 2h, 2w]
        let x = through(ops, &self.level4, x);
        let x = ops.pixel_shuffle2(&ops.conv(&x, Before::Relu, &self.up2, After::Plain)); // [b, a, 4h, 4w]
        let x = through(ops, &self.level2, x);
        ops.conv(&x, Before::Relu, &self.output, After::Plain)
    }
}

/// 4 tanh(z / 4): latents far outside the training range do no harm.
pub fn limited(z: &Planes) -> Planes {
    Planes { data: z.data.iter().map(|v| (v / 4.0).tanh() * 4.0).collect(), ..*z } // as Ops::limited
}

/// A picture as the encoder wants it: `[12, h/2, w/2]` in [-1, 1], channels ordered as PyTorch's `pixel_unshuffle`.
pub fn packed(rgb: &RgbImage) -> Planes {
    pictures::unshuffle2(&pictures::planes(rgb, |v| f32::from(v) / 255.0 * 2.0 - 1.0))
}

/// The decoder's output as a picture: clamped and rounded to bytes.
pub fn unpacked(planes: &Planes) -> Result<RgbImage> {
    pictures::rgb(&pictures::shuffle2(planes), |v| v * 0.5 + 0.5)
}
