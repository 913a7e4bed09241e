//! `histoloom doctor`: what is there, what is missing, what to do about it. Ends with 0 only when everything is there.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::callbacks::Viewer;
use crate::cli::Common;
use crate::error::{Kind, Result};
use crate::library;
use crate::report::Report;

/// Runs it.
pub fn run(common: &Common, report: &Arc<Report>) -> Result<u8> {
    let mut value = json!({"command": "doctor", "version": env!("CARGO_PKG_VERSION")});
    let (mut lines, mut missing) = (vec![format!("histoloom {}", env!("CARGO_PKG_VERSION"))], Vec::new());
    let openslide = openslide_rs::OpenSlide::version().unwrap_or_else(|_| "unknown".into());
    lines.push(format!("slide reader: OpenSlide {openslide}"));
    if openslide.starts_with('3') {
        lines.push("  no DICOM slides with this version; OpenSlide 4 reads them".into());
    }
    value["openslide"] = openslide.into();
    let models = library::find_models(common.models.as_deref()).map_err(|e| missing.push(e.message)).ok();
    match library::find(common.library.as_deref()) {
        Err(e) => missing.push(e.message),
        Ok(loaded) => {
            let build = loaded.build_info()?;
            lines.push(format!("library: {} ({}, ABI {})", loaded.path.display(), text(&build["version"]), text(&build["abi"])));
            value["library"] = json!({"file": loaded.path.display().to_string(), "build": build});
            if let Some(models) = &models {
                lines.push(format!("weights: {}", models.display()));
                value["models"] = models.display().to_string().into();
                report.say("loading every network once");
                let found = loaded.context(models, None, 0, Viewer::new(None, report.clone()))?.doctor()?;
                describe(&found, &mut lines, &mut missing);
                value["doctor"] = found;
            }
        }
    }
    lines.extend(missing.iter().map(|m| format!("MISSING: {m}")));
    lines.push(if missing.is_empty() { "all there".into() } else { format!("{} thing(s) missing", missing.len()) });
    value["ok"] = missing.is_empty().into();
    value["missing"] = missing.clone().into();
    report.outcome(&lines, &value);
    Ok(if missing.is_empty() { 0 } else { Kind::Other.code() })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The library's findings in lines.
fn describe(found: &Value, lines: &mut Vec<String>, missing: &mut Vec<String>) {
    let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
    lines.push(format!("device in use: {} ({})", text(&found["device"]["name"]), text(&found["device"]["kind"])));
    lines.extend(list(&found["device"]["refused"]).iter().map(|r| format!("  refused: {}", text(r))));
    for w in list(&found["weights"]) {
        lines.push(format!(
            "network {}: {}",
            text(&w["network"]),
            if w["ok"] == true { "loaded, sha-256 as in the manifest" } else { "NOT usable" }
        ));
    }
    for (what, state) in found["flags"].as_object().into_iter().flatten() {
        lines.push(format!("{what}: {}", if state["missing"].is_null() { "there" } else { "none" }));
    }
    if let Some(types) = found["atlas"]["types"].as_u64() {
        lines.push(format!("atlas: {types} tissue types"));
    }
    let ops: Vec<String> = list(&found["ops"]["ops"]).iter().map(|o| text(&o["name"])).collect();
    lines.push(format!("ops: {}", ops.join(", ")));
    missing.extend(list(&found["missing"]).iter().map(text));
}
