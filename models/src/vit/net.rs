//! The network. In: windows cut into patches `[3 p p, h, w]`. Out: patch tokens after the last normalisation, `[width, h, w]`. Fails
//! where a tensor cannot be read.
//!
//! Tokens lie in one row: class token, registers, patches. A block is x + s1 attention(norm(x)), then x + s2 perceptron(norm(x)); the
//! scales s (LayerScale) are multiplied into the last linear layer of their branch when weights are loaded.

use histoloom_core::{Planes, Result};
use image::RgbImage;
use parking_lot::Mutex;

use super::positions::resampled;
use super::{Config, Mlp};
use crate::ops::{After, Before, ConvSpec, NormSpec, Ops};

/// Added to variances by timm and DINOv2.
const EPSILON: f32 = 1e-6;

/// Reads a tensor by timm's name.
pub type Read<'a> = dyn Fn(&str) -> Result<Vec<f32>> + Sync + 'a;

/// The network on a device.
pub struct Vit<O: Ops> {
    /// What it is.
    pub config: Config,
    patches: O::Conv,
    blocks: Vec<Block<O>>,
    norm: O::Norm,
    /// `[c, 1, prefix]`: class token and registers, with their positions.
    prefix: Planes,
    /// `[c, side, side]`.
    table: Planes,
    laid: Mutex<Option<Laid<O>>>,
}

struct Block<O: Ops> {
    norm1: O::Norm,
    qkv: O::Conv,
    proj: O::Conv,
    norm2: O::Norm,
    fc1: O::Conv,
    fc2: O::Conv,
}

/// What the grid in use asks for, on the device.
struct Laid<O: Ops> {
    grid: (usize, usize),
    prefix: Option<O::Map>,
    positions: O::Map,
}

impl<O: Ops> Clone for Laid<O> {
    fn clone(&self) -> Self {
        Self { grid: self.grid, prefix: self.prefix.clone(), positions: self.positions.clone() }
    }
}

/// Makes layers.
struct Loader<'a, O: Ops> {
    ops: &'a O,
    config: Config,
    read: &'a Read<'a>,
}

impl<O: Ops> Loader<'_, O> {
    /// A linear layer; its output times `scale`, where there is one.
    fn linear(&self, name: &str, c_in: usize, c_out: usize, bias: bool, scale: Option<&str>) -> Result<O::Conv> {
        let mut weight = (self.read)(&format!("{name}.weight"))?;
        let mut bias = if bias { (self.read)(&format!("{name}.bias"))? } else { vec![0.0; c_out] };
        if let Some(scale) = scale.filter(|_| self.config.layer_scale) {
            let scale = (self.read)(scale)?;
            weight.chunks_exact_mut(c_in).zip(&scale).for_each(|(row, s)| row.iter_mut().for_each(|v| *v *= s));
            bias.iter_mut().zip(&scale).for_each(|(v, s)| *v *= s);
        }
        Ok(self.ops.conv_layer(&ConvSpec { weight: &weight, bias: &bias, c_in, c_out, kernel: 1, stride: 1, pad: (0, 0) }))
    }

    fn norm(&self, name: &str) -> Result<O::Norm> {
        let (gamma, beta) = ((self.read)(&format!("{name}.weight"))?, (self.read)(&format!("{name}.bias"))?);
        Ok(self.ops.norm_layer(&NormSpec { gamma: &gamma, beta: &beta, groups: 1, epsilon: EPSILON }))
    }

    fn block(&self, n: usize) -> Result<Block<O>> {
        let (c, hidden) = (self.config.width, self.config.hidden);
        let wide = if self.config.mlp == Mlp::SwiGlu { 2 * hidden } else { hidden };
        let at = |part: &str| format!("blocks.{n}.{part}");
        Ok(Block {
            norm1: self.norm(&at("norm1"))?,
            qkv: self.linear(&at("attn.qkv"), c, 3 * c, self.config.qkv_bias, None)?,
            proj: self.linear(&at("attn.proj"), c, c, true, Some(&at("ls1.gamma")))?,
            norm2: self.norm(&at("norm2"))?,
            fc1: self.linear(&at("mlp.fc1"), c, wide, true, None)?,
            fc2: self.linear(&at("mlp.fc2"), hidden, c, true, Some(&at("ls2.gamma")))?,
        })
    }

    /// Class token and registers `[prefix, c]` with the positions of the first of them, and the positions of patches `[side * side, c]`.
    fn tokens(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let mut prefix = if self.config.class_token { (self.read)("cls_token")? } else { Vec::new() };
        if self.config.registers > 0 {
            prefix.extend((self.read)("reg_token")?);
        }
        let mut positions = (self.read)("pos_embed")?;
        let patches = positions.split_off((self.config.placed * self.config.width).min(positions.len()));
        prefix.iter_mut().zip(&positions).for_each(|(t, p)| *t += p);
        Ok((prefix, patches))
    }
}

