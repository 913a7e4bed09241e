//! The only place that calls the other rooms. In: a job's kind and JSON parameters, pixels, earlier results. Out: a [`ResultData`].
//! A job kind is a variant of [`Work`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use histoloom_core::flags::Judge;
use histoloom_core::params::{
    self, AtlasFit, AtlasMerge, AtlasName, AtlasSample, Calibrate, Cluster, Edit, Eval, Import, IndexSlide, OpJob, Params, Plant, Synth,
};
use histoloom_core::semantic_map::{self, Encoders, SemanticMap, edit};
use histoloom_core::synth::{Nets, SyntheticTile};
use histoloom_core::{Encoder, Error, Job, eval, export, synth};
use histoloom_models::{DeviceReport, Engine, flag_files, import, weights};
use histoloom_wasm_ops::Registry;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::atlas::{self, AtlasWork};
use crate::failure::{Failure, Result};
use crate::flags::{self, FlagsWork};
use crate::host::HostSource;
use crate::results::{ResultData, k_summary, map_summary, tile_summary};
use crate::selftest::{self, Selftest};
use crate::types::{HL_ABI_VERSION, HL_E_ARGUMENT, HL_E_UNSUPPORTED};
use crate::{located, ops};

/// Tiles of a result that stay in memory, in bytes of pixels; files have all of them.
const KEPT_BYTES: u64 = 256 << 20;

/// Most engines a context keeps, each with its networks (about 100 MB): one to work with and one to compare.
const ENGINES: usize = 2;

/// The job kinds for hosts.
const KINDS: [&str; 13] = [
    Cluster::KIND,
    Edit::KIND,
    Synth::KIND,
    Import::KIND,
    Eval::KIND,
    AtlasSample::KIND,
    AtlasMerge::KIND,
    AtlasFit::KIND,
    AtlasName::KIND,
    Plant::KIND,
    Calibrate::KIND,
    IndexSlide::KIND,
    OpJob::KIND,
];

/// What a job does, with checked parameters.
pub enum Work {
    /// Slide to map.
    Cluster(Cluster),
    /// Map to the map with other classes.
    Edit(Edit),
    /// Map to tiles.
    Synth(Box<Synth>),
    /// Checkpoint to weight files.
    Import(Import),
    /// Slide and its map to figures.
    Eval(Eval),
    /// Slides to an atlas, step by step.
    Atlas(AtlasWork),
    /// Slides to a calibration of flags, step by step.
    Flags(FlagsWork),
    /// A picture through a chain of ops.
    Op(OpJob),
    /// Callbacks only.
    Selftest(Selftest),
}

/// The networks of a context, opened once a device and thread count.
pub struct Engines {
    models_dir: PathBuf,
    device: String,
    threads: u32,
    open: Mutex<Vec<Opened>>,
}

/// An engine and the device and threads it was opened with.
struct Opened {
    device: String,
    threads: usize,
    engine: Arc<Engine>,
}

impl Engines {
    /// Nothing is loaded yet.
    pub fn new(models_dir: PathBuf, device: String, threads: u32) -> Self {
        Self { models_dir, device, threads, open: Mutex::default() }
    }

    fn get(&self, device: &str, threads: usize) -> histoloom_core::Result<Arc<Engine>> {
        self.open.lock().retain(|o| !o.engine.lost());
        let found = || self.open.lock().iter().find(|o| o.device == device && o.threads == threads).map(|o| o.engine.clone());
        if let Some(engine) = found() {
            return Ok(engine);
        }
        // Opened without the lock, which a slow device would otherwise hold; where two come at once, the first is kept.
        let engine = Arc::new(Engine::open(device, &self.models_dir, threads)?);
        if let Some(first) = found() {
            return Ok(first);
        }
        let mut open = self.open.lock();
        if open.len() == ENGINES {
            open.remove(0);
        }
        open.push(Opened { device: device.to_owned(), threads, engine: engine.clone() });
        Ok(engine)
    }

    /// The parameters with the context's device and threads where they do not say. What is no JSON object stays as it is, for the
    /// parser to complain about.
    fn completed(&self, text: &str) -> String {
        let text = if text.trim().is_empty() { "{}" } else { text };
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(mut given)) => {
                given.entry("device").or_insert_with(|| json!(self.device));
                given.entry("threads").or_insert_with(|| json!(self.threads));
                Value::Object(given).to_string()
            }
            _ => text.to_owned(),
        }
    }
}

