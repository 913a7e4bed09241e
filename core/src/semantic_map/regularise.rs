//! From what labels cost to a calm label map: a Potts model along the slide's own edges, then no region below a least size.
//!
//! Two scales speak for a class: the mean of a cell's neighbourhood, which knows the texture but blurs borders by two cells, and the
//! cell's own embedding, which knows on which side of a border it lies. Cells that see glass have the first alone.

use rayon::prelude::*;

use crate::cluster::Classes;
use crate::tiles::{Grid, neighbours4, small_groups};
use crate::{Job, Result};

use super::features::{Features, View};
use super::smooth::is_deep;

/// Strength of the Potts term: eight like-minded neighbours outvote the features where the second best class costs less than about
/// three median gaps between best and second best more.
const BETA: f32 = 0.5;
/// Weight of a diagonal neighbour: 1 / sqrt 2.
const DIAGONAL: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// Sweeps of iterated conditional modes (Besag, J R Stat Soc B 1986;48:259-302); few labels change after the third.
const SWEEPS: usize = 6;
/// Least cells of a row that one thread takes.
const CELLS_A_TASK: usize = 256;
/// Weight of a cell's own embedding beside that of its neighbourhood.
const OWN: f32 = 0.5;

/// Rows of the gaps between best and second best class that the median is taken over; beyond it every n-th cell counts.
const GAP_ROWS: usize = 200_000;
/// Steps of all sweeps: each sweep has four interleaved grids, in none of which two cells are neighbours, so that the order of updates
/// cannot matter.
const STEPS: usize = 4 * SWEEPS;

/// What the label map is made from.
pub struct Evidence<'a> {
    /// Features of the cells.
    pub features: &'a Features<'a>,
    /// The classes.
    pub classes: &'a Classes,
    /// Mean colour of every cell.
    pub color: &'a [[u8; 3]],
    /// Regions of fewer cells join their neighbours.
    pub least_cells: usize,
    /// A cancelled job ends between strips.
    pub job: &'a Job,
}

/// An area in whole cells, to the nearest.
pub fn cells_of(area_um2: f64, cell_um: f64) -> usize {
    (area_um2 / (cell_um * cell_um)).round().max(0.0) as usize
}

/// Cells as the hierarchy has them.
pub struct Uncalmed {
    /// Labels 1..=k, 0 where there is no tissue.
    pub labels: Vec<u8>,
    /// Leaves counted from 1, 0 where there is no tissue.
    pub leaves: Vec<u8>,
    /// Median, over the tissue, of the gap between the costs of the cheapest and the second cheapest class.
    gap: f32,
}

