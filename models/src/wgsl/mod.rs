//! The operations of [`crate::ops`] as kernels of our own in WGSL, through wgpu: the GPU path that is used wherever it agrees with the CPU.
//!
//! In: host planes. Out: host planes. A network's whole pass is one submission with one reading back. Where the device is fast a tile is
//! one too ([`crate::nets`]), and a batch of tiles is read back once. What a normalisation or an activation
//! does to a convolution's input is done while it is read, what comes after while it is written; an upsampled map is read from its small
//! one. Fails at [`Ops::download`], with what went wrong first. Kernels are few and made within milliseconds, with nothing to tune.
//!
//! | file | one thing |
//! |---|---|
//! | `device` | an adapter's memory, kernels and what was asked of it |
//! | `kernels` | which variants of the kernels there are |
//! | `*.wgsl` | the kernels |

mod device;
mod kernels;

use std::sync::Arc;

use histoloom_core::{Planes, Result};

use crate::ops::{After, Before, ConvSpec, Inverted, NormSpec, Ops};
use device::{Gpu, Held, Values};
use kernels::{Kernel, Params};

/// Items handed to the device at once; halved where the device has no room for them.
const BATCH: usize = 8;
/// Workgroups in a row; every device takes 65 535.
const ROW: usize = 8192;
/// Workgroups below which smaller tiles keep more of a device busy.
const FEW: usize = 256;

/// Our kernels on one adapter.
#[derive(Clone)]
pub struct WgslOps {
    gpu: Arc<Gpu>,
}

/// Activations `[b, c, h, w]`; read as `[b, c, 2h, 2w]` where `up`.
#[derive(Clone)]
pub struct Map {
    values: Values,
    shape: [usize; 4],
    up: bool,
}

/// A convolution's weights, `[c_in * k * k, c_out]` with c_out filled up to fours.
pub struct Conv {
    weight: Values,
    /// Whether the weights lie in half precision; sums are in single precision.
    pub(crate) half: bool,
    bias: Values,
    shape: Shape,
}

/// A depthwise convolution's weights, `[c, k, k]`.
pub struct Depthwise {
    weight: Values,
    bias: Values,
    shape: Shape,
}

#[derive(Clone, Copy)]
struct Shape {
    c_out: usize,
    kernel: usize,
    stride: usize,
    pad: (usize, usize),
}

impl Shape {
    fn of(s: &ConvSpec<'_>) -> Self {
        Self { c_out: s.c_out, kernel: s.kernel, stride: s.stride, pad: s.pad }
    }

    fn out(&self, side: usize) -> usize {
        (side + self.pad.0 + self.pad.1 - self.kernel) / self.stride + 1
    }
}

/// A normalisation's gamma, then beta.
pub struct Norm {
    values: Values,
    groups: usize,
    epsilon: f32,
}

impl WgslOps {
    /// On this adapter, with weights in half precision where `half` wants that and the adapter has it; `name` is told in errors.
    pub fn open(adapter: &wgpu::Adapter, name: &str, half: bool) -> std::result::Result<Self, String> {
        Ok(Self { gpu: Gpu::open(adapter, name, half)? })
    }

    /// Whether weights that lose nothing by it lie in half precision.
    #[cfg(test)]
    pub(crate) fn half(&self) -> bool {
        self.gpu.half()
    }

    /// Whether the device is of no use any more and has to be opened anew.
    pub fn lost(&self) -> bool {
        self.gpu.lost()
    }