/// Checks a job's kind, parameters and inputs; the resolved parameters come back with the work.
pub fn prepare(kind: &str, text: &str, engines: &Engines, slide: bool, result: bool) -> Result<(Work, String)> {
    let wrong = |why: &str| Err(Failure::new(HL_E_ARGUMENT, format!("the job `{kind}` {why}")));
    match kind {
        "cluster" if !slide => wrong("reads a slide; open one and pass its handle"),
        "cluster" if result => wrong("takes no earlier result; pass 0"),
        "cluster" => {
            let p: Cluster = params::parse(&engines.completed(text))?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Cluster(p), resolved))
        }
        "synth" if slide => wrong("works from a map, not from a slide; pass 0 and a result or \"from\""),
        "synth" => {
            let p: Synth = params::parse(&engines.completed(text))?;
            check_from(p.from.is_some(), result)?;
            check_memory(&p)?;
            ops::chain(&p.ops, p.ops_dir.as_deref(), None)?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Synth(Box::new(p)), resolved))
        }
        "edit" if slide => wrong("works from a map, not from a slide; pass 0 and a result or \"from\""),
        "edit" => {
            let p: Edit = params::parse(text)?;
            check_from(p.from.is_some(), result)?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Edit(p), resolved))
        }
        "import" if slide || result => wrong("reads a file; pass 0 for slide and input"),
        "import" => {
            let p: Import = params::parse(text)?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Import(p), resolved))
        }
        "eval" if !slide => wrong("reads real tiles; open the slide and pass its handle"),
        "eval" if result => wrong("takes no earlier result; name the map's folder in \"from\""),
        "eval" => {
            let p: Eval = params::parse(&engines.completed(text))?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Eval(p), resolved))
        }
        "atlas_sample" if !slide => wrong("reads a slide; open one and pass its handle"),
        "atlas_sample" if result => wrong("takes no earlier result; pass 0"),
        "atlas_merge" | "atlas_fit" | "atlas_name" if slide || result => wrong("reads files; pass 0 for slide and input"),
        "atlas_sample" | "atlas_merge" | "atlas_fit" | "atlas_name" => {
            let completed = if kind == AtlasSample::KIND { engines.completed(text) } else { text.to_owned() };
            let (work, resolved) = atlas::prepare(kind, &completed)?;
            Ok((Work::Atlas(work), resolved))
        }
        "flags_plant" | "flags_index" if !slide => wrong("reads a slide; open one and pass its handle"),
        "flags_plant" | "flags_index" if result => wrong("takes no earlier result; pass 0"),
        "flags_calibrate" if slide || result => wrong("reads files; pass 0 for slide and input"),
        "flags_plant" | "flags_calibrate" | "flags_index" => {
            let completed = if kind == Calibrate::KIND { text.to_owned() } else { engines.completed(text) };
            let (work, resolved) = flags::prepare(kind, &completed)?;
            Ok((Work::Flags(work), resolved))
        }
        "op" if slide || result => wrong("reads a picture; pass 0 for slide and input"),
        "op" => {
            let p: OpJob = params::parse(text)?;
            ops::chain(&p.ops, p.ops_dir.as_deref(), p.file.as_deref())?;
            let resolved = params::resolved(&p)?;
            Ok((Work::Op(p), resolved))
        }
        "selftest" => {
            let p = selftest::parse(text)?;
            let resolved = serde_json::to_string(&p).map_err(|e| Error::internal(e.to_string()))?;
            Ok((Work::Selftest(p), resolved))
        }
        _ => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> Failure {
    Failure::new(HL_E_UNSUPPORTED, format!("job kind `{kind}` is not known; known are {}", KINDS.join(", ")))
}

/// A map comes from a folder or from a result, never from both.
fn check_from(folder: bool, result: bool) -> histoloom_core::Result<()> {
    if folder != result {
        return Ok(());
    }
    let why = if result { "is given beside a result" } else { "is missing and no result is given" };
    Err(Error::parameter("from", why, "pass the result of a cluster or edit job, or the folder of one"))
}

/// Pixels and labels of a tile.
fn tile_bytes(side_px: u32) -> u64 {
    4 * u64::from(side_px) * u64::from(side_px)
}

