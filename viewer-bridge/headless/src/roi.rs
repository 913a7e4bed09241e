//! A region of interest from GeoJSON. In: a file as QuPath exports it. Out: polygons in level-0 pixels. Fails with the file's
//! name and what to try. Holes cannot be told to the library: they are filled, and the caller is told so.

use std::path::Path;

use serde_json::Value;

use crate::error::{Failure, Result};

/// Largest file read, in bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Deepest nesting of collections.
const DEPTH: usize = 8;

/// Polygons, and whether any had holes.
#[derive(Debug, Default, PartialEq)]
pub struct Roi {
    /// Outer rings, not closed.
    pub polygons: Vec<Vec<[f64; 2]>>,
    /// Whether holes were filled.
    pub holes_filled: bool,
}

/// Reads every Polygon and MultiPolygon of a GeoJSON file.
pub fn read(path: &Path) -> Result<Roi> {
    let bad = |why: String| {
        Failure::input(format!("region of interest `{}`: {why}; export the annotation from QuPath as GeoJSON", path.display()))
    };
    let meta = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?;
    if !meta.is_file() || meta.len() > FILE_BYTES {
        return Err(bad(format!("not a regular file of at most {FILE_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| bad(format!("not JSON: {e}")))?;
    let mut roi = Roi::default();
    collect(&value, DEPTH, &mut roi).map_err(bad)?;
    if roi.polygons.is_empty() {
        return Err(bad("no Polygon or MultiPolygon in it".into()));
    }
    Ok(roi)
}

fn collect(value: &Value, depth: usize, roi: &mut Roi) -> std::result::Result<(), String> {
    if depth == 0 {
        return Err(format!("nested deeper than {DEPTH} collections"));
    }
    let children = |key: &str| value[key].as_array().map(Vec::as_slice).unwrap_or_default();
    match value["type"].as_str() {
        Some("FeatureCollection") => children("features").iter().try_for_each(|v| collect(v, depth - 1, roi)),
        Some("GeometryCollection") => children("geometries").iter().try_for_each(|v| collect(v, depth - 1, roi)),
        Some("Feature") => collect(&value["geometry"], depth - 1, roi),
        Some("Polygon") => polygon(&value["coordinates"], roi),
        Some("MultiPolygon") => children("coordinates").iter().try_for_each(|v| polygon(v, roi)),
        _ if value.is_array() => value.as_array().into_iter().flatten().try_for_each(|v| collect(v, depth - 1, roi)),
        _ => Ok(()),
    }
}

fn polygon(rings: &Value, roi: &mut Roi) -> std::result::Result<(), String> {
    let rings: Vec<Vec<Vec<f64>>> = serde_json::from_value(rings.clone()).map_err(|e| format!("a polygon is not lists of points: {e}"))?;
    roi.holes_filled |= rings.len() > 1;
    let Some(outer) = rings.first() else { return Ok(()) };
    let mut ring = Vec::with_capacity(outer.len());
    for point in outer {
        match point[..] {
            // to a tenth of a pixel: a brush of QuPath writes fifteen digits
            [x, y, ..] if x.is_finite() && y.is_finite() => ring.push([x, y].map(|v| (v * 10.0).round() / 10.0)),
            _ => return Err(format!("{point:?} is no point")),
        }
    }
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    if ring.len() < 3 {
        return Err(format!("a polygon of {} points", ring.len()));
    }
    roi.polygons.push(ring);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Roi, String> {
        let mut roi = Roi::default();
        collect(&serde_json::from_str(text).unwrap(), DEPTH, &mut roi).map(|()| roi)
    }

    #[test]
    fn what_qupath_exports_becomes_open_rings() {
        let ring = "[[0,0],[4,0],[4,4],[0,0]]";
        let want = vec![vec![[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]];
        for text in [
            format!(r#"{{"type":"Polygon","coordinates":[{ring}]}}"#),
            format!(r#"[{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[{ring}]}}}}]"#),
            format!(
                r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","geometry":{{"type":"MultiPolygon","coordinates":[[{ring}]]}}}}]}}"#
            ),
        ] {
            assert_eq!(parse(&text).unwrap(), Roi { polygons: want.clone(), holes_filled: false }, "{text}");
        }
        assert!(parse(&format!(r#"{{"type":"Polygon","coordinates":[{ring},{ring}]}}"#)).unwrap().holes_filled);
        assert!(parse(r#"{"type":"Polygon","coordinates":[[[0,0],[1]]]}"#).is_err());
        assert!(parse(r#"{"type":"Polygon","coordinates":[[[0,0],[1,1]]]}"#).is_err());
        let deep = "[".repeat(20) + &"]".repeat(20);
        assert!(parse(&deep).unwrap_err().contains("deeper"));
        assert_eq!(parse(r#"{"type":"Point","coordinates":[1,2]}"#).unwrap(), Roi::default());
    }
}
