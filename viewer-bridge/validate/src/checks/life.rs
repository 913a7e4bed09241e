//! The library in somebody's process: panics, manners, loading and unloading, the end of the process in mid-job.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::ffi::{HL_E_PANIC, HL_E_POISONED, HL_JOB_DONE, HL_JOB_FAILED, HL_OK, text_of};
use crate::parent::signal_name;
use crate::process::{Manners, number, within};
use crate::session::Session;
use crate::viewer::{Viewer, paint};

/// How much memory may grow after the first loads, in kB.
const GROWTH_KB: u64 = 20 << 10;
/// Loads after which memory must not grow any more.
const WARM: usize = 10;
/// Most time that a process takes to end.
const EXITS_WITHIN: Duration = Duration::from_secs(20);

/// Panics asked for.
pub fn panic(b: &Bench) {
    let Some(panics) = b.api.hl_selftest_panic else {
        return b.skip("the library exports no hl_selftest_panic");
    };
    // one a context: what comes one after the other comes so within a context
    let viewers = [(); 3].map(|()| Viewer::new().leak());
    let (broken, healthy) = (b.furnish(viewers[0]), b.furnish(viewers[1]));
    b.at("hl_selftest_panic");
    b.code("hl_selftest_panic", panics(broken.context), HL_E_PANIC);
    b.promise(!b.last_error().is_empty(), || "hl_last_error says nothing of a panic".into());
    b.code("hl_job_start after a panic", b.try_start(broken.context, 0, c"selftest", "").0, HL_E_POISONED);
    b.ended("a job from before the panic", broken.job, HL_JOB_DONE, HL_OK);
    b.promise(b.summary(broken.result).is_object(), || "a result from before the panic cannot be read".into());
    b.works("beside a context that panicked", healthy.context, healthy.slide);
    b.at("a job that panics");
    let another = b.furnish(viewers[2]);
    let job = b.start(another.context, 0, r#"{"panic": true}"#);
    b.ended("a job that panics", job, HL_JOB_FAILED, HL_E_PANIC);
    b.code("hl_job_start after a job that panicked", b.try_start(another.context, 0, c"selftest", "").0, HL_E_POISONED);
    b.works("beside a job that panicked", healthy.context, healthy.slide);
    [broken.context, another.context, healthy.context].into_iter().for_each(|c| b.release(c));
    viewers.into_iter().for_each(|v| b.check_viewer(v));
}

/// Everything that a process has only one of.
pub fn manners(s: &Session) {
    // With its first thread, glibc takes a signal of its own.
    let _ = std::thread::spawn(|| {}).join();
    let (before, threads) = (Manners::now(), number("Threads"));
    let Some(b) = Bench::new(s) else { return };
    let told = |after: &str| before.compare(s, after);
    told("loading the library");
    let viewer = Viewer::new().leak();
    let f = b.furnish(viewer);
    b.works("manners", f.context, f.slide);
    told("a job");
    s.at("ops, which run code of their own");
    let ops = text_of(|d, c, n| (b.api.hl_ops_json)(d, c, n));
    s.promise(ops.is_ok(), || "hl_ops_json failed".into());
    told("hl_ops_json");
    s.at("a job of each kind, without weights");
    for (kind, slide) in [(c"cluster", f.slide), (c"synth", 0), (c"edit", 0)] {
        let (code, job) = b.try_start(f.context, slide, kind, if slide == 0 { r#"{"from": "nowhere"}"# } else { "" });
        if s.code(&format!("hl_job_start of {kind:?}"), code, HL_OK) {
            b.wait(job);
        }
    }
    told("jobs without weights");
    if let Some(panics) = b.api.hl_selftest_panic {
        s.at("a panic");
        panics(f.context);
        told("a panic");
    }
    b.release(f.context);
    let gone = within(Duration::from_secs(2), || number("Threads") <= threads);
    s.promise(gone, || format!("{threads} threads before, {} after the release", number("Threads")));
    drop(b);
    told("unloading the library");
}

/// Loads, works, unloads.
pub fn reload(s: &Session) {
    let viewer = Viewer::new().leak();
    let (rounds, mut warm) = (s.times(20, 100).max(WARM + 1), 0);
    for round in 0..rounds {
        let Some(b) = Bench::new(s) else { return };
        s.at(&format!("round {round}"));
        let context = b.context(viewer);
        let slide = b.slide(context);
        b.works("a loaded library", context, slide);
        if let Some(panics) = b.api.hl_selftest_panic {
            panics(context);
        }
        b.release(context);
        drop(b);
        if round + 1 == WARM {
            warm = number("VmRSS");
        }
    }
    let grown = number("VmRSS").saturating_sub(warm);
    s.promise(grown < GROWTH_KB, || format!("memory grew by {grown} kB over {} loads", rounds - WARM));
    s.note(&format!("{rounds} loads, memory grew by {grown} kB after the first {WARM}"));
}

/// Processes of their own that end in mid-job.
pub fn exit(s: &Session) {
    let rounds = s.times(20, 200);
    for round in 0..rounds {
        s.at(&format!("process {round}"));
        let mut cli = s.cli.clone();
        cli.reproduce = Some(s.dice(round).any());
        let report = std::env::current_dir().unwrap_or_default().join("report");
        let ended = cli.child_command("exits", &report).and_then(|mut c| c.spawn()).and_then(|mut child| end_of(&mut child));
        match ended {
            Err(e) => return s.broken(&format!("a process could not be run: {e}")),
            Ok(None) => return s.broken(&format!("exit(0) in mid-job hung for {EXITS_WITHIN:?}")),
            Ok(Some(status)) => {
                let how = status.signal().map_or_else(|| status.to_string(), signal_name);
                s.promise(status.success(), || format!("exit(0) in mid-job ended with {how}"));
            }
        }
    }
    s.note(&format!("{rounds} processes"));
}

/// How a process ended; `None` if it had to be killed.
fn end_of(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    while begin.elapsed() < EXITS_WITHIN {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        Bench::pause(5);
    }
    child.kill()?;
    child.wait().map(|_| None)
}

/// What such a process does.
pub fn exits(s: &Session) {
    let read = |r: &crate::ffi::hl_region, dst: &mut [u8]| {
        Bench::pause(1);
        paint(r, dst, [90, 90, 90, 255])
    };
    let viewer = Viewer::reading(read).leak();
    let mut dice = s.dice(0);
    let Some(b) = Bench::new(s) else { std::process::exit(3) };
    for _ in 0..2 {
        let context = b.context(viewer);
        let slide = b.slide(context);
        b.start(context, slide, r#"{"reads": 1000, "steps": 1000}"#);
        b.start(context, 0, r#"{"steps": 1000, "step_ms": 1}"#);
    }
    std::thread::sleep(Duration::from_micros(dice.below(15_000) as u64));
    std::process::exit(0)
}
