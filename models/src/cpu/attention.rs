//! Self-attention over all pixels of a map: softmax(q k^T / sqrt(d)) v, head by head.

use std::ops::Range;

use rayon::prelude::*;

use super::{Map, math, simd};

/// Queries of one task: each key and value read from memory serves them all.
const QUERIES: usize = 16;

/// `[b, h, w, 3c]` = q, k, v to `[b, h, w, c]`.
pub(super) fn run(qkv: &Map, heads: usize) -> Map {
    let (n, c) = (qkv.area(), qkv.channels / 3);
    let mut out = qkv.room(qkv.items * n * c);
    for (out, item) in out.chunks_exact_mut(n * c).zip(qkv.data.chunks_exact(n * 3 * c)) {
        let mut keys = vec![0.0; c * n]; // [c, n]
        for (j, pixel) in item.chunks_exact(3 * c).enumerate() {
            keys.iter_mut().skip(j).step_by(n).zip(&pixel[c..2 * c]).for_each(|(to, v)| *to = *v);
        }
        out.par_chunks_mut(QUERIES * c).zip(item.par_chunks(QUERIES * 3 * c)).for_each(|(out, queries)| {
            let mut scores = vec![0.0; queries.len() / (3 * c) * n]; // [queries, n]
            for head in 0..heads {
                let d = c / heads;
                simd::dispatch(|| block(out, queries, &keys, item, (c, head * d..(head + 1) * d), &mut scores));
            }
        });
    }
    qkv.with(qkv.height, qkv.width, c, out)
}

/// One head, in the channels `at` of `c`, of a block of pixels.
#[inline(always)]
fn block(out: &mut [f32], queries: &[f32], keys: &[f32], item: &[f32], (c, at): (usize, Range<usize>), scores: &mut [f32]) {
    let n = scores.len() / (out.len() / c);
    let scale = 1.0 / (at.len() as f32).sqrt();
    scores.fill(0.0);
    for k in at.clone() {
        let row = &keys[k * n..][..n];
        for (scores, pixel) in scores.chunks_exact_mut(n).zip(queries.chunks_exact(3 * c)) {
            let q = pixel[k] * scale;
            scores.iter_mut().zip(row).for_each(|(s, key)| *s += q * key);
        }
    }
    for scores in scores.chunks_exact_mut(n) {
        let top = scores.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        scores.iter_mut().for_each(|s| *s = math::exp(*s - top));
        let norm = 1.0 / scores.iter().sum::<f32>();
        scores.iter_mut().for_each(|s| *s *= norm);
    }
    for out in out.chunks_exact_mut(c) {
        out[at.clone()].fill(0.0);
    }
    for (j, pixel) in item.chunks_exact(3 * c).enumerate() {
        let value = &pixel[2 * c..][at.clone()];
        for (out, scores) in out.chunks_exact_mut(c).zip(scores.chunks_exact(n)) {
            let s = scores[j];
            out[at.clone()].iter_mut().zip(value).for_each(|(o, v)| *o += s * v);
        }
    }
}
