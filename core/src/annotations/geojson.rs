//! GeoJSON: a FeatureCollection, an array of features, or one. A feature's class is `properties.classification`, a name or an object with
//! `name`, or `names` of a derived class, and `color` `[r, g, b]`, as QuPath writes it, and `properties.label`, as we do. Each part of a
//! feature of several polygons is a region: where two overlap, both are inside.

use serde_json::Value;

use super::{PSEUDO_SEMANTIC, Ring, Shape, Shapes, cleaned};

/// Objects that a program finds, as QuPath names them.
const FOUND: [&str; 4] = ["cell", "detection", "tile", "tmaCore"];
/// Geometries that hold regions.
const AREAS: [&str; 3] = ["Polygon", "MultiPolygon", "GeometryCollection"];

pub(super) fn read(text: &str) -> Result<Shapes, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| match e.is_eof() && !text.is_empty() {
        true => format!("the JSON ends too early ({e}): is the file cut off?"),
        false => format!("neither GeoJSON nor XML: {e}"),
    })?;
    let features = match (&value, value["features"].as_array()) {
        (Value::Array(all), _) => all.as_slice(),
        (_, Some(all)) => all.as_slice(),
        _ => std::slice::from_ref(&value),
    };
    let mut out = Shapes::default();
    let (mut found, mut found_named, mut bare) = (Vec::new(), false, false);
    for (i, f) in features.iter().enumerate() {
        let properties = &f["properties"];
        let name = properties["name"].as_str();
        let polygons = polygons(&f["geometry"]).map_err(|why| format!("feature {i}{}: {why}", called(f)))?;
        if polygons.is_empty() {
            bare |= f["type"].as_str().is_some_and(|t| AREAS.contains(&t));
            out.left_out += 1;
            continue;
        }
        let classification = &properties["classification"];
        let class = class(classification);
        let kind = properties["metadata"]["kind"].as_str().unwrap_or_default();
        let named = class.is_none() && name.is_some_and(|n| !n.trim().is_empty());
        let shape = |rings| Shape {
            class: class.clone(),
            label: properties["label"].as_u64(),
            color: color(classification),
            made_by_hand: !kind.contains(PSEUDO_SEMANTIC),
            rings,
        };
        let shapes = polygons.into_iter().map(shape);
        if properties["objectType"].as_str().is_some_and(|t| FOUND.contains(&t)) {
            found_named |= named;
            out.detections += 1;
            found.extend(shapes);
        } else {
            out.named |= named;
            out.shapes.extend(shapes);
        }
    }
    if !out.shapes.iter().any(|s| s.class.is_some() || s.label.is_some()) {
        out.shapes.append(&mut found);
        out.named |= found_named;
        out.detections = 0;
    }
    if bare && out.shapes.is_empty() { Err("a bare geometry: it has no class".into()) } else { Ok(out) }
}

/// What a feature is called, for an error.
fn called(feature: &Value) -> String {
    let id = match &feature["id"] {
        Value::Number(n) => Some(n.to_string()),
        other => other.as_str().map(str::to_owned),
    };
    let name = feature["properties"]["name"].as_str().and_then(cleaned);
    let called = name.or_else(|| cleaned(&id?));
    called.map_or_else(String::new, |called| format!(" (`{}`)", called.chars().take(80).collect::<String>()))
}

/// The class's name; a derived class has several, as `Tumor: Positive`.
fn class(classification: &Value) -> Option<String> {
    let names = || Some(classification["names"].as_array()?.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(": "));
    classification.as_str().or_else(|| classification["name"].as_str()).map(str::to_owned).or_else(names)
}

/// `color` of three numbers, or of four with the opacity last, or `#rrggbb` as other programs write it; `colorRGB` of earlier versions, one
/// number with a sign.
fn color(classification: &Value) -> Option<[u8; 3]> {
    if let Some(hex) = classification["color"].as_str() {
        return super::hex_color(hex);
    }
    let byte = |v: &Value| u8::try_from(v.as_u64()?).ok();
    if let Some([r, g, b] | [r, g, b, _]) = classification["color"].as_array().map(Vec::as_slice) {
        return Some([byte(r)?, byte(g)?, byte(b)?]);
    }
    let [_, r, g, b] = (classification["colorRGB"].as_i64()? as u32).to_be_bytes();
    Some([r, g, b])
}

/// The polygons of a geometry, each with its holes.
fn polygons(geometry: &Value) -> Result<Vec<Vec<Ring>>, String> {
    let all = |name: &str| geometry[name].as_array().into_iter().flatten();
    let read: Vec<Vec<Ring>> = match geometry["type"].as_str() {
        Some("Polygon") => vec![polygon(&geometry["coordinates"])?],
        Some("MultiPolygon") => all("coordinates").map(polygon).collect::<Result<_, _>>()?,
        Some("GeometryCollection") => all("geometries").map(polygons).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
        _ => Vec::new(),
    };
    Ok(read.into_iter().filter(|rings| !rings.iter().all(Vec::is_empty)).collect())
}

fn polygon(coordinates: &Value) -> Result<Vec<Ring>, String> {
    let rings: Vec<Vec<Vec<f64>>> = serde_json::from_value(coordinates.clone()).map_err(|e| format!("no polygon: {e}"))?;
    let point = |p: Vec<f64>| match p[..] {
        [x, y, ..] if x.is_finite() && y.is_finite() => Ok([x, y]),
        _ => Err("a point without two finite coordinates".to_owned()),
    };
    rings.into_iter().map(|ring| ring.into_iter().map(point).collect()).collect()
}
