//! Jobs that calibrate flags. In: a slide and its map; folders of scored tiles. Out: files, and a summary of what was found.

use std::path::{Path, PathBuf};

use histoloom_core::calibrate::{self, Networks};
use histoloom_core::flags::duplicates::Index;
use histoloom_core::params::{self, Calibrate, IndexSlide, Params, Plant};
use histoloom_core::synth::Nets;
use histoloom_core::tiles::{Glass, thumbnail};
use histoloom_core::{Error, Job, TileSource, export};
use histoloom_models::Engine;
use serde_json::{Value, json};

use crate::failure::Result;
use crate::host::HostSource;
use crate::pipeline::{device_json, names};
use crate::results::ResultData;

/// Unit of a new index: embeddings of the shipped encoder lie within 16.
const SCALE: f32 = 0.125;

/// A step.
pub enum FlagsWork {
    /// A slide and its map to scored tiles.
    Plant(Plant),
    /// Scored tiles to a calibration.
    Calibrate(Calibrate),
    /// A slide to an index.
    Index(IndexSlide),
}

impl FlagsWork {
    /// Device and threads of the steps that use networks.
    pub fn device(&self) -> Option<(&str, usize)> {
        match self {
            Self::Plant(p) => Some((&p.device, p.threads)),
            Self::Index(p) => Some((&p.device, p.threads)),
            Self::Calibrate(_) => None,
        }
    }
}

/// Checks the parameters of a step.
pub fn prepare(kind: &str, text: &str) -> Result<(FlagsWork, String)> {
    Ok(match kind {
        Plant::KIND => {
            let p: Plant = params::parse(text)?;
            let resolved = params::resolved(&p)?;
            (FlagsWork::Plant(p), resolved)
        }
        IndexSlide::KIND => {
            let p: IndexSlide = params::parse(text)?;
            let resolved = params::resolved(&p)?;
            (FlagsWork::Index(p), resolved)
        }
        _ => {
            let p: Calibrate = params::parse(text)?;
            let resolved = params::resolved(&p)?;
            (FlagsWork::Calibrate(p), resolved)
        }
    })
}

/// Runs a step.
pub fn run(work: &FlagsWork, engine: Option<&Engine>, source: Option<&HostSource>, job: &Job) -> histoloom_core::Result<ResultData> {
    let lacking = || Error::internal("a slide and networks are needed");
    let summary = match work {
        FlagsWork::Calibrate(p) => calibrated(p, job)?,
        FlagsWork::Plant(p) => planted(p, engine.ok_or_else(lacking)?, source.ok_or_else(lacking)?, job)?,
        FlagsWork::Index(p) => indexed(p, engine.ok_or_else(lacking)?, source.ok_or_else(lacking)?, job)?,
    };
    Ok(ResultData { map: None, tiles: Vec::new(), summary })
}

fn planted(p: &Plant, engine: &Engine, source: &HostSource, job: &Job) -> histoloom_core::Result<Value> {
    let map = export::read_map(Path::new(&p.from))?;
    let (codec, denoiser, encoder, refiner) = (engine.codec()?, engine.denoiser()?, engine.encoder()?, engine.refiner()?);
    let [worn, worn_refiner] = engine.worn(p.seed)?;
    let nets = Nets::new(&*codec, &*denoiser, &*encoder).refined(Some(&*refiner)).on(&engine.device().name);
    let networks = Networks { nets, worn: &*worn, worn_refiner: &*worn_refiner };
    let files = engine.flag_files(None)?;
    let index = files.index().map(|(index, sha256)| (index.index().clone(), sha256.to_owned()));
    if index.is_none() {
        job.note("the models folder has no index of training pictures; copies are looked for on this slide alone");
    }
    let mut dir = p.out_dir.as_ref().map(|dir| export::PlantedDir::create(Path::new(dir))).transpose()?;
    let mut take =
        |sample: &calibrate::Sample, rgb: &image::RgbImage, labels: &[u8]| dir.as_mut().map_or(Ok(()), |dir| dir.add(sample, rgb, labels));
    let table = calibrate::plant(source, &map, &networks, index, p, job, &mut take)?;
    let files = dir.map(|dir| dir.finish(&table)).transpose()?.unwrap_or_default();
    let mut kinds = serde_json::Map::new();
    for sample in &table.samples {
        let n = kinds.get(&sample.kind).and_then(Value::as_u64).unwrap_or(0) + 1;
        kinds.insert(sample.kind.clone(), json!(n));
    }
    Ok(json!({
        "kind": Plant::KIND,
        "tiles": kinds,
        "parameters": p,
        "device": device_json(engine.device()),
        "notes": job.notes(),
        "files": names(&files),
    }))
}

fn calibrated(p: &Calibrate, job: &Job) -> histoloom_core::Result<Value> {
    job.stage("fitting thresholds", 0);
    let read = |dir: &String| Ok((PathBuf::from(dir), export::read_table(Path::new(dir))?));
    let tables = p.calibrate.iter().map(read).collect::<histoloom_core::Result<Vec<_>>>()?;
    let tests = p.test.iter().map(read).collect::<histoloom_core::Result<Vec<_>>>()?;
    let only = |of: &[(PathBuf, calibrate::Table)]| of.iter().map(|(_, t)| t.clone()).collect::<Vec<_>>();
    let software = format!("histoloom {}", env!("CARGO_PKG_VERSION"));
    let calibration = calibrate::fit(&only(&tables), &only(&tests), p.alpha, &software)?;
    job.check()?;
    let files = match &p.out_dir {
        Some(dir) => export::write_calibration(Path::new(dir), &calibration, &tests)?,
        None => Vec::new(),
    };
    Ok(json!({
        "kind": Calibrate::KIND,
        "n": calibration.n,
        "k": calibration.k,
        "tau": calibration.tau,
        "alpha": calibration.alpha,
        "report": calibration.report,
        "parameters": p,
        "notes": job.notes(),
        "files": names(&files),
    }))
}

fn indexed(p: &IndexSlide, engine: &Engine, source: &HostSource, job: &Job) -> histoloom_core::Result<Value> {
    let encoder = engine.encoder()?;
    let mpp = source.info().mpp_or(p.mpp)?;
    let mut index = match &p.add_to {
        Some(path) => export::read_index(Path::new(path))?.0,
        None => Index { encoder_sha256: encoder.sha256().into(), channels: encoder.channels(), scale: SCALE, pictures: Vec::new() },
    };
    if index.encoder_sha256 != encoder.sha256() || index.channels != encoder.channels() {
        return Err(Error::parameter("add_to", "the index is of another encoder", "make a new one"));
    }
    let glass = Glass::of(&thumbnail(source)?);
    let picture = calibrate::indexed(source, mpp, &glass, &*encoder, index.scale, job)?;
    let (rows, columns) = (picture.rows, picture.columns);
    index.pictures.retain(|i| i.id_sha256 != picture.id_sha256);
    index.pictures.push(picture);
    let file = export::write_index(Path::new(&p.file), &index)?;
    Ok(json!({
        "kind": IndexSlide::KIND,
        "rows": rows,
        "columns": columns,
        "pictures": index.pictures.len(),
        "parameters": p,
        "device": device_json(engine.device()),
        "notes": job.notes(),
        "files": names(&[file]),
    }))
}
