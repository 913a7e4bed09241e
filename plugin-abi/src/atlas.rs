//! The atlas jobs: a slide to a sample, samples to an atlas, names for its classes. In: checked parameters. Out: files, and what they hold.

use std::path::{Path, PathBuf};

use histoloom_core::atlas::{fit, merged};
use histoloom_core::params::{self, AtlasFit, AtlasMerge, AtlasName, AtlasSample, Cluster, Params};
use histoloom_core::{Error, Job, Result, TileSource, export, pool, semantic_map};
use histoloom_models::Engine;
use serde_json::{Value, json};

use crate::pipeline::encoder_of_the_users;
use crate::results::ResultData;

/// Checked parameters of one of the atlas jobs.
pub enum AtlasWork {
    /// Slide to sample.
    Sample(AtlasSample),
    /// Samples to one sample.
    Merge(AtlasMerge),
    /// Samples to atlas.
    Fit(AtlasFit),
    /// Names and colours.
    Name(AtlasName),
}

fn path(given: &Option<String>) -> PathBuf {
    PathBuf::from(given.as_deref().unwrap_or_default())
}

/// An error where a file cannot be written, before the work and not after.
fn check_out(file: &Path) -> Result<()> {
    if file.is_dir() {
        return Err(Error::parameter("out", "is a folder", "name a file in it"));
    }
    export::check_folder(file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// The parameters of a job without a slide, with their resolved text.
pub fn prepare(kind: &str, text: &str) -> Result<(AtlasWork, String)> {
    fn both<P: Params>(text: &str, work: fn(P) -> AtlasWork) -> Result<(AtlasWork, String)> {
        let p: P = params::parse(text)?;
        let resolved = params::resolved(&p)?;
        Ok((work(p), resolved))
    }
    match kind {
        AtlasSample::KIND => both(text, AtlasWork::Sample),
        AtlasMerge::KIND => both(text, AtlasWork::Merge),
        AtlasFit::KIND => both(text, AtlasWork::Fit),
        _ => both(text, AtlasWork::Name),
    }
}

/// Samples a slide.
pub fn sample(p: &AtlasSample, engine: &Engine, source: &dyn TileSource, job: &Job) -> Result<ResultData> {
    check_out(&path(&p.out))?;
    let place = json!({"mpp": p.mpp, "roi": p.roi, "seed": p.seed, "device": p.device, "threads": p.threads, "force": p.force});
    let mut own: Cluster = params::parse(&place.to_string())?;
    own.cache_dir.clone_from(&p.cache_dir);
    let encoder = match encoder_of_the_users(engine, p.encoder.as_deref(), job)? {
        Some(encoder) => encoder,
        None => engine.encoder()?,
    };
    let sample = semantic_map::sample(source, &*encoder, &own, p.rows, job)?;
    let files = write(job, || export::write_sample(&path(&p.out), &sample))?;
    Ok(result(AtlasSample::KIND, &json!({"slides": sample.slides, "rows": sample.kept.len()}), &json!(p), &files, job))
}

/// Does what needs no slide.
pub fn run(work: &AtlasWork, job: &Job) -> Result<ResultData> {
    match work {
        AtlasWork::Merge(p) => {
            let sample = all(&p.samples, job)?;
            let files = write(job, || export::write_sample(&path(&p.out), &sample))?;
            Ok(result(AtlasMerge::KIND, &json!({"slides": sample.slides.len(), "rows": sample.kept.len()}), &json!(p), &files, job))
        }
        AtlasWork::Fit(p) => {
            check_out(&path(&p.out))?;
            let sample = all(&p.samples, job)?;
            let atlas = pool::pool(p.threads)?.install(|| fit(&sample, p.k, p.seed, &p.licence, job))?;
            let files = write(job, || export::write_atlas(&path(&p.out), &atlas))?;
            Ok(result(AtlasFit::KIND, &export::atlas_summary(&atlas, 0)?, &json!(p), &files, job))
        }
        AtlasWork::Name(p) => {
            let file = path(&p.file);
            let atlas = export::read_atlas(&file)?;
            let named = atlas.renamed(atlas.k_or_own(p.k), &p.names, &p.colors)?;
            let out = p.out.as_ref().map_or(file, PathBuf::from);
            let nothing = p.names.is_empty() && p.colors.is_empty() && p.out.is_none();
            let files = if nothing { Vec::new() } else { write(job, || export::write_atlas(&out, &named))? };
            Ok(result(AtlasName::KIND, &export::atlas_summary(&named, p.k)?, &json!(p), &files, job))
        }
        AtlasWork::Sample(_) => Err(histoloom_core::Error::internal("a slide is sampled with its networks")),
    }
}

/// The union of samples, read one after the other.
fn all(samples: &[String], job: &Job) -> Result<histoloom_core::atlas::Sample> {
    let files = export::sample_files(samples)?;
    job.stage("joining samples", files.len() as u64);
    merged(files.iter().map(|file: &PathBuf| {
        job.check()?;
        let sample = export::read_sample(Path::new(file));
        job.advance(1);
        sample
    }))
}

fn write(job: &Job, out: impl FnOnce() -> Result<Vec<PathBuf>>) -> Result<Vec<PathBuf>> {
    job.check()?;
    job.stage("writing files", 1);
    let files = out()?;
    job.advance(1);
    Ok(files)
}

fn result(kind: &str, holds: &Value, parameters: &Value, files: &[PathBuf], job: &Job) -> ResultData {
    let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let summary = json!({"kind": kind, "atlas": holds, "parameters": parameters, "notes": job.notes(), "files": files});
    ResultData { map: None, tiles: Vec::new(), summary }
}
