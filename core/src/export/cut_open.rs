//! Regions as polygons without holes, for formats that know none. In: labels, one a cell. Out: polygons along cell edges, each with an
//! empty list of holes, that cover every cell with a label once. Units: cells. Cannot fail.
//!
//! From the upper edge of each hole a cut runs to the left and one to the right, along the cell edges, until either meets another hole or
//! the outline. What a cut meets reaches higher up, or as high and further to that side; so both ways lead to the outline in the
//! end and share no cut, except that holes level with each other hang together in a row. Each row adds one polygon: a region with
//! n holes becomes at most n + 1, and one more for each corner in which holes touch. Cuts through the whole width of a region would
//! give many more.

use super::contours::{Polygon, Ring, components, trace};

/// The regions of a map of `rows x columns` labels, cut open; in the order of their first cell.
pub(super) fn cut_open(labels: &[u8], rows: usize, columns: usize) -> Vec<Polygon> {
    let Some((regions, mut whole)) = components(labels, rows, columns, None) else {
        return Vec::new();
    };
    trace(&regions, rows, columns, &mut whole);
    if whole.iter().all(|p| p.holes.is_empty()) {
        return whole;
    }
    let mut cuts = vec![false; labels.len()];
    for hole in whole.iter().flat_map(|p| &p.holes) {
        cut(hole, &regions, columns, &mut cuts);
    }
    drop((regions, whole));
    let Some((pieces, mut polygons)) = components(labels, rows, columns, Some(&cuts)) else {
        return Vec::new();
    };
    trace(&pieces, rows, columns, &mut polygons);
    polygons
}

/// Cuts from both ends of a hole's upper edge. A cut stands at the cell below it.
fn cut(hole: &Ring, regions: &[u32], columns: usize, cuts: &mut [bool]) {
    let Some(top) = hole.iter().map(|c| c.1).min() else { return };
    let ends = || hole.iter().filter(|c| c.1 == top).map(|c| c.0 as usize);
    let (Some(left), Some(right)) = (ends().min(), ends().max()) else { return };
    let below = top as usize * columns;
    // a hole never lies in the first row: there it would be open to the outside; above it stands its region
    let region = regions[below - columns + left];
    let inside = |x: &usize| regions[below + x] == region && regions[below + x - columns] == region;
    for x in (0..left).rev().take_while(inside) {
        cuts[below + x] = true;
    }
    for x in (right..columns).take_while(inside) {
        cuts[below + x] = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::contours::contours;
    use super::super::contours::tests::{area, painted};
    use super::*;
    use crate::rng::Stream;

    /// How often rings of a polygon meet in a corner.
    fn touches(p: &Polygon) -> usize {
        let mut corners: Vec<_> = p.holes.iter().chain([&p.shell]).flatten().collect();
        corners.sort_unstable();
        let all = corners.len();
        corners.dedup();
        all - corners.len()
    }

    fn check(labels: &[u8], rows: usize, columns: usize, what: &str) -> Vec<Polygon> {
        let found = cut_open(labels, rows, columns);
        assert_eq!(painted(&found, rows, columns), labels, "{what}");
        for p in &found {
            assert!(p.holes.is_empty() && area(p) == 2 * p.cells as i64, "{what}: {p:?}");
            let mut corners = p.shell.clone();
            corners.sort_unstable();
            corners.dedup();
            assert_eq!(corners.len(), p.shell.len(), "{what}: a ring touches itself: {p:?}");
        }
        for class in 1..=u8::MAX {
            let cells: u64 = found.iter().filter(|p| p.class == class).map(|p| p.cells).sum();
            assert_eq!(cells, labels.iter().filter(|l| **l == class).count() as u64, "{what}");
        }
        let whole = contours(labels, rows, columns);
        let most: usize = whole.iter().map(|p| 1 + p.holes.len() + touches(p)).sum();
        assert!(found.len() <= most, "{what}: {} polygons for {most}", found.len());
        found
    }

    #[test]
    fn any_map_is_covered_once_by_few_polygons_without_holes() {
        for seed in 0..600 {
            let mut s = Stream::new(seed, 0, 0);
            let (rows, columns, classes) = (1 + s.below(29), 1 + s.below(29), 1 + s.below(4));
            // from a few specks in one region to noise in which holes touch and nest
            let specks = 2 + s.below(12);
            let labels: Vec<u8> = (0..rows * columns).map(|_| if s.below(specks) == 0 { s.below(classes + 1) as u8 } else { 1 }).collect();
            check(&labels, rows, columns, &format!("seed {seed}"));
        }
    }

    #[test]
    fn nested_and_level_holes_cost_one_polygon_a_row() {
        #[rustfmt::skip]
        let level = [1, 1, 1, 1, 1, 1, 1,
                     1, 0, 1, 2, 1, 0, 1,
                     1, 1, 1, 1, 1, 1, 1];
        assert_eq!(check(&level, 3, 7, "level").iter().filter(|p| p.class == 1).count(), 2);
        #[rustfmt::skip]
        let nested = [1, 1, 1, 1, 1, 1, 1,
                      1, 2, 2, 2, 2, 2, 1,
                      1, 2, 1, 1, 1, 2, 1,
                      1, 2, 1, 0, 1, 2, 1,
                      1, 2, 1, 1, 1, 2, 1,
                      1, 2, 2, 2, 2, 2, 1,
                      1, 1, 1, 1, 1, 1, 1];
        assert_eq!(check(&nested, 7, 7, "nested").len(), 6);
        assert_eq!(check(&[1; 12], 3, 4, "plain"), contours(&[1; 12], 3, 4));
        assert_eq!(check(&[0; 4], 2, 2, "empty"), []);
        assert_eq!(cut_open(&[1; 5], 2, 2), []);
    }
}
