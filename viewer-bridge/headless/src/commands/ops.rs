//! `histoloom ops`: what ops there are, whether a file is one, and an op tried and measured on a picture. Everything goes through the C
//! header, as from any viewer.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Given, make_out, ok};
use crate::callbacks::Viewer;
use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::library::{self, Loaded};
use crate::ops_cli::{Ops, RunOp};
use crate::report::Report;
use crate::{pixels, run};

/// Side of the picture that `bench` makes up.
const BENCH_PX: u32 = 512;

/// Runs what was asked for.
pub fn run(common: &Common, command: &Ops, report: &Arc<Report>) -> Result<u8> {
    let library = library::find(common.library.as_deref())?;
    match command {
        Ops::List { ops_dir } => list(&library, ops_dir.as_deref(), report),
        Ops::Check { file } => check(&library, file, report),
        Ops::Run(options) => try_out(&library, options, report),
        Ops::Bench { tile, n } => bench(&library, tile.as_deref(), *n, report),
    }
}

/// A chain from the command line: names with commas between, or JSON.
pub fn chain(text: &str) -> Result<Value> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|e| {
            Failure::new(Kind::Usage, format!("--ops is not JSON: {e}; give a list of names and objects, or names with commas between"))
        });
    }
    Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "none").collect())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("unknown")
}

/// An op in a few lines.
fn told(op: &Value) -> Vec<String> {
    let (hash, from) = (text(op, "sha256"), op["source"].as_str().filter(|s| *s != "shipped"));
    let from = from.map(|s| format!("  from {s}")).unwrap_or_default();
    let short = hash.get(..12).unwrap_or(hash);
    let mut lines =
        vec![format!("{:<12} version {}  sha-256 {short}{from}", text(op, "name"), op["version"]), format!("    {}", text(op, "summary"))];
    for (name, p) in op["params"]["properties"].as_object().into_iter().flatten() {
        lines.push(format!("    {name} = {} ({} to {}): {}", p["default"], p["minimum"], p["maximum"], text(p, "description")));
    }
    lines
}

fn list(library: &Loaded, folder: Option<&Path>, report: &Arc<Report>) -> Result<u8> {
    let found = folder.map_or_else(|| library.ops(), |folder| library.check_op(folder))?;
    let mut lines: Vec<String> = found["ops"].as_array().into_iter().flatten().flat_map(told).collect();
    lines.extend(found["refused"].as_array().into_iter().flatten().map(|r| format!("refused: {}", text(r, "why"))));
    report.outcome(&lines, &ok(found, "ops list"));
    Ok(0)
}

fn check(library: &Loaded, file: &Path, report: &Arc<Report>) -> Result<u8> {
    let found = library.check_op(file)?;
    let mut lines = told(&found);
    lines.push(format!(
        "fine: {} bytes, compiled in {} ms, an instance of it is made in {} ms",
        found["bytes"], found["compile_ms"], found["instance_ms"]
    ));
    report.outcome(&lines, &ok(found, "ops check"));
    Ok(0)
}

/// Runs a job on a picture; no network is loaded, so no models folder is needed.
fn job(library: &Loaded, given: Given, report: &Arc<Report>) -> Result<Value> {
    let context = library.context(Path::new("."), Some("cpu"), 1, Viewer::new(None, report.clone()))?;
    run::job(&context, "op", 0, &given.value(), report)
}

