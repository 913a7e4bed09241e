//! `histoloom models import`: published checkpoint, or a vision transformer's file, in; weight files out.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Given, ok};
use crate::callbacks::Viewer;
use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run};

/// Runs it.
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