    /// Dispatches and submissions so far.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.gpu.counts()
    }

    /// Another device on the same adapter.
    #[cfg(test)]
    pub(crate) fn another(&self, half: bool) -> std::result::Result<Self, String> {
        Ok(Self { gpu: self.gpu.another(half)? })
    }

    /// The error of a device without room.
    #[cfg(test)]
    pub(crate) fn no_room(&self) -> histoloom_core::Error {
        self.gpu.error("no room")
    }

    /// Loses the device, as a driver's reset would.
    #[cfg(test)]
    pub(crate) fn lose(&self) {
        self.gpu.lose();
    }

    /// A map of this shape, made by a kernel from maps that are there; what is not is passed on.
    fn made(&self, shape: [usize; 4], reads: [Option<&Values>; 5], ask: impl FnOnce([Option<&Held>; 5], &Held)) -> Map {
        let make = || {
            let mut held = [None; 5];
            for (to, from) in held.iter_mut().zip(reads) {
                *to = from.map(|v| v.as_ref().map(|h| &**h).map_err(Arc::clone)).transpose()?;
            }
            let out = self.gpu.room(shape.iter().product())?;
            ask(held, &out);
            Ok(out)
        };
        Map { values: make(), shape, up: false }
    }

    /// One value of the result a thread.
    fn each(&self, what: &'static str, shape: [usize; 4], x: &Map, bias: Option<&Values>, other: Option<&Values>, told: Params) -> Map {
        let x = self.solid(x);
        let ([b, c, h, w], [_, c_out, oh, ow]) = (x.shape, shape);
        let n = shape.iter().product();
        let (wide, groups) = in_rows(n, 256);
        self.made(shape, [Some(&x.values), None, bias, None, other], |reads, out| {
            let params = Params { b, c, h, w, c_out, oh, ow, n, wide, ..told };
            self.gpu.ask(Kernel::Each(what), &params, reads, out, groups, n as u64);
        })
    }

    /// The map as it is read.
    fn solid(&self, x: &Map) -> Map {
        if !x.up {
            return x.clone();
        }
        let [b, c, h, w] = x.shape;
        self.each("upsample2", [b, c, 2 * h, 2 * w], &Map { up: false, ..x.clone() }, None, None, Params::default())
    }

    /// Mean, factor and what is added, `[b, 3, c]`.
    fn statistics(&self, x: &Map, norm: &Norm, film: Option<(&Map, usize)>) -> Map {
        let [b, c, h, w] = x.shape;
        self.made([b, 3, c, 1], [Some(&x.values), None, None, film.map(|f| &f.0.values), Some(&norm.values)], |reads, out| {
            let first = film.map_or(0, |f| f.1);
            let params =
                Params { b, c, h, w, groups: norm.groups, epsilon: norm.epsilon, film: film.is_some(), period: first, ..Params::default() };
            self.gpu.ask(Kernel::Norm, &params, reads, out, [norm.groups as u32, b as u32, 1], (2 * b * c * h * w) as u64);
        })
    }
}

/// Workgroups in rows for `n` threads, `size` a workgroup, and how many a row has.
fn in_rows(n: usize, size: usize) -> (usize, [u32; 3]) {
    let groups = n.div_ceil(size);
    let wide = groups.clamp(1, ROW);
    (wide, [wide as u32, groups.div_ceil(wide) as u32, 1])
}

/// Items of one shape, value after value.
fn joined(items: &[Planes]) -> ([usize; 4], Vec<f32>) {
    let (c, h, w) = items.first().map_or((0, 0, 0), |p| (p.channels, p.height, p.width));
    ([items.len(), c, h, w], items.iter().flat_map(|p| &p.data).copied().collect())
}

impl Ops for WgslOps {
    type Map = Map;
    type Conv = Conv;
    type Depthwise = Depthwise;
    type Norm = Norm;

    fn conv_layer(&self, s: &ConvSpec<'_>) -> Conv {
        let depth = s.c_in * s.kernel * s.kernel;
        let wide = s.c_out.next_multiple_of(4);
        let mut turned = vec![0.0; depth * wide];
        for (c, row) in s.weight.chunks_exact(depth).enumerate() {
            row.iter().enumerate().for_each(|(k, v)| turned[k * wide + c] = *v);
        }
        let (weight, half) = self.gpu.put_half(&turned);
        Conv { weight, half, bias: self.gpu.put(s.bias), shape: Shape::of(s) }
    }

    fn depthwise_layer(&self, s: &ConvSpec<'_>) -> Depthwise {
        Depthwise { weight: self.gpu.put(s.weight), bias: self.gpu.put(s.bias), shape: Shape::of(s) }
    }

    fn norm_layer(&self, s: &NormSpec<'_>) -> Norm {
        let values: Vec<f32> = s.gamma.iter().chain(s.beta).copied().collect();
        Norm { values: self.gpu.put(&values), groups: s.groups, epsilon: s.epsilon }
    }

    fn upload(&self, items: &[Planes]) -> Map {
        let (shape, values) = joined(items);
        Map { values: self.gpu.put(&values), shape, up: false }
    }

    fn download(&self, map: Map) -> Result<Vec<Planes>> {
        Ok(self.download_all(vec![map])?.pop().unwrap_or_default())
    }

