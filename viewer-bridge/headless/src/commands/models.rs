//! `histoloom models`: what there is; and published checkpoint, or a vision transformer's file, in, weight files out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Given, check_imported, ok};
use crate::callbacks::Viewer;
use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run};

/// Lists the networks that ship, and those of folders.
pub fn list(common: &Common, folders: &[PathBuf], report: &Arc<Report>) -> Result<u8> {
    folders.iter().try_for_each(|dir| check_imported(dir, "model"))?;
    let library = library::find(common.library.as_deref())?;
    let shipped = library::find_models(common.models.as_deref())?;
    let (mut lines, mut listed) = (Vec::new(), Vec::new());
    for dir in [&shipped].into_iter().chain(folders) {
        let found = library.inspect(dir).map_err(about_the_file)?;
        lines.push(format!("{}:", dir.display()));
        lines.extend(found["models"].as_array().into_iter().flatten().map(line));
        listed.push(json!({"folder": dir.display().to_string(), "models": found["models"]}));
    }
    report.outcome(&lines, &ok(json!({ "folders": listed }), "models list"));
    Ok(0)
}

/// A network in a line; of texts that anybody may have written, nothing that a terminal would obey.
fn line(model: &Value) -> String {
    let text = |key: &str| model[key].as_str().unwrap_or("unknown").replace(char::is_control, " ");
    let (sha256, mb) = (text("sha256"), model["bytes"].as_f64().unwrap_or(0.0) / 1e6);
    let short = sha256.get(..12).unwrap_or(&sha256);
    format!("  {:<20} {:<12} {mb:8.1} MB  sha-256 {short}  licence: {}", text("id"), text("kind"), text("licence"))
}

/// Runs an import.
pub fn import(common: &Common, file: &Path, out: &Path, report: &Arc<Report>) -> Result<u8> {
    if !file.is_file() {
        return Err(Failure::input(format!("`{}` is not a file; give a checkpoint (.ckpt, .pth or .safetensors)", file.display())));
    }
    if out.is_file() {
        return Err(Failure::new(Kind::Usage, format!("`{}` is a file; give --out a folder that is new or empty", out.display())));
    }
    let library = library::find(common.library.as_deref())?;
    let mut given = Given::default();
    given.put_dir("file", file)?;
    given.put_dir("out_dir", out)?;
    // no network is loaded, so no models folder is needed
    let context = library.context(Path::new("."), Some("cpu"), 1, Viewer::new(None, report.clone()))?;
    let summary = run::job(&context, "import", 0, &given.value(), report).map_err(about_the_file)?;
    let made = &summary["imported"];
    let mut lines = if made["kind"] == "encoder" { about_an_encoder(made) } else { about_the_published(made) };
    lines.extend([format!("licence: {}", made["licence"].as_str().unwrap_or("unknown")), format!("weight files in {}", out.display())]);
    report.outcome(&lines, &ok(summary, "models import"));
    Ok(0)
}

/// Millions of parameters.
fn millions(made: &Value) -> f64 {
    made["parameters"].as_f64().unwrap_or(0.0) / 1e6
}

fn about_the_published(made: &Value) -> Vec<String> {
    let background = if made["background"] == true { " and the background" } else { "" };
    let weights = if made["weights"] == "ema" { "averaged over the training (EMA)" } else { "plain" };
    vec![
        format!("{} classes{background}, {} planes of condition", made["classes"], made["condition_channels"]),
        format!("{:.1} M parameters, weights {weights}", millions(made)),
    ]
}

fn about_an_encoder(made: &Value) -> Vec<String> {
    let text = |key: &str| made[key].as_str().unwrap_or("unknown").to_owned();
    let (width, depth, heads) = (&made["width"], &made["depth"], &made["heads"]);
    vec![
        format!("encoder `{}`: a vision transformer of {:.1} M parameters", text("id"), millions(made)),
        format!("width {width}, {depth} blocks, {heads} heads, {}, {} register tokens", text("mlp"), made["registers"]),
        format!("patches of {} px, trained at {} px, taken to be meant for {} um a pixel", made["patch_px"], made["size_px"], made["mpp"]),
        format!("pixels normalised by mean {} and deviation {}", made["normalisation"]["mean"], made["normalisation"]["std"]),
    ]
}

/// A checkpoint that cannot be used is a fault of the input.
fn about_the_file(failure: Failure) -> Failure {
    let kind = if failure.kind == Kind::Other && failure.message.starts_with("weights `") { Kind::Input } else { failure.kind };
    Failure { kind, ..failure }
}
