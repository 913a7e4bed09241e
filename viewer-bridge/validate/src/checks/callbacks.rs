//! Log and progress, and what callbacks may do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::bench::{Bench, empty_progress};
use crate::ffi::{HL_E_CANCELLED, HL_E_HANDLE, HL_E_STATE, HL_JOB_CANCELLED, HL_JOB_DONE, HL_OK, name_of};
use crate::process::within;
use crate::viewer::{Viewer, paint};

/// How long a callback may be awaited.
const SOON: Duration = Duration::from_secs(5);

/// What is told of jobs, and when no more.
pub fn told(b: &Bench) {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let own = ends.clone();
    let mut viewer = Viewer::new();
    viewer.progress = Box::new(move |job, p| {
        if p.state >= HL_JOB_DONE
            && let Ok(mut ends) = own.lock()
        {
            ends.push((job, p.state));
        }
        0
    });
    let viewer = viewer.leak();
    let context = b.context(viewer);
    let slide = b.slide(context);
    let good: Vec<u64> = (0..5).map(|_| b.start(context, slide, r#"{"reads": 2, "steps": 3, "step_ms": 10}"#)).collect();
    let cancelled = b.start(context, 0, r#"{"steps": 1000, "step_ms": 5}"#);
    good.iter().for_each(|job| b.ended("a small job", *job, HL_JOB_DONE, HL_OK));
    b.code("hl_job_cancel", (b.api.hl_job_cancel)(cancelled), HL_OK);
    b.ended("a cancelled job", cancelled, HL_JOB_CANCELLED, HL_E_CANCELLED);
    let all = || ends.lock().map_or(0, |e| e.len()) > good.len();
    b.promise(within(SOON, all), || "hl_progress_fn did not tell of the end of every job within 5 s".into());
    for job in good.iter().chain([&cancelled]) {
        let want = if *job == cancelled { HL_JOB_CANCELLED } else { HL_JOB_DONE };
        let told: Vec<i32> = ends.lock().map_or_else(|_| Vec::new(), |e| e.iter().filter(|(j, _)| j == job).map(|(_, s)| *s).collect());
        b.promise(told == [want], || format!("hl_progress_fn told a job's end as {told:?}, not once as {want}"));
    }
    if viewer.lines.load(SeqCst) == 0 {
        b.note("hl_log_fn was never called");
    }
    b.at("hl_context_release in mid-job");
    for _ in 0..b.times(5, 50) {
        let context = b.context(viewer);
        let slide = b.slide(context);
        b.start(context, slide, r#"{"reads": 200, "steps": 1000, "step_ms": 1}"#);
        Bench::pause(5);
        b.release(context);
    }
    b.release(context);
    let calls = viewer.calls();
    Bench::pause(300);
    b.promise(viewer.calls() == calls, || "callbacks came after hl_context_release".into());
    b.check_viewer(viewer);
}

/// Functions as callbacks see them.
#[derive(Clone)]
struct Inside {
    poll: extern "C" fn(u64, *mut crate::ffi::hl_progress) -> i32,
    wait: extern "C" fn(u64, u32) -> i32,
    cancel: extern "C" fn(u64) -> i32,
    release_job: extern "C" fn(u64) -> i32,
    release_slide: extern "C" fn(u64) -> i32,
    release_context: extern "C" fn(u64) -> i32,
}

impl Inside {
    fn of(b: &Bench) -> Self {
        let a = &b.api;
        Self {
            poll: a.hl_job_poll,
            wait: a.hl_job_wait,
            cancel: a.hl_job_cancel,
            release_job: a.hl_job_release,
            release_slide: a.hl_slide_release,
            release_context: a.hl_context_release,
        }
    }
}

/// Expects codes inside a callback; what was wrong is kept.
fn expect(wrong: &Mutex<Vec<String>>, what: &str, got: i32, want: i32) {
    if got != want
        && let Ok(mut wrong) = wrong.lock()
    {
        wrong.push(format!("{what} inside a callback gave {}, not {}", name_of(got), name_of(want)));
    }
}

/// Calls from inside.
pub fn reentry(b: &Bench) {
    let wrong = Arc::new(Mutex::new(Vec::new()));
    from_read(b, &wrong);
    from_log(b, &wrong);
    from_progress(b);
    whole_context(b, &wrong);
    if let Ok(wrong) = wrong.lock() {
        wrong.iter().for_each(|w| b.broken(w));
    }
}

/// A read polls, must not wait, and cancels its own job.
fn from_read(b: &Bench, wrong: &Arc<Mutex<Vec<String>>>) {
    b.at("calls inside read_region");
    let (inside, wrong, job) = (Inside::of(b), wrong.clone(), Arc::new(AtomicU64::new(0)));
    let own = job.clone();
    let viewer = Viewer::reading(move |r, dst| {
        within(SOON, || own.load(SeqCst) != 0);
        let job = own.load(SeqCst);
        expect(&wrong, "hl_job_poll", (inside.poll)(job, &mut empty_progress()), HL_OK);
        expect(&wrong, "hl_job_wait", (inside.wait)(job, 10), HL_E_STATE);
        expect(&wrong, "hl_job_cancel", (inside.cancel)(job), HL_OK);
        expect(&wrong, "hl_job_cancel", (inside.cancel)(job), HL_OK);
        paint(r, dst, [90, 90, 90, 255])
    });
    let viewer = viewer.leak();
    let context = b.context(viewer);
    let slide = b.slide(context);
    let reader = b.start(context, slide, r#"{"reads": 50}"#);
    job.store(reader, SeqCst);
    b.ended("a job that its own read cancelled", reader, HL_JOB_CANCELLED, HL_E_CANCELLED);
    b.check_viewer(viewer);
    b.release(context);
}

/// A log line lets go of a job and of the slide that is being read.
fn from_log(b: &Bench, wrong: &Arc<Mutex<Vec<String>>>) {
    b.at("calls inside hl_log_fn");
    let (inside, wrong, handles) = (Inside::of(b), wrong.clone(), Arc::new(OnceLock::<[u64; 3]>::new()));
    let (own, called) = (handles.clone(), Arc::new(AtomicUsize::new(0)));
    let calls = called.clone();
    let mut viewer = Viewer::new();
    viewer.log = Box::new(move |_, _| {
        if let Some([slide, done, running]) = own.get()
            && calls.fetch_add(1, SeqCst) == 0
        {
            expect(&wrong, "hl_job_wait", (inside.wait)(*running, 10), HL_E_STATE);
            expect(&wrong, "hl_job_release", (inside.release_job)(*done), HL_OK);
            expect(&wrong, "hl_job_release for the second time", (inside.release_job)(*done), HL_E_HANDLE);
            expect(&wrong, "hl_job_release of a running job", (inside.release_job)(*running), HL_OK);
            expect(&wrong, "hl_slide_release", (inside.release_slide)(*slide), HL_OK);
        }
    });
    let context = b.context(viewer.leak());
    let slide = b.slide(context);
    let done = b.start(context, slide, r#"{"reads": 1}"#);
    b.wait(done);
    // The end of a job is a line of the log.
    let short = b.start(context, slide, r#"{"reads": 1, "steps": 3, "step_ms": 10}"#);
    let running = b.start(context, slide, r#"{"reads": 1000, "steps": 1000, "step_ms": 5}"#);
    let _ = handles.set([slide, done, running]);
    b.wait(short);
    if !within(SOON, || called.load(SeqCst) > 0) {
        b.note("no log line came, so nothing was called inside one");
    }
    b.works("after releases inside a callback", context, 0);
    b.code("hl_slide_release after that inside a callback", (b.api.hl_slide_release)(slide), HL_E_HANDLE);
    b.release(context);
}

/// Progress cancels with its answer.
fn from_progress(b: &Bench) {
    b.at("hl_progress_fn answers 1");
    let mut viewer = Viewer::new();
    viewer.progress = Box::new(|_, _| 1);
    let context = b.context(viewer.leak());
    let job = b.start(context, 0, r#"{"steps": 2000, "step_ms": 5}"#);
    b.ended("a job whose progress was answered with 1", job, HL_JOB_CANCELLED, HL_E_CANCELLED);
    b.release(context);
}

/// The context itself goes, from inside each callback.
fn whole_context(b: &Bench, wrong: &Arc<Mutex<Vec<String>>>) {
    for place in ["hl_log_fn", "hl_progress_fn", "read_region"] {
        b.at(&format!("hl_context_release inside {place}"));
        let (inside, wrong, context) = (Inside::of(b), wrong.clone(), Arc::new(AtomicU64::new(0)));
        let own = context.clone();
        // Once, and only where it is wanted.
        let go = Arc::new(move || {
            let context = own.swap(0, SeqCst);
            if context != 0 {
                expect(&wrong, "hl_context_release", (inside.release_context)(context), HL_OK);
            }
        });
        let mut viewer = Viewer::new();
        match place {
            "hl_log_fn" => viewer.log = Box::new(move |_, _| go()),
            "hl_progress_fn" => {
                viewer.progress = Box::new(move |_, _| {
                    go();
                    0
                });
            }
            _ => {
                viewer.read = Box::new(move |r, dst| {
                    go();
                    paint(r, dst, [90, 90, 90, 255])
                });
            }
        }
        let viewer = viewer.leak();
        let handle = b.context(viewer);
        let slide = b.slide(handle);
        b.start(handle, 0, r#"{"steps": 5, "step_ms": 10}"#);
        b.start(handle, slide, r#"{"reads": 100, "steps": 100, "step_ms": 5}"#);
        context.store(handle, SeqCst);
        let gone = within(SOON, || context.load(SeqCst) == 0 && b.try_start(handle, 0, c"selftest", "").0 == HL_E_HANDLE);
        b.promise(gone, || format!("hl_context_release inside {place} did not happen within 5 s"));
        // What is under way ends on its own; then nothing comes any more.
        Bench::pause(200);
        let calls = viewer.calls();
        Bench::pause(300);
        b.promise(viewer.calls() == calls, || format!("callbacks went on after hl_context_release inside {place}"));
    }
}
