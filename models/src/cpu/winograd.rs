//! 3 x 3 convolutions of step 1 by Winograd's minimal filtering, F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3): a tile of outputs costs one product
//! for each input pixel it is made of, 4 a pixel and 2.25, where the plain way takes 9 (Lavin and Gray, arXiv 1509.09308).
//!
//! In: a map, framed with zeros so that tiles fill it. Out: a map. In one dimension y = A^T ((G g) * (B^T d)): m outputs y, 3 weights g,
//! m + 2 inputs d, the product taken value by value. In two dimensions each transform is applied to columns, then to rows. The weights'
//! is taken once, in f64. Where the plain way sums over channels in each pixel, here each of the (m + 2)^2 positions is a product of
//! matrices `[tiles, c_in] x [c_in, c_out]`, and runs in the register tiles of every other convolution.
//!
//! A tile's numbers depend on nothing but the tile, so the bytes depend neither on the number of threads nor on the batch.

use std::marker::PhantomData;

use histoloom_core::simd;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::before::{self, Source};
use super::tile::{Finish, LINE, Packed, Tiles, padded};
use super::{CpuOps, Map};
use crate::ops::{After, Before, ConvSpec};

/// Inputs along a side of the largest tile.
const MOST: usize = 6;
/// Bytes that the transformed tiles of a task may take, so that they stay in the second-level cache.
const BLOCK_BYTES: usize = 768 << 10;
/// Fewest tiles of a task.
const LEAST_TILES: usize = 8;
/// Tiles of a task that are enough for all its weights to be worth reading.
const MANY_TILES: usize = 32;
/// Fewest input channels whose products outweigh the transforms.
const LEAST_INPUTS: usize = 12;
/// Fewest pairs of an input and an output channel, likewise.
const LEAST_PAIRS: usize = 256;
/// Most pairs of channels for tiles of 4 x 4 outputs: their weights are 4 times those of the layer, and from 8 MB on they come from memory
/// and not from a cache, for the few tiles that the small maps of wide layers have. Those of tiles of 2 x 2 are 1.8 times the layer's.
const MOST_PAIRS: usize = 56_000;
/// Values between the matrices of two positions besides their own: a cache line, lest all of them lie in the same few lines of the cache.
const APART: usize = 16;

/// F(m, 3) in one dimension. Values beyond those it is about are left as they are.
trait Form {
    /// m.
    const OUT: usize;
    /// m + 2.
    const IN: usize = Self::OUT + 2;
    /// G g.
    fn weights(g: [f64; 3]) -> [f64; MOST];
    /// B^T d.
    fn inputs<S: Simd>(simd: S, d: [S::f32s; MOST]) -> [S::f32s; MOST];
    /// A^T s.
    fn outputs<S: Simd>(simd: S, s: [S::f32s; MOST]) -> [S::f32s; MOST];
}

/// F(2, 3) at the points 0, 1, -1 and infinity.
struct Two;

impl Form for Two {
    const OUT: usize = 2;

    fn weights([a, b, c]: [f64; 3]) -> [f64; MOST] {
        [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c, 0.0, 0.0]
    }

    #[inline(always)]
    fn inputs<S: Simd>(simd: S, d: [S::f32s; MOST]) -> [S::f32s; MOST] {
        [simd.sub_f32s(d[0], d[2]), simd.add_f32s(d[1], d[2]), simd.sub_f32s(d[2], d[1]), simd.sub_f32s(d[3], d[1]), d[4], d[5]]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, s: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let (sum, difference) = (simd.add_f32s(s[1], s[2]), simd.sub_f32s(s[1], s[2]));
        [simd.add_f32s(s[0], sum), simd.add_f32s(difference, s[3]), s[2], s[3], s[4], s[5]]
    }
}

/// F(4, 3) at the points 0, 3/4, -3/4, 3/2, -3/2 and infinity. All that its matrices hold is exact in f32. Of 16 pairs of points tried, those
/// near 0.7 and 1.45 lose least: a quarter to a third of what the customary 1 and 2 do, whose error is above 1e-5 at 512 channels.
struct Four;

/// The smaller point.
const A: f32 = 0.75;
/// The larger point.
const B: f32 = 1.5;

impl Form for Four {
    const OUT: usize = 4;

