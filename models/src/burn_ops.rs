//! The operations of [`crate::ops`] through burn: on a GPU by wgpu, or on burn-flex as the oracle of our CPU engine.
//!
//! In: host planes. Out: host planes. Fails at [`Ops::download`] when the device did.

use burn::tensor::activation::{gelu, relu, relu6, silu, softmax};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use histoloom_core::{Error, Planes, Result};

use crate::ops::{After, Before, ConvSpec, Inverted, NormSpec, Ops};

/// Items handed to the device at once; bounds its memory (8 windows of 512 px take 0.8 GB in the widest layer).
const BATCH: usize = 8;

/// Values of attention's table held at once; it has pixels squared for every head and item.
const SCORES: usize = 16 << 20;

/// burn on one device.
#[derive(Clone)]
pub struct BurnOps {
    device: Device,
}

/// A convolution's tensors and options.
pub struct Conv {
    weight: Tensor<4>,
    bias: Tensor<1>,
    options: ConvOptions<2>,
}

/// A normalisation's tensors, `[1, c, 1, 1]`.
pub struct Norm {
    gamma: Tensor<4>,
    beta: Tensor<4>,
    groups: usize,
    epsilon: f32,
}

impl BurnOps {
    /// On this device.
    pub fn new(device: Device) -> Self {
        Self { device }
    }

    fn tensor<const D: usize>(&self, values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.device)
    }

    fn layer(&self, s: &ConvSpec<'_>, groups: usize) -> Conv {
        Conv {
            weight: self.tensor(s.weight, [s.c_out, s.c_in / groups, s.kernel, s.kernel]),
            bias: self.tensor(s.bias, [s.c_out]),
            options: ConvOptions::new_with_padding([s.stride; 2], [s.pad; 2], [1, 1], groups),
        }
    }
}

fn convolve(x: Tensor<4>, layer: &Conv) -> Tensor<4> {
    conv2d(x, layer.weight.clone(), Some(layer.bias.clone()), layer.options.clone())
}

fn normalised(x: &Tensor<4>, norm: &Norm) -> Tensor<4> {
    let [b, c, h, w] = x.dims();
    let grouped = x.clone().reshape([b, norm.groups, c / norm.groups * h * w]);
    let (variance, mean) = grouped.clone().var_mean_bias(2);
    let y = (grouped - mean) / (variance + norm.epsilon).sqrt();
    y.reshape([b, c, h, w]) * norm.gamma.clone() + norm.beta.clone()
}

impl Ops for BurnOps {
    type Map = Tensor<4>;
    type Conv = Conv;
    type Depthwise = Conv;
    type Norm = Norm;

    fn conv_layer(&self, spec: &ConvSpec<'_>) -> Conv {
        self.layer(spec, 1)
    }

    fn depthwise_layer(&self, spec: &ConvSpec<'_>) -> Conv {
        self.layer(spec, spec.c_in)
    }

    fn norm_layer(&self, spec: &NormSpec<'_>) -> Norm {
        let c = spec.gamma.len();
        let (gamma, beta) = (self.tensor(spec.gamma, [1, c, 1, 1]), self.tensor(spec.beta, [1, c, 1, 1]));
        Norm { gamma, beta, groups: spec.groups, epsilon: spec.epsilon }
    }

    fn upload(&self, items: &[Planes]) -> Tensor<4> {
        let (c, h, w) = items.first().map_or((0, 0, 0), |p| (p.channels, p.height, p.width));
        let values: Vec<f32> = items.iter().flat_map(|p| &p.data).copied().collect();
        Tensor::from_data(TensorData::new(values, [items.len(), c, h, w]), &self.device)
    }

    fn download(&self, map: Tensor<4>) -> Result<Vec<Planes>> {
        let [_, c, h, w] = map.dims();
        let values: Vec<f32> = map.try_into_vec_as().map_err(|e| Error::Device {
            device: format!("{:?}", self.device),
            why: format!("reading its result failed: {e}"),
            hint: "free memory on the device, or use the device cpu".into(),
        })?;
        values.chunks_exact((c * h * w).max(1)).map(|item| Planes::new(c, h, w, item.to_vec())).collect()
    }

    fn in_batches<I: Sync, T: Send>(&self, items: &[I], f: impl Fn(&Self, &[I]) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
        let mut out = Vec::with_capacity(items.len());
        for batch in items.chunks(BATCH) {
            out.extend(f(self, batch)?);
        }
        Ok(out)
    }

