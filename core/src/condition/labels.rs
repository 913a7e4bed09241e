//! Labels of a window at any resolution, all from one function of position, so that latent and pixel labels agree.

use super::Place;
use crate::semantic_map::SemanticMap;

/// The label at a position in map cells (cell (r, c) covers r..r+1, c..c+1): the class with most bilinear weight among the four
/// cells around it. Cells outside the window count as the nearest inside, so that no class comes in that the window does not
/// hold; outside the map there is background. Straight borders stay where the cells put them and steps of diagonal ones lose
/// their corners. A point a quarter of a cell from every edge of its cell always has that cell's label (weight 0.75 x 0.75 >
/// 1/2), so that a window aligned to the cells, two latent cells each, has exactly the cells' labels in its latents.
pub fn label_at(map: &SemanticMap, place: &Place, row: f64, column: f64) -> u8 {
    let (r, c) = (row - 0.5, column - 0.5);
    let (r0, c0) = (r.floor(), c.floor());
    let (fr, fc) = (r - r0, c - c0);
    let last = place.cells.ceil().max(1.0) as i64 - 1;
    let inside = |i: i64, j: i64| cell(map, i.clamp(place.row, place.row + last), j.clamp(place.column, place.column + last));
    let (r0, c0) = (r0 as i64, c0 as i64);
    let four = [inside(r0, c0), inside(r0, c0 + 1), inside(r0 + 1, c0), inside(r0 + 1, c0 + 1)];
    if four.iter().all(|l| *l == four[0]) {
        return four[0];
    }
    let weights = [(1.0 - fr) * (1.0 - fc), (1.0 - fr) * fc, fr * (1.0 - fc), fr * fc];
    let total = |label: u8| four.iter().zip(weights).filter(|(l, _)| **l == label).map(|(_, w)| w).sum::<f64>();
    // ties go to the cell the point lies in
    let own = four[2 * usize::from(fr >= 0.5) + usize::from(fc >= 0.5)];
    four.iter().fold(own, |best, l| if total(*l) > total(best) { *l } else { best })
}

/// Labels of `side x side` points, evenly spaced over the window, row-major: `side` = size / 8 for latents, size for pixels.
pub fn window_labels(map: &SemanticMap, place: &Place, side: usize) -> Vec<u8> {
    let step = place.cells / side as f64;
    let at = |corner: i64, i: usize| corner as f64 + (i as f64 + 0.5) * step;
    let mut out = Vec::with_capacity(side * side);
    for r in 0..side {
        out.extend((0..side).map(|c| label_at(map, place, at(place.row, r), at(place.column, c))));
    }
    out
}

/// The label of a cell, background outside the map.
pub(super) fn cell(map: &SemanticMap, row: i64, column: i64) -> u8 {
    match (usize::try_from(row), usize::try_from(column)) {
        (Ok(r), Ok(c)) if r < map.rows && c < map.columns => map.labels.get(r * map.columns + c).copied().unwrap_or(0),
        _ => 0,
    }
}
