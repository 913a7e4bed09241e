//! A job kind without networks, `selftest`, with which hosts and our own tests try callbacks, cancelling and results in a second.
//! In: numbers of reads, steps and tiles. Out: a made-up map and tiles that say so. It is not a tissue analysis and never will be.

use std::sync::Arc;
use std::time::Duration;

use histoloom_core::flags::{Flag, TileFlags};
use histoloom_core::semantic_map::{Class, SemanticMap};
use histoloom_core::slide::Region;
use histoloom_core::synth::SyntheticTile;
use histoloom_core::{Error, Job, Planes, Result, TileSource, limits};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::host::HostSource;
use crate::results::{ResultData, map_summary, tile_summary};

/// Cells a side of the made-up map.
const SIDE: usize = 8;

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selftest {
    /// Regions to read.
    reads: u32,
    /// Side of each.
    side_px: u32,
    /// Level-0 pixels a pixel.
    downsample: f64,
    /// Steps after reading.
    steps: u32,
    /// Sleep in each.
    step_ms: u64,
    /// Tiles to make up.
    tiles: u32,
    /// Panic after the steps.
    panic: bool,
}

impl Default for Selftest {
    fn default() -> Self {
        Self { reads: 0, side_px: 64, downsample: 1.0, steps: 4, step_ms: 0, tiles: 0, panic: false }
    }
}

/// Parses parameters; an empty text means the defaults.
pub fn parse(text: &str) -> Result<Selftest> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let p: Selftest = serde_json::from_str(text).map_err(|e| Error::parameter("(all)", e.to_string(), "see Selftest"))?;
    if p.side_px == 0 || p.side_px > limits::WINDOW_PX || p.tiles > 64 || !p.downsample.is_finite() || p.downsample < 1.0 {
        return Err(Error::parameter("side_px, tiles or downsample", "out of range", "1 to 1024, 0 to 64, at least 1"));
    }
    Ok(p)
}

/// Runs it.
#[expect(clippy::panic, reason = "the panic boundary is what it tests")]
pub fn run(p: &Selftest, source: Option<&HostSource>, job: &Job) -> Result<ResultData> {
    let mean = read(p, source, job)?;
    job.stage("step", p.steps.into());
    for i in 0..p.steps {
        job.check()?;
        std::thread::sleep(Duration::from_millis(p.step_ms));
        job.publish(RgbaImage::from_pixel(4, 3, Rgba([i as u8, 0, 0, 255])));
        job.advance(1);
    }
    job.check()?;
    if p.panic {
        panic!("a panic asked for by a selftest job");
    }
    log::info!("selftest: {} reads, {} steps", p.reads, p.steps);
    let map = made_up_map();
    let tiles: Vec<_> = (0..p.tiles).map(made_up_tile).collect();
    let summary = json!({
        "kind": "selftest",
        "mean_rgb": mean,
        "map": map_summary(&map),
        "tiles": tiles.iter().map(|t| tile_summary(t, true)).collect::<Vec<_>>(),
        "kept": tiles.len(),
        "notes": job.notes(),
    });
    Ok(ResultData { map: Some(Arc::new(map)), tiles, summary })
}

/// Reads regions one beside the other over the slide; the mean colour comes back.
fn read(p: &Selftest, source: Option<&HostSource>, job: &Job) -> Result<Option<[f64; 3]>> {
    let Some(source) = source.filter(|_| p.reads > 0) else {
        return Ok(None);
    };
    job.stage("read", p.reads.into());
    let (mut sum, mut pixels) = ([0.0; 3], 0.0);
    let step = (f64::from(p.side_px) * p.downsample) as u64;
    let across = (source.info().width_px / step.max(1)).max(1);
    for i in 0..u64::from(p.reads) {
        job.check()?;
        let (x, y) = ((i % across) * step, (i / across) * step);
        let region = Region { x: x as i64, y: y as i64, downsample: p.downsample, width_px: p.side_px, height_px: p.side_px };
        for pixel in source.read(&region)?.pixels() {
            for (s, v) in sum.iter_mut().zip(pixel.0) {
                *s += f64::from(v);
            }
            pixels += 1.0;
        }
        job.advance(1);
    }
    Ok(Some(sum.map(|s| s / pixels)))
}

/// Left half class 1, right half class 2, upper row background.
fn made_up_map() -> SemanticMap {
    let labels: Vec<u8> = (0..SIDE * SIDE).map(|i| if i < SIDE { 0 } else { 1 + (i % SIDE >= SIDE / 2) as u8 }).collect();
    let cells = ((SIDE - 1) * SIDE / 2) as u64;
    let class = |id, name: &str, color| Class { id, name: name.into(), color, cells, area_um2: cells as f64 * 64.0, share: 0.5 };
    SemanticMap {
        rows: SIDE,
        columns: SIDE,
        labels,
        cell_px: 16.0,
        mpp: 0.5,
        work_mpp: 0.5,
        classes: vec![class(1, "left", [0, 114, 178]), class(2, "right", [230, 159, 0])],
        crops: Vec::new(),
        tree: None,
        history: None,
        atlas: None,
        bank: Default::default(),
        artefacts: None,
        tissue: Vec::new(),
        thumbnail: RgbImage::from_pixel(SIDE as u32, SIDE as u32, Rgb([255; 3])),
        provenance: json!({"selftest": true}),
    }
}

fn made_up_tile(index: u32) -> SyntheticTile {
    let (side, cells) = (64u32, 2usize);
    let reason = "made up by a selftest job".to_owned();
    SyntheticTile {
        index,
        rgb: RgbImage::from_fn(side, side, |x, y| Rgb([x as u8, y as u8, index as u8])),
        labels: (0..side * side).map(|i| 1 + u8::from(i % side >= side / 2)).collect(),
        crops: Vec::new(),
        flags: TileFlags {
            scores: Planes::zeros(1, cells, cells),
            names: vec!["S1".into()],
            flags: vec![Flag { code: "UNCALIBRATED".into(), reason, score: None, threshold: None, cell: None }],
            tile_scores: None,
            nearest: None,
            calibration: None,
            fused: None,
        },
        provenance: json!({"selftest": true, "synthetic": true}),
        inputs: std::sync::Arc::default(),
    }
}
