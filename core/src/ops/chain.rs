//! All ops of a run on one tile, in order. In: the tile, its scores. Out: its pixels afterwards, flags and a record of each op. An
//! op that fails is recorded and flagged; the tile is not lost. What ops return is checked and capped here as well as in the
//! sandbox, because an [`Op`] may come from anywhere.

use std::sync::Arc;

use image::RgbImage;
use serde_json::{Map, Value, json};

use super::{Op, OpFlag, OpInput, OpOutput};
use crate::flags::Flag;
use crate::{Error, Job, Planes, Result};

/// Most flags of one op that are kept.
const FLAGS: usize = 256;
/// Most metrics of one op that are kept.
const METRICS: usize = 64;
/// Longest code or metric name, in characters.
const NAME: usize = 48;
/// Longest reason, in characters.
const REASON: usize = 240;

/// A tile after its ops.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its pixels.
    pub rgb: RgbImage,
    /// Whether any pixel changed.
    pub changed: bool,
    /// Flags the ops raised, and `OP_FAILED` for each that failed.
    pub flags: Vec<Flag>,
    /// One object an op for the provenance: name, version, sha256, outcome, changed pixels, metrics.
    pub records: Vec<Value>,
    /// What the user must be told.
    pub notes: Vec<String>,
}

/// Runs the ops one after the other. Fails only when the job is cancelled.
pub fn apply(ops: &[Arc<dyn Op>], rgb: RgbImage, labels: &[u8], scores: &Planes, job: &Job) -> Result<Applied> {
    let mut out = Applied { rgb, changed: false, flags: Vec::new(), records: Vec::new(), notes: Vec::new() };
    for op in ops {
        job.check()?;
        let input = OpInput { rgb: &out.rgb, labels, scores, params: "{}", cancelled: job.cancel_flag() };
        let done = op.run(&input).and_then(|o| checked(op.name(), o, &out.rgb));
        let mut record = json!({"name": op.name(), "version": op.version(), "sha256": op.sha256()});
        match done {
            Ok(o) => out.take(op.name(), o, scores, &mut record),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(e) => out.failed(op.name(), &e, &mut record),
        }
        out.records.push(record);
    }
    Ok(out)
}

impl Applied {
    fn take(&mut self, name: &str, o: OpOutput, scores: &Planes, record: &mut Value) {
        let mut changed = 0;
        if let Some(rgb) = o.rgb {
            changed = rgb.pixels().zip(self.rgb.pixels()).filter(|(a, b)| a != b).count();
            self.rgb = rgb;
        }
        self.changed |= changed > 0;
        let dropped = o.flags.len().saturating_sub(FLAGS);
        if dropped > 0 {
            self.notes.push(format!("op {name} raised {} flags; the first {FLAGS} are kept", o.flags.len()));
        }
        self.flags.extend(o.flags.iter().take(FLAGS).map(|f| cleaned(f, scores)));
        let finite = o.metrics.iter().filter(|(_, v)| v.is_finite()).take(METRICS);
        let metrics: Map<String, Value> = finite.map(|(k, v)| (plain(k, NAME), json!(v))).collect();
        record["outcome"] = json!("ok");
        record["changed_pixels"] = json!(changed);
        record["metrics"] = Value::Object(metrics);
    }

    fn failed(&mut self, name: &str, e: &Error, record: &mut Value) {
        let why = plain(&e.to_string(), REASON);
        record["outcome"] = json!("failed");
        record["error"] = json!(why);
        self.notes.push(format!("op {name} failed and changed nothing: {why}"));
        self.flags.push(Flag::tile("OP_FAILED", format!("The op {name} failed on this tile: {why}")));
    }
}

/// An op's output if its picture has the tile's size.
fn checked(name: &str, o: OpOutput, rgb: &RgbImage) -> Result<OpOutput> {
    match &o.rgb {
        Some(new) if new.dimensions() != rgb.dimensions() => {
            let (w, h) = new.dimensions();
            Err(Error::Op {
                op: name.into(),
                why: format!("returned a picture of {w} x {h} for a tile of {} x {}", rgb.width(), rgb.height()),
            })
        }
        _ => Ok(o),
    }
}

/// A flag with a plain code, a short reason and a cell that exists.
fn cleaned(f: &OpFlag, scores: &Planes) -> Flag {
    let code: String = f.code.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(NAME).collect();
    let cell = f.cell.filter(|(r, c)| (*r as usize) < scores.height && (*c as usize) < scores.width);
    Flag { cell, ..Flag::tile(if code.is_empty() { "OP_FLAG" } else { &code }, plain(&f.reason, REASON)) }
}

/// Text without control characters, cut to a length.
fn plain(text: &str, length: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(length).collect()
}
