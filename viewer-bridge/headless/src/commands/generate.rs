//! `histoloom generate`: slide and annotations in, a map of the annotated classes and synthetic tiles of them out.

use std::sync::Arc;

use serde_json::json;

use super::{cluster, make_out, ok, synth};
use crate::cli::{Cluster, Common, Generate, Synth};
use crate::error::Result;
use crate::report::Report;

/// Runs it; a map that is there already and would be made again is used as it is.
pub fn run(common: &Common, options: &Generate, report: &Arc<Report>) -> Result<u8> {
    make_out(&options.out)?;
    let (map, tiles) = (options.out.join("map"), options.out.join("tiles"));
    let (annotations, mpp, place) = (Some(options.annotations.clone()), options.mpp, options.place.clone());
    let clustered = Cluster { annotations, mpp, seed: options.seed, place: place.clone(), ..Cluster::default() };
    let made = cluster::one(common, &clustered, &options.slide, &map, true, report)?;
    let wanted = Synth {
        from: map.clone(),
        out: tiles,
        n: options.n,
        seed: options.seed,
        preset: options.preset.clone(),
        size: options.size,
        keep_flagged: options.keep_flagged,
        calibration: options.calibration.clone(),
        place,
        ..Synth::default()
    };
    let mut lines = cluster::lines(&made, &map);
    let (more, summary) = synth::tiles(common, &wanted, report)?;
    lines.extend(more);
    report.outcome(&lines, &ok(json!({"map": made, "tiles": summary}), "generate"));
    Ok(0)
}