/// Without files, all tiles must fit into memory.
fn check_memory(p: &Synth) -> histoloom_core::Result<()> {
    let bytes = u64::from(p.n) * tile_bytes(p.size_px);
    if p.out_dir.is_none() && bytes > KEPT_BYTES {
        return Err(Error::Limit {
            field: "n".into(),
            value: format!("{} tiles of {} px ({} MB)", p.n, p.size_px, bytes >> 20),
            limit: format!("{} MB without files", KEPT_BYTES >> 20),
            hint: "give out_dir, so that tiles go to files as they are made".into(),
        });
    }
    Ok(())
}

/// Runs a job.
pub fn run(work: Work, engines: &Engines, source: Option<HostSource>, from: Option<&ResultData>, job: &Job) -> Result<ResultData> {
    Ok(match work {
        Work::Selftest(p) => selftest::run(&p, source.as_ref(), job)?,
        Work::Cluster(p) => match source {
            Some(source) => cluster(&p, engines, &source, job)?,
            None => return Err(Failure::argument("slide", "is 0")),
        },
        Work::Edit(p) => edited(&p, from, job)?,
        Work::Synth(p) => synthesise(&p, engines, from, job)?,
        Work::Import(p) => imported(&p, job)?,
        Work::Atlas(AtlasWork::Sample(p)) => match source {
            Some(source) => atlas::sample(&p, &*engine(engines, &p.device, p.threads, job)?, &source, job)?,
            None => return Err(Failure::argument("slide", "is 0")),
        },
        Work::Atlas(work) => atlas::run(&work, job)?,
        Work::Flags(work) => {
            let device = work.device();
            let engine = device.map(|(device, threads)| engine(engines, device, threads, job)).transpose()?;
            flags::run(&work, engine.as_deref(), source.as_ref(), job)?
        }
        Work::Op(p) => ops::run(&p, job)?,
        Work::Eval(p) => match source {
            Some(source) => evaluate(&p, engines, &source, job)?,
            None => return Err(Failure::argument("slide", "is 0")),
        },
    })
}

/// The engine of a job, said loudly.
fn engine(engines: &Engines, device: &str, threads: usize, job: &Job) -> histoloom_core::Result<Arc<Engine>> {
    job.stage("loading the models", 0);
    let engine = engines.get(device, threads)?;
    let report = engine.device();
    job.note(format!("device: {} ({})", report.name, report.kind));
    for refused in &report.refused {
        job.note(format!("device: {refused}"));
    }
    job.check()?;
    Ok(engine)
}

/// The encoder of a folder, named loudly with its licence.
pub fn encoder_of_the_users(engine: &Engine, dir: Option<&str>, job: &Job) -> histoloom_core::Result<Option<Arc<dyn Encoder>>> {
    let given = dir.map(|dir| engine.encoder_from(Path::new(dir))).transpose()?;
    if let Some(encoder) = &given {
        job.note(format!("encoder: {} (licence: {})", encoder.id(), encoder.licence()));
    }
    Ok(given)
}

fn cluster(p: &Cluster, engines: &Engines, source: &HostSource, job: &Job) -> histoloom_core::Result<ResultData> {
    if let Some(dir) = p.out_dir.as_deref().map(Path::new) {
        export::check_map(dir)?;
        export::check_folder(dir)?;
    }
    let engine = engine(engines, &p.device, p.threads, job)?;
    let bank = engine.encoder()?;
    let given = encoder_of_the_users(&engine, p.encoder.as_deref(), job)?;
    let encoders = Encoders { classes: given.as_deref().unwrap_or(&*bank), bank: &*bank };
    job.check()?;
    let there = p.out_dir.as_ref().filter(|_| p.skip_done).and_then(|dir| export::read_map(Path::new(dir)).ok());
    let there = match there {
        Some(map) if semantic_map::made_already(&map, source, encoders, p)? => Some(map),
        _ => None,
    };
    let done = there.is_some();
    let map = there.map_or_else(|| semantic_map::run_with(source, encoders, p, job), Ok)?;
    let mut files = Vec::new();
    if let Some(dir) = p.out_dir.as_ref().filter(|dir| !done || !export::has_views(Path::new(dir))) {
        job.stage("writing files", 1);
        files = export::Held::of(Path::new(dir))?.write(&map, p.threads, job)?;
        job.advance(1);
    }
    let summary = json!({
        "kind": Cluster::KIND,
        "already_done": done,
        "map": map_summary(&map),
        "k": k_summary(&map, p.k),
        "parameters": p,
        "provenance": map.provenance,
        "device": device_json(engine.device()),
        "notes": job.notes(),
        "files": names(&files),
    });
    Ok(ResultData { map: Some(Arc::new(map)), tiles: Vec::new(), summary })
}