    fn weights(g: [f64; 3]) -> [f64; MOST] {
        let (a, b) = (f64::from(A), f64::from(B));
        let at = |x: f64, n: f64| (g[0] + x * g[1] + x * x * g[2]) / n;
        let (n_a, n_b) = (2.0 * a * a * (a * a - b * b), 2.0 * b * b * (b * b - a * a));
        [at(0.0, a * a * b * b), at(a, n_a), at(-a, n_a), at(b, n_b), at(-b, n_b), g[2]]
    }

    #[inline(always)]
    fn inputs<S: Simd>(simd: S, d: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let plus = |x, factor: f32, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
        let (a2, b2) = (A * A, B * B);
        let (even_a, odd_a) = (plus(d[2], -b2, d[4]), plus(d[1], -b2, d[3]));
        let (even_b, odd_b) = (plus(d[2], -a2, d[4]), plus(d[1], -a2, d[3]));
        [
            plus(d[0], a2 * b2, plus(d[2], -(a2 + b2), d[4])),
            plus(odd_a, A, even_a),
            plus(odd_a, -A, even_a),
            plus(odd_b, B, even_b),
            plus(odd_b, -B, even_b),
            plus(d[1], a2 * b2, plus(d[3], -(a2 + b2), d[5])),
        ]
    }

    #[inline(always)]
    fn outputs<S: Simd>(simd: S, s: [S::f32s; MOST]) -> [S::f32s; MOST] {
        let scaled = |x, factor: f32| simd.mul_f32s(simd.splat_f32s(factor), x);
        let plus = |x, factor: f32, y| simd.mul_add_e_f32s(simd.splat_f32s(factor), x, y);
        let (sum_a, difference_a) = (simd.add_f32s(s[1], s[2]), simd.sub_f32s(s[1], s[2]));
        let (sum_b, difference_b) = (simd.add_f32s(s[3], s[4]), simd.sub_f32s(s[3], s[4]));
        [
            simd.add_f32s(s[0], simd.add_f32s(sum_a, sum_b)),
            plus(difference_a, A, scaled(difference_b, B)),
            plus(sum_a, A * A, scaled(sum_b, B * B)),
            simd.add_f32s(s[5], plus(difference_a, A * A * A, scaled(difference_b, B * B * B))),
            s[4],
            s[5],
        ]
    }
}

/// A side of the tiles of outputs.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Side {
    /// F(2 x 2, 3 x 3).
    Two,
    /// F(4 x 4, 3 x 3).
    Four,
}

impl Side {
    /// What pays for such a layer; none where the plain way does. Measured with one thread (AVX2) on maps of 8 x 8 to 128 x 128.
    fn of(s: &ConvSpec<'_>) -> Option<Self> {
        let fits = s.kernel == 3 && s.stride == 1 && s.pad == (1, 1);
        let pairs = s.c_in * s.c_out;
        match (fits && s.c_in >= LEAST_INPUTS && pairs >= LEAST_PAIRS, pairs <= MOST_PAIRS) {
            (false, _) => None,
            (true, true) => Some(Self::Four),
            (true, false) => Some(Self::Two),
        }
    }
}

/// The weights of one layer.
pub(super) struct Winograd {
    side: Side,
    /// One matrix a position, row after row of the tile.
    positions: Vec<Packed>,
    /// Padded with zeros.
    bias: Vec<f32>,
    c_out: usize,
}

impl Winograd {
    /// Where it pays.
    pub fn new(s: &ConvSpec<'_>) -> Option<Self> {
        Side::of(s).map(|side| Self::by(s, side))
    }

    fn by(s: &ConvSpec<'_>, side: Side) -> Self {
        let positions = match side {
            Side::Two => positions::<Two>(s),
            Side::Four => positions::<Four>(s),
        };
        let mut bias = s.bias.to_vec();
        bias.resize(padded(s.c_out), 0.0);
        Self { side, positions, bias, c_out: s.c_out }
    }

    pub fn run(&self, x: &Map, before: &Before<'_, CpuOps>, after: &After<'_, CpuOps>, threads: usize) -> Map {
        match self.side {
            Side::Two => self.run_as::<Two>(x, before, after, threads),
            Side::Four => self.run_as::<Four>(x, before, after, threads),
        }
    }

