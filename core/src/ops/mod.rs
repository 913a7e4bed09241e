//! Post-processing ops as the pipeline sees them; the sandbox that runs them is in histoloom-wasm-ops.
//! In: a tile with its map, scores and parameters. Out: perhaps new pixels, flags with reasons, metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use image::RgbImage;

use crate::Result;

mod chain;

pub use chain::{Applied, apply};

/// What an op sees.
pub struct OpInput<'a> {
    /// The tile.
    pub rgb: &'a RgbImage,
    /// One class a pixel, row-major, 0 = background.
    pub labels: &'a [u8],
    /// Score planes `[n, rows, columns]` on the flag raster (cells of 32 px), higher is worse, NaN where nothing was judged.
    pub scores: &'a crate::Planes,
    /// The op's own parameters as JSON.
    pub params: &'a str,
    /// Set when the job is to stop; an op that runs then ends with [`Error::Cancelled`](crate::Error::Cancelled).
    pub cancelled: Arc<AtomicBool>,
}

/// A flag raised by an op.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct OpFlag {
    /// A short code, upper case with underscores.
    pub code: String,
    /// One sentence for the user.
    pub reason: String,
    /// The flagged cell (row, column) of the flag raster, or none for the whole tile.
    pub cell: Option<(u32, u32)>,
}

/// What an op gives back.
#[derive(Clone, Debug, Default)]
pub struct OpOutput {
    /// New pixels, if it changed any.
    pub rgb: Option<RgbImage>,
    /// Flags.
    pub flags: Vec<OpFlag>,
    /// Named numbers.
    pub metrics: Vec<(String, f64)>,
}

/// One op.
pub trait Op: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// Its version.
    fn version(&self) -> u32;
    /// SHA-256 of the module, hex.
    fn sha256(&self) -> &str;
    /// Runs it on one tile. A fault is an error; the tile is not lost.
    fn run(&self, input: &OpInput<'_>) -> Result<OpOutput>;
}
