//! A run of tiles as a data set. In: tiles as they are finished. Out: their files, a contact sheet and `manifest.json`, which a
//! trainer of segmentation networks reads: tiles, masks, classes, flags, seeds. Memory: only the tiles of the sheet are kept.
//!
//! ```no_run
//! # fn f(map: &histoloom_core::semantic_map::SemanticMap, tiles: Vec<histoloom_core::synth::SyntheticTile>) -> histoloom_core::Result<()> {
//! let mut set = histoloom_core::export::DataSet::create("tiles".as_ref(), map)?;
//! for tile in tiles {
//!     set.add(tile, map)?;
//! }
//! set.finish(map)?;
//! # Ok(())
//! # }
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::png_text::{Pixels, encode};
use super::{contact_sheet, files, sheet, tile_files, tile_name, write_tile};
use crate::semantic_map::SemanticMap;
use crate::synth::SyntheticTile;
use crate::{Error, Result};

/// A data set being written.
#[derive(Debug)]
pub struct DataSet {
    dir: PathBuf,
    shown: Vec<SyntheticTile>,
    tiles: Vec<Value>,
    classes: Value,
    written: Vec<PathBuf>,
}

impl DataSet {
    /// Begins one in a folder, which is made if it is not there.
    pub fn create(dir: &Path, map: &SemanticMap) -> Result<Self> {
        files::make_dir(dir)?;
        let classes = map.classes.iter().map(|c| json!({"label": c.id, "name": c.name, "color": c.color})).collect();
        Ok(Self { dir: dir.into(), shown: Vec::new(), tiles: Vec::new(), classes, written: Vec::new() })
    }

    /// Writes a tile; its files come back.
    pub fn add(&mut self, tile: SyntheticTile, map: &SemanticMap) -> Result<Vec<PathBuf>> {
        let paths = write_tile(&self.dir, &tile, map)?;
        let name = tile_name(tile.index);
        let mut present = tile.labels.clone();
        present.sort_unstable();
        present.dedup();
        let mut codes: Vec<&str> = tile.flags.flags.iter().map(|f| f.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        self.tiles.push(json!({
            "index": tile.index,
            "seed": tile.provenance.pointer("/parameters/seed"),
            "image": format!("{name}.png"),
            "mask": format!("{name}_labels.png"),
            "flag_raster": format!("{name}_flags.png"),
            "flags": format!("{name}_flags.json"),
            "labels": present,
            "flag_codes": codes,
            "calibrated": tile.flags.calibrated,
        }));
        self.written.extend(paths.iter().cloned());
        if self.shown.len() < sheet::ROWS {
            self.shown.push(tile);
        }
        Ok(paths)
    }

    /// Writes the contact sheet and the manifest; all files of the data set come back.
    pub fn finish(mut self, map: &SemanticMap) -> Result<Vec<PathBuf>> {
        let picture = contact_sheet(&self.shown, map);
        let png = encode(picture.width(), picture.height(), Pixels::Rgb(picture.as_raw()), &tile_files::marks())?;
        self.put("contact_sheet.png", &png)?;
        let manifest = json!({
            "format": "histoloom-data-set",
            "version": 1,
            "software": format!("histoloom {}", env!("CARGO_PKG_VERSION")),
            "synthetic": true,
            "work_mpp": map.work_mpp,
            "background_label": 0,
            "classes": self.classes.take(),
            "tiles": std::mem::take(&mut self.tiles),
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
