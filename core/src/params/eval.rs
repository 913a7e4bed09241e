//! Parameters of an eval job.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Error, Result};

use super::{DEVICE, Kind, OUT_DIR, Params, SEED, Synth, THREADS, Table, field, parse};

/// Parameters of an eval job: a slide and its map -> how good the tiles are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Eval {
    /// Folder of the slide's map.
    pub from: String,
    /// Folder of another slide's map, whose crops are shown in one of the sets.
    pub other: Option<String>,
    /// Tiles a set.
    pub n: u32,
    /// Seed of places, crops and noise.
    pub seed: u64,
    /// Preset of the tiles.
    pub preset: String,
    /// Whether sets are made with parts of the condition left out too, not only the one that is made as `synth` does.
    pub ablations: bool,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core.
    pub threads: usize,
    /// Folder for the report and the sheet.
    pub out_dir: Option<String>,
}

impl Params for Eval {
    const KIND: &'static str = "eval";

    fn table() -> Table {
        Table(vec![
            field("from", "Folder of the map", Kind::Text, || json!(""), "Folder of the slide's map, made by a cluster job"),
            field(
                "other",
                "Folder of another slide's map",
                Kind::Text,
                || Value::Null,
                "Folder of another slide's map, whose crops are shown in one of the sets",
            ),
            field("n", "Tiles per set", Kind::Integer(10, 4096), || json!(32), "Tiles a set"),
            SEED,
            field("preset", "Preset of the tiles", Kind::Text, || json!("default"), "Preset of the tiles"),
            field(
                "ablations",
                "Leave out parts of the condition too",
                Kind::Flag,
                || json!(true),
                "Make sets with parts of the condition left out too, not only the one with map and crops as tiles are made",
            ),
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

impl Eval {
    /// The parameters of its tiles.
    pub fn tiles(&self) -> Result<Synth> {
        parse(&json!({"preset": self.preset, "seed": self.seed, "ops": []}).to_string())
    }
}
