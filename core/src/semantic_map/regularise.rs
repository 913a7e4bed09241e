//! From distances to a calm label map: a Potts model along the slide's own edges, then no region below a least size.
//!
//! Two scales speak for a class: the mean of a cell's neighbourhood, which knows the texture but blurs borders by two cells, and the
//! cell's own embedding, which knows on which side of a border it lies. Cells that see glass have the first alone.

use rayon::prelude::*;

use crate::cluster::Classes;
use crate::embed::Embedding;
use crate::tiles::{Grid, groups, neighbours4};

use super::smooth::is_deep;

/// Strength of the Potts term: eight like-minded neighbours outvote the features where the second best class is nearer than about
/// three median gaps between best and second best.
const BETA: f32 = 0.5;
/// Weight of a diagonal neighbour: 1 / sqrt 2.
const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// Sweeps of iterated conditional modes (Besag, J R Stat Soc B 1986;48:259-302); few labels change after the third.
const SWEEPS: usize = 6;
/// Weight of a cell's own embedding beside that of its neighbourhood.
const OWN: f32 = 0.5;

/// What the label map is made from.
pub struct Evidence<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Smoothed features of the tissue cells.
    pub features: &'a Embedding,
    /// Features of the cells themselves.
    pub own: &'a Embedding,
    /// Distance of each cell from the glass.
    pub depth: &'a [u8],
    /// The classes.
    pub classes: &'a Classes,
    /// Mean colour of every cell.
    pub color: &'a [[u8; 3]],
    /// Regions of fewer cells join their neighbours.
    pub least_cells: usize,
}

/// An area in whole cells, to the nearest.
pub fn cells_of(area_um2: f64, cell_um: f64) -> usize {
    (area_um2 / (cell_um * cell_um)).round().max(0.0) as usize
}

