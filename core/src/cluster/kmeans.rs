//! Seeded k-means++ (Arthur & Vassilvitskii, SODA 2007) and Lloyd's iterations, with restarts.

use rayon::prelude::*;

use super::packed::{Found, Packed};
use super::{Rows, distance2};
use crate::rng::Stream;
use crate::{Error, Job, Result, vectorized};

/// Rows a chunk: the unit of work, and the order of summation.
const CHUNK: usize = 1024;
/// Rows that are looked at several times while they are in the processor's nearer memory.
const BLOCK: usize = 128;
/// Most Lloyd iterations; tissue features settle in 20-60.
const ROUNDS: usize = 100;
/// Lloyd stops when the inertia falls by less than this share.
const SETTLED: f64 = 1e-5;
/// A row keeps its centroid when the others are farther by more than this: some ten times what rounding can hide.
const SURELY: f32 = 1.001;
/// Seedings tried; the one of least inertia is kept.
const RESTARTS: u32 = 6;
/// Rows on which the seedings are compared; the best is refined on all.
const SAMPLE_ROWS: usize = 20_000;

/// `k` centroids of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Centroids {
    /// Length of a centroid.
    pub channels: usize,
    /// `k * channels` values.
    pub data: Vec<f32>,
}

impl Centroids {
    /// Number of centroids.
    pub fn k(&self) -> usize {
        self.data.len() / self.channels.max(1)
    }

    /// One centroid.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.channels..][..self.channels]
    }

    /// The nearest centroid and its squared distance; the lower index where two are equally near.
    pub fn nearest(&self, row: &[f32]) -> (usize, f32) {
        let mut best = (0, f32::INFINITY);
        for (i, c) in self.data.chunks_exact(self.channels).enumerate() {
            let d = distance2(row, c);
            if d < best.1 {
                best = (i, d);
            }
        }
        best
    }

    /// The nearest centroid of each row.
    pub fn of(&self, rows: Rows<'_>) -> Vec<usize> {
        (0..rows.len()).into_par_iter().map(|i| self.nearest(rows.row(i)).0).collect()
    }
}

/// A fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The centroids.
    pub centroids: Centroids,
    /// Sum of squared distances of the fitted rows to their centroids.
    pub inertia: f64,
}

/// Clusters rows. Runs in the rayon pool it is called from.
pub fn fit(rows: Rows<'_>, k: usize, seed: u64, job: &Job) -> Result<Model> {
    fit_at_most(rows, k, k, seed, job)
}

/// Centroids good enough to tell frequent tissue from rare: at most `k`, of fewer distinct rows as many as there are.
pub fn quick(rows: Rows<'_>, k: usize, seed: u64, job: &Job) -> Result<Centroids> {
    Ok(fit_at_most(rows, k.min(rows.len()), 1, seed, job)?.centroids)
}

/// Clusters rows into `k` clusters, or as many as there are distinct rows; fewer than `least` are an error.
pub(super) fn fit_at_most(rows: Rows<'_>, k: usize, least: usize, seed: u64, job: &Job) -> Result<Model> {
    if k == 0 || rows.len() < k {
        return Err(Error::parameter(
            "k",
            format!("{least} classes from {} pieces of tissue", rows.len()),
            "ask for fewer classes or a larger region",
        ));
    }
    if rows.data.iter().any(|v| !v.is_finite()) {
        return Err(Error::internal("features that are not finite reached the clustering"));
    }
    let sample = sample(rows, seed);
    let sample = Rows { data: &sample, channels: rows.channels };
    let mut best: Option<Model> = None;
    for restart in 0..RESTARTS {
        let model = lloyd(sample, plus_plus(sample, k, least, seed, restart)?, ROUNDS, job)?;
        if best.as_ref().is_none_or(|b| model.inertia < b.inertia) {
            best = Some(model);
        }
    }
    let best = best.ok_or_else(|| Error::internal("no seeding was tried"))?;
    if sample.len() == rows.len() { Ok(best) } else { lloyd(rows, best.centroids, ROUNDS, job) }
}

