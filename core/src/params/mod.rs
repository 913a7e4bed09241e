//! Job parameters: one UTF-8 JSON object a job. In: the host's string. Out: a typed struct in which every value is in range, and
//! the resolved string that goes into provenance. One table a job kind makes the checks, the defaults and the JSON schema.
//!
//! ```
//! use histoloom_core::params::{self, Cluster};
//! let p: Cluster = params::parse(r#"{"k": 12}"#)?;
//! assert_eq!((p.k, p.seed), (12, 1));
//! assert!(params::parse::<Cluster>(r#"{"kk": 12}"#).unwrap_err().to_string().contains("`kk`"));
//! # Ok::<(), histoloom_core::Error>(())
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, Result, limits};

mod atlas;
mod calibrate;
mod edit;
mod eval;
mod import;
mod op;
mod presets;
mod synth;

pub use atlas::{AtlasFit, AtlasMerge, AtlasName, AtlasSample};
pub use calibrate::{Calibrate, IndexSlide, Plant};
pub use edit::Edit;
pub use eval::Eval;
pub use import::Import;
pub use op::{OpJob, OpStep, OpWith};
pub use presets::PRESETS;
pub use synth::{Asked, Crop, Mix, STRENGTH, Synth, check_size};

/// The k that stands for a number chosen by the readings.
pub const AUTO: usize = 0;

/// Least area of a region, in square micrometres: 12 cells of 8 um, about five cells of the body.
pub const MIN_REGION_UM2: f64 = 768.0;

/// The stain normalisation there is.
pub const MACENKO: &str = "macenko";

/// What a field may hold.
enum Kind {
    Integer(i64, i64),
    Number(f64, f64),
    Text,
    Choice(&'static [&'static str]),
    Flag,
    /// Checked by its own parser: a JSON array.
    List,
    /// Checked by its own parser: a JSON object.
    Object,
    /// A chain of ops: names, or objects with name and parameters.
    Ops,
}

struct Field {
    name: &'static str,
    /// What dialogs call it; told apart from the others of its kind.
    title: &'static str,
    kind: Kind,
    /// `null` makes the field optional.
    default: fn() -> Value,
    doc: &'static str,
}

/// A job kind's parameters.
pub trait Params: DeserializeOwned + Serialize {
    /// The job kind as hosts name it.
    const KIND: &'static str;
    #[doc(hidden)]
    fn table() -> Table;
    /// Values that stand in for those not given, and stand behind those given.
    fn preset(_given: &Map<String, Value>) -> Result<Map<String, Value>> {
        Ok(Map::new())
    }
    /// What a field table cannot say. Called last.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// The table behind a job kind.
pub struct Table(Vec<Field>);

/// Parameters of a cluster job: slide -> pseudo-semantic map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Number of tissue classes; [`AUTO`] chooses.
    pub k: usize,
    /// Micrometres per level-0 pixel; needed only where the slide does not tell.
    pub mpp: Option<f64>,
    /// Polygons in level-0 pixels, `[[[x, y], ...], ...]`: only cells inside one are mapped.
    pub roi: Option<Vec<Vec<[f64; 2]>>>,
    /// Seed of everything random.
    pub seed: u64,
    /// `auto`, `cpu`, `gpu` or `gpu:N`.
    pub device: String,
    /// Worker threads, 0 = one a core. Never changes the result.
    pub threads: usize,
    /// Folder for files; none are written without it.
    pub out_dir: Option<String>,
    /// Folder where embeddings are kept, so that a killed run goes on where it was and another k takes a moment.
    pub cache_dir: Option<String>,
    /// If `out_dir` holds the very map that would be made, that one is the result.
    pub skip_done: bool,
    /// What the host shows, `[x, y, width, height]` in level-0 pixels: embedded first. Never changes the result.
    pub viewport: Option<[f64; 4]>,
    /// Exemplar crops kept a class.
    pub crops_per_class: usize,
    /// Regions smaller than this join their neighbours, islands of tissue in the glass go; square micrometres.
    pub min_region_um2: f64,
    /// Leave pen, folds and tissue out of focus unlabelled.
    pub artefacts: bool,
    /// Stain normalisation of what the encoder sees: `none` or [`MACENKO`].
    pub normalise: String,
    /// Folder of an imported encoder that finds the classes instead of the default one; the bank stays that of the default one.
    pub encoder: Option<String>,
    /// Go on although the stain does not look like H&E.
    pub force: bool,
    /// An atlas file whose classes the map gets, instead of classes of its own.
    pub atlas: Option<String>,
    /// Annotations whose classes the map gets instead: GeoJSON as QuPath exports it, or ASAP's XML.
    pub annotations: Option<String>,
}

