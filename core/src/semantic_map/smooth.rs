//! Context: the mean of each cell's neighbourhood, in which only tissue away from the glass counts.
//!
//! An encoder sees some cells beyond its own, so cells near glass carry features of the edge, and would become a rim class of their
//! own. They hardly count in any mean, do not take part in fitting the classes, and take the mean of the nearest cell that has no glass
//! near. Strands too thin to have such a cell keep what they have.

use std::ops::Range;

use rayon::prelude::*;

use crate::cluster::distance2;
use crate::embed::Strip;
use crate::tiles::Grid;

/// Cells on each side: 5 x 5 cells of 8 um are 40 um, a few cells of the body, enough to tell a texture from one nucleus.
pub const RADIUS: usize = 2;
/// What a cell counts by its [`depths`]; found by looking at maps of the two H&E slides whose edges are the most ragged.
const WEIGHT: [f32; 5] = [0.0, 0.01, 0.1, 0.5, 1.0];
/// From this depth on a cell sees no glass: 3 cells of 16 px are the half width of what a stage-5 feature mostly depends on.
const DEEP: u8 = 3;
/// How far, in cells, a cell near glass looks for a deep one.
pub const REACH: usize = 3;

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

/// Of `own`, the rows of the grid `rows`, each cell's replaced by the mean over its neighbourhood, near glass by that of the nearest deep
/// cell. `own` reaches [`RADIUS`] + [`REACH`] rows farther on either side, or to the edge of the grid; cells without tissue stay zero.
pub fn smooth(own: &Strip, rows: Range<usize>, grid: &Grid, depth: &[u8]) -> Strip {
    let mean = means(own, rows.start.saturating_sub(REACH)..(rows.end + REACH).min(grid.rows), grid, depth);
    let mut out = Strip::zeros(rows, own.columns, own.channels);
    let cells = out.cells();
    out.data.par_chunks_mut(own.channels).zip(cells).filter(|(_, cell)| depth[*cell] > 0).for_each(|(to, cell)| {
        to.copy_from_slice(mean.row(nearest_deep(grid, depth, cell).unwrap_or(cell)));
    });
    out
}

/// How much the features change around a tissue cell: the larger squared difference, across or down, between the cells one radius to
/// either side; where one is missing, the cell itself stands in. `smoothed` reaches one radius beyond the cell.
pub fn change(smoothed: &Strip, grid: &Grid, depth: &[u8], cell: usize) -> f32 {
    let (row, column) = (cell / grid.columns, cell % grid.columns);
    let at =
        |r: usize, c: usize| Some(r * grid.columns + c).filter(|at| r < grid.rows && c < grid.columns && depth[*at] > 0).unwrap_or(cell);
    let between = |a: usize, b: usize| distance2(smoothed.row(a), smoothed.row(b));
    let before = |v: usize| v.checked_sub(RADIUS).unwrap_or(v);
    let across = between(at(row, before(column)), at(row, column + RADIUS));
    across.max(between(at(before(row), column), at(row + RADIUS, column)))
}

/// Weighted means over neighbourhoods.
fn means(own: &Strip, rows: Range<usize>, grid: &Grid, depth: &[u8]) -> Strip {
    let mut out = Strip::zeros(rows, own.columns, own.channels);
    let cells = out.cells();
    out.data.par_chunks_mut(own.channels).zip(cells).filter(|(_, cell)| depth[*cell] > 0).for_each(|(to, cell)| {
        let mut total = 0.0f32;
        for j in neighbourhood(grid, cell, RADIUS).filter(|j| depth[*j] > 0) {
            let weight = WEIGHT[usize::from(depth[j])];
            to.iter_mut().zip(own.row(j)).for_each(|(t, v)| *t += weight * v);
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
        let mut own = Strip::zeros(0..12, 12, 1);
        own.data.iter_mut().zip(&depth).for_each(|(v, d)| *v = if is_deep(*d) { 1.0 } else { 100.0 });
        let s = smooth(&own, 0..12, &grid, &depth);
        assert!(s.data.iter().all(|v| *v < 6.0), "the rim takes its features from the tissue behind it: {:?}", &s.data[..12]);
        assert!((0..144).all(|i| (s.data[i] == 0.0) == (i % 12 < 3)), "glass has none");
    }

    #[test]
    fn a_thin_strand_keeps_its_own_features() {
        let grid = Grid { rows: 5, columns: 9, stride_px: 16, downsample: 1.0 };
        let tissue: Vec<bool> = (0..45).map(|i| i / 9 == 2).collect();
        let own = Strip { rows: 0..5, columns: 9, channels: 2, data: vec![7.0; 90] };
        let s = smooth(&own, 0..5, &grid, &depths(&grid, &tissue));
        assert!((18..27).all(|cell| s.row(cell).iter().all(|v| (v - 7.0).abs() < 1e-5)));
    }

    #[test]
    fn a_strip_is_smoothed_as_the_whole_is() {
        let grid = Grid { rows: 60, columns: 30, stride_px: 16, downsample: 1.0 };
        let tissue: Vec<bool> = (0..1800).map(|i| i * 7919 % 1000 > 40).collect();
        let depth = depths(&grid, &tissue);
        let whole = Strip { rows: 0..60, columns: 30, channels: 3, data: crate::rng::noise(1, 0, 0, 5400) };
        let all = smooth(&whole, 0..60, &grid, &depth);
        for rows in [0usize..20, 20..40, 31..60] {
            let around = rows.start.saturating_sub(RADIUS + REACH)..(rows.end + RADIUS + REACH).min(60);
            let part = Strip { rows: around.clone(), data: whole.data[around.start * 90..around.end * 90].to_vec(), ..whole.clone() };
            assert_eq!(smooth(&part, rows.clone(), &grid, &depth).data, all.data[rows.start * 90..rows.end * 90]);
        }
    }
}
