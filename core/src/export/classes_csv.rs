//! The classes as a table. In: a map. Out: CSV by RFC 4180, UTF-8, one line a class below a line of names; areas in square micrometres,
//! shares of all tissue from 0 to 1. Each line says how the class was found. Cannot fail.

use super::asap::hex;
use super::geojson::{KIND, finite};
use crate::semantic_map::SemanticMap;

/// The table.
pub(super) fn classes_csv(map: &SemanticMap) -> String {
    let mut out = String::from("label,name,color,cells,area_um2,share,kind\r\n");
    for c in &map.classes {
        let fields = [
            c.id.to_string(),
            c.name.clone(),
            hex(c.color),
            c.cells.to_string(),
            finite(c.area_um2).to_string(),
            finite(c.share).to_string(),
            KIND.into(),
        ];
        out.push_str(&fields.map(|f| quoted(&f)).join(","));
        out.push_str("\r\n");
    }
    out
}

/// A field, in quotes where it needs them.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}
