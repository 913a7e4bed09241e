//! Inverted residual blocks, fused: the wide middle map exists only for a strip of rows at a time, so it stays in the cache.

use histoloom_core::simd::apart;
use histoloom_core::unrolled;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::conv::taps;
use super::tile::{Finish, Tiles, padded};
use super::{CpuOps, Map, simd};
use crate::ops::{ConvSpec, Inverted};

/// Bytes that a strip of the wide map may take: half of a common second-level cache.
const STRIP_BYTES: usize = 384 << 10;
/// Output pixels whose sums are held in registers at once by the depthwise loop.
const PIXELS: usize = 8;

/// A depthwise convolution; weights `[k * k, c]`.
pub struct Depthwise {
    weight: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
    pad: (usize, usize),
}

impl Depthwise {
    pub(super) fn new(s: &ConvSpec<'_>) -> Self {
        let (c, size) = (padded(s.c_out), s.kernel * s.kernel);
        let mut weight = vec![0.0; c * size];
        for k in 0..s.c_out {
            for t in 0..size {
                weight[t * c + k] = s.weight[k * size + t];
            }
        }
        let mut bias = s.bias.to_vec();
        bias.resize(c, 0.0);
        Self { weight, bias, kernel: s.kernel, stride: s.stride, pad: s.pad }
    }
}

/// The block over a whole batch. A task is a run of output rows of one item: whole items where there are enough of them.
pub(super) fn run(x: &Map, block: &Inverted<CpuOps>, threads: usize) -> Map {
    let d = &block.depthwise;
    let pad = d.pad.0 + d.pad.1;
    let (h, w) = ((x.height + pad - d.kernel) / d.stride + 1, (x.width + pad - d.kernel) / d.stride + 1);
    let c_out = padded(block.project.c_out());
    let mut out = x.room(x.items * h * w * c_out);
    let parts = threads.div_ceil(x.items.max(1));
    let rows = h.div_ceil(parts).max(1);
    let item = x.area() * x.channels;
    out.par_chunks_mut((h * w * c_out).max(1)).enumerate().for_each(|(b, out)| {
        let x = Item { data: &x.data[b * item..(b + 1) * item], height: x.height, width: x.width, channels: x.channels };
        out.par_chunks_mut(rows * w * c_out).enumerate().for_each(|(part, out)| strips(&x, block, part * rows, w, out));
    });
    x.with(h, w, block.project.c_out(), out)
}

/// One item of a map.
struct Item<'a> {
    data: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

/// Output rows from `first` on, a strip at a time; rows of the wide map that two strips share are carried over.
fn strips(x: &Item<'_>, block: &Inverted<CpuOps>, first: usize, w: usize, out: &mut [f32]) {
    let d = &block.depthwise;
    let mid = d.bias.len();
    let wide_row = (x.width + d.pad.0 + d.pad.1) * mid;
    let out_row = w * padded(block.project.c_out());
    let strip = (STRIP_BYTES / (4 * d.stride * wide_row)).clamp(1, out.len() / out_row);
    let shared = d.kernel.saturating_sub(d.stride);
    let mut wide = vec![0.0; (strip * d.stride + shared) * wide_row];
    let mut deep = vec![0.0; strip * w * mid];
    let mut ready = 0; // rows of `wide` that are already those of this strip
    for (i, out) in out.chunks_mut(strip * out_row).enumerate() {
        let y = first + i * strip;
        let count = out.len() / out_row;
        let need = (count - 1) * d.stride + d.kernel;
        for row in ready..need {
            let from = (y * d.stride + row).checked_sub(d.pad.0).filter(|y| *y < x.height);
            widen(x, block, from, &mut wide[row * wide_row..(row + 1) * wide_row]);
        }
        let deep = &mut deep[..count * w * mid];
        simd::dispatch(Rows { d, wide: &wide, wide_row, width: w, out: deep });
        project(x, block, deep, y * w, out);
        wide.copy_within((need - shared) * wide_row..need * wide_row, 0);
        ready = shared;
    }
}

/// One padded row of the wide map from row `from` of the input; outside it is zero.
fn widen(x: &Item<'_>, block: &Inverted<CpuOps>, from: Option<usize>, to: &mut [f32]) {
    let Some(y) = from else {
        to.fill(0.0);
        return;
    };
    let (pad, mid) = (block.depthwise.pad.0, block.depthwise.bias.len());
    let line = &x.data[y * x.width * x.channels..(y + 1) * x.width * x.channels];
    let (left, inner) = to.split_at_mut(pad * mid);
    let (inner, right) = inner.split_at_mut(x.width * mid);
    left.fill(0.0);
    right.fill(0.0);
    let Some(expand) = &block.expand else {
        inner.copy_from_slice(line);
        return;
    };
    let rows: Vec<usize> = (0..x.width).map(|p| p * x.channels).collect();
    let places: Vec<usize> = (0..x.width).map(|p| p * mid).collect();
    let weights = expand.weights();
    Tiles { x: line, rows: &rows, taps: &[0], weights, out: inner, places: &places, finish: Finish::Relu6 }.run();
}

