//! Flags on synthetic tiles. In: a tile, its requested map, latents' statistics, real tissue, a calibration. Out: scores on a raster of
//! 32 px cells, one number a score, and flags, each with a sentence. We say "not flagged", never "verified".
//!
//! | score | what | ranked among |
//! |---|---|---|
//! | `s1_off_manifold` | inverse realism against real tissue of the class (arXiv 1904.06991), over the 95th percentile of the class's own | real tiles |
//! | `s2_map_disagrees` | how much nearer the tissue lies to another class than to the one asked for | real tiles |
//! | `s3_unstable` | log variance of the predicted latents over the last 30 % of the steps (arXiv 2406.09358) | ordinary tiles |
//! | `s4_seeds_disagree` | entropy of the classes that four seeds put here, where it is asked for | ordinary tiles |
//! | `s5_crop_copy` | correlation with a crop that was shown | real tiles |
//! | `s5_near_duplicate` | how much nearer the nearest training picture is than the next ones | real tiles, their own place left out |
//! | `s6_saturation`, `s6_stain` | share of clipped pixels; distance outside the optical densities of the map's crops | nothing: they always flag |
//! | `s7_soft`, `s7_grainy` | fineness of detail against the slide's own tissue of the class, over what its tiles keep to on either side | a fixed limit |
//! | `s8_lattice` | log share of the residual that repeats every 8 px | ordinary tiles |
//!
//! Besides: `S6_NON_FINITE` (latents with NaN or infinity: the tile is withheld), `S6_BAD_CROP` (a crop nearer to another class than to its
//! own), `NOT_SCORED` (no real tissue to compare with), `UNCALIBRATED` (no calibration for these networks and this map: fail closed).
//! Where a score judged nothing it is NaN, never the best value. Fails only when the encoder fails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Planes;

mod agree;
pub mod bound;
pub mod calibration;
mod cells;
mod copy;
pub mod duplicates;
mod grain;
mod hard;
mod manifold;
mod rendering;
pub mod score;
mod scorer;
#[cfg(test)]
mod tests;

pub use calibration::{Calibration, Networks};
pub use cells::{CELL_PX, CellLabel, cell_labels, features, texture};
pub(crate) use grain::Density;
pub use hard::{Stain, StainLimits};
pub(crate) use hard::{densities, is_saturated};
pub use manifold::{Manifold, NEIGHBOURS};
pub use rendering::Rendering;
pub use score::SCORES;
pub use scorer::{Judge, Scored, Scorer, unstable, withheld};

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
    /// One number a score, in the order of [`SCORES`]; none where nothing was scored.
    pub tile_scores: Option<score::TileScores>,
    /// Distance to the nearest training picture, a root mean square of embeddings; none without an index.
    pub nearest: Option<f32>,
    /// The flags.
    pub flags: Vec<Flag>,
    /// SHA-256 of the calibration that was applied; none: the tile is `UNCALIBRATED`.
    pub calibration: Option<String>,
    /// The largest rank among the scores and the threshold it was held against.
    pub fused: Option<(f32, f32)>,
}

impl TileFlags {
    /// Whether a calibration was applied.
    pub fn calibrated(&self) -> bool {
        self.calibration.is_some()
    }

    /// The sentence of each code that was raised; the first, where cells have sentences of their own.
    pub fn reasons(&self) -> BTreeMap<&str, &str> {
        let mut out = BTreeMap::new();
        for f in &self.flags {
            out.entry(f.code.as_str()).or_insert(f.reason.as_str());
        }
        out
    }
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
