//! One hierarchy of classes: k-means leaves joined two by two. In: rows, number of leaves, seed. Out: [`Hierarchy`], whose cuts at any
//! k are nested: the cut at k + 1 splits one class of the cut at k and leaves the others, with their labels, as they are.
//!
//! Leaves are k-means clusters; of all pairs those are joined whose union adds least to the inertia (Ward, J Am Stat Assoc
//! 1963;58:236-44), |a| |b| / (|a| + |b|) d(a, b)^2. Read from the root, the class whose split takes most variance away is split first.

use super::kmeans::{Centroids, fit_at_most};
use super::{Rows, distance2};
use crate::{Error, Job, Result, limits};

/// Least rows a leaf on average, so that leaves are classes and not outliers.
const ROWS_A_LEAF: usize = 12;

/// Two clusters that become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Join {
    /// The leaf under whose number the union goes on: that of the larger part.
    pub into: u8,
    /// The leaf whose number ends.
    pub from: u8,
    /// What the union adds to the inertia.
    pub cost: f64,
}

/// Leaves and how they join.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    /// Centroids of the leaves.
    pub leaves: Centroids,
    /// Rows of each leaf.
    pub counts: Vec<u64>,
    /// One fewer than leaves, the cheapest first.
    pub joins: Vec<Join>,
    /// Inertia of the leaves.
    pub inertia: f64,
}

impl Hierarchy {
    /// Leaves that so many rows are clustered into, at least `k`.
    pub fn leaves(rows: usize, k: usize) -> usize {
        (rows / ROWS_A_LEAF).clamp(k, limits::CLASSES).min(rows)
    }

    /// Clusters rows into up to [`limits::CLASSES`] leaves, at least `k`, and joins them.
    pub fn fit(rows: Rows<'_>, k: usize, seed: u64, job: &Job) -> Result<Self> {
        let model = fit_at_most(rows, Self::leaves(rows.len(), k), k, seed, job)?;
        let mut counts = vec![0; model.centroids.k()];
        model.centroids.of(rows).into_iter().for_each(|leaf| counts[leaf] += 1);
        Ok(Self::join(model.centroids, counts, model.inertia))
    }

    /// Joins leaves, at most 256; of equal costs the pair of the lowest numbers first.
    pub fn join(leaves: Centroids, counts: Vec<u64>, inertia: f64) -> Self {
        let mut centres: Vec<Vec<f64>> = (0..leaves.k()).map(|i| leaves.row(i).iter().map(|v| f64::from(*v)).collect()).collect();
        let mut weights: Vec<f64> = counts.iter().map(|n| *n as f64).collect();
        let mut alive: Vec<usize> = (0..leaves.k()).collect();
        let mut joins = Vec::new();
        while let Some((cost, a, b)) = cheapest(&alive, &centres, &weights) {
            let (into, from) = if weights[b] > weights[a] { (b, a) } else { (a, b) };
            let (wa, wb) = (weights[into], weights[from]);
            let other = std::mem::take(&mut centres[from]);
            let total = (wa + wb).max(f64::MIN_POSITIVE);
            centres[into].iter_mut().zip(&other).for_each(|(x, y)| *x = (*x * wa + *y * wb) / total);
            weights[into] += wb;
            alive.retain(|i| *i != from);
            joins.push(Join { into: into as u8, from: from as u8, cost });
        }
        Self { leaves, counts, joins, inertia }
    }

