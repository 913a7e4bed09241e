//! The UNet: predicts the noise in x_t. Keys are those of CompVis' `model.diffusion_model.*`.
//!
//! In: x_t and the reduced condition stacked, `[b, 6, h, w]`, h and w multiples of 4, and the step t in 0..1000. Out: `[b, 3, h, w]`.
//! At full width: 128, 512, 1024 channels, 215.2 M parameters, 103.8 GMAC at 64 x 64. Attention sits in the middle block only.

use histoloom_core::{Planes, Result};

use super::layers::{Layers, Listed};
use super::{Asked, BLOCKS, CHANNELS, LEVELS, Shape, read};
use crate::denoiser::scalar_features;
use crate::ops::{After, Before, Ops};

/// Heads of the attention.
const HEADS: usize = 8;
/// Epsilon of the normalisations.
const EPSILON: f32 = 1e-5;

/// What is read from shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of x_t and condition together.
    pub input: usize,
    /// Latent channels.
    pub output: usize,
    /// Channels of the levels, finest first.
    pub widths: [usize; LEVELS],
}

impl Config {
    /// As published.
    pub const PUBLISHED: Self = Self { input: 6, output: 3, widths: [128, 512, 1024] };

    /// From the shapes of the weights.
    pub fn read(shape: &Shape<'_>) -> Result<Self> {
        let mut widths = [0; LEVELS];
        for (level, width) in widths.iter_mut().enumerate() {
            *width = read(shape, &format!("input_blocks.{}.0.in_layers.2.weight", 1 + level * (BLOCKS + 1)), 0, CHANNELS)?;
        }
        let input = read(shape, "input_blocks.0.0.weight", 1, CHANNELS)?;
        Ok(Self { input, output: read(shape, "out.2.weight", 0, CHANNELS)?, widths })
    }

    /// Names and shapes of all weights.
    pub fn tensors(&self) -> Result<Listed> {
        Asked::by(|l| Unet::load(l, *self))
    }
}

/// A residual block; the embedding is added between its convolutions.
pub(crate) struct Res<O: Ops> {
    norm1: O::Norm,
    conv1: O::Conv,
    embedding: O::Conv,
    norm2: O::Norm,
    conv2: O::Conv,
    skip: Option<O::Conv>,
}

impl<O: Ops> Res<O> {
    pub(crate) fn load(l: &Layers<'_, O>, name: &str, c_in: usize, c_out: usize, e: usize) -> Result<Self> {
        let of = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm1: l.norm(&of("in_layers.0"), c_in, EPSILON)?,
            conv1: l.conv(&of("in_layers.2"), c_in, c_out, 3)?,
            embedding: l.linear(&of("emb_layers.1"), &[c_out, e])?,
            norm2: l.norm(&of("out_layers.0"), c_out, EPSILON)?,
            conv2: l.conv(&of("out_layers.3"), c_out, c_out, 3)?,
            skip: if c_in == c_out { None } else { Some(l.conv(&of("skip_connection"), c_in, c_out, 1)?) },
        })
    }

    /// `e` is silu(embedding), `[1, e, 1, 1]`.
    pub(crate) fn forward(&self, ops: &O, x: &O::Map, e: &O::Map) -> O::Map {
        let e = ops.conv(e, Before::Plain, &self.embedding, After::Plain); // [1, c_out, 1, 1]
        let h = ops.conv(x, Before::NormSilu(&self.norm1), &self.conv1, After::AddToAll(&e));
        let skip = self.skip.as_ref().map(|s| ops.conv(x, Before::Plain, s, After::Plain));
        ops.conv(&h, Before::NormSilu(&self.norm2), &self.conv2, After::Add(skip.as_ref().unwrap_or(x)))
    }
}

/// Self-attention over all cells.
pub(crate) struct Attention<O: Ops> {
    norm: O::Norm,
    qkv: O::Conv,
    out: O::Conv,
}

impl<O: Ops> Attention<O> {
    pub(crate) fn load(l: &Layers<'_, O>, name: &str, c: usize) -> Result<Self> {
        let qkv = format!("{name}.qkv");
        let weight = by_part(l.part(&qkv, "weight", &[3 * c, c, 1])?, c);
        let bias = by_part(l.part(&qkv, "bias", &[3 * c])?, 1);
        Ok(Self {
            norm: l.norm(&format!("{name}.norm"), c, EPSILON)?,
            qkv: l.mixed(&weight, &bias, c, 3 * c),
            out: l.linear(&format!("{name}.proj_out"), &[c, c, 1])?,
        })
    }

    pub(crate) fn forward(&self, ops: &O, x: &O::Map) -> O::Map {
        let qkv = ops.conv(x, Before::Norm(&self.norm), &self.qkv, After::Plain); // [b, 3c, h, w]
        ops.conv(&ops.attention(&qkv, HEADS), Before::Plain, &self.out, After::Add(x))
    }
}

/// Rows of `row` values ordered head by head, in each q, k, v, to all of q, all of k, all of v, as our attention takes them.
fn by_part(rows: &[f32], row: usize) -> Vec<f32> {
    let part = rows.len() / row.max(1) / (3 * HEADS) * row;
    let heads = |p: usize| rows.chunks_exact((3 * part).max(1)).flat_map(move |head| &head[p * part..(p + 1) * part]);
    (0..3).flat_map(heads).copied().collect()
}

