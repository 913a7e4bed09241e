//! Our own CPU engine: NHWC maps, convolutions without im2col and by Winograd's tiles where that pays, plain Rust that the compiler
//! turns into the widest SIMD of the machine at run time (through `pulp`).
//!
//! In: layers and maps of [`crate::ops`]. Out: maps. Runs in whatever rayon pool it is called from (ours; never the global one).
//! The bytes of a result depend neither on the number of threads nor on what else is in the batch.

mod attention;
mod before;
mod conv;
mod inverted;
pub mod math;
mod store;
mod tile;
mod tokens;
mod winograd;

use std::sync::Arc;

use histoloom_core::{Planes, Result, vectorized};
use rayon::prelude::*;

use crate::ops::{After, Before, ConvSpec, Inverted, NormSpec, Ops};
use store::{Buffer, Store};
use tile::padded;

pub use before::Norm;
pub use conv::Conv;
pub use inverted::Depthwise;

/// Activations `[b, h, w, c]`, c being padded with zero channels to a multiple of [`tile::STEP`].
#[derive(Clone)]
pub struct Map {
    items: usize,
    height: usize,
    width: usize,
    channels: usize,
    /// Channels that mean something; the others are zero.
    used: usize,
    data: Arc<Buffer>,
    store: Arc<Store>,
}

impl Map {
    /// Pixels of one item.
    fn area(&self) -> usize {
        self.height * self.width
    }

    /// A map of the same items with other values.
    fn with(&self, height: usize, width: usize, used: usize, data: Buffer) -> Self {
        let (items, channels, store) = (self.items, padded(used), self.store.clone());
        debug_assert_eq!(data.len(), items * height * width * channels);
        Self { items, height, width, channels, used, data: Arc::new(data), store }
    }

    /// Room for another map, all of which is going to be written.
    fn room(&self, length: usize) -> Buffer {
        self.store.stale(length)
    }

    /// A map of the same shape, each value from the two at its place.
    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32 + Sync) -> Self {
        let mut out = self.room(self.data.len());
        let chunk = chunk_of(out.len(), 4096, rayon::current_num_threads());
        out.par_chunks_mut(chunk).zip(self.data.par_chunks(chunk)).zip(other.data.par_chunks(chunk)).for_each(|((o, a), b)| {
            vectorized!(o.iter_mut().zip(a).zip(b).for_each(|((o, a), b)| *o = f(*a, *b)));
        });
        self.with(self.height, self.width, self.used, out)
    }
}

/// Size of the pieces into which `total` values or pixels are cut: enough pieces for `threads`, none tiny.
fn chunk_of(total: usize, least: usize, threads: usize) -> usize {
    let pieces = if threads == 1 { 1 } else { 4 * threads };
    total.div_ceil(pieces).next_multiple_of(least).max(least)
}

/// The engine: memory used again, and the number of threads that share one call, 0 being all of the pool.
#[derive(Clone, Default)]
pub struct CpuOps {
    threads: usize,
    store: Arc<Store>,
}

impl CpuOps {
    fn threads(&self) -> usize {
        if self.threads == 0 { rayon::current_num_threads() } else { self.threads }
    }
}

impl Ops for CpuOps {
    type Map = Map;
    type Conv = Conv;
    type Depthwise = Depthwise;
    type Norm = Norm;

    fn conv_layer(&self, spec: &ConvSpec<'_>) -> Conv {
        Conv::new(spec)
    }

    fn depthwise_layer(&self, spec: &ConvSpec<'_>) -> Depthwise {
        Depthwise::new(spec)
    }

    fn norm_layer(&self, spec: &NormSpec<'_>) -> Norm {
        Norm::new(spec)
    }

    fn upload(&self, items: &[Planes]) -> Map {
        let (used, height, width) = items.first().map_or((0, 0, 0), |p| (p.channels, p.height, p.width));
        let c = padded(used);
        let mut data = self.store.stale(items.len() * height * width * c);
        data.par_chunks_mut((width * c).max(1)).enumerate().for_each(|(row, to)| {
            let (planes, y) = (&items[row / height], row % height);
            to.fill(0.0);
            for (k, plane) in planes.data.chunks_exact(height * width).enumerate() {
                to.iter_mut().skip(k).step_by(c).zip(&plane[y * width..]).for_each(|(to, v)| *to = *v);
            }
        });
        Map { items: items.len(), height, width, channels: c, used, data: Arc::new(data), store: self.store.clone() }
    }

    fn download(&self, map: Map) -> Result<Vec<Planes>> {
        let (c, area) = (map.channels, map.area());
        let items = map.data.chunks_exact((area * c).max(1)).map(|item| {
            let mut out = Planes::zeros(map.used, map.height, map.width);
            for (k, plane) in out.data.chunks_exact_mut(area).enumerate() {
                plane.iter_mut().zip(item.iter().skip(k).step_by(c)).for_each(|(to, v)| *to = *v);
            }
            out
        });
        Ok(items.collect())
    }

