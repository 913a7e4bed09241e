//! `histoloom models import`: published checkpoint in, weight files out.

use std::path::Path;
use std::sync::Arc;

use super::{Given, ok};
use crate::callbacks::Viewer;
use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run};

/// Runs it.
pub fn import(common: &Common, file: &Path, out: &Path, report: &Arc<Report>) -> Result<u8> {
    if !file.is_file() {
        return Err(Failure::input(format!("`{}` is not a file; give a checkpoint (.ckpt or .safetensors)", file.display())));
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
    let background = if made["background"] == true { " and the background" } else { "" };
    let weights = if made["weights"] == "ema" { "averaged over the training (EMA)" } else { "plain" };
    let lines = [
        format!("{} classes{background}, {} planes of condition", made["classes"], made["condition_channels"]),
        format!("{:.1} M parameters, weights {weights}", made["parameters"].as_f64().unwrap_or(0.0) / 1e6),
        format!("licence: {}", made["licence"].as_str().unwrap_or("unknown")),
        format!("weight files in {}", out.display()),
    ];
    report.outcome(&lines, &ok(summary, "models import"));
    Ok(0)
}

/// A checkpoint that cannot be used is a fault of the input.
fn about_the_file(failure: Failure) -> Failure {
    let kind = if failure.kind == Kind::Other && failure.message.starts_with("weights `") { Kind::Input } else { failure.kind };
    Failure { kind, ..failure }
}
