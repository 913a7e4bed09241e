//! Parameters at and beyond their bounds, for every job kind there is, from the schemas that hosts build dialogs from.

use std::ffi::CString;

use serde_json::{Map, Value, json};

use crate::bench::{Bench, Furnished};
use crate::checks::layout::{allows, kinds, schema, types};
use crate::ffi::{HL_E_LIMIT, HL_E_PARAMETER, HL_OK, name_of, text_of};
use crate::viewer::Viewer;

/// What a job of a kind needs so that it can start; the files are not there, so it soon fails.
pub fn base(kind: &str) -> Map<String, Value> {
    let given = match kind {
        "edit" | "synth" | "eval" | "flags_plant" => json!({"from": "nowhere"}),
        "flags_calibrate" => json!({"calibrate": ["nowhere"], "test": ["nowhere else"]}),
        "flags_index" => json!({"file": "index.bin"}),
        "import" => json!({"file": "none.ckpt", "out_dir": "weights"}),
        "atlas_sample" => json!({"out": "sample.bin"}),
        "atlas_merge" | "atlas_fit" => json!({"samples": ["none.bin"], "out": "out.bin"}),
        "atlas_name" => json!({"file": "none.json"}),
        "op" => json!({"tile": "none.png"}),
        _ => json!({}),
    };
    given.as_object().cloned().unwrap_or_default()
}

/// The slide for a kind of job, or 0 for those that read none.
pub fn slide_for(kind: &str, f: &Furnished) -> u64 {
    if matches!(kind, "cluster" | "eval" | "atlas_sample" | "flags_plant" | "flags_index") { f.slide } else { 0 }
}

/// A number as JSON text, exact.
fn number(v: f64) -> String {
    json!(v).to_string()
}

/// JSON texts that a field must refuse.
fn wrong(field: &Value) -> Vec<String> {
    let types = types(field);
    let (least, most) = (&field["minimum"], &field["maximum"]);
    let all = ["null", "true", "5", "0.5", "\"what\"", "[]", "{}"];
    let parsed = |text: &&&str| serde_json::from_str::<Value>(text).is_ok_and(|v| !allows(field, &v));
    let mut out: Vec<String> = all.iter().filter(parsed).map(|t| (*t).to_owned()).collect();
    if types.contains(&"integer") {
        let beyond = |v: &Value, by: i128| v.as_i64().map(|v| (i128::from(v) + by).to_string());
        out.extend([beyond(least, -1), beyond(most, 1)].into_iter().flatten());
        out.extend(["-1e300", "1e300", "18446744073709551615", "-9223372036854775808"].map(str::to_owned));
    } else if let (Some(least), Some(most)) = (least.as_f64(), most.as_f64()) {
        out.extend([number(least - 1e-6 * least.abs().max(1.0)), number(most * (1.0 + 1e-9)), number(-1e308), number(1e308)]);
    }
    out
}

/// Values at the bounds, which may be refused for other reasons but not beyond them.
fn edges(field: &Value) -> Vec<Value> {
    let listed = field["enum"].as_array().into_iter().flatten();
    let bounds = [&field["minimum"], &field["maximum"], &field["default"]].into_iter().filter(|v| !v.is_null());
    listed.chain(bounds).cloned().collect()
}

/// Starts a job that must be refused, by a name.
fn refused(b: &Bench, f: &Furnished, kind: &str, params: &str, name: &str) {
    let shown: String = params.chars().take(120).collect();
    b.at(&format!("{kind} {shown}"));
    let kind_c = CString::new(kind).unwrap_or_default();
    let (code, job) = b.try_start(f.context, slide_for(kind, f), &kind_c, params);
    let refused = matches!(code, HL_E_PARAMETER | HL_E_LIMIT);
    b.promise(refused, || format!("{kind} {shown} gave {}, not HL_E_PARAMETER or HL_E_LIMIT", name_of(code)));
    if code == HL_OK {
        let _ = (b.api.hl_job_release)(job);
    } else {
        let said = b.last_error();
        b.promise(said.contains(name), || format!("{kind} {shown}: the text does not name `{name}`: {said}"));
    }
}

/// Starts a job with a value at a bound: where it starts, it must have got that value.
fn taken(b: &Bench, f: &Furnished, kind: &str, name: &str, value: &Value) {
    let mut params = base(kind);
    params.insert(name.to_owned(), value.clone());
    let params = Value::Object(params).to_string();
    b.at(&format!("{kind} {params}"));
    let kind_c = CString::new(kind).unwrap_or_default();
    let (code, job) = b.try_start(f.context, slide_for(kind, f), &kind_c, &params);
    let answered = matches!(code, HL_OK | HL_E_PARAMETER | HL_E_LIMIT);
    b.promise(answered, || format!("{kind} {params} gave {}", name_of(code)));
    if code == HL_OK {
        let _ = (b.api.hl_job_cancel)(job);
        let resolved = text_of(|d, c, n| (b.api.hl_job_params_json)(job, d, c, n)).unwrap_or_default();
        let resolved: Value = serde_json::from_str(&resolved).unwrap_or_default();
        let same = resolved[name] == *value || resolved[name].as_f64().is_some_and(|v| Some(v) == value.as_f64());
        b.promise(same, || format!("{kind} {params} was resolved to `{name}` {}", resolved[name]));
        b.wait(job);
        b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
    }
}

/// The table.
pub fn parameters(b: &Bench) {
    let f = b.furnish(Viewer::new().leak());
    for kind in kinds(&b.info()) {
        let schema = schema(b, &kind);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            for text in wrong(field) {
                refused(b, &f, &kind, &format!("{{\"{name}\": {text}}}"), name);
            }
            for value in edges(field).iter().filter(|_| name != "device") {
                taken(b, &f, &kind, name, value);
            }
            refused(b, &f, &kind, &format!("{{\"{name}_\": 1}}"), &format!("{name}_"));
            refused(b, &f, &kind, &format!("{{\"{}\": 1}}", name.to_uppercase()), &name.to_uppercase());
        }
        for text in ["{", "[]", "null", "5", "\"x\"", "{\"seed\": 1e999}", "{\"seed\": NaN}", "{} {}", "{\"a\\ud800\": 1}", "{'k': 1}"] {
            refused(b, &f, &kind, text, "");
        }
        refused(b, &f, &kind, &"[".repeat(200_000), "");
        refused(b, &f, &kind, &"{\"a\":".repeat(100_000), "");
    }
    b.works("after all of them", f.context, f.slide);
}
