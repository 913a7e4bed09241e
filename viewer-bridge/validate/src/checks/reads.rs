//! Reads that go wrong.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::bench::Bench;
use crate::ffi::{HL_E_CANCELLED, HL_E_HOST, HL_E_TIMEOUT, HL_JOB_CANCELLED, HL_JOB_DONE, HL_JOB_FAILED, HL_OK};
use crate::process::within;
use crate::viewer::{Viewer, exact, paint};

/// A wrong answer: what it is called, and what a read returns instead of the exact count.
type Fault = (&'static str, fn(i64) -> i64);

const FAULTS: [Fault; 7] = [
    ("one byte short", |n| n - 1),
    ("nothing", |_| 0),
    ("a negative number", |_| -1),
    ("one byte more", |n| n + 1),
    ("a huge count", |_| i64::MAX),
    ("the least number", |_| i64::MIN),
    ("the count with its low half right", |n| n + (1 << 32)),
];

/// Wrong counts, one byte too many, garbage.
pub fn faults(b: &Bench) {
    let answer = Arc::new(AtomicI64::new(-1));
    let asked = answer.clone();
    let viewer = Viewer::reading(move |r, dst| {
        let good = paint(r, dst, [90, 90, 90, 255]);
        usize::try_from(asked.load(SeqCst)).ok().and_then(|i| FAULTS.get(i)).map_or(good, |(_, fault)| fault(good))
    });
    let (viewer, steady) = (viewer.leak(), Viewer::new().leak());
    let (context, other) = (b.context(viewer), b.context(steady));
    let (slide, others) = (b.slide(context), b.slide(other));
    for (i, (what, _)) in FAULTS.iter().enumerate() {
        b.at(what);
        let beside = b.start(other, others, r#"{"reads": 20, "steps": 5, "step_ms": 1}"#);
        answer.store(i as i64, SeqCst);
        let job = b.start(context, slide, r#"{"reads": 3}"#);
        b.ended(&format!("a read that returned {what}"), job, HL_JOB_FAILED, HL_E_HOST);
        answer.store(-1, SeqCst);
        b.works(what, context, slide);
        b.ended(&format!("{what}: the job of another context"), beside, HL_JOB_DONE, HL_OK);
    }
    b.at("one byte behind the buffer");
    viewer.overruns.store(true, SeqCst);
    let job = b.start(context, slide, r#"{"reads": 3}"#);
    b.ended("a read that wrote behind its buffer", job, HL_JOB_FAILED, HL_E_HOST);
    viewer.overruns.store(false, SeqCst);
    b.works("after it", context, slide);
    b.check_viewer(viewer);
    b.check_viewer(steady);
    garbage(b);
    [context, other].into_iter().for_each(|c| b.release(c));
}

/// Random bytes are pixels, whatever the region's size and place.
fn garbage(b: &Bench) {
    let dice = Mutex::new(b.dice(1));
    let viewer = Viewer::reading(move |r, dst| {
        if let Ok(mut dice) = dice.lock() {
            dst.chunks_mut(8).for_each(|c| c.iter_mut().zip(dice.any().to_le_bytes()).for_each(|(to, from)| *to = from));
        }
        exact(r)
    });
    let viewer = viewer.leak();
    let context = b.context(viewer);
    let slide = b.slide(context);
    let mut dice = b.dice(2);
    for _ in 0..b.times(8, 100) {
        let (side, downsample) = (1 + dice.below(300), 1.0 + dice.below(4000) as f64 / 300.0);
        let params = format!(r#"{{"reads": 12, "side_px": {side}, "downsample": {downsample}}}"#);
        b.at(&params);
        b.ended(&format!("random pixels, {params}"), b.start(context, slide, &params), HL_JOB_DONE, HL_OK);
    }
    b.check_viewer(viewer);
    b.release(context);
}

/// A read that does not come back while its job is cancelled.
pub fn blocked(b: &Bench) {
    let blocks = Arc::new((AtomicBool::new(true), AtomicUsize::new(0)));
    let own = blocks.clone();
    let viewer = Viewer::reading(move |r, dst| {
        own.1.fetch_add(1, SeqCst);
        within(Duration::from_secs(20), || !own.0.load(SeqCst));
        paint(r, dst, [90, 90, 90, 255])
    });
    let (viewer, steady) = (viewer.leak(), Viewer::new().leak());
    let (context, other) = (b.context(viewer), b.context(steady));
    let (slide, others) = (b.slide(context), b.slide(other));
    let job = b.start(context, slide, r#"{"reads": 50}"#);
    let waiting = b.start(context, slide, r#"{"reads": 1}"#);
    b.promise(within(Duration::from_secs(5), || blocks.1.load(SeqCst) > 0), || "the job did not read within 5 s".into());
    b.at("calls while a read blocks");
    b.code("hl_job_wait while a read blocks", (b.api.hl_job_wait)(job, 50), HL_E_TIMEOUT);
    for _ in 0..3 {
        b.code("hl_job_cancel while a read blocks", (b.api.hl_job_cancel)(job), HL_OK);
    }
    b.code("hl_job_cancel of a job that waits", (b.api.hl_job_cancel)(waiting), HL_OK);
    b.ended("a job that waited behind a blocked one", waiting, HL_JOB_CANCELLED, HL_E_CANCELLED);
    b.works("beside a blocked read", other, others);
    b.poll(job);
    b.at("the read comes back");
    blocks.0.store(false, SeqCst);
    b.ended("a job whose read blocked while it was cancelled", job, HL_JOB_CANCELLED, HL_E_CANCELLED);
    b.promise(blocks.1.load(SeqCst) == 1, || format!("a cancelled job went on reading: {} reads", blocks.1.load(SeqCst)));
    b.works("after it", context, slide);
    releases(b, context, slide, viewer, &blocks.0);
    b.check_viewer(viewer);
    b.release(other);
}

/// Slide and context are released while a read is under way: both wait for it, and nothing is read afterwards.
fn releases(b: &Bench, context: u64, slide: u64, viewer: &'static Viewer, blocks: &AtomicBool) {
    for (what, release, handle) in
        [("hl_slide_release", b.api.hl_slide_release, slide), ("hl_context_release", b.api.hl_context_release, context)]
    {
        b.at(what);
        let slide = if handle == slide { slide } else { b.slide(context) };
        blocks.store(true, SeqCst);
        b.start(context, slide, r#"{"reads": 50}"#);
        b.promise(within(Duration::from_secs(5), || viewer.reading.load(SeqCst) > 0), || format!("{what}: the job did not read"));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                Bench::pause(100);
                blocks.store(false, SeqCst);
            });
            b.code(&format!("{what} while a read is under way"), release(handle), HL_OK);
        });
        let (reads, reading) = (viewer.reads.load(SeqCst), viewer.reading.load(SeqCst));
        b.promise(reading == 0, || format!("{what} came back while a read was under way"));
        Bench::pause(50);
        b.promise(viewer.reads.load(SeqCst) == reads, || format!("after {what} came back pixels were read"));
    }
}