    /// A task is some rows of tiles, of one item or of several.
    fn run_as<F: Form>(&self, x: &Map, before: &Before<'_, CpuOps>, after: &After<'_, CpuOps>, threads: usize) -> Map {
        let (high, wide) = (x.height.div_ceil(F::OUT), x.width.div_ceil(F::OUT)); // in tiles
        let source = before::framed(x, 1, (high * F::OUT + 2, wide * F::OUT + 2), before);
        let c = self.bias.len();
        let mut out = x.room(x.items * x.area() * c);
        let mut rows = Vec::with_capacity(x.items * high);
        let mut place = 0;
        for (item, out) in out.chunks_mut((x.area() * c).max(1)).enumerate() {
            for (y, out) in out.chunks_mut(F::OUT * x.width * c).enumerate() {
                let first = (item * source.height + y * F::OUT) * source.width * x.channels;
                let length = out.len();
                rows.push(Row { first, out, finish: Finish::of(after, place, length) });
                place += length;
            }
        }
        // a piece a thread, for each piece reads all weights; more, so that threads end together, where there are many tiles
        let pieces = if threads == 1 { 1 } else { (rows.len() * wide / MANY_TILES).clamp(threads, 4 * threads) };
        let task = rows.len().div_ceil(pieces).max(LEAST_TILES.div_ceil(wide.max(1)));
        rows.par_chunks_mut(task).for_each(|rows| self.task::<F>(x, &source, rows));
        x.with(x.height, x.width, self.c_out, out)
    }

    /// As many tiles at a time as the cache holds.
    fn task<F: Form>(&self, x: &Map, source: &Source<'_>, rows: &mut [Row<'_>]) {
        let (from, to, positions, wide) = (x.channels, self.bias.len(), F::IN * F::IN, x.width.div_ceil(F::OUT));
        let (total, fitting) = (rows.len() * wide, BLOCK_BYTES / (4 * positions * (from + to)));
        let most = total.div_ceil(total.div_ceil(fitting.max(LEAST_TILES))).next_multiple_of(4);
        let mut spread = x.room(positions * (most * from + APART));
        let mut sums = x.room(positions * (most * to + APART));
        for first in (0..total).step_by(most) {
            let tiles = Block { first, count: most.min(total - first), wide };
            simd::dispatch(Spread::<F> { form: PhantomData, tiles, source, rows, out: &mut spread });
            let (starts, places): (Vec<_>, Vec<_>) = (0..tiles.count).map(|t| (t * from, t * to)).unzip();
            let (spread, each) = (spread.chunks(tiles.count * from + APART), sums.chunks_mut(tiles.count * to + APART));
            for ((weights, x), out) in self.positions.iter().zip(spread).zip(each) {
                Tiles { x, rows: &starts, taps: &[0], weights, out, places: &places, lines: LINE, finish: Finish::Plain }.run();
            }
            simd::dispatch(Gather::<F> { form: PhantomData, tiles, sums: &sums, bias: &self.bias, rows, width: x.width });
        }
    }
}

/// G g G^T for every pair of channels, by position.
fn positions<F: Form>(s: &ConvSpec<'_>) -> Vec<Packed> {
    let pairs = s.c_in * s.c_out;
    let apart = pairs + APART;
    let mut all = vec![0.0; F::IN * F::IN * apart];
    for (i, kernel) in s.weight.as_chunks::<9>().0.iter().enumerate() {
        let rows: [[f64; MOST]; 3] = std::array::from_fn(|y| F::weights(std::array::from_fn(|x| f64::from(kernel[3 * y + x]))));
        for x in 0..F::IN {
            let column = F::weights(std::array::from_fn(|y| rows[y][x]));
            for y in 0..F::IN {
                all[(y * F::IN + x) * apart + i] = column[y] as f32;
            }
        }
    }
    all.chunks_exact(apart).map(|w| Packed::new(w, &[], s.c_in, s.c_out, 1)).collect()
}

/// A row of tiles.
struct Row<'a> {
    /// Where the first tile's first input is in the source.
    first: usize,
    /// The outputs.
    out: &'a mut [f32],
    /// What is done to them.
    finish: Finish<'a>,
}

/// Tiles that are worked on together: `count` from the `first` on, counted through rows of `wide` tiles.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    count: usize,
    wide: usize,
}

/// One of them.
#[derive(Clone, Copy)]
struct Tile {
    /// In the block.
    number: usize,
    /// Among the rows of the task.
    row: usize,
    /// In its row.
    column: usize,
}

impl Block {
    fn each(self) -> impl Iterator<Item = Tile> {
        let tile = move |number| Tile { number, row: (self.first + number) / self.wide, column: (self.first + number) % self.wide };
        (0..self.count).map(tile)
    }
}

/// A register of channels for each position.
type Square<S> = [[<S as Simd>::f32s; MOST]; MOST];