    /// The label 1..=k of every leaf at k classes. Nested: label k + 1 of the next cut is part of one class of this one.
    pub fn cut(&self, k: usize) -> Result<Vec<u8>> {
        let most = self.leaves.k();
        if !(1..=most).contains(&k) {
            return Err(Error::parameter(
                "k",
                format!("{k} is not from 1 to {most}, the leaves of the hierarchy"),
                "ask for fewer classes",
            ));
        }
        // the leaf under whose number each leaf's class goes after the first joins
        let mut of: Vec<usize> = (0..most).collect();
        for join in &self.joins[..most - k] {
            of.iter_mut().filter(|o| **o == usize::from(join.from)).for_each(|o| *o = usize::from(join.into));
        }
        // labels are given from the root down: the larger part keeps its label, the smaller one takes the next
        let mut labels = vec![0u8; most];
        labels[self.joins.last().map_or(0, |j| usize::from(j.into))] = 1;
        for (label, join) in (2u8..).zip(self.joins[most - k..].iter().rev()) {
            labels[usize::from(join.from)] = label;
        }
        Ok(of.into_iter().map(|o| labels[o]).collect())
    }

    /// Inertia of the cut at k, for k = 1 ..= leaves: what an elbow is looked for in.
    pub fn inertias(&self) -> Vec<f64> {
        let mut out = vec![self.inertia];
        for join in &self.joins {
            out.push(out.last().unwrap_or(&0.0) + join.cost);
        }
        out.reverse();
        out
    }

    /// The mean of the leaves of each class of a cut, weighted by their rows.
    pub fn centroids(&self, cut: &[u8]) -> Centroids {
        let (k, channels) = (cut.iter().copied().max().map_or(0, usize::from), self.leaves.channels);
        let (mut sums, mut rows) = (vec![0f64; k * channels], vec![0f64; k]);
        for (leaf, label) in cut.iter().enumerate() {
            let (class, weight) = (usize::from(*label) - 1, self.counts[leaf] as f64);
            rows[class] += weight;
            sums[class * channels..][..channels].iter_mut().zip(self.leaves.row(leaf)).for_each(|(s, v)| *s += weight * f64::from(*v));
        }
        let data = sums.iter().enumerate().map(|(i, s)| (s / rows[i / channels].max(f64::MIN_POSITIVE)) as f32).collect();
        Centroids { channels, data }
    }
}

/// The pair whose union costs least.
fn cheapest(alive: &[usize], centres: &[Vec<f64>], weights: &[f64]) -> Option<(f64, usize, usize)> {
    let mut best: Option<(f64, usize, usize)> = None;
    for (n, a) in alive.iter().enumerate() {
        for b in &alive[n + 1..] {
            let d2: f64 = centres[*a].iter().zip(&centres[*b]).map(|(x, y)| (x - y) * (x - y)).sum();
            let (wa, wb) = (weights[*a], weights[*b]);
            let cost = wa * wb / (wa + wb).max(f64::MIN_POSITIVE) * d2;
            if best.is_none_or(|least| cost < least.0) {
                best = Some((cost, *a, *b));
            }
        }
    }
    best
}

/// A cut as classes: each class is the cells nearest to any of its leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// Centroids of the leaves.
    pub leaves: Centroids,
    /// Leaves of each class, in order of labels 1..=k.
    members: Vec<Vec<usize>>,
    /// Label of each leaf.
    of: Vec<u8>,
}

impl Classes {
    /// The classes of a cut.
    pub fn new(hierarchy: &Hierarchy, cut: Vec<u8>) -> Self {
        let k = cut.iter().copied().max().unwrap_or(0);
        let members = (1..=k).map(|label| (0..cut.len()).filter(|i| cut[*i] == label).collect()).collect();
        Self { leaves: hierarchy.leaves.clone(), members, of: cut }
    }

    /// Number of classes.
    pub fn k(&self) -> usize {
        self.members.len()
    }

    /// Leaf, label and squared distance of the nearest leaf.
    pub fn nearest(&self, row: &[f32]) -> (usize, u8, f32) {
        let (leaf, d) = self.leaves.nearest(row);
        (leaf, self.of[leaf], d)
    }

