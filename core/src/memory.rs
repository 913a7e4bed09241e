//! Memory that runs out: how it is told to jobs, and by code that cannot return an error.
//!
//! Rust ends the process when a plain allocation fails. The shipped library holds part of the address space back and gives it up to the
//! allocation that failed; from then on [`check`] is an error until as much can be held back again. Jobs ask at every step, so what they
//! allocate in between must fit into what was given up. Larger things are asked for with [`filled`] (an error), [`many`] or [`grow`] (an
//! unwinding that the library's boundary catches and tells as the same error).

use std::panic::resume_unwind;
use std::sync::OnceLock;

use crate::{Error, Result};

/// Whether there is memory to spare, and how many bytes that would be.
pub struct Spare {
    /// Asked at every step of every job.
    pub is_there: fn() -> bool,
    /// Bytes.
    pub bytes: usize,
}

static SPARE: OnceLock<Spare> = OnceLock::new();

/// Has [`check`] ask `spare`; the first one counts.
pub fn watch(spare: Spare) {
    let _ = SPARE.set(spare);
}

/// [`Error::Memory`] where there is none to spare; never without [`watch`].
pub fn check() -> Result<()> {
    match SPARE.get() {
        Some(spare) if !(spare.is_there)() => Err(none("going on", spare.bytes)),
        _ => Ok(()),
    }
}

/// The payload of an unwinding that means [`Error::Memory`].
#[derive(Clone, Copy, Debug)]
pub struct Exhausted {
    /// Bytes that were not there.
    pub bytes: usize,
}

impl Exhausted {
    /// The error that it means.
    pub fn error(self) -> Error {
        none("going on", self.bytes)
    }
}

/// `n` times a value, or [`Error::Memory`] where a process may not have as much.
pub fn filled<T: Clone>(value: T, n: usize, what: &str) -> Result<Vec<T>> {
    let mut out = Vec::new();
    out.try_reserve_exact(n).map_err(|_| none(what, n.saturating_mul(size_of::<T>())))?;
    out.resize(n, value);
    Ok(out)
}

/// `n` times a value; unwinds with [`Exhausted`] where a process may not have as much.
pub fn many<T: Clone>(value: T, n: usize) -> Vec<T> {
    let mut out = Vec::new();
    room(&mut out, n);
    out.resize(n, value);
    out
}

/// [`Vec::resize`] with zeros; unwinds with [`Exhausted`] where a process may not have as much.
pub fn grow(values: &mut Vec<f32>, n: usize) {
    room(values, n);
    values.resize(n, 0.0);
}

fn room<T>(values: &mut Vec<T>, n: usize) {
    if values.try_reserve_exact(n.saturating_sub(values.len())).is_err() {
        resume_unwind(Box::new(Exhausted { bytes: n.saturating_mul(size_of::<T>()) }));
    }
}

fn none(what: &str, bytes: usize) -> Error {
    Error::Memory { what: what.into(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_memory_than_there_can_be_is_an_error() {
        assert_eq!(filled(7u8, 3, "a test").unwrap(), [7; 3]);
        let e = filled(0u64, usize::MAX / 16, "a test").unwrap_err();
        assert!(e.to_string().contains("no memory for a test"), "{e}");
    }

    #[test]
    fn code_without_errors_unwinds_with_one() {
        let mut values = vec![1.0];
        grow(&mut values, 2);
        assert_eq!(values, [1.0, 0.0]);
        let payload = std::panic::catch_unwind(|| grow(&mut Vec::new(), usize::MAX / 8)).unwrap_err();
        assert_eq!(payload.downcast_ref::<Exhausted>().unwrap().bytes, usize::MAX / 8 * 4);
        assert_eq!(many(3u8, 2), [3, 3]);
        let payload = std::panic::catch_unwind(|| many(0u16, usize::MAX / 2)).unwrap_err();
        assert!(payload.downcast_ref::<Exhausted>().unwrap().error().to_string().contains("no memory for going on"));
    }
}