const fn field(name: &'static str, title: &'static str, kind: Kind, default: fn() -> Value, doc: &'static str) -> Field {
    Field { name, title, kind, default, doc }
}

const SEED: Field = field(
    "seed",
    "Seed",
    Kind::Integer(0, i64::MAX),
    || json!(1),
    "Seed of everything random; the same seed gives the same bytes on the CPU",
);
const DEVICE: Field = field("device", "Device", Kind::Text, || json!("auto"), "auto, cpu, gpu or gpu:N");
const THREADS: Field = field("threads", "Threads", Kind::Integer(0, 1024), || json!(0), "Worker threads, 0 = one a core");
const MPP: Field = field(
    "mpp",
    "Micrometres per pixel",
    Kind::Number(*limits::MPP.start(), *limits::MPP.end()),
    || Value::Null,
    "Micrometres per level-0 pixel, where the slide does not tell",
);
const ROI: Field = field("roi", "Regions of interest", Kind::List, || Value::Null, "Polygons in level-0 pixels, [[[x, y], ...], ...]");
const FORCE: Field = field("force", "Go on with any stain", Kind::Flag, || json!(false), "Go on although the stain does not look like H&E");
const CACHE_DIR: Field = field(
    "cache_dir",
    "Cache folder",
    Kind::Text,
    || Value::Null,
    "Folder where a slide's embeddings are kept: a killed run goes on where it was, another k takes a moment",
);
const ENCODER: Field = field(
    "encoder",
    "Folder of an encoder",
    Kind::Text,
    || Value::Null,
    "Folder of an encoder made by an import job: it finds the classes",
);
const OUT_DIR: Field = field("out_dir", "Output folder", Kind::Text, || Value::Null, "Folder for files; without it nothing is written");

impl Params for Cluster {
    const KIND: &'static str = "cluster";

    fn table() -> Table {
        Table(vec![
            field(
                "k",
                "Number of classes",
                Kind::Integer(0, limits::CLASSES as i64),
                || json!(8),
                "Number of tissue classes, from 2; 0 chooses by silhouette and stability; with an atlas, where not given: as the atlas has it",
            ),
            MPP,
            ROI,
            SEED,
            DEVICE,
            THREADS,
            OUT_DIR,
            CACHE_DIR,
            field(
                "skip_done",
                "Skip what is done",
                Kind::Flag,
                || json!(false),
                "If out_dir holds the very map that would be made, that one is the result",
            ),
            field(
                "viewport",
                "Part to embed first",
                Kind::List,
                || Value::Null,
                "[x, y, width, height] in level-0 pixels, embedded first; never changes the result",
            ),
            field("crops_per_class", "Example crops per class", Kind::Integer(1, 64), || json!(8), "Exemplar crops kept a class"),
            field(
                "min_region_um2",
                "Smallest region (\u{b5}m\u{b2})",
                Kind::Number(0.0, 1e9),
                || json!(MIN_REGION_UM2),
                "Regions smaller than this, in square micrometres, join their neighbours; islands of tissue go",
            ),
            field("artefacts", "Leave out artefacts", Kind::Flag, || json!(true), "Leave pen, folds and tissue out of focus unlabelled"),
            field(
                "normalise",
                "Stain normalisation",
                Kind::Choice(&["none", MACENKO]),
                || json!("none"),
                "Stain normalisation of what the encoder sees; maps by the encoder that ships are not steadier for it",
            ),
            FORCE,
            field(
                "atlas",
                "Atlas file",
                Kind::Text,
                || Value::Null,
                "An atlas file: the map gets its classes, names and colours, cut at k, and tells what it does not know",
            ),
            field(
                "annotations",
                "Annotations file",
                Kind::Text,
                || Value::Null,
                "GeoJSON as QuPath exports it or ASAP's XML, level-0 pixels: the map gets their classes (none that ends in *), names and \
                 colours; of regions that overlap the smaller counts; k is not used",
            ),
            ENCODER,
        ])
    }

    /// An atlas knows how many classes it is for, and so do annotations.
    fn preset(given: &Map<String, Value>) -> Result<Map<String, Value>> {
        let told = ["atlas", "annotations"].iter().any(|name| given.get(*name).is_some_and(|file| !file.is_null()));
        Ok(if told { Map::from_iter([("k".to_owned(), json!(AUTO))]) } else { Map::new() })
    }

