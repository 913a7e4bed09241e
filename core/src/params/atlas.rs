//! Parameters of the atlas jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CACHE_DIR, DEVICE, ENCODER, FORCE, Field, Kind, MPP, Params, ROI, SEED, THREADS, Table, check_roi, field};
use crate::{Error, Result, limits};

/// Rows of a slide's sample, where it is not said.
const SLIDE_ROWS: i64 = 4096;
/// Most rows of a slide's sample.
const MOST_SLIDE_ROWS: i64 = 1 << 16;

/// Parameters of an `atlas_sample` job: slide -> sample file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtlasSample {
    /// The file to write. Must be given.
    pub out: Option<String>,
    /// Most rows taken from the slide.
    pub rows: usize,
    /// Micrometres per level-0 pixel; needed only where the slide does not tell.
    pub mpp: Option<f64>,
    /// Polygons in level-0 pixels: only tissue inside one is sampled.
    pub roi: Option<Vec<Vec<[f64; 2]>>>,
    /// Seed of the choice; the same for all slides of an atlas.
    pub seed: u64,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core. Never changes the result.
    pub threads: usize,
    /// Folder where embeddings are kept, for the `cluster` job that comes later.
    pub cache_dir: Option<String>,
    /// Folder of an imported encoder that finds the classes instead of the default one.
    pub encoder: Option<String>,
    /// Go on although the stain does not look like H&E.
    pub force: bool,
}

impl Params for AtlasSample {
    const KIND: &'static str = "atlas_sample";

    fn table() -> Table {
        Table(vec![
            OUT,
            field(
                "rows",
                "Most rows of the slide",
                Kind::Integer(64, MOST_SLIDE_ROWS),
                || json!(SLIDE_ROWS),
                "Most rows taken from the slide",
            ),
            MPP,
            ROI,
            SEED,
            DEVICE,
            THREADS,
            CACHE_DIR,
            ENCODER,
            FORCE,
        ])
    }

    fn check(&self) -> Result<()> {
        check_given("out", self.out.as_ref(), "name the file for the sample")?;
        check_roi(self.roi.as_deref())
    }
}

/// Parameters of an `atlas_merge` job: sample files -> one sample file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtlasMerge {
    /// Sample files, or folders of them.
    pub samples: Vec<String>,
    /// The file to write. Must be given.
    pub out: Option<String>,
}

impl Params for AtlasMerge {
    const KIND: &'static str = "atlas_merge";

    fn table() -> Table {
        Table(vec![SAMPLES, OUT])
    }

    fn check(&self) -> Result<()> {
        check_samples(&self.samples)?;
        check_given("out", self.out.as_ref(), "name the file for the merged sample")
    }
}

/// Parameters of an `atlas_fit` job: sample files -> atlas file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtlasFit {
    /// Sample files, or folders of them.
    pub samples: Vec<String>,
    /// The file to write. Must be given.
    pub out: Option<String>,
    /// Number of classes of a map that leaves it to the atlas; 0 chooses.
    pub k: usize,
    /// Seed of the clustering.
    pub seed: u64,
    /// Worker threads, 0 = one a core. Never changes the result.
    pub threads: usize,
    /// Licence written into the atlas.
    pub licence: String,
}

impl Params for AtlasFit {
    const KIND: &'static str = "atlas_fit";

    fn table() -> Table {
        Table(vec![
            SAMPLES,
            OUT,
            field(
                "k",
                "Number of classes",
                Kind::Integer(0, limits::CLASSES as i64),
                || json!(0),
                "Classes of a map that leaves their number to the atlas, from 2; 0 chooses by silhouette and stability",
            ),
            SEED,
            THREADS,
            field("licence", "Licence of the atlas", Kind::Text, || json!("not stated"), "Licence written into the atlas"),
        ])
    }

    fn check(&self) -> Result<()> {
        if self.k == 1 {
            return Err(Error::parameter("k", "1 class tells nothing", "use 2 or more, or 0 to let the readings choose"));
        }
        check_samples(&self.samples)?;
        check_given("out", self.out.as_ref(), "name the file for the atlas")
    }
}

/// Parameters of an `atlas_name` job: atlas file -> the same with other names and colours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtlasName {
    /// The atlas. Must be given.
    pub file: Option<String>,
    /// The file to write; the atlas itself without it.
    pub out: Option<String>,
    /// The cut whose labels are meant; 0 = the atlas's own number of classes.
    pub k: usize,
    /// Label to name.
    pub names: BTreeMap<u8, String>,
    /// Label to `#rrggbb`.
    pub colors: BTreeMap<u8, String>,
}

impl Params for AtlasName {
    const KIND: &'static str = "atlas_name";

    fn table() -> Table {
        Table(vec![
            field("file", "Atlas file", Kind::Text, || Value::Null, "The atlas; must be given"),
            field("out", "Output file", Kind::Text, || Value::Null, "The file to write; without it the atlas itself"),
            field(
                "k",
                "Number of classes",
                Kind::Integer(0, limits::CLASSES as i64),
                || json!(0),
                "The number of classes at which the labels are meant; 0 = the atlas's own",
            ),
            field("names", "Class names", Kind::Object, || json!({}), "Label to name, for instance {\"3\": \"Tumour\"}"),
            field("colors", "Class colours", Kind::Object, || json!({}), "Label to colour, for instance {\"3\": \"#d55e00\"}"),
        ])
    }

    fn check(&self) -> Result<()> {
        check_given("file", self.file.as_ref(), "name an atlas")
    }
}

const OUT: Field = field("out", "Output file", Kind::Text, || Value::Null, "The file to write; must be given");
const SAMPLES: Field =
    field("samples", "Sample files", Kind::List, || json!([]), "Files made by atlas_sample or atlas_merge, or folders of them");

fn check_given(field: &str, given: Option<&String>, hint: &str) -> Result<()> {
    if given.is_none() { Err(Error::parameter(field, "is missing", hint)) } else { Ok(()) }
}

fn check_samples(samples: &[String]) -> Result<()> {
    if samples.is_empty() || samples.iter().any(String::is_empty) {
        Err(Error::parameter("samples", "is missing", "name files made by atlas_sample"))
    } else {
        Ok(())
    }
}
