//! Self-attention over all pixels of a map: softmax(q k^T / sqrt(d)) v, head by head.
//!
//! In: `[b, h, w, 3c]` = q, k, v. Out: `[b, h, w, c]`. Keys and values of a head are packed as weights, so both products run in the
//! register tiles of every convolution. The table of scores exists for a block of queries at a time, never for all of them.

use histoloom_core::vectorized;
use rayon::prelude::*;

use super::tile::{Finish, LINE, Packed, Tiles, padded};
use super::{Map, math};

/// Queries of one task: a multiple of the tallest register tile.
const QUERIES: usize = 24;

/// One head of one item.
struct Head {
    /// `[n, d]`, times 1 / sqrt(d).
    keys: Packed,
    /// `[d, n]`.
    values: Packed,
}

impl Head {
    fn of(item: &[f32], c: usize, d: usize, head: usize) -> Self {
        let (n, first) = (item.len() / (3 * c), head * d);
        let scale = 1.0 / (d as f32).sqrt();
        Self {
            keys: Packed::by(&[], d, n, 1, |j, k, _| item[j * 3 * c + c + first + k] * scale),
            values: Packed::by(&[], n, d, 1, |k, j, _| item[j * 3 * c + 2 * c + first + k]),
        }
    }
}

/// `[b, h, w, 3c]` to `[b, h, w, c]`.
pub(super) fn run(qkv: &Map, heads: usize) -> Map {
    let (n, c) = (qkv.area(), qkv.channels / 3);
    let d = c / heads;
    let mut out = qkv.room(qkv.items * n * c);
    let items = || qkv.data.par_chunks_exact(n * 3 * c);
    let packed: Vec<Head> = items().flat_map(|item| (0..heads).into_par_iter().map(|head| Head::of(item, c, d, head))).collect();
    out.par_chunks_exact_mut(n * c).zip(items()).zip(packed.par_chunks(heads)).for_each(|((out, item), packed)| {
        out.par_chunks_mut(QUERIES * c).zip(item.par_chunks(QUERIES * 3 * c)).for_each(|(out, queries)| {
            let count = out.len() / c;
            let mut scores = vec![0.0; count * padded(n)]; // [queries, n]
            let wide: Vec<usize> = (0..count).map(|i| i * padded(n)).collect();
            for (head, of) in packed.iter().enumerate() {
                let from: Vec<usize> = (0..count).map(|i| i * 3 * c + head * d).collect();
                let to: Vec<usize> = (0..count).map(|i| i * c + head * d).collect();
                product(queries, &from, &of.keys, &mut scores, &wide);
                vectorized!({
                    for row in scores.chunks_exact_mut(padded(n)) {
                        softmax(&mut row[..n]);
                    }
                });
                product(&scores, &wide, &of.values, out, &to);
            }
        });
    });
    qkv.with(qkv.height, qkv.width, c, out)
}

/// Rows of `x` that begin at `rows` times the weights, to rows of `out` that begin at `places`.
fn product(x: &[f32], rows: &[usize], weights: &Packed, out: &mut [f32], places: &[usize]) {
    Tiles { x, rows, taps: &[0], weights, out, places, lines: LINE, finish: Finish::Plain }.run();
}

/// exp(x - max) over their sum.
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let top = math::top(row);
    row.iter_mut().for_each(|s| *s = math::exp(*s - top));
    let share = 1.0 / math::sum(row, |s| s);
    row.iter_mut().for_each(|s| *s *= share);
}
