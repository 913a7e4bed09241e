//! Help in choosing k. In: the rows a hierarchy was fitted on. Out: a [`Reading`] a k, and the k they speak for.
//!
//! | reading | what | source |
//! |---|---|---|
//! | inertia | share of the variance that stays within classes; an elbow is looked for in it | |
//! | silhouette | mean of (b - a) / max(a, b), a the mean distance to the own class, b to the nearest other one; -1..1 | Rousseeuw, J Comput Appl Math 1987;20:53-65 |
//! | stability | adjusted Rand index between the classes of hierarchies fitted on one half of the rows and on the other; 1 = the same | Hubert & Arabie, J Classif 1985;2:193-218 |

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Descent, Hierarchy, Rows, distance2};
use crate::{Error, Job, Result};

/// Rows whose silhouettes are taken.
const SILHOUETTE_ROWS: usize = 1024;
/// Rows of both halves together.
const STABILITY_ROWS: usize = 8192;
/// Rows that both halves' hierarchies label.
const JUDGED_ROWS: usize = 2048;
/// Numbers of classes that `auto` chooses from: fewer tell little more than nuclei from fibres, more are not looked at one by one.
pub const AUTO: std::ops::RangeInclusive<usize> = 4..=30;

/// How good a number of classes is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Number of classes.
    pub k: usize,
    /// Share of the variance within classes, 0..=1.
    pub inertia: f64,
    /// Mean silhouette, -1..=1.
    pub silhouette: f64,
    /// Adjusted Rand index of two halves, at most 1.
    pub stability: f64,
}

/// Readings for k = 2 up to the leaves of a hierarchy fitted on `rows`.
pub fn readings(rows: Rows<'_>, hierarchy: &Hierarchy, seed: u64, job: &Job) -> Result<Vec<Reading>> {
    let (silhouettes, stabilities) = rayon::join(|| silhouettes(rows, hierarchy), || stabilities(rows, hierarchy.leaves.k(), seed, job));
    let stabilities = stabilities?;
    let inertias = hierarchy.inertias();
    let whole = inertias.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let reading =
        |((k, silhouette), stability): ((usize, f64), f64)| Reading { k, inertia: inertias[k - 1] / whole, silhouette, stability };
    Ok((2..).zip(silhouettes).zip(stabilities).map(reading).collect())
}

/// The k that the readings speak for: of those within [`AUTO`] the one with the largest (silhouette + 1) x stability, the smaller of equals.
pub fn best(readings: &[Reading]) -> Option<usize> {
    let score = |r: &&Reading| (r.silhouette + 1.0) * r.stability.max(0.0);
    let within = || readings.iter().filter(|r| AUTO.contains(&r.k));
    let best = within().max_by(|a, b| score(a).total_cmp(&score(b)).then(b.k.cmp(&a.k))).or(readings.last());
    best.map(|r| r.k)
}

/// Every n-th row, at most `most`.
fn thinned(rows: Rows<'_>, most: usize) -> Vec<usize> {
    (0..rows.len()).step_by(rows.len().div_ceil(most).max(1)).collect()
}

/// Mean silhouettes of the cuts at 2, 3, ... on a sample.
fn silhouettes(rows: Rows<'_>, hierarchy: &Hierarchy) -> Vec<f64> {
    let chosen = thinned(rows, SILHOUETTE_ROWS);
    let descent = Descent::new(hierarchy);
    let leaf: Vec<usize> = chosen.iter().map(|i| descent.leaf(rows.row(*i))).collect();
    let leaves = hierarchy.leaves.k();
    let mut rows_of = vec![0f64; leaves];
    leaf.iter().for_each(|l| rows_of[*l] += 1.0);
    // sum of the distances from each row to the rows of each leaf; a cut's classes only add them up
    let sums: Vec<Vec<f64>> = chosen
        .par_iter()
        .map(|i| {
            let mut sum = vec![0f64; leaves];
            chosen.iter().zip(&leaf).for_each(|(j, l)| sum[*l] += f64::from(distance2(rows.row(*i), rows.row(*j))).sqrt());
            sum
        })
        .collect();
    (2..=leaves).filter_map(|k| hierarchy.cut(k).ok()).map(|cut| silhouette(&cut, &leaf, &rows_of, &sums)).collect()
}

fn silhouette(cut: &[u8], leaf: &[usize], rows_of: &[f64], sums: &[Vec<f64>]) -> f64 {
    let k = cut.iter().copied().max().map_or(0, usize::from);
    let by_class = |values: &[f64]| {
        let mut out = vec![0f64; k];
        values.iter().zip(cut).for_each(|(v, label)| out[usize::from(*label) - 1] += v);
        out
    };
    let rows = by_class(rows_of);
    let one = |(sum, leaf): (&Vec<f64>, &usize)| {
        let (sum, own) = (by_class(sum), usize::from(cut[*leaf]) - 1);
        let a = sum[own] / (rows[own] - 1.0).max(1.0);
        let others = (0..k).filter(|c| *c != own && rows[*c] > 0.0).map(|c| sum[c] / rows[c]);
        let b = others.fold(f64::INFINITY, f64::min);
        // a class of one row counts 0, as does a sample that knows one class only
        if rows[own] < 2.0 || b.is_infinite() { 0.0 } else { (b - a) / a.max(b).max(f64::MIN_POSITIVE) }
    };
    sums.iter().zip(leaf).map(one).sum::<f64>() / sums.len().max(1) as f64
}

