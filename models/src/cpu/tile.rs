//! The inner loop of every convolution on the CPU: a register tile of output pixels x output channels.
//!
//! In: an NHWC map and, for each output pixel, where its receptive field starts; weights packed by [`Packed`]. Out: sums.
//! No im2col: a tap of the kernel is an offset into the (zero-padded) map. Long sums are made in blocks, for many pixels each. Every output
//! value is the same chain of multiply-adds whatever the tile it lies in, so results depend neither on the number of threads nor on the batch.

use std::ops::Range;

use histoloom_core::simd::{self, apart, lanes};
use histoloom_core::unrolled;
use pulp::{Simd, WithSimd};

use super::{CpuOps, math};
use crate::ops::After;

/// Channels of every map are a multiple of this; weights and maps are padded with zeros up to it.
pub const STEP: usize = 4;

/// Most pixels of a register tile.
const TALL: usize = 12;
/// Most values of the widest panel: two registers of AVX-512.
const WIDEST: usize = 32;
/// Pixels of the register tiles that do what the tall ones leave.
const SHORT: usize = 4;
/// Channels of a block where they lie in blocks, pixel after pixel in each: a line of the first-level cache.
pub const LINE: usize = 16;
/// Pixels that go through one block of a panel, and most values of each that do: so many weights and values stay in the first-level
/// cache (16 and 8 KiB of AVX2's) until the next block is taken.
const GROUP: usize = 96;
const BLOCK: usize = 768;

/// Rounds up to a multiple of [`STEP`].
pub fn padded(channels: usize) -> usize {
    channels.div_ceil(STEP) * STEP
}

/// Weights in the order in which the tile reads them: panels of one or two registers of output channels; within a panel by tap,
/// then input channel.
pub struct Packed {
    /// The panels, one after another.
    panels: Vec<f32>,
    /// Bias, padded with zeros to whole registers.
    bias: Vec<f32>,
    /// Number of taps (k * k).
    taps: usize,
    /// Input channels, padded.
    c_in: usize,
    /// Output channels, padded to [`STEP`].
    pub c_out: usize,
}

impl Packed {
    /// From PyTorch's `[c_out, c_in, k, k]`.
    pub fn new(weight: &[f32], bias: &[f32], c_in: usize, c_out: usize, taps: usize) -> Self {
        Self::by(bias, c_in, c_out, taps, |o, c, tap| weight[(o * c_in + c) * taps + tap])
    }

    /// From the weight of (output channel, input channel, tap).
    pub fn by(bias: &[f32], c_in: usize, c_out: usize, taps: usize, weight: impl Fn(usize, usize, usize) -> f32) -> Self {
        let (lanes, ci) = (lanes(), padded(c_in));
        let registers = c_out.div_ceil(lanes);
        let mut panels = vec![0.0; registers * lanes * taps * ci];
        let mut at = 0;
        for (first, count) in widths(registers) {
            let wide = count * lanes;
            for tap in 0..taps {
                for c in 0..c_in {
                    for o in 0..wide.min(c_out - first * lanes) {
                        panels[at + (tap * ci + c) * wide + o] = weight(first * lanes + o, c, tap);
                    }
                }
            }
            at += taps * ci * wide;
        }
        let mut b = bias.to_vec();
        b.resize(registers * lanes, 0.0);
        Self { panels, bias: b, taps, c_in: ci, c_out: padded(c_out) }
    }
}

/// Splits registers of output channels into panels of two, and one of one where their number is odd: (first, count).
fn widths(registers: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..registers).step_by(2).map(move |r| (r, 2.min(registers - r)))
}

