//! Post-processing ops as the pipeline sees them; the sandbox that runs them is in histoloom-wasm-ops.
//! In: a tile with its map, scores, parameters, and what its real crops measure. Out: perhaps new pixels, perhaps new labels, flags
//! with reasons, metrics.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use image::RgbImage;
use serde_json::{Map, Value};

use crate::{Planes, Result};

mod chain;
mod nuclei;
pub mod picture;

pub use chain::{Applied, Step, apply, foreign};
pub use nuclei::{CONTRAST, count as count_nuclei};

/// Side of a cell of the flag raster in pixels.
pub const CELL_PX: u32 = crate::flags::CELL_PX as u32;

/// What the real crops of a class measure that the denoiser was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RealClass {
    /// The class.
    pub label: u8,
    /// Number of crops.
    pub crops: u32,
    /// Mean amount of haematoxylin ([`Measures`](crate::condition::Measures)).
    pub haematoxylin: f32,
    /// Mean amount of eosin.
    pub eosin: f32,
    /// Share of the area that is nuclei.
    pub nuclei: f32,
    /// Nuclei counted by [`count_nuclei`].
    pub counted: u32,
    /// Area they were counted on, in square millimetres.
    pub area_mm2: f32,
}

/// What an op sees of a tile besides pixels, labels and scores. [`Seen::default`] is a tile nobody knows anything of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    /// Micrometres a pixel; 0 where it is not known.
    pub mpp: f32,
    /// Spread of the predicted latents over the last 30 % of the steps, `[1, rows, columns]`, one value a latent cell.
    pub spread: Option<&'a Planes>,
    /// The classes of the tile of which crops were shown, by label.
    pub classes: &'a [RealClass],
    /// Where windows of the networks meet, in pixels from the left and, the same, from the top.
    pub seams: &'a [u32],
}

/// What an op sees.
pub struct OpInput<'a> {
    /// The tile.
    pub rgb: &'a RgbImage,
    /// One class a pixel, row-major, 0 = background.
    pub labels: &'a [u8],
    /// Score planes `[n, rows, columns]` on the flag raster (cells of 32 px), higher is worse, NaN where nothing was judged.
    pub scores: &'a Planes,
    /// Everything else there is.
    pub seen: Seen<'a>,
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
    /// New labels, if it changed any: only classes that the tile had, or 0.
    pub labels: Option<Vec<u8>>,
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
    /// The parameters a run with these would have, defaults filled in; an error that names the op and the parameter.
    fn resolved(&self, params: &str) -> Result<Map<String, Value>> {
        let text = if params.trim().is_empty() { "{}" } else { params };
        serde_json::from_str(text)
            .map_err(|e| crate::Error::parameter(format!("{}.params", self.name()), format!("not a JSON object: {e}"), "give {}"))
    }
    /// Runs it on one tile. A fault is an error; the tile is not lost.
    fn run(&self, input: &OpInput<'_>) -> Result<OpOutput>;
}