impl<O: Ops> Vit<O> {
    /// Takes the weights, whose names and shapes were checked by [`Config::read`].
    pub fn load(ops: &O, config: Config, read: &Read<'_>) -> Result<Self> {
        let loader = Loader { ops, config, read };
        let patch_values = 3 * config.patch_px * config.patch_px;
        let (prefix, positions) = loader.tokens()?;
        Ok(Self {
            config,
            patches: loader.linear("patch_embed.proj", patch_values, config.width, true, None)?,
            blocks: (0..config.depth).map(|n| loader.block(n)).collect::<Result<_>>()?,
            norm: loader.norm("norm")?,
            prefix: turned(&prefix, config.width, 1, config.prefix())?,
            table: turned(&positions, config.width, config.side, config.side)?,
            laid: Mutex::default(),
        })
    }

    /// Patches of windows of one size `[3 p p, h, w]` to normalised tokens `[b, c, h, w]`.
    pub fn forward(&self, ops: &O, windows: &[Planes]) -> O::Map {
        let (h, w) = windows.first().map_or((0, 0), |p| (p.height, p.width));
        let laid = self.laid(ops, (h, w));
        let x = ops.conv(&ops.upload(windows), Before::Plain, &self.patches, After::Plain);
        let mut x = ops.add(&x, &laid.positions);
        if let Some(prefix) = &laid.prefix {
            x = ops.prepend(prefix, &x); // [b, c, 1, prefix + h w]
        }
        for block in &self.blocks {
            x = self.block(ops, block, &x);
        }
        if laid.prefix.is_some() {
            x = ops.without(&x, self.config.prefix(), h, w); // [b, c, h, w]
        }
        ops.layer_norm(&x, &self.norm)
    }

    fn block(&self, ops: &O, b: &Block<O>, x: &O::Map) -> O::Map {
        let qkv = ops.conv(&ops.layer_norm(x, &b.norm1), Before::Plain, &b.qkv, After::Plain); // [b, 3c, 1, n]
        let x = ops.conv(&ops.attention(&qkv, self.config.heads), Before::Plain, &b.proj, After::Add(x));
        let normed = ops.layer_norm(&x, &b.norm2);
        let inner = match self.config.mlp {
            Mlp::Gelu => ops.conv(&normed, Before::Plain, &b.fc1, After::Gelu),
            Mlp::SwiGlu => ops.gated(&ops.conv(&normed, Before::Plain, &b.fc1, After::Plain)),
        }; // [b, hidden, 1, n]
        ops.conv(&inner, Before::Plain, &b.fc2, After::Add(&x))
    }

    /// Positions of a grid; the last one is kept, as windows of a slide are of one size.
    fn laid(&self, ops: &O, grid: (usize, usize)) -> Laid<O> {
        let mut slot = self.laid.lock();
        if let Some(laid) = slot.as_ref().filter(|l| l.grid == grid) {
            return laid.clone();
        }
        let prefix = (self.config.prefix() > 0).then(|| ops.upload(std::slice::from_ref(&self.prefix)));
        let positions = ops.upload(&[resampled(&self.table, grid.0, grid.1)]);
        slot.insert(Laid { grid, prefix, positions }).clone()
    }
}

/// `[h w, c]` as planes `[c, h, w]`.
fn turned(values: &[f32], c: usize, h: usize, w: usize) -> Result<Planes> {
    let data = (0..c).flat_map(|k| values.iter().skip(k).step_by(c.max(1)).copied()).collect();
    Planes::new(c, h, w, data)
}

/// A window cut into patches of p x p px, `[3 p p, h / p, w / p]`, each byte of a colour through its table: the order of the values is
/// that of a convolution's weights.
pub fn patched(rgb: &RgbImage, p: usize, tables: &[Vec<f32>; 3]) -> Planes {
    let (w, row) = (rgb.width() as usize / p, 3 * rgb.width() as usize);
    let mut out = Planes::zeros(3 * p * p, rgb.height() as usize / p, w);
    for (n, plane) in out.data.chunks_exact_mut((rgb.height() as usize / p * w).max(1)).enumerate() {
        let (colour, y, x) = (n / (p * p), n / p % p, n % p);
        for (to, line) in plane.chunks_exact_mut(w).zip(rgb.as_raw().chunks_exact(row * p)) {
            let bytes = line[y * row + 3 * x + colour..].iter().step_by(3 * p);
            to.iter_mut().zip(bytes).for_each(|(to, v)| *to = tables[colour][usize::from(*v)]);
        }
    }
    out
}
