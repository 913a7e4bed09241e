//! Regions of interest: polygons in level-0 pixels.

use super::Grid;
use crate::{Job, Result};

/// A union of polygons; each is filled by the even-odd rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Roi<'a>(pub &'a [Vec<[f64; 2]>]);

impl Roi<'_> {
    /// Which cells have their centre inside; fails when the job is cancelled.
    pub fn cells(&self, grid: &Grid, job: &Job) -> Result<Vec<bool>> {
        let px = grid.cell_px();
        let mut out = vec![false; grid.cells()];
        for (r, row) in out.chunks_exact_mut(grid.columns.max(1)).enumerate() {
            job.check()?;
            for ring in self.0 {
                let crossed = crossings(ring, (r as f64 + 0.5) * px);
                for pair in crossed.as_chunks::<2>().0 {
                    // the cells whose centre (c + 1/2) px lies from one crossing up to the next
                    let [from, to] = pair.map(|x| (x / px - 0.5).ceil().clamp(0.0, grid.columns as f64) as usize);
                    row[from..to.max(from)].fill(true);
                }
            }
        }
        Ok(out)
    }
}

/// Where a horizontal line crosses a ring, ascending.
fn crossings(ring: &[[f64; 2]], y: f64) -> Vec<f64> {
    let ends = ring.iter().zip(ring.iter().cycle().skip(1));
    let crossing = ends.filter(|(a, b)| (a[1] > y) != (b[1] > y));
    let mut x: Vec<f64> = crossing.map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])).collect();
    x.sort_by(f64::total_cmp);
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_belongs_where_its_centre_lies() {
        let rings = [vec![[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]], vec![[22.0, 20.0], [42.0, 20.0], [42.0, 40.0]]];
        let grid = Grid { rows: 4, columns: 4, stride_px: 5, downsample: 2.0 };
        let got: String = Roi(&rings).cells(&grid, &Job::new()).unwrap().iter().map(|c| if *c { '#' } else { '.' }).collect();
        assert_eq!(got, ["##..", "##..", "...#", "...."].concat());
        let cancelled = Job::new();
        cancelled.cancel();
        assert!(Roi(&rings).cells(&grid, &cancelled).is_err(), "a huge region can be given up");
    }
}
