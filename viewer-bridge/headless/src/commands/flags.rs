//! `histoloom flags`: slides in, a calibration of the flags out, and what it is worth.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::atlas::{on_files, texts};
use super::cluster::{find_atlas, name, one};
use super::{Given, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{self, Cluster, Common, Flags, Planted};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run, slide};

/// Seeds a tile that S4 is referred to, as `synth --seeds 4` draws them.
const S4_SEEDS: u32 = 4;

/// Runs it.
pub fn run(common: &Common, command: &Flags, report: &Arc<Report>) -> Result<u8> {
    match command {
        Flags::Calibrate(options) => calibrate(common, options, report),
        Flags::Plant(options) => {
            let summary = plant(common, &options.slide, &options.from, &options.out, &options.planted, None, report)?;
            let of = |(kind, n): (&String, &Value)| format!("{n:>5}  {kind}");
            let mut lines: Vec<String> = summary["tiles"].as_object().into_iter().flatten().map(of).collect();
            lines.push(format!("scored tiles in {}", options.out.display()));
            report.outcome(&lines, &ok(summary, "flags plant"));
            Ok(0)
        }
        Flags::Report { calibration } => told(common, calibration.as_deref(), report),
        Flags::Index(options) => index(common, options, report),
    }
}

/// The step of one slide.
fn plant(
    common: &Common,
    path: &Path,
    map: &Path,
    out: &Path,
    planted: &Planted,
    seeds: Option<u32>,
    report: &Arc<Report>,
) -> Result<Value> {
    if !map.join("map.json").is_file() {
        let hint = "give the --out folder of `histoloom cluster`";
        return Err(Failure::input(format!("there is no map in `{}` (no map.json); {hint}", map.display())));
    }
    let slide = slide::Slide::open(path)?;
    let (library, models) = opened(common)?;
    let mut given = Given::default();
    given.put_dir("from", map)?;
    given.put_dir("out_dir", out)?;
    given.put("n", planted.n);
    given.put("real", planted.real);
    given.put("ordinary", planted.ordinary);
    given.put("seeds", seeds.or(planted.seeds));
    given.put("seed", planted.seed);
    given.put_place(&planted.place);
    let (device, threads) = (planted.place.device.as_deref(), planted.place.threads.unwrap_or(0));
    let context = library.context(&models, device, threads, Viewer::new(Some(slide), report.clone()))?;
    let handle = context.open_slide(&name(path))?;
    run::job(&context, "flags_plant", handle, &given.value(), report)
}

/// All steps; a slide's folder that is whole is taken as it is.
fn calibrate(common: &Common, options: &cli::Calibrate, report: &Arc<Report>) -> Result<u8> {
    make_out(&options.out)?;
    let (_, models) = opened(common)?;
    let atlas = options.atlas.as_deref().map(|a| find_atlas(a, &models)).transpose()?;
    let side = |slides: &[PathBuf], seeds: u32| -> Result<Vec<PathBuf>> {
        slides.iter().map(|slide| slide_step(common, options, slide, seeds, atlas.as_deref(), report)).collect()
    };
    let mut stems: Vec<_> = options.on.iter().chain(&options.test).map(|s| s.file_stem()).collect();
    stems.sort_unstable();
    if let Some(twice) = stems.windows(2).find(|w| w[0] == w[1]).and_then(|w| w[0]) {
        let why = format!("two slides are called `{}`, and each needs a folder of its own; rename one", twice.to_string_lossy());
        return Err(Failure::new(Kind::Usage, why));
    }
    let (on, test) = (side(&options.on, options.planted.seeds.unwrap_or(S4_SEEDS))?, side(&options.test, 1)?);
    let mut given = Given::default();
    given.put("calibrate", Some(texts(&on)?));
    given.put("test", Some(texts(&test)?));
    given.put("alpha", options.alpha);
    given.put_dir("out_dir", &options.out)?;
    let summary = on_files(common, "flags_calibrate", given, report)?;
    let mut lines = lines(&summary);
    lines.push(format!("calibration.json and calibration.png, a sheet of the worst, in {}", options.out.display()));
    report.outcome(&lines, &ok(summary, "flags calibrate"));
    Ok(0)
}