/// B^T d B of every tile, to `[position, tile, channel]`.
struct Spread<'a, 'b, F> {
    form: PhantomData<F>,
    tiles: Block,
    source: &'a Source<'a>,
    rows: &'a [Row<'b>],
    out: &'a mut [f32],
}

impl<F: Form> WithSimd for Spread<'_, '_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let c = self.source.channels;
        let mut half = [[simd.splat_f32s(0.0); MOST]; MOST];
        for tile in self.tiles.each() {
            let (from, to) = (self.rows[tile.row].first + tile.column * F::OUT * c, tile.number * c);
            for k in (0..c).step_by(S::F32_LANES) {
                if k + S::F32_LANES <= c {
                    self.channels::<S, true>(simd, from + k, to + k, S::F32_LANES, &mut half);
                } else {
                    self.channels::<S, false>(simd, from + k, to + k, c - k, &mut half);
                }
            }
        }
    }
}

#[allow(clippy::needless_range_loop, reason = "rows and columns read as in the formulas")]
impl<F: Form> Spread<'_, '_, F> {
    /// One register of channels of one tile, of which `valid` are there.
    #[inline(always)]
    fn channels<S: Simd, const WHOLE: bool>(&mut self, simd: S, from: usize, to: usize, valid: usize, half: &mut Square<S>) {
        let (c, width) = (self.source.channels, self.source.width);
        let apart = self.tiles.count * c + APART;
        let data = self.source.data();
        for x in 0..F::IN {
            let mut d = [simd.splat_f32s(0.0); MOST];
            for y in 0..F::IN {
                d[y] = load::<S, WHOLE>(simd, &data[from + (y * width + x) * c..][..valid]);
            }
            let d = F::inputs(simd, d);
            for y in 0..F::IN {
                half[y][x] = d[y];
            }
        }
        for y in 0..F::IN {
            let d = F::inputs(simd, half[y]);
            for x in 0..F::IN {
                store::<S, WHOLE>(simd, &mut self.out[to + (y * F::IN + x) * apart..][..valid], d[x]);
            }
        }
    }
}

/// A^T s A of every tile, plus the bias, finished, to the outputs that are inside the map.
struct Gather<'a, 'b, F> {
    form: PhantomData<F>,
    tiles: Block,
    sums: &'a [f32],
    bias: &'a [f32],
    rows: &'a mut [Row<'b>],
    width: usize,
}

impl<F: Form> WithSimd for Gather<'_, '_, F> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let c = self.bias.len();
        let mut half = [[simd.splat_f32s(0.0); MOST]; MOST];
        for tile in self.tiles.each() {
            for k in (0..c).step_by(S::F32_LANES) {
                if k + S::F32_LANES <= c {
                    self.channels::<S, true>(simd, tile, k, S::F32_LANES, &mut half);
                } else {
                    self.channels::<S, false>(simd, tile, k, c - k, &mut half);
                }
            }
        }
    }
}

#[allow(clippy::needless_range_loop, reason = "rows and columns read as in the formulas")]
impl<F: Form> Gather<'_, '_, F> {
    /// One register of channels from `k` on, of which `valid` are there, of one tile.
    #[inline(always)]
    fn channels<S: Simd, const WHOLE: bool>(&mut self, simd: S, tile: Tile, k: usize, valid: usize, half: &mut Square<S>) {
        let c = self.bias.len();
        let (apart, left) = (self.tiles.count * c + APART, tile.column * F::OUT);
        for y in 0..F::IN {
            let mut s = [simd.splat_f32s(0.0); MOST];
            for x in 0..F::IN {
                s[x] = load::<S, WHOLE>(simd, &self.sums[tile.number * c + (y * F::IN + x) * apart + k..][..valid]);
            }
            let s = F::outputs(simd, s);
            for x in 0..F::OUT {
                half[x][y] = s[x];
            }
        }
        let bias = load::<S, WHOLE>(simd, &self.bias[k..k + valid]);
        let row = &mut self.rows[tile.row];
        let height = row.out.len() / (self.width * c);
        for x in 0..F::OUT.min(self.width - left) {
            let s = F::outputs(simd, half[x]);
            for y in 0..F::OUT {
                if y < height {
                    let place = (y * self.width + left + x) * c + k;
                    let sums = simd.add_f32s(s[y], bias);
                    let to = &mut row.out[place..place + valid];
                    match row.finish {
                        Finish::Plain => store::<S, WHOLE>(simd, to, sums),
                        Finish::Add(r) => {
                            let sums = simd.add_f32s(sums, load::<S, WHOLE>(simd, &r[place..place + valid]));
                            store::<S, WHOLE>(simd, to, sums);
                        }
                        finish => {
                            let mut line = [0.0f32; 16];
                            S::as_mut_simd_f32s(&mut line).0[0] = sums;
                            finish.shape(&mut line);
                            finish.write(to, &line[..valid], place, k);
                        }
                    }
                }
            }
        }
    }
}

