//! What an op says of itself, in the custom section `histoloom.op`: readable without running a line of it. In: JSON from the module
//! and JSON from the user. Out: a [`Manifest`], and every parameter as one f64 in the order it is declared. Fails: a sentence (bad
//! manifest), [`Error::Parameter`] (bad value).
//!
//! ```
//! let m = histoloom_wasm_ops::Manifest::parse(
//!     r#"{"name": "blur", "version": 1, "summary": "Flags blur", "params": [{"name": "limit", "min": 0, "max": 99, "default": 8}]}"#,
//! ).unwrap();
//! assert_eq!(m.resolve(r#"{"limit": 5}"#)?, [5.0]);
//! assert!(m.resolve(r#"{"limt": 5}"#).is_err());
//! # histoloom_core::Result::Ok(())
//! ```

use histoloom_core::{Error, Result};
use serde_json::{Map, Value, json};

use crate::abi::sanitise;

/// Name of the custom section.
pub const SECTION: &str = "histoloom.op";
/// Largest manifest in bytes.
pub const BYTES: usize = 16 << 10;
/// Most parameters of an op.
pub const PARAMETERS: usize = 32;

/// One parameter. All are numbers; a switch is an integer 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Key, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// Only whole numbers.
    pub integer: bool,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Value if none is given.
    pub default: f64,
    /// One sentence, with the unit.
    pub doc: String,
}

/// What an op says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Name, `[a-z][a-z0-9_]*`, at most 32 characters.
    pub name: String,
    /// Version, raised when the output changes.
    pub version: u32,
    /// One sentence.
    pub summary: String,
    /// Parameters in the order the op gets them.
    pub params: Vec<Parameter>,
}

fn identifier(s: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=32).contains(&s.len()) && s.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && s.bytes().all(rest)
}

fn known_keys(o: &Map<String, Value>, known: &[&str]) -> std::result::Result<(), String> {
    match o.keys().find(|k| !known.contains(&k.as_str())) {
        Some(k) => Err(format!("its manifest has an unknown key `{}`; known: {}", sanitise(k, 32), known.join(", "))),
        None => Ok(()),
    }
}

impl Manifest {
    /// Reads a manifest; `Err` is a sentence for the user.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("its manifest is not JSON: {e}"))?;
        let o = value.as_object().ok_or("its manifest is not a JSON object")?;
        known_keys(o, &["name", "version", "summary", "params"])?;
        let name = o.get("name").and_then(Value::as_str).filter(|n| identifier(n));
        let name = name.ok_or("its manifest needs a `name` of up to 32 letters a-z, digits and _")?.to_owned();
        let version = o.get("version").and_then(Value::as_u64).and_then(|v| u32::try_from(v).ok());
        let version = version.ok_or("its manifest needs a `version`, a whole number")?;
        let summary = sanitise(o.get("summary").and_then(Value::as_str).unwrap_or_default(), 240);
        let empty = Vec::new();
        let list = o.get("params").map_or(Some(&empty), Value::as_array).ok_or("`params` of its manifest is not a list")?;
        if list.len() > PARAMETERS {
            return Err(format!("its manifest has {} parameters, the limit is {PARAMETERS}", list.len()));
        }
        let params = list.iter().map(Parameter::parse).collect::<std::result::Result<Vec<_>, _>>()?;
        for (i, p) in params.iter().enumerate() {
            if params.iter().take(i).any(|q| q.name == p.name) {
                return Err(format!("its manifest declares the parameter `{}` twice", p.name));
            }
        }
        Ok(Self { name, version, summary, params })
    }

    /// The user's JSON object (or an empty string) as numbers in declared order, defaults filled in.
    pub fn resolve(&self, params: &str) -> Result<Vec<f64>> {
        let bad = |field: &str, why: String, hint: String| Error::parameter(format!("{}.{field}", self.name), why, hint);
        let known = || self.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = if params.trim().is_empty() { "{}" } else { params };
        if text.len() > histoloom_core::limits::PARAMETERS_BYTES {
            return Err(bad("params", "they are too long".into(), "give a JSON object".into()));
        }
        let value: Value = serde_json::from_str(text).map_err(|e| bad("params", format!("not JSON: {e}"), "give a JSON object".into()))?;
        let o = value.as_object().ok_or_else(|| bad("params", "not a JSON object".into(), format!("known: {}", known())))?;
        if let Some(k) = o.keys().find(|k| !self.params.iter().any(|p| p.name == **k)) {
            return Err(bad(&sanitise(k, 32), "unknown".into(), format!("the op `{}` knows: {}", self.name, known())));
        }
        let number = |p: &Parameter| match o.get(&p.name) {
            None => Ok(p.default),
            Some(v) => v.as_f64().or_else(|| v.as_bool().map(|b| f64::from(u8::from(b)))).filter(|x| p.holds(*x)).ok_or_else(|| {
                let kind = if p.integer { "whole number" } else { "number" };
                bad(&p.name, sanitise(&format!("the value {v}"), 48) + " will not do", format!("give a {kind} from {} to {}", p.min, p.max))
            }),
        };
        self.params.iter().map(number).collect()
    }

    /// The same as JSON: what the provenance keeps.
    pub fn resolved(&self, params: &str) -> Result<Map<String, Value>> {
        let value = |p: &Parameter, x: f64| if p.integer { json!(x as i64) } else { json!(x) };
        Ok(self.resolve(params)?.into_iter().zip(&self.params).map(|(x, p)| (p.name.clone(), value(p, x))).collect())
    }

    /// JSON Schema of the parameters, for a host's dialog.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        for p in &self.params {
            let kind = if p.integer { "integer" } else { "number" };
            let (min, max, default) = if p.integer {
                (json!(p.min as i64), json!(p.max as i64), json!(p.default as i64))
            } else {
                (json!(p.min), json!(p.max), json!(p.default))
            };
            properties
                .insert(p.name.clone(), json!({"type": kind, "minimum": min, "maximum": max, "default": default, "description": p.doc}));
        }
        json!({"type": "object", "additionalProperties": false, "properties": properties})
    }
}

