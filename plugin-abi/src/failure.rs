//! Why an exported call or a job failed: a fixed code, and a text that says what happened, to which input, and what to try.

use histoloom_core::Error;

use crate::types::*;

/// A code and its text.
#[derive(Clone, Debug)]
pub struct Failure {
    /// One of the `HL_E_*`.
    pub code: i32,
    /// For people.
    pub text: String,
}

/// The result of everything behind the boundary.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// From its parts.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A wrong argument.
    pub fn argument(name: &str, why: &str) -> Self {
        Self::new(HL_E_ARGUMENT, format!("argument `{name}` {why}"))
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        let code = match &e {
            Error::Cancelled => HL_E_CANCELLED,
            Error::Parameter { .. } => HL_E_PARAMETER,
            Error::Limit { .. } => HL_E_LIMIT,
            Error::Slide { .. } => HL_E_SLIDE,
            Error::Host { .. } => HL_E_HOST,
            Error::Weights { .. } => HL_E_WEIGHTS,
            Error::Device { .. } => HL_E_DEVICE,
            Error::Op { .. } => HL_E_OP,
            Error::OpLimit { .. } => HL_E_OP_LIMIT,
            Error::File { .. } => HL_E_FILE,
            Error::Memory { .. } => HL_E_MEMORY,
            _ => HL_E_INTERNAL,
        };
        Self::new(code, e.to_string())
    }
}
