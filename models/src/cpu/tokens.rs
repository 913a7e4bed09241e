//! What transformers do besides products and attention: normalise each pixel, gate, and carry tokens that are no pixels.

use histoloom_core::vectorized;
use rayon::prelude::*;

use super::tile::padded;
use super::{Map, chunk_of, math};
use crate::ops::NormSpec;

/// Fewest pixels of a task.
const LEAST_PIXELS: usize = 32;

/// Layer normalisation of each pixel's first `used` channels; `gamma` and `beta` are as long.
pub(super) fn layer_norm(x: &Map, norm: &NormSpec<'_>) -> Map {
    by_pixel(
        x,
        x.used,
        #[inline(always)]
        |to, from| {
            let n = 1.0 / x.used as f32;
            let from = &from[..x.used];
            let mean = math::sum(from, |v| v) * n;
            let variance = math::sum(from, |v| (v - mean) * (v - mean)) * n;
            let scale = 1.0 / (variance + norm.epsilon).sqrt();
            for (((t, v), g), b) in to.iter_mut().zip(from).zip(norm.gamma).zip(norm.beta) {
                *t = (v - mean) * scale * g + b;
            }
            to[x.used..].fill(0.0);
        },
    )
}

/// silu(first half) times the second.
pub(super) fn gated(x: &Map) -> Map {
    let c = x.used / 2;
    by_pixel(
        x,
        c,
        #[inline(always)]
        |to, from| {
            for ((t, gate), v) in to.iter_mut().zip(&from[..c]).zip(&from[c..2 * c]) {
                *t = math::silu(*gate) * v;
            }
            to[c..].fill(0.0);
        },
    )
}

/// A map of `used` channels, each pixel of it made of that of `x`.
fn by_pixel(x: &Map, used: usize, f: impl Fn(&mut [f32], &[f32]) + Sync) -> Map {
    let (from, to) = (x.channels, padded(used));
    let mut out = x.room(x.items * x.area() * to);
    let chunk = chunk_of(x.items * x.area(), LEAST_PIXELS, rayon::current_num_threads());
    out.par_chunks_mut(chunk * to).zip(x.data.par_chunks(chunk * from)).for_each(|(out, x)| {
        vectorized!({
            for (to, from) in out.chunks_exact_mut(to).zip(x.chunks_exact(from)) {
                f(to, from);
            }
        });
    });
    x.with(x.height, x.width, used, out)
}

/// The one item of `first` before every item of `x`, in one row.
pub(super) fn prepend(first: &Map, x: &Map) -> Map {
    let width = first.area() + x.area();
    let mut out = x.room(x.items * width * x.channels);
    for (out, x) in out.chunks_exact_mut(width * x.channels).zip(x.data.chunks_exact(x.area() * x.channels)) {
        let (head, rest) = out.split_at_mut(first.data.len());
        head.copy_from_slice(&first.data);
        rest.copy_from_slice(x);
    }
    x.with(1, width, x.used, out)
}

/// Every item without its first `p` pixels.
pub(super) fn without(x: &Map, p: usize, h: usize, w: usize) -> Map {
    let mut out = x.room(x.items * h * w * x.channels);
    for (out, x) in out.chunks_exact_mut(h * w * x.channels).zip(x.data.chunks_exact(x.area() * x.channels)) {
        out.copy_from_slice(&x[p * (x.len() / (p + h * w))..]);
    }
    x.with(h, w, x.used, out)
}

/// `one`, of one item, added to every item of `x`.
pub(super) fn add_to_each(x: &Map, one: &Map) -> Map {
    let mut out = x.room(x.data.len());
    for (out, x) in out.chunks_exact_mut(one.data.len()).zip(x.data.chunks_exact(one.data.len())) {
        vectorized!(out.iter_mut().zip(x).zip(one.data.iter()).for_each(|((o, a), b)| *o = a + b));
    }
    x.with(x.height, x.width, x.used, out)
}