impl Parameter {
    fn parse(value: &Value) -> std::result::Result<Self, String> {
        let o = value.as_object().ok_or("a parameter of its manifest is not a JSON object")?;
        known_keys(o, &["name", "integer", "min", "max", "default", "doc"])?;
        let name = o.get("name").and_then(Value::as_str).filter(|n| identifier(n));
        let name = name.ok_or("a parameter of its manifest needs a `name` of letters a-z, digits and _")?.to_owned();
        let number = |key: &str| {
            let x = o.get(key).and_then(Value::as_f64).filter(|x| x.abs() <= 1e15);
            x.ok_or_else(|| format!("the parameter `{name}` of its manifest needs a number `{key}`"))
        };
        let (min, max, default) = (number("min")?, number("max")?, number("default")?);
        let integer = o.get("integer").and_then(Value::as_bool).unwrap_or(false);
        let doc = sanitise(o.get("doc").and_then(Value::as_str).unwrap_or_default(), 240);
        let p = Self { name, integer, min, max, default, doc };
        if !p.holds(default) || (integer && (min.fract() != 0.0 || max.fract() != 0.0)) {
            return Err(format!("the parameter `{}` of its manifest contradicts itself", p.name));
        }
        Ok(p)
    }

    fn holds(&self, x: f64) -> bool {
        x >= self.min && x <= self.max && (!self.integer || x.fract() == 0.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"a","version":2,"summary":"s","params":[
        {"name":"share","min":0,"max":1,"default":0.5},{"name":"on","integer":true,"min":0,"max":1,"default":1}]}"#;

    #[test]
    fn parameters_come_in_declared_order_with_defaults() {
        let m = Manifest::parse(GOOD).unwrap();
        assert_eq!(m.resolve("").unwrap(), [0.5, 1.0]);
        assert_eq!(m.resolve(r#"{"on": false, "share": 0.25}"#).unwrap(), [0.25, 0.0]);
        assert_eq!(m.schema()["properties"]["on"]["type"], "integer");
    }

    #[test]
    fn a_bad_value_is_named() {
        let m = Manifest::parse(GOOD).unwrap();
        for bad in [r#"{"share": 2}"#, r#"{"share": "x"}"#, r#"{"share": null}"#, r#"{"share": [0.5]}"#] {
            let e = m.resolve(bad).unwrap_err().to_string();
            assert!(e.contains("a.share") && e.contains("from 0 to 1"), "{e}");
        }
        assert!(m.resolve(r#"{"on": 0.5}"#).is_err());
        assert!(m.resolve(r#"{"shar": 0.5}"#).unwrap_err().to_string().contains("knows: share, on"));
        assert!(m.resolve("[]").is_err());
        assert!(m.resolve("{").is_err());
    }

    #[test]
    fn a_bad_manifest_is_refused() {
        for bad in [
            "",
            "[]",
            r#"{"name":"A b","version":1}"#,
            r#"{"name":"a"}"#,
            r#"{"name":"a","version":-1}"#,
            r#"{"name":"a","version":1,"extra":1}"#,
            r#"{"name":"a","version":1,"params":[{"name":"p","min":0,"max":1,"default":2}]}"#,
            r#"{"name":"a","version":1,"params":[{"name":"p","min":0,"max":1e300,"default":0}]}"#,
            r#"{"name":"a","version":1,"params":[{"name":"p","min":0,"max":1,"default":0},{"name":"p","min":0,"max":1,"default":0}]}"#,
        ] {
            assert!(Manifest::parse(bad).is_err(), "{bad}");
        }
    }
}