/// More classes were asked for than there are textures.
pub(super) fn too_few(least: usize, distinct: usize) -> Error {
    Error::parameter("k", format!("{least} classes, but the tissue has only {distinct} distinct textures"), "ask for fewer")
}

/// At most [`SAMPLE_ROWS`] rows, one drawn from each of equally long stretches.
fn sample(rows: Rows<'_>, seed: u64) -> Vec<f32> {
    let n = rows.len();
    if n <= SAMPLE_ROWS {
        return rows.data.to_vec();
    }
    let mut random = Stream::new(seed, u32::MAX, 0);
    let from = |i: usize| i * n / SAMPLE_ROWS;
    (0..SAMPLE_ROWS).flat_map(|i| rows.row(from(i) + random.below(from(i + 1) - from(i))).iter().copied()).collect()
}

/// k-means++ seeding, ended early where rows repeat (an error below `least`): each next centroid is a row drawn with probability proportional to its squared distance to the nearest so far.
fn plus_plus(rows: Rows<'_>, k: usize, least: usize, seed: u64, restart: u32) -> Result<Centroids> {
    let mut random = Stream::new(seed, u32::MAX, 1 + restart);
    let mut centroids = Centroids { channels: rows.channels, data: rows.row(random.below(rows.len())).to_vec() };
    let mut nearest = vec![f32::INFINITY; rows.len()];
    while centroids.k() < k {
        let newest = centroids.row(centroids.k() - 1);
        nearest.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, nearest)| {
            vectorized!({
                for (i, d) in nearest.iter_mut().enumerate() {
                    *d = d.min(distance2(rows.row(chunk * CHUNK + i), newest));
                }
            });
        });
        let total: f64 = nearest.iter().map(|d| f64::from(*d)).sum();
        if total <= 0.0 && centroids.k() >= least {
            break;
        }
        if total <= 0.0 {
            return Err(too_few(least, centroids.k()));
        }
        let mut left = random.uniform() * total;
        let chosen = nearest.iter().position(|d| {
            left -= f64::from(*d);
            left < 0.0
        });
        let chosen = chosen.or_else(|| nearest.iter().rposition(|d| *d > 0.0)).unwrap_or(0);
        centroids.data.extend_from_slice(rows.row(chosen));
    }
    Ok(centroids)
}

/// Lloyd's iterations from these centroids until the inertia settles, `rounds` at most. An empty cluster is moved onto the row that is farthest
/// from its centroid. Runs in the rayon pool it is called from.
pub fn lloyd(rows: Rows<'_>, mut centroids: Centroids, rounds: usize, job: &Job) -> Result<Model> {
    let mut last = f64::INFINITY;
    let (mut known, mut moved, mut sums) = (vec![Known::NEW; rows.len()], Moved::default(), Sums::zero(&centroids));
    for _ in 0..rounds {
        job.check()?;
        let pass = assign(rows, &centroids, &moved, &mut known);
        sums.follow(rows, &pass.changes);
        let before = centroids;
        centroids = sums.means(rows, &before, pass.farthest.0);
        moved = Moved::of(&before, &centroids);
        if !sums.count.contains(&0) && last - pass.inertia <= SETTLED * pass.inertia {
            break;
        }
        last = pass.inertia;
    }
    let inertia = assign(rows, &centroids, &moved, &mut known).inertia;
    Ok(Model { centroids, inertia })
}

/// What is known of a row between rounds (Hamerly, SDM 2010, "Making k-means even faster"): while it is nearer to its centroid than any
/// other can have come, the others need not be looked at.
#[derive(Clone, Copy)]
struct Known {
    /// Its centroid; [`NONE`] before the first round.
    nearest: u32,
    /// No other centroid is nearer than this.
    others: f32,
}

/// No centroid.
const NONE: u32 = u32::MAX;

impl Known {
    const NEW: Self = Self { nearest: NONE, others: 0.0 };
}

/// How far centroids moved in a round: the one that moved most, by how much, and the most of the rest.
#[derive(Default)]
struct Moved {
    most: (u32, f32),
    rest: f32,
}

