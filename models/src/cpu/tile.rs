//! The inner loop of every convolution on the CPU: a register tile of output pixels x output channels.
//!
//! In: an NHWC map and, for each output pixel, where its receptive field starts; weights packed by [`Packed`]. Out: sums.
//! No im2col: a tap of the kernel is an offset into the (zero-padded) map. Every output value is the same chain of
//! multiply-adds whatever the tile it lies in, so results depend neither on the number of threads nor on the batch.

use histoloom_core::simd::{self, lanes};
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
            Self::Relu6 => out.iter_mut().zip(sums).for_each(|(o, v)| *o = v.clamp(0.0, 6.0)),
            Self::Gelu => out.iter_mut().zip(sums).for_each(|(o, v)| *o = math::gelu(*v)),
            Self::Add(r) => out.iter_mut().zip(sums).zip(&r[place..]).for_each(|((o, v), r)| *o = v + r),
            Self::AddToAll(r) => out.iter_mut().zip(sums).zip(&r[channel..]).for_each(|((o, v), r)| *o = v + r),
        }
    }
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
    /// Where output pixels go: pixel i to `out[places[i]..][..c_out]`.
    pub out: &'a mut [f32],
    /// See `out`.
    pub places: &'a [usize],
    /// Applied to the sums.
    pub finish: Finish<'a>,
}

impl WithSimd for Tiles<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let registers = self.weights.bias.len() / S::F32_LANES;
        let mut at = 0;
        let sums = &mut [0.0; TALL * WIDEST];
        for (first, count) in widths(registers) {
            let size = self.weights.taps * self.weights.c_in * count * S::F32_LANES;
            let panel = &self.weights.panels[at..at + size];
            at += size;
            // as many accumulators as fit: 24 of 32 registers, 12 of 16
            match (count, S::REGISTER_COUNT >= 32) {
                (2, true) => self.panel::<S, TALL, SHORT, 2>(simd, panel, first * S::F32_LANES, sums),
                (2, false) => self.panel::<S, 6, SHORT, 2>(simd, panel, first * S::F32_LANES, sums),
                _ => self.panel::<S, TALL, SHORT, 1>(simd, panel, first * S::F32_LANES, sums),
            }
        }
    }
}

impl Tiles<'_> {
    /// Runs the whole product.
    pub fn run(self) {
        simd::dispatch(self);
    }

    /// All pixels for one panel of output channels: M at a time, and L for a rest that is a good deal less.
    /// `sums` is room for one register tile.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const L: usize, const V: usize>(&mut self, simd: S, panel: &[f32], channel: usize, sums: &mut [f32]) {
        let mut m = 0;
        while m < self.rows.len() {
            let rest = self.rows.len() - m;
            m += if 3 * rest > 2 * M {
                self.pixels::<S, M, V>(simd, panel, channel, m, sums)
            } else {
                self.pixels::<S, L, V>(simd, panel, channel, m, sums)
            };
        }
    }

    /// M pixels from pixel `m` on, or as many as there are: that number is returned.
    #[inline(always)]
    fn pixels<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        panel: &[f32],
        channel: usize,
        m: usize,
        sums: &mut [f32],
    ) -> usize {
        let (count, wide) = (M.min(self.rows.len() - m), V * S::F32_LANES);
        let mut rows = [self.rows[m]; M];
        rows[..count].copy_from_slice(&self.rows[m..m + count]);
        let bias = &self.weights.bias[channel..channel + wide];
        let tile = Sums::<M, V> { x: self.x, rows: &rows, taps: self.taps, c_in: self.weights.c_in, panel, bias, out: sums };
        apart(simd, tile);
        let valid = wide.min(self.weights.c_out - channel);
        for (sums, place) in sums.chunks_exact(wide).zip(&self.places[m..m + count]) {
            let place = place + channel;
            self.finish.write(&mut self.out[place..place + valid], &sums[..valid], place, channel);
        }
        count
    }
}

/// Runs `op` in a function of its own: amid other code the compiler keeps some of its sums in memory, which costs a fifth of the speed.
#[inline(never)]
fn apart<S: Simd>(simd: S, op: impl WithSimd<Output = ()>) {
    simd.vectorize(op);
}

/// The register tile: M pixels x V registers of output channels, over all taps and input channels, plus the bias.
struct Sums<'a, const M: usize, const V: usize> {
    x: &'a [f32],
    rows: &'a [usize; M],
    taps: &'a [usize],
    c_in: usize,
    panel: &'a [f32],
    bias: &'a [f32],
    /// Pixel after pixel.
    out: &'a mut [f32],
}

impl<const M: usize, const V: usize> WithSimd for Sums<'_, M, V> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (wide, steps) = (V * S::F32_LANES, self.c_in / STEP);
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        for (tap, weights) in self.taps.iter().zip(self.panel.chunks_exact(self.c_in * wide)) {
            let mut a: [&[[f32; STEP]]; M] = [&[]; M];
            unrolled!(m < M, { a[m] = self.x[self.rows[m] + tap..][..self.c_in].as_chunks().0 });
            for k in 0..steps {
                let w = &S::as_simd_f32s(&weights[k * STEP * wide..(k + 1) * STEP * wide]).0[..STEP * V];
                unrolled!(j < STEP, {
                    unrolled!(m < M, {
                        let v = simd.splat_f32s(a[m][k][j]);
                        unrolled!(r < V, { acc[m][r] = simd.mul_add_e_f32s(v, w[j * V + r], acc[m][r]) });
                    });
                });
            }
        }
        let (out, bias) = (&mut S::as_mut_simd_f32s(self.out).0[..M * V], S::as_simd_f32s(self.bias).0);
        unrolled!(m < M, {
            unrolled!(r < V, { out[m * V + r] = simd.add_f32s(acc[m][r], bias[r]) });
        });
    }
}
