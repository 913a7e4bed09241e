//! `histoloom edit`: a map's folder in, the map with other classes out.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{Given, class_lines, ok};
use crate::callbacks::Viewer;
use crate::cli::{Common, EditMap};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{library, run};

/// Runs it.
pub fn run(common: &Common, options: &EditMap, report: &Arc<Report>) -> Result<u8> {
    let changes = options.undo.is_some() || !options.edits.0.is_empty();
    if !(changes || options.list || options.out.is_some()) {
        let hint = "say --merge, --rename, --recolour, --split or --undo; or --list to see what there is";
        return Err(Failure::new(Kind::Usage, format!("nothing to do; {hint}")));
    }
    let library = library::find(common.library.as_deref())?;
    let mut given = Given::default();
    given.put_dir("from", &options.map)?;
    given.put("undo", options.undo);
    given.put("edits", Some(options.edits.0.clone()));
    let out = options.out.as_ref().or_else(|| changes.then_some(&options.map));
    if let Some(dir) = out {
        given.put_dir("out_dir", dir)?;
    }
    // no network is loaded, so no models folder is needed
    let context = library.context(Path::new("."), Some("cpu"), 1, Viewer::new(None, report.clone()))?;
    let summary = run::job(&context, "edit", 0, &given.value(), report)?;
    let mut lines = class_lines(&summary);
    let history = summary["history"].as_array().map_or(&[][..], Vec::as_slice);
    lines.push(if history.is_empty() { "no edits".into() } else { "edits, the oldest first; --undo N takes the last N back:".into() });
    lines.extend(history.iter().enumerate().map(|(i, edit)| format!("{:>3}  {}", i + 1, told(edit))));
    lines.extend(out.map(|dir| format!("map in {}", dir.display())));
    report.outcome(&lines, &ok(summary, "edit"));
    Ok(0)
}

/// An edit in words.
fn told(edit: &Value) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let labels = |v: &Value| v.as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().join(", ");
    match edit.as_object().and_then(|o| o.iter().next()) {
        Some((kind, of)) if kind == "merge" => format!("merge {}", labels(of)),
        Some((kind, of)) if kind == "rename" => format!("rename {} to {}", of["label"], text(&of["name"])),
        Some((kind, of)) if kind == "recolour" => format!("recolour {} to {}", of["label"], text(&of["color"])),
        Some((kind, of)) => format!("{kind} {of}"),
        None => edit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn edits_are_told_in_words() {
        assert_eq!(told(&json!({"merge": [2, 5]})), "merge 2, 5");
        assert_eq!(told(&json!({"rename": {"label": 3, "name": "Tumour"}})), "rename 3 to Tumour");
        assert_eq!(told(&json!({"split": 4})), "split 4");
    }
}
