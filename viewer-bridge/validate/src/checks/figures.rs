//! Not promises but figures: how long loading takes, what a callback costs, how fast a job lets go at each of its stages.

use std::time::{Duration, Instant};

use super::tissue::{SIDE_PX, models, with_models};
use crate::bench::Bench;
use crate::ffi::{Api, HL_JOB_CANCELLED, HL_JOB_DONE, HL_JOB_QUEUED, HL_JOB_RUNNING, HL_OK, hl_progress, hl_region};
use crate::session::{PLACE_BYTES, Session};
use crate::viewer::{Viewer, exact, paint};

/// Processes that load the library, and jobs of reads.
const ROUNDS: usize = 15;
/// Cancels of each stage.
const CANCELS: usize = 6;
/// How often a job is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// Reads of a job, the most that a selftest job takes.
const READS: usize = 1000;

/// Median and largest, in ms.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |t: Option<&Duration>| t.map_or(0.0, |t| t.as_secs_f64() * 1e3);
    format!("median {:.2} ms, worst {:.2} ms of {}", ms(times.get(times.len() / 2)), ms(times.last()), times.len())
}

/// Loading in processes of their own, the first one left out: it reads the file from disk.
pub fn load(s: &Session) {
    let report = std::env::current_dir().unwrap_or_default().join("report");
    let mut times = Vec::new();
    for round in 0..=ROUNDS {
        s.at(&format!("process {round}"));
        let ran = s.cli.child_command("loads", &report).and_then(|mut c| c.status()).is_ok_and(|status| status.success());
        let text = std::fs::read(&report).unwrap_or_default();
        let lines = String::from_utf8_lossy(&text[text.len().min(PLACE_BYTES)..]).into_owned();
        let found = lines.lines().find_map(|l| l.strip_prefix('n')?.parse().ok());
        match found.filter(|_| ran) {
            Some(ns) => times.push(Duration::from_nanos(ns)),
            None => return s.broken("a process could not load the library"),
        }
    }
    s.note(&told(times.split_off(1)));
}

/// What such a process does: from the file to the first answer.
pub fn loads(s: &Session) {
    let begin = Instant::now();
    match Api::load(s.cli.subject()) {
        Ok(api) if (api.hl_abi_version)() != 0 => s.note(&begin.elapsed().as_nanos().to_string()),
        Ok(_) => s.broken("hl_abi_version gave 0"),
        Err(e) => s.broken(&e.to_string()),
    }
}

