//! The real thing: a map and a tile of drawn tissue, with the weights that the user named.

use std::ffi::CString;
use std::ptr::null_mut;

use serde_json::json;

use super::scarce::{asks_each_time, limit, one_failing};
use crate::bench::{Bench, PictureCall, WORKS_MS, config, empty_progress};
use crate::ffi::{HL_E_MEMORY, HL_JOB_DONE, HL_JOB_FAILED, HL_OK, hl_config, hl_region, hl_slide_desc, name_of, text_of};
use crate::memory::Guarded;
use crate::process::number;
use crate::session::Session;
use crate::viewer::{Viewer, exact, slide_desc};

pub const SIDE_PX: u64 = 256;

/// Two tissues side by side: pink stroma, purple cells.
fn draw(r: &hl_region, dst: &mut [u8]) -> i64 {
    for (y, row) in dst.chunks_exact_mut(r.stride_bytes as usize).enumerate() {
        for (x, p) in row.chunks_exact_mut(4).enumerate() {
            let left = (r.x_px as f64 + x as f64 * r.downsample) < SIDE_PX as f64 / 2.0;
            let dot = (x / 5 + y / 7) % 3 == 0;
            p.copy_from_slice(&match (left, dot) {
                (true, _) => [235, 165 + ((x + y) % 20) as u8, 200, 255],
                (false, true) => [90, 50, 140, 255],
                (false, false) => [190, 150, 205, 255],
            });
        }
    }
    exact(r)
}

/// Waits for a job and takes its result.
fn result_of(b: &Bench, what: &str, job: u64) -> Option<u64> {
    b.at(what);
    b.code(&format!("{what}: hl_job_wait"), (b.api.hl_job_wait)(job, WORKS_MS), HL_OK);
    let (mut result, state) = (0, b.poll(job).state);
    let why = || text_of(|d, c, n| (b.api.hl_job_error)(job, d, c, n)).unwrap_or_default();
    b.promise(state == HL_JOB_DONE, || format!("{what} ended in state {state}: {}", why()));
    (b.code(&format!("{what}: hl_job_result"), (b.api.hl_job_result)(job, &raw mut result), HL_OK)).then_some(result)
}

/// A picture's bytes with its sides.
fn picture(b: &Bench, what: &str, call: &PictureCall) -> (u32, u32, Vec<u8>) {
    let (mut needed, mut w, mut h) = (0, 0, 0);
    b.code(what, call(null_mut(), 0, &raw mut needed, &raw mut w, &raw mut h), HL_OK);
    let mut guarded = Guarded::new((needed as usize).min(1 << 30));
    b.code(what, call(guarded.ptr(), needed, &raw mut needed, &raw mut w, &raw mut h), HL_OK);
    b.promise(guarded.guards_hold(), || format!("{what} wrote outside its buffer"));
    (w, h, guarded.content().to_vec())
}

