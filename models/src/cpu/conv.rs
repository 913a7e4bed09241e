//! Convolutions: a zero-padded copy of the input (on which [`Before`] is done in passing), then register tiles over it, or over what
//! [`Winograd`] makes of it.

use rayon::prelude::*;

use super::before::{self, Source};
use super::tile::{Finish, LINE, Packed, TALL, Tiles};
use super::winograd::Winograd;
use super::{CpuOps, Map};
use crate::ops::{After, Before, ConvSpec};

/// Output pixels of a task that are enough for all weights to be worth reading.
const ENOUGH_PIXELS: usize = 96;

/// A convolution with packed weights.
pub struct Conv {
    way: Way,
    c_out: usize,
    kernel: usize,
    stride: usize,
    pad: (usize, usize),
}

/// How it is computed, by the layer's shape alone: never by the map, the batch or the threads.
enum Way {
    Plain(Packed),
    Winograd(Winograd),
}

impl Conv {
    pub(super) fn new(s: &ConvSpec<'_>) -> Self {
        Winograd::new(s).map_or_else(|| Self::plain(s), |w| Self::by(s, Way::Winograd(w)))
    }

    /// The reference, and what is fastest for all but wide 3 x 3 kernels.
    pub(super) fn plain(s: &ConvSpec<'_>) -> Self {
        Self::by(s, Way::Plain(Packed::new(s.weight, s.bias, s.c_in, s.c_out, s.kernel * s.kernel)))
    }

    fn by(s: &ConvSpec<'_>, way: Way) -> Self {
        Self { way, c_out: s.c_out, kernel: s.kernel, stride: s.stride, pad: s.pad }
    }

    /// The packed weights, for fused blocks.
    pub(super) fn weights(&self) -> &Packed {
        match &self.way {
            Way::Plain(weights) => weights,
            Way::Winograd(_) => unreachable!("fused blocks have 1 x 1 kernels"),
        }
    }

    /// Output channels.
    pub(super) fn c_out(&self) -> usize {
        self.c_out
    }

    pub(super) fn run(&self, x: &Map, before: &Before<'_, CpuOps>, after: &After<'_, CpuOps>, threads: usize) -> Map {
        match &self.way {
            Way::Plain(weights) => self.run_plain(weights, x, before, after, threads),
            Way::Winograd(winograd) => winograd.run(x, before, after, threads),
        }
    }

    fn run_plain(&self, weights: &Packed, x: &Map, before: &Before<'_, CpuOps>, after: &After<'_, CpuOps>, threads: usize) -> Map {
        let pad = self.pad.0 + self.pad.1;
        let source = before::framed(x, self.pad.0, (x.height + pad, x.width + pad), before);
        let (h, w) = ((source.height - self.kernel) / self.stride + 1, (source.width - self.kernel) / self.stride + 1);
        let c = weights.c_out;
        let taps = taps(self.kernel, source.width * x.channels, x.channels);
        let mut out = x.room(x.items * h * w * c);
        let chunk = piece(x.items * h * w, threads);
        out.par_chunks_mut(chunk * c).enumerate().for_each(|(i, out)| {
            let first = i * chunk;
            let count = out.len() / c;
            let rows: Vec<usize> = (first..first + count).map(|p| self.start(p, h, w, &source)).collect();
            let places: Vec<usize> = (0..count).map(|p| p * c).collect();
            let finish = Finish::of(after, first * c, count * c);
            Tiles { x: source.data(), rows: &rows, taps: &taps, weights, out, places: &places, lines: LINE, finish }.run();
        });
        x.with(h, w, self.c_out, out)
    }

    /// Where the receptive field of output pixel `p` of the whole batch starts.
    fn start(&self, p: usize, h: usize, w: usize, source: &Source<'_>) -> usize {
        let (item, y, x) = (p / (h * w), p / w % h, p % w);
        ((item * source.height + y * self.stride) * source.width + x * self.stride) * source.channels
    }
}

/// Output pixels of a task: each thread has as many tasks as the others, one to four, so that threads end together.
fn piece(pixels: usize, threads: usize) -> usize {
    let each = if threads == 1 { 1 } else { (pixels / ENOUGH_PIXELS / threads).clamp(1, 4) };
    pixels.div_ceil(each * threads).next_multiple_of(4).max(TALL)
}

/// Distance of each tap of a k x k kernel from its first, in values.
pub(super) fn taps(kernel: usize, row: usize, channels: usize) -> Vec<usize> {
    (0..kernel * kernel).map(|t| t / kernel * row + t % kernel * channels).collect()
}
