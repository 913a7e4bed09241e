//! Runs a check in a child process and tells its end. In: a check. Out: passed, failed (a promise was broken), crashed (a signal), hung (it
//! was killed at its time limit) or skipped, with the child's own words.

use std::fs::File;
use std::io::Error;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::checks::Check;
use crate::cli::Cli;
use crate::session::PLACE_BYTES;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Passed,
    Failed,
    Crashed,
    Hung,
    Skipped,
}

impl Status {
    /// All of them, in the order of the counts.
    pub const ALL: [Self; 5] = [Self::Passed, Self::Failed, Self::Crashed, Self::Hung, Self::Skipped];

    /// As it is printed.
    pub fn word(self) -> &'static str {
        ["passed", "failed", "crashed", "hung", "skipped"][self as usize]
    }

    /// Whether a promise was broken.
    pub fn is_bad(self) -> bool {
        !matches!(self, Self::Passed | Self::Skipped)
    }
}

/// What is told of a check.
pub struct Outcome {
    pub name: &'static str,
    pub level: u32,
    pub status: Status,
    pub seconds: f64,
    /// Broken promises, or why it was skipped.
    pub messages: Vec<String>,
    /// What was measured.
    pub notes: Vec<String>,
}

/// A folder for the children; removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
        let dir = std::env::temp_dir().join(format!("histoloom-validate-{}-{now}", std::process::id()));
        std::fs::create_dir(&dir).map(|()| Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a check.
pub fn run(check: &Check, cli: &Cli, scratch: &Scratch) -> Outcome {
    let begin = Instant::now();
    let limit = Duration::from_secs_f64(check.limit_s(cli.strictness) * cli.patience);
    let mut outcome = Outcome::new(check);
    let place = scratch.0.join(check.name);
    let told = begin_child(check, cli, &place).and_then(|mut child| Ok((wait(&mut child, limit)?, std::fs::read(place.join("report"))?)));
    match told {
        Err(e) => outcome.fail(Status::Failed, format!("the child process could not be run: {e}")),
        Ok((ended, report)) => outcome.read(ended, &report, limit),
    }
    for stream in ["stdout", "stderr"] {
        let text = std::fs::read(place.join(stream)).unwrap_or_default();
        if !text.is_empty() {
            let begin: String = String::from_utf8_lossy(&text).trim_end().replace('\n', " | ").chars().take(200).collect();
            outcome.fail(Status::Failed, format!("something was written to {stream}: {begin}"));
        }
    }
    let _ = std::fs::remove_dir_all(&place);
    outcome.seconds = begin.elapsed().as_secs_f64();
    outcome
}

fn begin_child(check: &Check, cli: &Cli, place: &Path) -> Result<Child, Error> {
    let folder = place.join("folder");
    std::fs::create_dir_all(&folder)?;
    let mut c = cli.child_command(check.name, &place.join("report"))?;
    c.current_dir(folder).stdin(Stdio::null()).stdout(File::create(place.join("stdout"))?).stderr(File::create(place.join("stderr"))?);
    c.process_group(0).spawn()
}

/// Waits for a child, or kills it and what it started; `None` after that.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, Error> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > limit {
            // SAFETY: the process group of a child that was not waited for yet, so the number is still its own.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A signal's name.
pub fn signal_name(signal: i32) -> String {
    let known = [(4, "SIGILL"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (9, "SIGKILL"), (11, "SIGSEGV"), (13, "SIGPIPE")];
    known.iter().find(|(n, _)| *n == signal).map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

impl Outcome {
    fn new(check: &Check) -> Self {
        Self { name: check.name, level: check.level, status: Status::Passed, seconds: 0.0, messages: Vec::new(), notes: Vec::new() }
    }

    /// Of a check that was not run.
    pub fn skipped(check: &Check, why: String) -> Self {
        Self { status: Status::Skipped, messages: vec![why], ..Self::new(check) }
    }

    fn fail(&mut self, status: Status, why: String) {
        if !matches!(self.status, Status::Crashed | Status::Hung) {
            self.status = status;
        }
        self.messages.push(why);
    }

    /// Takes in what the child wrote and how it ended.
    fn read(&mut self, ended: Option<ExitStatus>, report: &[u8], limit: Duration) {
        let (place, lines) = report.split_at(report.len().min(PLACE_BYTES));
        let (place, lines) = (String::from_utf8_lossy(place).trim_end().to_owned(), String::from_utf8_lossy(lines).into_owned());
        let mut whole = false;
        for line in lines.lines() {
            let (kind, text) = line.split_at(line.len().min(1));
            match kind {
                "b" => self.fail(Status::Failed, text.to_owned()),
                "s" => (self.status, self.messages) = (Status::Skipped, vec![text.to_owned()]),
                "n" => self.notes.push(text.to_owned()),
                _ => whole = true,
            }
        }
        match ended {
            None => self.fail(Status::Hung, format!("killed after {:.0} s, in: {place}", limit.as_secs_f64())),
            Some(status) => match status.signal() {
                Some(signal) => self.fail(Status::Crashed, format!("{} in: {place}", signal_name(signal))),
                None if !whole => self.fail(Status::Failed, format!("the process was ended ({status}) in: {place}")),
                None if !status.success() => {
                    self.fail(Status::Failed, format!("the process ended with {status} although it should not have"));
                }
                None => {}
            },
        }
    }
}
