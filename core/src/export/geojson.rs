//! The map as GeoJSON that QuPath opens: one annotation a class, in level-0 pixels with y downwards. In: a map. Out: text.
//!
//! QuPath refuses a whole file for one bad feature. Its rules, kept here: `classification` is an object with `name` and `color`
//! `[r, g, b]`; rings are closed; `measurements` holds numbers, `metadata` is flat and holds strings, nothing is null; `id` is
//! a UUID. The UUID is drawn from the content, so the same map gives the same file.
//!
//! Artefacts are annotations of QuPath's class `Ignore*`, named for their reason: QuPath takes no measurement of a class whose name
//! ends with an asterisk.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::contours::{Polygon, contours};
use crate::semantic_map::{Class, SemanticMap};
use crate::tiles::Artefact;

/// QuPath's class for what is not to be looked at, and its colour.
const IGNORE: (&str, [u8; 3]) = ("Ignore*", [180; 3]);

/// The map as a GeoJSON FeatureCollection. Classes without a cell are left out.
pub fn geojson(map: &SemanticMap) -> String {
    let polygons = contours(&map.labels, map.rows, map.columns);
    let content = Sha256::digest(&map.labels);
    let mut out = String::from("{\"type\":\"FeatureCollection\",\"features\":[");
    let mut first = true;
    for class in &map.classes {
        let own: Vec<&Polygon> = polygons.iter().filter(|p| p.class == class.id).collect();
        if own.is_empty() {
            continue;
        }
        out.push_str(if std::mem::take(&mut first) { "\n" } else { ",\n" });
        feature(&mut out, map, class, &own, &content);
    }
    ignored(&mut out, map, &content, first);
    out.push_str("\n]}\n");
    out
}

fn feature(out: &mut String, map: &SemanticMap, class: &Class, polygons: &[&Polygon], content: &[u8]) {
    let mut properties = serde_json::json!({
        "objectType": "annotation",
        "classification": {"name": class.name, "color": class.color},
        "metadata": {
            "source": format!("histoloom {}", env!("CARGO_PKG_VERSION")),
            "kind": map.kind(),
            "label": class.id.to_string(),
        },
        "measurements": {
            "Area um^2": finite(class.area_um2),
            "Share of tissue": finite(class.share),
            "Cells": class.cells,
            "Regions": polygons.len(),
        },
    });
    if let Some(atlas) = &map.atlas {
        let unlike = atlas.unknown_of(|cell| map.labels.get(cell) == Some(&class.id));
        properties["measurements"]["Share unlike atlas"] = serde_json::json!(finite(unlike));
    }
    geometry(out, &uuid(content, map, class.id), polygons, map.cell_px);
    let _ = write!(out, ",\"properties\":{properties}}}");
}

/// Annotations of the artefacts, one a reason.
fn ignored(out: &mut String, map: &SemanticMap, content: &[u8], mut first: bool) {
    let polygons = contours(map.artefacts.as_deref().unwrap_or_default(), map.rows, map.columns);
    let left_out = map.left_out();
    for artefact in Artefact::ALL {
        let own: Vec<&Polygon> = polygons.iter().filter(|p| p.class == artefact.code()).collect();
        let Some(line) = left_out.iter().find(|l| l.reason == artefact.name()) else { continue };
        let properties = serde_json::json!({
            "objectType": "annotation",
            "name": format!("Artefact: {}", artefact.name()),
            "classification": {"name": IGNORE.0, "color": IGNORE.1},
            "metadata": {
                "source": format!("histoloom {}", env!("CARGO_PKG_VERSION")),
                "kind": "left unlabelled, found by rules, not by a pathologist",
            },
            "measurements": {
                "Area um^2": finite(line.area_um2),
                "Share of all tissue": finite(line.share),
                "Cells": line.cells,
                "Regions": own.len(),
            },
        });
        out.push_str(if std::mem::take(&mut first) { "\n" } else { ",\n" });
        geometry(out, &uuid(content, map, u8::MAX - artefact.code()), &own, map.cell_px);
        let _ = write!(out, ",\"properties\":{properties}}}");
    }
}

/// A feature up to its properties.
fn geometry(out: &mut String, id: &str, polygons: &[&Polygon], cell_px: f64) {
    let _ = write!(out, "{{\"type\":\"Feature\",\"id\":\"{id}\",\"geometry\":");
    match polygons {
        [one] => {
            out.push_str("{\"type\":\"Polygon\",\"coordinates\":");
            polygon(out, one, cell_px);
        }
        many => {
            out.push_str("{\"type\":\"MultiPolygon\",\"coordinates\":[");
            for (i, p) in many.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "," });
                polygon(out, p, cell_px);
            }
            out.push(']');
        }
    }
    out.push('}');
}

fn polygon(out: &mut String, polygon: &Polygon, cell_px: f64) {
    out.push('[');
    for (i, ring) in std::iter::once(&polygon.shell).chain(&polygon.holes).enumerate() {
        out.push_str(if i == 0 { "[" } else { ",[" });
        for (j, (x, y)) in ring.iter().chain(ring.first()).enumerate() {
            let comma = if j == 0 { "" } else { "," };
            let _ = write!(out, "{comma}[{},{}]", pixels(*x, cell_px), pixels(*y, cell_px));
        }
        out.push(']');
    }
    out.push(']');
}

/// A corner in level-0 pixels, to a thousandth.
pub(super) fn pixels(corner: u32, cell_px: f64) -> f64 {
    (f64::from(corner) * cell_px * 1000.0).round() / 1000.0
}

/// JSON has no infinity.
pub(super) fn finite(v: f64) -> f64 {
    if v.is_finite() { v } else { 0.0 }
}

/// A UUID of version 8 (RFC 9562: the content is ours to choose) from the labels, the cell size and a number of its own.
fn uuid(content: &[u8], map: &SemanticMap, own: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(content);
    hash.update(map.cell_px.to_le_bytes());
    hash.update((map.columns as u64).to_le_bytes());
    hash.update([own]);
    let mut b = [0u8; 16];
    b.copy_from_slice(&hash.finalize()[..16]);
    b[6] = b[6] & 0x0f | 0x80;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|v| format!("{v:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
