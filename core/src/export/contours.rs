//! Outlines of the regions of a label map. In: labels, one a cell. Out: for each 4-connected region one polygon whose edges run
//! exactly along cell edges, so that shell minus holes is the number of its cells. Units: cells. Cannot fail.
//!
//! ```
//! let labels = [1, 1, 1, 1, 0, 1, 1, 1, 1]; // a ring around one empty cell
//! let found = histoloom_core::export::contours(&labels, 3, 3);
//! assert_eq!((found.len(), found[0].holes.len(), found[0].cells), (1, 1, 8));
//! assert_eq!(found[0].shell, [(0, 0), (3, 0), (3, 3), (0, 3)]);
//! ```

use std::collections::HashMap;

use crate::memory;

/// A corner of a cell: (column, row), `0..=columns`, `0..=rows`.
type Corner = (u32, u32);
/// A closed line through corners, not repeating the first.
pub(super) type Ring = Vec<Corner>;

/// One region.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    /// Its label, never 0.
    pub class: u8,
    /// Number of cells.
    pub cells: u64,
    /// Outer ring, not closed, corners only; positive area with y downwards.
    pub shell: Vec<(u32, u32)>,
    /// Rings of what is cut out, negative area. A ring may touch another in a point but never itself.
    pub holes: Vec<Vec<(u32, u32)>>,
}

/// Steps along +x, +y, -x, -y; the region lies on the right hand.
const STEP: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// The regions of a map of `rows x columns` labels, in the order of their first cell. Background (0) has none.
pub fn contours(labels: &[u8], rows: usize, columns: usize) -> Vec<Polygon> {
    let Some((regions, mut polygons)) = components(labels, rows, columns, None) else {
        return Vec::new();
    };
    trace(&regions, rows, columns, &mut polygons);
    polygons
}

/// Draws the rings of regions that [`components`] numbered.
pub(super) fn trace(regions: &[u32], rows: usize, columns: usize, polygons: &mut [Polygon]) {
    let grid = Grid { regions, rows: rows as i64, columns: columns as i64 };
    let mut seen = memory::many(false, regions.len());
    for row in 0..rows {
        for column in 0..columns {
            let cell = row * columns + column;
            let region = regions[cell];
            if region == 0 || seen[cell] || grid.is(row as i64 - 1, column as i64, region) {
                continue;
            }
            for ring in simple_rings(&grid.walk(row, column, region, &mut seen)) {
                let polygon = &mut polygons[region as usize - 1];
                if twice_area(&ring) > 0 {
                    polygon.shell = ring;
                } else {
                    polygon.holes.push(ring);
                }
            }
        }
    }
}

/// Twice the signed area of a ring; positive for a shell.
fn twice_area(ring: &[Corner]) -> i64 {
    let next = ring.iter().cycle().skip(1);
    ring.iter().zip(next).map(|(a, b)| i64::from(a.0) * i64::from(b.1) - i64::from(b.0) * i64::from(a.1)).sum()
}

/// Numbers the 4-connected regions from 1; `None` if the labels do not fill the grid. Cells are not connected across a cut, which
/// stands at the cell below it.
pub(super) fn components(labels: &[u8], rows: usize, columns: usize, cuts: Option<&[bool]>) -> Option<(Vec<u32>, Vec<Polygon>)> {
    if rows.checked_mul(columns)? != labels.len() || labels.is_empty() {
        return None;
    }
    let joined = |below: usize| cuts.is_none_or(|c| !c[below]);
    let mut regions = memory::many(0u32, labels.len());
    let mut polygons = Vec::new();
    let mut open = Vec::new();
    for start in 0..labels.len() {
        if labels[start] == 0 || regions[start] != 0 {
            continue;
        }
        let (class, number) = (labels[start], polygons.len() as u32 + 1);
        let mut cells = 0;
        regions[start] = number;
        open.push(start);
        while let Some(cell) = open.pop() {
            cells += 1;
            let (row, column) = (cell / columns, cell % columns);
            let near = [
                (column > 0).then(|| cell - 1),
                (column + 1 < columns).then(|| cell + 1),
                (row > 0 && joined(cell)).then(|| cell - columns),
                (row + 1 < rows && joined(cell + columns)).then(|| cell + columns),
            ];
            for n in near.into_iter().flatten() {
                if labels[n] == class && regions[n] == 0 {
                    regions[n] = number;
                    open.push(n);
                }
            }
        }
        polygons.push(Polygon { class, cells, shell: Vec::new(), holes: Vec::new() });
    }
    Some((regions, polygons))
}

