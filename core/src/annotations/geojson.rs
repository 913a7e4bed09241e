//! GeoJSON: a FeatureCollection, an array of features, or one. A feature's class is `properties.classification`, a name or an object with
//! `name` and `color` `[r, g, b]`, as QuPath writes it, and `properties.label`, as we do.

use serde_json::Value;

use super::{Ring, Shape, Shapes};

pub(super) fn read(text: &str) -> Result<Shapes, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| format!("neither GeoJSON nor XML: {e}"))?;
    let features = match (&value, value["features"].as_array()) {
        (Value::Array(all), _) => all.as_slice(),
        (_, Some(all)) => all.as_slice(),
        _ => std::slice::from_ref(&value),
    };
    let mut out = Shapes::default();
    for (i, f) in features.iter().enumerate() {
        let rings = rings(&f["geometry"]).map_err(|why| format!("feature {i}: {why}"))?;
        if rings.is_empty() {
            out.left_out += 1;
            continue;
        }
        let class = &f["properties"]["classification"];
        out.shapes.push(Shape {
            class: class["name"].as_str().or_else(|| class.as_str()).map(str::to_owned),
            label: f["properties"]["label"].as_u64(),
            color: serde_json::from_value(class["color"].clone()).ok(),
            rings,
        });
    }
    Ok(out)
}

/// All rings of a polygon or several.
fn rings(geometry: &Value) -> Result<Vec<Ring>, String> {
    let read = |v: &Value| serde_json::from_value::<Vec<Vec<Vec<f64>>>>(v.clone()).map_err(|e| format!("no polygon: {e}"));
    let polygons = match geometry["type"].as_str() {
        Some("Polygon") => vec![read(&geometry["coordinates"])?],
        Some("MultiPolygon") => geometry["coordinates"].as_array().into_iter().flatten().map(read).collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    let point = |p: Vec<f64>| match p[..] {
        [x, y, ..] if x.is_finite() && y.is_finite() => Ok([x, y]),
        _ => Err("a point without two finite coordinates".to_owned()),
    };
    polygons.into_iter().flatten().map(|ring| ring.into_iter().map(point).collect()).collect()
}