/// What is done to sums before they are stored.
#[derive(Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing but the bias.
    Plain,
    /// x / (1 + exp(-x)).
    Silu,
    /// Clamped to 0..=6.
    Relu6,
    /// x (1 + erf(x / sqrt 2)) / 2.
    Gelu,
    /// Added to these values, which lie at the same positions as the output.
    Add(&'a [f32]),
    /// Added to these values, one an output channel.
    AddToAll(&'a [f32]),
}

impl<'a> Finish<'a> {
    /// For the `length` outputs from the one at `first` on.
    pub fn of(after: &'a After<'_, CpuOps>, first: usize, length: usize) -> Self {
        match after {
            After::Plain => Self::Plain,
            After::Silu => Self::Silu,
            After::Relu6 => Self::Relu6,
            After::Gelu => Self::Gelu,
            After::Add(r) => Self::Add(&r.data[first..first + length]),
            After::AddToAll(r) => Self::AddToAll(&r.data),
        }
    }

    /// Stores the sums of neighbouring channels: the output is the one at `place`, the channel the one at `channel` and those after it.
    #[inline(always)]
    pub fn write(self, out: &mut [f32], sums: &[f32], place: usize, channel: usize) {
        match self {
            Self::Plain => out.copy_from_slice(sums),
            Self::Silu => out.iter_mut().zip(sums).for_each(|(o, v)| *o = math::silu(*v)),
            Self::Relu6 => out.iter_mut().zip(sums).for_each(|(o, v)| *o = relu6(*v)),
            Self::Gelu => out.iter_mut().zip(sums).for_each(|(o, v)| *o = math::gelu(*v)),
            Self::Add(r) => out.iter_mut().zip(sums).zip(&r[place..]).for_each(|((o, v), r)| *o = v + r),
            Self::AddToAll(r) => out.iter_mut().zip(sums).zip(&r[channel..]).for_each(|((o, v), r)| *o = v + r),
        }
    }
}

/// As the processor's maximum and minimum have it: zero has no sign, and what is no number is zero.
#[inline(always)]
fn relu6(v: f32) -> f32 {
    let v = if v > 0.0 { v } else { 0.0 };
    if v < 6.0 { v } else { 6.0 }
}

/// One matrix of output pixels.
pub struct Tiles<'a> {
    /// The map read, zero-padded.
    pub x: &'a [f32],
    /// For each output pixel, the index of its first tap's first channel in `x`.
    pub rows: &'a [usize],
    /// For each tap, its distance from the first.
    pub taps: &'a [usize],
    /// The weights.
    pub weights: &'a Packed,
    /// Where output pixels go: channel c of pixel i to `out[places[i] + c / LINE * lines + c % LINE]`.
    pub out: &'a mut [f32],
    /// See `out`.
    pub places: &'a [usize],
    /// See `out`; [`LINE`] where all channels of a pixel lie side by side.
    pub lines: usize,
    /// Applied to the sums.
    pub finish: Finish<'a>,
}

impl WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let registers = self.weights.bias.len() / S::F32_LANES;
        let (blocks, size) = (blocks(self.taps, self.weights.c_in), self.weights.taps * self.weights.c_in);
        let sums = &mut [0.0; GROUP * WIDEST];
        let mut at = 0;
        for (register, count) in widths(registers) {
            let panel = &self.weights.panels[at..at + size * count * S::F32_LANES];
            at += panel.len();
            let channel = register * S::F32_LANES;
            for first in (0..self.rows.len()).step_by(GROUP) {
                let pixels = first..self.rows.len().min(first + GROUP);
                // as many accumulators as fit: 24 of 32 registers, 12 of 16
                match (count, S::REGISTER_COUNT >= 32) {
                    (2, true) => self.panel::<S, TALL, SHORT, 2>(simd, &blocks, panel, channel, pixels, sums),
                    (2, false) => self.panel::<S, 6, SHORT, 2>(simd, &blocks, panel, channel, pixels, sums),
                    _ => self.panel::<S, TALL, SHORT, 1>(simd, &blocks, panel, channel, pixels, sums),
                }
            }
        }
    }
}

/// What is summed before the next weights are taken: distances of taps, and how many channels of each.
type Block = (Vec<usize>, usize);

