//! `map.json`: the map's numbers, the list of its files with their SHA-256, and its provenance. In and out: JSON text.
//!
//! JSON readers differ in the last bit of long decimals (serde_json's default parser is one of them). Numbers that would not
//! come back exactly stand a second time as text under `exact`, by JSON pointer, and are put right after parsing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::tree_files::{HistoryOf, TreeOf};
use crate::semantic_map::{Class, LeftOut};
use crate::{Error, Result};

/// What stands under `format`.
pub(super) const FORMAT: &str = "histoloom-map";
/// Raised when a reader of the older form would be misled.
pub(super) const VERSION: u32 = 2;

/// A file of the map's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FileOf {
    pub file: String,
    pub sha256: String,
}

/// A crop: where it was cut out, margin included, in level-0 pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CropOf {
    pub class: u8,
    pub x: i64,
    pub y: i64,
    pub side_px: [u32; 2],
    pub sha256: String,
}

/// The bank: `rows x channels` little-endian f32, and the class of each row as runs `[class, length]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BankOf {
    #[serde(flatten)]
    pub file: FileOf,
    pub rows: usize,
    pub channels: usize,
    pub class_runs: Vec<(u8, usize)>,
}

/// Why cells were left unlabelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ArtefactsOf {
    #[serde(flatten)]
    pub file: FileOf,
    pub left_out: Vec<LeftOut>,
}

/// The thumbnail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ThumbnailOf {
    #[serde(flatten)]
    pub file: FileOf,
    pub side_px: [u32; 2],
}

/// What an atlas says: the atlas, and the file with its distances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AtlasOf {
    #[serde(flatten)]
    pub file: FileOf,
    pub id_sha256: String,
    /// Share of the tissue beyond the bound, for readers of the file alone.
    pub unknown_share: f64,
}

/// The whole sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub format: String,
    pub version: u32,
    pub software: String,
    pub rows: usize,
    pub columns: usize,
    pub cell_px: f64,
    pub mpp: f64,
    pub work_mpp: f64,
    pub classes: Vec<Class>,
    pub labels: FileOf,
    pub thumbnail: ThumbnailOf,
    pub crops: Vec<CropOf>,
    pub bank: BankOf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tissue: Option<FileOf>,
    pub tree: Option<TreeOf>,
    pub history: Option<HistoryOf>,
    pub atlas: Option<AtlasOf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefacts: Option<ArtefactsOf>,
    pub provenance: Value,
}

/// The sidecar as text.
pub(super) fn to_text(sidecar: &Sidecar) -> Result<String> {
    let internal = |e: serde_json::Error| Error::internal(format!("map.json: {e}"));
    let mut value = serde_json::to_value(sidecar).map_err(internal)?;
    let back: Value = serde_json::from_str(&value.to_string()).map_err(internal)?;
    let mut exact = serde_json::Map::new();
    differing(&value, &back, String::new(), &mut exact);
    if !exact.is_empty() {
        value["exact"] = Value::Object(exact);
    }
    let mut text = serde_json::to_string_pretty(&value).map_err(internal)?;
    text.push('\n');
    Ok(text)
}

/// The sidecar from text; the error says what is wrong, without the file's name.
pub(super) fn from_text(text: &[u8]) -> std::result::Result<Sidecar, String> {
    let mut value: Value = serde_json::from_slice(text).map_err(|e| format!("not JSON: {e}"))?;
    let (format, version) = (value["format"].as_str().unwrap_or(""), value["version"].as_u64().unwrap_or(0));
    if format != FORMAT {
        return Err(format!("its format is {format:?}, not {FORMAT:?}"));
    }
    if version != u64::from(VERSION) {
        return Err(format!("it has version {version}, this program reads version {VERSION}"));
    }
    if let Value::Object(exact) = value["exact"].take() {
        for (pointer, number) in exact {
            let number = number.as_str().and_then(|t| t.parse::<f64>().ok()).ok_or_else(|| format!("exact{pointer} is no number"))?;
            *value.pointer_mut(&pointer).ok_or_else(|| format!("exact{pointer} points nowhere"))? = Value::from(number);
        }
    }
    serde_json::from_value(value).map_err(|e| e.to_string())
}

/// Collects the numbers of `a` that read back differently in `b`.
fn differing(a: &Value, b: &Value, at: String, out: &mut serde_json::Map<String, Value>) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for ((key, v), w) in x.iter().zip(y.values()) {
                differing(v, w, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        (Value::Array(x), Value::Array(y)) => {
            for (i, (v, w)) in x.iter().zip(y).enumerate() {
                differing(v, w, format!("{at}/{i}"), out);
            }
        }
        (Value::Number(x), y) if a != y => {
            out.insert(at, Value::String(x.to_string()));
        }
        _ => {}
    }
}

/// Runs of equal values.
pub(super) fn runs(values: &[u8]) -> Vec<(u8, usize)> {
    values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}
