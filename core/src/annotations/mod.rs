//! Annotations people made in a viewer. In: GeoJSON (RFC 7946) as QuPath exports it, or ASAP's XML, coordinates in level-0 pixels. Out:
//! [`Shape`]s with the names of their classes, in the order of the file; [`paint`] fills labels with them. Points, lines and what has no
//! geometry are left out and counted, and so are regions that only delimit (`Region*`), and cells where somebody drew regions too. Fails
//! where the text is neither, a ring is no ring, or there are more than 4 million points.

mod asap;
mod geojson;
mod paint;
#[cfg(test)]
mod tests;

pub use paint::{Raster, area, paint};

use crate::{Error, Result};

/// Most points of all rings together.
const POINTS: usize = 4_000_000;
/// What our own files say of classes that clustering found.
const PSEUDO_SEMANTIC: &str = "pseudo-semantic";
/// Counts of annotations that were left out, as the provenance names them, and in words.
pub const LEFT_OUT: [(&str, &str); 4] = [
    ("left_out", "are no regions"),
    ("delimiting", "only delimit (class name with `*`)"),
    ("detections", "are cells, detections or tiles"),
    ("without_class", "have no class"),
];

/// A closed line, level-0 pixels; the last point need not repeat the first.
pub type Ring = Vec<[f64; 2]>;

/// One annotated region.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Name of its class, if it has one: trimmed, without control characters, never empty.
    pub class: Option<String>,
    /// Label of its class, where the file tells one: files of ours do.
    pub label: Option<u64>,
    /// Colour of its class.
    pub color: Option<[u8; 3]>,
    /// False for a class that clustering found, as our own files tell.
    pub made_by_hand: bool,
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
    /// Regions of a class such as `Region*`, left out.
    pub delimiting: usize,
    /// Cells, detections and tiles, left out because somebody drew regions with classes too.
    pub detections: usize,
    /// Whether a region without a class has a name.
    pub named: bool,
}

/// An error about the file of a parameter.
pub fn bad(field: &str, why: impl Into<String>) -> Error {
    Error::parameter(field, why, "export the annotations from QuPath as GeoJSON, or give ASAP's XML, each with a class")
}

/// The bytes of a file as text.
pub fn text<'a>(field: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let begins = |with: [&[u8]; 2]| with.iter().any(|w| bytes.starts_with(w));
    if begins([b"PK\x03\x04", b"\x1f\x8b"]) {
        return Err(bad(field, "it is compressed: export uncompressed GeoJSON"));
    }
    if begins([b"\xff\xfe", b"\xfe\xff"]) || bytes.iter().take(4).any(|b| *b == 0) {
        return Err(bad(field, "it is UTF-16 or no text: export uncompressed GeoJSON in UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|_| bad(field, "not UTF-8 text (compressed, UTF-16 or Latin-1?): export uncompressed GeoJSON"))
}

/// Reads the file of a parameter.
pub fn read(field: &str, text: &str) -> Result<Shapes> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let read = if text.starts_with('<') { asap::read(text) } else { geojson::read(text) };
    let mut out = read.map_err(|why| bad(field, why))?;
    let points: usize = out.shapes.iter().flat_map(|s| &s.rings).map(Vec::len).sum();
    if points > POINTS {
        let (value, limit) = (format!("{points} points"), format!("{POINTS} points"));
        return Err(Error::Limit { field: field.into(), value, limit, hint: "simplify the outlines".into() });
    }
    out.shapes.iter_mut().for_each(|s| s.class = s.class.take().and_then(|name| cleaned(&name)));
    let all = out.shapes.len();
    out.shapes.retain(|s| s.label.is_some() || !s.class.as_deref().is_some_and(delimits));
    out.delimiting = all - out.shapes.len();
    match (out.shapes.is_empty(), out.delimiting) {
        (false, _) => Ok(out),
        (true, 0) => Err(bad(field, "it holds no region")),
        (true, n) => Err(bad(field, format!("it holds no region but {n} whose class ends in `*`, which is no tissue"))),
    }
}

/// A name fit to be shown; none where nothing is left of it.
fn cleaned(name: &str) -> Option<String> {
    // the second kind turns the direction of what stands after it
    let unseen = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown: String = name.chars().map(|c| if unseen(c) { ' ' } else { c }).collect();
    Some(shown.trim().to_owned()).filter(|n| !n.is_empty())
}

/// Whether a class's name says that there is nothing to look at. `Ignore*` is QuPath's name for that; artefacts have it in our files.
pub fn is_background(name: &str) -> bool {
    ["background", "glass", "ignore*"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Whether a class is none of tissue: QuPath measures nothing in classes with an asterisk, such as `Region*`, which only delimit.
fn delimits(name: &str) -> bool {
    name.ends_with('*') && !is_background(name)
}

/// `#rrggbb`.
fn hex_color(hex: &str) -> Option<[u8; 3]> {
    let hex = hex.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii())?;
    let mut out = [0; 3];
    for (i, v) in out.iter_mut().enumerate() {
        *v = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}