/// Cuts taps of `c_in` channels into blocks of at most [`BLOCK`] values, in order.
fn blocks(taps: &[usize], c_in: usize) -> Vec<Block> {
    if c_in <= BLOCK {
        return taps.chunks(BLOCK / c_in.max(1)).map(|taps| (taps.to_vec(), c_in)).collect();
    }
    let piece = padded(c_in.div_ceil(c_in.div_ceil(BLOCK)));
    let pieces = |tap: &usize| {
        let tap = *tap;
        (0..c_in).step_by(piece).map(move |from| (vec![tap + from], piece.min(c_in - from)))
    };
    taps.iter().flat_map(pieces).collect()
}

impl Tiles<'_> {
    /// Runs the whole product.
    pub fn run(self) {
        simd::dispatch(self);
    }

    /// A group of pixels for one panel of output channels. `sums` is room for their sums.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const L: usize, const V: usize>(
        &mut self,
        simd: S,
        blocks: &[Block],
        panel: &[f32],
        channel: usize,
        pixels: Range<usize>,
        sums: &mut [f32],
    ) {
        let wide = V * S::F32_LANES;
        let (bias, whole) = (&self.weights.bias[channel..channel + wide], channel + wide <= self.weights.c_out);
        let mut rest = panel;
        for (n, (taps, channels)) in blocks.iter().enumerate() {
            let (weights, others) = rest.split_at(taps.len() * channels * wide);
            rest = others;
            let (first, bias) = (n == 0, (n + 1 == blocks.len()).then_some(bias));
            let of = Of { taps, channels: *channels, weights, first, bias, channel, whole };
            let mut m = pixels.start;
            // M pixels at a time, and L for a rest that is a good deal less
            while m < pixels.end {
                let left = m..pixels.end;
                let sums = &mut sums[(m - pixels.start) * wide..];
                m += if 3 * left.len() > 2 * M {
                    self.pixels::<S, M, V>(simd, of, left, sums)
                } else {
                    self.pixels::<S, L, V>(simd, of, left, sums)
                };
            }
        }
    }

    /// M pixels of those that are left, or as many as there are: that number is returned.
    #[inline(always)]
    fn pixels<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, of: Of<'_>, left: Range<usize>, sums: &mut [f32]) -> usize {
        let (first, count, wide) = (left.start, M.min(left.len()), V * S::F32_LANES);
        let mut rows = [self.rows[first]; M];
        rows[..count].copy_from_slice(&self.rows[first..first + count]);
        if count == M {
            let mut tile = Sums::<M, V> { x: self.x, rows: &rows, of, sums, out: None };
            if of.whole && of.bias.is_some() && matches!(self.finish, Finish::Plain | Finish::Relu6 | Finish::Add(_)) {
                let mut places = [0; M];
                places.copy_from_slice(&self.places[first..first + M]);
                let at = std::array::from_fn(|r| self.offset(of.channel + r * S::F32_LANES));
                tile.out = Some(Out { out: self.out, places, at, finish: self.finish });
                apart(simd, tile);
                return M;
            }
            apart(simd, tile);
        } else {
            let room = &mut [0.0; TALL * WIDEST][..M * wide];
            room[..count * wide].copy_from_slice(&sums[..count * wide]);
            apart(simd, Sums::<M, V> { x: self.x, rows: &rows, of, sums: room, out: None });
            sums[..count * wide].copy_from_slice(&room[..count * wide]);
        }
        if of.bias.is_some() {
            let valid = wide.min(self.weights.c_out - of.channel);
            for (sums, pixel) in sums.chunks_exact(wide).zip(&self.places[first..first + count]) {
                for (line, sums) in sums[..valid].chunks(LINE).enumerate() {
                    let channel = of.channel + line * LINE;
                    let place = pixel + self.offset(channel);
                    self.finish.write(&mut self.out[place..place + sums.len()], sums, place, channel);
                }
            }
        }
        count
    }

    /// Distance of a channel from its pixel's first.
    #[inline(always)]
    fn offset(&self, channel: usize) -> usize {
        channel / LINE * self.lines + channel % LINE
    }
}

