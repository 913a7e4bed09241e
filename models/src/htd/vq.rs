//! The first stage, VQ-f4: RGB to latents and back through a codebook. Keys are those of CompVis' `first_stage_model.*`.
//!
//! In: RGB `[3, h, w]` in [-1, 1], sides multiples of 4. Out: latents `[3, h/4, w/4]` before quantisation (scale factor 1). Decoding
//! replaces each cell by its nearest code first. At full width: 128, 256, 512 channels, 8192 codes, 55.3 M parameters; decoding 256 px
//! takes 335 GMAC.

use histoloom_core::{Planes, Result};

use super::layers::{Layers, Listed};
use super::{Asked, BLOCKS, CHANNELS, CODES, LEVELS, Shape, read};
use crate::ops::{After, Before, Ops};

/// Epsilon of the normalisations.
const EPSILON: f32 = 1e-6;
/// Channels of a picture.
const RGB: usize = 3;
/// Pixels a latent cell.
pub const FACTOR_PX: u32 = 1 << (LEVELS - 1);

/// What is read from shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of the levels, finest first.
    pub widths: [usize; LEVELS],
    /// Channels between encoder and codes.
    pub z: usize,
    /// Latent channels: those of a code.
    pub embed: usize,
    /// Codes in the book.
    pub codes: usize,
}

impl Config {
    /// As published.
    pub const PUBLISHED: Self = Self { widths: [128, 256, 512], z: 3, embed: 3, codes: 8192 };

    /// From the shapes of the weights.
    pub fn read(shape: &Shape<'_>) -> Result<Self> {
        let mut widths = [0; LEVELS];
        for (level, width) in widths.iter_mut().enumerate() {
            *width = read(shape, &format!("encoder.down.{level}.block.0.conv1.weight"), 0, CHANNELS)?;
        }
        Ok(Self {
            widths,
            z: read(shape, "encoder.conv_out.weight", 0, CHANNELS)?,
            embed: read(shape, "quantize.embedding.weight", 1, CHANNELS)?,
            codes: read(shape, "quantize.embedding.weight", 0, CODES)?,
        })
    }

    /// Names and shapes of all weights.
    pub fn tensors(&self) -> Result<Listed> {
        Asked::by(|l| {
            Encoder::load(l, *self)?;
            Decoder::load(l, *self)?;
            Codebook::load(l, *self)
        })
    }
}

/// A residual block.
pub(crate) struct Block<O: Ops> {
    norm1: O::Norm,
    conv1: O::Conv,
    norm2: O::Norm,
    conv2: O::Conv,
    shortcut: Option<O::Conv>,
}

impl<O: Ops> Block<O> {
    pub(crate) fn load(l: &Layers<'_, O>, name: &str, c_in: usize, c_out: usize) -> Result<Self> {
        let of = |part: &str| format!("{name}.{part}");
        Ok(Self {
            norm1: l.norm(&of("norm1"), c_in, EPSILON)?,
            conv1: l.conv(&of("conv1"), c_in, c_out, 3)?,
            norm2: l.norm(&of("norm2"), c_out, EPSILON)?,
            conv2: l.conv(&of("conv2"), c_out, c_out, 3)?,
            shortcut: if c_in == c_out { None } else { Some(l.conv(&of("nin_shortcut"), c_in, c_out, 1)?) },
        })
    }

    pub(crate) fn forward(&self, ops: &O, x: &O::Map) -> O::Map {
        let h = ops.conv(x, Before::NormSilu(&self.norm1), &self.conv1, After::Plain);
        let skip = self.shortcut.as_ref().map(|s| ops.conv(x, Before::Plain, s, After::Plain));
        ops.conv(&h, Before::NormSilu(&self.norm2), &self.conv2, After::Add(skip.as_ref().unwrap_or(x)))
    }
}

/// Self-attention over all cells with one head.
pub(crate) struct Attention<O: Ops> {
    norm: O::Norm,
    qkv: O::Conv,
    out: O::Conv,
}

