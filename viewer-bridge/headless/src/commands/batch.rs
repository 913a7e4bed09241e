//! `histoloom cluster` over several slides or folders of slides. In: paths. Out: a map folder a slide inside --out, `summary.csv` and
//! `summary.json`, and an exit code that tells whether all went well. A slide that fails does not stop the others; Ctrl-C stops all.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::{cluster, make_out};
use crate::cli::{Cluster, Common};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;

/// Names that slides in a folder end with; other files there are left alone.
const SLIDES: [&str; 11] = ["svs", "tif", "tiff", "ndpi", "mrxs", "scn", "vms", "vmu", "bif", "svslide", "dcm"];

/// Runs it.
pub fn run(common: &Common, options: &Cluster, report: &Arc<Report>) -> Result<u8> {
    let slides = named(&found(&options.slides)?)?;
    make_out(&options.out)?;
    let mut entries = Vec::new();
    let mut stopped = None;
    for (number, (name, path)) in slides.iter().enumerate() {
        report.loud(&format!("[{}/{}] {}", number + 1, slides.len(), path.display()));
        let since = Instant::now();
        let outcome = cluster::one(common, options, path, &options.out.join(name), true, report);
        let seconds = since.elapsed().as_secs_f64();
        match outcome {
            Ok(summary) => entries.push(made(name, &summary, seconds)),
            Err(failure) => {
                report.finish_steps(false);
                report.say(&format!("error: {failure}"));
                let empty = std::fs::remove_dir(options.out.join(name)); // only where nothing was written
                drop(empty);
                let cancelled = failure.kind == Kind::Cancelled;
                entries.push(json!({"slide": name, "status": "failed", "seconds": seconds, "why": nameless(&failure.message, path)}));
                if cancelled {
                    stopped = Some(failure);
                    break;
                }
            }
        }
        // after each slide, so that whatever ends the run leaves a summary of what is done
        write(&options.out, &entries)?;
    }
    if let Some(failure) = stopped {
        return Err(failure);
    }
    let failed = entries.iter().filter(|e| e["status"] == "failed").count();
    let mut lines = vec![format!("{:>9} {:>7} {:>9} {:>8}  slide", "status", "classes", "cells", "seconds")];
    lines.extend(entries.iter().map(line));
    lines.push(format!("{} slide(s), {failed} failed; summary in {}", entries.len(), options.out.join("summary.csv").display()));
    report.outcome(&lines, &json!({"ok": failed == 0, "command": "cluster", "slides": entries}));
    Ok(if failed == 0 { 0 } else { Kind::Other.code() })
}

/// A message without the folders of the slide: summaries are passed on.
fn nameless(message: &str, path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    message.replace(&*path.to_string_lossy(), &file)
}

/// The slides among files and folders; those of a folder in the order of their names.
fn found(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for path in given {
        if !path.is_dir() {
            out.push(path.clone());
            continue;
        }
        let fail = |e: std::io::Error| Failure::input(format!("cannot read the folder `{}`: {e}; check its permissions", path.display()));
        let entries = std::fs::read_dir(path).map_err(fail)?.collect::<std::io::Result<Vec<_>>>().map_err(fail)?;
        let ends = |p: &Path| p.extension().map(|e| e.to_string_lossy().to_lowercase()).is_some_and(|e| SLIDES.contains(&e.as_str()));
        let mut slides: Vec<PathBuf> = entries.into_iter().map(|e| e.path()).filter(|p| p.is_file() && ends(p)).collect();
        if slides.is_empty() {
            let hint = format!("slides end with .{}", SLIDES.join(", ."));
            return Err(Failure::input(format!("no slide in the folder `{}`; {hint}", path.display())));
        }
        slides.sort();
        out.append(&mut slides);
    }
    Ok(out)
}

/// Each slide with the name of its folder: the file's name without its ending, or with it where two would have the same.
fn named(slides: &[PathBuf]) -> Result<Vec<(String, PathBuf)>> {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let stem = |p: &PathBuf| text(p.file_stem());
    let twice = |name: &str| slides.iter().filter(|p| stem(p) == name).count() > 1;
    let names: Vec<String> = slides.iter().map(|p| if twice(&stem(p)) { text(p.file_name()) } else { stem(p) }).collect();
    if let Some(name) = names.iter().find(|name| names.iter().filter(|n| n == name).count() > 1) {
        return Err(Failure::new(Kind::Usage, format!("two slides are called `{name}`; give them in two runs with another --out each")));
    }
    Ok(names.into_iter().zip(slides.iter().cloned()).collect())
}

fn made(name: &str, summary: &Value, seconds: f64) -> Value {
    let classes = summary["map"]["classes"].as_array().map_or(0, Vec::len);
    let cells: u64 = summary["map"]["classes"].as_array().into_iter().flatten().filter_map(|c| c["cells"].as_u64()).sum();
    let status = if summary["already_done"] == true { "skipped" } else { "made" };
    json!({"slide": name, "status": status, "classes": classes, "tissue_cells": cells, "seconds": seconds})
}

fn line(e: &Value) -> String {
    let number = |key: &str| e[key].as_u64().map_or_else(|| "-".into(), |n| n.to_string());
    let status = e["status"].as_str().unwrap_or("");
    let name = e["slide"].as_str().unwrap_or("");
    let seconds = e["seconds"].as_f64().unwrap_or(0.0);
    let why = e["why"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{status:>9} {:>7} {:>9} {seconds:8.1}  {name}{why}", number("classes"), number("tissue_cells"))
}

/// Both summaries, each the old one or the whole new one.
fn write(out: &Path, entries: &[Value]) -> Result<()> {
    let mut csv = String::from("slide,status,classes,tissue_cells,seconds,why\n");
    for e in entries {
        let cell = |key: &str| match &e[key] {
            Value::Null => String::new(),
            Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"").replace('\n', " ")),
            other => other.to_string(),
        };
        let cells = ["slide", "status", "classes", "tissue_cells", "seconds", "why"].map(cell);
        csv.push_str(&format!("{}\n", cells.join(",")));
    }
    let json = format!("{:#}\n", json!({"slides": entries}));
    for (name, text) in [("summary.csv", csv), ("summary.json", json)] {
        let path = out.join(name);
        let fail = |e: std::io::Error| Failure::other(format!("cannot write `{}`: {e}; check free space and permissions", path.display()));
        let mut beside = tempfile::NamedTempFile::new_in(out).map_err(fail)?;
        beside.write_all(text.as_bytes()).map_err(fail)?;
        beside.persist(&path).map_err(|e| fail(e.error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_looked_through_and_every_slide_gets_a_name_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.svs", "a.TIF", "a.svs", "notes.txt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("c.svs")).unwrap();
        let slides = found(&[dir.path().to_path_buf(), "d/other.ndpi".into()]).unwrap();
        let names: Vec<String> = named(&slides).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.TIF", "a.svs", "b", "other"]);
        assert!(named(&[slides[0].clone(), slides[0].clone()]).unwrap_err().message.contains("a.TIF"));
        let empty = tempfile::tempdir().unwrap();
        assert!(found(&[empty.path().to_path_buf()]).unwrap_err().message.contains(".svs"));
    }
}
