//! What the system tells of this process: memory, threads, files, and the state that a library must leave alone.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsString};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::session::Session;

/// A line of /proc/self/status without its name.
pub fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// A number of /proc/self/status: kB, or a count.
pub fn number(name: &str) -> u64 {
    status(name).split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Open files and what they are.
pub fn files() -> Vec<String> {
    let of = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).ok().map(|p| p.display().to_string());
    std::fs::read_dir("/proc/self/fd").map_or_else(|_| Vec::new(), |all| all.flatten().filter_map(of).collect())
}

/// Waits until something holds; what it was at last comes back.
pub fn within(time: Duration, holds: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if begin.elapsed() > time {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a library must leave as it is.
#[derive(PartialEq)]
pub struct Manners {
    /// Handler and flags of each signal.
    handlers: Vec<(usize, i32)>,
    /// SigBlk, SigCgt, SigIgn: also of signals that sigaction does not tell.
    masks: [String; 3],
    environment: BTreeMap<OsString, OsString>,
    locale: String,
    folder: Option<PathBuf>,
    /// Files in the folder.
    written: usize,
    /// Sums whose last bits depend on the rounding mode, and a number below the normal ones, which -ffast-math flushes to 0.
    floats: [u64; 4],
}

impl Manners {
    /// As they are now.
    pub fn now() -> Self {
        // SAFETY: asks only.
        let locale = unsafe { libc::setlocale(libc::LC_ALL, std::ptr::null()) };
        // SAFETY: a text of the C library that ends with NUL, or NULL.
        let locale = if locale.is_null() { String::new() } else { unsafe { CStr::from_ptr(locale) }.to_string_lossy().into_owned() };
        let half = f64::EPSILON / 2.0;
        let sum = |a: f64, b: f64| (black_box(a) + black_box(b)).to_bits();
        Self {
            handlers: (1..=64).map(handler).collect(),
            masks: ["SigBlk", "SigCgt", "SigIgn"].map(status),
            environment: std::env::vars_os().collect(),
            locale,
            folder: std::env::current_dir().ok(),
            written: std::fs::read_dir(".").map_or(0, Iterator::count),
            floats: [sum(1.0, half), sum(1.0, 1.5 * half), sum(-1.0, -1.5 * half), sum(f64::MIN_POSITIVE / 2.0, 0.0)],
        }
    }

    /// Tells what is not as it was, and what sockets are open.
    pub fn compare(&self, s: &Session, after: &str) {
        for change in Self::now().changes_since(self) {
            s.broken(&format!("{after} changed {change}"));
        }
        let sockets: Vec<String> = files().into_iter().filter(|f| f.starts_with("socket:")).collect();
        s.promise(sockets.is_empty(), || format!("{after} opened sockets: {sockets:?}"));
    }

    fn changes_since(&self, before: &Self) -> Vec<&'static str> {
        let same = [
            (self.handlers == before.handlers, "a signal's handler"),
            (self.masks == before.masks, "a signal mask (SigBlk, SigCgt, SigIgn)"),
            (self.environment == before.environment, "the environment"),
            (self.locale == before.locale, "the locale"),
            (self.folder == before.folder, "the working folder"),
            (self.written == before.written, "files in the working folder"),
            (self.floats == before.floats, "the rounding mode, or numbers below the normal ones are flushed"),
        ];
        same.into_iter().filter(|(same, _)| !same).map(|(_, what)| what).collect()
    }
}

fn handler(signal: i32) -> (usize, i32) {
    // SAFETY: zero bytes are a value of it.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: asks only, into a struct of ours; signals that cannot be asked leave it as it is.
    unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    (now.sa_sigaction, now.sa_flags)
}
