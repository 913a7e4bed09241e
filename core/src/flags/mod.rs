//! Flags on synthetic tiles. In: a tile, its requested map, latents' statistics, real embeddings. Out: scores on a raster of 32 px
//! cells and flags, each with a sentence. We say "not flagged", never "verified".
//!
//! | score plane | what | flag |
//! |---|---|---|
//! | `s1_off_manifold` | inverse realism against real tissue of the class (arXiv 1904.06991) | `S1_OFF_MANIFOLD` a cell |
//! | `s2_map_disagrees` | share of 16 px cells off the boundaries whose nearest class is not the one asked for (features averaged as for the map) | |
//! | `s3_unstable` | log variance of the predicted latents over the last 30 % of the steps | |
//! | `s6_saturation` | share of pixels at 0 or 255 | `S6_SATURATED` the tile |
//! | `s6_stain` | distance outside the optical densities of the map's crops | `S6_STAIN` a cell |
//! | | latents with NaN or infinity: the tile is withheld | `S6_NON_FINITE` |
//! | | a crop nearer to another class than to its own | `S6_BAD_CROP` |
//! | | no score could be taken | `NOT_SCORED` |
//! | | no calibration exists for this model and encoder | `UNCALIBRATED` |
//!
//! Where a score judged nothing (background, a class without real tissue to compare with) it is NaN, never the best value.
//! Until a calibration exists every tile is flagged `UNCALIBRATED` (fail closed); thresholds of S1 are then provisional: the 95th
//! percentile of the bank's own rows. Fails only when the encoder fails.

use serde::{Deserialize, Serialize};

use crate::Planes;

mod cells;
mod hard;
mod manifold;
mod scorer;
#[cfg(test)]
mod tests;

pub use cells::{CELL_PX, CellLabel, cell_labels, features, texture};
pub use hard::{Stain, StainLimits};
pub use manifold::{Manifold, NEIGHBOURS};
pub use scorer::{SCORES, Scorer, withheld};

/// One flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// A short code, for instance `S1_OFF_MANIFOLD` or `UNCALIBRATED`.
    pub code: String,
    /// One sentence a pathologist understands.
    pub reason: String,
    /// The score, where there is one.
    pub score: Option<f64>,
    /// The threshold it was held against.
    pub threshold: Option<f64>,
    /// Cell (row, column) of the raster, or none for the whole tile.
    pub cell: Option<(u32, u32)>,
}

/// Everything the flag stage says of one tile.
#[derive(Clone, Debug, PartialEq)]
pub struct TileFlags {
    /// Score planes `[n, size/32, size/32]`, named by `names`; higher is worse, NaN is not judged.
    pub scores: Planes,
    /// Name of each score plane.
    pub names: Vec<String>,
    /// The flags.
    pub flags: Vec<Flag>,
    /// False until a calibration of exactly this model and encoder was applied.
    pub calibrated: bool,
}

impl Flag {
    /// A flag of the whole tile without a score.
    pub fn tile(code: &str, reason: impl Into<String>) -> Self {
        Self { code: code.into(), reason: reason.into(), score: None, threshold: None, cell: None }
    }

    /// The same with the score and the threshold it was held against.
    pub fn against(self, score: f32, threshold: f32) -> Self {
        Self { score: Some(f64::from(score)), threshold: Some(f64::from(threshold)), ..self }
    }

    /// The same for one cell (row, column).
    pub fn at(self, row: usize, column: usize) -> Self {
        Self { cell: Some((row as u32, column as u32)), ..self }
    }
}
