//! How long the shipped ops take in the sandbox against the same ops as native Rust: `cargo run -p histoloom-wasm-ops --example ops_bench [PNG]
//! [RUNS]`. Both are built at the profile of the workspace (dev: native opt-level 2; the modules are those that ship; wasmtime with fuel,
//! epoch interruption and explicit bounds checks, as in use). Runs are interleaved; medians of each and of the ratios are printed.
//!
//! `op` is `hl_op_run` alone, `whole` is everything a host waits for: instance, input, run, output.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that prints")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/native.rs"]
mod native;
#[path = "../tests/common/ports.rs"]
mod ports;

use std::time::{Duration, Instant};

use common::Tile;
use histoloom_core::ops::{OpInput, RealClass};
use histoloom_wasm_ops::SandboxedOp;
use histoloom_wasm_ops::registry::SHIPPED;
use image::Rgb;
use native::{Heard, Native};

/// Side of the picture in pixels.
const SIDE: u32 = 512;

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let tile = tile(given.first());
    let runs = given.get(1).map_or(41, |n| n.parse().unwrap());
    println!("{} x {} px, {runs} interleaved runs, medians in ms; native: opt-level 2 (profile dev)", tile.rgb.width(), tile.rgb.height());
    println!("{:<10} {:>9} {:>9} {:>6} | {:>9} {:>9} {:>6}", "op", "native", "sandbox", "ratio", "whole", "sandbox", "ratio");
    let mut worst: f64 = 0.0;
    for (file, wasm) in SHIPPED {
        worst = worst.max(row(file.trim_end_matches(".wasm"), wasm, &tile, runs));
    }
    println!("worst ratio of an op: {worst:.2}");
    instances();
}

/// Measures one op; its ratio comes back.
fn row(name: &str, wasm: &[u8], tile: &Tile, runs: usize) -> f64 {
    let op = SandboxedOp::load(name, wasm).unwrap();
    let params: Vec<f64> = op.manifest().params.iter().map(|p| p.default).collect();
    let input = OpInput {
        rgb: &tile.rgb,
        labels: &tile.labels,
        scores: &tile.scores,
        seen: tile.seen(),
        params: "",
        cancelled: Default::default(),
    };
    let mut native = Native::new(tile);
    let mut times: [Vec<f64>; 6] = Default::default();
    for run in 0..runs + 3 {
        let began = Instant::now();
        let inner = native.timed(name, tile, &params, &mut Heard::default()).1;
        let whole = began.elapsed();
        let began = Instant::now();
        let inner_wasm = op.measured(&input).unwrap().1;
        let whole_wasm = began.elapsed();
        if run >= 3 {
            let [a, b, c, d] = [inner, inner_wasm, whole, whole_wasm].map(|t| t.as_secs_f64() * 1e3);
            times.iter_mut().zip([a, b, b / a, c, d, d / c]).for_each(|(to, t)| to.push(t));
        }
    }
    let [a, b, ratio, c, d, whole] = times.map(median);
    println!("{name:<10} {a:>9.3} {b:>9.3} {ratio:>6.2} | {c:>9.3} {d:>9.3} {whole:>6.2}");
    ratio
}

fn instances() {
    let mut made = Vec::new();
    let mut compiled = Vec::new();
    for (file, wasm) in SHIPPED {
        let op = SandboxedOp::load(file, wasm).unwrap();
        let first = op.probe().unwrap();
        compiled.push(first[0]);
        made.extend((0..50).map(|_| op.probe().unwrap()[1]));
    }
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let median = median(made.iter().map(|d| ms(*d)).collect());
    let most = made.iter().copied().max().map_or(0.0, ms);
    println!("an instance from a compiled module: median {median:.3} ms, at most {most:.3} ms of {}", made.len());
    println!("taking a module from the cache of compiled ones: at most {:.3} ms", compiled.into_iter().max().map_or(0.0, ms));
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A picture of a file, or one in the colours of stained tissue, with three classes.
fn tile(file: Option<&String>) -> Tile {
    let noise = Tile::noise(SIDE, SIDE, 1).rgb;
    let made = || {
        image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let nucleus = (x % 24).abs_diff(12).pow(2) + (y % 24).abs_diff(12).pow(2) < 36;
            let base: [u8; 3] = if nucleus { [90, 60, 140] } else { [190, 115, 160] };
            let n = noise.get_pixel(x, y).0;
            Rgb([0, 1, 2].map(|c| base[c] + n[c] / 16))
        })
    };
    let rgb = file.map_or_else(made, |path| image::open(path).unwrap().into_rgb8());
    let (w, h) = rgb.dimensions();
    let mut tile = Tile::of(rgb);
    tile.labels = (0..w * h).map(|i| (1 + (i % w / 16 + i / w / 16) / 16 % 3) as u8).collect();
    tile.seams = vec![w / 4, w / 2, 3 * w / 4];
    tile.classes = (1..4).map(|label| RealClass { label, crops: 2, counted: 30, area_mm2: 0.01, ..RealClass::default() }).collect();
    tile
}
