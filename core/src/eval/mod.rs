//! How good a model's tiles are, measured against real tissue of a slide. In: the open slide, its map, the networks, maybe the map of
//! another slide. Out: a [`Report`] and a sheet to look at. At the same places of the map, tiles are made with what the condition
//! holds changed one thing at a time ([`Variant`]); the Frechet distance of each set to the real tiles tells what each thing is worth.
//!
//! Units: distances in squared units of the encoder's embedding. Rows of the distance are means over squares of [`PATCH_PX`]. As the
//! denoiser is told embeddings of the same encoder, absolute distances flatter it; compare within a table. Fails when the slide cannot
//! be read, a network fails, the job is cancelled, or there are too few tiles for a distance.

pub mod fidelity;
pub mod frechet;
mod run;
#[cfg(test)]
pub(crate) mod tests;
mod variant;

pub(crate) use run::belongs;
pub use run::{Report, run};
pub use variant::Variant;

/// Side of the squares whose mean embeddings are compared, in pixels.
pub const PATCH_PX: u32 = 128;
