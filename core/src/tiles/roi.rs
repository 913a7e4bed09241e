//! Regions of interest: polygons in level-0 pixels.

use super::Grid;

/// A union of polygons; each is filled by the even-odd rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Roi<'a>(pub &'a [Vec<[f64; 2]>]);

impl Roi<'_> {
    /// Whether a point lies inside.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        self.0.iter().any(|ring| inside(ring, x, y))
    }

    /// Which cells have their centre inside.
    pub fn cells(&self, grid: &Grid) -> Vec<bool> {
        let px = grid.cell_px();
        let centre = |i: usize| (i as f64 + 0.5) * px;
        (0..grid.cells()).map(|i| self.contains(centre(i % grid.columns), centre(i / grid.columns))).collect()
    }
}

/// Even-odd crossing test.
fn inside(ring: &[[f64; 2]], x: f64, y: f64) -> bool {
    let mut odd = false;
    for (i, a) in ring.iter().enumerate() {
        let b = ring[(i + 1) % ring.len()];
        if (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) {
            odd = !odd;
        }
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_belongs_where_its_centre_lies() {
        let rings = [vec![[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]], vec![[22.0, 20.0], [42.0, 20.0], [42.0, 40.0]]];
        let grid = Grid { rows: 4, columns: 4, stride_px: 5, downsample: 2.0 };
        let got: String = Roi(&rings).cells(&grid).iter().map(|c| if *c { '#' } else { '.' }).collect();
        assert_eq!(got, ["##..", "##..", "...#", "...."].concat());
    }
}
