//! Convolutions: a zero-padded copy of the input (on which [`Before`] is done in passing), then register tiles over it.

use rayon::prelude::*;

use super::before::{self, Source};
use super::tile::{Finish, Packed, Tiles};
use super::{CpuOps, Map, chunk_of};
use crate::ops::{After, Before, ConvSpec};

/// Fewest output pixels of a task: a multiple of the tallest register tile.
const LEAST_PIXELS: usize = 48;

/// A convolution with packed weights.
pub struct Conv {
    weights: Packed,
    c_out: usize,
    kernel: usize,
    stride: usize,
    pad: (usize, usize),
}

impl Conv {
    pub(super) fn new(s: &ConvSpec<'_>) -> Self {
        let weights = Packed::new(s.weight, s.bias, s.c_in, s.c_out, s.kernel * s.kernel);
        Self { weights, c_out: s.c_out, kernel: s.kernel, stride: s.stride, pad: s.pad }
    }

    /// The packed weights, for fused blocks.
    pub(super) fn weights(&self) -> &Packed {
        &self.weights
    }

    /// Output channels.
    pub(super) fn c_out(&self) -> usize {
        self.c_out
    }

    pub(super) fn run(&self, x: &Map, before: &Before<'_, CpuOps>, after: &After<'_, CpuOps>, threads: usize) -> Map {
        let source = before::padded_copy(x, self.pad, before);
        let (h, w) = ((source.height - self.kernel) / self.stride + 1, (source.width - self.kernel) / self.stride + 1);
        let c = self.weights.c_out;
        let taps = taps(self.kernel, source.width * x.channels, x.channels);
        let mut out = x.room(x.items * h * w * c);
        let chunk = chunk_of(x.items * h * w, LEAST_PIXELS, threads);
        out.par_chunks_mut(chunk * c).enumerate().for_each(|(i, out)| {
            let first = i * chunk;
            let count = out.len() / c;
            let rows: Vec<usize> = (first..first + count).map(|p| self.start(p, h, w, &source)).collect();
            let places: Vec<usize> = (0..count).map(|p| p * c).collect();
            let finish = Finish::of(after, first * c, count * c);
            Tiles { x: source.data(), rows: &rows, taps: &taps, weights: &self.weights, out, places: &places, finish }.run();
        });
        x.with(h, w, self.c_out, out)
    }

    /// Where the receptive field of output pixel `p` of the whole batch starts.
    fn start(&self, p: usize, h: usize, w: usize, source: &Source<'_>) -> usize {
        let (item, y, x) = (p / (h * w), p / w % h, p % w);
        ((item * source.height + y * self.stride) * source.width + x * self.stride) * source.channels
    }
}

/// Distance of each tap of a k x k kernel from its first, in values.
pub(super) fn taps(kernel: usize, row: usize, channels: usize) -> Vec<usize> {
    (0..kernel * kernel).map(|t| t / kernel * row + t % kernel * channels).collect()
}
