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
pub const TALL: usize = 12;
/// Most values of the widest panel: two registers of AVX-512.
const WIDEST: usize = 32;
/// Pixels of the register tiles that do what the tall ones leave.
const SHORT: usize = 4;
/// Channels of a block where they lie in blocks, pixel after pixel in each: a line of the first-level cache.
pub const LINE: usize = 16;
/// Pixels that go through one block of a panel, and most values of each that do: so many weights and values stay in the caches
/// nearest to the core until the next block is taken.
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
        let registers = padded(c_out).div_ceil(lanes);
        let mut panels = vec![0.0; registers * lanes * taps * ci];
        let mut at = 0;
        for (first, count) in widths(registers) {
            let wide = count * lanes;
            for tap in 0..taps {
                for c in 0..c_in {
                    for o in 0..wide.min(c_out.saturating_sub(first * lanes)) {
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

    /// What is done to sums whatever their place.
    #[inline(always)]
    pub fn shape(self, sums: &mut [f32]) {
        match self {
            Self::Silu => sums.iter_mut().for_each(|v| *v = math::silu(*v)),
            Self::Relu6 => sums.iter_mut().for_each(|v| *v = relu6(*v)),
            Self::Gelu => sums.iter_mut().for_each(|v| *v = math::gelu(*v)),
            Self::Plain | Self::Add(_) | Self::AddToAll(_) => {}
        }
    }

    /// Stores shaped sums of neighbouring channels: the output is the one at `place`, the channel the one at `channel` and those after it.
    #[inline(always)]
    pub fn write(self, out: &mut [f32], sums: &[f32], place: usize, channel: usize) {
        match self {
            Self::Add(r) => out.iter_mut().zip(sums).zip(&r[place..]).for_each(|((o, v), r)| *o = v + r),
            Self::AddToAll(r) => out.iter_mut().zip(sums).zip(&r[channel..]).for_each(|((o, v), r)| *o = v + r),
            _ => {
                // not by a call for a few values; a register of the plainest machines holds one
                let ((fours, few), (sums, last)) = (out.as_chunks_mut::<STEP>(), sums.as_chunks());
                fours.iter_mut().zip(sums).for_each(|(o, v)| *o = *v);
                few.iter_mut().zip(last).for_each(|(o, v)| *o = *v);
            }
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
        let sums = &mut Vec::new();
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

/// What is summed before the next weights are taken: some channels of some taps.
struct Block<'a> {
    taps: &'a [usize],
    first: usize,
    channels: usize,
}

/// Cuts taps of `c_in` channels into blocks of at most [`BLOCK`] values, in order.
fn blocks(taps: &[usize], c_in: usize) -> Vec<Block<'_>> {
    if c_in <= BLOCK {
        return taps.chunks(BLOCK / c_in.max(1)).map(|taps| Block { taps, first: 0, channels: c_in }).collect();
    }
    let piece = padded(c_in.div_ceil(c_in.div_ceil(BLOCK)));
    let pieces = |taps| (0..c_in).step_by(piece).map(move |first| Block { taps, first, channels: piece.min(c_in - first) });
    taps.chunks(1).flat_map(pieces).collect()
}

impl Tiles<'_> {
    /// Runs the whole product.
    pub fn run(self) {
        simd::dispatch(self);
    }

    /// A group of pixels for one panel of output channels. `sums` is room for their sums, made where it is needed.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const L: usize, const V: usize>(
        &mut self,
        simd: S,
        blocks: &[Block<'_>],
        panel: &[f32],
        channel: usize,
        pixels: Range<usize>,
        sums: &mut Vec<f32>,
    ) {
        let wide = V * S::F32_LANES;
        let (bias, valid) = (&self.weights.bias[channel..channel + wide], wide.min(self.weights.c_out - channel));
        let direct = valid == wide && matches!(self.finish, Finish::Plain | Finish::Relu6 | Finish::Add(_));
        if !direct || blocks.len() > 1 {
            sums.resize(GROUP * WIDEST, 0.0);
        }
        // M pixels at a time, and L for a rest that is a good deal less
        let rest = pixels.len() % M;
        let tall = if 3 * rest > 2 * M { pixels.len() } else { pixels.len() - rest };
        let (upper, lower) = (pixels.start..pixels.start + tall, pixels.start + tall..pixels.end);
        let mut rest = panel;
        for (n, block) in blocks.iter().enumerate() {
            let (weights, others) = rest.split_at(block.taps.len() * block.channels * wide);
            rest = others;
            let bias = (n + 1 == blocks.len()).then_some(bias);
            let of = Of { block, weights, first: n == 0, bias, channel, direct: direct && bias.is_some() };
            self.pixels::<S, M, V>(simd, of, upper.clone(), sums);
            self.pixels::<S, L, V>(simd, of, lower.clone(), sums.get_mut(tall * wide..).unwrap_or_default());
        }
        if !direct {
            let sums = &mut sums[..pixels.len() * wide];
            self.finish.shape(sums);
            for (sums, pixel) in sums.chunks_exact(wide).zip(&self.places[pixels]) {
                for (line, sums) in sums[..valid].chunks(LINE).enumerate() {
                    let channel = channel + line * LINE;
                    let place = pixel + self.offset(channel);
                    self.finish.write(&mut self.out[place..place + sums.len()], sums, place, channel);
                }
            }
        }
    }

    /// One block for some pixels, M at a time.
    #[inline(always)]
    fn pixels<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, of: Of<'_>, pixels: Range<usize>, sums: &mut [f32]) {
        if pixels.is_empty() {
            return;
        }
        let at = std::array::from_fn(|r| self.offset(of.channel + r * S::F32_LANES));
        let (rows, places) = (&self.rows[pixels.clone()], &self.places[pixels]);
        let out = of.direct.then_some(Out { out: self.out, places, at, finish: self.finish });
        apart(simd, Sums::<M, V> { x: self.x, rows, of, sums, out });
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
    block: &'a Block<'a>,
    weights: &'a [f32],
    /// The first block: there are no sums yet.
    first: bool,
    /// Of the last block: added to the sums.
    bias: Option<&'a [f32]>,
    /// First output channel.
    channel: usize,
    /// Whether sums go to the output at once.
    direct: bool,
}

/// Where finished sums go.
struct Out<'a, const V: usize> {
    out: &'a mut [f32],
    /// Of each pixel.
    places: &'a [usize],
    /// Distance of each register from a pixel's place.
    at: [usize; V],
    finish: Finish<'a>,
}

/// The register tile: M pixels x V registers of output channels, over one block, M pixels at a time.
struct Sums<'a, const M: usize, const V: usize> {
    x: &'a [f32],
    rows: &'a [usize],
    of: Of<'a>,
    /// Pixel after pixel: the sums of the blocks before, and where these go unless `out` tells; room for a multiple of M.
    sums: &'a mut [f32],
    out: Option<Out<'a, V>>,
}

impl<const M: usize, const V: usize> WithSimd for Sums<'_, M, V> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for first in (0..self.rows.len()).step_by(M) {
            let acc = self.sum(simd, first);
            match &mut self.out {
                Some(out) => out.write(simd, first, &acc),
                None => {
                    let sums = &mut S::as_mut_simd_f32s(&mut self.sums[first * V * S::F32_LANES..]).0[..M * V];
                    unrolled!(m < M, {
                        unrolled!(r < V, { sums[m * V + r] = acc[m][r] });
                    });
                }
            }
        }
    }
}