/// Adjusted Rand indices of the cuts at 2, 3, ... `leaves` of two hierarchies, each fitted on its half of the rows.
fn stabilities(rows: Rows<'_>, leaves: usize, seed: u64, job: &Job) -> Result<Vec<f64>> {
    let chosen = thinned(rows, STABILITY_ROWS);
    let half = |odd: usize| -> Vec<f32> {
        chosen.iter().enumerate().filter(|(n, _)| n % 2 == odd).flat_map(|(_, i)| rows.row(*i).iter().copied()).collect()
    };
    let fitted = |odd: usize| {
        let data = half(odd);
        Hierarchy::fit(Rows { data: &data, channels: rows.channels }, 2, seed.wrapping_add(odd as u64), job)
    };
    let pair = match rayon::join(|| fitted(0), || fitted(1)) {
        (Ok(a), Ok(b)) => [a, b],
        // a half with too few textures is steady in nothing
        (Err(Error::Parameter { .. }), _) | (_, Err(Error::Parameter { .. })) => return Ok(vec![0.0; leaves.saturating_sub(1)]),
        (Err(e), _) | (_, Err(e)) => return Err(e),
    };
    let judged = thinned(rows, JUDGED_ROWS);
    let of = pair.each_ref().map(|h| {
        let descent = Descent::new(h);
        judged.iter().map(|i| descent.leaf(rows.row(*i))).collect::<Vec<_>>()
    });
    let mut out = Vec::new();
    for k in 2..=leaves {
        job.check()?;
        let [a, b] = [0, 1].map(|n| {
            let cut = pair[n].cut(k.min(pair[n].leaves.k()))?;
            Ok(of[n].iter().map(|leaf| cut[*leaf]).collect::<Vec<u8>>())
        });
        out.push(adjusted_rand(&a?, &b?));
    }
    Ok(out)
}

/// The adjusted Rand index of two labellings of the same rows.
pub fn adjusted_rand(a: &[u8], b: &[u8]) -> f64 {
    let (mut both, mut left, mut right) = (vec![0u64; 1 << 16], [0u64; 256], [0u64; 256]);
    for (x, y) in a.iter().zip(b) {
        both[usize::from(*x) << 8 | usize::from(*y)] += 1;
        left[usize::from(*x)] += 1;
        right[usize::from(*y)] += 1;
    }
    let pairs = |n: &u64| (*n as f64) * (*n as f64 - 1.0) / 2.0;
    let sum = |counts: &[u64]| counts.iter().map(pairs).sum::<f64>();
    let (both, left, right) = (sum(&both), sum(&left), sum(&right));
    let expected = left * right / pairs(&(a.len() as u64)).max(1.0);
    let most = (left + right) / 2.0;
    if most - expected <= 0.0 { 1.0 } else { (both - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Classes;

    fn blobs(n: usize, k: usize) -> Vec<f32> {
        let noise = crate::rng::noise(3, 0, 0, 2 * n);
        let angle = |i: usize| (i % k) as f32 / k as f32 * std::f32::consts::TAU;
        (0..2 * n).map(|v| 10.0 * if v % 2 == 0 { angle(v / 2).cos() } else { angle(v / 2).sin() } + noise[v]).collect()
    }

    #[test]
    fn blobs_are_counted() {
        for k in [5, 7] {
            let data = blobs(3000, k);
            let rows = Rows { data: &data, channels: 2 };
            let h = Hierarchy::fit(rows, 2, 1, &Job::new()).unwrap();
            let r = readings(rows, &h, 1, &Job::new()).unwrap();
            assert_eq!(best(&r), Some(k), "{:?}", &r[..9]);
            assert!(r[k - 2].stability > 0.99 && r[k - 2].silhouette > 0.6 && r[k - 2].inertia < 0.1);
            assert_eq!((r.len(), r[0].k), (h.leaves.k() - 1, 2));
        }
    }

    #[test]
    fn a_few_cells_have_readings_too() {
        for n in [2, 3, 5] {
            let data = blobs(n, 2);
            let rows = Rows { data: &data, channels: 2 };
            let h = Hierarchy::fit(rows, 2, 1, &Job::new()).unwrap();
            assert_eq!(readings(rows, &h, 1, &Job::new()).unwrap().len(), h.leaves.k() - 1);
        }
    }

    #[test]
    fn silhouette_and_rand_index_are_those_of_the_definitions() {
        let data = blobs(60, 5);
        let rows = Rows { data: &data, channels: 2 };
        let h = Hierarchy::fit(rows, 5, 1, &Job::new()).unwrap();
        let classes = Classes::new(&h, h.cut(3).unwrap());
        let of: Vec<u8> = (0..60).map(|i| classes.of(rows.row(i)).1).collect();
        let d = |i: usize, j: usize| f64::from(distance2(rows.row(i), rows.row(j))).sqrt();
        let mean = |i: usize, label: u8| {
            let others: Vec<f64> = (0..60).filter(|j| *j != i && of[*j] == label).map(|j| d(i, j)).collect();
            others.iter().sum::<f64>() / others.len() as f64
        };
        let one = |i: usize| {
            let (a, b) = (mean(i, of[i]), (1..=3).filter(|l| *l != of[i]).map(|l| mean(i, l)).fold(f64::INFINITY, f64::min));
            (b - a) / a.max(b)
        };
        let want = (0..60).map(one).sum::<f64>() / 60.0;
        assert!((silhouettes(rows, &h)[1] - want).abs() < 1e-5);
        // scikit-learn 1.7: adjusted_rand_score([0,0,1,1], [0,0,1,2]) = 0.5714285714285714
        assert!((adjusted_rand(&[0, 0, 1, 1], &[0, 0, 1, 2]) - 0.571_428_571_428_571_4).abs() < 1e-12);
        assert!((adjusted_rand(&[1, 1, 2, 2, 3], &[7, 7, 5, 5, 1]) - 1.0).abs() < 1e-12);
        assert!(adjusted_rand(&[1, 1, 2, 2], &[1, 2, 1, 2]) < 0.0);
    }
}
