//! The nearest centroid of many rows at once. In: rows. Out: an index a row, and how far the next one is behind.
//!
//! |x - c|^2 is least where x.c - |c|^2 / 2 is greatest: products of a block of rows with all centroids, of which only the best two are
//! kept. Taken off each centroid first is the mean of all, which changes every value of a row alike and leaves small numbers.
//! Every value is the same chain of multiply-adds whatever the block it lies in, so the result depends on the row alone.

use pulp::{Simd, WithSimd};

use super::{Centroids, Rows};
use crate::simd::{self, apart, lanes};
use crate::unrolled;

/// Most rows of a register tile.
const TALL: usize = 12;
/// Channels taken at a time.
const STEP: usize = 4;
/// Most values of a register: AVX-512.
const WIDEST: usize = 16;

/// Centroids in the order in which a register tile reads them: panels of two registers (a last one of one); within a panel by channel.
pub(super) struct Packed {
    panels: Vec<f32>,
    /// What the sums begin with; below every number where there is no centroid.
    start: Vec<f32>,
    channels: usize,
}

impl Packed {
    pub fn new(centroids: &Centroids) -> Self {
        let (k, channels, lanes) = (centroids.k(), centroids.channels, lanes());
        let mut mean = vec![0.0f64; channels];
        for j in 0..k {
            mean.iter_mut().zip(centroids.row(j)).for_each(|(m, v)| *m += f64::from(*v) / k as f64);
        }
        let registers = k.div_ceil(lanes);
        let mut panels = vec![0.0; registers * lanes * channels];
        let mut start = vec![f32::NEG_INFINITY; registers * lanes];
        for (j, start) in start.iter_mut().enumerate().take(k) {
            let (first, count) = panel_of(j / lanes, registers);
            let at = first * lanes * channels + j - first * lanes;
            let mut half = 0.0;
            for ((c, v), m) in centroids.row(j).iter().enumerate().zip(&mean) {
                let v = f64::from(*v);
                panels[at + c * count * lanes] = (v - m) as f32;
                half += (v - m) * (v + m) / 2.0;
            }
            *start = -half as f32;
        }
        Self { panels, start, channels }
    }

    /// The nearest centroid of each of the `which` rows, counted from `first`.
    pub fn nearest(&self, rows: Rows<'_>, first: usize, which: &[u32], to: &mut [Found]) {
        simd::dispatch(Nearest { packed: self, rows, first, which, to });
    }
}

/// What is found of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The nearest centroid; the lower index where two are equally near.
    pub nearest: u32,
    /// The squared distance to the next one less that to the nearest; infinite where there is one centroid.
    pub ahead: f32,
}

/// The panel that a register lies in: its first register and their number.
fn panel_of(register: usize, registers: usize) -> (usize, usize) {
    let first = register / 2 * 2;
    (first, 2.min(registers - first))
}

struct Nearest<'a> {
    packed: &'a Packed,
    rows: Rows<'a>,
    first: usize,
    which: &'a [u32],
    to: &'a mut [Found],
}

impl WithSimd for Nearest<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // as many sums as fit: 24 of 32 registers, 12 of 16
        if S::REGISTER_COUNT >= 32 { self.blocks::<S, TALL>(simd) } else { self.blocks::<S, 6>(simd) }
    }
}

impl Nearest<'_> {
    #[inline(always)]
    fn blocks<S: Simd, const M: usize>(self, simd: S) {
        let (lanes, channels) = (S::F32_LANES, self.packed.channels);
        let registers = self.packed.start.len() / lanes;
        let (mut best, mut next, mut which) = ([0.0f32; TALL * WIDEST], [0.0f32; TALL * WIDEST], [0u32; TALL * WIDEST]);
        for (of, to) in self.which.chunks(M).zip(self.to.chunks_mut(M)) {
            let mut rows: [&[f32]; M] = [&[]; M];
            rows.iter_mut().enumerate().for_each(|(m, r)| *r = self.rows.row(self.first + of[m.min(of.len() - 1)] as usize));
            best.fill(f32::NEG_INFINITY);
            next.fill(f32::NEG_INFINITY);
            for first in (0..registers).step_by(2) {
                let (_, count) = panel_of(first, registers);
                let panel = &self.packed.panels[first * lanes * channels..][..count * lanes * channels];
                let start = &self.packed.start[first * lanes..][..count * lanes];
                let (best, next, which) = (&mut best[..M * lanes], &mut next[..M * lanes], &mut which[..M * lanes]);
                if count == 2 {
                    apart(simd, Tile::<M, 2> { rows: &rows, panel, start, first, best, next, which });
                } else {
                    apart(simd, Tile::<M, 1> { rows: &rows, panel, start, first, best, next, which });
                }
            }
            for (m, to) in to.iter_mut().enumerate() {
                let lanes = m * lanes..(m + 1) * lanes;
                *to = of_lanes::<S>(&best[lanes.clone()], &next[lanes.clone()], &which[lanes]);
            }
        }
    }
}