impl<O: Ops> Attention<O> {
    pub(crate) fn load(l: &Layers<'_, O>, name: &str, c: usize) -> Result<Self> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for part in ["q", "k", "v"] {
            weight.extend_from_slice(l.part(&format!("{name}.{part}"), "weight", &[c, c, 1, 1])?);
            bias.extend_from_slice(l.part(&format!("{name}.{part}"), "bias", &[c])?);
        }
        Ok(Self {
            norm: l.norm(&format!("{name}.norm"), c, EPSILON)?,
            qkv: l.mixed(&weight, &bias, c, 3 * c),
            out: l.conv(&format!("{name}.proj_out"), c, c, 1)?,
        })
    }

    pub(crate) fn forward(&self, ops: &O, x: &O::Map) -> O::Map {
        let qkv = ops.conv(x, Before::Norm(&self.norm), &self.qkv, After::Plain); // [b, 3c, h, w]
        ops.conv(&ops.attention(&qkv, 1), Before::Plain, &self.out, After::Add(x))
    }
}

/// Block, attention, block at the coarsest level.
struct Middle<O: Ops>(Block<O>, Attention<O>, Block<O>);

impl<O: Ops> Middle<O> {
    fn load(l: &Layers<'_, O>, name: &str, c: usize) -> Result<Self> {
        let block = |i: usize| Block::load(l, &format!("{name}.mid.block_{i}"), c, c);
        Ok(Self(block(1)?, Attention::load(l, &format!("{name}.mid.attn_1"), c)?, block(2)?))
    }

    fn forward(&self, ops: &O, x: &O::Map) -> O::Map {
        self.2.forward(ops, &self.1.forward(ops, &self.0.forward(ops, x)))
    }
}

/// Blocks of one resolution, and the convolution that leads to the next.
struct Level<O: Ops> {
    blocks: Vec<Block<O>>,
    change: Option<O::Conv>,
}

fn blocks<O: Ops>(l: &Layers<'_, O>, name: &str, count: usize, c_in: usize, c_out: usize) -> Result<Vec<Block<O>>> {
    (0..count).map(|i| Block::load(l, &format!("{name}.block.{i}"), if i == 0 { c_in } else { c_out }, c_out)).collect()
}

/// The convolution that halves the size: it pads right and below only.
pub(crate) fn halving<O: Ops>(l: &Layers<'_, O>, name: &str, c: usize) -> Result<O::Conv> {
    l.strided(&format!("{name}.downsample.conv"), (c, c), 3, 2, (0, 1))
}

/// Pictures to latents.
pub struct Encoder<O: Ops> {
    input: O::Conv,
    down: Vec<Level<O>>,
    middle: Middle<O>,
    norm: O::Norm,
    output: O::Conv,
    quant: O::Conv,
    /// Latent channels.
    pub channels: usize,
}

impl<O: Ops> Encoder<O> {
    /// Takes the tensors `encoder.*` and `quant_conv.*`.
    pub fn load(l: &Layers<'_, O>, config: Config) -> Result<Self> {
        let [first, .., last] = config.widths;
        let (mut c, mut down) = (first, Vec::new());
        for (level, width) in config.widths.into_iter().enumerate() {
            let name = format!("encoder.down.{level}");
            let blocks = blocks(l, &name, BLOCKS, c, width)?;
            c = width;
            down.push(Level { blocks, change: if level + 1 < LEVELS { Some(halving(l, &name, c)?) } else { None } });
        }
        Ok(Self {
            input: l.conv("encoder.conv_in", RGB, first, 3)?,
            down,
            middle: Middle::load(l, "encoder", last)?,
            norm: l.norm("encoder.norm_out", last, EPSILON)?,
            output: l.conv("encoder.conv_out", last, config.z, 3)?,
            quant: l.conv("quant_conv", config.z, config.embed, 1)?,
            channels: config.embed,
        })
    }

