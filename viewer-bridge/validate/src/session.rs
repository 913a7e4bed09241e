//! The child's side of a check: what it finds goes into a file that survives a crash. The file begins with `PLACE_BYTES` bytes that say
//! what is being done; then come lines, each a letter and a text: `b` broken promise, `n` note, `s` skipped, `e` the end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use crate::cli::Cli;
use crate::dice::Dice;
use crate::ffi::name_of;

/// Bytes at the beginning of a report: the place.
pub const PLACE_BYTES: usize = 200;
/// Most broken promises that are told of one check.
const MOST: u32 = 8;

/// A running check.
pub struct Session {
    /// What the user asked for.
    pub cli: Cli,
    name: String,
    file: File,
    /// End of the file, and promises that were broken.
    written: Mutex<(u64, u32)>,
}

impl Session {
    /// Begins a report.
    pub fn new(cli: Cli, name: &str, report: &Path) -> std::io::Result<Self> {
        let session = Self { cli, name: name.to_owned(), file: File::create(report)?, written: Mutex::new((PLACE_BYTES as u64, 0)) };
        session.at("begin");
        Ok(session)
    }

    fn line(&self, kind: char, text: &str) {
        let Ok(mut written) = self.written.lock() else { return };
        if kind == 'b' {
            written.1 += 1;
            if written.1 > MOST {
                return;
            }
        }
        let line = format!("{kind}{}\n", text.replace('\n', " "));
        // A report that cannot be written ends without `e`, which the parent tells.
        if self.file.write_all_at(line.as_bytes(), written.0).is_ok() {
            written.0 += line.len() as u64;
        }
    }

    /// Says what is done next: told if the process crashes or hangs there.
    pub fn at(&self, place: &str) {
        let mut bytes = [b' '; PLACE_BYTES];
        bytes.iter_mut().zip(place.bytes()).for_each(|(to, from)| *to = from);
        let _ = self.file.write_all_at(&bytes, 0);
    }

    /// A promise was broken.
    pub fn broken(&self, what: &str) {
        self.line('b', what);
    }

    /// Something worth knowing.
    pub fn note(&self, what: &str) {
        self.line('n', what);
    }

    /// The check cannot run here.
    pub fn skip(&self, why: &str) {
        self.line('s', why);
    }

    /// The check came to its end.
    pub fn end(&self) {
        let more = self.written.lock().map_or(0, |written| written.1.saturating_sub(MOST));
        if more > 0 {
            self.note(&format!("{more} more like these"));
        }
        self.line('e', "");
    }

    /// A promise: the text tells what was found if it does not hold.
    pub fn promise(&self, holds: bool, what: impl FnOnce() -> String) -> bool {
        if !holds {
            self.broken(&what());
        }
        holds
    }

    /// A call gave this code.
    pub fn code(&self, what: &str, got: i32, want: i32) -> bool {
        self.promise(got == want, || format!("{what} gave {}, not {}", name_of(got), name_of(want)))
    }

    /// Random numbers of this check and a part of it.
    pub fn dice(&self, part: usize) -> Dice {
        Dice::new(self.cli.seed() ^ part as u64, &self.name)
    }

    /// Repetitions at this strictness, from those at 5 and at 10; below 5 each step halves them.
    pub fn times(&self, at_5: usize, at_10: usize) -> usize {
        let level = self.cli.strictness;
        if level <= 5 {
            return (at_5 >> (5 - level)).max(1);
        }
        let growth = (at_10 as f64 / at_5 as f64).powf(f64::from(level - 5) / 5.0);
        (at_5 as f64 * growth).round() as usize
    }
}
