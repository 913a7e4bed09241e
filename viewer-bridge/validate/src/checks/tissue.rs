//! The real thing: a map and a tile of drawn tissue, with the weights that the user named.

use std::ffi::CString;
use std::ptr::null_mut;

use crate::bench::{Bench, PictureCall, config};
use crate::ffi::{HL_JOB_DONE, HL_OK, hl_config, hl_region, hl_slide_desc, text_of};
use crate::memory::Guarded;
use crate::viewer::{Viewer, exact, slide_desc};

/// A job with networks may take this long, in ms.
const WORKS_MS: u32 = 500_000;
const SIDE_PX: u64 = 256;

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
    let (host, mut context, mut job) = (viewer.table(), 0, 0);
    let config = hl_config { threads, models_dir: models.as_ptr(), ..config(&raw const host) };
    b.code("hl_context_create", (b.api.hl_context_create)(&raw const config, &raw mut context), HL_OK);
    let slide = b.slide_of(
        context,
        &hl_slide_desc { width_px: SIDE_PX, height_px: SIDE_PX, levels: 0, downsamples: std::ptr::null(), ..slide_desc() },
    );
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

/// Twice, on one thread and on two.
pub fn tissue(b: &Bench) {
    let Some(models) = b.cli.models.as_ref().and_then(|m| CString::new(m.display().to_string()).ok()) else {
        return b.skip("no weights: name their folder with --models");
    };
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
