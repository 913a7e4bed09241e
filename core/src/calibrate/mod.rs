//! How sure one can be that a fault is flagged. In: slides with their maps, the networks. Out: a
//! [`Calibration`](crate::flags::Calibration) with a stated bound, and what it says of slides that took no part.
//!
//! [`plant`] (a slide: real tiles held out, ordinary tiles of the model, tiles with [`Fault`]s, all scored) -> [`Table`] a slide ->
//! [`fit`] (ranks and threshold from some slides, rates on the others). Everything follows from slides, networks and seed. Fails where
//! slides or networks do not belong together, a network fails, or the job is cancelled.
//!
//! The threshold holds for faults exchangeable with the planted ones, no others: a fault nobody thought of may slip through.

mod faults;
mod fit;
mod held;
mod index;
mod plant;
#[cfg(test)]
mod tests;

pub use faults::Fault;
pub use fit::{KindReport, Memory, Rate, Report, Roc, caught, fit};
pub use index::indexed;
pub use plant::{Networks, plant};

use serde::{Deserialize, Serialize};

use crate::flags::calibration;
use crate::flags::score::TileScores;

/// Side of the tiles, in pixels.
pub const SIZE_PX: u32 = 256;
/// Real tissue, as scanned.
pub const REAL: &str = "real";
/// The same through the autoencoder and back.
pub const RENDERED: &str = "rendered";
/// Tiles of the model with nothing planted.
pub const ORDINARY: &str = "ordinary";

/// One scored tile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// [`REAL`], [`RENDERED`], [`ORDINARY`] or a fault's name.
    pub kind: String,
    /// Number among those of its kind, from 0.
    pub index: u32,
    /// Its scores in the order of [`SCORES`](crate::flags::SCORES), null where nothing was judged.
    pub scores: Vec<Option<f32>>,
    /// Codes of flags that need no calibration.
    pub hard: Vec<String>,
    /// Distance to the nearest training picture, a root mean square of embeddings; none without an index.
    pub nearest: Option<f32>,
}

impl Sample {
    /// Its scores, NaN where nothing was judged.
    pub fn scores(&self) -> TileScores {
        std::array::from_fn(|i| self.scores.get(i).copied().flatten().unwrap_or(f32::NAN))
    }

    /// Name of its files without ending.
    pub fn file(&self) -> String {
        format!("{}_{:03}", self.kind, u64::from(self.index) + 1)
    }
}

/// What was found on one slide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `histoloom-planted`.
    pub format: String,
    /// Version of scores and faults: [`calibration::VERSION`].
    pub version: u32,
    /// The slide, hashed.
    pub slide_id_sha256: String,
    /// The map, as provenance of tiles names it.
    pub map_sha256: String,
    /// Atlas of the map, null = classes of its own.
    pub atlas: Option<String>,
    /// The networks.
    pub networks: calibration::Networks,
    /// The index that tiles were compared with, null = none.
    pub index_sha256: Option<String>,
    /// Seed of places, dice and noise.
    pub seed: u64,
    /// Preset of the tiles.
    pub preset: String,
    /// Tiles asked for: of a kind of fault, real, ordinary. A slide may offer fewer.
    pub asked: [u32; 3],
    /// Seeds drawn for each ordinary tile, from which its S4 comes; 1 = not measured.
    pub seeds: u32,
    /// The tiles.
    pub samples: Vec<Sample>,
}

/// What stands under `format` of a table.
pub const PLANTED: &str = "histoloom-planted";