impl<const M: usize, const V: usize> Sums<'_, M, V> {
    /// Of M pixels, or as many as there are and the last of them again.
    #[inline(always)]
    fn sum<S: Simd>(&self, simd: S, first: usize) -> [[S::f32s; V]; M] {
        let (wide, channels, rows) = (V * S::F32_LANES, self.of.block.channels, &self.rows[first..]);
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        if !self.of.first {
            let sums = &S::as_simd_f32s(&self.sums[first * wide..]).0[..M * V];
            unrolled!(m < M, {
                unrolled!(r < V, { acc[m][r] = sums[m * V + r] });
            });
        }
        for (tap, weights) in self.of.block.taps.iter().zip(self.of.weights.chunks_exact(channels * wide)) {
            let mut a: [&[[f32; STEP]]; M] = [&[]; M];
            unrolled!(m < M, { a[m] = self.x[rows[m.min(rows.len() - 1)] + tap + self.of.block.first..][..channels].as_chunks().0 });
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
        acc
    }
}

impl<const V: usize> Out<'_, V> {
    /// Sums of the pixels from `first` on.
    #[inline(always)]
    fn write<S: Simd, const M: usize>(&mut self, simd: S, first: usize, acc: &[[S::f32s; V]; M]) {
        match self.finish {
            Finish::Relu6 => {
                let (zero, six) = (simd.splat_f32s(0.0), simd.splat_f32s(6.0));
                self.each::<S, M>(first, acc, |v, _| simd.min_f32s(simd.max_f32s(v, zero), six));
            }
            Finish::Add(all) => {
                self.each::<S, M>(first, acc, |v, place| simd.add_f32s(v, S::as_simd_f32s(&all[place..place + S::F32_LANES]).0[0]));
            }
            _ => self.each::<S, M>(first, acc, |v, _| v),
        }
    }

    #[inline(always)]
    fn each<S: Simd, const M: usize>(&mut self, first: usize, acc: &[[S::f32s; V]; M], f: impl Fn(S::f32s, usize) -> S::f32s) {
        let places = &self.places[first..];
        let one = S::F32_LANES;
        unrolled!(m < M, {
            if let Some(place) = places.get(m) {
                // registers of a line lie side by side
                if V * one <= LINE {
                    let place = place + self.at[0];
                    let to = &mut S::as_mut_simd_f32s(&mut self.out[place..place + V * one]).0[..V];
                    unrolled!(r < V, { to[r] = f(acc[m][r], place + r * one) });
                } else {
                    unrolled!(r < V, {
                        let place = place + self.at[r];
                        S::as_mut_simd_f32s(&mut self.out[place..place + one]).0[0] = f(acc[m][r], place);
                    });
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_sums_is_shaped_and_written() {
        let sums: Vec<f32> = (0..9).map(|i| i as f32 - 3.0).collect();
        let other: Vec<f32> = (0..20).map(|i| 10.0 * i as f32).collect();
        for n in 0..=sums.len() {
            let written = |finish: Finish<'_>| {
                let (mut sums, mut out) = (sums[..n].to_vec(), vec![f32::NAN; n]);
                finish.shape(&mut sums);
                finish.write(&mut out, &sums, 2, 5);
                out
            };
            let each = |f: &dyn Fn(usize, f32) -> f32| sums[..n].iter().enumerate().map(|(i, v)| f(i, *v)).collect::<Vec<f32>>();
            assert_eq!(written(Finish::Plain), each(&|_, v| v), "{n}");
            assert_eq!(written(Finish::Silu), each(&|_, v| math::silu(v)), "{n}");
            assert_eq!(written(Finish::Relu6), each(&|_, v| v.clamp(0.0, 6.0)), "{n}");
            assert_eq!(written(Finish::Gelu), each(&|_, v| math::gelu(v)), "{n}");
            assert_eq!(written(Finish::Add(&other)), each(&|i, v| v + other[2 + i]), "{n}");
            assert_eq!(written(Finish::AddToAll(&other)), each(&|i, v| v + other[5 + i]), "{n}");
        }
    }
}