/// Residual blocks of one resolution, and the convolution that leads to the next.
struct Level<O: Ops> {
    blocks: Vec<Res<O>>,
    change: Option<O::Conv>,
}

/// The network on a device.
pub struct Unet<O: Ops> {
    time1: O::Conv,
    time2: O::Conv,
    input: O::Conv,
    down: Vec<Level<O>>,
    middle: (Res<O>, Attention<O>, Res<O>),
    up: Vec<Level<O>>,
    norm: O::Norm,
    output: O::Conv,
    /// What was read from shapes.
    pub config: Config,
}

impl<O: Ops> Unet<O> {
    /// Takes the weights.
    pub fn load(l: &Layers<'_, O>, config: Config) -> Result<Self> {
        let [first, .., last] = config.widths;
        let e = 4 * first;
        let middle = |i: usize| format!("middle_block.{i}");
        let mut skips = vec![first];
        Ok(Self {
            time1: l.linear("time_embed.0", &[e, first])?,
            time2: l.linear("time_embed.2", &[e, e])?,
            input: l.conv("input_blocks.0.0", config.input, first, 3)?,
            down: down(l, config.widths, &mut skips)?,
            middle: (
                Res::load(l, &middle(0), last, last, e)?,
                Attention::load(l, &middle(1), last)?,
                Res::load(l, &middle(2), last, last, e)?,
            ),
            up: up(l, config.widths, &mut skips)?,
            norm: l.norm("out.0", first, EPSILON)?,
            output: l.conv("out.2", first, config.output, 3)?,
            config,
        })
    }

    /// silu of the embedding of a step, `[1, e, 1, 1]`: every block begins with that.
    fn embedding(&self, ops: &O, t: u32) -> O::Map {
        let [first, ..] = self.config.widths;
        let h = ops.conv(&ops.upload(&[scalar_features(t as f32, first)]), Before::Plain, &self.time1, After::Silu);
        ops.conv(&h, Before::Plain, &self.time2, After::Silu)
    }

    /// `[b, 6, h, w]` to the noise `[b, 3, h, w]`.
    pub fn forward(&self, ops: &O, stacked: &[Planes], t: u32) -> O::Map {
        let e = self.embedding(ops, t);
        let mut x = ops.conv(&ops.upload(stacked), Before::Plain, &self.input, After::Plain);
        let mut skips = vec![x.clone()];
        for level in &self.down {
            for block in &level.blocks {
                x = block.forward(ops, &x, &e);
                skips.push(x.clone());
            }
            if let Some(pool) = &level.change {
                x = ops.conv(&x, Before::Plain, pool, After::Plain); // half the size
                skips.push(x.clone());
            }
        }
        x = self.middle.0.forward(ops, &x, &e);
        x = self.middle.2.forward(ops, &self.middle.1.forward(ops, &x), &e);
        for level in &self.up {
            for block in &level.blocks {
                let joined = skips.pop().map_or_else(|| x.clone(), |s| ops.concat(&x, &s));
                x = block.forward(ops, &joined, &e);
            }
            if let Some(grow) = &level.change {
                x = ops.conv(&ops.upsample2(&x), Before::Plain, grow, After::Plain); // twice the size
            }
        }
        ops.conv(&x, Before::NormSilu(&self.norm), &self.output, After::Plain)
    }
}

/// The way down; `skips` gets the channels of every map that is kept.
fn down<O: Ops>(l: &Layers<'_, O>, widths: [usize; LEVELS], skips: &mut Vec<usize>) -> Result<Vec<Level<O>>> {
    let [mut c, ..] = widths;
    let (e, mut out) = (4 * c, Vec::new());
    for (level, width) in widths.into_iter().enumerate() {
        let mut blocks = Vec::new();
        for i in 0..BLOCKS {
            blocks.push(Res::load(l, &format!("input_blocks.{}.0", 1 + level * (BLOCKS + 1) + i), c, width, e)?);
            c = width;
            skips.push(c);
        }
        let name = format!("input_blocks.{}.0.op", (level + 1) * (BLOCKS + 1));
        let change = if level + 1 < LEVELS { Some(l.strided(&name, (c, c), 3, 2, (1, 1))?) } else { None };
        skips.extend(change.as_ref().map(|_| c));
        out.push(Level { blocks, change });
    }
    Ok(out)
}

/// The way up, coarsest level first.
fn up<O: Ops>(l: &Layers<'_, O>, widths: [usize; LEVELS], skips: &mut Vec<usize>) -> Result<Vec<Level<O>>> {
    let [first, .., mut c] = widths;
    let mut out = Vec::new();
    for (j, width) in widths.into_iter().rev().enumerate() {
        let at = |i: usize| format!("output_blocks.{}", j * (BLOCKS + 1) + i);
        let mut blocks = Vec::new();
        for i in 0..=BLOCKS {
            blocks.push(Res::load(l, &format!("{}.0", at(i)), c + skips.pop().unwrap_or(0), width, 4 * first)?);
            c = width;
        }
        let change = if j + 1 < LEVELS { Some(l.conv(&format!("{}.1.conv", at(BLOCKS)), c, c, 3)?) } else { None };
        out.push(Level { blocks, change });
    }
    Ok(out)
}