impl Evidence<'_> {
    /// Labels and leaves of the tissue cells, each by itself.
    pub fn uncalmed(&self) -> Result<Uncalmed> {
        let f = self.features;
        let cells = f.grid().cells();
        let (mut labels, mut leaves, mut gaps) = (vec![0; cells], vec![0; cells], Vec::new());
        let step = f.tissue(0..f.grid().rows).count().div_ceil(GAP_ROWS).max(1);
        let mut seen = 0usize;
        for view in f.views(0) {
            self.job.check()?;
            let view = view?;
            let tissue: Vec<usize> = f.tissue(view.core.clone()).collect();
            let of: Vec<(usize, u8)> = tissue.par_iter().map(|cell| self.classes.of(view.smoothed.row(*cell))).collect();
            for (cell, (leaf, label)) in tissue.iter().zip(of) {
                (labels[*cell], leaves[*cell]) = (label, 1 + leaf as u8);
            }
            let skipped = seen.next_multiple_of(step) - seen;
            seen += tissue.len();
            gaps.par_extend(tissue.par_iter().skip(skipped).step_by(step).map(|cell| self.gap(&view, *cell)));
        }
        let half = gaps.len() / 2;
        let gap = if gaps.is_empty() { 0.0 } else { *gaps.select_nth_unstable_by(half, f32::total_cmp).1 };
        Ok(Uncalmed { labels, leaves, gap })
    }

    /// Calms labels in one pass down the slide: step t of the sweeps runs on row r once step t - 1 has run on the rows around it, t rows
    /// behind step 0. Every cell sees what it would see if each step ran over the whole slide before the next.
    pub fn calm(&self, first: &Uncalmed) -> Result<Vec<u8>> {
        let mut labels = first.labels.clone();
        let scales = (first.gap.max(f32::MIN_POSITIVE), self.color_variance().max(1.0));
        let rows = self.features.grid().rows;
        let mut above: Option<View> = None;
        for view in self.features.views(0) {
            self.job.check()?;
            let view = view?;
            let fronts = if view.core.end == rows { view.core.start..rows + STEPS } else { view.core.clone() };
            for front in fronts {
                for step in 0..STEPS.min(front + 1) {
                    let row = front - step;
                    let of = if row < view.core.start { above.as_ref() } else { Some(&view) };
                    if let Some(of) = of.filter(|_| row < rows && step % 4 / 2 == row % 2) {
                        self.calm_row(of, row, step % 2, &mut labels, scales);
                    }
                }
            }
            above = Some(view);
        }
        merge_small(&mut labels, self.features.grid().columns, self.least_cells);
        Ok(labels)
    }

    /// One step on every second cell of a row, from column `first` on.
    fn calm_row(&self, view: &View, row: usize, first: usize, labels: &mut [u8], scales: (f32, f32)) {
        let columns = self.features.grid().columns;
        let changes: Vec<(usize, u8)> = (0..columns.saturating_sub(first).div_ceil(2))
            .into_par_iter()
            .with_min_len(CELLS_A_TASK)
            .map(|i| row * columns + first + 2 * i)
            .filter(|cell| labels[*cell] != 0)
            .filter_map(|cell| self.better(view, cell, labels, scales))
            .collect();
        changes.into_iter().for_each(|(cell, label)| labels[cell] = label);
    }

    /// The label of least energy for a cell, among its own and its neighbours', if that is a change.
    fn better(&self, view: &View, cell: usize, labels: &[u8], (scale, variance): (f32, f32)) -> Option<(usize, u8)> {
        let mut votes = [(0u8, 0.0f32); 9];
        votes[0].0 = labels[cell];
        let mut n = 1;
        for (j, weight) in neighbours8(self.features.grid(), cell) {
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
        let energy = |v: &(u8, f32)| self.cost(view, cell, v.0) / scale - BETA * v.1;
        let best = votes[..n].iter().min_by(|a, b| energy(a).total_cmp(&energy(b)))?;
        (best.0 != labels[cell]).then_some((cell, best.0))
    }

    /// What a label costs a tissue cell, over both scales.
    fn cost(&self, view: &View, cell: usize, label: u8) -> f32 {
        let around = self.classes.cost(view.smoothed.row(cell), label);
        if !is_deep(self.features.depth[cell]) {
            return around;
        }
        around + OWN * (self.classes.cost(view.own.row(cell), label) - around)
    }

    /// How much more the second cheapest class costs than the cheapest.
    fn gap(&self, view: &View, cell: usize) -> f32 {
        let (mut first, mut second) = (f32::INFINITY, f32::INFINITY);
        for label in 1..=self.classes.k() as u8 {
            let d = self.cost(view, cell, label);
            (first, second) = if d < first { (d, first) } else { (first, second.min(d)) };
        }
        if second.is_finite() { second - first } else { 0.0 }
    }

    /// Mean squared difference of colour between a tissue cell and the one on its right, as in GrabCut.
    fn color_variance(&self) -> f32 {
        let (depth, columns) = (self.features.depth, self.features.grid().columns);
        let pairs = self.features.tissue(0..self.features.grid().rows).filter(|c| (c + 1) % columns != 0 && depth[c + 1] > 0);
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
        let mut small = small_groups(labels, columns, least, |label| label != 0);
        small.sort_by_key(Vec::len);
        let mut changed = false;
        for group in small {
            let mut border = [0u32; 256];
            for i in group.iter().map(|i| *i as usize) {
                neighbours4(i, columns, labels.len())
                    .filter(|j| labels[*j] != 0 && labels[*j] != labels[i])
                    .for_each(|j| border[usize::from(labels[j])] += 1);
            }
            let (label, votes) =
                (0..=u8::MAX).zip(border).max_by_key(|(label, votes)| (*votes, std::cmp::Reverse(*label))).unwrap_or((0, 0));
            if votes > 0 {
                group.iter().for_each(|&i| labels[i as usize] = label);
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
    use crate::cache::Cache;
    use crate::cluster::{Centroids, Hierarchy};
    use crate::embed::Embedding;

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
                let small = small_groups(&labels, 60, least.min(51 * 60), |l| l != 0);
                assert!(small.is_empty(), "{area_um2} um2 of cells of {cell_um} um: {} of {least} cells", small[0].len());
            }
        }
    }

    #[test]
    fn a_doubtful_cell_follows_its_neighbours_and_a_sure_one_does_not() {
        // left of the border 5 x 5 cells whose features speak a little for the class on its right
        let grid = Grid { rows: 15, columns: 15, stride_px: 16, downsample: 1.0 };
        let cache = Cache::memory();
        let embedding = Embedding::new(grid, 1, &cache);
        embedding.fill(|i| vec![if i == 7 * 15 + 3 { 0.51 * 25.0 } else { f32::from(u8::from(i % 15 >= 9)) }]);
        let features = Features { embedding: &embedding, depth: &[2; 225] };
        let leaves = Centroids { channels: 1, data: vec![0.0, 1.0] };
        let hierarchy = Hierarchy::of_leaves(leaves, vec![135, 90], 0.0);
        let classes = Classes::new(&hierarchy, vec![1, 2]);
        let evidence =
            Evidence { features: &features, classes: &classes, color: &[[200, 100, 150]; 225], least_cells: 12, job: &Job::new() };
        let mut first = evidence.uncalmed().unwrap();
        assert_eq!((first.labels[7 * 15 + 3], first.leaves[7 * 15 + 3]), (2, 2));
        (0..225).filter(|i| i % 15 < 9 && *i != 7 * 15 + 3).for_each(|i| first.labels[i] = 1);
        let labels = evidence.calm(&first).unwrap();
        assert!((0..225).all(|i| labels[i] == if i % 15 < 9 { 1 } else { 2 }), "{labels:?}");
    }

    /// Every step over the whole slide before the next, as Besag writes it.
    fn step_by_step(e: &Evidence<'_>, first: &Uncalmed) -> Vec<u8> {
        let (mut labels, rows) = (first.labels.clone(), e.features.grid().rows);
        let scales = (first.gap.max(f32::MIN_POSITIVE), e.color_variance().max(1.0));
        let views: Vec<View> = e.features.views(0).collect::<Result<_>>().unwrap();
        for step in 0..STEPS {
            for row in (0..rows).filter(|row| row % 2 == step % 4 / 2) {
                let view = views.iter().find(|v| v.core.contains(&row)).unwrap();
                e.calm_row(view, row, step % 2, &mut labels, scales);
            }
        }
        merge_small(&mut labels, e.features.grid().columns, e.least_cells);
        labels
    }

    #[test]
    fn one_pass_down_the_slide_calms_as_step_by_step_does() {
        for rows in [1, 7, 33, 70, 97] {
            let grid = Grid { rows, columns: 37, stride_px: 16, downsample: 1.0 };
            let cache = Cache::memory();
            let embedding = Embedding::new(grid, 2, &cache);
            let noise = crate::rng::noise(5, 0, 0, 2 * grid.cells());
            embedding.fill(|i| noise[2 * i..2 * i + 2].to_vec());
            let tissue: Vec<bool> = (0..grid.cells()).map(|i| i * 7919 % 1000 > 30).collect();
            let depth = super::super::smooth::depths(&grid, &tissue);
            let color: Vec<[u8; 3]> = (0..grid.cells()).map(|i| [(i * 31 % 50) as u8, 90, 120]).collect();
            let leaves = Centroids { channels: 2, data: vec![0.3, 0.0, -0.3, 0.2, 0.0, -0.4] };
            let hierarchy = Hierarchy::of_leaves(leaves, vec![10, 20, 30], 0.0);
            let classes = Classes::new(&hierarchy, vec![1, 2, 3]);
            let features = Features { embedding: &embedding, depth: &depth };
            let e = Evidence { features: &features, classes: &classes, color: &color, least_cells: 12, job: &Job::new() };
            let first = e.uncalmed().unwrap();
            let labels = e.calm(&first).unwrap();
            assert!(labels == step_by_step(&e, &first), "{rows} rows");
            assert!(rows < 5 || labels != first.labels);
        }
    }
}
