//! Annotations painted over the map. In: GeoJSON (RFC 7946, coordinates in level-0 pixels) as QuPath exports it. Out: labels. A feature's
//! class is `properties.classification.name` (or `properties.label`, a number); it must be a class of the map by name, by label, or
//! "background". Holes are left as they were; later features lie above earlier ones. Points, lines and features without a geometry are
//! left out and counted.

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
    /// Features that are no polygons.
    pub left_out: usize,
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
        let mut out = Self { features: Vec::new(), left_out: 0 };
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
            if rings.is_empty() {
                out.left_out += 1;
            } else {
                out.features.push((class(&f["properties"], map, i)?, rings));
            }
        }
        if out.features.is_empty() { Err(bad("it holds no polygon")) } else { Ok(out) }
    }

    /// The middle of the box around them, level-0 pixels.
    pub fn middle(&self) -> [f64; 2] {
        let all = || self.features.iter().flat_map(|(_, rings)| rings.iter().flatten());
        [0, 1]
            .map(|k| all().map(|p| p[k]).fold(f64::INFINITY, f64::min) / 2.0 + all().map(|p| p[k]).fold(f64::NEG_INFINITY, f64::max) / 2.0)
    }

    /// Paints them over labels `[side, side]` of a place; how many pixels were painted comes back.
    pub fn paint(&self, labels: &mut [u8], side: usize, place: &Place) -> usize {
        let step = place.side_px / side as f64;
        let mut painted = 0;
        for (class, rings) in &self.features {
            let mut crossings = vec![Vec::new(); side];
            rings.iter().for_each(|r| cross(r, place, step, &mut crossings));
            for (line, at) in labels.chunks_exact_mut(side).zip(&mut crossings) {
                at.sort_by(f64::total_cmp);
                for pair in at.chunks_exact(2) {
                    // pixels whose middle lies between two crossings (even-odd rule)
                    let [from, to] = [pair[0], pair[1]].map(|x| ((x - place.x) / step - 0.5).ceil().clamp(0.0, side as f64) as usize);
                    let to = to.max(from); // a crossing of numbers too large to multiply is none, and is sorted anywhere
                    line[from..to].fill(*class);
                    painted += to - from;
                }
            }
        }
        painted
    }
}

/// Where a closed ring crosses the middles of the pixel rows, row by row.
fn cross(ring: &Ring, place: &Place, step: f64, out: &mut [Vec<f64>]) {
    // the first row whose middle lies at or below y
    let row = |y: f64| ((y - place.y) / step - 0.5).ceil().clamp(0.0, out.len() as f64) as usize;
    let edges: Vec<_> =
        ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| (a, b, row(a[1].min(b[1]))..row(a[1].max(b[1])))).collect();
    for (a, b, rows) in edges {
        for r in rows {
            let y = place.y + (r as f64 + 0.5) * step;
            out[r].push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
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
    // QuPath's name for what is not to be looked at; artefacts have it
    if ["background", "glass", "ignore*"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
        return Ok(0);
    }
    let found = map.classes.iter().find(|c| c.name.eq_ignore_ascii_case(name) || c.id.to_string() == name);
    found
        .map(|c| c.id)
        .ok_or_else(|| Error::parameter("regions", format!("feature {i} has the class `{name}`"), format!("the map has {}", listed(map))))
}
