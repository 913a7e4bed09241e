//! `histoloom cluster`: slide in, map folder out.

use std::sync::Arc;

use super::{Given, class_lines, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Cluster, Common};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{roi, run, slide};

/// Largest region of interest as JSON: the library takes parameters of 1 MiB.
const ROI_BYTES: usize = 1_000_000;

/// Runs it.
pub fn run(common: &Common, options: &Cluster, report: &Arc<Report>) -> Result<u8> {
    if let Some(mpp) = options.mpp.filter(|mpp| !(mpp.is_finite() && *mpp > 0.0)) {
        return Err(Failure::new(Kind::Usage, format!("--mpp {mpp} is no resolution; give micrometres per pixel, for instance 0.25")));
    }
    let slide = slide::Slide::open(&options.slide)?;
    let mut given = Given::default();
    if let Some(path) = &options.roi {
        let found = roi::read(path)?;
        if found.holes_filled {
            report.say("the region of interest has holes; they are filled");
        }
        let polygons = serde_json::to_value(&found.polygons).map_err(|e| Failure::other(e.to_string()))?;
        if polygons.to_string().len() > ROI_BYTES {
            let points: usize = found.polygons.iter().map(Vec::len).sum();
            let why = "more than a job takes; simplify the annotation in the viewer (QuPath: Objects > Annotations > Simplify shape)";
            return Err(Failure::input(format!("region of interest `{}` has {points} points, {why}", path.display())));
        }
        given.put("roi", Some(polygons));
    }
    if slide.mpp.is_none() && options.mpp.is_none() {
        let hint = "add --mpp with the scanner's value, for instance --mpp 0.25 for a 40x scan or --mpp 0.5 for 20x; it is never guessed";
        return Err(Failure::input(format!("`{}` does not tell its micrometres per pixel; {hint}", options.slide.display())));
    }
    let (library, models) = opened(common)?;
    make_out(&options.out)?;
    given.put("k", options.k);
    given.put("mpp", options.mpp);
    given.put("seed", options.seed);
    given.put("force", options.force.then_some(true));
    given.put_dir("out_dir", &options.out)?;
    given.put_place(&options.place);
    let (width, height) = slide.size_px;
    report.say(&format!(
        "slide: {width} x {height} px, {} level(s), {}, {}",
        slide.downsamples.len(),
        slide.mpp.map_or("mpp unknown".into(), |(x, _)| format!("{x:.3} um/px")),
        slide.vendor
    ));
    // a name for people, without its folder; the library writes a hash of the id only
    let name = options.slide.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let context = library.context(
        &models,
        options.place.device.as_deref(),
        options.place.threads.unwrap_or(0),
        Viewer::new(Some(slide), report.clone()),
    )?;
    let handle = context.open_slide(&name)?;
    let summary = run::job(&context, "cluster", handle, &given.value(), report)?;
    let mut lines = vec![format!("{} x {} cells of {} px", summary["map"]["columns"], summary["map"]["rows"], summary["map"]["cell_px"])];
    lines.extend(class_lines(&summary));
    lines.push(format!("device: {}", summary["device"]["name"].as_str().unwrap_or("unknown")));
    lines.push(format!("map in {}", options.out.display()));
    report.outcome(&lines, &ok(summary, "cluster"));
    Ok(0)
}
