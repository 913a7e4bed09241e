//! An evaluation's files. In: a report and its sheet. Out: `eval.json` and `eval.png`.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::json;

use super::png_text::{Pixels, encode};
use super::{files, tile_files};
use crate::eval::Report;
use crate::{Error, Result};

/// An error where a folder holds an evaluation: its hours are not to be lost.
pub fn check_report(dir: &Path) -> Result<()> {
    if dir.join("eval.json").exists() {
        return Err(Error::file("cannot write", &dir.join("eval.json"), "it is there already", "give another folder, or move it away"));
    }
    Ok(())
}

/// Writes both into a folder, which is made if it is not there; the paths come back.
pub fn write_report(dir: &Path, report: &Report, sheet: &RgbImage) -> Result<Vec<PathBuf>> {
    files::make_dir(dir)?;
    check_report(dir)?;
    let whole =
        json!({"format": "histoloom-eval", "version": 1, "software": format!("histoloom {}", env!("CARGO_PKG_VERSION")), "report": report});
    let text = serde_json::to_string_pretty(&whole).map_err(|e| Error::internal(e.to_string()))?;
    let png = encode(sheet.width(), sheet.height(), Pixels::Rgb(sheet.as_raw()), &tile_files::marks())?;
    let out = [("eval.png", png), ("eval.json", (text + "\n").into_bytes())];
    out.into_iter().map(|(name, bytes)| files::write(&dir.join(name), &bytes).map(|()| dir.join(name))).collect()
}
