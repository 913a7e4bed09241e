//! All ops of a run on one tile, in order. In: the tile, its scores, what else is known of it. Out: its pixels and labels afterwards,
//! flags and a record of each op. An op that fails is recorded and flagged; the tile is not lost. What ops return is checked and capped
//! here as well as in the sandbox, because an [`Op`] may come from anywhere.

use std::sync::Arc;

use image::RgbImage;
use serde_json::{Map, Value, json};

use super::{Op, OpFlag, OpInput, OpOutput, Seen};
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

/// An op with its parameters, checked.
#[derive(Clone)]
pub struct Step {
    op: Arc<dyn Op>,
    params: Map<String, Value>,
    text: String,
}

impl Step {
    /// With parameters as JSON; an error that names the op and the parameter.
    pub fn new(op: Arc<dyn Op>, params: &str) -> Result<Self> {
        let params = op.resolved(params)?;
        let text = serde_json::to_string(&params).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Self { op, params, text })
    }

    /// The op.
    pub fn op(&self) -> &dyn Op {
        &*self.op
    }

    /// What the provenance tells of it before it ran.
    fn record(&self) -> Value {
        json!({"name": self.op.name(), "version": self.op.version(), "sha256": self.op.sha256(), "params": self.params})
    }
}

/// A tile after its ops.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its pixels.
    pub rgb: RgbImage,
    /// Its labels.
    pub labels: Vec<u8>,
    /// Whether any pixel or label changed.
    pub changed: bool,
    /// Flags the ops raised, and `OP_FAILED` for each that failed.
    pub flags: Vec<Flag>,
    /// One object an op for the provenance: name, version, sha256, parameters, outcome, changed pixels and labels, metrics.
    pub records: Vec<Value>,
    /// What the user must be told.
    pub notes: Vec<String>,
}

/// Runs the ops one after the other; each sees what the one before it left. Fails only when the job is cancelled.
pub fn apply(steps: &[Step], rgb: RgbImage, labels: &[u8], scores: &Planes, seen: Seen<'_>, job: &Job) -> Result<Applied> {
    let labels = labels.to_vec();
    let mut out = Applied { rgb, labels, changed: false, flags: Vec::new(), records: Vec::new(), notes: Vec::new() };
    for step in steps {
        job.check()?;
        let op = step.op();
        let input = OpInput { rgb: &out.rgb, labels: &out.labels, scores, seen, params: &step.text, cancelled: job.cancel_flag() };
        let done = op.run(&input).and_then(|o| checked(op.name(), o, &out.rgb, &out.labels));
        let mut record = step.record();
        match done {
            Ok(o) => out.take(op.name(), o, &mut record),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(e) => out.failed(op.name(), &e, &mut record),
        }
        out.records.push(record);
    }
    Ok(out)
}

impl Applied {
    fn take(&mut self, name: &str, o: OpOutput, record: &mut Value) {
        let (mut pixels, mut labels) = (0, 0);
        if let Some(rgb) = o.rgb {
            pixels = rgb.pixels().zip(self.rgb.pixels()).filter(|(a, b)| a != b).count();
            self.rgb = rgb;
        }
        if let Some(new) = o.labels {
            labels = new.iter().zip(&self.labels).filter(|(a, b)| a != b).count();
            self.labels = new;
        }
        self.changed |= pixels + labels > 0;
        let dropped = o.flags.len().saturating_sub(FLAGS);
        if dropped > 0 {
            self.notes.push(format!("op {name} raised {} flags; the first {FLAGS} are kept", o.flags.len()));
        }
        let raster = (self.rgb.height().div_ceil(super::CELL_PX), self.rgb.width().div_ceil(super::CELL_PX));
        self.flags.extend(o.flags.iter().take(FLAGS).map(|f| cleaned(f, raster)));
        let finite = o.metrics.iter().filter(|(_, v)| v.is_finite()).take(METRICS);
        let metrics: Map<String, Value> = finite.map(|(k, v)| (plain(k, NAME), json!(v))).collect();
        record["outcome"] = json!("ok");
        record["changed_pixels"] = json!(pixels);
        record["changed_labels"] = json!(labels);
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

/// An op's output if its picture has the tile's size and its labels are of classes that the tile had.
fn checked(name: &str, o: OpOutput, rgb: &RgbImage, labels: &[u8]) -> Result<OpOutput> {
    let bad = |why: String| Err(Error::Op { op: name.into(), why });
    if let Some((w, h)) = o.rgb.as_ref().map(RgbImage::dimensions).filter(|size| *size != rgb.dimensions()) {
        return bad(format!("returned a picture of {w} x {h} for a tile of {} x {}", rgb.width(), rgb.height()));
    }
    match o.labels.as_ref() {
        Some(new) if new.len() != labels.len() => bad(format!("returned {} labels for a tile of {}", new.len(), labels.len())),
        Some(new) => match foreign(new, labels) {
            Some(label) => bad(format!("wrote the label {label}, which the tile does not have")),
            None => Ok(o),
        },
        None => Ok(o),
    }
}

/// A label that is neither background nor in the tile, if there is one.
pub fn foreign(new: &[u8], old: &[u8]) -> Option<u8> {
    let mut known = [false; 256];
    known[0] = true;
    old.iter().for_each(|l| known[usize::from(*l)] = true);
    new.iter().copied().find(|l| !known[usize::from(*l)])
}

/// A flag with a plain code, a short reason and a cell that exists.
fn cleaned(f: &OpFlag, (rows, columns): (u32, u32)) -> Flag {
    let code: String = f.code.to_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(NAME).collect();
    let cell = f.cell.filter(|(r, c)| *r < rows && *c < columns);
    Flag { cell, ..Flag::tile(if code.is_empty() { "OP_FLAG" } else { &code }, plain(&f.reason, REASON)) }
}

/// Text without control characters, cut to a length.
fn plain(text: &str, length: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(length).collect()
}
