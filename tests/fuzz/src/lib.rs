//! What fuzzers run. In: bytes from anywhere. Out: nothing; a target panics where the library breaks a promise, and a sanitizer speaks
//! where it touches memory that it must not. Each target is one function, so an input of one is one file: see `README.md`.
//!
//! | target | the bytes are | the promise |
//! |---|---|---|
//! | [`params`] | a job kind and its parameters | a code or a job, never a panic; what was resolved resolves to itself |
//! | [`calls`] | calls of the ABI | outputs are written on success only; no handle but a living one of the right kind is taken |
//! | [`op`] | a WASM module | it is refused, or runs within its limits; what it says is clean, and the same twice |
//! | [`weights`] | weight files, manifests, checkpoints | an error, or tensors that are finite; what is imported can be loaded |
//! | [`label_png`] | a drawing of labels | an error, or a square of labels that the map has |
//! | [`geojson`] | annotations and regions | an error, or labels that the map has |
//! | [`files`] | a map, atlas, sample, cache, preset or picture | an error, or a value that can be used, written and read again |
//!
//! ```no_run
//! histoloom_fuzz::target("geojson").unwrap()(b"[]");
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a target speaks")]

mod bytes;
mod calls;
mod exact;
mod files;
mod geojson;
mod label_png;
mod map;
mod op;
mod params;
mod resumed;
#[cfg(feature = "libfuzzer")]
pub mod smith;
mod viewer;
mod weights;
mod zip;

pub use calls::calls;
pub use files::files;
pub use geojson::geojson;
pub use label_png::label_png;
pub use op::op;
pub use params::params;
pub use weights::weights;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name, which is also that of their folder in `corpus`.
pub const TARGETS: [(&str, Target); 7] = [
    ("params", params),
    ("calls", calls),
    ("op", op),
    ("weights", weights),
    ("label_png", label_png),
    ("geojson", geojson),
    ("files", files),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
