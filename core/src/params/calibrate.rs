//! Parameters of the jobs that calibrate flags.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DEVICE, Kind, OUT_DIR, Params, SEED, Synth, THREADS, Table, field, parse};
use crate::{Error, Result};

/// Parameters of a flags_plant job: a slide and its map -> scored tiles, some with faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plant {
    /// Folder of the slide's map.
    pub from: String,
    /// Tiles a kind of fault.
    pub n: u32,
    /// Real tiles held out.
    pub real: u32,
    /// Tiles of the model with nothing planted, on which faults of pixels and maps are planted.
    pub ordinary: u32,
    /// Seeds drawn for each of those, for S4; 1 = not measured.
    pub seeds: u32,
    /// Seed of places, dice and noise.
    pub seed: u64,
    /// Preset of the tiles.
    pub preset: String,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core.
    pub threads: usize,
    /// Folder for the tiles and their scores.
    pub out_dir: Option<String>,
}

impl Params for Plant {
    const KIND: &'static str = "flags_plant";

    fn table() -> Table {
        Table(vec![
            field("from", "Folder of the map", Kind::Text, || json!(""), "Folder of the slide's map, made by a cluster job"),
            field("n", "Tiles per kind of fault", Kind::Integer(2, 4096), || json!(20), "Tiles a kind of fault"),
            field("real", "Real tiles held out", Kind::Integer(8, 4096), || json!(60), "Real tiles held out"),
            field(
                "ordinary",
                "Tiles with nothing planted",
                Kind::Integer(8, 4096),
                || json!(60),
                "Tiles of the model with nothing planted; others are made from them",
            ),
            field(
                "seeds",
                "Seeds that must agree",
                Kind::Integer(1, 8),
                || json!(1),
                "Seeds drawn for each of those: S4 gets a reference; 1 = not measured",
            ),
            SEED,
            field("preset", "Preset of the tiles", Kind::Text, || json!("default"), "Preset of the tiles"),
            DEVICE,
            THREADS,
            OUT_DIR,
        ])
    }

    fn check(&self) -> Result<()> {
        if self.from.is_empty() {
            return Err(Error::parameter("from", "is missing", "give the folder of the slide's map, made by a cluster job"));
        }
        self.tiles().map(drop)
    }
}

impl Plant {
    /// The parameters of its tiles.
    pub fn tiles(&self) -> Result<Synth> {
        parse(&json!({"preset": self.preset, "seed": self.seed, "n": 1, "ops": []}).to_string())
    }
}

/// Parameters of a flags_calibrate job: folders of flags_plant jobs -> a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrate {
    /// Folders of slides that ranks and threshold come from.
    pub calibrate: Vec<String>,
    /// Folders of slides they are tested on.
    pub test: Vec<String>,
    /// Largest share of faults that may be missed.
    pub alpha: f64,
    /// Folder for `calibration.json` and its sheet.
    pub out_dir: Option<String>,
}

impl Params for Calibrate {
    const KIND: &'static str = "flags_calibrate";

    fn table() -> Table {
        Table(vec![
            field(
                "calibrate",
                "Folders to calibrate from",
                Kind::List,
                || json!([]),
                "Folders of flags_plant jobs that ranks and threshold come from",
            ),
            field(
                "test",
                "Folders to test on",
                Kind::List,
                || json!([]),
                "Folders of flags_plant jobs of other slides, which they are tested on",
            ),
            field(
                "alpha",
                "Share of faults that may be missed",
                Kind::Number(0.005, 0.5),
                || json!(0.05),
                "Largest share of faults that may be missed",
            ),
            OUT_DIR,
        ])
    }

    fn check(&self) -> Result<()> {
        for (name, folders) in [("calibrate", &self.calibrate), ("test", &self.test)] {
            if folders.is_empty() {
                return Err(Error::parameter(name, "is empty", "give at least one folder of a flags_plant job for each"));
            }
        }
        Ok(())
    }
}

/// Parameters of a flags_index job: a slide -> an index of pictures a tile must not repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexSlide {
    /// Index that the slide is added to, null = a new one.
    pub add_to: Option<String>,
    /// File of the index.
    pub file: String,
    /// Micrometres per level-0 pixel, if the slide does not tell.
    pub mpp: Option<f64>,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core.
    pub threads: usize,
}

impl Params for IndexSlide {
    const KIND: &'static str = "flags_index";

    fn table() -> Table {
        Table(vec![
            field(
                "add_to",
                "Index to add to",
                Kind::Text,
                || Value::Null,
                "Index file that the slide is added to; without it a new one is made",
            ),
            field("file", "Index file", Kind::Text, || json!(""), "File for the index"),
            field(
                "mpp",
                "Micrometres per pixel",
                Kind::Number(0.05, 16.0),
                || Value::Null,
                "Micrometres per level-0 pixel, if the slide does not tell",
            ),
            DEVICE,
            THREADS,
        ])
    }

    fn check(&self) -> Result<()> {
        if self.file.is_empty() {
            return Err(Error::parameter("file", "is missing", "give a file for the index"));
        }
        Ok(())
    }
}
