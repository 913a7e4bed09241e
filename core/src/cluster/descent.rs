//! From rows down a hierarchy to leaves and classes. In: a [`Hierarchy`], a row. Out: a leaf, the label of a cut, what another label
//! would cost.
//!
//! At each split a row goes to the side whose mean is nearer, as in the bisecting k-means that made the splits. So a class does not depend
//! on how it is divided further down, which differs more between seeds than the class does: with the nearest of all leaves instead, two
//! slides' maps of 8 classes agreed between seeds with an adjusted Rand index of 0.73 and 0.86, this way with 0.91 and 0.98
//! (`models/reference/stability.py` measures whole maps).

use super::hierarchy::Hierarchy;
use super::{Centroids, distance2};

/// Where a side of a split leads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    Split(usize),
    Leaf(usize),
}

/// The splits of a hierarchy, from the leaves up.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    /// Two rows a split: the means of its sides.
    means: Centroids,
    sides: Vec<[To; 2]>,
}

impl Descent {
    /// The splits, each side's mean that of its leaves weighted by their rows.
    pub fn new(h: &Hierarchy) -> Self {
        let channels = h.leaves.channels;
        let (mut means, mut sides) = (Vec::new(), Vec::new());
        let wide = |leaf: usize| h.leaves.row(leaf).iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let mut nodes: Vec<(To, Vec<f64>, f64)> = (0..h.leaves.k()).map(|i| (To::Leaf(i), wide(i), h.counts[i].max(1) as f64)).collect();
        for join in &h.joins {
            let [(a, x, wx), (b, y, wy)] = [join.into, join.from].map(|leaf| nodes[usize::from(leaf)].clone());
            means.extend(x.iter().chain(&y).map(|v| *v as f32));
            let mean = x.iter().zip(&y).map(|(x, y)| (wx * x + wy * y) / (wx + wy)).collect();
            nodes[usize::from(join.into)] = (To::Split(sides.len()), mean, wx + wy);
            sides.push([a, b]);
        }
        Self { means: Centroids { channels, data: means }, sides }
    }

    /// Squared distances of a row to the means of a split's sides.
    fn apart(&self, split: usize, row: &[f32]) -> [f32; 2] {
        [0, 1].map(|side| distance2(row, self.means.row(2 * split + side)))
    }

    /// The leaf that a row comes to.
    pub fn leaf(&self, row: &[f32]) -> usize {
        let mut at = self.sides.len().checked_sub(1).map_or(To::Leaf(0), To::Split);
        loop {
            match at {
                To::Leaf(leaf) => return leaf,
                To::Split(split) => {
                    let [a, b] = self.apart(split, row);
                    at = self.sides[split][usize::from(b < a)];
                }
            }
        }
    }

    /// The ways, as splits and sides taken, to the highest places under which every leaf has one label, with this label.
    fn ways(&self, of: &[u8]) -> Vec<(u8, Vec<(usize, usize)>)> {
        let one = |to: &To, known: &[Option<u8>]| match *to {
            To::Leaf(leaf) => Some(of[leaf]),
            To::Split(split) => known[split],
        };
        let mut known: Vec<Option<u8>> = Vec::new();
        for sides in &self.sides {
            let [a, b] = sides.each_ref().map(|to| one(to, &known));
            known.push(a.filter(|_| a == b));
        }
        let mut out = Vec::new();
        let mut open = vec![(self.sides.len().checked_sub(1).map_or(To::Leaf(0), To::Split), Vec::new())];
        while let Some((to, way)) = open.pop() {
            match (one(&to, &known), to) {
                (Some(label), _) => out.push((label, way)),
                (None, To::Split(split)) => {
                    (0..2).for_each(|side| open.push((self.sides[split][side], [way.as_slice(), &[(split, side)]].concat())));
                }
                (None, To::Leaf(_)) => {}
            }
        }
        out
    }
}

/// A cut as classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    descent: Descent,
    /// Label of each leaf.
    of: Vec<u8>,
    /// The ways to each class, in order of labels 1..=k.
    ways: Vec<Vec<Vec<(usize, usize)>>>,
}

