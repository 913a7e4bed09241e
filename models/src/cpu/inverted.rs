//! Inverted residual blocks, fused: the wide middle map exists only for a strip of rows at a time, so it stays in the cache.

use std::ops::Range;
use std::sync::Arc;

use histoloom_core::simd::{self, apart};
use histoloom_core::unrolled;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::store::{Buffer, Store};
use super::tile::{Finish, LINE, Tiles, padded};
use super::{CpuOps, Map};
use crate::ops::{ConvSpec, Inverted};

/// Bytes that a strip of the wide map may take: less than half of a common second-level cache.
const STRIP_BYTES: usize = 192 << 10;
/// Output pixels whose sums are held in registers at once by the depthwise loop.
const PIXELS: usize = 8;

/// A depthwise convolution; weights `[c / LINE, k * k, LINE]`, padded with zeros to whole lines.
pub struct Depthwise {
    weight: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
    pad: (usize, usize),
}

impl Depthwise {
    pub(super) fn new(s: &ConvSpec<'_>) -> Self {
        let size = s.kernel * s.kernel;
        let mut bias = s.bias.to_vec();
        bias.resize(s.c_out.next_multiple_of(LINE), 0.0);
        let mut weight = vec![0.0; bias.len() * size];
        for k in 0..s.c_out {
            for t in 0..size {
                weight[(k / LINE * size + t) * LINE + k % LINE] = s.weight[k * size + t];
            }
        }
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
        let data = &x.data[b * item..(b + 1) * item];
        let x = Item { data, height: x.height, width: x.width, channels: x.channels, store: &x.store };
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
    store: &'a Arc<Store>,
}

/// Output rows from `first` on, a strip at a time; rows of the wide map that two strips share are made once.
fn strips(x: &Item<'_>, block: &Inverted<CpuOps>, first: usize, w: usize, out: &mut [f32]) {
    let d = &block.depthwise;
    let mid = d.bias.len();
    let width = x.width + d.pad.0 + d.pad.1;
    let out_row = w * padded(block.project.c_out());
    let strip = (STRIP_BYTES / (4 * d.stride * width * mid)).clamp(1, out.len() / out_row);
    let shared = d.kernel.saturating_sub(d.stride);
    let rows = strip * d.stride + shared;
    let mut wide = Wide { data: x.store.stale(rows * width * mid), rows, width };
    wide.clear(d.pad);
    let mut deep = x.store.stale(strip * w * mid);
    let mut ready = 0; // the row of the padded input up to which they are made
    for (i, out) in out.chunks_mut(strip * out_row).enumerate() {
        let y = first + i * strip;
        let count = out.len() / out_row;
        let (from, need) = (y * d.stride, (y + count - 1) * d.stride + d.kernel);
        wide.fill(x, block, ready.max(from)..need);
        ready = need;
        let deep = &mut deep[..count * w * mid];
        simd::dispatch(Rows { d, wide: &wide, first: from, width: w, out: deep });
        project(x, block, deep, y * w, out);
    }
}

/// Some rows of the wide map with their padding: `[c / LINE, rows, width, LINE]`, so that the depthwise loop reads neighbours side by side. Row r
/// of the padded input takes the place r modulo their number, which was that of a row no longer needed.
struct Wide {
    data: Buffer,
    rows: usize,
    width: usize,
}

impl Wide {
    /// Values from one line of channels to the next.
    fn lines(&self) -> usize {
        self.rows * self.width * LINE
    }

    /// Where row `r` of the padded input begins in every line of channels.
    fn place(&self, r: usize) -> usize {
        r % self.rows * self.width * LINE
    }

    /// Columns of the padding.
    fn clear(&mut self, (left, right): (usize, usize)) {
        for row in self.data.chunks_exact_mut(self.width * LINE) {
            let inner = row.len() - right * LINE;
            row[..left * LINE].fill(0.0);
            row[inner..].fill(0.0);
        }
    }

    /// Makes these rows of the padded input; rows of the padding are zero.
    fn fill(&mut self, x: &Item<'_>, block: &Inverted<CpuOps>, rows: Range<usize>) {
        let (pad, lines, row) = (block.depthwise.pad.0, self.lines(), self.width * LINE);
        let (mut starts, mut places) = (Vec::new(), Vec::new());
        for r in rows {
            let to = self.place(r);
            let Some(y) = r.checked_sub(pad).filter(|y| *y < x.height) else {
                self.data.chunks_exact_mut(lines).for_each(|line| line[to..to + row].fill(0.0));
                continue;
            };
            starts.extend((0..x.width).map(|p| (y * x.width + p) * x.channels));
            places.extend((0..x.width).map(|p| to + (pad + p) * LINE));
        }
        let Some(expand) = &block.expand else {
            for (start, place) in starts.into_iter().zip(places) {
                for (line, from) in self.data.chunks_exact_mut(lines).zip(x.data[start..start + x.channels].chunks(LINE)) {
                    line[place..place + from.len()].copy_from_slice(from);
                }
            }
            return;
        };
        let (weights, out) = (expand.weights(), &mut self.data);
        Tiles { x: x.data, rows: &starts, taps: &[0], weights, out, places: &places, lines, finish: Finish::Relu6 }.run();
    }
}

/// The last 1x1 convolution of a strip, its first pixel being pixel `first` of the item.
fn project(x: &Item<'_>, block: &Inverted<CpuOps>, deep: &[f32], first: usize, out: &mut [f32]) {
    let (mid, c) = (block.depthwise.bias.len(), padded(block.project.c_out()));
    let count = out.len() / c;
    let rows: Vec<usize> = (0..count).map(|p| p * mid).collect();
    let places: Vec<usize> = (0..count).map(|p| p * c).collect();
    let finish = if block.residual { Finish::Add(&x.data[first * c..(first + count) * c]) } else { Finish::Plain };
    Tiles { x: deep, rows: &rows, taps: &[0], weights: block.project.weights(), out, places: &places, lines: LINE, finish }.run();
}

/// The depthwise loop over a strip, ReLU6 included; the output is `[y, x, c]`.
struct Rows<'a> {
    d: &'a Depthwise,
    wide: &'a Wide,
    /// The row of the padded input where the first output's kernel begins.
    first: usize,
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.d.kernel, self.d.stride) {
            (3, 1) => self.all::<S, 3, 1>(simd),
            (3, 2) => self.all::<S, 3, 2>(simd),
            (5, 1) => self.all::<S, 5, 1>(simd),
            (5, 2) => self.all::<S, 5, 2>(simd),
            _ => self.any(),
        }
    }
}