    fn conv(&self, x: &Tensor<4>, before: Before<'_, Self>, layer: &Conv, after: After<'_, Self>) -> Tensor<4> {
        let x = match before {
            Before::Plain => x.clone(),
            Before::Relu => relu(x.clone()),
            Before::Silu => silu(x.clone()),
            Before::Norm(n) => normalised(x, n),
            Before::NormSilu(n) => silu(normalised(x, n)),
            Before::NormFilmSilu(n, film, first) => {
                let c = x.dims()[1];
                let (scale, shift) = (film.clone().narrow(1, first, c), film.clone().narrow(1, first + c, c));
                silu(normalised(x, n) * (scale + 1.0) + shift)
            }
        };
        let y = convolve(x, layer);
        match after {
            After::Plain => y,
            After::Silu => silu(y),
            After::Relu6 => relu6(y),
            After::Gelu => gelu(y),
            After::Add(other) | After::AddToAll(other) => y + other.clone(),
        }
    }

    fn inverted(&self, x: &Tensor<4>, block: &Inverted<Self>) -> Tensor<4> {
        let wide = block.expand.as_ref().map_or_else(|| x.clone(), |e| relu6(convolve(x.clone(), e)));
        let y = convolve(relu6(convolve(wide, &block.depthwise)), &block.project);
        if block.residual { y + x.clone() } else { y }
    }

    fn add(&self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        a.clone() + b.clone()
    }

    fn mixed(&self, terms: &[(f32, &Tensor<4>)]) -> Tensor<4> {
        let first = terms[0].1.clone() * terms[0].0;
        terms[1..].iter().fold(first, |sum, (k, x)| sum + (*x).clone() * *k)
    }

    fn twice(&self, x: &Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![x.clone(), x.clone()], 0)
    }

    fn guided(&self, v: &Tensor<4>, scale: f32) -> Tensor<4> {
        let n = v.dims()[0] / 2;
        let (c, u) = (v.clone().narrow(0, 0, n), v.clone().narrow(0, n, n));
        u.clone() + (c - u) * scale
    }

    fn limited(&self, x: &Tensor<4>) -> Tensor<4> {
        (x.clone() / 4.0).tanh() * 4.0
    }

    fn concat(&self, a: &Tensor<4>, b: &Tensor<4>) -> Tensor<4> {
        Tensor::cat(vec![a.clone(), b.clone()], 1)
    }

    /// Reshape and expand: nearest interpolation is wrong for some sizes on wgpu.
    fn upsample2(&self, x: &Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let x: Tensor<6> = x.clone().reshape([b, c, h, 1, w, 1]);
        x.expand([b, c, h, 2, w, 2]).reshape([b, c, 2 * h, 2 * w])
    }

    fn pixel_shuffle2(&self, x: &Tensor<4>) -> Tensor<4> {
        let [b, c, h, w] = x.dims();
        let x: Tensor<6> = x.clone().reshape([b, c / 4, 2, 2, h, w]);
        x.permute([0, 1, 4, 2, 5, 3]).reshape([b, c / 4, 2 * h, 2 * w])
    }

    fn attention(&self, qkv: &Tensor<4>, heads: usize) -> Tensor<4> {
        let [b, c3, h, w] = qkv.dims();
        let (c, n) = (c3 / 3, h * w);
        let d = c / heads;
        let at_once = (SCORES / (b * n * n).max(1)).clamp(1, heads);
        let some = |first: usize| {
            let count = at_once.min(heads - first);
            let part = |i: usize| qkv.clone().narrow(1, i * c + first * d, count * d).reshape([b, count, d, n]);
            let q = part(0).swap_dims(2, 3) * (1.0 / (d as f32).sqrt()); // [b, count, n, d]
            let shares = softmax(q.matmul(part(1)), 3); // [b, count, n, n]
            let out = shares.matmul(part(2).swap_dims(2, 3)); // [b, count, n, d]
            out.swap_dims(2, 3).reshape([b, count * d, h, w])
        };
        Tensor::cat((0..heads).step_by(at_once).map(some).collect(), 1)
    }

    fn layer_norm(&self, x: &Tensor<4>, norm: &Norm) -> Tensor<4> {
        let (variance, mean) = x.clone().var_mean_bias(1);
        (x.clone() - mean) / (variance + norm.epsilon).sqrt() * norm.gamma.clone() + norm.beta.clone()
    }

    fn gated(&self, x: &Tensor<4>) -> Tensor<4> {
        let c = x.dims()[1] / 2;
        silu(x.clone().narrow(1, 0, c)) * x.clone().narrow(1, c, c)
    }

    fn prepend(&self, first: &Tensor<4>, x: &Tensor<4>) -> Tensor<4> {
        let ([_, c, _, p], [b, _, h, w]) = (first.dims(), x.dims());
        Tensor::cat(vec![first.clone().expand([b, c, 1, p]), x.clone().reshape([b, c, 1, h * w])], 3)
    }

    fn without(&self, x: &Tensor<4>, p: usize, h: usize, w: usize) -> Tensor<4> {
        let [b, c, _, _] = x.dims();
        x.clone().narrow(3, p, h * w).reshape([b, c, h, w])
    }
}
