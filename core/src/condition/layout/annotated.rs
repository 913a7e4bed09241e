//! Annotations painted over the map. In: GeoJSON (RFC 7946, coordinates in level-0 pixels) as QuPath exports it. Out: labels. A feature's
//! class is `properties.classification.name` (or `properties.label`, a number); it must be a class of the map by name, by label, or
//! "background". Holes are left as they were; later features lie above earlier ones.

use serde_json::Value;

use super::{known, listed};
use crate::condition::Place;
use crate::semantic_map::SemanticMap;
use crate::{Error, Result};

/// Most points of all rings together.
const POINTS: usize = 4_000_000;

/// Regions with their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotations {
    features: Vec<(u8, Vec<Ring>)>,
}

type Ring = Vec<[f64; 2]>;

fn bad(why: impl Into<String>) -> Error {
    Error::parameter("regions", why, "export the annotations from QuPath as GeoJSON, each with a class of the map")
}

impl Annotations {
    /// Reads GeoJSON for a map.
    pub fn read(text: &str, map: &SemanticMap) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|e| bad(format!("not JSON: {e}")))?;
        let features = match (&value, value["features"].as_array()) {
            (Value::Array(all), _) => all.as_slice(),
            (_, Some(all)) => all.as_slice(),
            _ => std::slice::from_ref(&value),
        };
        let mut out = Self { features: Vec::new() };
        let mut points = 0;
        for (i, f) in features.iter().enumerate() {
            let rings = rings(&f["geometry"]).map_err(|why| bad(format!("feature {i}: {why}")))?;
            points += rings.iter().map(Vec::len).sum::<usize>();
            if points > POINTS {
                let hint = "simplify the outlines".to_owned();
                return Err(Error::Limit {
                    field: "regions".into(),
                    value: format!("{points} points"),
                    limit: format!("{POINTS} points"),
                    hint,
                });
            }
            if !rings.is_empty() {
                out.features.push((class(&f["properties"], map, i)?, rings));
            }
        }
        if out.features.is_empty() { Err(bad("it holds no polygon")) } else { Ok(out) }
    }

    /// Upper left corner of what they cover, level-0 pixels.
    pub fn corner(&self) -> [f64; 2] {
        let all = || self.features.iter().flat_map(|(_, rings)| rings.iter().flatten());
        [0, 1].map(|k| all().map(|p| p[k]).fold(f64::INFINITY, f64::min))
    }

    /// Paints them over labels `[side, side]` of a place.
    pub fn paint(&self, labels: &mut [u8], side: usize, place: &Place) {
        let step = place.side_px / side as f64;
        let mut crossings = Vec::new();
        for (class, rings) in &self.features {
            for (row, line) in labels.chunks_exact_mut(side).enumerate() {
                let y = place.y + (row as f64 + 0.5) * step;
                crossings.clear();
                rings.iter().for_each(|r| cross(r, y, &mut crossings));
                crossings.sort_by(f64::total_cmp);
                for pair in crossings.chunks_exact(2) {
                    // pixels whose middle lies between two crossings (even-odd rule)
                    let at = |x: f64| ((x - place.x) / step - 0.5).ceil().clamp(0.0, side as f64) as usize;
                    line[at(pair[0])..at(pair[1])].fill(*class);
                }
            }
        }
    }
}

/// Where a closed ring crosses a horizontal line.
fn cross(ring: &Ring, y: f64, out: &mut Vec<f64>) {
    for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        if (a[1] <= y) != (b[1] <= y) {
            out.push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
        }
    }
}

/// All rings of a polygon or several.
fn rings(geometry: &Value) -> std::result::Result<Vec<Ring>, String> {
    let read = |v: &Value| serde_json::from_value::<Vec<Vec<Vec<f64>>>>(v.clone()).map_err(|e| format!("no polygon: {e}"));
    let polygons = match geometry["type"].as_str() {
        Some("Polygon") => vec![read(&geometry["coordinates"])?],
        Some("MultiPolygon") => {
            geometry["coordinates"].as_array().into_iter().flatten().map(read).collect::<std::result::Result<_, _>>()?
        }
        _ => Vec::new(),
    };
    let point = |p: Vec<f64>| match p[..] {
        [x, y, ..] if x.is_finite() && y.is_finite() => Ok([x, y]),
        _ => Err("a point without two finite coordinates".to_owned()),
    };
    polygons.into_iter().flatten().map(|ring| ring.into_iter().map(point).collect()).collect()
}

/// The label of a feature.
fn class(properties: &Value, map: &SemanticMap, i: usize) -> Result<u8> {
    if let Some(n) = properties["label"].as_u64() {
        let label = u8::try_from(n).map_err(|_| bad(format!("feature {i} has label {n}")))?;
        known(map, "regions", [label])?;
        return Ok(label);
    }
    let c = &properties["classification"];
    let Some(name) = c["name"].as_str().or_else(|| c.as_str()) else { return Err(bad(format!("feature {i} has no class"))) };
    if name.eq_ignore_ascii_case("background") || name.eq_ignore_ascii_case("glass") {
        return Ok(0);
    }
    let found = map.classes.iter().find(|c| c.name.eq_ignore_ascii_case(name) || c.id.to_string() == name);
    found
        .map(|c| c.id)
        .ok_or_else(|| Error::parameter("regions", format!("feature {i} has the class `{name}`"), format!("the map has {}", listed(map))))
}
