//! A synthetic tile's files, and reading back what they say. In: a tile and its map. Out: PNGs that say "synthetic" and carry
//! everything needed to make them again. Labels: one grey value a class, one pixel a pixel. Flag raster: one pixel a 32 px cell,
//! 255 = flagged.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::png_text::{Pixels, encode};
use super::staged::found;
use super::{atlas_files, files, index_file, png_text, sample_file, scrubbed};
use crate::flags::score::TileScores;
use crate::flags::{SCORES, TileFlags};
use crate::semantic_map::SemanticMap;
use crate::synth::SyntheticTile;
use crate::{Error, Result, limits};

/// Side of a cell of the flag raster, in pixels.
pub(super) const FLAG_CELL_PX: u32 = 32;
/// Largest PNG or JSON read by [`inspect`], in bytes.
const INSPECT_BYTES: usize = 128 << 20;

/// The name of a tile's files without ending; the first tile of a run (index 0) is `tile_0001`.
pub fn tile_name(index: u32) -> String {
    format!("tile_{:04}", u64::from(index) + 1)
}

/// Names of all files of a tile.
pub(super) fn names(index: u32) -> [String; 4] {
    ["_labels.png", "_flags.png", "_flags.json", ".png"].map(|ending| tile_name(index) + ending)
}

/// Writes a tile, its labels, its flag raster and its flags into a folder. The paths come back, the tile itself last, so that a
/// tile that is there is whole.
pub fn write_tile(dir: &Path, tile: &SyntheticTile, map: &SemanticMap) -> Result<Vec<PathBuf>> {
    let (width, height) = tile.rgb.dimensions();
    if tile.labels.len() != width as usize * height as usize {
        return Err(Error::internal(format!("{} labels for a tile of {width} x {height}", tile.labels.len())));
    }
    files::make_dir(dir)?;
    let name = tile_name(tile.index);
    let provenance = scrubbed(&tile.provenance);
    let (columns, rows, raster) = flag_raster(tile);
    let flags = serde_json::to_string_pretty(&flags_json(tile, columns, rows)).map_err(|e| Error::internal(e.to_string()))?;
    let short = marks();
    let mut full = marks();
    full.push(("parameters", readable(tile, map, &provenance)));
    full.push(("histoloom", provenance.to_string()));
    let out = [
        (format!("{name}_labels.png"), encode(width, height, Pixels::Grey(&tile.labels), &short)?),
        (format!("{name}_flags.png"), encode(columns, rows, Pixels::Grey(&raster), &short)?),
        (format!("{name}_flags.json"), (flags + "\n").into_bytes()),
        (format!("{name}.png"), encode(width, height, Pixels::Rgb(tile.rgb.as_raw()), &full)?),
    ];
    out.into_iter().map(|(name, bytes)| files::write(&dir.join(&name), &bytes).map(|()| dir.join(&name))).collect()
}

/// What every synthetic picture says of itself.
pub(super) fn marks() -> Vec<(&'static str, String)> {
    vec![("Software", format!("histoloom {}", env!("CARGO_PKG_VERSION"))), ("synthetic", "true".into())]
}

/// Columns, rows and one byte a cell of 32 px: 255 where a flag names the cell.
pub(super) fn flag_raster(tile: &SyntheticTile) -> (u32, u32, Vec<u8>) {
    let (columns, rows) = (tile.rgb.width().div_ceil(FLAG_CELL_PX).max(1), tile.rgb.height().div_ceil(FLAG_CELL_PX).max(1));
    let mut raster = vec![0; columns as usize * rows as usize];
    for (row, column) in tile.flags.flags.iter().filter_map(|f| f.cell).filter(|c| c.0 < rows && c.1 < columns) {
        raster[(row * columns + column) as usize] = 255;
    }
    (columns, rows, raster)
}

fn flags_json(tile: &SyntheticTile, columns: u32, rows: u32) -> Value {
    let planes: serde_json::Map<String, Value> = tile
        .flags
        .names
        .iter()
        .take(tile.flags.scores.channels)
        .enumerate()
        .map(|(i, name)| (name.clone(), tile.flags.scores.plane(i).iter().map(|v| rounded(*v)).collect()))
        .collect();
    json!({
        "format": "histoloom-flags",
        "version": 1,
        "synthetic": true,
        "meaning": "a tile without flags is not flagged, never verified",
        "calibrated": tile.flags.calibrated(),
        "calibration_sha256": tile.flags.calibration,
        "models": tile.provenance["models"],
        "seed": tile.provenance.pointer("/parameters/seed"),
        "rank": tile.flags.fused.map(|(rank, _)| rounded(rank)),
        "threshold": tile.flags.fused.map(|(_, tau)| rounded(tau)),
        "tile_scores": tile_scores(&tile.flags),
        "cell_px": FLAG_CELL_PX,
        "columns": columns,
        "rows": rows,
        "scores": planes,
        "flags": tile.flags.flags,
    })
}