    fn check(&self) -> Result<()> {
        if self.k == 1 {
            return Err(Error::parameter("k", "1 is not an integer from 2 to 100", "use 2 or more, or 0 to let the readings choose"));
        }
        if self.viewport.is_some_and(|v| v.iter().any(|n| !n.is_finite()) || v[2] <= 0.0 || v[3] <= 0.0) {
            return Err(Error::parameter("viewport", "is no rectangle", "give [x, y, width, height] in level-0 pixels"));
        }
        if self.normalise == MACENKO && self.atlas.is_some() {
            return Err(Error::parameter("normalise", "an atlas knows stains as they are", "leave `normalise` or `atlas` out"));
        }
        if self.annotations.is_some() && self.atlas.is_some() {
            return Err(Error::parameter("annotations", "an atlas has classes of its own", "leave `annotations` or `atlas` out"));
        }
        check_roi(self.roi.as_deref())
    }
}

fn check_roi(roi: Option<&[Vec<[f64; 2]>]>) -> Result<()> {
    for (i, ring) in roi.into_iter().flatten().enumerate() {
        if ring.len() < 3 || ring.iter().flatten().any(|v| !v.is_finite()) {
            return Err(Error::parameter(
                format!("roi[{i}]"),
                "a polygon needs at least 3 finite points",
                "give level-0 pixel coordinates",
            ));
        }
    }
    Ok(())
}

/// Parses and checks a parameter string; an empty one means all defaults.
pub fn parse<P: Params>(text: &str) -> Result<P> {
    if text.len() > limits::PARAMETERS_BYTES {
        return Err(Error::Limit {
            field: "parameters".into(),
            value: format!("{} bytes", text.len()),
            limit: format!("{} bytes", limits::PARAMETERS_BYTES),
            hint: "pass large inputs as files".into(),
        });
    }
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value: Value =
        serde_json::from_str(text).map_err(|e| Error::parameter("(all)", format!("not JSON: {e}"), "pass one JSON object"))?;
    let Value::Object(given) = value else {
        return Err(Error::parameter("(all)", "not a JSON object", "pass {\"key\": value, ...}"));
    };
    let table = P::table();
    if let Some(unknown) = given.keys().find(|k| !table.0.iter().any(|f| f.name == k.as_str())) {
        let known: Vec<_> = table.0.iter().map(|f| f.name).collect();
        return Err(Error::parameter(
            unknown.clone(),
            format!("unknown for the job `{}`", P::KIND),
            format!("known are {}", known.join(", ")),
        ));
    }
    if let Some((name, _)) = given.iter().find(|(_, v)| v.as_str().is_some_and(|text| text.contains('\0'))) {
        return Err(Error::parameter(name.clone(), "holds a NUL character", "no text and no path has one"));
    }
    let preset = P::preset(&given)?;
    let mut full = Map::new();
    for f in &table.0 {
        let v = given.get(f.name).or_else(|| preset.get(f.name)).cloned().unwrap_or_else(f.default);
        f.check(&v)?;
        full.insert(f.name.to_owned(), v);
    }
    let parsed: P = serde_json::from_value(Value::Object(full))
        .map_err(|e| Error::parameter("(all)", e.to_string(), "see the schema of this job kind"))?;
    parsed.check()?;
    Ok(parsed)
}

/// The resolved parameters as one JSON string, keys in table order where the struct has them so.
pub fn resolved<P: Params>(params: &P) -> Result<String> {
    serde_json::to_string(params).map_err(|e| Error::internal(e.to_string()))
}