/// The map a job starts from.
fn map_of(result: Option<&ResultData>, folder: Option<&str>) -> Result<Arc<SemanticMap>> {
    match (result, folder) {
        (Some(result), _) => Ok(result.map()?.clone()),
        (None, Some(dir)) => Ok(Arc::new(export::read_map(Path::new(dir))?)),
        (None, None) => Err(Error::parameter("from", "is missing", "pass the result or the folder of a cluster job").into()),
    }
}

fn edited(p: &Edit, from: Option<&ResultData>, job: &Job) -> Result<ResultData> {
    job.stage("editing the map", 0);
    // from before the map is read until it is written, so that no other run's edit is lost
    let held = p.out_dir.as_ref().map_or(Ok(None), |dir| export::Held::of_map(Path::new(dir)))?;
    let map = edit::edited(&*map_of(from, p.from.as_deref())?, p.undo, &p.edits)?;
    job.check()?;
    let mut files = Vec::new();
    if let Some(dir) = &p.out_dir {
        job.stage("writing files", 1);
        let held = held.map_or_else(|| export::Held::of(Path::new(dir)), Ok)?;
        files = held.write(&map, 0, job)?;
        job.advance(1);
    }
    let summary = json!({
        "kind": Edit::KIND,
        "map": map_summary(&map),
        "history": map.history.as_ref().map_or(&[][..], |h| &h.edits),
        "parameters": p,
        "provenance": map.provenance,
        "notes": job.notes(),
        "files": names(&files),
    });
    Ok(ResultData { map: Some(Arc::new(map)), tiles: Vec::new(), summary })
}

fn imported(p: &Import, job: &Job) -> histoloom_core::Result<ResultData> {
    let path = |given: &Option<String>| PathBuf::from(given.as_deref().unwrap_or_default());
    let made = import::run(&path(&p.file), &path(&p.out_dir), job)?;
    job.note(format!("licence of the imported weights: {}", import::LICENCE));
    let summary = json!({
        "kind": Import::KIND,
        "imported": made,
        "parameters": p,
        "notes": job.notes(),
        "files": names(&made.files),
    });
    Ok(ResultData { map: None, tiles: Vec::new(), summary })
}

fn evaluate(p: &Eval, engines: &Engines, source: &HostSource, job: &Job) -> histoloom_core::Result<ResultData> {
    p.out_dir.as_ref().map_or(Ok(()), |dir| export::check_report(Path::new(dir)))?;
    let engine = engine(engines, &p.device, p.threads, job)?;
    let map = export::read_map(Path::new(&p.from))?;
    let other = p.other.as_ref().map(|dir| export::read_map(Path::new(dir))).transpose()?;
    let (codec, denoiser, encoder) = (engine.codec()?, engine.denoiser()?, engine.encoder()?);
    let refiner = if p.tiles()?.refine { Some(engine.refiner()?) } else { None };
    let nets = Nets::new(&*codec, &*denoiser, &*encoder).refined(refiner.as_deref()).on(&engine.device().name);
    let (report, sheet) = eval::run(source, &map, other.as_ref(), &nets, p, job)?;
    let files = p.out_dir.as_ref().map(|dir| export::write_report(Path::new(dir), &report, &sheet)).transpose()?.unwrap_or_default();
    let summary = json!({
        "kind": Eval::KIND,
        "report": report,
        "parameters": p,
        "device": device_json(engine.device()),
        "notes": job.notes(),
        "files": names(&files),
    });
    Ok(ResultData { map: Some(Arc::new(map)), tiles: Vec::new(), summary })
}

