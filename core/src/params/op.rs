//! Parameters of an op job, and the chain of ops that op and synth jobs share. In: JSON. Out: names with their own parameters, of which
//! only the form is checked here: what an op takes, its manifest says.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Field, Kind, MPP, OUT_DIR, Params, Table, field};
use crate::{Error, Result};

/// Most ops of a chain.
const STEPS: usize = 32;

pub(super) const OPS: Field = field(
    "ops",
    "Ops, in this order",
    Kind::Ops,
    || json!(["gamut"]),
    "Ops applied to each tile, in this order: names, or {\"name\": \"sharpness\", \"params\": {\"min_variance\": 9}}",
);
pub(super) const OPS_DIR: Field =
    field("ops_dir", "Folder of ops", Kind::Text, || Value::Null, "Folder with ops of your own, *.wasm, which `ops` may then name");

/// An op of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OpStep {
    /// By name, with its defaults.
    Name(String),
    /// With parameters of its own.
    With(OpWith),
}

/// An op with parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpWith {
    /// Its name.
    pub name: String,
    /// Its parameters; those left out have their defaults.
    #[serde(default)]
    pub params: Map<String, Value>,
}

impl OpStep {
    /// The op's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::With(with) => &with.name,
        }
    }

    /// Its parameters as JSON.
    pub fn params(&self) -> String {
        match self {
            Self::Name(_) => "{}".into(),
            Self::With(with) => Value::Object(with.params.clone()).to_string(),
        }
    }
}

/// The form of a chain; an error names the place in the list.
pub(super) fn check_chain(field: &str, chain: &Value) -> Result<()> {
    let hint = "give names, or objects such as {\"name\": \"sharpness\", \"params\": {\"min_variance\": 9}}";
    let bad = |at: String, why: String| Err(Error::parameter(at, why, hint));
    let Some(steps) = chain.as_array() else { return bad(field.into(), format!("{chain} is not a list")) };
    if steps.len() > STEPS {
        return bad(field.into(), format!("{} ops, the limit is {STEPS}", steps.len()));
    }
    for (i, step) in steps.iter().enumerate() {
        let at = format!("{field}[{i}]");
        let Some(o) = step.as_object() else {
            if step.is_string() {
                continue;
            }
            return bad(at, format!("{step} is neither a name nor an object"));
        };
        if !o.get("name").is_some_and(Value::is_string) {
            return bad(at, "it has no `name`".into());
        }
        if o.get("params").is_some_and(|p| !p.is_object()) {
            return bad(format!("{at}.params"), "it is not an object".into());
        }
        if let Some(key) = o.keys().find(|k| !["name", "params"].contains(&k.as_str())) {
            return bad(at, format!("`{key}` is unknown; known are name, params"));
        }
    }
    Ok(())
}

/// JSON schema of a chain, without its default.
pub(super) fn chain_schema() -> Value {
    json!({"type": "array", "maxItems": STEPS, "items": {"anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["name"], "additionalProperties": false,
            "properties": {"name": {"type": "string"}, "params": {"type": "object"}}},
    ]}})
}

/// Parameters of an op job: picture -> the picture after a chain of ops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpJob {
    /// The picture, a PNG.
    pub tile: String,
    /// Its labels: a PNG of one grey value a class, 0 = background. Without it all of the picture is class 1.
    pub labels: Option<String>,
    /// Ops applied in this order.
    pub ops: Vec<OpStep>,
    /// A .wasm file whose op `ops` may name.
    pub file: Option<String>,
    /// Folder with the user's own ops.
    pub ops_dir: Option<String>,
    /// Micrometres a pixel of the picture; 0.5 where it is not given.
    pub mpp: Option<f64>,
    /// Times each op is run; the summary tells how long each run took, the result is that of the last.
    pub repeat: u32,
    /// Folder for files; none are written without it.
    pub out_dir: Option<String>,
}

impl Params for OpJob {
    const KIND: &'static str = "op";

    fn table() -> Table {
        Table(vec![
            field("tile", "Picture", Kind::Text, || json!(""), "The picture, a PNG of at most 2048 px a side"),
            field(
                "labels",
                "Label map",
                Kind::Text,
                || Value::Null,
                "Label PNG, one grey value a class, 0 = background; without it all is class 1",
            ),
            OPS,
            field("file", "File of an op", Kind::Text, || Value::Null, "A .wasm file whose op `ops` may name"),
            OPS_DIR,
            MPP,
            field(
                "repeat",
                "Runs of the chain",
                Kind::Integer(1, 10_000),
                || json!(1),
                "Times the chain is run on the picture; the summary tells how long each run took",
            ),
            OUT_DIR,
        ])
    }

    fn check(&self) -> Result<()> {
        if self.tile.trim().is_empty() {
            return Err(Error::parameter("tile", "is missing", "give the PNG of a tile"));
        }
        Ok(())
    }
}