/// The last 1x1 convolution of a strip, its first pixel being pixel `first` of the item.
fn project(x: &Item<'_>, block: &Inverted<CpuOps>, deep: &[f32], first: usize, out: &mut [f32]) {
    let (mid, c) = (block.depthwise.bias.len(), padded(block.project.c_out()));
    let count = out.len() / c;
    let rows: Vec<usize> = (0..count).map(|p| p * mid).collect();
    let places: Vec<usize> = (0..count).map(|p| p * c).collect();
    let finish = if block.residual { Finish::Add(&x.data[first * c..(first + count) * c]) } else { Finish::Plain };
    Tiles { x: deep, rows: &rows, taps: &[0], weights: block.project.weights(), out, places: &places, finish }.run();
}

/// The depthwise loop over a strip, ReLU6 included.
struct Rows<'a> {
    d: &'a Depthwise,
    wide: &'a [f32],
    wide_row: usize,
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match (self.d.kernel, self.d.stride) {
            (3, 1) => self.all::<S, 3, 1>(simd),
            (3, 2) => self.all::<S, 3, 2>(simd),
            (5, 1) => self.all::<S, 5, 1>(simd),
            (5, 2) => self.all::<S, 5, 2>(simd),
            _ => self.any(0),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn all<S: Simd, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let mid = self.d.bias.len();
        let whole = mid / S::F32_LANES * S::F32_LANES;
        for y in 0..self.out.len() / (self.width * mid) {
            let from = &self.wide[y * STRIDE * self.wide_row..];
            let line = &mut self.out[y * self.width * mid..(y + 1) * self.width * mid];
            let (mut x, pixels) = (0, PIXELS.min(self.width));
            while x < self.width {
                // the last ones may be made twice
                let first = x.min(self.width - pixels);
                let (from, to) = (&from[first * STRIDE * mid..], &mut line[first * mid..]);
                for k in (0..whole).step_by(S::F32_LANES) {
                    if pixels == PIXELS {
                        apart(simd, Pixels::<K, STRIDE, PIXELS> { d: self.d, from: &from[k..], wide_row: self.wide_row, k, to });
                    } else {
                        for p in 0..pixels {
                            let (from, to) = (&from[p * STRIDE * mid + k..], &mut to[p * mid..]);
                            apart(simd, Pixels::<K, STRIDE, 1> { d: self.d, from, wide_row: self.wide_row, k, to });
                        }
                    }
                }
                x = first + pixels;
            }
        }
        self.any(whole);
    }

    /// The channels from `first` on, which do not fill a register; a kernel of any size and step.
    fn any(&mut self, first: usize) {
        let (d, mid) = (self.d, self.d.bias.len());
        let taps = taps(d.kernel, self.wide_row, mid);
        for (y, line) in self.out.chunks_exact_mut(self.width * mid).enumerate() {
            let from = &self.wide[y * d.stride * self.wide_row..];
            for (x, pixel) in line.chunks_exact_mut(mid).enumerate() {
                for c in first..mid {
                    let sum: f32 = taps.iter().enumerate().map(|(t, tap)| from[x * d.stride * mid + tap + c] * d.weight[t * mid + c]).sum();
                    pixel[c] = (sum + d.bias[c]).clamp(0.0, 6.0);
                }
            }
        }
    }
}

/// P neighbouring outputs of one register of channels, from `k` on. A value is read once for all outputs of a row of the kernel that it
/// is part of; each output adds its taps up row by row.
struct Pixels<'a, const K: usize, const STRIDE: usize, const P: usize> {
    d: &'a Depthwise,
    /// From the first output's first value on.
    from: &'a [f32],
    wide_row: usize,
    k: usize,
    /// From the first output's pixel on.
    to: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const P: usize> WithSimd for Pixels<'_, K, STRIDE, P> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (mid, columns) = (self.d.bias.len(), (P - 1) * STRIDE + K);
        let load = |from: &[f32], at: usize| S::as_simd_f32s(&from[at..at + S::F32_LANES]).0[0];
        let mut acc = [load(&self.d.bias, self.k); P];
        for row in 0..K {
            let from = &self.from[row * self.wide_row..];
            let mut w = [simd.splat_f32s(0.0); K];
            unrolled!(t < K, { w[t] = load(&self.d.weight, (row * K + t) * mid + self.k) });
            unrolled!(c < columns, {
                let v = load(from, c * mid);
                unrolled!(t < K, {
                    // below zero is far above all
                    let output = c.wrapping_sub(t);
                    if output % STRIDE == 0 && output / STRIDE < P {
                        acc[output / STRIDE] = simd.mul_add_e_f32s(v, w[t], acc[output / STRIDE]);
                    }
                });
            });
        }
        let (zero, six) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
        unrolled!(p < P, {
            let to = &mut self.to[p * mid + self.k..][..S::F32_LANES];
            S::as_mut_simd_f32s(to).0[0] = simd.min_f32s(simd.max_f32s(acc[p], zero), six);
        });
    }
}