/// Map labels, tile pixels and tile labels, made on some threads.
fn made(b: &Bench, models: &CString, threads: u32, seed: u64) -> Option<[(u32, u32, Vec<u8>); 3]> {
    let viewer = Viewer::reading(draw).leak();
    let ((context, slide), mut job) = (with_models(b, viewer, models, threads, SIDE_PX), 0);
    let (code, mapping) = b.try_start(context, slide, c"cluster", &format!(r#"{{"k": 2, "seed": {seed}}}"#));
    b.code("hl_job_start of cluster", code, HL_OK);
    let map = result_of(b, "cluster", mapping)?;
    let params = CString::new(format!(r#"{{"n": 1, "size_px": 128, "steps": 2, "seed": {seed}}}"#)).unwrap_or_default();
    let code = (b.api.hl_job_start)(context, 0, c"synth".as_ptr(), params.as_ptr(), map, &raw mut job);
    b.code("hl_job_start of synth", code, HL_OK);
    let tiles = result_of(b, "synth", job)?;
    let synthetic = text_of(|d, c, n| (b.api.hl_result_tile_json)(tiles, 0, d, c, n)).unwrap_or_default();
    b.promise(synthetic.contains("\"synthetic\":true"), || format!("the tile does not say that it is synthetic: {synthetic}"));
    let out = [
        picture(b, "hl_result_labels", &(Box::new(|d, c, n, w, h| (b.api.hl_result_labels)(map, d, c, n, w, h)) as PictureCall)),
        picture(b, "hl_result_tile_rgb", &(Box::new(|d, c, n, w, h| (b.api.hl_result_tile_rgb)(tiles, 0, d, c, n, w, h)) as PictureCall)),
        picture(
            b,
            "hl_result_tile_labels",
            &(Box::new(|d, c, n, w, h| (b.api.hl_result_tile_labels)(tiles, 0, d, c, n, w, h)) as PictureCall),
        ),
    ];
    b.check_viewer(viewer);
    b.release(context);
    Some(out)
}

/// A context with the weights that the user named, and a slide of `side_px`.
pub fn with_models(b: &Bench, viewer: &'static Viewer, models: &CString, threads: u32, side_px: u64) -> (u64, u64) {
    let (host, mut context) = (viewer.table(), 0);
    let config = hl_config { threads, models_dir: models.as_ptr(), ..config(&raw const host) };
    b.code("hl_context_create", (b.api.hl_context_create)(&raw const config, &raw mut context), HL_OK);
    let whole = hl_slide_desc { width_px: side_px, height_px: side_px, levels: 0, downsamples: std::ptr::null(), ..slide_desc() };
    (context, b.slide_of(context, &whole))
}

/// The folder of weights; without one the check is left out.
pub fn models(b: &Bench) -> Option<CString> {
    let named = b.cli.models.as_ref().and_then(|m| CString::new(m.display().to_string()).ok());
    if named.is_none() {
        b.skip("no weights: name their folder with --models");
    }
    named
}

/// Maps, each with one allocation that fails.
pub fn allocations(b: &Bench) {
    let Some(models) = models(b) else { return };
    let Some(fails) = b.api.hl_selftest_fail_allocation else {
        return b.skip("the library exports no hl_selftest_fail_allocation");
    };
    let viewer = Viewer::reading(draw).leak();
    let (context, slide) = with_models(b, viewer, &models, 1, SIDE_PX);
    let (mut dice, mut refused, rounds) = (b.dice(0), 0, b.times(4, 30));
    for round in 0..rounds {
        let n = 1 + dice.below(100 << (round % 9)) as i64;
        refused += usize::from(one_failing(b, (fails, n), context, slide, (c"cluster", r#"{"k": 2, "device": "cpu"}"#)));
    }
    let (code, job) = b.try_start(context, slide, c"cluster", r#"{"k": 2, "device": "cpu"}"#);
    b.code("hl_job_start of cluster", code, HL_OK);
    result_of(b, "cluster after failed allocations", job);
    b.release(context);
    b.check_viewer(viewer);
    b.note(&format!("{refused} of {rounds} maps gave HL_E_MEMORY"));
}

/// Maps and tiles in less and less address space, each in a context that has loaded nothing yet.
pub fn starved(s: &Session) {
    asks_each_time();
    let Some(b) = Bench::new(s) else { return };
    let Some(models) = models(&b) else { return };
    let viewer = Viewer::reading(draw).leak();
    let folder = std::env::current_dir().unwrap_or_default().join("map").display().to_string();
    let (first, slide) = with_models(&b, viewer, &models, 1, SIDE_PX);
    let job = b.try_start(first, slide, c"cluster", &json!({"k": 2, "device": "cpu", "out_dir": folder}).to_string()).1;
    b.wait_long(job);
    b.release(first);
    let map = json!({"k": 2, "device": "cpu"}).to_string();
    let tile = json!({"n": 1, "size_px": 128, "steps": 2, "device": "cpu", "from": folder}).to_string();
    let (mut refused, mut ran) = (0, 0);
    for (kind, params, threads) in [(c"cluster", &map, 1), (c"cluster", &map, 4), (c"synth", &tile, 1)] {
        for mb in [512, 256, 200, 160, 128, 112, 96, 80, 64, 48, 32, 16, 8] {
            let what = format!("{} on {threads} threads with {mb} MB of address space left", kind.to_string_lossy());
            s.at(&what);
            let (context, slide) = with_models(&b, viewer, &models, threads, SIDE_PX);
            let slide = if kind == c"synth" { 0 } else { slide };
            let params = CString::new(params.as_str()).unwrap_or_default();
            let (mut job, mut p, mut needed) = (0, empty_progress(), 0);
            limit((number("VmSize") + (mb << 10)) << 10);
            let start = (b.api.hl_job_start)(context, slide, kind.as_ptr(), params.as_ptr(), 0, &raw mut job);
            (b.api.hl_job_wait)(job, WORKS_MS);
            (b.api.hl_job_poll)(job, &raw mut p);
            let doctor = (b.api.hl_doctor_json)(context, null_mut(), 0, &raw mut needed);
            limit(u64::MAX);
            let known = start == HL_E_MEMORY || [(HL_JOB_DONE, HL_OK), (HL_JOB_FAILED, HL_E_MEMORY)].contains(&(p.state, p.error));
            let why = || text_of(|d, c, n| (b.api.hl_job_error)(job, d, c, n)).unwrap_or_default();
            b.promise(known, || format!("{what}: start gave {}, then state {}, {}: {}", name_of(start), p.state, name_of(p.error), why()));
            b.promise(matches!(doctor, HL_OK | HL_E_MEMORY), || format!("{what}: hl_doctor_json gave {}", name_of(doctor)));
            (ran, refused) = (ran + 1, refused + usize::from(start == HL_E_MEMORY || p.error == HL_E_MEMORY));
            b.works(&format!("after {what}"), context, 0);
            b.release(context);
        }
    }
    b.check_viewer(viewer);
    b.note(&format!("{refused} of {ran} jobs gave HL_E_MEMORY"));
}

/// Twice, on one thread and on two.
pub fn tissue(b: &Bench) {
    let Some(models) = models(b) else { return };
    let seed = b.dice(0).any() >> 1;
    let (Some(one), Some(two)) = (made(b, &models, 1, seed), made(b, &models, 2, seed)) else { return };
    b.promise((one[1].0, one[1].1) == (128, 128), || format!("the tile has {} x {} px", one[1].0, one[1].1));
    for (what, (one, two)) in ["the map's labels", "the tile's pixels", "the tile's labels"].iter().zip(one.iter().zip(&two)) {
        b.promise(one == two, || format!("{what} are not the same on one thread and on two"));
    }
    for (what, bytes) in [("the map's labels", &one[0].2), ("the tile's pixels", &one[1].2)] {
        b.promise(bytes.iter().any(|v| *v != bytes[0]), || format!("{what} are all alike"));
    }
    b.note(&format!("seed {seed}"));
}
