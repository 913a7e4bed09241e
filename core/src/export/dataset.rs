//! A run of tiles as a data set. In: tiles as they are finished. Out: their files, a contact sheet, a page to look at (`report.html`) and `manifest.json`, which a
//! trainer of segmentation networks reads: tiles, masks, classes, flags, seeds. Tiles with any flag are kept apart unless they are asked
//! for: they go to the folder `flagged` and stand under `flagged` in the manifest, not under `tiles`. Memory: only the tiles of the sheet are
//! kept.
//!
//! ```no_run
//! # fn f(map: &histoloom_core::semantic_map::SemanticMap, tiles: Vec<histoloom_core::synth::SyntheticTile>) -> histoloom_core::Result<()> {
//! let mut set = histoloom_core::export::DataSet::create("tiles".as_ref(), map, false)?;
//! for tile in tiles {
//!     set.add(tile, map)?;
//! }
//! set.finish(map)?;
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::png_text::{Pixels, encode};
use super::tiles_page::tiles_page;
use super::{contact_sheet, files, sheet, tile_files, tile_name, write_tile};
use crate::semantic_map::SemanticMap;
use crate::synth::SyntheticTile;
use crate::{Error, Result};

/// Largest manifest read, in bytes: the limit on tiles at some 1300 bytes each, most of them sentences of flags.
const MANIFEST_BYTES: usize = 128 << 20;

/// Folder of the tiles that are kept apart.
const FLAGGED: &str = "flagged";

/// A data set being written.
#[derive(Debug)]
pub struct DataSet {
    dir: PathBuf,
    shown: Vec<SyntheticTile>,
    keep_flagged: bool,
    tiles: Vec<Value>,
    flagged: Vec<Value>,
    classes: Value,
    written: Vec<PathBuf>,
    /// What the folder held before: nothing, or a data set.
    before: Option<Value>,
    /// What all tiles of it share, hashed.
    run: Option<String>,
}

/// SHA-256, hex, of what the tiles of one run have in common: software, map, models, device, parameters. Tiles of one run can share a
/// folder, as a tile with the same index is the same tile.
fn run_of(tile: &SyntheticTile) -> String {
    let mut shared = json!({});
    for key in ["software", "map", "models", "device", "parameters"] {
        shared[key] = tile.provenance[key].clone();
    }
    if let Some(parameters) = shared["parameters"].as_object_mut() {
        parameters.retain(|key, _| key != "first" && key != "n" && key != "keep_flagged");
    }
    Sha256::digest(shared.to_string()).iter().map(|b| format!("{b:02x}")).collect()
}

impl DataSet {
    /// Begins one in a folder, which is made if it is not there. If it holds tiles of the same run they stay and are listed;
    /// tiles of another run are never overwritten: [`DataSet::add`] refuses.
    pub fn create(dir: &Path, map: &SemanticMap, keep_flagged: bool) -> Result<Self> {
        files::make_dir(dir)?;
        let path = dir.join("manifest.json");
        let hint = "it lists the tiles of this folder; mend it, or choose another folder";
        let before = if path.is_file() {
            let bytes = files::read(&path, MANIFEST_BYTES, hint)?;
            Some(serde_json::from_slice(&bytes).map_err(|e| Error::file("cannot read", &path, e, hint))?)
        } else {
            None
        };
        let classes = map.classes.iter().map(|c| json!({"label": c.id, "name": c.name, "color": c.color})).collect();
        let (dir, tiles, flagged) = (dir.into(), Vec::new(), Vec::new());
        Ok(Self { dir, shown: Vec::new(), keep_flagged, tiles, flagged, classes, written: Vec::new(), before, run: None })
    }