/// Map and planted tiles of one slide; the folder comes back.
fn slide_step(
    common: &Common,
    options: &cli::Calibrate,
    slide: &Path,
    seeds: u32,
    atlas: Option<&Path>,
    report: &Arc<Report>,
) -> Result<PathBuf> {
    let stem = slide.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = options.out.join(if atlas.is_some() { format!("{stem}_atlas") } else { stem });
    let (map, planted) = (folder.join("map"), folder.join("planted"));
    if planted.join("planted.json").is_file() {
        same(common, &planted, &options.planted, seeds)?;
        report.say(&format!("{}: planted already", planted.display()));
        return Ok(planted);
    }
    if !map.join("map.json").is_file() {
        let mpp = options.mpp.filter(|_| slide::Slide::open(slide).is_ok_and(|s| s.mpp.is_none()));
        let cluster = Cluster { mpp, atlas: atlas.map(Path::to_path_buf), place: options.planted.place.clone(), ..Cluster::default() };
        one(common, &cluster, slide, &map, false, report)?;
    }
    plant(common, slide, &map, &planted, &options.planted, Some(seeds), report)?;
    Ok(planted)
}

/// What is there already must be what would be made.
fn same(common: &Common, planted: &Path, asked: &Planted, seeds: u32) -> Result<()> {
    let found = library::find(common.library.as_deref())?.inspect(&planted.join("planted.json"))?;
    let asked_of = |i: usize| found["asked"][i].as_u64().unwrap_or(0);
    let numbers = [("n", asked_of(0), asked.n, 20), ("real", asked_of(1), asked.real, 60), ("ordinary", asked_of(2), asked.ordinary, 60)];
    let other = numbers.iter().find(|(_, have, given, default)| *have != u64::from(given.unwrap_or(*default)));
    if let Some((name, have, ..)) = other {
        let why = format!("`{}` was planted with {name} {have}; ask for the same, or remove it", planted.display());
        return Err(Failure::new(Kind::Usage, why));
    }
    if found["seeds"].as_u64() != Some(u64::from(seeds)) {
        let why = format!("`{}` was planted with {} seeds a tile; ask for the same, or remove it", planted.display(), found["seeds"]);
        return Err(Failure::new(Kind::Usage, why));
    }
    if found["seed"].as_u64() != Some(asked.seed.unwrap_or(1)) {
        let why = format!("`{}` was planted with seed {}; ask for the same, or remove it", planted.display(), found["seed"]);
        return Err(Failure::new(Kind::Usage, why));
    }
    Ok(())
}

fn index(common: &Common, options: &cli::Index, report: &Arc<Report>) -> Result<u8> {
    let mut last = Value::Null;
    for path in &options.slides {
        let slide = slide::Slide::open(path)?;
        let (library, models) = opened(common)?;
        let mut given = Given::default();
        if options.out.is_file() {
            given.put_dir("add_to", &options.out)?;
        }
        given.put_dir("file", &options.out)?;
        given.put("mpp", options.mpp.filter(|_| slide.mpp.is_none()));
        given.put_place(&options.place);
        let (device, threads) = (options.place.device.as_deref(), options.place.threads.unwrap_or(0));
        let context = library.context(&models, device, threads, Viewer::new(Some(slide), report.clone()))?;
        let handle = context.open_slide(&name(path))?;
        last = run::job(&context, "flags_index", handle, &given.value(), report)?;
    }
    let lines = [format!("{} picture(s) in {}", last["pictures"], options.out.display())];
    report.outcome(&lines, &ok(last, "flags index"));
    Ok(0)
}

