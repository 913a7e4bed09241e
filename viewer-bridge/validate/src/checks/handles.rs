//! Handles that name nothing, something else, or something that is gone.

use crate::bench::{Bench, Furnished, region};
use crate::ffi::{HL_E_HANDLE, HL_OK, hl_progress};
use crate::memory::Outputs;
use crate::viewer::Viewer;

/// How many functions [`call`] knows.
const FUNCTIONS: usize = 24;

/// Calls the i-th function that takes a handle: its name and code.
fn call(b: &Bench, i: usize, h: u64, o: &mut Outputs) -> (&'static str, i32) {
    let (a, dst, n, w, hh) = (&b.api, o.buffer.ptr(), &raw mut o.needed, &raw mut o.width, &raw mut o.height);
    match i {
        0 => {
            let code = (a.hl_job_poll)(h, o.progress_of(size_of::<hl_progress>() as u32));
            o.forget_size();
            ("hl_job_poll", code)
        }
        1 => ("hl_job_wait", (a.hl_job_wait)(h, 0)),
        2 => ("hl_job_cancel", (a.hl_job_cancel)(h)),
        3 => ("hl_job_result", (a.hl_job_result)(h, &raw mut o.handle)),
        4 => ("hl_job_release", (a.hl_job_release)(h)),
        5 => ("hl_job_partial", (a.hl_job_partial)(h, dst, 64, n, w, hh)),
        6 => ("hl_job_error", (a.hl_job_error)(h, dst, 64, n)),
        7 => ("hl_job_params_json", (a.hl_job_params_json)(h, dst, 64, n)),
        8 => ("hl_slide_release", (a.hl_slide_release)(h)),
        9 => ("hl_result_release", (a.hl_result_release)(h)),
        10 => ("hl_result_json", (a.hl_result_json)(h, dst, 64, n)),
        11 => ("hl_result_geojson", (a.hl_result_geojson)(h, dst, 64, n)),
        12 => ("hl_result_labels", (a.hl_result_labels)(h, dst, 64, n, w, hh)),
        13 => ("hl_result_overlay", (a.hl_result_overlay)(h, dst, 64, n, w, hh)),
        14 => ("hl_result_labels_region", (a.hl_result_labels_region)(h, &region(1.0, 4, 4), dst, 64, n)),
        15 => ("hl_result_overlay_region", (a.hl_result_overlay_region)(h, &region(1.0, 4, 4), dst, 64, n)),
        16 => ("hl_result_csv", (a.hl_result_csv)(h, c"classes".as_ptr(), dst, 64, n)),
        17 => ("hl_result_provenance_json", (a.hl_result_provenance_json)(h, dst, 64, n)),
        18 => ("hl_result_tile_rgb", (a.hl_result_tile_rgb)(h, 0, dst, 64, n, w, hh)),
        19 => ("hl_result_tile_labels", (a.hl_result_tile_labels)(h, 0, dst, 64, n, w, hh)),
        20 => ("hl_result_tile_json", (a.hl_result_tile_json)(h, 0, dst, 64, n)),
        21 => ("hl_context_release", (a.hl_context_release)(h)),
        22 => ("hl_doctor_json", (a.hl_doctor_json)(h, dst, 64, n)),
        _ => ("hl_job_start", (a.hl_job_start)(h, 0, c"selftest".as_ptr(), std::ptr::null(), 0, &raw mut o.handle)),
    }
}

/// A function must refuse a handle and leave its outputs alone.
fn refuses(b: &Bench, i: usize, h: u64, o: &mut Outputs, why: &str) {
    let (name, code) = call(b, i, h, o);
    if code != HL_E_HANDLE {
        b.code(&format!("{name} of {why} handle {h:#x}"), code, HL_E_HANDLE);
    }
    if !o.untouched() {
        b.broken(&format!("{name} of {why} handle {h:#x} wrote into an output"));
        *o = Outputs::new();
    }
}

/// All of it.
pub fn handles(b: &Bench) {
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    let mut o = Outputs::new();
    b.at("stale and foreign handles");
    let dead = gone(b);
    for handle in dead.into_iter().chain([u64::MAX, 1]) {
        (0..FUNCTIONS).for_each(|i| refuses(b, i, handle, &mut o, "a stale"));
    }
    foreign(b, &f, &mut o);
    b.at("random and forged handles");
    let (mut dice, alive) = (b.dice(0), [f.context, f.slide, f.job, f.result]);
    for round in 0..b.times(10_000, 1_000_000) {
        let forged = match round % 4 {
            0 => dice.any(),
            1 => dice.pick(&alive) ^ (1 << dice.below(64)),
            2 => dice.any() & 0xFF_FFFF,
            _ => dice.pick(&dead) ^ (dice.any() & 0xFFFF),
        };
        if forged != 0 && !alive.contains(&forged) {
            refuses(b, dice.below(FUNCTIONS), forged, &mut o, "a forged");
        }
    }
    b.works("after all of them", f.context, f.slide);
}

/// Handles of things that were released, each twice. A viewer a context: calls come one after the other within a context.
fn gone(b: &Bench) -> [u64; 4] {
    let f = b.furnish(Viewer::new().leak());
    let orphan = b.furnish(Viewer::new().leak());
    let api = &b.api;
    let releases = [
        ("hl_result_release", api.hl_result_release, f.result),
        ("hl_job_release", api.hl_job_release, f.job),
        ("hl_slide_release", api.hl_slide_release, f.slide),
        ("hl_context_release", api.hl_context_release, f.context),
    ];
    for (name, release, handle) in releases {
        b.code(name, release(handle), HL_OK);
        b.code(&format!("{name} for the second time"), release(handle), HL_E_HANDLE);
    }
    b.release(orphan.context);
    [f.job, orphan.slide, orphan.job, orphan.result]
}

/// Handles of another kind or context.
fn foreign(b: &Bench, f: &Furnished, o: &mut Outputs) {
    let other = b.furnish(Viewer::new().leak());
    let start = |context, slide, kind: &std::ffi::CStr, input, out| {
        (b.api.hl_job_start)(context, slide, kind.as_ptr(), std::ptr::null(), input, out)
    };
    let out = &raw mut o.handle;
    b.code("hl_job_start on another context's slide", start(f.context, other.slide, c"selftest", 0, out), HL_E_HANDLE);
    b.code("hl_job_start on a job as slide", start(f.context, f.job, c"selftest", 0, out), HL_E_HANDLE);
    b.code("hl_job_start on a slide as context", start(f.slide, f.slide, c"selftest", 0, out), HL_E_HANDLE);
    b.code("hl_job_start from another context's result", start(f.context, 0, c"synth", other.result, out), HL_E_HANDLE);
    b.code("hl_job_start from a job as result", start(f.context, 0, c"synth", f.job, out), HL_E_HANDLE);
    for (i, handle) in [(2, f.slide), (4, f.result), (8, f.job), (9, f.context), (10, f.job), (21, f.slide)] {
        refuses(b, i, handle, o, "another kind's");
    }
    b.release(other.context);
}
