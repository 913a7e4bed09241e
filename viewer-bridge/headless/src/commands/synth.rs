//! `histoloom synth`: map folder in, tiles with labels and flags out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Given, check_imported, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Common, Edit, Synth};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::run;

/// Runs it.
pub fn run(common: &Common, options: &Synth, report: &Arc<Report>) -> Result<u8> {
    let (lines, summary) = tiles(common, options, report)?;
    report.outcome(&lines, &ok(summary, "synth"));
    Ok(0)
}

/// Makes the tiles; the outcome for people and the library's summary come back.
pub(super) fn tiles(common: &Common, options: &Synth, report: &Arc<Report>) -> Result<(Vec<String>, Value)> {
    if !options.from.join("map.json").is_file() {
        let hint = "give the --out folder of `histoloom cluster`";
        return Err(Failure::input(format!("there is no map in `{}` (no map.json); {hint}", options.from.display())));
    }
    options.model.as_ref().map_or(Ok(()), |dir| check_imported(dir, "model"))?;
    let (library, models) = opened(common)?;
    make_out(&options.out)?;
    let mut given = Given::default();
    given.put_dir("from", &options.from)?;
    given.put_dir("out_dir", &options.out)?;
    given.put("n", options.n);
    given.put("seed", options.seed);
    given.put("first", options.first);
    given.put("steps", options.steps);
    given.put("preset", options.preset.clone());
    given.put("eta", options.eta);
    options.model.as_ref().map_or(Ok(()), |dir| given.put_dir("model", dir))?;
    given.put("guidance", options.guidance);
    given.put("refine", options.no_refiner.then_some(false));
    given.put("rescale", options.rescale);
    given.put("anchor", options.anchor);
    given.put("interval", options.interval.map(|i| i.to_vec()));
    given.put("sampler", options.sampler.clone());
    given.put("size_px", options.size);
    given.put("seeds", options.seeds);
    given.put("keep_flagged", options.keep_flagged.then_some(true));
    options.calibration.as_deref().map_or(Ok(()), |path| given.put_dir("calibration", &calibration(path)))?;
    given.put("ops", options.ops.as_deref().map(super::ops::chain).transpose()?);
    options.ops_dir.as_ref().map_or(Ok(()), |dir| given.put_dir("ops_dir", dir))?;
    edited(&mut given, &options.edit)?;
    given.put_place(&options.place);
    let context =
        library.context(&models, options.place.device.as_deref(), options.place.threads.unwrap_or(0), Viewer::new(None, report.clone()))?;
    let summary = run::job(&context, "synth", 0, &given.value(), report)?;
    let tiles = summary["tiles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut lines, mut reasons) = (Vec::new(), BTreeMap::new());
    for tile in tiles {
        for (code, reason) in tile["flag_reasons"].as_object().into_iter().flatten() {
            reasons.entry(code.as_str()).or_insert(reason.as_str().unwrap_or(""));
        }
        let codes: Vec<&str> = tile["flag_codes"].as_array().into_iter().flatten().filter_map(|c| c.as_str()).collect();
        let codes = if codes.is_empty() { "not flagged".into() } else { codes.join(" ") };
        lines.push(format!("tile {:>4}  {codes}", tile["index"].as_u64().unwrap_or(0) + 1));
    }
    lines.extend(reasons.iter().map(|(code, reason)| format!("     {code}: {reason}")));
    lines.push(format!("device: {}", summary["device"]["name"].as_str().unwrap_or("unknown")));
    let flagged = tiles.iter().filter(|t| t["flags"].as_u64() != Some(0)).count();
    lines.push(format!("{} SYNTHETIC tile(s) in {}; start with contact_sheet.png", tiles.len(), options.out.display()));
    if flagged > 0 && !options.keep_flagged {
        lines.push(format!(
            "{flagged} of them flagged and kept apart in the folder `flagged` (--keep-flagged leaves them among the others)"
        ));
    }
    Ok((lines, summary))
}

/// A calibration: a file, or that of a folder made by `flags calibrate`.
pub(super) fn calibration(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("calibration.json") } else { path.to_path_buf() }
}

/// The parameters that edit map, crops and beginning.
fn edited(given: &mut Given, edit: &Edit) -> Result<()> {
    once("--mix", edit.mix.iter().map(|m| m.0))?;
    once("--share", edit.share.iter().map(|s| s.0))?;
    once("--ask", edit.ask.iter().map(|a| (a.0, a.1.as_str())))?;
    given.put("at", edit.at.map(|a| a.to_vec()));
    given.put("labels", edit.labels.clone());
    given.put("regions", edit.regions.clone());
    given.put("noise_seed", edit.noise_seed);
    given.put("init", edit.init.clone());
    given.put("strength", edit.strength);
    given.put("inpaint", edit.inpaint.clone());
    given.put("mask", edit.mask.clone());
    let mut crops: BTreeMap<u8, Vec<Value>> = BTreeMap::new();
    for (label, crop) in &edit.crop {
        let value = crop.parse::<u64>().map_or_else(|_| json!(crop), |index| json!(index));
        crops.entry(*label).or_default().push(value);
    }
    let mut measures: BTreeMap<u8, BTreeMap<&str, f64>> = BTreeMap::new();
    for (label, name, value) in &edit.ask {
        measures.entry(*label).or_default().insert(name, *value);
    }
    let mix: BTreeMap<u8, Value> = edit.mix.iter().map(|(l, with, share)| (*l, json!({"with": with, "share": share}))).collect();
    let shares: BTreeMap<u8, f64> = edit.share.iter().copied().collect();
    given.put("crops", (!crops.is_empty()).then(|| json!(crops)));
    given.put("measures", (!measures.is_empty()).then(|| json!(measures)));
    given.put("mix", (!mix.is_empty()).then(|| json!(mix)));
    given.put("shares", (!shares.is_empty()).then(|| json!(shares)));
    Ok(())
}

/// An error where an option is given twice for the same thing.
fn once<T: PartialEq>(option: &str, named: impl Iterator<Item = T>) -> Result<()> {
    let all: Vec<T> = named.collect();
    let twice = all.iter().enumerate().any(|(i, n)| all[..i].contains(n));
    if twice { Err(Failure::new(Kind::Usage, format!("{option} is given twice for one class; give it once for each"))) } else { Ok(()) }
}
