//! `histoloom eval`: a slide and its map in, a table of distances out.

use std::sync::Arc;

use super::{Given, make_out, ok, opened};
use crate::callbacks::Viewer;
use crate::cli::{Common, Eval};
use crate::error::{Failure, Result};
use crate::report::Report;
use crate::{run, slide};

/// Runs it.
pub fn run(common: &Common, options: &Eval, report: &Arc<Report>) -> Result<u8> {
    for dir in [Some(&options.from), options.other.as_ref()].into_iter().flatten() {
        if !dir.join("map.json").is_file() {
            let hint = "give the --out folder of `histoloom cluster`";
            return Err(Failure::input(format!("there is no map in `{}` (no map.json); {hint}", dir.display())));
        }
    }
    let slide = slide::Slide::open(&options.slide)?;
    let (library, models) = opened(common)?;
    make_out(&options.out)?;
    let mut given = Given::default();
    given.put_dir("from", &options.from)?;
    options.other.as_ref().map_or(Ok(()), |dir| given.put_dir("other", dir))?;
    given.put_dir("out_dir", &options.out)?;
    given.put("n", options.n);
    given.put("seed", options.seed);
    given.put("preset", options.preset.clone());
    given.put("ablations", options.no_ablations.then_some(false));
    given.put_place(&options.place);
    let name = options.slide.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (device, threads) = (options.place.device.as_deref(), options.place.threads.unwrap_or(0));
    let context = library.context(&models, device, threads, Viewer::new(Some(slide), report.clone()))?;
    let handle = context.open_slide(&name)?;
    let summary = run::job(&context, "eval", handle, &given.value(), report)?;
    let found = &summary["report"];
    let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
    let mut lines = vec![
        format!("{} tiles a set, {} squares of 128 px, {} features", found["tiles"], found["patches"], found["channels"]),
        format!("{:>10.2}  real against real (floor)", number("real_floor")),
        format!("{:>10.2}  real, through the autoencoder and back", number("decoded")),
    ];
    for line in found["lines"].as_array().into_iter().flatten() {
        lines.push(format!("{:>10.2}  {}", line["frechet"].as_f64().unwrap_or(f64::NAN), line["variant"].as_str().unwrap_or("")));
    }
    lines.push(format!("autoencoder: {:.2} dB, SSIM {:.4}", number("autoencoder_psnr_db"), number("autoencoder_ssim")));
    lines.push(format!("{:.0} ms a tile, {:.1} ms a step", number("ms_a_tile"), number("ms_a_step")));
    lines.push(format!("device: {}", summary["device"]["name"].as_str().unwrap_or("unknown")));
    lines.push(format!("eval.json and eval.png in {}", options.out.display()));
    report.outcome(&lines, &ok(summary, "eval"));
    Ok(0)
}
