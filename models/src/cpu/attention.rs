//! Self-attention over all pixels of a map: softmax(q k^T / sqrt(d)) v, head by head.

use rayon::prelude::*;

use super::{Map, math, simd};

/// Queries of one task.
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
            let mut scores = vec![0.0; n];
            for (out, q) in out.chunks_exact_mut(c).zip(queries.chunks_exact(3 * c)) {
                simd::dispatch(|| query(out, &q[..c], &keys, item, heads, &mut scores));
            }
        });
    }
    qkv.with(qkv.height, qkv.width, c, out)
}

/// One pixel's output: all heads.
#[inline(always)]
fn query(out: &mut [f32], q: &[f32], keys: &[f32], item: &[f32], heads: usize, scores: &mut [f32]) {
    let (c, n) = (out.len(), scores.len());
    let d = c / heads;
    let scale = 1.0 / (d as f32).sqrt();
    for (head, (out, q)) in out.chunks_exact_mut(d).zip(q.chunks_exact(d)).enumerate() {
        scores.fill(0.0);
        for (k, q) in q.iter().enumerate() {
            let row = &keys[(head * d + k) * n..][..n];
            scores.iter_mut().zip(row).for_each(|(s, key)| *s += q * scale * key);
        }
        let top = scores.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
        scores.iter_mut().for_each(|s| *s = math::exp(*s - top));
        let norm = 1.0 / scores.iter().sum::<f32>();
        out.fill(0.0);
        for (s, pixel) in scores.iter().zip(item.chunks_exact(3 * c)) {
            let value = &pixel[2 * c + head * d..][..d];
            out.iter_mut().zip(value).for_each(|(o, v)| *o += s * norm * v);
        }
    }
}
