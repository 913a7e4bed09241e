//! `histoloom synth`: map folder in, tiles with labels and flags out.

use std::sync::Arc;

use super::{Given, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Common, Synth};
use crate::error::{Failure, Result};
use crate::report::Report;
use crate::run;

/// Runs it.
pub fn run(common: &Common, options: &Synth, report: &Arc<Report>) -> Result<u8> {
    if !options.from.join("map.json").is_file() {
        let hint = "give the --out folder of `histoloom cluster`";
        return Err(Failure::input(format!("there is no map in `{}` (no map.json); {hint}", options.from.display())));
    }
    let (library, models) = opened(common)?;
    make_out(&options.out)?;
    let mut given = Given::default();
    given.put_dir("from", &options.from)?;
    given.put_dir("out_dir", &options.out)?;
    given.put("n", options.n);
    given.put("seed", options.seed);
    given.put("first", options.first);
    given.put("steps", options.steps);
    given.put("guidance", options.guidance);
    given.put("sampler", options.sampler.clone());
    given.put("size_px", options.size);
    let ops = options.ops.clone().map(|ops| ops.into_iter().filter(|o| o != "none").collect::<Vec<_>>());
    given.put("ops", ops);
    given.put_place(&options.place);
    let context =
        library.context(&models, options.place.device.as_deref(), options.place.threads.unwrap_or(0), Viewer::new(None, report.clone()))?;
    let summary = run::job(&context, "synth", 0, &given.value(), report)?;
    let tiles = summary["tiles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines = Vec::new();
    for tile in tiles {
        let codes: Vec<&str> = tile["flag_codes"].as_array().into_iter().flatten().filter_map(|c| c.as_str()).collect();
        let codes = if codes.is_empty() { "not flagged".into() } else { codes.join(" ") };
        lines.push(format!("tile {:>4}  {codes}", tile["index"].as_u64().unwrap_or(0) + 1));
    }
    lines.push(format!("device: {}", summary["device"]["name"].as_str().unwrap_or("unknown")));
    lines.push(format!("{} SYNTHETIC tile(s) in {}; start with contact_sheet.png", tiles.len(), options.out.display()));
    report.outcome(&lines, &ok(summary, "synth"));
    Ok(0)
}