impl Evidence<'_> {
    /// Labels 1..=k and leaves (counted from 1) of the tissue cells by nearest leaf; 0 elsewhere.
    pub fn nearest(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut labels, mut leaves) = (vec![0; self.grid.cells()], vec![0; self.grid.cells()]);
        let nearest = |i: usize| self.classes.nearest(self.features.rows().row(i));
        let of: Vec<(usize, u8, f32)> = (0..self.features.cells.len()).into_par_iter().map(nearest).collect();
        for (cell, (leaf, label, _)) in self.features.cells.iter().zip(of) {
            (labels[*cell as usize], leaves[*cell as usize]) = (label, 1 + leaf as u8);
        }
        (labels, leaves)
    }

    /// Calms `labels` in place.
    pub fn calm(&self, labels: &mut [u8]) {
        let scale = self.median_gap().max(f32::MIN_POSITIVE);
        let variance = self.color_variance().max(1.0);
        for _ in 0..SWEEPS {
            // four interleaved grids: within one no two cells are neighbours, so the order of updates cannot matter
            for phase in 0..4 {
                let changes: Vec<(u32, u8)> = (0..self.features.cells.len())
                    .into_par_iter()
                    .filter(|i| self.phase(*i) == phase)
                    .filter_map(|i| self.better(i, labels, scale, variance))
                    .collect();
                changes.into_iter().for_each(|(cell, label)| labels[cell as usize] = label);
            }
        }
        merge_small(labels, self.grid.columns, self.least_cells);
    }

    fn phase(&self, row: usize) -> usize {
        let cell = self.features.cells[row] as usize;
        cell / self.grid.columns % 2 * 2 + cell % self.grid.columns % 2
    }

    /// The label of least energy for a cell, among its own and its neighbours', if that is a change.
    fn better(&self, row: usize, labels: &[u8], scale: f32, variance: f32) -> Option<(u32, u8)> {
        let cell = self.features.cells[row] as usize;
        let mut votes = [(0u8, 0.0f32); 9];
        votes[0].0 = labels[cell];
        let mut n = 1;
        for (j, weight) in neighbours8(self.grid, cell) {
            if labels[j] == 0 {
                continue;
            }
            let weight = weight * (-color_distance2(self.color[cell], self.color[j]) / (2.0 * variance)).exp();
            let at = votes[..n].iter().position(|v| v.0 == labels[j]).unwrap_or(n);
            if at == n {
                votes[n].0 = labels[j];
                n += 1;
            }
            votes[at].1 += weight;
        }
        let energy = |v: &(u8, f32)| self.distance2(row, v.0) / scale - BETA * v.1;
        let best = votes[..n].iter().min_by(|a, b| energy(a).total_cmp(&energy(b)))?;
        (best.0 != labels[cell]).then_some((cell as u32, best.0))
    }

    /// Squared distance of a tissue cell to a class, over both scales.
    fn distance2(&self, row: usize, label: u8) -> f32 {
        let around = self.classes.distance2(self.features.rows().row(row), label);
        if !is_deep(self.depth[self.features.cells[row] as usize]) {
            return around;
        }
        around + OWN * (self.classes.distance2(self.own.rows().row(row), label) - around)
    }

    /// Median, over the tissue, of the gap between the squared distances to the nearest and the second nearest class.
    fn median_gap(&self) -> f32 {
        let gap = |i: usize| {
            let (mut first, mut second) = (f32::INFINITY, f32::INFINITY);
            for label in 1..=self.classes.k() as u8 {
                let d = self.distance2(i, label);
                (first, second) = if d < first { (d, first) } else { (first, second.min(d)) };
            }
            if second.is_finite() { second - first } else { 0.0 }
        };
        let mut gaps: Vec<f32> = (0..self.features.cells.len()).into_par_iter().map(gap).collect();
        let half = gaps.len() / 2;
        if gaps.is_empty() { 0.0 } else { *gaps.select_nth_unstable_by(half, f32::total_cmp).1 }
    }

    /// Mean squared difference of colour between a tissue cell and the one on its right, as in GrabCut.
    fn color_variance(&self) -> f32 {
        let pairs = self
            .features
            .cells
            .iter()
            .map(|c| *c as usize)
            .filter(|c| self.features.row_of(c + 1).is_some() && (c + 1) % self.grid.columns != 0);
        let (sum, n) = pairs.fold((0.0f64, 0u64), |(s, n), c| (s + f64::from(color_distance2(self.color[c], self.color[c + 1])), n + 1));
        (sum / n.max(1) as f64) as f32
    }
}

fn color_distance2(a: [u8; 3], b: [u8; 3]) -> f32 {
    (0..3).map(|c| (f32::from(a[c]) - f32::from(b[c])).powi(2)).sum()
}

/// The up to eight neighbours of a cell with their weights.
fn neighbours8(grid: &Grid, cell: usize) -> impl Iterator<Item = (usize, f32)> {
    let (r, c) = ((cell / grid.columns) as i64, (cell % grid.columns) as i64);
    let (rows, columns) = (grid.rows as i64, grid.columns as i64);
    let around = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];
    around
        .into_iter()
        .map(move |(y, x): (i64, i64)| (r + y, c + x, if y * x == 0 { 1.0 } else { DIAGONAL }))
        .filter(move |(r, c, _)| (0..rows).contains(r) && (0..columns).contains(c))
        .map(move |(r, c, w)| ((r * columns + c) as usize, w))
}

