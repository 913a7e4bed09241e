//! Many threads: on the same handles, and in contexts that must not know of each other.

use std::ffi::CString;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use crate::bench::{Bench, empty_progress};
use crate::ffi::{HL_E_CANCELLED, HL_E_HANDLE, HL_E_UNSUPPORTED, HL_JOB_CANCELLED, HL_JOB_DONE, HL_OK, name_of};
use crate::viewer::{Viewer, paint};

const CONTEXTS: usize = 8;
const THREADS: usize = 8;

/// `n` threads at once. Each is joined, which ThreadSanitizer sees; the end of a scope alone it does not.
fn together(n: usize, f: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        let f = &f;
        let threads: Vec<_> = (0..n).map(|i| scope.spawn(move || f(i))).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// Threads that do everything to the same handles at once.
pub fn races(b: &Bench) {
    let viewer = Viewer::new().leak();
    for round in 0..b.times(30, 600) {
        b.at(&format!("round {round}"));
        let context = b.context(viewer);
        let slide = b.slide(context);
        let jobs: Vec<u64> = (0..4).map(|_| b.start(context, slide, r#"{"reads": 4, "steps": 3, "step_ms": 1, "tiles": 1}"#)).collect();
        let (barrier, released) = (Barrier::new(THREADS), [0; 6].map(AtomicUsize::new));
        together(THREADS, |thread| one_of_many(b, &barrier, &released, &[jobs.as_slice(), &[slide, context]].concat(), (round, thread)));
        for (i, n) in released.iter().enumerate() {
            let what = ["job", "job", "job", "job", "slide", "context"][i];
            // What belongs to a context goes with it, so nobody may have been in time.
            let fits = n.load(SeqCst) == 1 || (n.load(SeqCst) == 0 && i < 5);
            b.promise(fits, || format!("{THREADS} threads released a {what}, {} of them successfully", n.load(SeqCst)));
        }
    }
    b.check_viewer(viewer);
    let context = b.context(viewer);
    b.works("after all of them", context, 0);
    b.release(context);
}

/// A thread of a race: four jobs, the slide, the context.
fn one_of_many(b: &Bench, barrier: &Barrier, released: &[AtomicUsize; 6], handles: &[u64], (round, thread): (usize, usize)) {
    let mut dice = b.dice(round * THREADS + thread);
    let releases = [b.api.hl_job_release, b.api.hl_job_release, b.api.hl_job_release, b.api.hl_job_release, b.api.hl_slide_release];
    let allowed = |what: &str, code: i32, also: i32| {
        b.promise(matches!(code, HL_OK | HL_E_HANDLE) || code == also, || format!("{what} in a race gave {}", name_of(code)));
    };
    barrier.wait();
    for _ in 0..40 {
        let i = dice.below(4);
        match dice.below(6) {
            0 => allowed("hl_job_cancel", (b.api.hl_job_cancel)(handles[i]), HL_OK),
            1 => allowed("hl_job_poll", (b.api.hl_job_poll)(handles[i], &mut empty_progress()), HL_OK),
            2 => allowed("hl_job_wait", (b.api.hl_job_wait)(handles[i], 1), crate::ffi::HL_E_TIMEOUT),
            3 => {
                let mut result = 0;
                let code = (b.api.hl_job_result)(handles[i], &raw mut result);
                allowed("hl_job_result", code, if code == HL_E_CANCELLED { code } else { crate::ffi::HL_E_STATE });
            }
            _ => {
                let i = dice.below(5);
                let code = releases[i](handles[i]);
                allowed("a release", code, HL_OK);
                released[i].fetch_add(usize::from(code == HL_OK), SeqCst);
            }
        }
    }
    let code = (b.api.hl_context_release)(handles[5]);
    allowed("hl_context_release", code, HL_OK);
    released[5].fetch_add(usize::from(code == HL_OK), SeqCst);
}

/// Contexts with a colour each: what their jobs see and say must be their own.
pub fn contexts(b: &Bench) {
    let rounds = b.times(3, 40);
    together(CONTEXTS, |i| {
        let colour = 20 + 25 * i as u8;
        let viewer = Viewer::reading(move |r, dst| paint(r, dst, [colour, 255 - colour, colour / 2, 255])).leak();
        let (context, first) = (b.context(viewer), std::sync::OnceLock::new());
        together(THREADS, |thread| (0..rounds).for_each(|round| one_job(b, context, colour, &first, (thread, round))));
        b.check_viewer(viewer);
        b.release(context);
    });
    b.note(&format!("{} jobs", CONTEXTS * THREADS * rounds));
}

/// A job from its slide to its result, and an error of this thread's own.
fn one_job(b: &Bench, context: u64, colour: u8, first: &std::sync::OnceLock<serde_json::Value>, (thread, round): (usize, usize)) {
    let slide = b.slide(context);
    let job = b.start(context, slide, r#"{"reads": 3, "steps": 1, "tiles": 1}"#);
    if (thread + round) % 4 == 3 {
        let _ = (b.api.hl_job_cancel)(job);
        b.wait(job);
        b.promise([HL_JOB_CANCELLED, HL_JOB_DONE].contains(&b.poll(job).state), || "a cancelled job failed".into());
    } else {
        b.wait(job);
        let mut result = 0;
        b.code("hl_job_result", (b.api.hl_job_result)(job, &raw mut result), HL_OK);
        let summary = b.summary(result);
        let want = json!([f64::from(colour), f64::from(255 - colour), f64::from(colour / 2)]);
        b.promise(summary["mean_rgb"] == want, || format!("a job of the colour {want} saw {}", summary["mean_rgb"]));
        let same = first.get_or_init(|| summary.clone()) == &summary;
        b.promise(same, || "the same job on another thread had another result".into());
        b.code("hl_result_release", (b.api.hl_result_release)(result), HL_OK);
    }
    let kind = CString::new(format!("kind-{colour}-{thread}-{round}")).unwrap_or_default();
    let code = b.try_start(context, 0, &kind, "").0;
    std::thread::yield_now();
    let said = b.last_error();
    let own = said.contains(kind.to_str().unwrap_or_default());
    b.promise(code == HL_E_UNSUPPORTED && own, || format!("hl_last_error of a thread that asked for {kind:?} says: {said}"));
    b.code("hl_slide_release", (b.api.hl_slide_release)(slide), HL_OK);
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
}
