//! Ops for hosts: what there is, whether a file is one, and a job that runs a chain of them on a picture. In: names, paths, parameters.
//! Out: JSON, or a tile with what the ops made of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use histoloom_core::diffuse::windows;
use histoloom_core::flags::TileFlags;
use histoloom_core::ops::{Applied, CELL_PX, Seen, Step, apply, picture};
use histoloom_core::params::{OpJob, OpStep, Params};
use histoloom_core::synth::SyntheticTile;
use histoloom_core::{Error, Job, Planes, export};
use histoloom_wasm_ops::{Registry, registry};
use serde_json::{Value, json};

use crate::failure::Result;
use crate::pipeline::names;
use crate::results::{ResultData, tile_summary};

/// Resolution of a picture that nobody told, in micrometres a pixel: that of the tiles.
const MPP: f64 = 0.5;
/// Side of a latent cell in pixels.
const LATENT_PX: u32 = 8;

/// The ops that ship.
pub fn list() -> Result<Value> {
    Ok(Registry::shipped()?.list_json())
}

/// What a file, or a folder of them, says of itself.
pub fn check(path: &str) -> Result<Value> {
    let path = Path::new(path);
    Ok(if path.is_dir() { Registry::with_folder(path)?.list_json() } else { registry::check(path)? })
}

/// A folder or file that cannot be used is a wrong parameter, for it is told before the job starts.
fn as_parameter<T>(field: &str, hint: &str, opened: histoloom_core::Result<T>) -> histoloom_core::Result<T> {
    opened.map_err(|e| match e {
        Error::Limit { .. } => e,
        e => Error::parameter(field, e.to_string(), hint),
    })
}

/// The ops of a chain, checked; those that ship, those of a folder, and that of a file can be named.
pub fn chain(ops: &[OpStep], folder: Option<&str>, file: Option<&str>) -> histoloom_core::Result<Vec<Step>> {
    let mut registry = as_parameter("ops_dir", "give a folder with .wasm files", Registry::open(folder))?;
    if let Some(file) = file {
        registry = as_parameter("file", "give a .wasm file that `histoloom ops check` takes", registry.with_file(Path::new(file)))?;
    }
    registry.chain(ops)
}

/// Runs a chain on a picture.
pub fn run(p: &OpJob, job: &Job) -> histoloom_core::Result<ResultData> {
    let steps = chain(&p.ops, p.ops_dir.as_deref(), p.file.as_deref())?;
    let source = picture::read(Path::new(&p.tile), p.labels.as_deref().map(Path::new))?;
    let (width, height) = source.rgb.dimensions();
    let scores = Planes::zeros(0, height.div_ceil(CELL_PX) as usize, width.div_ceil(CELL_PX) as usize);
    // windows of the networks meet in tiles of ours only
    let ours = source.synthetic && width == height && width.is_multiple_of(CELL_PX);
    let seams = if ours { windows::seams((width / LATENT_PX) as usize, LATENT_PX as usize) } else { Vec::new() };
    let seen = Seen { mpp: p.mpp.unwrap_or(MPP) as f32, seams: &seams, ..Seen::default() };
    job.stage("running ops", p.repeat.into());
    let (mut times, mut last) = (Vec::new(), None);
    for _ in 0..p.repeat {
        let began = Instant::now();
        last = Some(apply(&steps, source.rgb.clone(), &source.labels, &scores, seen, job)?);
        times.push((began.elapsed().as_secs_f64() * 1e6).round() / 1e3);
        job.advance(1);
    }
    let Some(applied) = last else { return Err(Error::internal("no op was to run")) };
    applied.notes.iter().for_each(|n| job.note(n.clone()));
    let tile = tile(p, &source, applied, scores);
    let files = p.out_dir.as_ref().map(|dir| export::write_processed(Path::new(dir), &tile, source.synthetic)).transpose()?;
    let summary = json!({
        "kind": OpJob::KIND,
        "synthetic": tile.provenance["synthetic"],
        "tiles": [tile_summary(&tile, true)],
        "kept": 1,
        "ops": tile.provenance["ops"],
        "flags": tile.flags.flags,
        "times_ms": times,
        "parameters": p,
        "notes": job.notes(),
        "files": names(&files.unwrap_or_default()),
    });
    Ok(ResultData { map: None, tiles: vec![tile], summary })
}

/// The picture as a tile, with what was done to it.
fn tile(p: &OpJob, source: &picture::Picture, applied: Applied, scores: Planes) -> SyntheticTile {
    let provenance = json!({
        "synthetic": if source.synthetic { json!(true) } else { Value::Null },
        "software": {"name": "histoloom", "version": env!("CARGO_PKG_VERSION")},
        "kind": OpJob::KIND,
        "picture": {"sha256": source.sha256},
        "parameters": {"ops": p.ops, "mpp": p.mpp},
        "ops": applied.records,
        "calibrated": false,
        "notes": applied.notes,
    });
    let flags =
        TileFlags { scores, names: Vec::new(), tile_scores: None, nearest: None, flags: applied.flags, calibration: None, fused: None };
    SyntheticTile { index: 0, rgb: applied.rgb, labels: applied.labels, crops: Vec::new(), flags, provenance, inputs: Arc::default() }
}
