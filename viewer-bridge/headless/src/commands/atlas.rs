//! `histoloom atlas`: slides to samples, samples to an atlas, and what an atlas calls its classes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::{name, ready};
use super::{Given, check_imported, inspect, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Atlas, AtlasFit, AtlasName, AtlasSample, Common};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run};

/// Runs it.
pub fn run(common: &Common, command: &Atlas, report: &Arc<Report>) -> Result<u8> {
    match command {
        Atlas::Sample(options) => sample(common, options, report),
        Atlas::Merge { samples, out } => merge(common, samples, out, report),
        Atlas::Fit(options) => fit(common, options, report),
        Atlas::Show { file, k } => show(common, file, *k, report),
        Atlas::Name(options) => rename(common, options, report),
    }
}

fn sample(common: &Common, options: &AtlasSample, report: &Arc<Report>) -> Result<u8> {
    options.encoder.as_deref().map_or(Ok(()), |dir| check_imported(dir, "encoder"))?;
    let mut given = Given::default();
    let slide = ready(&mut given, &options.slide, options.mpp, options.roi.as_deref(), report)?;
    let (library, models) = opened(common)?;
    given.put_dir("out", &options.out)?;
    given.put("rows", options.rows);
    given.put("mpp", options.mpp);
    given.put("seed", options.seed);
    given.put("force", options.force.then_some(true));
    options.cache.as_deref().map_or(Ok(()), |dir| given.put_dir("cache_dir", dir))?;
    options.encoder.as_deref().map_or(Ok(()), |dir| given.put_dir("encoder", dir))?;
    given.put_place(&options.place);
    let (device, threads) = (options.place.device.as_deref(), options.place.threads.unwrap_or(0));
    let context = library.context(&models, device, threads, Viewer::new(Some(slide), report.clone()))?;
    let handle = context.open_slide(&name(&options.slide))?;
    let summary = run::job(&context, "atlas_sample", handle, &given.value(), report)?;
    let of = summary["atlas"]["slides"].get(0).cloned().unwrap_or_default();
    let lines = [format!("{} of {} cells sampled into {}", of["rows"], of["cells"], options.out.display())];
    report.outcome(&lines, &ok(summary, "atlas sample"));
    Ok(0)
}

fn merge(common: &Common, samples: &[PathBuf], out: &Path, report: &Arc<Report>) -> Result<u8> {
    let mut given = Given::default();
    given.put("samples", Some(texts(samples)?));
    given.put_dir("out", out)?;
    let summary = on_files(common, "atlas_merge", given, report)?;
    let (rows, slides) = (&summary["atlas"]["rows"], &summary["atlas"]["slides"]);
    let lines = [format!("{rows} rows of {slides} slide(s) in {}", out.display())];
    report.outcome(&lines, &ok(summary, "atlas merge"));
    Ok(0)
}

fn fit(common: &Common, options: &AtlasFit, report: &Arc<Report>) -> Result<u8> {
    let mut given = Given::default();
    given.put("samples", Some(texts(&options.samples)?));
    given.put_dir("out", &options.out)?;
    given.put("k", options.k);
    given.put("seed", options.seed);
    given.put("licence", options.licence.clone());
    given.put("threads", options.threads);
    let summary = on_files(common, "atlas_fit", given, report)?;
    let mut lines = told(&summary["atlas"]);
    lines.push(format!("atlas in {}; use it with `histoloom cluster --atlas`", options.out.display()));
    report.outcome(&lines, &ok(summary, "atlas fit"));
    Ok(0)
}

fn show(common: &Common, file: &Path, k: Option<u32>, report: &Arc<Report>) -> Result<u8> {
    if !file.is_file() {
        return Err(Failure::input(format!("`{}` is not a file; give an atlas or a sample", file.display())));
    }
    if library::find(common.library.as_deref())?.inspect(file)?["format"] != "histoloom-atlas" {
        return inspect::run(common, file, report);
    }
    let mut given = Given::default();
    given.put_dir("file", file)?;
    given.put("k", k);
    let summary = on_files(common, "atlas_name", given, report)?;
    report.outcome(&told(&summary["atlas"]), &ok(summary, "atlas show"));
    Ok(0)
}

fn rename(common: &Common, options: &AtlasName, report: &Arc<Report>) -> Result<u8> {
    if options.set.is_empty() && options.color.is_empty() && options.out.is_none() {
        return Err(Failure::new(Kind::Usage, "nothing is to be changed; give --set LABEL=NAME or --color LABEL=#RRGGBB"));
    }
    let mut given = Given::default();
    given.put_dir("file", &options.file)?;
    options.out.as_ref().map_or(Ok(()), |out| given.put_dir("out", out))?;
    given.put("k", options.k);
    for (key, pairs) in [("names", &options.set), ("colors", &options.color)] {
        let by_label: BTreeMap<u8, &String> = pairs.iter().map(|(label, text)| (*label, text)).collect();
        if by_label.len() < pairs.len() {
            return Err(Failure::new(Kind::Usage, "one class is named or coloured twice; give each once"));
        }
        given.put(key, Some(json!(by_label)));
    }
    let summary = on_files(common, "atlas_name", given, report)?;
    let mut lines = told(&summary["atlas"]);
    lines.push(format!("atlas in {}", options.out.as_ref().unwrap_or(&options.file).display()));
    report.outcome(&lines, &ok(summary, "atlas name"));
    Ok(0)
}

/// A job that reads no slide and needs no networks.
pub(super) fn on_files(common: &Common, kind: &str, given: Given, report: &Arc<Report>) -> Result<Value> {
    let library = library::find(common.library.as_deref())?;
    let context = library.context(Path::new("."), Some("cpu"), 1, Viewer::new(None, report.clone()))?;
    run::job(&context, kind, 0, &given.value(), report)
}

pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<String>> {
    let text = |path: &PathBuf| path.to_str().map(str::to_owned).ok_or_else(|| path.display().to_string());
    let texts: std::result::Result<_, _> = paths.iter().map(text).collect();
    texts.map_err(|shown| Failure::new(Kind::Usage, format!("`{shown}` is not UTF-8, which the library needs; rename it")))
}

/// An atlas in a few lines.
fn told(atlas: &Value) -> Vec<String> {
    let text = |key: &str| atlas[key].as_str().unwrap_or("unknown").to_owned();
    let mut lines = vec![
        format!("atlas {}", text("id_sha256").get(..16).unwrap_or_default()),
        format!("{} leaves from {} rows of {} slide(s), {} um/px", atlas["leaves"], atlas["rows"], atlas["slides"], atlas["mpp"]),
        format!("encoder {}, stain normalisation {}", atlas["encoder"]["id"].as_str().unwrap_or("unknown"), text("normalisation")),
        format!("licence: {}", text("licence")),
        format!("{} classes:", atlas["k"]),
    ];
    let total = atlas["rows"].as_f64().unwrap_or(1.0).max(1.0);
    for class in atlas["classes"].as_array().into_iter().flatten() {
        let share = 100.0 * class["rows"].as_f64().unwrap_or(0.0) / total;
        lines.push(format!("{:>3}  {share:5.1} %  {}", class["id"].as_u64().unwrap_or(0), class["name"].as_str().unwrap_or("")));
    }
    lines
}