fn try_out(library: &Loaded, options: &RunOp, report: &Arc<Report>) -> Result<u8> {
    options.out.as_deref().map_or(Ok(()), make_out)?;
    let mut given = Given::default();
    let name = if options.op.extension().is_some_and(|e| e.eq_ignore_ascii_case("wasm")) {
        given.put_dir("file", &options.op)?;
        text(&library.check_op(&options.op)?, "name").to_owned()
    } else {
        options.op.display().to_string()
    };
    let params = options.params.as_deref().map_or(Ok(json!({})), serde_json::from_str::<Value>);
    let params = params
        .map_err(|e| Failure::new(Kind::Usage, format!("--params is not JSON: {e}; give an object such as {{\"min_variance\": 9}}")))?;
    given.put_dir("tile", &options.tile)?;
    options.labels.as_deref().map_or(Ok(()), |labels| given.put_dir("labels", labels))?;
    options.out.as_deref().map_or(Ok(()), |out| given.put_dir("out_dir", out))?;
    given.put("ops", Some(json!([{"name": name, "params": params}])));
    given.put("mpp", options.mpp);
    let summary = job(library, given, report)?;
    let failed = summary["ops"][0]["outcome"] != "ok";
    report.outcome(&outcome(&summary), &ok(summary.clone(), "ops run"));
    Ok(if failed { Kind::Other.code() } else { 0 })
}

/// What an op did, in lines.
fn outcome(summary: &Value) -> Vec<String> {
    let op = &summary["ops"][0];
    let mut lines = vec![format!("{} version {}: {}", text(op, "name"), op["version"], text(op, "outcome"))];
    if let Some(why) = op["error"].as_str() {
        lines.push(why.to_owned());
    } else {
        lines
            .push(format!("{} pixels and {} labels changed, in {} ms", op["changed_pixels"], op["changed_labels"], summary["times_ms"][0]));
    }
    lines.extend(op["metrics"].as_object().into_iter().flatten().map(|(name, v)| format!("{name} = {v}")));
    for flag in summary["flags"].as_array().into_iter().flatten() {
        let place = flag["cell"].as_array().map_or_else(String::new, |c| format!(" at row {}, column {}", c[0], c[1]));
        lines.push(format!("flag {}{place}: {}", text(flag, "code"), text(flag, "reason")));
    }
    lines.extend(summary["files"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|f| format!("wrote {f}")));
    lines
}

fn bench(library: &Loaded, tile: Option<&Path>, n: u32, report: &Arc<Report>) -> Result<u8> {
    let scratch = tempfile::tempdir().map_err(|e| Failure::other(format!("cannot make a temporary folder: {e}; set TMPDIR")))?;
    let made = scratch.path().join("tile.png");
    if tile.is_none() {
        pixels::stained(&made, BENCH_PX)?;
    }
    let tile = tile.unwrap_or(&made);
    let (mut lines, mut measured) = (vec![format!("{:<12} {:>10} {:>10} {:>10}", "op", "median ms", "least", "most")], Vec::new());
    for op in library.ops()?["ops"].as_array().into_iter().flatten() {
        let mut given = Given::default();
        given.put_dir("tile", tile)?;
        given.put("ops", Some(json!([text(op, "name")])));
        given.put("repeat", Some(n));
        let summary = job(library, given, report)?;
        // the first run compiles
        let mut times: Vec<f64> =
            summary["times_ms"].as_array().into_iter().flatten().skip(usize::from(n > 1)).filter_map(Value::as_f64).collect();
        times.sort_by(f64::total_cmp);
        let at = |i: usize| times.get(i).copied().unwrap_or(f64::NAN);
        let (middle, least, most) = (at(times.len() / 2), at(0), at(times.len().saturating_sub(1)));
        lines.push(format!("{:<12} {middle:>10.2} {least:>10.2} {most:>10.2}", text(op, "name")));
        measured.push(json!({"name": op["name"], "median_ms": middle, "least_ms": least, "most_ms": most, "runs": times.len()}));
    }
    lines.push("with what the host copies and compares; against native code: cargo run -p histoloom-wasm-ops --example ops_bench".into());
    report.outcome(&lines, &ok(json!({"tile": tile.display().to_string(), "ops": measured}), "ops bench"));
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_names_or_json() {
        assert_eq!(chain("gamut, sharpness").ok(), Some(json!(["gamut", "sharpness"])));
        assert_eq!(chain("none").ok(), Some(json!([])));
        assert_eq!(chain(r#" ["gamut", {"name": "smooth"}]"#).ok(), Some(json!(["gamut", {"name": "smooth"}])));
        assert!(chain("[gamut").is_err());
    }
}