impl Moved {
    fn of(before: &Centroids, after: &Centroids) -> Self {
        let mut out = Self::default();
        for j in 0..after.k() {
            let by = distance2(before.row(j), after.row(j)).sqrt();
            if by > out.most.1 {
                out.rest = out.most.1;
                out.most = (j as u32, by);
            } else {
                out.rest = out.rest.max(by);
            }
        }
        out
    }

    /// The most that any centroid but `j` moved.
    fn others(&self, j: u32) -> f32 {
        if j == self.most.0 { self.rest } else { self.most.1 }
    }
}

/// What one pass over rows finds.
struct Pass {
    /// The rows that have another centroid than before, in their order.
    changes: Vec<Change>,
    inertia: f64,
    /// The row farthest from its centroid, and its squared distance.
    farthest: (usize, f32),
}

/// A row went from one centroid ([`NONE`] in the first round) to another.
#[derive(Clone, Copy)]
struct Change {
    row: u32,
    from: u32,
    to: u32,
}

/// Finds each row's centroid: chunks in parallel, what they find folded in order.
fn assign(rows: Rows<'_>, centroids: &Centroids, moved: &Moved, known: &mut [Known]) -> Pass {
    let packed = Packed::new(centroids);
    let chunk = |(c, known): (usize, &mut [Known])| assign_chunk(rows, centroids, &packed, c * CHUNK, moved, known);
    let parts: Vec<Pass> = known.par_chunks_mut(CHUNK).enumerate().map(chunk).collect();
    let mut all = Pass::new();
    for part in parts {
        all.changes.extend(part.changes);
        all.inertia += part.inertia;
        if part.farthest.1 > all.farthest.1 {
            all.farthest = part.farthest;
        }
    }
    all
}

/// The rows from `first` on, as many as are `known`.
fn assign_chunk(rows: Rows<'_>, centroids: &Centroids, packed: &Packed, first: usize, moved: &Moved, known: &mut [Known]) -> Pass {
    let mut pass = Pass::new();
    for (block, known) in known.chunks_mut(BLOCK).enumerate() {
        pass.block(rows, centroids, packed, first + block * BLOCK, moved, known);
    }
    pass
}

impl Pass {
    fn new() -> Self {
        Self { changes: Vec::new(), inertia: 0.0, farthest: (0, -1.0) }
    }

    /// At most [`BLOCK`] rows from `first` on.
    fn block(&mut self, rows: Rows<'_>, centroids: &Centroids, packed: &Packed, first: usize, moved: &Moved, known: &mut [Known]) {
        let (mut squares, mut doubtful, mut found, mut doubts) = ([0.0f32; BLOCK], [0u32; BLOCK], [Found::default(); BLOCK], 0);
        let square = |i: usize, nearest: u32| distance2(rows.row(first + i), centroids.row(nearest as usize));
        vectorized!({
            for (i, (known, square_of)) in known.iter_mut().zip(&mut squares).enumerate() {
                if known.nearest != NONE {
                    *square_of = square(i, known.nearest);
                    known.others -= moved.others(known.nearest);
                }
                doubtful[doubts] = i as u32;
                doubts += usize::from(known.nearest == NONE || square_of.sqrt() * SURELY >= known.others);
            }
        });
        let (doubtful, found) = (&doubtful[..doubts], &mut found[..doubts]);
        packed.nearest(rows, first, doubtful, found);
        vectorized!({
            for (i, found) in doubtful.iter().zip(&mut *found) {
                let (row, known) = (first as u32 + i, &mut known[*i as usize]);
                let square_of = &mut squares[*i as usize];
                if found.nearest != known.nearest {
                    *square_of = square(*i as usize, found.nearest);
                    self.changes.push(Change { row, from: known.nearest, to: found.nearest });
                }
                *known = Known { nearest: found.nearest, others: (*square_of + found.ahead).sqrt() };
            }
            for (i, d) in squares[..known.len()].iter().enumerate() {
                self.inertia += f64::from(*d);
                if *d > self.farthest.1 {
                    self.farthest = (first + i, *d);
                }
            }
        });
    }
}