impl Classes {
    /// The classes of a cut: a label 1..=k for every leaf.
    pub fn new(hierarchy: &Hierarchy, cut: Vec<u8>) -> Self {
        let descent = Descent::new(hierarchy);
        let mut ways = vec![Vec::new(); cut.iter().copied().max().map_or(0, usize::from)];
        descent.ways(&cut).into_iter().for_each(|(label, way)| ways[usize::from(label) - 1].push(way));
        Self { descent, of: cut, ways }
    }

    /// Number of classes.
    pub fn k(&self) -> usize {
        self.ways.len()
    }

    /// The leaf that a row comes to, and its label.
    pub fn of(&self, row: &[f32]) -> (usize, u8) {
        let leaf = self.descent.leaf(row);
        (leaf, self.of[leaf])
    }

    /// What a label costs a row: 0 for its own; for another one the sum, over the splits on the way there at which the row would turn the
    /// other way, of how much nearer (in squared distance) the side is that it would take. The cheapest way counts. Infinite for a label that no leaf has.
    pub fn cost(&self, row: &[f32], label: u8) -> f32 {
        let ways = self.ways.get(usize::from(label).wrapping_sub(1)).into_iter().flatten();
        let turn = |(split, side): &(usize, usize)| {
            let d = self.descent.apart(*split, row);
            (d[*side] - d[1 - *side]).max(0.0)
        };
        ways.map(|way| way.iter().map(turn).sum::<f32>()).fold(f32::INFINITY, f32::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(leaves: &[f32], counts: &[u64]) -> Hierarchy {
        Hierarchy::of_leaves(Centroids { channels: 1, data: leaves.to_vec() }, counts.to_vec(), 0.0)
    }

    #[test]
    fn a_class_does_not_depend_on_how_it_is_divided() {
        // 0 and 10 against 20; the mean of the first two is 9
        let h = line(&[0.0, 10.0, 20.0], &[1, 9, 10]);
        let classes = Classes::new(&h, h.cut(2).unwrap());
        let fine = Classes::new(&h, h.cut(3).unwrap());
        for x in [-3.0, 4.0, 9.0, 14.4, 14.6, 22.0] {
            let (leaf, label) = classes.of(&[x]);
            assert_eq!(leaf == 2, x > 14.5, "{x}: halfway from 9 to 20, not from 10");
            assert_eq!((leaf, fine.of(&[x]).0), (fine.of(&[x]).0, leaf), "cuts share their leaves");
            assert_eq!(classes.cost(&[x], label), 0.0);
            let other = 3 - label;
            let want = ((x - 9.0).powi(2) - (x - 20.0).powi(2)).abs();
            assert!((classes.cost(&[x], other) - want).abs() < 1e-3);
        }
        assert!(classes.cost(&[1.0], 3).is_infinite() && classes.cost(&[1.0], 0).is_infinite());
    }

    #[test]
    fn costs_add_up_along_the_way_and_the_cheapest_way_counts() {
        let h = line(&[0.0, 4.0, 100.0, 110.0], &[5, 5, 5, 5]);
        let each = Classes::new(&h, vec![1, 2, 3, 4]);
        // at 1 the way to 100 costs the first turn, the way to 110 the second one too
        let (first, second) = (104.0f32.powi(2) - 1.0, 109.0f32.powi(2) - 99.0f32.powi(2));
        assert_eq!(each.of(&[1.0]), (0, 1));
        assert!((each.cost(&[1.0], 3) - first).abs() < 0.1 && (each.cost(&[1.0], 4) - first - second).abs() < 0.1);
        // one label on both sides of the first split, as an atlas has where leaves far apart have one name
        let named = Classes::new(&h, vec![1, 2, 1, 1]);
        assert_eq!((named.k(), named.of(&[3.0]).1, named.of(&[90.0]).1), (2, 2, 1));
        assert!((named.cost(&[3.0], 1) - (9.0 - 1.0)).abs() < 1e-4, "to 0, not to 100");
        let whole = Classes::new(&h, vec![1, 1, 1, 1]);
        assert_eq!((whole.k(), whole.of(&[50.0]).1, whole.cost(&[50.0], 1)), (1, 1, 0.0));
        let alone = line(&[7.0], &[3]);
        assert_eq!(Classes::new(&alone, vec![1]).of(&[0.0]), (0, 1));
    }
}
