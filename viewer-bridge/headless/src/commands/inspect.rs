//! `histoloom inspect`: what a file of ours says of itself.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::ok;
use crate::cli::Common;
use crate::error::{Failure, Result};
use crate::library;
use crate::report::Report;

/// A line of a file that anybody may have made, without what a terminal would obey.
fn plain(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Runs it.
pub fn run(common: &Common, file: &Path, report: &Arc<Report>) -> Result<u8> {
    if !file.exists() {
        return Err(Failure::input(format!("`{}` is not there; check the path", file.display())));
    }
    let found = library::find(common.library.as_deref())?.inspect(file)?;
    let mut lines = Vec::new();
    if found["synthetic"] == Value::Bool(true) {
        lines.push("SYNTHETIC: made by a model, not real tissue".to_owned());
    }
    lines.extend(found["parameters"].as_str().into_iter().flat_map(str::lines).map(plain));
    let full = if found["histoloom"].is_null() { &found } else { &found["histoloom"] };
    lines.push(serde_json::to_string_pretty(full).map_err(|e| Failure::other(e.to_string()))?);
    report.outcome(&lines, &ok(found, "inspect"));
    Ok(0)
}