/// Jobs of many small reads beside jobs of none.
pub fn callbacks(b: &Bench) {
    let viewer = Viewer::reading(|r, _| exact(r)).leak();
    let context = b.context(viewer);
    let slide = b.slide(context);
    let took = |reads: usize| {
        let begin = Instant::now();
        let job = b.start(context, slide, &format!(r#"{{"reads": {reads}, "side_px": 16}}"#));
        b.ended("a job of reads", job, HL_JOB_DONE, HL_OK);
        begin.elapsed()
    };
    took(READS);
    let mut each: Vec<f64> = (0..ROUNDS).map(|_| (took(READS).as_secs_f64() - took(1).as_secs_f64()) / (READS - 1) as f64 * 1e6).collect();
    each.sort_unstable_by(f64::total_cmp);
    b.note(&format!("a read of 16 x 16 px costs {:.2} us beside the host's own work, worst {:.2} us", each[ROUNDS / 2], each[ROUNDS - 1]));
    b.release(context);
}

/// Two tissues, repeated over a larger slide.
fn draw(r: &hl_region, dst: &mut [u8]) -> i64 {
    paint(r, dst, [190, 140, 200, 255]);
    for (i, p) in dst.chunks_exact_mut(4).enumerate() {
        let dark = (i / 3 + i / r.width_px.max(1) as usize / 5).is_multiple_of(4);
        p[..3].copy_from_slice(&if dark { [80, 45, 130] } else { [225, 160, 195 + (i % 9) as u8] });
    }
    exact(r)
}

/// A map and a tile with their files, cancelled at moments spread over every stage.
pub fn cancel(b: &Bench) {
    let Some(models) = models(b) else { return };
    let viewer = Viewer::reading(draw).leak();
    let (context, slide) = with_models(b, viewer, &models, 0, 3 * SIDE_PX);
    let (code, job) = b.try_start(context, slide, c"cluster", r#"{"k": 4}"#);
    b.code("hl_job_start of cluster", code, HL_OK);
    let mut map = 0;
    b.wait_long(job);
    b.code("hl_job_result", (b.api.hl_job_result)(job, &raw mut map), HL_OK);
    let out = std::env::temp_dir().join(format!("histoloom-validate-{}", std::process::id()));
    let into = |rest: &str| format!(r#"{{"out_dir": {:?}, {rest}}}"#, out.display());
    for (kind, params, input) in [(c"cluster", into(r#""k": 4"#), 0), (c"synth", into(r#""n": 1, "size_px": 256"#), map)] {
        let slide = if input == 0 { slide } else { 0 };
        let start = || b.try_start_on(context, slide, kind, &params, input).1;
        b.wait_long(start()); // networks are loaded
        for (stage, length) in stages(b, start()) {
            let times: Vec<_> =
                (0..CANCELS).filter_map(|n| cancelled(b, start(), &stage, length.mul_f64(n as f64 / CANCELS as f64))).collect();
            if !times.is_empty() {
                b.note(&format!("{}, {stage}: {}", kind.to_str().unwrap_or_default(), told(times)));
            }
        }
    }
    let _ = std::fs::remove_dir_all(&out);
    b.release(context);
    b.check_viewer(viewer);
}

/// The stage a job is in.
fn stage(p: &hl_progress) -> String {
    p.stage.iter().take_while(|c| **c != 0).map(|c| char::from(*c as u8)).collect()
}

/// The stages of a job in their order, each with the time it took; the job is released.
fn stages(b: &Bench, job: u64) -> Vec<(String, Duration)> {
    let mut seen: Vec<(String, Instant)> = Vec::new();
    loop {
        let p = b.poll(job);
        if seen.last().is_none_or(|(last, _)| *last != stage(&p)) {
            seen.push((stage(&p), Instant::now()));
        }
        if !matches!(p.state, HL_JOB_QUEUED | HL_JOB_RUNNING) {
            break;
        }
        std::thread::sleep(LOOK);
    }
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
    let end = Instant::now();
    let ends = seen.iter().skip(1).map(|(_, at)| *at).chain([end]);
    let mut out: Vec<(String, Duration)> = Vec::new();
    for ((name, begin), end) in seen.iter().zip(ends) {
        match out.iter_mut().find(|(known, _)| known == name) {
            Some((_, longest)) => *longest = (*longest).max(end - *begin),
            None => out.push((name.clone(), end - *begin)),
        }
    }
    out
}

/// Time from `hl_job_cancel`, this long after a stage began, to the end of the job; `None` where the job was done before. It is released.
fn cancelled(b: &Bench, job: u64, when: &str, after: Duration) -> Option<Duration> {
    b.at(&format!("cancel {} ms after {when} began", after.as_millis()));
    let running = |p: &hl_progress| matches!(p.state, HL_JOB_QUEUED | HL_JOB_RUNNING);
    let mut p = b.poll(job);
    while running(&p) && stage(&p) != when {
        std::thread::sleep(LOOK);
        p = b.poll(job);
    }
    std::thread::sleep(after);
    let begin = Instant::now();
    b.code("hl_job_cancel", (b.api.hl_job_cancel)(job), HL_OK);
    b.wait_long(job);
    let took = begin.elapsed();
    let stopped = b.poll(job).state == HL_JOB_CANCELLED;
    b.code("hl_job_release", (b.api.hl_job_release)(job), HL_OK);
    stopped.then_some(took)
}
