//! Parameters of a synth job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::op::{OPS, OPS_DIR, OpStep};
use super::{DEVICE, Kind, OUT_DIR, Params, SEED, THREADS, Table, field, presets};
use crate::{Error, Result, limits};

/// The strength of a picture to begin from, where none is given: the layout stays, nuclei and texture are new.
pub const STRENGTH: f64 = 0.6;

/// Parameters of a synth job: map and crops -> tiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Synth {
    /// Folder of a cluster run; not needed when the job is given a result handle.
    pub from: Option<String>,
    /// Number of tiles.
    pub n: u32,
    /// Seed; tile i uses (seed, i).
    pub seed: u64,
    /// Seed of the noise alone: places, layouts and crops stay those of `seed`.
    pub noise_seed: Option<u64>,
    /// Seeds that must agree on what each place shows (S4), 1 = not looked at.
    pub seeds: u32,
    /// Index of the first tile, so that any single tile of a run can be made again.
    pub first: u32,
    /// A preset's name or TOML file; it stands in for what is not given.
    pub preset: String,
    /// Steps of the denoiser.
    pub steps: u32,
    /// Sampler.
    pub sampler: String,
    /// Fresh noise of the ddim sampler, 0 = none.
    pub eta: f64,
    /// Two more steps by the refiner, from t = 0.5 on.
    pub refine: bool,
    /// Folder of an imported model, to be used instead of the default one.
    pub model: Option<String>,
    /// Classifier-free guidance scale, 1 = none.
    pub guidance: f64,
    /// Share of the guided prediction that is rescaled to the spread of the conditional one.
    pub rescale: f64,
    /// How firmly regions keep the mean latents of their crops, 0 = not at all.
    pub anchor: f64,
    /// Lowest and highest noise level t at which guidance acts.
    pub interval: [f64; 2],
    /// Tile side in pixels, a multiple of 32. With `labels` it is their side.
    pub size_px: u32,
    /// Upper left corner on the slide, level-0 pixels: every tile has the map of this place.
    pub at: Option<[f64; 2]>,
    /// A label PNG: one grey value a class of the map, 0 = background.
    pub labels: Option<String>,
    /// GeoJSON annotations in level-0 pixels, painted over the map; classified by class name or label.
    pub regions: Option<String>,
    /// Tissue shares of invented layouts: label (0 = background) to share; they sum to 1.
    pub shares: Option<BTreeMap<u8, f64>>,
    /// Crops to show for a class instead of the map's: label to one or two crops.
    pub crops: Option<BTreeMap<u8, Vec<Crop>>>,
    /// Classes that are rendered as a mixture: label to what is mixed in.
    pub mix: Option<BTreeMap<u8, Mix>>,
    /// Amounts of stain and nuclei asked of a class, by label.
    pub measures: Option<BTreeMap<u8, Asked>>,
    /// A picture of real tissue to begin from, as large as the tile.
    pub init: Option<String>,
    /// How far the picture is dissolved into noise: near 0 keeps it, 1 forgets it. [`STRENGTH`] where it is not given.
    pub strength: Option<f64>,
    /// Labels whose regions are made anew; the rest of `init` is kept.
    pub inpaint: Option<Vec<u8>>,
    /// A mask PNG: not 0 = made anew; the rest of `init` is kept.
    pub mask: Option<String>,
    /// Publishes a preview every so many steps, 0 = none.
    pub preview_every: u32,
    /// A calibration of the flags, instead of the one that ships with the models.
    pub calibration: Option<String>,
    /// Flagged tiles are listed among the others; else files of theirs go to a folder of their own.
    pub keep_flagged: bool,
    /// Ops applied in this order.
    pub ops: Vec<OpStep>,
    /// Folder with the user's own ops, `*.wasm`.
    pub ops_dir: Option<String>,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core. Never changes the result on the CPU.
    pub threads: usize,
    /// Folder for files; none are written without it.
    pub out_dir: Option<String>,
}

/// A crop as the user names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Crop {
    /// Index into the map's crops.
    Index(usize),
    /// A picture of tissue at the map's working resolution.
    File(String),
}

