//! Outlines as cells of a raster. In: rings, a raster over the slide. Out: labels, areas. Cannot fail.

use super::Ring;

/// A raster over the slide: columns, rows, the level-0 pixel of its corner and the level-0 pixels a step.
#[derive(Clone, Copy, Debug)]
pub struct Raster {
    /// Columns and rows.
    pub size: [usize; 2],
    /// x and y of its upper left corner.
    pub corner: [f64; 2],
    /// Side of a cell.
    pub step: f64,
}

/// Fills with `label` those cells whose middle lies inside (even-odd rule); how many comes back.
pub fn paint(rings: &[Ring], label: u8, labels: &mut [u8], on: Raster) -> usize {
    let ([columns, rows], [x0, _]) = (on.size, on.corner);
    let mut crossings = vec![Vec::new(); rows];
    rings.iter().for_each(|r| cross(r, on, &mut crossings));
    let mut painted = 0;
    for (line, at) in labels.chunks_exact_mut(columns.max(1)).zip(&mut crossings) {
        at.sort_by(f64::total_cmp);
        for pair in at.chunks_exact(2) {
            let [from, to] = [pair[0], pair[1]].map(|x| ((x - x0) / on.step - 0.5).ceil().clamp(0.0, columns as f64) as usize);
            let to = to.max(from); // a crossing of numbers too large to multiply is none, and is sorted anywhere
            line[from..to].fill(label);
            painted += to - from;
        }
    }
    painted
}

/// What the first ring encloses without the others, in square level-0 pixels; infinite where the numbers are too large to multiply.
pub fn area(rings: &[Ring]) -> f64 {
    let enclosed = |ring: &Ring| {
        let Some([x, y]) = ring.first() else { return 0.0 };
        let next = ring.iter().cycle().skip(1);
        ring.iter().zip(next).map(|(a, b)| (a[0] - x) * (b[1] - y) - (b[0] - x) * (a[1] - y)).sum::<f64>().abs() / 2.0
    };
    let area = rings.iter().map(enclosed).reduce(|shell, hole| shell - hole).unwrap_or(0.0);
    if area.is_nan() { f64::INFINITY } else { area.abs() }
}

/// Where a closed ring crosses the middles of the rows, row by row.
fn cross(ring: &Ring, on: Raster, out: &mut [Vec<f64>]) {
    let y0 = on.corner[1];
    // the first row whose middle lies at or below y
    let row = |y: f64| ((y - y0) / on.step - 0.5).ceil().clamp(0.0, out.len() as f64) as usize;
    let edges: Vec<_> =
        ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| (a, b, row(a[1].min(b[1]))..row(a[1].max(b[1])))).collect();
    for (a, b, rows) in edges {
        for r in rows {
            let y = y0 + (r as f64 + 0.5) * on.step;
            out[r].push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
        }
    }
}
