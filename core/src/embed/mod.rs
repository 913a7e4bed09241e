//! Pixels to embeddings. In: RGB windows at the working mpp. Out: one `[c, h/stride, w/stride]` block a window, and [`Embedding`], the
//! rows of all windows of a slide, kept as f16 in a [`Cache`](crate::cache::Cache) and read back in [`Strip`]s. Fails if cancelled, if
//! the host cannot read, or if the encoder returns anything but finite numbers of the promised shape.

mod rows;
mod slide;

use image::RgbImage;

use crate::{Planes, Result};

pub use rows::{Embedding, Strip, gather};
pub use slide::{PREPROCESSING, embed_windows};

/// A frozen encoder that sees tissue texture.
///
/// Its features are ready to be compared by Euclidean distance: whatever projection belongs to the encoder is applied inside.
pub trait Encoder: Send + Sync {
    /// Registry name, for instance `efficientnet_lite0`.
    fn id(&self) -> &str;
    /// SHA-256 of the weights, hex.
    fn sha256(&self) -> &str;
    /// What the numbers depend on beside the weights: rows of one kind of arithmetic are not mixed with those of another.
    fn arithmetic(&self) -> &str {
        "cpu"
    }
    /// Licence of the weights as their manifest states it; empty where nothing is told.
    fn licence(&self) -> &str {
        ""
    }
    /// Channels of an embedding.
    fn channels(&self) -> usize;
    /// Pixels a feature cell.
    fn stride_px(&self) -> u32;
    /// Dense features of windows of one common size (multiples of the stride): `[c, h/stride, w/stride]` each.
    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>>;
}