/// Calibrations that are there: the one given, or those that ship.
fn told(common: &Common, given: Option<&Path>, report: &Arc<Report>) -> Result<u8> {
    let paths = match given {
        Some(path) if path.is_dir() => vec![path.join("calibration.json")],
        Some(path) => vec![path.to_path_buf()],
        None => {
            let models = library::find_models(common.models.as_deref())?;
            let listed = std::fs::read_dir(&models).map_err(|e| Failure::input(format!("`{}` cannot be listed: {e}", models.display())))?;
            let mut all: Vec<PathBuf> = listed.flatten().map(|f| f.path()).filter(|p| is_calibration(p)).collect();
            all.sort();
            all
        }
    };
    let hint = "give a folder made by `histoloom flags calibrate`";
    if paths.is_empty() {
        return Err(Failure::input(format!("the models folder holds no calibration; {hint}")));
    }
    let (mut text, mut all) = (Vec::new(), Vec::new());
    for path in &paths {
        if !path.is_file() {
            return Err(Failure::input(format!("there is no calibration at `{}`; {hint}", path.display())));
        }
        let found = library::find(common.library.as_deref())?.inspect(path)?;
        if found["format"] != "histoloom-calibration" {
            return Err(Failure::input(format!("`{}` is no calibration", path.display())));
        }
        let own = found["atlases"].as_array().is_some_and(|a| a.iter().any(Value::is_null));
        text.push(format!("for maps {}", if own { "with classes of their own" } else { "of an atlas" }));
        text.extend(lines(&found));
        let sheet = path.with_extension("png");
        if sheet.is_file() {
            text.push(format!("the worst missed and the worst false ones: {}", sheet.display()));
        }
        all.push(found);
    }
    let found = if all.len() == 1 { all.remove(0) } else { Value::Array(all) };
    report.outcome(&text, &ok(found, "flags report"));
    Ok(0)
}

/// By its name, as they ship.
fn is_calibration(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.to_string_lossy().ends_with("_calibration.json"))
}

/// The three scores that stand most often in a table of counts.
fn scores(counts: &Value) -> String {
    let count = |(name, n): (&String, &Value)| (n.as_u64().unwrap_or(0), name.clone());
    let mut by: Vec<(u64, String)> = counts.as_object().into_iter().flatten().map(count).collect();
    by.sort_by_key(|(n, name)| (std::cmp::Reverse(*n), name.clone()));
    let by: Vec<String> = by.iter().take(3).map(|(n, name)| format!("{name} {n}")).collect();
    by.join(", ")
}

/// A calibration in lines.
fn lines(c: &Value) -> Vec<String> {
    let r = &c["report"];
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    let count = |v: &Value| v.as_u64().unwrap_or(0);
    let mut lines = vec![
        format!("threshold {:.4}: {} of {} faults may lie at it or below (alpha {})", number(&c["tau"]), c["k"], c["n"], c["alpha"]),
        String::new(),
        format!("{:<20}{:>11}{:>8}{:>9}{:>9}{:>9}  caught by", "planted fault", "calibrated", "missed", "tested", "missed", "at most"),
    ];
    for k in r["kinds"].as_array().into_iter().flatten() {
        lines.push(format!(
            "{:<20}{:>11}{:>8}{:>9}{:>9}{:>8.1}%  {}",
            k["kind"].as_str().unwrap_or(""),
            count(&k["calibrated"]),
            count(&k["calibrated_missed"]),
            count(&k["tested"]),
            count(&k["missed"]),
            100.0 * number(&k["upper"]),
            scores(&k["caught_by"])
        ));
    }
    let slide = |s: &Value| format!("{} of {}", count(&s["missed"]), count(&s["tested"]));
    let by: Vec<String> = r["by_slide"].as_array().into_iter().flatten().map(slide).collect();
    lines.push(format!("missed by slide tested on: {}", by.join(", ")));
    let slide = |s: &Value| format!("{} of {}", s["real"]["flagged"], s["real"]["n"]);
    let by: Vec<String> = r["by_slide"].as_array().into_iter().flatten().map(slide).collect();
    lines.push(format!("real tiles flagged by slide tested on: {}", by.join(", ")));
    lines.push(String::new());
    let rate = |name: &str, v: &Value| {
        let (share, by) = (100.0 * number(&v["share"]), scores(&v["by"]));
        format!("{name}: {} of {} flagged ({share:.1} %), most by {by}", v["flagged"], v["n"])
    };
    lines.push(rate("real tiles of the slides tested on", &r["real"]));
    lines.push(rate("the same through the autoencoder", &r["rendered"]));
    lines.push(rate("tiles of the model with nothing planted", &r["ordinary"]));
    if let Some(memory) = r["memory"].as_object() {
        let (n, share) = (&memory["n"], 100.0 * number(&memory["share"]));
        lines.push(format!(
            "memorisation: {share:.1} % of {n} tiles lie nearer to a training picture than 1 % of real tiles do (of planted copies {:.1} %)",
            100.0 * number(&memory["copies_share"])
        ));
    }
    lines.push(format!("meaning: {}", r["meaning"].as_str().unwrap_or("")));
    lines
}
