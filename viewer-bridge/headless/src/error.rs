//! What the command can fail with, and the exit code that scripts see.

/// The exit codes, as `--help` lists them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  anything else; of `rerun`: the tile is not the same; of `doctor`: something is missing; of several
     slides: some failed (see summary.csv)
  2  wrong usage or parameter
  3  an input cannot be read or used: no such file, no tissue, not H&E, no mpp
  4  the device is not there or failed
  5  cancelled (Ctrl-C)";

/// One failure: a kind, which decides the exit code, and a message that says what to try.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What happened, to which input, what to try.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything else.
    Other,
    /// A wrong option or parameter.
    Usage,
    /// A file or slide that cannot be read or used.
    Input,
    /// A device that is not there or failed.
    Device,
    /// Ctrl-C.
    Cancelled,
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Failure>;

impl Kind {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Input => 3,
            Self::Device => 4,
            Self::Cancelled => 5,
        }
    }

    /// One word for `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::Input => "input",
            Self::Device => "device",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Failure {
    /// Of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// An input that cannot be read or used.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }
}
