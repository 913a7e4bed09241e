//! Annotations people made in a viewer. In: GeoJSON (RFC 7946) as QuPath exports it, or ASAP's XML, coordinates in level-0 pixels. Out:
//! [`Shape`]s with the names of their classes, in the order of the file; [`paint`] fills labels with them. Points, lines and what has no
//! geometry are left out and counted. Fails where the text is neither, a ring is no ring, or there are more than 4 million points.

mod asap;
mod geojson;
#[cfg(test)]
mod tests;

use crate::{Error, Result};

/// Most points of all rings together.
const POINTS: usize = 4_000_000;

/// A closed line, level-0 pixels; the last point need not repeat the first.
pub type Ring = Vec<[f64; 2]>;

/// One annotated region.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Name of its class, if it has one.
    pub class: Option<String>,
    /// Label of its class, where the file tells one: files of ours do.
    pub label: Option<u64>,
    /// Colour of its class.
    pub color: Option<[u8; 3]>,
    /// Its outlines; what lies inside an even number of them is outside (holes).
    pub rings: Vec<Ring>,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shapes {
    /// Regions, later ones above earlier ones.
    pub shapes: Vec<Shape>,
    /// Annotations that are no regions.
    pub left_out: usize,
}

/// An error about the file of a parameter.
pub fn bad(field: &str, why: impl Into<String>) -> Error {
    Error::parameter(field, why, "export the annotations from QuPath as GeoJSON, or give ASAP's XML, each with a class")
}

/// Reads the file of a parameter.
pub fn read(field: &str, text: &str) -> Result<Shapes> {
    let xml = text.trim_start_matches('\u{feff}').trim_start().starts_with('<');
    let read = if xml { asap::read(text) } else { geojson::read(text) };
    let out = read.map_err(|why| bad(field, why))?;
    let points: usize = out.shapes.iter().flat_map(|s| &s.rings).map(Vec::len).sum();
    if points > POINTS {
        let (value, limit) = (format!("{points} points"), format!("{POINTS} points"));
        return Err(Error::Limit { field: field.into(), value, limit, hint: "simplify the outlines".into() });
    }
    if out.shapes.is_empty() { Err(bad(field, "it holds no region")) } else { Ok(out) }
}

/// Whether a class's name says that there is nothing to look at. `Ignore*` is QuPath's name for that; artefacts have it in our files.
pub fn is_background(name: &str) -> bool {
    ["background", "glass", "ignore*"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

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