struct Grid<'a> {
    regions: &'a [u32],
    rows: i64,
    columns: i64,
}

impl Grid<'_> {
    fn is(&self, row: i64, column: i64, region: u32) -> bool {
        (0..self.rows).contains(&row)
            && (0..self.columns).contains(&column)
            && self.regions[(row * self.columns + column) as usize] == region
    }

    /// Walks the border that holds the upper edge of a cell, once around; marks the upper edges it passes.
    fn walk(&self, row: usize, column: usize, region: u32, seen: &mut [bool]) -> Vec<Corner> {
        let start = (column as i64, row as i64, 0usize);
        let (mut x, mut y, mut d) = start;
        let mut corners = Vec::new();
        loop {
            if d == 0 {
                seen[(y * self.columns + x) as usize] = true;
            }
            x += STEP[d].0;
            y += STEP[d].1;
            // the two cells ahead of the corner reached, to the right and to the left of the way
            let (right, left) = match d {
                0 => ((y, x), (y - 1, x)),
                1 => ((y, x - 1), (y, x)),
                2 => ((y - 1, x - 1), (y, x - 1)),
                _ => ((y - 1, x), (y - 1, x - 1)),
            };
            let turn = if !self.is(right.0, right.1, region) {
                1
            } else if self.is(left.0, left.1, region) {
                3
            } else {
                0
            };
            if turn != 0 {
                corners.push((x as u32, y as u32));
                d = (d + turn) % 4;
            }
            if (x, y, d) == start {
                return corners;
            }
        }
    }
}

/// Cuts a closed walk at corners it passes twice: a region whose arms meet in a point encloses a hole there, and a polygon's
/// ring must not touch itself.
fn simple_rings(walk: &[Corner]) -> Vec<Vec<Corner>> {
    let mut rings = Vec::new();
    let mut path: Vec<Corner> = Vec::new();
    let mut place: HashMap<Corner, usize> = HashMap::new();
    for &corner in walk {
        if let Some(&from) = place.get(&corner) {
            let ring = path.split_off(from);
            for c in &ring {
                place.remove(c);
            }
            rings.push(turned_to_first(ring));
        }
        place.insert(corner, path.len());
        path.push(corner);
    }
    rings.push(turned_to_first(path));
    rings
}

