//! Parameters of the dice: objects that nearly fit a schema, then bytes changed. What starts must be within its schema, and ends when it is
//! cancelled.

use std::ffi::CString;

use serde_json::{Map, Value, json};

use crate::bench::Bench;
use crate::checks::layout::{allows, kinds, schema};
use crate::checks::parameters::{base, slide_for};
use crate::dice::Dice;
use crate::ffi::{HL_E_ARGUMENT, HL_E_LIMIT, HL_E_PARAMETER, HL_E_UTF8, HL_OK, name_of, text_of};
use crate::viewer::Viewer;

/// What parsers stumble over.
const PIECES: [&[u8]; 8] = [b"{", b"[", b"\"", b",", b"1e999", b"\\u0000", b"\xED\xA0\x80", b"-"];

/// A value that may or may not fit.
fn value(dice: &mut Dice, field: &Value, deep: u32) -> Value {
    let near = [&field["minimum"], &field["maximum"], &field["default"]][dice.below(3)];
    match dice.below(12) {
        0 | 1 => near.clone(),
        2 => near.as_f64().map_or(Value::Null, |v| json!(v + [1.0, -1.0, 0.5, 1e-9][dice.below(4)])),
        3 => near.as_i64().map_or(Value::Null, |v| json!(v.wrapping_add(dice.below(9) as i64 - 4))),
        4 => json!(dice.any() as i64),
        5 => json!(f64::from_bits(dice.any())), // NaN and infinity become null
        6 => json!(dice.below(2) == 1),
        7 => Value::Null,
        8 if deep > 0 => (0..dice.below(5)).map(|_| value(dice, field, deep - 1)).collect(),
        9 if deep > 0 => (0..dice.below(4)).map(|i| (format!("{i}"), value(dice, field, deep - 1))).collect::<Map<_, _>>().into(),
        10 => field["enum"].as_array().map_or(json!(""), |all| dice.pick(all).clone()),
        _ => json!(["a", "x".repeat(dice.below(300)).as_str(), "\u{0}\u{7f}", "é🧪", "-1", "%s%n"][dice.below(6)]),
    }
}

/// Changes some bytes.
fn scratched(dice: &mut Dice, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.any() as u8),
            2 => bytes.extend_from_within(at..),
            3 => drop(bytes.splice(at..at, dice.pick(&PIECES).iter().copied())),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|x| *x = dice.any() as u8),
        }
    }
    bytes.retain(|x| *x != 0);
    bytes
}

/// One text.
fn params(dice: &mut Dice, kind: &str, fields: &Map<String, Value>) -> Vec<u8> {
    let mut object = base(kind);
    for (name, field) in fields {
        // Devices other than the processor would be opened for real.
        if dice.below(4) == 0 && name != "device" {
            object.insert(name.clone(), value(dice, field, 3));
        }
    }
    let text = Value::Object(object).to_string().into_bytes();
    if dice.below(3) == 0 { scratched(dice, text) } else { text }
}

/// All of it.
pub fn random_json(b: &Bench) {
    let f = b.furnish(Viewer::new().leak());
    let mut kinds: Vec<(String, Value)> = kinds(&b.info()).into_iter().map(|k| (k.clone(), schema(b, &k))).collect();
    kinds.push(("selftest".into(), json!({"properties": {"reads": {}, "side_px": {}, "downsample": {}, "steps": {}, "tiles": {}}})));
    let (mut dice, mut started) = (b.dice(0), 0);
    let rounds = b.times(2000, 100_000);
    for _ in 0..rounds {
        let (kind, schema) = dice.pick(&kinds);
        let Some(fields) = schema["properties"].as_object() else { continue };
        let bytes = params(&mut dice, kind, fields);
        let shown: String = String::from_utf8_lossy(&bytes).chars().take(160).collect();
        b.at(&format!("{kind} {shown}"));
        let (kind_c, text) = (CString::new(kind.as_str()).unwrap_or_default(), CString::new(bytes).unwrap_or_default());
        let mut job = 0;
        match (b.api.hl_job_start)(f.context, slide_for(kind, &f), kind_c.as_ptr(), text.as_ptr(), 0, &raw mut job) {
            HL_OK => {
                started += 1;
                stop(b, job, kind, fields, &shown);
            }
            HL_E_ARGUMENT | HL_E_PARAMETER | HL_E_LIMIT | HL_E_UTF8 => {}
            code => b.broken(&format!("{kind} {shown} gave {}", name_of(code))),
        }
    }
    b.works("after all of them", f.context, f.slide);
    b.note(&format!("{rounds} texts, {started} started"));
}

/// A job that started: cancelled, and within its schema.
fn stop(b: &Bench, job: u64, kind: &str, fields: &Map<String, Value>, shown: &str) {
    b.code(&format!("hl_job_cancel of {kind} {shown}"), (b.api.hl_job_cancel)(job), HL_OK);
    let resolved = text_of(|d, c, n| (b.api.hl_job_params_json)(job, d, c, n)).unwrap_or_default();
    let resolved: Value = serde_json::from_str(&resolved).unwrap_or_default();
    for (name, field) in fields.iter().filter(|_| kind != "selftest") {
        b.promise(allows(field, &resolved[name]), || format!("{kind} {shown} started with `{name}` {}", resolved[name]));
    }
    b.wait(job);
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
}
