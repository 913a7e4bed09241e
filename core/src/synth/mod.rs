//! From a map to annotated synthetic tiles: choose a place, choose crops, diffuse, decode, run ops, flag.
//!
//! In: a [`SemanticMap`](crate::semantic_map::SemanticMap), the [`Nets`], ops and parameters. Out: one [`SyntheticTile`] after
//! the other through a sink. Tile i of a run depends on the map, the networks and (seed, i) only, never on the run's length, its
//! batches or what else is made: `parameters` in its provenance make it again alone.
//!
//! Fails when the job is cancelled (within one denoising step), a network fails or does not fit, the map holds no tissue, or the
//! sink refuses a tile. A failing op and latents that are not finite cost no run: the tile is flagged, in the latter case its
//! pixels are withheld (plain grey).

use image::RgbImage;

mod assign;
mod crops;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
pub(crate) mod fakes;
mod inputs;
mod plan;
mod provenance;
mod published;
mod run;
mod shown;
#[cfg(test)]
mod tests;

pub use inputs::InputFile;
pub(crate) use inputs::{Inputs, rgb_png};
pub use provenance::fingerprint;
pub(crate) use run::run_with;
pub use run::{Nets, run};

use crate::flags::TileFlags;

/// One finished tile.
#[derive(Clone, Debug)]
pub struct SyntheticTile {
    /// Index in the run.
    pub index: u32,
    /// The pixels.
    pub rgb: RgbImage,
    /// One class a pixel, row-major.
    pub labels: Vec<u8>,
    /// The crops shown to the denoiser, one or two a class.
    pub crops: Vec<crate::semantic_map::Crop>,
    /// Flags.
    pub flags: TileFlags,
    /// Seed, parameters, model, encoder, ops, map and slide hashes, version: enough to make the tile again.
    pub provenance: serde_json::Value,
    /// Files the user named for the run; a data set keeps them beside its tiles, and the provenance names them so.
    pub inputs: std::sync::Arc<Vec<InputFile>>,
}