/// What dialogs call a parameter, for texts that name it.
pub fn title<P: Params>(name: &'static str) -> &'static str {
    P::table().0.iter().find(|f| f.name == name).map_or(name, |f| f.title)
}

/// The JSON schema (draft 2020-12) of a job kind, from which hosts build dialogs.
pub fn schema<P: Params>() -> Value {
    let mut properties = Map::new();
    for f in P::table().0 {
        let default = (f.default)();
        let mut s = match f.kind {
            Kind::Integer(lo, hi) => json!({"type": "integer", "minimum": lo, "maximum": hi}),
            Kind::Number(lo, hi) => json!({"type": "number", "minimum": lo, "maximum": hi}),
            Kind::Text => json!({"type": "string"}),
            Kind::Choice(options) => json!({"type": "string", "enum": options}),
            Kind::Flag => json!({"type": "boolean"}),
            Kind::List => json!({"type": "array"}),
            Kind::Object => json!({"type": "object"}),
            Kind::Ops => op::chain_schema(),
        };
        if default.is_null() {
            s["type"] = json!([s["type"], "null"]);
        }
        s["title"] = json!(f.title);
        s["default"] = default;
        s["description"] = json!(f.doc);
        properties.insert(f.name.into(), s);
    }
    json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": P::KIND, "type": "object", "additionalProperties": false, "properties": properties})
}

impl Field {
    fn check(&self, v: &Value) -> Result<()> {
        if v.is_null() && (self.default)().is_null() {
            return Ok(());
        }
        let wrong = |want: &str| Err(Error::parameter(self.name, format!("{v} is not {want}"), self.doc));
        match self.kind {
            Kind::Integer(lo, hi) => match v.as_i64() {
                Some(n) if (lo..=hi).contains(&n) => Ok(()),
                _ => wrong(&format!("an integer from {lo} to {hi}")),
            },
            Kind::Number(lo, hi) => match v.as_f64() {
                Some(n) if (lo..=hi).contains(&n) => Ok(()),
                _ => wrong(&format!("a number from {lo} to {hi}")),
            },
            Kind::Text if !v.is_string() => wrong("a string"),
            // what may be left out is a file or a folder: an empty name is none
            Kind::Text if (self.default)().is_null() && v.as_str().is_some_and(|text| text.trim().is_empty()) => {
                Err(Error::parameter(self.name, "is empty", self.doc))
            }
            Kind::Flag if !v.is_boolean() => wrong("true or false"),
            Kind::List if !v.is_array() => wrong("a list"),
            Kind::Object if !v.is_object() => wrong("an object"),
            Kind::Ops => op::check_chain(self.name, v),
            Kind::Choice(options) if !v.as_str().is_some_and(|s| options.contains(&s)) => wrong(&format!("one of {}", options.join(", "))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_atlas_decides_how_many_classes_where_nobody_says() {
        let k = |text: &str| parse::<Cluster>(text).unwrap().k;
        assert_eq!([k("{}"), k(r#"{"atlas": null}"#), k(r#"{"atlas": "a.json"}"#), k(r#"{"atlas": "a.json", "k": 5}"#)], [8, 8, AUTO, 5]);
    }

    #[test]
    fn errors_name_the_field_and_the_range() {
        for (text, needle) in [
            (r#"{"k": 1}"#, "`k`: 1 is not an integer from 2 to 100"),
            (r#"{"k": 8.5}"#, "`k`"),
            (r#"{"mpp": -1}"#, "`mpp`"),
            (r#"{"min_region_um2": -1}"#, "`min_region_um2`"),
            (r#"{"normalise": "reinhard"}"#, "none, macenko"),
            (r#"{"normalise": "macenko", "atlas": "a.json"}"#, "`normalise`"),
            (r#"{"mpp": 1e999}"#, "(all)"),
            (r#"{"roi": [[[0, 0]]]}"#, "`roi[0]`"),
            (r#"[1]"#, "JSON object"),
            ("{", "not JSON"),
        ] {
            let e = parse::<Cluster>(text).unwrap_err().to_string();
            assert!(e.contains(needle), "{text}: {e}");
        }
        let e = parse::<Synth>(r#"{"size_px": 250}"#).unwrap_err().to_string();
        assert!(e.contains("try 224 or 256"), "{e}");
        assert!(parse::<Import>(r#"{"file": "a.ckpt"}"#).unwrap_err().to_string().contains("`out_dir`: is missing"));
        for field in ["out_dir", "cache_dir", "atlas", "encoder"] {
            for empty in ["", " "] {
                let e = parse::<Cluster>(&json!({field: empty}).to_string()).unwrap_err().to_string();
                assert!(e.contains(&format!("`{field}`: is empty; ")), "{e}");
            }
        }
        assert!(parse::<Cluster>(r#"{"device": ""}"#).is_ok(), "the same as auto");
        assert!(parse::<Eval>(r#"{"from": ""}"#).unwrap_err().to_string().contains("`from`: is missing"));
        assert!(parse::<AtlasFit>(r#"{"samples": [""], "out": "a"}"#).unwrap_err().to_string().contains("`samples`"));
        assert!(parse::<Synth>(r#"{"sampler": "magic"}"#).unwrap_err().to_string().contains("euler, heun"));
        assert!(parse::<Synth>(r#"{"eta": 0.5}"#).unwrap_err().to_string().contains("`sampler` ddim"));
        assert!(parse::<Synth>(r#"{"eta": 0.5, "sampler": "ddim"}"#).is_ok());
        assert!(parse::<Synth>(r#"{"preset": "paper"}"#).unwrap_err().to_string().contains("`preset`"));
        assert!(parse::<Eval>(r#"{"preset": "paper", "from": "map"}"#).unwrap_err().to_string().contains("`preset`"));
    }

    #[test]
    fn a_chain_holds_names_and_objects_and_nothing_else() {
        let text = r#"{"ops": ["gamut", {"name": "sharpness", "params": {"min_variance": 9}}, {"name": "watermark"}]}"#;
        let p: Synth = parse(text).unwrap();
        assert_eq!(p.ops.iter().map(OpStep::name).collect::<Vec<_>>(), ["gamut", "sharpness", "watermark"]);
        assert_eq!((p.ops[0].params(), p.ops[1].params()), ("{}".into(), r#"{"min_variance":9}"#.into()));
        assert_eq!(parse::<Synth>(&resolved(&p).unwrap()).unwrap(), p);
        assert!(parse::<Synth>(r#"{"ops": "gamut"}"#).unwrap_err().to_string().contains("`ops`: \"gamut\" is not a list"));
        for bad in [r#"[1]"#, r#"[{"params": {}}]"#, r#"[{"name": "a", "parms": {}}]"#, r#"[{"name": "a", "params": [1]}]"#] {
            let e = parse::<Synth>(&format!(r#"{{"ops": {bad}}}"#)).unwrap_err().to_string();
            assert!(e.contains("`ops[0]") && e.contains("min_variance"), "{bad}: {e}");
        }
    }

    #[test]
    fn resolved_parameters_parse_to_themselves() {
        let p: Cluster = parse("").unwrap();
        assert_eq!(parse::<Cluster>(&resolved(&p).unwrap()).unwrap(), p);
        let p: Synth = parse(r#"{"seed": 9007199254740993, "ops": []}"#).unwrap();
        assert_eq!(parse::<Synth>(&resolved(&p).unwrap()).unwrap().seed, 9_007_199_254_740_993);
    }

    #[test]
    fn every_struct_field_is_in_the_table_and_the_schema() {
        for (value, schema) in [
            (serde_json::to_value(parse::<Cluster>("").unwrap()).unwrap(), schema::<Cluster>()),
            (serde_json::to_value(parse::<Synth>("").unwrap()).unwrap(), schema::<Synth>()),
            (serde_json::to_value(parse::<Eval>(r#"{"from": "map"}"#).unwrap()).unwrap(), schema::<Eval>()),
            (serde_json::to_value(parse::<Edit>("").unwrap()).unwrap(), schema::<Edit>()),
            (serde_json::to_value(parse::<OpJob>(r#"{"tile": "a.png"}"#).unwrap()).unwrap(), schema::<OpJob>()),
            (serde_json::to_value(Import { file: None, out_dir: None }).unwrap(), schema::<Import>()),
            (serde_json::to_value(parse::<AtlasSample>(r#"{"out": "a"}"#).unwrap()).unwrap(), schema::<AtlasSample>()),
            (serde_json::to_value(parse::<AtlasMerge>(r#"{"samples": ["a"], "out": "b"}"#).unwrap()).unwrap(), schema::<AtlasMerge>()),
            (serde_json::to_value(parse::<AtlasFit>(r#"{"samples": ["a"], "out": "b"}"#).unwrap()).unwrap(), schema::<AtlasFit>()),
            (serde_json::to_value(parse::<AtlasName>(r#"{"file": "a"}"#).unwrap()).unwrap(), schema::<AtlasName>()),
        ] {
            let (a, b) = (value.as_object().unwrap(), schema["properties"].as_object().unwrap());
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        }
    }
    #[test]
    fn every_parameter_has_a_short_title_of_its_own() {
        for table in [
            Cluster::table(),
            Synth::table(),
            Eval::table(),
            Edit::table(),
            OpJob::table(),
            Import::table(),
            AtlasSample::table(),
            AtlasMerge::table(),
            AtlasFit::table(),
            AtlasName::table(),
            Plant::table(),
            Calibrate::table(),
            IndexSlide::table(),
        ] {
            let titles: BTreeSet<&str> = table.0.iter().map(|f| f.title).collect();
            assert_eq!(titles.len(), table.0.len(), "each once: {titles:?}");
            for f in table.0 {
                let said = f.title.trim();
                assert!(!said.is_empty() && said != f.name && said.chars().count() <= 40 && !said.contains('`'), "{}: {said}", f.name);
            }
        }
        let schema = schema::<Cluster>();
        assert_eq!(
            (&schema["properties"]["artefacts"]["title"], title::<Cluster>("artefacts")),
            (&json!("Leave out artefacts"), "Leave out artefacts")
        );
    }
}
