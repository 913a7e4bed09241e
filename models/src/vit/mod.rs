//! Vision transformers as texture encoders: ViT-S to ViT-g with square patches (arXiv 2010.11929), class and register tokens (arXiv
//! 2309.16588), LayerScale (arXiv 2103.17239), a GELU or a SwiGLU perceptron (arXiv 2002.05202). Reference: timm, through
//! `reference/vit.py`.
//!
//! In: a folder made by [`crate::import`] from a file whose tensors are named as by timm, DINOv2 or the transformers library. Out:
//! [`VitNet`], core's `Encoder`: one cell a patch. Everything is told by names and shapes, but for the number of heads and the
//! normalisation of pixels, which the folder's manifest says. Fails with [`histoloom_core::Error::Weights`] naming file and tensor.
//!
//! | file | what |
//! |---|---|
//! | [`names`] | which tensor of a file is which of timm's |
//! | [`config`] | the network that shapes tell |
//! | [`positions`] | position embeddings on another grid |
//! | [`net`] | the network |
//! | [`projection`] | its channels reduced to 64 |
//! | [`encoder`] | behind core's trait |
//!
//! ```no_run
//! # fn main() -> histoloom_core::Result<()> {
//! let engine = histoloom_models::Engine::open("auto", "models/weights".as_ref(), 0)?;
//! let encoder = engine.encoder_from("imported".as_ref())?;
//! let cells = encoder.embed(&[image::RgbImage::new(224, 224)])?; // patches of 14 px: [64, 16, 16]
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod encoder;
pub mod names;
pub mod net;
pub mod positions;
pub mod projection;

pub use config::{Config, Mlp};
pub use encoder::{Normalisation, VitNet};
pub use names::Found;

/// The kind of such a weight file in a manifest.
pub const KIND: &str = "encoder";
/// The weight file's name.
pub const FILE: &str = "encoder.safetensors";

/// Why a file is refused, and what to do.
#[derive(Debug)]
pub struct Fault {
    /// What is wrong.
    pub why: String,
    /// What to try.
    pub hint: &'static str,
}

/// What to do with a file of a network that is none of these.
pub const OTHER: &str = "give a plain vision transformer in timm's, DINOv2's or the transformers library's names (UNI, Virchow, \
     H-optimus, DINOv2, Phikon and their like)";

fn fault<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { why: why.into(), hint: OTHER })
}