fn synthesise(p: &Synth, engines: &Engines, from: Option<&ResultData>, job: &Job) -> Result<ResultData> {
    let engine = engine(engines, &p.device, p.threads, job)?;
    let map = map_of(from, p.from.as_deref())?;
    let ops = ops::chain(&p.ops, p.ops_dir.as_deref(), None)?;
    let (codec, denoiser, encoder) = (engine.codec()?, engine.denoiser()?, engine.encoder()?);
    let refiner = if p.refine { Some(engine.refiner()?) } else { None };
    let nets = Nets::new(&*codec, &*denoiser, &*encoder).refined(refiner.as_deref()).on(&engine.device().name);
    let published = p.model.as_ref().map(|dir| engine.paper(Path::new(dir))).transpose()?;
    let nets = published.as_ref().map_or(nets, |own| nets.published(&*own.codec, &*own.denoiser));
    let files = engine.flag_files(p.calibration.as_deref().map(Path::new))?;
    let atlas = map.classes_of();
    let (calibration, why) = match files.calibration(&nets.hashes(p.refine), atlas) {
        Ok(calibration) => (Some(calibration), None),
        Err(why) => (None, Some(why)),
    };
    why.iter().for_each(|why| job.note(format!("no calibration of the flags: {why}; every tile counts as flagged")));
    let untested = if calibration.is_some() { differing(p)? } else { Vec::new() };
    if !untested.is_empty() {
        let told = untested.join(", ");
        job.note(format!("the bound of the flags was found on tiles of 256 px made by the preset default; here differ: {told}"));
    }
    let duplicates = files.index().map(|(index, _)| index);
    let nets = nets.judged(Judge { calibration, uncalibrated: why.as_deref(), duplicates, rendering: None });
    let mut tiles = Tiles::begin(p, &map)?;
    synth::run(&map, &nets, &ops, p, job, &mut |tile| tiles.take(tile, &map))?;
    let Tiles { kept, lines, set, .. } = tiles;
    let files = set.map_or_else(|| Ok(Vec::new()), |set| set.finish(&map))?;
    let summary = json!({
        "kind": Synth::KIND,
        "synthetic": true,
        "map": map_summary(&map),
        "tiles": lines,
        "kept": kept.len(),
        "parameters": p,
        "device": device_json(engine.device()),
        "notes": job.notes(),
        "files": names(&files),
    });
    Ok(ResultData { map: Some(map), tiles: kept, summary })
}

/// Titles of the parameters by which tiles differ from those that flags were calibrated on.
fn differing(p: &Synth) -> histoloom_core::Result<Vec<&'static str>> {
    let resolved = |p: &Synth| serde_json::to_value(p).map_err(|e| Error::internal(e.to_string()));
    let (asked, usual) = (resolved(p)?, resolved(&params::parse("{}")?)?);
    let looked_at = ["size_px", "steps", "sampler", "eta", "guidance", "rescale", "anchor", "interval", "init", "mix", "measures"];
    Ok(looked_at.into_iter().filter(|key| asked[*key] != usual[*key]).map(params::title::<Synth>).collect())
}

/// Tiles as they come: into files, into the summary, and into memory while there is room.
struct Tiles {
    set: Option<export::DataSet>,
    kept: Vec<SyntheticTile>,
    kept_bytes: u64,
    lines: Vec<Value>,
}

impl Tiles {
    fn begin(p: &Synth, map: &SemanticMap) -> histoloom_core::Result<Self> {
        let set = p.out_dir.as_ref().map(|dir| export::DataSet::create(Path::new(dir), map, p.keep_flagged)).transpose()?;
        Ok(Self { set, kept: Vec::new(), kept_bytes: 0, lines: Vec::new() })
    }

    fn take(&mut self, tile: SyntheticTile, map: &SemanticMap) -> histoloom_core::Result<()> {
        let bytes = tile_bytes(tile.rgb.width().max(tile.rgb.height()));
        let keep = self.kept_bytes + bytes <= KEPT_BYTES;
        self.lines.push(tile_summary(&tile, keep));
        if keep {
            self.kept_bytes += bytes;
            self.kept.push(tile.clone());
        }
        if let Some(set) = &mut self.set {
            set.add(tile, map)?;
        }
        Ok(())
    }
}

pub fn device_json(report: &DeviceReport) -> Value {
    json!({"name": report.name, "kind": report.kind, "refused": report.refused})
}

/// Paths as the host gave their folder.
pub fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|f| f.display().to_string()).collect()
}

