//! The map as a viewer draws it, piece by piece. In: a map and a rectangle of the slide at any zoom. Out: one label or one RGBA pixel for
//! each of its pixels, in the caller's buffer. Outside the map is background. Cannot fail; its caller bounds the sizes.

use super::picture::colors;
use crate::semantic_map::SemanticMap;

/// Points a pixel is looked at along each side at most, where it covers several cells.
const LOOKS: usize = 8;

/// A rectangle of the slide.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Left edge, level-0 pixels.
    pub x_px: i64,
    /// Upper edge, level-0 pixels.
    pub y_px: i64,
    /// Level-0 pixels a pixel of the view, above 0.
    pub downsample: f64,
    /// Pixels a row.
    pub width_px: u32,
    /// Rows.
    pub height_px: u32,
}

impl View {
    /// The cell along one axis that the middle of part `part` of `parts` of pixel `i` lies in.
    fn cell(&self, start: i64, i: u32, (part, parts): (usize, usize), map: &SemanticMap) -> Option<usize> {
        let inside = (part as f64 + 0.5) / parts as f64;
        let at = (start as f64 + (f64::from(i) + inside) * self.downsample) / map.cell_px;
        (0.0..1e15).contains(&at).then_some(at as usize)
    }

    /// Cells of the columns and rows of parts; parts of one pixel stand beside each other.
    fn cells(&self, parts: usize, map: &SemanticMap) -> [Vec<Option<usize>>; 2] {
        [(self.x_px, self.width_px, map.columns), (self.y_px, self.height_px, map.rows)].map(|(start, n, cells)| {
            let of = |i| (0..parts).map(move |p| self.cell(start, i, (p, parts), map).filter(|c| *c < cells));
            (0..n).flat_map(of).collect()
        })
    }

    /// The label of the cell in the middle of each pixel, 0 = background: a byte a pixel into rows `stride` bytes apart.
    pub fn labels(&self, map: &SemanticMap, out: &mut [u8], stride: usize) {
        let [columns, rows] = self.cells(1, map);
        let label = |row: Option<usize>, column: Option<usize>| map.labels.get(row? * map.columns + column?).copied();
        for (line, row) in out.chunks_mut(stride).zip(&rows) {
            line.iter_mut().zip(&columns).for_each(|(to, column)| *to = label(*row, *column).unwrap_or(0));
        }
    }

    /// Legend colours, RGBA with straight alpha, background transparent, into rows `stride` bytes apart. A pixel that covers several cells
    /// gets the mean colour of those that have one, and the share of them as alpha, so that a slide seen from afar does not flicker.
    pub fn overlay(&self, map: &SemanticMap, out: &mut [u8], stride: usize) {
        let parts = ((self.downsample / map.cell_px).ceil() as usize).clamp(1, LOOKS);
        let ([columns, rows], colors) = (self.cells(parts, map), colors(map));
        let color = |row: Option<usize>, column: Option<usize>| colors[usize::from(*map.labels.get(row? * map.columns + column?)?)];
        let pixel = |rows: &[Option<usize>], columns: &[Option<usize>]| {
            let (mut sum, mut n) = ([0usize; 3], 0);
            for c in rows.iter().flat_map(|r| columns.iter().filter_map(|c| color(*r, *c))) {
                sum.iter_mut().zip(c).for_each(|(s, v)| *s += usize::from(v));
                n += 1;
            }
            let [r, g, b] = sum.map(|s| (s + n / 2).checked_div(n).unwrap_or(0) as u8);
            [r, g, b, (n * 255 / (parts * parts)) as u8]
        };
        for (line, rows) in out.chunks_mut(stride).zip(rows.chunks_exact(parts)) {
            line.chunks_exact_mut(4).zip(columns.chunks_exact(parts)).for_each(|(to, columns)| to.copy_from_slice(&pixel(rows, columns)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::map;

    impl View {
        fn labelled(&self, map: &SemanticMap) -> Vec<u8> {
            let mut out = vec![9; (self.width_px * self.height_px) as usize];
            self.labels(map, &mut out, self.width_px as usize);
            out
        }

        fn drawn(&self, map: &SemanticMap) -> Vec<u8> {
            let mut out = vec![9; 4 * (self.width_px * self.height_px) as usize];
            self.overlay(map, &mut out, 4 * self.width_px as usize);
            out
        }
    }

    #[test]
    fn a_view_shows_the_cells_where_they_are_at_any_zoom() {
        let map = map();
        let (w, h, cell) = (map.columns as u32, map.rows as u32, map.cell_px);
        let whole = View { x_px: 0, y_px: 0, downsample: cell, width_px: w, height_px: h };
        assert_eq!(whole.labelled(&map), map.labels);
        // four pixels a cell, around the corner of four cells
        let (row, column) = (18, 26);
        let at = |cells: usize| ((cells as f64 - 1.0) * cell).ceil() as i64;
        let near = View { x_px: at(column), y_px: at(row), downsample: cell / 2.0, width_px: 4, height_px: 4 }.labelled(&map);
        let cell_of = |y: usize, x: usize| map.labels[(row - 1 + y / 2) * map.columns + column - 1 + x / 2];
        assert!((0..16).all(|i| near[i] == cell_of(i / 4, i % 4)) && near[0] != 0, "{near:?}");
        let rgba = whole.drawn(&map);
        for (label, pixel) in map.labels.iter().zip(rgba.chunks_exact(4)) {
            let wanted = map.classes.iter().find(|c| c.id == *label).map_or([0; 4], |c| [c.color[0], c.color[1], c.color[2], 255]);
            assert_eq!(pixel, wanted, "label {label}");
        }
        // all of it in one pixel: as opaque as there is tissue
        let side = w.max(h);
        let far = View { downsample: cell * f64::from(side), width_px: 1, height_px: 1, ..whole }.drawn(&map);
        let tissue = map.labels.iter().filter(|l| **l != 0).count() as f64 / f64::from(side * side);
        assert!((f64::from(far[3]) / 255.0 - tissue).abs() < 0.1, "{far:?} of {tissue}");
        let away = View { x_px: i64::MAX, y_px: i64::MIN, ..whole };
        assert!(away.labelled(&map).iter().chain(&away.drawn(&map)).all(|v| *v == 0));
    }
}
