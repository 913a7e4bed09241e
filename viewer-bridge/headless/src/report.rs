//! What the user sees. Progress and warnings go to standard error, the outcome to standard output: text, or with `--json` one
//! object. Colour only on a terminal and never with NO_COLOR.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use crate::cli::Common;
use crate::error::Failure;

/// How often a run without a terminal says where it is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Where everything is said.
pub struct Report {
    json: bool,
    quiet: bool,
    color: bool,
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
    /// Where the newest picture of a running job goes.
    pub preview: Option<PathBuf>,
}

/// State of progress lines where there is no terminal.
#[derive(Default)]
struct Plain {
    stage: String,
    since: Option<Instant>,
    said: Option<Instant>,
    last: Option<Step>,
}

/// Where a job is.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Name of the stage.
    pub stage: String,
    /// Items done.
    pub done: u64,
    /// Items of the stage, 0 if unknown.
    pub total: u64,
    /// Items a second, 0 if unknown.
    pub items_per_s: f64,
    /// Seconds left in this stage, negative if unknown.
    pub eta_s: f64,
}

impl Report {
    /// From the options and the surroundings.
    pub fn new(common: &Common) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let color = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let bar = (terminal && !common.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = if color { "{prefix:>10} {bar:32.cyan} {msg}" } else { "{prefix:>10} {bar:32} {msg}" };
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { json: common.json, quiet: common.quiet, color, bar, plain: Mutex::default(), preview: common.preview.clone() }
    }

    /// A line for people: the device, the seed, a doubt.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.to_stderr(line);
        }
    }

    /// A line that must be seen, in bold where there is colour.
    pub fn loud(&self, line: &str) {
        let line = if self.color { format!("\x1b[1m{line}\x1b[0m") } else { line.to_owned() };
        self.say(&line);
    }

    /// Shows where a job is.
    pub fn step(&self, step: &Step) {
        if self.quiet || step.stage.is_empty() {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_length(step.total.max(step.done).max(1));
            bar.set_position(step.done);
            bar.set_prefix(step.stage.clone());
            bar.set_message(step.words());
            return;
        }
        let Ok(mut plain) = self.plain.lock() else { return };
        if plain.stage != step.stage {
            self.stage_ended(&plain, true);
            *plain = Plain { stage: step.stage.clone(), since: Some(Instant::now()), said: Some(Instant::now()), last: None };
        } else if plain.said.is_none_or(|t| t.elapsed() > PLAIN_EVERY) {
            self.to_stderr(&format!("{:>24} {}", step.stage, step.words()));
            plain.said = Some(Instant::now());
        }
        plain.last = Some(step.clone());
    }

    /// Takes the progress away; `done` says whether the last stage came to its end.
    pub fn finish_steps(&self, done: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        } else if let Ok(mut plain) = self.plain.lock() {
            self.stage_ended(&plain, done);
            *plain = Plain::default();
        }
    }

    /// The outcome: text lines, or the object with `--json`.
    pub fn outcome(&self, lines: &[String], value: &Value) {
        let mut out = std::io::stdout().lock();
        // a closed pipe is the reader's wish, not a failure
        let _ = if self.json {
            writeln!(out, "{value}")
        } else if self.quiet {
            Ok(())
        } else {
            lines.iter().try_for_each(|line| writeln!(out, "{line}"))
        };
    }

    /// A failure: always on standard error, and as an object with `--json`.
    pub fn failure(&self, failure: &Failure) {
        self.finish_steps(false);
        let word = if self.color { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
        self.to_stderr(&format!("{word} {failure}"));
        if self.json {
            let error = json!({"kind": failure.kind.word(), "message": failure.message, "exit_code": failure.kind.code()});
            let _ = writeln!(std::io::stdout().lock(), "{}", json!({"ok": false, "error": error}));
        }
    }

    fn stage_ended(&self, plain: &Plain, done: bool) {
        if let (Some(since), Some(last)) = (plain.since, &plain.last) {
            let seconds = since.elapsed().as_secs_f64();
            let count = match last.total {
                0 => String::new(),
                // the last look was a moment before the end
                total if done => format!("{total} "),
                total => format!("{} of {total} ", last.done),
            };
            self.to_stderr(&format!("{:>24} {count}in {seconds:.1} s", plain.stage));
        }
    }

    fn to_stderr(&self, line: &str) {
        let write = || {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Step {
    fn count(&self) -> String {
        if self.total > 0 { format!("{}/{}", self.done, self.total) } else { self.done.to_string() }
    }

    fn words(&self) -> String {
        let rate = if self.items_per_s > 0.0 { format!("  {:.1} items/s", self.items_per_s) } else { String::new() };
        let left = if self.eta_s >= 0.0 { format!("  ETA {}", clock(self.eta_s)) } else { String::new() };
        format!("{}{rate}{left}", self.count())
    }
}

/// Seconds as m:ss.
fn clock(seconds: f64) -> String {
    let s = seconds.min(359_999.0) as u64;
    if s < 3600 { format!("{}:{:02}", s / 60, s % 60) } else { format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_count_speed_and_time_left() {
        let step = Step { stage: "looking at the tissue".into(), done: 3, total: 10, items_per_s: 1.25, eta_s: 65.4 };
        assert_eq!(step.words(), "3/10  1.2 items/s  ETA 1:05");
        let unknown = Step { stage: "loading the models".into(), done: 3, total: 0, items_per_s: 0.0, eta_s: -1.0 };
        assert_eq!(unknown.words(), "3");
        assert_eq!(clock(3725.0), "1:02:05");
    }
}