/// What is mixed into a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The other class.
    pub with: u8,
    /// Its share, 0..=1.
    pub share: f64,
}

/// Amounts asked of a class; what is missing is taken from its crops.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Mean amount of haematoxylin.
    pub haematoxylin: Option<f32>,
    /// Mean amount of eosin.
    pub eosin: Option<f32>,
    /// Share of nuclei.
    pub nuclei: Option<f32>,
}

impl Params for Synth {
    const KIND: &'static str = "synth";

    fn table() -> Table {
        let null = || Value::Null;
        let mut fields = vec![
            field("from", "Folder of the map", Kind::Text, null, "Folder of a cluster run; not needed with a result handle"),
            field("n", "Number of tiles", Kind::Integer(1, limits::TILES as i64), || json!(4), "Number of tiles"),
            SEED,
            field(
                "seeds",
                "Seeds that must agree",
                Kind::Integer(1, 8),
                || json!(1),
                "Seeds that must agree on what each place shows (flag S4): 1 = not looked at, 4 = as the design asks; each costs a tile",
            ),
            field(
                "noise_seed",
                "Seed of the noise",
                Kind::Integer(0, i64::MAX),
                null,
                "Seed of the noise alone; places, layouts and crops stay those of seed",
            ),
            field(
                "first",
                "Index of the first tile",
                Kind::Integer(0, limits::TILES as i64),
                || json!(0),
                "Index of the first tile of the run to make",
            ),
            field(
                "preset",
                "Preset",
                Kind::Text,
                || json!("default"),
                "default, fast, paper, or a TOML file; stands in for what is not given",
            ),
            field("steps", "Denoising steps", Kind::Integer(1, limits::STEPS as i64), || json!(6), "Steps of the denoiser"),
            field(
                "sampler",
                "Sampler",
                Kind::Choice(&["euler", "heun", "dpmpp2m", "ddim"]),
                || json!("dpmpp2m"),
                "Sampler; imported models know ddim only",
            ),
            field("eta", "Fresh noise (ddim)", Kind::Number(0.0, 1.0), || json!(0.0), "Fresh noise of the ddim sampler, 0 = none"),
            field(
                "refine",
                "Refine details",
                Kind::Flag,
                || json!(true),
                "The denoiser goes to t = 0.5, and two steps of the refiner on from there: crisp detail",
            ),
            field(
                "model",
                "Folder of an imported model",
                Kind::Text,
                null,
                "Folder of an imported model, instead of the default one; use the preset paper with it",
            ),
            field(
                "guidance",
                "Guidance strength",
                Kind::Number(0.0, limits::GUIDANCE),
                || json!(3.0),
                "Classifier-free guidance scale, 1 = none",
            ),
            field(
                "rescale",
                "Guidance rescaling",
                Kind::Number(0.0, 1.0),
                || json!(0.0),
                "Share of the guided prediction rescaled to the conditional spread",
            ),
            field(
                "anchor",
                "Hold on to the crops' stain",
                Kind::Number(0.0, 1.0),
                || json!(0.0),
                "How firmly regions keep the stain of their crops, 0 = not at all",
            ),
            field(
                "interval",
                "Noise levels with guidance",
                Kind::List,
                || json!([0.0, 1.0]),
                "Lowest and highest noise level t at which guidance acts; never on the refiner",
            ),
            field(
                "size_px",
                "Tile side (px)",
                Kind::Integer(128, limits::TILE_PX as i64),
                || json!(256),
                "Tile side in pixels, a multiple of 32",
            ),
        ];
        fields.extend(Self::editing());
        fields.extend([
            field(
                "preview_every",
                "Steps between previews",
                Kind::Integer(0, limits::STEPS as i64),
                || json!(0),
                "A preview every so many steps, 0 = none",
            ),
            field(
                "keep_flagged",
                "Keep flagged tiles",
                Kind::Flag,
                || json!(false),
                "List flagged tiles among those for training; else their files go to `flagged`",
            ),
            field(
                "calibration",
                "Calibration of the flags",
                Kind::Text,
                null,
                "Calibration of the flags, instead of the one that ships with the models",
            ),
            OPS,
            OPS_DIR,
            DEVICE,
            THREADS,
            OUT_DIR,
        ]);
        Table(fields)
    }

