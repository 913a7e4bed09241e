//! Context: the mean of each cell's neighbourhood, in which only tissue away from the glass counts.
//!
//! An encoder sees some cells beyond its own, so cells near glass carry features of the edge, and would become a rim class of their
//! own. They hardly count in any mean, do not take part in fitting the classes, and take the mean of the nearest cell that has no glass
//! near. Strands too thin to have such a cell keep what they have.

use rayon::prelude::*;

use crate::cluster::distance2;
use crate::embed::Embedding;
use crate::tiles::Grid;

/// Cells on each side: 5 x 5 cells of 8 um are 40 um, a few cells of the body, enough to tell a texture from one nucleus.
const RADIUS: usize = 2;
/// What a cell counts by its [`depths`]; found by looking at maps of the two H&E slides whose edges are the most ragged.
const WEIGHT: [f32; 5] = [0.0, 0.01, 0.1, 0.5, 1.0];
/// From this depth on a cell sees no glass: 3 cells of 16 px are the half width of what a stage-5 feature mostly depends on.
const DEEP: u8 = 3;
/// How far, in cells, a cell near glass looks for a deep one.
const REACH: usize = 3;

/// Steps (sideways or diagonal) to the nearest cell without tissue, at most 4; 0 without tissue. The slide's own edge is no glass.
pub fn depths(grid: &Grid, tissue: &[bool]) -> Vec<u8> {
    let mut depth: Vec<u8> = tissue.iter().map(|t| u8::from(*t)).collect();
    for level in 1..WEIGHT.len() as u8 - 1 {
        let last = &depth;
        let next = |i: usize| last[i] + u8::from(last[i] == level && neighbourhood(grid, i, 1).all(|j| last[j] >= level));
        depth = (0..grid.cells()).into_par_iter().map(next).collect();
    }
    depth
}

/// Whether a cell of this depth is fit to define classes.
pub fn is_deep(depth: u8) -> bool {
    depth >= DEEP
}

/// The rows of `e`, each replaced by the mean over its neighbourhood, near glass by that of the nearest deep cell.
pub fn smooth(e: &Embedding, grid: &Grid, depth: &[u8]) -> Embedding {
    let mean = means(e, grid, depth);
    let mut out = mean.clone();
    out.data.par_chunks_mut(e.channels).zip(&e.cells).for_each(|(to, cell)| {
        let from = nearest_deep(grid, depth, *cell as usize).and_then(|j| mean.row_of(j));
        if let Some(row) = from {
            to.copy_from_slice(mean.rows().row(row));
        }
    });
    out
}

/// How much the features change around row `i`: the larger squared difference, across or down, between the cells one radius to either
/// side; where one is missing, the cell itself stands in.
pub fn change(smoothed: &Embedding, grid: &Grid, i: usize) -> f32 {
    let cell = smoothed.cells[i] as usize;
    let (row, column) = (cell / grid.columns, cell % grid.columns);
    let at = |r: usize, c: usize| (r < grid.rows && c < grid.columns).then(|| smoothed.row_of(r * grid.columns + c)).flatten().unwrap_or(i);
    let between = |a: usize, b: usize| distance2(smoothed.rows().row(a), smoothed.rows().row(b));
    let before = |v: usize| v.checked_sub(RADIUS).unwrap_or(v);
    let across = between(at(row, before(column)), at(row, column + RADIUS));
    across.max(between(at(before(row), column), at(row + RADIUS, column)))
}

/// Weighted means over neighbourhoods.
fn means(e: &Embedding, grid: &Grid, depth: &[u8]) -> Embedding {
    let mut out = e.clone();
    out.data.par_chunks_mut(e.channels).zip(&e.cells).for_each(|(to, cell)| {
        to.fill(0.0);
        let mut total = 0.0f32;
        for j in neighbourhood(grid, *cell as usize, RADIUS) {
            let Some(row) = e.row_of(j) else { continue };
            let weight = WEIGHT[usize::from(depth[j])];
            to.iter_mut().zip(e.rows().row(row)).for_each(|(t, v)| *t += weight * v);
            total += weight;
        }
        to.iter_mut().for_each(|t| *t /= total);
    });
    out
}

/// For a cell near glass, the nearest deep cell within reach; the first in row order where several are equally near.
fn nearest_deep(grid: &Grid, depth: &[u8], cell: usize) -> Option<usize> {
    if is_deep(depth[cell]) {
        return None;
    }
    let distance2 =
        |j: usize| (j / grid.columns).abs_diff(cell / grid.columns).pow(2) + (j % grid.columns).abs_diff(cell % grid.columns).pow(2);
    neighbourhood(grid, cell, REACH).filter(|j| is_deep(depth[*j])).min_by_key(|j| distance2(*j))
}

/// The cells of the square around a cell, itself included, inside the grid, in order.
fn neighbourhood(grid: &Grid, cell: usize, radius: usize) -> impl Iterator<Item = usize> {
    let (r, c, columns) = (cell / grid.columns, cell % grid.columns, grid.columns);
    let span = move |at: usize, end: usize| at.saturating_sub(radius)..(at + radius + 1).min(end);
    let across = span(c, grid.columns);
    span(r, grid.rows).flat_map(move |r| across.clone().map(move |c| r * columns + c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cells_near_glass_see_does_not_leak_into_the_tissue() {
        let grid = Grid { rows: 12, columns: 12, stride_px: 16, downsample: 1.0 };
        let tissue: Vec<bool> = (0..144).map(|i| i % 12 >= 3).collect();
        let depth = depths(&grid, &tissue);
        assert!((0..144).all(|i| depth[i] == (i % 12).saturating_sub(2).min(4) as u8));
        let mut e = Embedding::zeros(&tissue, 1);
        for i in 0..e.cells.len() {
            e.data[i] = if is_deep(depth[e.cells[i] as usize]) { 1.0 } else { 100.0 };
        }
        let s = smooth(&e, &grid, &depth);
        assert!(s.data.iter().all(|v| *v < 6.0), "the rim takes its features from the tissue behind it: {:?}", &s.data[..9]);
        assert_eq!(s.cells, e.cells);
    }

    #[test]
    fn a_thin_strand_keeps_its_own_features() {
        let grid = Grid { rows: 5, columns: 9, stride_px: 16, downsample: 1.0 };
        let tissue: Vec<bool> = (0..45).map(|i| i / 9 == 2).collect();
        let mut e = Embedding::zeros(&tissue, 2);
        e.data.fill(7.0);
        assert!(smooth(&e, &grid, &depths(&grid, &tissue)).data.iter().all(|v| (v - 7.0).abs() < 1e-5));
    }
}