    /// Writes a tile; its files come back.
    pub fn add(&mut self, tile: SyntheticTile, map: &SemanticMap) -> Result<Vec<PathBuf>> {
        self.admit(&tile)?;
        let mut paths = self.inputs(&tile)?;
        let apart = !self.keep_flagged && !tile.flags.flags.is_empty();
        Self::elsewhere(tile.index, &if apart { self.dir.clone() } else { self.dir.join(FLAGGED) })?;
        let (folder, at) = if apart { (self.dir.join(FLAGGED), format!("{FLAGGED}/")) } else { (self.dir.clone(), String::new()) };
        paths.extend(write_tile(&folder, &tile, map)?);
        let name = at + &tile_name(tile.index);
        let mut present = tile.labels.clone();
        present.sort_unstable();
        present.dedup();
        let reasons = tile.flags.reasons();
        for list in [&mut self.tiles, &mut self.flagged] {
            list.retain(|t| t["index"] != tile.index);
        }
        let list = if apart { &mut self.flagged } else { &mut self.tiles };
        list.push(json!({
            "index": tile.index,
            "seed": tile.provenance.pointer("/parameters/seed"),
            "image": format!("{name}.png"),
            "mask": format!("{name}_labels.png"),
            "flag_raster": format!("{name}_flags.png"),
            "flags": format!("{name}_flags.json"),
            "labels": present,
            "flag_codes": reasons.keys().collect::<Vec<_>>(),
            "flag_reasons": reasons,
            "calibrated": tile.flags.calibrated(),
        }));
        self.written.extend(paths.iter().cloned());
        if self.shown.len() < sheet::ROWS {
            self.shown.push(tile);
        }
        Ok(paths)
    }

    /// Takes away the files of an earlier making of a tile whose verdict was another.
    fn elsewhere(index: u32, folder: &Path) -> Result<()> {
        for name in tile_files::names(index) {
            let path = folder.join(name);
            if path.is_file() {
                std::fs::remove_file(&path).map_err(|e| Error::file("cannot remove", &path, e, "delete it, or choose another folder"))?;
            }
        }
        Ok(())
    }

    /// Keeps the files that the user named for the run, once.
    fn inputs(&self, tile: &SyntheticTile) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for input in tile.inputs.iter() {
            let path = self.dir.join(&input.name);
            if path.is_file() {
                let there = files::read(&path, input.bytes.len().max(1), "choose another folder, or put the file back")?;
                if there != input.bytes {
                    let why = "it was changed since the tiles of this folder were made with it";
                    return Err(Error::file("cannot use", &path, why, "choose another folder, or delete that file"));
                }
            } else {
                path.parent().map_or(Ok(()), files::make_dir)?;
                files::write(&path, &input.bytes)?;
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// At the first tile: takes over what the folder lists of this run, or refuses if it holds another.
    fn admit(&mut self, tile: &SyntheticTile) -> Result<()> {
        if self.run.is_some() {
            return Ok(());
        }
        let run = run_of(tile);
        if let Some(before) = self.before.take() {
            if before["run"] != run.as_str() {
                let why = "it holds the tiles of another run, which would be lost";
                return Err(Error::file("cannot write into", &self.dir, why, "choose another folder, or delete that one"));
            }
            self.tiles = before["tiles"].as_array().cloned().unwrap_or_default();
            self.flagged = before["flagged"].as_array().cloned().unwrap_or_default();
        }
        self.run = Some(run);
        Ok(())
    }

    /// Writes the contact sheet and the manifest; all files of the data set come back.
    pub fn finish(mut self, map: &SemanticMap) -> Result<Vec<PathBuf>> {
        for list in [&mut self.tiles, &mut self.flagged] {
            list.sort_by_key(|t| t["index"].as_u64());
        }
        let picture = contact_sheet(&self.shown, map);
        let png = encode(picture.width(), picture.height(), Pixels::Rgb(picture.as_raw()), &tile_files::marks())?;
        self.put("contact_sheet.png", &png)?;
        let page = tiles_page(&self.shown, map, &self.tiles, &self.flagged)?;
        self.put("report.html", page.as_bytes())?;
        let manifest = json!({
            "format": "histoloom-data-set",
            "version": 1,
            "software": format!("histoloom {}", env!("CARGO_PKG_VERSION")),
            "synthetic": true,
            "run": self.run,
            "work_mpp": map.work_mpp,
            "background_label": 0,
            "classes": self.classes.take(),
            "tiles": std::mem::take(&mut self.tiles),
            "flagged": std::mem::take(&mut self.flagged),
        });
        let text = serde_json::to_string_pretty(&manifest).map_err(|e| Error::internal(e.to_string()))?;
        self.put("manifest.json", (text + "\n").as_bytes())?;
        Ok(self.written)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.dir.join(name);
        files::write(&path, bytes)?;
        self.written.push(path);
        Ok(())
    }
}