impl Rows<'_> {
    /// A line of channels after the other, so that its rows stay in the first-level cache.
    #[inline(always)]
    fn all<S: Simd, const K: usize, const STRIDE: usize>(self, simd: S) {
        let (mid, row, pixels) = (self.d.bias.len(), self.wide.width * LINE, PIXELS.min(self.width));
        for (line, wide) in self.wide.data.chunks_exact(self.wide.lines()).enumerate() {
            let weight = &self.d.weight[line * K * K * LINE..(line + 1) * K * K * LINE];
            let bias = &self.d.bias[line * LINE..(line + 1) * LINE];
            for (y, out) in self.out.chunks_exact_mut(self.width * mid).enumerate() {
                let rows: [&[f32]; K] = std::array::from_fn(|t| &wide[self.wide.place(self.first + y * STRIDE + t)..][..row]);
                for x in (0..self.width).step_by(PIXELS) {
                    // the last ones may be made twice
                    let first = x.min(self.width - pixels);
                    if pixels == PIXELS {
                        let to = &mut out[first * mid + line * LINE..];
                        apart(simd, Pixels::<K, STRIDE, PIXELS> { rows: &rows, x: first, weight, bias, to, mid });
                        continue;
                    }
                    for x in 0..pixels {
                        let to = &mut out[x * mid + line * LINE..];
                        apart(simd, Pixels::<K, STRIDE, 1> { rows: &rows, x, weight, bias, to, mid });
                    }
                }
            }
        }
    }

    /// A kernel of any size and step.
    fn any(self) {
        let (d, mid, taps) = (self.d, self.d.bias.len(), self.d.kernel * self.d.kernel);
        for (y, out) in self.out.chunks_exact_mut(self.width * mid).enumerate() {
            for (x, pixel) in out.chunks_exact_mut(mid).enumerate() {
                for (c, to) in pixel.iter_mut().enumerate() {
                    let from = &self.wide.data[c / LINE * self.wide.lines() + c % LINE..];
                    let weight = &d.weight[c / LINE * taps * LINE + c % LINE..];
                    let value = |t: usize| {
                        let row = self.wide.place(self.first + y * d.stride + t / d.kernel);
                        from[row + (x * d.stride + t % d.kernel) * LINE]
                    };
                    let sum: f32 = (0..taps).map(|t| value(t) * weight[t * LINE]).sum();
                    *to = (sum + d.bias[c]).clamp(0.0, 6.0);
                }
            }
        }
    }
}

/// P neighbouring outputs of a line of channels. A value is read once for all outputs of a row of the kernel that it is part of; each
/// output adds its taps up row by row.
struct Pixels<'a, const K: usize, const STRIDE: usize, const P: usize> {
    /// The rows under the kernel.
    rows: &'a [&'a [f32]; K],
    /// The first output's column.
    x: usize,
    /// `[K * K, LINE]`.
    weight: &'a [f32],
    bias: &'a [f32],
    /// From the first output's first channel on, a pixel each `mid` values.
    to: &'a mut [f32],
    mid: usize,
}

impl<const K: usize, const STRIDE: usize, const P: usize> WithSimd for Pixels<'_, K, STRIDE, P> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let columns = (P - 1) * STRIDE + K;
        let load = |from: &[f32], at: usize| S::as_simd_f32s(&from[at..at + S::F32_LANES]).0[0];
        for k in (0..LINE).step_by(S::F32_LANES) {
            let mut acc = [load(self.bias, k); P];
            for (row, from) in self.rows.iter().enumerate() {
                let from = &from[self.x * STRIDE * LINE..][..columns * LINE];
                let weight = &self.weight[row * K * LINE..][..K * LINE];
                let mut w = [simd.splat_f32s(0.0); K];
                unrolled!(t < K, { w[t] = load(weight, t * LINE + k) });
                unrolled!(c < columns, {
                    let v = load(from, c * LINE + k);
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
                let to = &mut self.to[p * self.mid + k..][..S::F32_LANES];
                S::as_mut_simd_f32s(to).0[0] = simd.min_f32s(simd.max_f32s(acc[p], zero), six);
            });
        }
    }
}