/// Values of a register, or as many as there are of it.
#[inline(always)]
fn load<S: Simd, const WHOLE: bool>(simd: S, from: &[f32]) -> S::f32s {
    if WHOLE { S::as_simd_f32s(from).0[0] } else { simd.partial_load_f32s(from) }
}

/// The other way.
#[inline(always)]
fn store<S: Simd, const WHOLE: bool>(simd: S, to: &mut [f32], values: S::f32s) {
    if WHOLE { S::as_mut_simd_f32s(to).0[0] = values } else { simd.partial_store_f32s(to, values) }
}

#[cfg(test)]
mod tests {
    use histoloom_core::{Planes, pool, rng};

    use super::super::conv::Conv;
    use super::*;
    use crate::ops::{NormSpec, Ops};

    fn noise(seed: u64, n: usize) -> Vec<f32> {
        rng::noise(seed, 0, 0, n)
    }

    fn items(n: usize, c: usize, h: usize, w: usize) -> Vec<Planes> {
        (0..n).map(|i| Planes::new(c, h, w, noise(100 + i as u64, c * h * w)).unwrap()).collect()
    }

    /// Weights that keep the size of what passes through them.
    fn weights(c_in: usize, c_out: usize) -> (Vec<f32>, Vec<f32>) {
        let scale = 1.0 / ((9 * c_in) as f32).sqrt();
        (noise(1, 9 * c_in * c_out).iter().map(|v| v * scale).collect(), noise(2, c_out))
    }