/// Out of the best two of each lane, and the register that its best was in. Without branches, which would be taken at random.
#[inline(always)]
fn of_lanes<S: Simd>(best: &[f32], next: &[f32], which: &[u32]) -> Found {
    let mut first = f32::NEG_INFINITY;
    (0..S::F32_LANES).for_each(|lane| first = first.max(best[lane]));
    let index = |lane: usize| which[lane] * S::F32_LANES as u32 + lane as u32;
    let mut nearest = u32::MAX;
    (0..S::F32_LANES).for_each(|lane| nearest = nearest.min(if best[lane] == first { index(lane) } else { u32::MAX }));
    let mut second = f32::NEG_INFINITY;
    (0..S::F32_LANES).for_each(|lane| second = second.max(if index(lane) == nearest { next[lane] } else { best[lane] }));
    Found { nearest, ahead: 2.0 * (first - second) }
}

/// M rows x V registers of centroids, over all channels; the best two of each row and lane so far, and the register the best was in.
struct Tile<'a, const M: usize, const V: usize> {
    rows: &'a [&'a [f32]; M],
    panel: &'a [f32],
    start: &'a [f32],
    first: usize,
    best: &'a mut [f32],
    next: &'a mut [f32],
    which: &'a mut [u32],
}

impl<const M: usize, const V: usize> WithSimd for Tile<'_, M, V> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let wide = V * S::F32_LANES;
        let channels = self.panel.len() / wide;
        let start = &S::as_simd_f32s(self.start).0[..V];
        let mut sums = [[simd.splat_f32s(0.0); V]; M];
        unrolled!(m < M, {
            unrolled!(r < V, { sums[m][r] = start[r] });
        });
        let mut fours: [&[[f32; STEP]]; M] = [&[]; M];
        unrolled!(m < M, { fours[m] = self.rows[m][..channels].as_chunks().0 });
        let whole = channels / STEP;
        for (k, w) in self.panel.chunks_exact(STEP * wide).enumerate() {
            let w = &S::as_simd_f32s(w).0[..STEP * V];
            unrolled!(j < STEP, {
                unrolled!(m < M, {
                    let v = simd.splat_f32s(fours[m][k][j]);
                    unrolled!(r < V, { sums[m][r] = simd.mul_add_e_f32s(v, w[j * V + r], sums[m][r]) });
                });
            });
        }
        for c in whole * STEP..channels {
            let w = &S::as_simd_f32s(&self.panel[c * wide..(c + 1) * wide]).0[..V];
            unrolled!(m < M, {
                let v = simd.splat_f32s(self.rows[m][c]);
                unrolled!(r < V, { sums[m][r] = simd.mul_add_e_f32s(v, w[r], sums[m][r]) });
            });
        }
        let (best, next) = (&mut S::as_mut_simd_f32s(self.best).0[..M], &mut S::as_mut_simd_f32s(self.next).0[..M]);
        let which = &mut S::as_mut_simd_u32s(self.which).0[..M];
        unrolled!(m < M, {
            unrolled!(r < V, {
                let better = simd.greater_than_f32s(sums[m][r], best[m]);
                next[m] = simd.max_f32s(next[m], simd.min_f32s(sums[m][r], best[m]));
                best[m] = simd.select_f32s(better, sums[m][r], best[m]);
                which[m] = simd.select_u32s(better, simd.splat_u32s((self.first + r) as u32), which[m]);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng;

    /// For each number of centroids and channels that fills registers, panels and steps, or does not.
    #[test]
    fn the_nearest_is_that_of_the_plain_distances() {
        for k in [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 100] {
            for channels in [1, 2, 3, 4, 5, 8, 31, 32, 130] {
                let all = rng::noise(k as u64, channels as u32, 0, (k + 61) * channels);
                // far from the origin, as features that were never centred are
                let all: Vec<f32> = all.iter().map(|v| v + 20.0).collect();
                let (centroids, rows) = all.split_at(k * channels);
                let (centroids, rows) = (Centroids { channels, data: centroids.to_vec() }, Rows { data: rows, channels });
                let mut got = [Found::default(); 61];
                Packed::new(&centroids).nearest(rows, 0, &(0..61).collect::<Vec<u32>>(), &mut got);
                for (i, found) in got.iter().enumerate() {
                    let exact = |j: usize| rows.row(i).iter().zip(centroids.row(j)).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                    let own = exact(found.nearest as usize);
                    let others = (0..k).filter(|j| *j != found.nearest as usize).map(exact).fold(f64::INFINITY, f64::min);
                    let ahead = f64::from(found.ahead);
                    let right = if k == 1 { ahead == f64::INFINITY } else { (own + ahead - others).abs() < 1e-4 * channels as f64 };
                    assert!(ahead >= 0.0 && right, "k {k}, {channels} channels, row {i}: {found:?}, in truth {own} and {others}");
                }
            }
        }
    }

    #[test]
    fn the_lower_index_is_taken_of_equals_and_only_the_rows_asked_for() {
        let data: Vec<f32> = (0..40).flat_map(|j| [(j % 20) as f32, 1.0]).collect();
        let rows: Vec<f32> = (0..20).flat_map(|j| [j as f32, 1.0]).collect();
        let which = [7, 3, 19, 1];
        let mut got = [Found::default(); 4];
        Packed::new(&Centroids { channels: 2, data }).nearest(Rows { data: &rows, channels: 2 }, 1, &which.map(|i| i - 1), &mut got);
        assert_eq!(got, which.map(|nearest| Found { nearest, ahead: 0.0 }));
    }
}