/// One block of a product.
#[derive(Clone, Copy)]
struct Of<'a> {
    taps: &'a [usize],
    channels: usize,
    weights: &'a [f32],
    /// The first block: there are no sums yet.
    first: bool,
    /// Of the last block: added to the sums.
    bias: Option<&'a [f32]>,
    /// First output channel.
    channel: usize,
    /// Whether there are as many output channels as the panel has.
    whole: bool,
}

/// Where finished sums go.
struct Out<'a, const M: usize, const V: usize> {
    out: &'a mut [f32],
    places: [usize; M],
    /// Distance of each register from a pixel's place.
    at: [usize; V],
    finish: Finish<'a>,
}

/// The register tile: M pixels x V registers of output channels, over one block.
struct Sums<'a, const M: usize, const V: usize> {
    x: &'a [f32],
    rows: &'a [usize; M],
    of: Of<'a>,
    /// Pixel after pixel: the sums of the blocks before, and where these go unless `out` tells.
    sums: &'a mut [f32],
    out: Option<Out<'a, M, V>>,
}

impl<const M: usize, const V: usize> WithSimd for Sums<'_, M, V> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (wide, channels) = (V * S::F32_LANES, self.of.channels);
        let sums = &mut S::as_mut_simd_f32s(self.sums).0[..M * V];
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        if !self.of.first {
            unrolled!(m < M, {
                unrolled!(r < V, { acc[m][r] = sums[m * V + r] });
            });
        }
        for (tap, weights) in self.of.taps.iter().zip(self.of.weights.chunks_exact(channels * wide)) {
            let mut a: [&[[f32; STEP]]; M] = [&[]; M];
            unrolled!(m < M, { a[m] = self.x[self.rows[m] + tap..][..channels].as_chunks().0 });
            for k in 0..channels / STEP {
                let w = &S::as_simd_f32s(&weights[k * STEP * wide..(k + 1) * STEP * wide]).0[..STEP * V];
                unrolled!(j < STEP, {
                    unrolled!(m < M, {
                        let v = simd.splat_f32s(a[m][k][j]);
                        unrolled!(r < V, { acc[m][r] = simd.mul_add_e_f32s(v, w[j * V + r], acc[m][r]) });
                    });
                });
            }
        }
        if let Some(bias) = self.of.bias {
            let bias = &S::as_simd_f32s(bias).0[..V];
            unrolled!(m < M, {
                unrolled!(r < V, { acc[m][r] = simd.add_f32s(acc[m][r], bias[r]) });
            });
        }
        let Some(Out { out, places, at, finish }) = self.out else {
            unrolled!(m < M, {
                unrolled!(r < V, { sums[m * V + r] = acc[m][r] });
            });
            return;
        };
        let put = |out: &mut [f32], place: usize, v| S::as_mut_simd_f32s(&mut out[place..place + S::F32_LANES]).0[0] = v;
        match finish {
            Finish::Relu6 => {
                let (zero, six) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
                unrolled!(m < M, {
                    unrolled!(r < V, { put(out, places[m] + at[r], simd.min_f32s(simd.max_f32s(acc[m][r], zero), six)) });
                });
            }
            Finish::Add(all) => {
                unrolled!(m < M, {
                    unrolled!(r < V, {
                        let place = places[m] + at[r];
                        put(out, place, simd.add_f32s(acc[m][r], S::as_simd_f32s(&all[place..place + S::F32_LANES]).0[0]));
                    });
                });
            }
            _ => {
                unrolled!(m < M, {
                    unrolled!(r < V, { put(out, places[m] + at[r], acc[m][r]) });
                });
            }
        }
    }
}