    fn spec<'a>(weights: &'a (Vec<f32>, Vec<f32>), c_in: usize, c_out: usize) -> ConvSpec<'a> {
        ConvSpec { weight: &weights.0, bias: &weights.1, c_in, c_out, kernel: 3, stride: 1, pad: (1, 1) }
    }

    /// Largest difference over largest value.
    fn error(a: impl IntoIterator<Item = f64>, b: &[f64]) -> f64 {
        let (mut apart, mut top) = (0.0f64, 0.0f64);
        for (a, b) in a.into_iter().zip(b) {
            apart = apart.max((a - b).abs());
            top = top.max(b.abs());
        }
        apart / top
    }

    fn values(map: Map) -> Vec<f64> {
        CpuOps::default().download(map).unwrap().iter().flat_map(|p| &p.data).map(|v| f64::from(*v)).collect()
    }

    /// Every kind of input and output, by the plain way or by tiles.
    fn all(case: (usize, usize, usize, usize, usize), side: Option<Side>) -> Vec<Vec<f64>> {
        let ops = CpuOps::default();
        let (n, c, c_out, h, w) = case;
        let weights = weights(c, c_out);
        let (plain, tiled) = (Conv::plain(&spec(&weights, c, c_out)), side.map(|s| Winograd::by(&spec(&weights, c, c_out), s)));
        let norm = ops.norm_layer(&NormSpec { gamma: &noise(7, c), beta: &noise(8, c), groups: c / 4, epsilon: 1e-5 });
        let film = ops.upload(&items(1, 2 * c + 3, 1, 1));
        let (x, other, each) = (ops.upload(&items(n, c, h, w)), ops.upload(&items(n, c_out, h, w)), ops.upload(&items(1, c_out, 1, 1)));
        let run = |before: Before<'_, CpuOps>, after: After<'_, CpuOps>| {
            values(tiled.as_ref().map_or_else(|| plain.run(&x, &before, &after, 2), |t| t.run(&x, &before, &after, 2)))
        };
        vec![
            run(Before::Plain, After::Plain),
            run(Before::Relu, After::Silu),
            run(Before::Norm(&norm), After::Relu6),
            run(Before::NormSilu(&norm), After::Add(&other)),
            run(Before::NormFilmSilu(&norm, &film, 3), After::AddToAll(&each)),
            run(Before::Silu, After::Plain),
            run(Before::Plain, After::Gelu),
        ]
    }

    #[test]
    fn tiles_agree_with_the_plain_way_at_awkward_sizes_for_every_input_and_output() {
        let cases = [(1, 16, 16, 4, 4), (2, 20, 12, 7, 5), (3, 12, 51, 1, 1), (1, 72, 80, 9, 10), (2, 40, 4, 13, 2), (5, 32, 36, 2, 11)];
        for case in cases {
            let plain = all(case, None);
            for side in [Side::Two, Side::Four] {
                for (kind, (ours, plain)) in all(case, Some(side)).into_iter().zip(&plain).enumerate() {
                    let error = error(ours, plain);
                    assert!(error < 5e-6, "{case:?} {side:?}, kind {kind}: {error:e}");
                }
            }
        }
    }

    /// The sums in f64.
    fn exact(x: &Planes, s: &ConvSpec<'_>) -> Vec<f64> {
        let mut out = Vec::new();
        for o in 0..s.c_out {
            for (y, column) in (0..x.height).flat_map(|y| (0..x.width).map(move |column| (y, column))) {
                let mut sum = f64::from(s.bias[o]);
                for tap in 0..9 {
                    let (y, column) = ((y + tap / 3).wrapping_sub(1), (column + tap % 3).wrapping_sub(1));
                    if y < x.height && column < x.width {
                        for c in 0..x.channels {
                            sum += f64::from(x.at(c, y, column)) * f64::from(s.weight[(o * s.c_in + c) * 9 + tap]);
                        }
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn errors_stay_below_1e_5_of_the_largest_output_for_up_to_512_channels() {
        let kinds: [fn(f32) -> f32; 3] = [|v| v, |v| v / (1.0 + (-v).exp()), |v| v.max(0.0) + 1.0];
        for c in [32, 64, 128, 256, 512] {
            for (kind, f) in kinds.iter().enumerate() {
                let weights = weights(c, 12);
                let spec = spec(&weights, c, 12);
                let mut x = items(1, c, 12, 12).remove(0);
                x.data.iter_mut().for_each(|v| *v = f(*v));
                let exact = exact(&x, &spec);
                for (side, most) in [(Side::Two, 2e-6), (Side::Four, 1e-5)] {
                    let map = CpuOps::default().upload(std::slice::from_ref(&x));
                    let error = error(values(Winograd::by(&spec, side).run(&map, &Before::Plain, &After::Plain, 1)), &exact);
                    assert!(error < most, "{c} channels, kind {kind}, {side:?}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_the_same_for_any_threads_and_for_an_item_alone() {
        let (c, c_out) = (24, 36);
        let weights = weights(c, c_out);
        let x = items(3, c, 30, 21);
        for side in [Side::Two, Side::Four] {
            let layer = Winograd::by(&spec(&weights, c, c_out), side);
            let run = |threads: usize, x: &[Planes]| {
                let out = pool::pool(threads).unwrap().install(|| {
                    let ops = CpuOps::default();
                    ops.download(layer.run(&ops.upload(x), &Before::Relu, &After::Silu, threads)).unwrap()
                });
                out.iter().flat_map(|p| &p.data).map(|v| v.to_bits()).collect::<Vec<u32>>()
            };
            let one = run(1, &x);
            for threads in 2..=4 {
                assert!(run(threads, &x) == one, "{side:?}, {threads} threads");
            }
            assert!(run(2, &x[1..2]) == one[one.len() / 3..2 * one.len() / 3], "{side:?}, alone");
        }
    }

    #[test]
    fn the_layer_decides_which_way_is_taken() {
        let weights = (vec![0.0; 9 * 512 * 512], vec![0.0; 512]);
        let side = |c_in, c_out| Side::of(&spec(&weights, c_in, c_out));
        assert_eq!((side(4, 128), side(16, 8)), (None, None));
        assert_eq!((side(12, 64), side(64, 12), side(320, 160)), (Some(Side::Four), Some(Side::Four), Some(Side::Four)));
        assert_eq!((side(240, 240), side(512, 512)), (Some(Side::Two), Some(Side::Two)));
        assert_eq!(Side::of(&ConvSpec { stride: 2, ..spec(&weights, 64, 64) }), None);
        assert_eq!(Side::of(&ConvSpec { pad: (0, 2), ..spec(&weights, 64, 64) }), None);
        assert_eq!(Side::of(&ConvSpec { kernel: 1, pad: (0, 0), ..spec(&weights, 64, 64) }), None);
    }
}
