//! What a tile says of itself. In: everything that made it. Out: JSON with which, and the map's folder, it can be made again.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::plan::Plan;
use super::run::Nets;
use crate::condition::Chosen;
use crate::diffuse::ddim::EpsDenoiser;
use crate::flags::TileFlags;
use crate::semantic_map::SemanticMap;
use crate::{Error, Result, params};

/// SHA-256, hex, of everything in a map that a tile's pixels can depend on: labels, scale, classes, crops, bank. Thumbnail, colours and
/// provenance are left out.
pub fn fingerprint(map: &SemanticMap) -> String {
    let mut h = Sha256::new();
    let number = |h: &mut Sha256, n: usize| h.update((n as u64).to_le_bytes());
    number(&mut h, map.rows);
    number(&mut h, map.columns);
    h.update(&map.labels);
    for v in [map.cell_px, map.mpp, map.work_mpp] {
        h.update(v.to_le_bytes());
    }
    number(&mut h, map.crops.len());
    for c in &map.crops {
        h.update([c.class]);
        h.update(c.x.to_le_bytes());
        h.update(c.y.to_le_bytes());
        number(&mut h, c.rgb.width() as usize);
        number(&mut h, c.rgb.height() as usize);
        h.update(c.rgb.as_raw());
    }
    number(&mut h, map.bank.channels);
    number(&mut h, map.bank.classes.len());
    h.update(&map.bank.classes);
    for v in &map.bank.rows {
        h.update(v.to_le_bytes());
    }
    hex(&h.finalize())
}

/// What all tiles of a run share.
pub(super) struct Common {
    shared: Value,
    parameters: params::Synth,
    /// Crops of the map itself; those behind them came from files.
    of_map: usize,
    crop_files: Vec<String>,
}

impl Common {
    /// For the map as it came, and the names of the files whose crops stand behind its own.
    pub(super) fn new(map: &SemanticMap, nets: &Nets<'_>, parameters: &params::Synth, crop_files: &[String]) -> Self {
        let mut hashes = Map::new();
        collect_hashes(&map.provenance, "", &mut hashes);
        let shared = json!({
            "synthetic": true,
            "software": {"name": "histoloom", "version": env!("CARGO_PKG_VERSION")},
            "kind": "tile",
            "map": {"sha256": fingerprint(map), "work_mpp": map.work_mpp, "mpp": map.mpp, "hashes": hashes},
            "models": {
                "codec": {"sha256": nets.codec.sha256()},
                "denoiser": {"sha256": nets.published.map_or_else(|| nets.denoiser.sha256(), EpsDenoiser::sha256)},
                "refiner": nets.refiner.filter(|_| parameters.refine).map(|r| json!({"sha256": r.sha256()})),
                "encoder": {"id": nets.encoder.id(), "sha256": nets.encoder.sha256()},
            },
            "device": nets.device,
        });
        Self { shared, parameters: parameters.clone(), of_map: map.crops.len(), crop_files: crop_files.to_vec() }
    }

    /// The provenance of one tile. `parameters` are those that make this tile alone, without folders, and without what never
    /// changes it: the number of threads, which calibration (its hash stands beside them) and where flagged tiles go.
    pub(super) fn of(&self, map: &SemanticMap, plan: &Plan, flags: &TileFlags, made: &Made<'_>) -> Result<Value> {
        let parameters = params::Synth {
            n: 1,
            first: plan.index,
            from: None,
            out_dir: None,
            ops_dir: None,
            threads: 0,
            calibration: None,
            keep_flagged: false,
            ..self.parameters.clone()
        };
        let parameters = serde_json::to_value(&parameters).map_err(|e| Error::internal(e.to_string()))?;
        let mut out = self.shared.clone();
        out["index"] = json!(plan.index);
        out["parameters"] = parameters;
        let at = plan.layout.place.as_ref();
        out["place"] = json!(at.map(|p| json!({"x": p.x, "y": p.y, "side_px": p.side_px, "tissue": p.tissue, "entropy": p.entropy})));
        out["crops"] = self.crops(map, plan);
        out["classes_without_crop"] = json!(plan.choice.unknown);
        out["ops"] = json!(made.ops);
        out["withheld"] = json!(made.withheld);
        out["calibration_sha256"] = json!(flags.calibration);
        out["notes"] = json!(made.notes);
        Ok(out)
    }

    /// Each crop in the order A, B: of the map with its position on the slide, else with its file.
    fn crops(&self, map: &SemanticMap, plan: &Plan) -> Value {
        let one = |class: u8, slot: &str, c: &Chosen| {
            let crop = map.crops.get(c.index);
            let on_slide = crop.filter(|_| c.index < self.of_map);
            json!({
                "class": class,
                "slot": slot,
                "index": c.index,
                "x": on_slide.map(|c| c.x),
                "y": on_slide.map(|c| c.y),
                "file": c.index.checked_sub(self.of_map).and_then(|i| self.crop_files.get(i)),
                "side_px": crop.map(|c| c.rgb.width()),
                "phase": [c.phase.0, c.phase.1],
            })
        };
        plan.choice.known.iter().flat_map(|(class, [a, b])| [one(*class, "A", a), one(*class, "B", b)]).collect()
    }
}

/// What became of a tile.
pub(super) struct Made<'a> {
    pub(super) ops: &'a [Value],
    pub(super) withheld: bool,
    pub(super) notes: &'a [String],
}

/// Every text of the map's provenance whose key says that it is a hash, by its path.
fn collect_hashes(value: &Value, path: &str, out: &mut Map<String, Value>) {
    let Value::Object(fields) = value else { return };
    for (key, v) in fields {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match v {
            Value::String(_) if key.contains("sha256") || key.contains("hash") => drop(out.insert(at, v.clone())),
            _ => collect_hashes(v, &at, out),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
