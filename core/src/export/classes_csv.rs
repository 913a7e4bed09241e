//! The classes as a table. In: a map. Out: CSV by RFC 4180, UTF-8, one line a class below a line of names; areas in square micrometres,
//! shares of all tissue from 0 to 1. Where an atlas made the labels, the share of each class that the atlas does not know. Each line says how
//! the class was found. Names that begin like a formula have an apostrophe before them. Artefacts follow with label 0 and without a share: they are no part of the tissue that the shares are of. Cannot
//! fail.

use super::asap::hex;
use super::geojson::finite;
use crate::semantic_map::SemanticMap;

/// The table.
pub fn classes_csv(map: &SemanticMap) -> String {
    let mut out = String::from("label,name,color,cells,area_um2,share,kind");
    out.push_str(if map.atlas.is_some() { ",unknown_share\r\n" } else { "\r\n" });
    for c in &map.classes {
        let fields = [
            c.id.to_string(),
            c.name.clone(),
            hex(c.color),
            c.cells.to_string(),
            finite(c.area_um2).to_string(),
            finite(c.share).to_string(),
            map.kind().into(),
        ];
        out.push_str(&fields.map(|f| quoted(&f)).join(","));
        if let Some(atlas) = &map.atlas {
            out.push_str(&format!(",{}", finite(atlas.unknown_of(|cell| map.labels.get(cell) == Some(&c.id)))));
        }
        out.push_str("\r\n");
    }
    for line in map.left_out() {
        let (name, cells, area) = (quoted(&format!("Artefact: {}", line.reason)), line.cells, finite(line.area_um2));
        let end = if map.atlas.is_some() { "," } else { "" };
        out.push_str(&format!("0,{name},,{cells},{area},,left unlabelled{end}\r\n"));
    }
    out
}

/// A field, in quotes where it needs them. An apostrophe stands before what a spreadsheet would take for a formula.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = &if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.clone() }
}