    /// Squared distance to the nearest leaf of a class.
    pub fn distance2(&self, row: &[f32], label: u8) -> f32 {
        let leaves = self.members.get(usize::from(label).wrapping_sub(1)).into_iter().flatten();
        leaves.map(|leaf| distance2(row, self.leaves.row(*leaf))).fold(f32::INFINITY, f32::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs on a line: pairs of pairs, so that the right joins are known.
    fn line() -> (Vec<f32>, Hierarchy) {
        let centres = [0.0f32, 1.0, 10.0, 11.5, 100.0, 140.0];
        let noise = crate::rng::noise(3, 0, 0, 600);
        let data: Vec<f32> = (0..600).map(|i| centres[i % 6] + 0.02 * noise[i]).collect();
        let h = Hierarchy::fit(Rows { data: &data, channels: 1 }, 6, 1, &Job::new()).unwrap();
        (data, h)
    }

    #[test]
    fn cuts_are_nested_and_keep_their_labels() {
        let (_, h) = line();
        let leaves = h.leaves.k();
        assert_eq!((leaves, h.joins.len()), (50, 49));
        for k in 1..leaves {
            let (coarse, fine) = (h.cut(k).unwrap(), h.cut(k + 1).unwrap());
            let mut labels = fine.clone();
            labels.sort_unstable();
            labels.dedup();
            assert_eq!(labels, (1..=k as u8 + 1).collect::<Vec<_>>());
            let kept = coarse.iter().zip(&fine).filter(|(_, f)| usize::from(**f) <= k).all(|(c, f)| c == f);
            let mut parents: Vec<u8> = coarse.iter().zip(&fine).filter(|(_, f)| usize::from(**f) == k + 1).map(|(c, _)| *c).collect();
            parents.dedup();
            assert!(kept && parents.len() == 1, "the new class of {} is part of one of {k}", k + 1);
        }
        assert!(h.cut(0).is_err() && h.cut(51).unwrap_err().to_string().contains("`k`"));
    }

    #[test]
    fn the_widest_class_is_split_first_and_inertia_adds_up() {
        let (data, h) = line();
        let rows = Rows { data: &data, channels: 1 };
        let groups = |k: usize| -> Vec<Vec<usize>> {
            let classes = Classes::new(&h, h.cut(k).unwrap());
            (1..=k as u8).map(|label| (0..6).filter(|i| classes.nearest(rows.row(*i)).1 == label).collect()).collect()
        };
        let mut two = groups(2);
        two.sort();
        assert_eq!(two, [vec![0, 1, 2, 3], vec![4, 5]]);
        let mut three = groups(3);
        three.sort();
        assert_eq!(three, [vec![0, 1, 2, 3], vec![4], vec![5]], "40 apart splits before 10");
        let inertias = h.inertias();
        for k in [1, 2, 4, 6] {
            let classes = Classes::new(&h, h.cut(k).unwrap());
            let means = h.centroids(&h.cut(k).unwrap());
            let direct: f64 =
                (0..600).map(|i| f64::from(distance2(rows.row(i), means.row(usize::from(classes.nearest(rows.row(i)).1) - 1)))).sum();
            assert!((direct / inertias[k - 1] - 1.0).abs() < 1e-3, "{k}: {direct} {}", inertias[k - 1]);
        }
        assert!(inertias.windows(2).all(|w| w[0] >= w[1]));
    }

    #[test]
    fn a_class_reaches_as_far_as_its_nearest_leaf() {
        let leaves = Centroids { channels: 1, data: vec![0.0, 10.0, 4.0] };
        let h = Hierarchy::join(leaves, vec![5, 5, 1], 0.0);
        let classes = Classes::new(&h, vec![1, 1, 2]);
        assert_eq!((classes.k(), classes.nearest(&[9.0]).1, classes.nearest(&[5.0]).1), (2, 1, 2));
        assert!((classes.distance2(&[9.0], 1) - 1.0).abs() < 1e-6 && (classes.distance2(&[9.0], 2) - 25.0).abs() < 1e-6);
        assert!(classes.distance2(&[9.0], 3).is_infinite());
    }
}
