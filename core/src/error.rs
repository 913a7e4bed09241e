//! The one error enum. Every message says what happened, to which input, and what to try.

/// What can go wrong in the pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host asked for the job to stop.
    #[error("cancelled by the host")]
    Cancelled,
    /// A parameter is unknown, missing, of the wrong type or out of range.
    #[error("parameter `{field}`: {why}; {hint}")]
    Parameter {
        /// The key in the parameters.
        field: String,
        /// What is wrong with it.
        why: String,
        /// What to try.
        hint: String,
    },
    /// A size beyond a bound of [`crate::limits`], found before anything was allocated.
    #[error("`{field}` is {value}, the limit is {limit}; {hint}")]
    Limit {
        /// The quantity.
        field: String,
        /// Its value.
        value: String,
        /// The bound.
        limit: String,
        /// What to try.
        hint: String,
    },
    /// The slide holds nothing to work on, or nothing this method is made for.
    #[error("slide `{name}`: {why}; {hint}")]
    Slide {
        /// The slide's name as the host gave it.
        name: String,
        /// What is wrong.
        why: String,
        /// What to try.
        hint: String,
    },
    /// The host's read callback failed or returned something other than what was asked.
    #[error("the host's read_region failed for {region}: {why}")]
    Host {
        /// The region asked for.
        region: String,
        /// What came back.
        why: String,
    },
    /// A weights file or manifest is missing, damaged or not what the manifest says.
    #[error("weights `{file}`: {why}; {hint}")]
    Weights {
        /// File name, without its folder.
        file: String,
        /// What is wrong, naming the tensor where there is one.
        why: String,
        /// What to try.
        hint: String,
    },
    /// No such device, or it failed.
    #[error("device `{device}`: {why}; {hint}")]
    Device {
        /// The device asked for.
        device: String,
        /// What is wrong.
        why: String,
        /// What to try.
        hint: String,
    },
    /// A WASM op was refused or failed.
    #[error("op `{op}`: {why}")]
    Op {
        /// The op's name.
        op: String,
        /// What is wrong.
        why: String,
    },
    /// A WASM op ran into its time, fuel, memory or size limit.
    #[error("op `{op}` was stopped: {why}")]
    OpLimit {
        /// The op's name.
        op: String,
        /// Which limit.
        why: String,
    },
    /// A file could not be read or written.
    #[error("{what} `{path}`: {why}; {hint}")]
    File {
        /// "cannot write", "cannot read" and the like.
        what: String,
        /// The path as the user gave it.
        path: String,
        /// The reason.
        why: String,
        /// What to try.
        hint: String,
    },
    /// There is not enough memory, found before it was used.
    #[error("no memory for {what} ({bytes} bytes); close other programs, or use fewer threads")]
    Memory {
        /// What it was for.
        what: String,
        /// How much.
        bytes: usize,
    },
    /// A mistake of ours that was caught instead of crashing.
    #[error("internal error: {0}; please report it with the parameters of the run")]
    Internal(String),
}

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A parameter error.
    pub fn parameter(field: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Parameter { field: field.into(), why: why.into(), hint: hint.into() }
    }

    /// A file error from an I/O error.
    pub fn file(what: &str, path: &std::path::Path, why: impl std::fmt::Display, hint: &str) -> Self {
        Self::File { what: what.into(), path: path.display().to_string(), why: why.to_string(), hint: hint.into() }
    }

    /// An internal error.
    pub fn internal(why: impl Into<String>) -> Self {
        Self::Internal(why.into())
    }
}