    /// `[b, 3, h, w]` in [-1, 1] to `[b, 3, h/4, w/4]`.
    pub fn forward(&self, ops: &O, pictures: &[Planes]) -> O::Map {
        let mut x = ops.conv(&ops.upload(pictures), Before::Plain, &self.input, After::Plain);
        for level in &self.down {
            x = level.blocks.iter().fold(x, |x, block| block.forward(ops, &x));
            if let Some(pool) = &level.change {
                x = ops.conv(&x, Before::Plain, pool, After::Plain); // half the size
            }
        }
        let z = ops.conv(&self.middle.forward(ops, &x), Before::NormSilu(&self.norm), &self.output, After::Plain);
        ops.conv(&z, Before::Plain, &self.quant, After::Plain)
    }
}

/// Latents to pictures.
pub struct Decoder<O: Ops> {
    quant: O::Conv,
    input: O::Conv,
    middle: Middle<O>,
    up: Vec<Level<O>>,
    norm: O::Norm,
    output: O::Conv,
}

impl<O: Ops> Decoder<O> {
    /// Takes the tensors `post_quant_conv.*` and `decoder.*`.
    pub fn load(l: &Layers<'_, O>, config: Config) -> Result<Self> {
        let [first, .., last] = config.widths;
        let (mut c, mut up) = (last, Vec::new());
        for (level, width) in config.widths.into_iter().enumerate().rev() {
            let name = format!("decoder.up.{level}");
            let blocks = blocks(l, &name, BLOCKS + 1, c, width)?;
            c = width;
            let change = if level > 0 { Some(l.conv(&format!("{name}.upsample.conv"), c, c, 3)?) } else { None };
            up.push(Level { blocks, change });
        }
        Ok(Self {
            quant: l.conv("post_quant_conv", config.embed, config.z, 1)?,
            input: l.conv("decoder.conv_in", config.z, last, 3)?,
            middle: Middle::load(l, "decoder", last)?,
            up,
            norm: l.norm("decoder.norm_out", first, EPSILON)?,
            output: l.conv("decoder.conv_out", first, RGB, 3)?,
        })
    }

    /// Codes `[b, 3, h, w]` to pictures `[b, 3, 4h, 4w]` in [-1, 1].
    pub fn forward(&self, ops: &O, codes: &[Planes]) -> O::Map {
        let z = ops.conv(&ops.upload(codes), Before::Plain, &self.quant, After::Plain);
        let x = ops.conv(&z, Before::Plain, &self.input, After::Plain);
        let mut x = self.middle.forward(ops, &x);
        for level in &self.up {
            x = level.blocks.iter().fold(x, |x, block| block.forward(ops, &x));
            if let Some(grow) = &level.change {
                x = ops.conv(&ops.upsample2(&x), Before::Plain, grow, After::Plain); // twice the size
            }
        }
        ops.conv(&x, Before::NormSilu(&self.norm), &self.output, After::Plain)
    }
}

/// The codes, on the host.
pub struct Codebook {
    codes: Vec<f32>,
    channels: usize,
}

impl Codebook {
    /// Takes `quantize.embedding.weight`.
    pub fn load<O: Ops>(l: &Layers<'_, O>, config: Config) -> Result<Self> {
        let codes = l.part("quantize.embedding", "weight", &[config.codes, config.embed])?;
        Ok(Self { codes: codes.to_vec(), channels: config.embed })
    }

    /// Each cell of `[c, h, w]` replaced by its nearest code, the first among equals. Cells that are not finite stay as they are.
    pub fn nearest(&self, z: &Planes) -> Planes {
        let mut out = z.clone();
        let area = z.area();
        let mut cell = vec![0.0; self.channels];
        for i in 0..area {
            cell.iter_mut().zip(z.data.iter().skip(i).step_by(area)).for_each(|(to, v)| *to = *v);
            let (mut least, mut found) = (f32::INFINITY, None);
            for code in self.codes.chunks_exact(self.channels.max(1)) {
                let distance: f32 = code.iter().zip(&cell).map(|(a, b)| (a - b) * (a - b)).sum();
                if distance < least {
                    (least, found) = (distance, Some(code));
                }
            }
            let places = out.data.iter_mut().skip(i).step_by(area);
            places.zip(found.into_iter().flatten()).for_each(|(to, v)| *to = *v);
        }
        out
    }
}