    fn download_all(&self, maps: Vec<Map>) -> Result<Vec<Vec<Planes>>> {
        let maps: Vec<Map> = maps.iter().map(|m| self.solid(m)).collect();
        let held = |m: &Map| Ok((m.values.clone().map_err(|why| self.gpu.error(&why))?, m.shape.iter().product()));
        let held = maps.iter().map(held).collect::<Result<Vec<(Arc<Held>, usize)>>>()?;
        let wanted: Vec<(&Held, usize)> = held.iter().map(|(h, n)| (&**h, *n)).collect();
        let mut values = &self.gpu.read(&wanted)?[..];
        let mut one = |m: &Map| {
            let ([_, c, h, w], (own, rest)) = (m.shape, values.split_at(m.shape.iter().product()));
            values = rest;
            own.chunks_exact((c * h * w).max(1)).map(|item| Planes::new(c, h, w, item.to_vec())).collect()
        };
        maps.iter().map(&mut one).collect()
    }

    fn in_one_go(&self) -> bool {
        true
    }

    fn surely_fast(&self) -> bool {
        self.gpu.discrete()
    }

    fn in_batches<I: Sync, T: Send>(&self, items: &[I], f: impl Fn(&Self, &[I]) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
        let mut out = Vec::with_capacity(items.len());
        let mut at_once = BATCH;
        while out.len() < items.len() {
            let rest = &items[out.len()..];
            match f(self, &rest[..at_once.min(rest.len())]) {
                Ok(done) => out.extend(done),
                Err(histoloom_core::Error::Device { .. }) if at_once > 1 && !self.lost() => at_once /= 2,
                Err(e) => return Err(e),
            }
        }
        Ok(out)
    }

    fn conv(&self, x: &Map, before: Before<'_, Self>, layer: &Conv, after: After<'_, Self>) -> Map {
        let s = layer.shape;
        let x = if matches!(before, Before::Plain | Before::Relu | Before::Silu) { x.clone() } else { self.solid(x) };
        let (mode, affine) = match before {
            Before::Plain => (0, None),
            Before::Relu => (1, None),
            Before::Silu => (2, None),
            Before::Norm(n) => (3, Some(self.statistics(&x, n, None))),
            Before::NormSilu(n) => (4, Some(self.statistics(&x, n, None))),
            Before::NormFilmSilu(n, film, first) => (4, Some(self.statistics(&x, n, Some((film, first))))),
        };
        let (end, other) = match after {
            After::Plain => (0, None),
            After::Silu => (1, None),
            After::Relu6 => (2, None),
            After::Gelu => (3, None),
            After::Add(m) => (4, Some(self.solid(m))),
            After::AddToAll(m) => (5, Some(m.clone())),
        };
        let [b, c, h, w] = x.shape;
        let seen = if x.up { 2 } else { 1 };
        let (oh, ow) = (s.out(seen * h), s.out(seen * w));
        let tiles = |tile: usize| [(b * oh * ow).div_ceil(tile), s.c_out.div_ceil(tile)];
        let tile = if tiles(64).iter().product::<usize>() >= FEW { 64 } else { 32 };
        let [across, down] = tiles(tile);
        let reads = [
            Some(&x.values),
            Some(&layer.weight),
            Some(&layer.bias),
            affine.as_ref().map(|m| &m.values),
            other.as_ref().map(|m| &m.values),
        ];
        let (wide, [row, rows, _]) = in_rows(across, 1);
        self.made([b, s.c_out, oh, ow], reads, |reads, out| {
            let kernel = Kernel::Conv { kernel: s.kernel, tile, before: mode, after: end, up: x.up, half: layer.half };
            let params = Params { b, c, h, w, c_out: s.c_out, oh, ow, stride: s.stride, pad: s.pad.0, wide, ..Params::default() };
            let work = (b * oh * ow * s.c_out * c * s.kernel * s.kernel) as u64;
            self.gpu.ask(kernel, &params, reads, out, [row, down as u32, rows], work);
        })
    }

    fn inverted(&self, x: &Map, block: &Inverted<Self>) -> Map {
        let wide = block.expand.as_ref().map(|e| self.conv(x, Before::Plain, e, After::Relu6));
        let wide = wide.as_ref().unwrap_or(x);
        let (s, [b, c, h, w]) = (block.depthwise.shape, wide.shape);
        let told = Params { stride: s.stride, pad: s.pad.0, groups: s.kernel, ..Params::default() };
        let (weight, bias) = (&block.depthwise.weight, &block.depthwise.bias);
        let deep = self.each("depthwise", [b, c, s.out(h), s.out(w)], wide, Some(bias), Some(weight), told);
        self.conv(&deep, Before::Plain, &block.project, if block.residual { After::Add(x) } else { After::Plain })
    }