/// One number a score by its name, null where nothing was judged.
pub(super) fn tile_scores(flags: &TileFlags) -> Value {
    let named = |s: TileScores| SCORES.iter().zip(s).map(|(score, v)| (score.name.to_owned(), rounded(v))).collect();
    flags.tile_scores.map_or(Value::Null, |s| Value::Object(named(s)))
}

/// A score to a millionth; what is not finite becomes null.
fn rounded(score: f32) -> Value {
    json!((f64::from(score) * 1e6).round() / 1e6)
}

/// The chunk that people read, in the form users of image generators know.
fn readable(tile: &SyntheticTile, map: &SemanticMap, provenance: &Value) -> String {
    let mut present: Vec<u8> = tile.labels.clone();
    present.sort_unstable();
    present.dedup();
    let names: Vec<&str> = map.classes.iter().filter(|c| present.contains(&c.id)).map(|c| c.name.as_str()).collect();
    let mut codes: Vec<&str> = tile.flags.flags.iter().map(|f| f.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let mut settings = vec![format!("Tile: {}", tile.index)];
    if let Some(Value::Object(parameters)) = provenance.get("parameters") {
        let plain = parameters.iter().filter(|(k, v)| !(v.is_null() || v.is_object() || *k == "n" || *k == "first"));
        settings.extend(plain.map(|(k, v)| format!("{k}: {}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))));
    }
    let flags = if codes.is_empty() { "none (not flagged is not verified)".into() } else { codes.join(", ") };
    format!("SYNTHETIC histology tile, not real tissue\nClasses: {}\nFlags: {flags}\n{}", names.join(", "), settings.join(", "))
}

/// A JSON file that says it is ours, or GeoJSON.
fn json_of_ours(bytes: &[u8]) -> std::result::Result<Value, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("neither PNG nor JSON: {e}"))?;
    let ours = value["format"].as_str().is_some_and(|f| f.starts_with("histoloom"));
    if ours || value["type"] == "FeatureCollection" { Ok(value) } else { Err("JSON, but none that Histoloom wrote".into()) }
}

/// What a file of ours says of itself: of a tile's PNG the texts, with `histoloom` parsed; of a JSON file its content; of a map's
/// folder its `map.json`. Errors: not a file of ours, damaged, or larger than anything we write.
pub fn inspect(path: &Path) -> Result<Value> {
    let hint = "give a PNG or JSON file that Histoloom wrote, or the folder of a map";
    let path = if path.is_dir() { &found(path, "map.json") } else { path };
    let bytes = files::read(path, INSPECT_BYTES, hint)?;
    if bytes.starts_with(sample_file::MAGIC) {
        return sample_file::inspected(&bytes).map_err(|why| Error::file("cannot read", path, why, hint));
    }
    if bytes.starts_with(index_file::MAGIC) {
        return index_file::inspected(&bytes).map_err(|why| Error::file("cannot read", path, why, hint));
    }
    if let Some(atlas) = atlas_files::inspected(&bytes) {
        return Ok(atlas);
    }
    if !bytes.starts_with(b"\x89PNG") {
        return json_of_ours(&bytes).map_err(|why| Error::file("cannot read", path, why, hint));
    }
    let mut out = serde_json::Map::new();
    for (key, text) in png_text::texts(&bytes, path)? {
        let value = match key.as_str() {
            "histoloom" if text.len() <= limits::TEXT_BYTES => serde_json::from_str(&text)
                .map_err(|e| Error::file("cannot read", path, format!("its `histoloom` text is not JSON: {e}"), hint))?,
            "synthetic" => Value::Bool(text == "true"),
            _ => Value::String(text),
        };
        out.insert(key, value);
    }
    if !out.contains_key("histoloom") && !out.get("Software").and_then(Value::as_str).is_some_and(|s| s.starts_with("histoloom")) {
        return Err(Error::file("cannot use", path, "a PNG without Histoloom's texts (was it edited or saved again?)", hint));
    }
    Ok(Value::Object(out))
}
