//! Files of a calibration. In: scored tiles, tables, calibrations. Out: a folder of pictures with `planted.json`; `calibration.json` with
//! its sheet; and the same read back.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::de::DeserializeOwned;

use super::png_text::{Pixels, encode};
use super::{Shown, calibration_sheet, files, tile_files};
use crate::calibrate::{REAL, Sample, Table};
use crate::flags::Calibration;
use crate::{Error, Result};

/// Largest JSON read, in bytes.
const BYTES: usize = 64 << 20;
/// Largest picture read, in bytes.
const PNG_BYTES: usize = 4 << 20;
const TABLE: &str = "planted.json";
const TILES: &str = "tiles";

/// A folder that the tiles of one slide go to.
pub struct PlantedDir {
    dir: PathBuf,
    written: Vec<PathBuf>,
}

impl PlantedDir {
    /// Begins one; an error where the folder holds a table: its hours are not to be lost.
    pub fn create(dir: &Path) -> Result<Self> {
        let path = dir.join(TABLE);
        if path.exists() {
            return Err(Error::file("cannot write", &path, "it is there already", "give another folder, or move it away"));
        }
        files::make_dir(&dir.join(TILES))?;
        Ok(Self { dir: dir.into(), written: Vec::new() })
    }

    /// Writes a tile and its map.
    pub fn add(&mut self, sample: &Sample, rgb: &RgbImage, labels: &[u8]) -> Result<()> {
        let (w, h) = rgb.dimensions();
        // real tissue is not to be called synthetic
        let marks = if sample.kind == REAL { Vec::new() } else { tile_files::marks() };
        for (name, pixels) in
            [(format!("{}.png", sample.file()), Pixels::Rgb(rgb.as_raw())), (format!("{}_labels.png", sample.file()), Pixels::Grey(labels))]
        {
            files::write(&self.dir.join(TILES).join(name), &encode(w, h, pixels, &marks)?)?;
        }
        Ok(())
    }

    /// Writes the table, which makes the folder whole.
    pub fn finish(mut self, table: &Table) -> Result<Vec<PathBuf>> {
        self.written.push(put(&self.dir, TABLE, table)?);
        Ok(self.written)
    }
}

fn put(dir: &Path, name: &str, value: &impl serde::Serialize) -> Result<PathBuf> {
    let text = serde_json::to_string(value).map_err(|e| Error::internal(e.to_string()))?;
    let path = dir.join(name);
    files::write(&path, (text + "\n").as_bytes())?;
    Ok(path)
}

fn read<T: DeserializeOwned>(path: &Path, hint: &str) -> Result<(T, String)> {
    let bytes = files::read(path, BYTES, hint)?;
    let value = serde_json::from_slice(&bytes).map_err(|e| Error::file("cannot read", path, e, hint))?;
    Ok((value, files::sha256(&bytes)))
}

/// The table of a folder.
pub fn read_table(dir: &Path) -> Result<Table> {
    read(&dir.join(TABLE), "give a folder made by `histoloom flags plant`").map(|(table, _)| table)
}

/// A calibration and the SHA-256 of its file, hex.
pub fn read_calibration(path: &Path) -> Result<(Calibration, String)> {
    read(path, "give a calibration made by `histoloom flags calibrate`, or reinstall the models")
}

/// Writes a calibration and its sheet; `tests` are the folders tested on, with their tables.
pub fn write_calibration(dir: &Path, calibration: &Calibration, tests: &[(PathBuf, Table)]) -> Result<Vec<PathBuf>> {
    files::make_dir(dir)?;
    let shown: Vec<Shown<'_>> =
        tests.iter().enumerate().flat_map(|(slide, (_, t))| t.samples.iter().map(move |sample| Shown { sample, slide })).collect();
    let picture = |tile: &Shown<'_>| {
        let path = |ending: &str| tests.get(tile.slide).map(|(dir, _)| dir.join(TILES).join(format!("{}{ending}.png", tile.sample.file())));
        let open = |path: PathBuf| image::load_from_memory(&files::read(&path, PNG_BYTES, "").ok()?).ok();
        Some((open(path("")?)?.into_rgb8(), open(path("_labels")?)?.into_luma8().into_raw()))
    };
    let sheet = calibration_sheet(calibration, &shown, &picture);
    // it shows real tiles too, and says which; only what is all synthetic is marked so
    let png = encode(sheet.width(), sheet.height(), Pixels::Rgb(sheet.as_raw()), &tile_files::marks()[..1])?;
    let path = dir.join("calibration.png");
    files::write(&path, &png)?;
    Ok(vec![put(dir, "calibration.json", calibration)?, path])
}