    fn add(&self, a: &Map, b: &Map) -> Map {
        let (a, b) = (self.solid(a), self.solid(b));
        let told = Params { period: b.shape.iter().product::<usize>().max(1), ..Params::default() };
        self.each("add", a.shape, &a, None, Some(&b.values), told)
    }

    fn mixed(&self, terms: &[(f32, &Map)]) -> Map {
        let maps: Vec<Map> = terms.iter().map(|(_, x)| self.solid(x)).collect();
        let mut k = [0.0; 3];
        k.iter_mut().zip(terms).for_each(|(to, (factor, _))| *to = *factor);
        let of = |i: usize| maps.get(i).map(|m| &m.values);
        let shape = maps[0].shape;
        let (n, (wide, groups)) = (shape.iter().product(), in_rows(shape.iter().product(), 256));
        self.made(shape, [of(0), None, None, of(2), of(1)], |reads, out| {
            let params = Params { n, wide, period: terms.len(), k, ..Params::default() };
            self.gpu.ask(Kernel::Each("mixed"), &params, reads, out, groups, n as u64);
        })
    }

    fn twice(&self, x: &Map) -> Map {
        let x = self.solid(x);
        let [b, c, h, w] = x.shape;
        let told = Params { period: x.shape.iter().product::<usize>().max(1), ..Params::default() };
        self.each("twice", [2 * b, c, h, w], &x, None, None, told)
    }

    fn guided(&self, v: &Map, scale: f32) -> Map {
        let [b, c, h, w] = v.shape;
        self.each("guided", [b / 2, c, h, w], v, None, None, Params { k: [scale, 0.0, 0.0], ..Params::default() })
    }

    fn limited(&self, x: &Map) -> Map {
        self.each("limited", x.shape, x, None, None, Params::default())
    }

    fn concat(&self, a: &Map, b: &Map) -> Map {
        let (a, b) = (self.solid(a), self.solid(b));
        let [n, c, h, w] = a.shape;
        self.each("concat", [n, c + b.shape[1], h, w], &a, None, Some(&b.values), Params::default())
    }

    /// Read from the small map wherever that can be.
    fn upsample2(&self, x: &Map) -> Map {
        Map { up: true, ..self.solid(x) }
    }

    fn pixel_shuffle2(&self, x: &Map) -> Map {
        let x = self.solid(x);
        let [b, c, h, w] = x.shape;
        self.each("pixel_shuffle2", [b, c / 4, 2 * h, 2 * w], &x, None, None, Params::default())
    }

    fn attention(&self, qkv: &Map, heads: usize) -> Map {
        let qkv = self.solid(qkv);
        let [b, c3, h, w] = qkv.shape;
        let (c, n) = (c3 / 3, h * w);
        self.made([b, c, h, w], [Some(&qkv.values), None, None, None, None], |reads, out| {
            let groups = [n.div_ceil(64) as u32, heads as u32, b as u32];
            self.gpu.ask(
                Kernel::Attention(c / heads / 4),
                &Params { b, c, h, w, ..Params::default() },
                reads,
                out,
                groups,
                (2 * b * c * n * n) as u64,
            );
        })
    }

    fn layer_norm(&self, x: &Map, norm: &Norm) -> Map {
        let x = self.solid(x);
        let [b, c, h, w] = x.shape;
        let (wide, groups) = in_rows(b * h * w, 64);
        self.made(x.shape, [Some(&x.values), None, None, None, Some(&norm.values)], |reads, out| {
            let params = Params { b, c, h, w, wide, epsilon: norm.epsilon, ..Params::default() };
            self.gpu.ask(Kernel::LayerNorm, &params, reads, out, groups, (2 * b * c * h * w) as u64);
        })
    }

    fn gated(&self, x: &Map) -> Map {
        let [b, c, h, w] = x.shape;
        self.each("gated", [b, c / 2, h, w], x, None, None, Params::default())
    }

    fn prepend(&self, first: &Map, x: &Map) -> Map {
        let ([_, c, _, p], [b, _, h, w]) = (first.shape, x.shape);
        self.each("prepend", [b, c, 1, p + h * w], x, None, Some(&first.values), Params { period: p, ..Params::default() })
    }

    fn without(&self, x: &Map, p: usize, h: usize, w: usize) -> Map {
        let [b, c, _, _] = x.shape;
        self.each("without", [b, c, h, w], x, None, None, Params { period: p, ..Params::default() })
    }
}