    fn preset(given: &Map<String, Value>) -> Result<Map<String, Value>> {
        let mut values = match given.get("preset") {
            None => presets::values("default")?,
            Some(Value::String(name)) => presets::values(name)?,
            Some(_) => Map::new(), // the table complains
        };
        // an imported model has no refiner, and who brings one need not say so
        if given.get("model").is_some_and(|m| !m.is_null()) {
            values.insert("refine".into(), json!(false));
        }
        Ok(values)
    }

    fn check(&self) -> Result<()> {
        check_size(self.size_px)?;
        let [low, high] = self.interval;
        if !(0.0 <= low && low <= high && high <= 1.0) {
            return Err(Error::parameter("interval", format!("[{low}, {high}] is not within 0..1 in this order"), "use [0, 1]"));
        }
        let layouts = [("at", self.at.is_some()), ("labels", self.labels.is_some()), ("shares", self.shares.is_some())];
        let given: Vec<&str> = layouts.iter().filter(|(_, g)| *g).map(|(n, _)| *n).collect();
        if let [first, second, ..] = given[..] {
            return Err(Error::parameter(
                second,
                format!("is given beside `{first}`"),
                "a tile's map comes from one of at, labels, shares",
            ));
        }
        if self.regions.is_some() && (self.labels.is_some() || self.shares.is_some()) {
            return Err(Error::parameter("regions", "annotations lie on the slide", "give them with `at`, or alone"));
        }
        self.check_model()?;
        self.check_shares()?;
        self.check_classes()?;
        self.check_start()
    }
}

impl Synth {
    /// The fields that edit map, crops and beginning.
    fn editing() -> [super::Field; 11] {
        let null = || Value::Null;
        [
            field(
                "at",
                "Place on the slide",
                Kind::List,
                null,
                "Upper left corner on the slide in level-0 pixels, [x, y]: every tile has the map of this place",
            ),
            field(
                "labels",
                "Drawn label map",
                Kind::Text,
                null,
                "Label PNG, one grey value a class, 0 = background: your own drawing as the map",
            ),
            field(
                "regions",
                "Annotations over the map",
                Kind::Text,
                null,
                "GeoJSON or ASAP annotations in level-0 pixels, painted over the map",
            ),
            field(
                "shares",
                "Tissue shares",
                Kind::Object,
                null,
                "Tissue shares of invented layouts, {\"label\": share, ...}, summing to 1; 0 = background",
            ),
            field("crops", "Crops to show", Kind::Object, null, "Crops to show for a class, {\"label\": [index or PNG, ...]}: one or two"),
            field(
                "mix",
                "Mixed classes",
                Kind::Object,
                null,
                "Classes rendered as a mixture, {\"label\": {\"with\": label, \"share\": 0..1}}",
            ),
            field(
                "measures",
                "Stain and nuclei asked for",
                Kind::Object,
                null,
                "Asked of a class, {\"label\": {\"haematoxylin\": h, \"eosin\": e, \"nuclei\": share}}",
            ),
            field("init", "Picture to begin from", Kind::Text, null, "PNG of real tissue to begin from, as large as the tile"),
            field(
                "strength",
                "Strength of change",
                Kind::Number(0.0, 1.0),
                null,
                "How far init is dissolved into noise: near 0 keeps it, 1 forgets it; 0.6 if not given; to 0.5 the refiner works alone",
            ),
            field("inpaint", "Classes to make anew", Kind::List, null, "Labels whose regions are made anew; the rest of init is kept"),
            field("mask", "Mask of what is made anew", Kind::Text, null, "Mask PNG, not 0 = made anew; the rest of init is kept"),
        ]
    }