/// The JSON schema of a job kind.
pub fn schema(kind: &str) -> Result<Value> {
    match kind {
        "cluster" => Ok(params::schema::<Cluster>()),
        "edit" => Ok(params::schema::<Edit>()),
        "synth" => Ok(params::schema::<Synth>()),
        "import" => Ok(params::schema::<Import>()),
        "eval" => Ok(params::schema::<Eval>()),
        "atlas_sample" => Ok(params::schema::<AtlasSample>()),
        "atlas_merge" => Ok(params::schema::<AtlasMerge>()),
        "atlas_fit" => Ok(params::schema::<AtlasFit>()),
        "atlas_name" => Ok(params::schema::<AtlasName>()),
        "flags_plant" => Ok(params::schema::<Plant>()),
        "flags_calibrate" => Ok(params::schema::<Calibrate>()),
        "flags_index" => Ok(params::schema::<IndexSlide>()),
        "op" => Ok(params::schema::<OpJob>()),
        _ => Err(unknown(kind)),
    }
}

/// Adapters, and why one is refused.
pub fn devices() -> Value {
    histoloom_models::devices_json()
}

/// What a file of ours says of itself; a folder of weight files: its manifest.
pub fn inspect(path: &str) -> Result<Value> {
    let path = Path::new(path);
    let of_models = path.join("manifest.json");
    if path.join("map.json").exists() || !of_models.exists() {
        return Ok(export::inspect(path)?);
    }
    match weights::manifest(path) {
        Ok(manifest) => Ok(serde_json::to_value(manifest).map_err(|e| Error::internal(e.to_string()))?),
        // A data set's folder has a manifest too.
        Err(not_weights) => Ok(export::inspect(&of_models).map_err(|_| not_weights)?),
    }
}

/// Version and target.
pub fn build_info() -> Value {
    json!({
        "name": "histoloom",
        "version": env!("CARGO_PKG_VERSION"),
        "abi": format!("{}.{}", HL_ABI_VERSION >> 16, HL_ABI_VERSION & 0xFFFF),
        "arch": std::env::consts::ARCH,
        "os": std::env::consts::OS,
        "debug": cfg!(debug_assertions),
        "kinds": KINDS,
    })
}

/// Opens everything once and tells what is missing.
pub fn doctor(engines: &Engines) -> Value {
    let mut missing = Vec::new();
    let note = |missing: &mut Vec<String>, what: &str, e: Error| {
        missing.push(format!("{what}: {e}"));
        Value::Null
    };
    let mut weights = Vec::new();
    let device = match engines.get(&engines.device, engines.threads as usize) {
        Err(e) => note(&mut missing, "device", e),
        Ok(engine) => {
            let loaded = [
                ("encoder", engine.encoder().map(|n| n.sha256().to_owned())),
                ("codec", engine.codec().map(|n| n.sha256().to_owned())),
                ("denoiser", engine.denoiser().map(|n| n.sha256().to_owned())),
                ("refiner", engine.refiner().map(|n| n.sha256().to_owned())),
            ];
            for (network, sha256) in loaded {
                let sha256 = sha256.map_or_else(|e| note(&mut missing, network, e), Value::String);
                weights.push(json!({"network": network, "ok": !sha256.is_null(), "sha256": sha256}));
            }
            device_json(engine.device())
        }
    };
    let mut flags = serde_json::Map::new();
    if let Ok(files) = engines.get(&engines.device, engines.threads as usize).and_then(|e| e.flag_files(None)) {
        for (what, found) in files.told() {
            let told = match found {
                Ok(sha256) => json!({ "sha256": sha256 }),
                Err(why) => {
                    missing.push(format!("{what}: none, so every tile counts as flagged ({why})"));
                    json!({ "missing": why })
                }
            };
            flags.insert(what.to_owned(), told);
        }
    }
    let atlas =
        flag_files::atlas(&engines.models_dir).map(|(atlas, sha256)| json!({ "ok": true, "sha256": sha256, "types": atlas.leaves.len() }));
    let atlas = atlas.unwrap_or_else(|e| note(&mut missing, "atlas", e));
    let ops = Registry::shipped().map_or_else(|e| note(&mut missing, "ops", e), |r| r.list_json());
    json!({
        "ok": missing.is_empty(),
        "build": build_info(),
        "library": { "path": located::own_file().map(|path| path.display().to_string()) },
        "models": engines.models_dir.display().to_string(),
        "devices": devices(),
        "device": device,
        "weights": weights,
        "atlas": atlas,
        "flags": flags,
        "ops": ops,
        "missing": missing,
    })
}