/// The sum of each cluster's rows, and their number; kept from round to round, for few rows change.
struct Sums {
    sum: Vec<f64>,
    count: Vec<u64>,
}

impl Sums {
    fn zero(centroids: &Centroids) -> Self {
        Self { sum: vec![0.0; centroids.data.len()], count: vec![0; centroids.k()] }
    }

    /// Takes rows from clusters they left and adds them to those they joined: clusters in parallel, the rows of each in order.
    fn follow(&mut self, rows: Rows<'_>, changes: &[Change]) {
        let mut of = vec![Vec::new(); self.count.len()];
        for change in changes {
            if change.from != NONE {
                of[change.from as usize].push((change.row, -1.0));
                self.count[change.from as usize] -= 1;
            }
            of[change.to as usize].push((change.row, 1.0));
            self.count[change.to as usize] += 1;
        }
        self.sum.par_chunks_mut(rows.channels).zip(&of).for_each(|(sum, of)| {
            vectorized!({
                for (row, sign) in of {
                    sum.iter_mut().zip(rows.row(*row as usize)).for_each(|(a, v)| *a += sign * f64::from(*v));
                }
            });
        });
    }

    /// The clusters' means; an empty one is put onto the row `farthest`.
    fn means(&self, rows: Rows<'_>, before: &Centroids, farthest: usize) -> Centroids {
        let mut out = before.clone();
        let mut farthest_taken = false;
        for (j, n) in self.count.iter().enumerate() {
            let to = &mut out.data[j * before.channels..][..before.channels];
            if *n > 0 {
                to.iter_mut().zip(&self.sum[j * before.channels..]).for_each(|(v, s)| *v = (s / *n as f64) as f32);
            } else if !farthest_taken {
                to.copy_from_slice(rows.row(farthest));
                farthest_taken = true; // a second empty cluster waits for the next round
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs around `k` corners.
    fn blobs(n: usize, k: usize, channels: usize, seed: u64) -> (Vec<f32>, Vec<usize>) {
        let noise = crate::rng::noise(seed, 0, 0, n * channels);
        let centre = crate::rng::noise(seed, 1, 0, k * channels);
        let of: Vec<usize> = (0..n).map(|i| i % k).collect();
        let data = (0..n * channels).map(|i| 6.0 * centre[of[i / channels] * channels + i % channels] + noise[i]).collect();
        (data, of)
    }

    /// Lloyd as the textbook writes it, in f64, from given centroids.
    fn reference(rows: Rows<'_>, start: &Centroids) -> (Vec<f64>, f64) {
        let (c, k) = (rows.channels, start.k());
        let mut centres: Vec<f64> = start.data.iter().map(|v| f64::from(*v)).collect();
        let d2 =
            |i: usize, j: usize, centres: &[f64]| (0..c).map(|x| (f64::from(rows.row(i)[x]) - centres[j * c + x]).powi(2)).sum::<f64>();
        for _ in 0..ROUNDS {
            let of: Vec<usize> =
                (0..rows.len()).map(|i| (0..k).min_by(|a, b| d2(i, *a, &centres).total_cmp(&d2(i, *b, &centres))).unwrap()).collect();
            for j in 0..k {
                let members: Vec<usize> = (0..rows.len()).filter(|i| of[*i] == j).collect();
                for x in 0..c {
                    centres[j * c + x] = members.iter().map(|i| f64::from(rows.row(*i)[x])).sum::<f64>() / members.len() as f64;
                }
            }
        }
        let inertia = (0..rows.len()).map(|i| (0..k).map(|j| d2(i, j, &centres)).fold(f64::INFINITY, f64::min)).sum();
        (centres, inertia)
    }

    #[test]
    fn lloyd_agrees_with_the_plain_reference() {
        let (data, _) = blobs(600, 5, 11, 3);
        let rows = Rows { data: &data, channels: 11 };
        let start = plus_plus(rows, 5, 5, 1, 0).unwrap();
        let (centres, inertia) = reference(rows, &start);
        let got = lloyd(rows, start, ROUNDS, &Job::new()).unwrap();
        assert!((got.inertia / inertia - 1.0).abs() < 1e-4, "{} {inertia}", got.inertia);
        assert!(got.centroids.data.iter().zip(&centres).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-2));
    }

    #[test]
    fn what_is_known_of_rows_spares_work_and_changes_nothing() {
        let (data, _) = blobs(3000, 12, 24, 9);
        let rows = Rows { data: &data, channels: 24 };
        let mut centroids = plus_plus(rows, 30, 30, 2, 0).unwrap();
        let (mut known, mut moved, mut sums, mut kept) = (vec![Known::NEW; 3000], Moved::default(), Sums::zero(&centroids), 0);
        for _ in 0..15 {
            let pass = assign(rows, &centroids, &moved, &mut known);
            sums.follow(rows, &pass.changes);
            let mut afresh = vec![Known::NEW; 3000];
            let (all, mut anew) = (assign(rows, &centroids, &Moved::default(), &mut afresh), Sums::zero(&centroids));
            anew.follow(rows, &all.changes);
            assert!(known.iter().zip(&afresh).all(|(a, b)| a.nearest == b.nearest));
            assert_eq!((pass.inertia.to_bits(), pass.farthest, &sums.count), (all.inertia.to_bits(), all.farthest, &anew.count));
            // added and taken away in another order
            assert!(sums.sum.iter().zip(&anew.sum).all(|(a, b)| (a - b).abs() < 1e-10));
            kept += known.iter().zip(&afresh).filter(|(a, b)| a.others < b.others).count();
            let before = centroids;
            centroids = sums.means(rows, &before, pass.farthest.0);
            moved = Moved::of(&before, &centroids);
        }
        assert!(kept > 10_000, "{kept} of 45 000 were kept without looking at the others");
    }

    #[test]
    fn blobs_are_found_whatever_the_seed() {
        let (data, of) = blobs(4000, 8, 32, 5);
        for seed in 0..5 {
            let m = fit(Rows { data: &data, channels: 32 }, 8, seed, &Job::new()).unwrap();
            let label = |i: usize| m.centroids.nearest(&data[i * 32..][..32]).0;
            assert!((0..4000).all(|i| label(i) == label(of[i])), "seed {seed}");
        }
    }

    #[test]
    fn every_thread_count_gives_the_same_bits() {
        let (data, _) = blobs(30_000, 6, 19, 7);
        let run = |threads| {
            let rows = Rows { data: &data, channels: 19 };
            crate::pool::pool(threads).unwrap().install(|| fit(rows, 9, 42, &Job::new()).unwrap())
        };
        let one = run(1);
        for threads in [2, 7] {
            let other = run(threads);
            let bits = |m: &Model| m.centroids.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&one), one.inertia.to_bits()), (bits(&other), other.inertia.to_bits()), "{threads} threads");
        }
    }

    #[test]
    fn an_empty_cluster_is_put_to_use() {
        let data = [0.0f32, 0.1, 0.2, 10.0, 10.1, 20.0];
        let rows = Rows { data: &data, channels: 1 };
        let start = Centroids { channels: 1, data: vec![0.1, 1000.0, 2000.0] };
        let m = lloyd(rows, start, ROUNDS, &Job::new()).unwrap();
        let mut used: Vec<usize> = data.iter().map(|v| m.centroids.nearest(&[*v]).0).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 3);
    }

    #[test]
    fn too_many_classes_and_a_cancelled_job_are_refused() {
        let rows = Rows { data: &[1.0f32; 40], channels: 4 };
        assert!(fit(rows, 11, 1, &Job::new()).unwrap_err().to_string().contains("`k`"));
        assert!(fit(rows, 2, 1, &Job::new()).unwrap_err().to_string().contains("distinct"));
        let job = Job::new();
        job.cancel();
        let (data, _) = blobs(100, 2, 4, 1);
        assert!(matches!(fit(Rows { data: &data, channels: 4 }, 2, 1, &job), Err(Error::Cancelled)));
    }
}
