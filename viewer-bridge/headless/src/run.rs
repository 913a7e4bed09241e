//! One job from start to end: progress, Ctrl-C, the seed and device told. In: kind and parameters. Out: the library's summary.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::Value;

use crate::error::{Failure, Kind, Result};
use crate::library::Context;
use crate::preview::Preview;
use crate::report::Report;

/// How often progress is looked at, in milliseconds.
const LOOK_MS: u32 = 100;

static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
static JOB_RUNS: AtomicBool = AtomicBool::new(false);

/// Ctrl-C cancels the job; a second one, or one while no job runs, ends the program at once.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTS.fetch_add(1, Ordering::SeqCst) > 0 || !JOB_RUNS.load(Ordering::SeqCst) {
            std::process::exit(i32::from(Kind::Cancelled.code()));
        }
    })
    .map_err(|e| Failure::other(format!("cannot catch Ctrl-C: {e}")))
}

/// Runs a job; `slide` is 0 for jobs that read none.
pub fn job(context: &Context<'_>, kind: &str, slide: u64, params: &Value, report: &Report) -> Result<Value> {
    JOB_RUNS.store(true, Ordering::SeqCst);
    let outcome = follow(context, kind, slide, params, report);
    JOB_RUNS.store(false, Ordering::SeqCst);
    outcome
}

fn follow(context: &Context<'_>, kind: &str, slide: u64, params: &Value, report: &Report) -> Result<Value> {
    let job = context.start(kind, slide, params)?;
    let resolved = job.params()?;
    report.loud(format!("{kind}: {}", told(&resolved)).trim_end_matches(": "));
    let (mut cancelled, mut preview) = (false, Preview::new(report));
    while !job.wait(LOOK_MS)? {
        report.step(&job.poll()?);
        preview.look(&job);
        if !cancelled && INTERRUPTS.load(Ordering::SeqCst) > 0 {
            report.say("cancelling (Ctrl-C again to end at once)");
            job.cancel()?;
            cancelled = true;
        }
    }
    preview.look(&job);
    let outcome = job.outcome();
    report.finish_steps(outcome.is_ok());
    outcome.map_err(|failure| explained(failure, context))
}

/// The parameters in one line, the seed first; folders are told elsewhere.
fn told(resolved: &Value) -> String {
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut parts: Vec<String> = resolved.get("seed").map(|seed| format!("seed {seed}")).into_iter().collect();
    for (key, v) in resolved.as_object().into_iter().flatten() {
        if !(v.is_null() || ["seed", "out_dir", "cache_dir", "skip_done", "from", "file", "roi", "out", "samples"].contains(&key.as_str()))
        {
            parts.push(format!("{key} {}", word(v)));
        }
    }
    parts.join(", ")
}

/// A failure in the words of this command: which option helps.
fn explained(failure: Failure, context: &Context<'_>) -> Failure {
    let mut message = failure.message;
    if let Some(why) = context.viewer().read_failure().filter(|_| failure.kind == Kind::Input) {
        message = format!("the slide cannot be read: {why}; the file may be damaged, copy it again ({message})");
    }
    let no_mpp = context.viewer().slide().is_some_and(|s| s.mpp.is_none()) && message.contains("mpp");
    if no_mpp && !message.contains("--mpp") {
        message.push_str("; add --mpp with the scanner's value, for instance --mpp 0.25 for a 40x scan or --mpp 0.5 for 20x");
    } else if message.contains("force") && !message.contains("--force") {
        message.push_str("; on this command line that is --force");
    }
    Failure { kind: failure.kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_seed_is_told_first_and_folders_are_not() {
        let line = told(&json!({"device": "cpu", "k": 8, "mpp": null, "out_dir": "x", "seed": 7, "ops": ["gamut"]}));
        assert_eq!(line, "seed 7, device cpu, k 8, ops [\"gamut\"]");
    }
}
