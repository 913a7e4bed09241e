//! Cancelling: at every stage, of a full queue, hundreds of times.

use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::ffi::{HL_E_BUSY, HL_E_CANCELLED, HL_E_STATE, HL_E_TIMEOUT, HL_JOB_CANCELLED, HL_JOB_DONE, HL_JOB_QUEUED, HL_OK};
use crate::process::{files, number, within};
use crate::viewer::{Viewer, paint};

/// A cancelled job must have ended within this; the header says 50 ms, on a machine that is not busy.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);
/// More than this many unfinished jobs are no bounded queue.
const QUEUE: usize = 1000;
/// How much memory may grow, in kB.
const GROWTH_KB: u64 = 20 << 10;

/// A viewer whose reads take a moment.
fn slow() -> &'static Viewer {
    let read = |r: &crate::ffi::hl_region, dst: &mut [u8]| {
        Bench::pause(2);
        paint(r, dst, [90, 90, 90, 255])
    };
    Viewer::reading(read).leak()
}

/// Cancels and tells how long it took.
fn stops(b: &Bench, what: &str, job: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..3 {
        b.code(&format!("{what}: hl_job_cancel"), (b.api.hl_job_cancel)(job), HL_OK);
    }
    b.ended(what, job, HL_JOB_CANCELLED, HL_E_CANCELLED);
    let took = begin.elapsed();
    b.promise(took < CANCELLED_WITHIN, || format!("{what}: it took {} ms to end", took.as_millis()));
    b.code(&format!("{what}: hl_job_cancel after the end"), (b.api.hl_job_cancel)(job), HL_OK);
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
    took
}

/// Every stage.
pub fn cancel(b: &Bench) {
    let viewer = slow();
    let context = b.context(viewer);
    let slide = b.slide(context);
    let long = r#"{"reads": 1000, "steps": 1000, "step_ms": 2}"#;
    let mut slowest = Duration::ZERO;
    let mut stage = |what: &str, params: &str, after_ms: u64| {
        b.at(what);
        let job = b.start(context, slide, params);
        Bench::pause(after_ms);
        let took = stops(b, what, job);
        slowest = slowest.max(took);
    };
    stage("cancelled at once", long, 0);
    stage("cancelled while it reads", long, 60);
    stage("cancelled between steps", r#"{"steps": 1000, "step_ms": 2}"#, 60);
    let mut dice = b.dice(0);
    for _ in 0..b.times(20, 200) {
        stage("cancelled somewhere", r#"{"reads": 60, "steps": 1000, "step_ms": 1}"#, dice.below(250) as u64);
    }
    b.at("cancelled while it waits");
    let first = b.start(context, slide, long);
    let second = b.start(context, slide, long);
    b.code("hl_job_wait(0) of a job that waits", (b.api.hl_job_wait)(second, 0), HL_E_TIMEOUT);
    b.promise(b.poll(second).state == HL_JOB_QUEUED, || "a job behind another is not queued".into());
    let mut result = 0;
    b.code("hl_job_result of a job that waits", (b.api.hl_job_result)(second, &raw mut result), HL_E_STATE);
    let took = stops(b, "cancelled while it waits", second).max(stops(b, "the job before it", first));
    b.at("cancelled after it was done");
    let done = b.start(context, 0, "{}");
    b.wait(done);
    b.code("hl_job_cancel of a job that is done", (b.api.hl_job_cancel)(done), HL_OK);
    b.ended("a job cancelled after it was done", done, HL_JOB_DONE, HL_OK);
    b.works("after all of them", context, slide);
    b.check_viewer(viewer);
    b.release(context);
    b.note(&format!("the slowest ended {} ms after hl_job_cancel", slowest.max(took).as_millis()));
}

/// As many jobs as it takes.
pub fn queue(b: &Bench) {
    let viewer = Viewer::new().leak();
    let context = b.context(viewer);
    let mut jobs = Vec::new();
    b.at("filling the queue");
    let code = loop {
        match b.try_start(context, 0, c"selftest", r#"{"steps": 1000, "step_ms": 10}"#) {
            (HL_OK, job) if jobs.len() < QUEUE => jobs.push(job),
            (code, _) => break code,
        }
    };
    b.code(&format!("hl_job_start behind {} jobs", jobs.len()), code, HL_E_BUSY);
    b.note(&format!("{} unfinished jobs", jobs.len()));
    b.at("emptying the queue");
    for job in jobs.iter().rev() {
        b.code("hl_job_cancel", (b.api.hl_job_cancel)(*job), HL_OK);
    }
    for job in &jobs {
        b.ended("a job of a full queue", *job, HL_JOB_CANCELLED, HL_E_CANCELLED);
        b.code("hl_job_release", (b.api.hl_job_release)(*job), HL_OK);
    }
    b.works("after a full queue", context, 0);
    b.release(context);
}

/// Jobs that are cancelled before, while and after they run, or let go.
fn wear(b: &Bench, context: u64, slide: u64, rounds: usize) {
    for i in 0..rounds {
        let job = b.start(context, slide, r#"{"reads": 3, "side_px": 256, "steps": 20, "step_ms": 1}"#);
        if i % 2 == 0 {
            b.code("hl_job_cancel", (b.api.hl_job_cancel)(job), HL_OK);
        }
        if i % 7 == 1 {
            Bench::pause(1);
        }
        if i % 3 == 0 {
            b.code("hl_job_cancel", (b.api.hl_job_cancel)(job), HL_OK);
            b.wait(job);
        }
        b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
        if i % 20 == 19 {
            b.works("a soak", context, slide);
        }
    }
}

/// Very many jobs.
pub fn soak(b: &Bench) {
    let before = (number("Threads"), files().len());
    let viewer = Viewer::new().leak();
    let context = b.context(viewer);
    let slide = b.slide(context);
    b.at("warming up");
    wear(b, context, slide, 100);
    let warm = (number("VmRSS"), files().len());
    let rounds = b.times(500, 10_000);
    b.at(&format!("{rounds} jobs"));
    wear(b, context, slide, rounds);
    let (rss, open) = (number("VmRSS"), files().len());
    let grown = rss.saturating_sub(warm.0);
    b.promise(grown < GROWTH_KB, || format!("memory grew by {grown} kB over {rounds} cancelled jobs"));
    b.promise(open <= warm.1, || format!("{} files were open and then {open}", warm.1));
    b.release(context);
    b.promise(within(Duration::from_secs(2), || number("Threads") <= before.0), || {
        format!("{} threads before, {} after the release", before.0, number("Threads"))
    });
    b.promise(files().len() <= before.1, || format!("{} files were open before, {} after the release", before.1, files().len()));
    b.check_viewer(viewer);
    b.note(&format!("{rounds} jobs, memory grew by {grown} kB"));
}