/// Starts a ring at its uppermost, then leftmost corner.
fn turned_to_first(mut ring: Vec<Corner>) -> Vec<Corner> {
    let first = (0..ring.len()).min_by_key(|i| (ring[*i].1, ring[*i].0)).unwrap_or(0);
    ring.rotate_left(first);
    ring
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::rng::Stream;

    pub(in super::super) fn area(p: &Polygon) -> i64 {
        twice_area(&p.shell) + p.holes.iter().map(|h| twice_area(h)).sum::<i64>()
    }

    /// The labels that polygons cover by the even-odd rule; two polygons on one cell are refused.
    pub(in super::super) fn painted(polygons: &[Polygon], rows: usize, columns: usize) -> Vec<u8> {
        let mut labels = vec![0; rows * columns];
        for p in polygons {
            let mut odd = vec![false; rows * (columns + 1)];
            for ring in p.holes.iter().chain([&p.shell]) {
                for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                    for y in a.1.min(b.1)..a.1.max(b.1) {
                        odd[y as usize * (columns + 1) + a.0 as usize] ^= true;
                    }
                }
            }
            for (y, line) in odd.chunks(columns + 1).enumerate() {
                let mut within = false;
                for x in 0..columns {
                    within ^= line[x];
                    if within {
                        let before = std::mem::replace(&mut labels[y * columns + x], p.class);
                        assert_eq!(before, 0, "row {y}, column {x} is covered twice");
                    }
                }
                assert!(!(within ^ line[columns]), "a ring is open in row {y}");
            }
        }
        labels
    }

    #[test]
    fn the_polygons_of_any_map_tile_the_plane() {
        for seed in 0..200 {
            let mut s = Stream::new(seed, 2, 0);
            let (rows, columns, classes) = (1 + s.below(40), 1 + s.below(40), [2, 3, 9, 101, 256][s.below(5)]);
            // runs of one label, so that there are regions and not specks alone
            let run = 1 + s.below(6);
            let mut labels: Vec<u8> = (0..rows * columns).map(|_| s.below(classes) as u8).collect();
            for i in (0..labels.len()).filter(|i| i % run != 0) {
                labels[i] = labels[i - i % run];
            }
            let found = contours(&labels, rows, columns);
            assert_eq!(painted(&found, rows, columns), labels, "seed {seed}");
            for class in 1..=u8::MAX {
                let doubled: i64 = found.iter().filter(|p| p.class == class).map(area).sum();
                assert_eq!(doubled, 2 * labels.iter().filter(|l| **l == class).count() as i64, "seed {seed}, class {class}");
            }
        }
    }

    #[test]
    fn areas_equal_the_cell_counts_of_any_map() {
        for seed in 0..60 {
            let mut s = Stream::new(seed, 0, 0);
            let (rows, columns, classes) = (1 + s.below(23), 1 + s.below(23), 2 + s.below(3));
            let labels: Vec<u8> = (0..rows * columns).map(|_| s.below(classes) as u8).collect();
            let found = contours(&labels, rows, columns);
            for p in &found {
                assert_eq!(area(p), 2 * p.cells as i64, "seed {seed}: {p:?}");
                assert!(twice_area(&p.shell) > 0 && p.holes.iter().all(|h| twice_area(h) < 0));
            }
            for class in 1..classes as u8 {
                let cells: u64 = found.iter().filter(|p| p.class == class).map(|p| p.cells).sum();
                assert_eq!(cells, labels.iter().filter(|l| **l == class).count() as u64);
            }
        }
    }

    #[test]
    fn no_ring_touches_itself_and_every_edge_is_straight() {
        for seed in 0..60 {
            let mut s = Stream::new(seed, 1, 0);
            let labels: Vec<u8> = (0..400).map(|_| s.below(2) as u8).collect();
            for p in contours(&labels, 20, 20) {
                for ring in p.holes.iter().chain([&p.shell]) {
                    let mut corners = ring.clone();
                    corners.sort_unstable();
                    corners.dedup();
                    assert_eq!(corners.len(), ring.len(), "seed {seed}: {ring:?}");
                    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                        assert!((a.0 == b.0) != (a.1 == b.1), "{a:?} {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn arms_that_meet_in_a_point_enclose_a_hole_and_diagonal_cells_are_two_regions() {
        #[rustfmt::skip]
        let arms = [1, 1, 1,
                    1, 0, 1,
                    1, 1, 0];
        let found = contours(&arms, 3, 3);
        assert_eq!((found.len(), found[0].holes.len(), area(&found[0])), (1, 1, 14));
        assert_eq!(contours(&[1, 0, 0, 1], 2, 2).len(), 2);
        assert_eq!(contours(&[0; 9], 3, 3), []);
        assert_eq!(contours(&[1; 5], 3, 3), []);
    }
}