    fn conv(&self, x: &Map, before: Before<'_, Self>, layer: &Conv, after: After<'_, Self>) -> Map {
        layer.run(x, &before, &after, self.threads())
    }

    fn inverted(&self, x: &Map, block: &Inverted<Self>) -> Map {
        inverted::run(x, block, self.threads())
    }

    /// Items one at a time: a thread each where there are enough of them, else all threads on each.
    fn in_batches<I: Sync, T: Send>(&self, items: &[I], f: impl Fn(&Self, &[I]) -> Result<Vec<T>> + Sync) -> Result<Vec<T>> {
        let done: Result<Vec<Vec<T>>> = if items.len() >= self.threads() {
            items.par_chunks(1).map(|one| f(&Self { threads: 1, store: self.store.clone() }, one)).collect()
        } else {
            items.chunks(1).map(|one| f(self, one)).collect()
        };
        Ok(done?.into_iter().flatten().collect())
    }

    fn add(&self, a: &Map, b: &Map) -> Map {
        if b.items == a.items { a.zip(b, |a, b| a + b) } else { tokens::add_to_each(a, b) }
    }

    fn mixed(&self, terms: &[(f32, &Map)]) -> Map {
        let first = terms[0].1.zip(terms[0].1, |a, _| terms[0].0 * a);
        terms[1..].iter().fold(first, |sum, (k, x)| sum.zip(x, |s, x| s + k * x))
    }

    fn twice(&self, x: &Map) -> Map {
        let mut out = x.room(2 * x.data.len());
        out.chunks_exact_mut(x.data.len().max(1)).for_each(|half| half.copy_from_slice(&x.data));
        Map { items: 2 * x.items, data: Arc::new(out), ..x.clone() }
    }

    fn guided(&self, v: &Map, scale: f32) -> Map {
        let (c, u) = v.data.split_at(v.data.len() / 2);
        let mut out = v.room(c.len());
        out.iter_mut().zip(c).zip(u).for_each(|((o, c), u)| *o = u + scale * (c - u));
        Map { items: v.items / 2, data: Arc::new(out), ..v.clone() }
    }

    fn limited(&self, x: &Map) -> Map {
        x.zip(x, |v, _| (v / 4.0).tanh() * 4.0)
    }

    fn concat(&self, a: &Map, b: &Map) -> Map {
        let (ca, cb) = (a.channels, b.channels);
        let mut out = a.room(a.items * a.area() * (ca + cb));
        let rows = a.data.par_chunks_exact(a.width * ca).zip(b.data.par_chunks_exact(a.width * cb));
        out.par_chunks_exact_mut(a.width * (ca + cb)).zip(rows).for_each(|(row, (a, b))| {
            for ((to, a), b) in row.chunks_exact_mut(ca + cb).zip(a.chunks_exact(ca)).zip(b.chunks_exact(cb)) {
                to[..ca].copy_from_slice(a);
                to[ca..].copy_from_slice(b);
            }
        });
        a.with(a.height, a.width, ca + cb, out)
    }

    fn upsample2(&self, x: &Map) -> Map {
        let (c, row) = (x.channels, x.width * x.channels);
        let mut out = x.room(4 * x.data.len());
        out.par_chunks_exact_mut(4 * row).zip(x.data.par_chunks_exact(row)).for_each(|(rows, from)| {
            let (upper, lower) = rows.split_at_mut(2 * row);
            for (pair, v) in upper.chunks_exact_mut(2 * c).zip(from.chunks_exact(c)) {
                pair[..c].copy_from_slice(v);
                pair[c..].copy_from_slice(v);
            }
            lower.copy_from_slice(upper);
        });
        x.with(2 * x.height, 2 * x.width, x.used, out)
    }

    fn pixel_shuffle2(&self, x: &Map) -> Map {
        let c = x.channels / 4;
        let row = x.width * x.channels;
        let mut out = x.room(x.data.len());
        out.par_chunks_exact_mut(row).zip(x.data.par_chunks_exact(row)).for_each(|(rows, from)| {
            for (dy, to) in rows.chunks_exact_mut(row / 2).enumerate() {
                for (pair, v) in to.chunks_exact_mut(2 * c).zip(from.chunks_exact(4 * c)) {
                    let (left, right) = pair.split_at_mut(c);
                    for ((l, r), four) in left.iter_mut().zip(right).zip(v.as_chunks::<4>().0) {
                        (*l, *r) = (four[2 * dy], four[2 * dy + 1]);
                    }
                }
            }
        });
        x.with(2 * x.height, 2 * x.width, c, out)
    }

    fn attention(&self, qkv: &Map, heads: usize) -> Map {
        attention::run(qkv, heads)
    }

    fn layer_norm(&self, x: &Map, norm: &Norm) -> Map {
        tokens::layer_norm(x, &norm.spec())
    }

    fn gated(&self, x: &Map) -> Map {
        tokens::gated(x)
    }

    fn prepend(&self, first: &Map, x: &Map) -> Map {
        tokens::prepend(first, x)
    }

    fn without(&self, x: &Map, p: usize, h: usize, w: usize) -> Map {
        tokens::without(x, p, h, w)
    }
}