/// Regions of fewer than `least` cells take the label that most of their border has, the smallest regions first, until there is none
/// left; islands in the glass stay. Each round leaves fewer regions, since the last group changed is joined to a neighbour.
pub(super) fn merge_small(labels: &mut [u8], columns: usize, least: usize) {
    loop {
        let mut small = groups(labels, columns, |a, b| a == b, |label| label != 0);
        small.retain(|g| g.len() < least);
        small.sort_by_key(Vec::len);
        let mut changed = false;
        for group in small {
            let mut border = [0u32; 256];
            for &i in &group {
                neighbours4(i, columns, labels.len())
                    .filter(|j| labels[*j] != 0 && labels[*j] != labels[i])
                    .for_each(|j| border[usize::from(labels[j])] += 1);
            }
            let (label, votes) =
                (0..=u8::MAX).zip(border).max_by_key(|(label, votes)| (*votes, std::cmp::Reverse(*label))).unwrap_or((0, 0));
            if votes > 0 {
                group.iter().for_each(|&i| labels[i] = label);
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Centroids, Hierarchy};

    #[test]
    fn speckle_vanishes_and_islands_in_the_glass_stay() {
        let picture = ["11111111..", "11111111..", "11211111.2", "11122222..", "1112222222", "1112222222", "2222222222"];
        let mut labels: Vec<u8> = picture.concat().bytes().map(|b| if b == b'.' { 0 } else { b - b'0' }).collect();
        merge_small(&mut labels, 10, 12);
        assert_eq!(labels[22], 1);
        assert_eq!(labels[29], 2, "an island");
        assert_eq!(labels[28], 0);
        assert_eq!(labels.iter().filter(|l| **l == 2).count(), picture.concat().matches('2').count() - 1);
    }

    #[test]
    fn no_region_is_smaller_than_asked_whatever_the_cells() {
        for cell_um in [4.0, 7.984, 8.0, 16.0] {
            for area_um2 in [0.0, 768.0, 2000.0, 20_000.0] {
                let least = cells_of(area_um2, cell_um);
                assert!((least as f64 - area_um2 / (cell_um * cell_um)).abs() <= 0.5);
                let mut s = crate::rng::Stream::new(least as u64, 0, 0);
                // three classes in blocks and specks, glass on the left
                let mut labels: Vec<u8> =
                    (0..60 * 60).map(|i| if i % 60 < 9 { 0 } else { 1 + (i / 60 / 20 + i % 60 / 25) as u8 % 3 }).collect();
                (0..700).for_each(|_| labels[s.below(60) * 60 + 9 + s.below(51)] = 1 + s.below(3) as u8);
                let glass: Vec<bool> = labels.iter().map(|l| *l == 0).collect();
                merge_small(&mut labels, 60, least);
                assert!(glass.iter().zip(&labels).all(|(g, l)| *g == (*l == 0)), "glass stays glass");
                let smallest = groups(&labels, 60, |a, b| a == b, |l| l != 0).iter().map(Vec::len).min().unwrap();
                assert!(smallest >= least.min(51 * 60), "{area_um2} um2 of cells of {cell_um} um: {smallest} of {least} cells");
            }
        }
    }

    #[test]
    fn a_doubtful_cell_follows_its_neighbours_and_a_sure_one_does_not() {
        let grid = Grid { rows: 9, columns: 9, stride_px: 16, downsample: 1.0 };
        let mut features = Embedding::zeros(&[true; 81], 1);
        features.data.iter_mut().enumerate().for_each(|(i, v)| *v = if i % 9 < 5 { 0.0 } else { 1.0 });
        features.data[4 * 9 + 2] = 0.55;
        let leaves = Centroids { channels: 1, data: vec![0.0, 1.0] };
        let hierarchy = Hierarchy::join(leaves, vec![45, 36], 0.0);
        let classes = Classes::new(&hierarchy, vec![1, 2]);
        let evidence = Evidence {
            grid: &grid,
            features: &features,
            own: &features,
            depth: &[4; 81],
            classes: &classes,
            color: &[[200, 100, 150]; 81],
            least_cells: 12,
        };
        let (mut labels, leaves) = evidence.nearest();
        assert_eq!((labels[4 * 9 + 2], leaves[4 * 9 + 2]), (2, 2));
        evidence.calm(&mut labels);
        assert!((0..81).all(|i| labels[i] == if i % 9 < 5 { 1 } else { 2 }));
    }
}