    /// Imported networks have a sampler of their own and none of what the default model was trained for.
    fn check_model(&self) -> Result<()> {
        let bad = |field: &str, why: &str| Err(Error::parameter(field, why, "use the preset paper, and only with `model`"));
        if self.eta > 0.0 && self.sampler != "ddim" {
            return Err(Error::parameter("eta", "only the ddim sampler adds fresh noise", "use `sampler` ddim, or eta 0"));
        }
        if self.model.is_none() {
            return if self.preset == "paper" { bad("preset", "paper is the setting of imported models") } else { Ok(()) };
        }
        if self.sampler != "ddim" {
            return bad("sampler", "an imported model is sampled by ddim");
        }
        if self.anchor > 0.0 {
            return bad("anchor", "an imported model has no crops to be held to");
        }
        if self.refine {
            return Err(Error::parameter("refine", "an imported model has no refiner", "leave it out, or set it to false"));
        }
        if self.rescale > 0.0 {
            return bad("rescale", "an imported model knows no guidance to rescale");
        }
        let unknown = [("init", self.init.is_some()), ("mix", self.mix.is_some()), ("measures", self.measures.is_some())];
        if let Some((field, _)) = unknown.iter().find(|(_, given)| *given) {
            return Err(Error::parameter(*field, "an imported model was not trained for it", "leave it out, or use the default model"));
        }
        if (self.guidance - 1.0).abs() > f64::EPSILON { bad("guidance", "an imported model knows none") } else { Ok(()) }
    }

    fn check_shares(&self) -> Result<()> {
        let Some(shares) = &self.shares else { return Ok(()) };
        let sum: f64 = shares.values().sum();
        if shares.values().any(|v| !(0.0..=1.0).contains(v)) || (sum - 1.0).abs() > 1e-3 {
            return Err(Error::parameter("shares", format!("they sum to {sum}"), "give shares from 0 to 1 that sum to 1"));
        }
        Ok(())
    }

    fn check_classes(&self) -> Result<()> {
        for (label, crops) in self.crops.iter().flatten() {
            let (most, hint) = if self.model.is_some() { (1, "an imported model shows one crop a class") } else { (2, "give one or two") };
            if !(1..=most).contains(&crops.len()) {
                return Err(Error::parameter(format!("crops.{label}"), format!("{} crops", crops.len()), hint));
            }
        }
        for (label, mix) in self.mix.iter().flatten() {
            if mix.with == *label {
                return Err(Error::parameter(format!("mix.{label}"), "a class is mixed with itself", "name another class"));
            }
            if !(0.0..=1.0).contains(&mix.share) {
                return Err(Error::parameter(format!("mix.{label}"), format!("share {} is not in 0..1", mix.share), "try 0.5"));
            }
        }
        for (label, m) in self.measures.iter().flatten() {
            let in_range = |v: Option<f32>, high: f32| v.is_none_or(|v| (0.0..=high).contains(&v));
            if !(in_range(m.haematoxylin, 2.0) && in_range(m.eosin, 2.0) && in_range(m.nuclei, 1.0)) {
                let hint = "haematoxylin and eosin lie in 0..2, nuclei in 0..1";
                return Err(Error::parameter(format!("measures.{label}"), "a value is out of range", hint));
            }
        }
        Ok(())
    }

    fn check_start(&self) -> Result<()> {
        let needs = |field: &str| Error::parameter(field, "is given without `init`", "give the picture whose rest is kept");
        match (&self.init, &self.inpaint, &self.mask) {
            (None, ..) if self.strength.is_some() => {
                Err(Error::parameter("strength", "is given without `init`", "give the picture to begin from"))
            }
            (None, Some(_), _) => Err(needs("inpaint")),
            (None, _, Some(_)) => Err(needs("mask")),
            (_, Some(_), Some(_)) => Err(Error::parameter("mask", "is given beside `inpaint`", "give one of them")),
            (Some(_), ..) if self.strength.is_some_and(|s| s <= 0.0) => Err(Error::parameter("strength", "0 changes nothing", "try 0.6")),
            _ => Ok(()),
        }
    }
}

/// A multiple of 32.
pub fn check_size(size_px: u32) -> Result<()> {
    if size_px.is_multiple_of(32) {
        return Ok(());
    }
    let down = size_px / 32 * 32;
    let hint = if down >= 128 { format!("try {down} or {}", down + 32) } else { "try 128 or more".into() };
    Err(Error::parameter("size_px", format!("{size_px} is not a multiple of 32"), hint))
}
