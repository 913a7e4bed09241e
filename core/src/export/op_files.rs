//! What an op job leaves: the picture, its labels, and what the ops said. Only what was made from a synthetic picture says that it is.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::files;
use super::png_text::{Pixels, encode};
use crate::synth::SyntheticTile;
use crate::{Error, Result};

/// Writes `picture.png`, `labels.png` and `ops.json` into a folder, the last one last.
pub fn write_processed(dir: &Path, tile: &SyntheticTile, synthetic: bool) -> Result<Vec<PathBuf>> {
    files::make_dir(dir)?;
    let (width, height) = tile.rgb.dimensions();
    let mut marks = vec![("Software", format!("histoloom {}", env!("CARGO_PKG_VERSION")))];
    if synthetic {
        marks.push(("synthetic", "true".into()));
    }
    let mut full = marks.clone();
    full.push(("histoloom", tile.provenance.to_string()));
    let said = json!({
        "format": "histoloom-ops",
        "version": 1,
        "synthetic": if synthetic { json!(true) } else { Value::Null },
        "ops": tile.provenance["ops"],
        "flags": tile.flags.flags,
        "meaning": "a picture without flags is not flagged, never verified",
    });
    let said = serde_json::to_string_pretty(&said).map_err(|e| Error::internal(e.to_string()))?;
    let out = [
        ("labels.png", encode(width, height, Pixels::Grey(&tile.labels), &marks)?),
        ("picture.png", encode(width, height, Pixels::Rgb(tile.rgb.as_raw()), &full)?),
        ("ops.json", (said + "\n").into_bytes()),
    ];
    out.into_iter().map(|(name, bytes)| files::write(&dir.join(name), &bytes).map(|()| dir.join(name))).collect()
}
