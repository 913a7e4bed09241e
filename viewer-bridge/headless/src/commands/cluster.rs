//! `histoloom cluster`: slide in, map folder out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::{Given, batch, check_imported, class_lines, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Cluster, Common};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{roi, run, slide};

/// Largest region of interest as JSON: the library takes parameters of 1 MiB.
const ROI_BYTES: usize = 1_000_000;

/// Runs it.
pub fn run(common: &Common, options: &Cluster, report: &Arc<Report>) -> Result<u8> {
    options.encoder.as_ref().map_or(Ok(()), |dir| check_imported(dir, "encoder"))?;
    match options.slides.as_slice() {
        [slide] if !slide.is_dir() => {
            let summary = one(common, options, slide, &options.out, options.skip_done, report)?;
            report.outcome(&lines(&summary, &options.out), &ok(summary, "cluster"));
            Ok(0)
        }
        _ => {
            of_one_slide("--annotations", options.annotations.as_deref())?;
            of_one_slide("--roi", options.roi.as_deref())?;
            batch::run(common, options, report)
        }
    }
}

/// An error where a file of level-0 pixels, which are those of one slide, is given for several.
fn of_one_slide(option: &str, file: Option<&Path>) -> Result<()> {
    let why =
        format!("{option} belongs to one slide; give that slide alone, and run `histoloom cluster` once for each slide with its own file");
    file.map_or(Ok(()), |_| Err(Failure::new(Kind::Usage, why)))
}

/// Makes the map of one slide in a folder; the library's summary comes back.
pub(super) fn one(common: &Common, options: &Cluster, path: &Path, out: &Path, skip_done: bool, report: &Arc<Report>) -> Result<Value> {
    let mut given = Given::default();
    let slide = ready(&mut given, path, options.mpp, options.roi.as_deref(), report)?;
    let (library, models) = opened(common)?;
    if let Some(given_atlas) = &options.atlas {
        given.put_dir("atlas", &find_atlas(given_atlas, &models)?)?;
    }
    if let Some(file) = &options.annotations {
        if !file.is_file() {
            let hint = "give GeoJSON exported from QuPath, or ASAP's XML";
            return Err(Failure::input(format!("there are no annotations at `{}`; {hint}", file.display())));
        }
        given.put_dir("annotations", file)?;
    }
    make_out(out)?;
    given.put("k", options.k);
    given.put("mpp", options.mpp);
    given.put("min_region_um2", options.min_region_um2);
    given.put("artefacts", options.keep_artefacts.then_some(false));
    given.put("normalise", options.normalise.clone());
    given.put("seed", options.seed);
    options.encoder.as_ref().map_or(Ok(()), |dir| given.put_dir("encoder", dir))?;
    given.put("force", options.force.then_some(true));
    given.put("skip_done", skip_done.then_some(true));
    given.put("viewport", options.viewport.clone());
    given.put_dir("out_dir", out)?;
    options.cache.as_deref().map_or(Ok(()), |dir| given.put_dir("cache_dir", dir))?;
    given.put_place(&options.place);
    let context = library.context(
        &models,
        options.place.device.as_deref(),
        options.place.threads.unwrap_or(0),
        Viewer::new(Some(slide), report.clone()),
    )?;
    let handle = context.open_slide(&name(path))?;
    run::job(&context, "cluster", handle, &given.value(), report)
}

/// The outcome for people.
pub(super) fn lines(summary: &Value, out: &Path) -> Vec<String> {
    let mut lines = vec![format!("{} x {} cells of {} px", summary["map"]["columns"], summary["map"]["rows"], summary["map"]["cell_px"])];
    lines.push(format!("k = {}, {}", summary["k"]["value"], summary["k"]["why"].as_str().unwrap_or("")));
    lines.extend(class_lines(summary));
    for left in summary["map"]["left_out"].as_array().into_iter().flatten() {
        let share = left["share"].as_f64().unwrap_or(0.0) * 100.0;
        lines.push(format!("     {share:4.1} %  left unlabelled: {} (--keep-artefacts labels it)", left["reason"].as_str().unwrap_or("")));
    }
    if let Some(unknown) = summary["map"]["unknown_share"].as_f64() {
        lines.push(format!("{:.1} % of the tissue is unknown to the atlas (unknown.png)", 100.0 * unknown));
    }
    lines.push(format!("device: {}", summary["device"]["name"].as_str().unwrap_or("unknown")));
    let made = if summary["already_done"] == true { "map was there already, in" } else { "map in" };
    lines.push(format!("{made} {}", out.display()));
    lines
}

/// Opens a slide whose tissue is to be looked at, and puts its region of interest among the parameters.
pub fn ready(given: &mut Given, path: &Path, mpp: Option<f64>, roi: Option<&Path>, report: &Report) -> Result<slide::Slide> {
    if let Some(mpp) = mpp.filter(|mpp| !(mpp.is_finite() && *mpp > 0.0)) {
        return Err(Failure::new(Kind::Usage, format!("--mpp {mpp} is no resolution; give micrometres per pixel, for instance 0.25")));
    }
    let slide = slide::Slide::open(path)?;
    if let Some(path) = roi {
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
    if slide.mpp.is_none() && mpp.is_none() {
        let hint = "add --mpp with the scanner's value, for instance --mpp 0.25 for a 40x scan or --mpp 0.5 for 20x; it is never guessed";
        return Err(Failure::input(format!("`{}` does not tell its micrometres per pixel; {hint}", path.display())));
    }
    let (width, height) = slide.size_px;
    report.say(&format!(
        "slide: {width} x {height} px, {} level(s), {}, {}",
        slide.downsamples.len(),
        slide.mpp.map_or("mpp unknown".into(), |(x, _)| format!("{x:.3} um/px")),
        slide.vendor
    ));
    Ok(slide)
}

/// An atlas: a file, or the name of one that ships with the weights, such as `he`.
pub(super) fn find_atlas(atlas: &Path, models: &Path) -> Result<PathBuf> {
    let shipped = models.join(format!("{}_atlas.json", atlas.display()));
    let found = [atlas.to_path_buf(), shipped].into_iter().find(|p| p.is_file());
    found.ok_or_else(|| {
        let hint = "give a file made by `histoloom atlas fit`, or `he` for the one that ships";
        Failure::input(format!("`{}` is not a file; {hint}", atlas.display()))
    })
}

/// A name for people, without its folder; the library writes a hash of the id only.
pub fn name(slide: &Path) -> String {
    slide.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
