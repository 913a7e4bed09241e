//! HTD-LDM, the published network (arXiv 2509.17847; design/method.md section 2): a VQ-f4 first stage, a UNet that predicts noise, and
//! the convolution that reduces class planes. Reference: `reference/htd.py`.
//!
//! In: a folder made by [`crate::import`] from a checkpoint in the CompVis layout, whose key names are kept. Out: [`Paper`], which
//! core's `diffuse::ddim` drives. Fails with [`histoloom_core::Error::Weights`] naming the file and the tensor. Widths, codes and
//! planes are read from shapes; the arrangement (three levels, two blocks a level, eight heads) is fixed.
//!
//! | file | network | in | out |
//! |---|---|---|---|
//! | [`vq`] | first stage | RGB 256 px in [-1, 1] | `[3, 64, 64]`, and back through the codebook |
//! | [`rescaler`] | reduction | `[4 n (+ 1), 256, 256]` | `[3, 64, 64]` |
//! | [`unet`] | noise of x_t | `[6, 64, 64]`, t | `[3, 64, 64]` |
//!
//! ```no_run
//! use histoloom_core::{Job, condition::paper, diffuse::ddim};
//! # fn main() -> histoloom_core::Result<()> {
//! let engine = histoloom_models::Engine::open("auto", "models/weights".as_ref(), 0)?;
//! let net = engine.paper("imported".as_ref())?;
//! let variant = net.denoiser.variant();
//! let labels = vec![1; 256 * 256];
//! let condition = paper::build(variant, &labels, 256, 256, &vec![None; variant.classes])?;
//! let reduced = net.denoiser.reduce(&[condition])?;
//! let made = ddim::denoise(&*net.denoiser, &reduced, &[(1, 0)], &ddim::schedule(200, 1.0)?, &Job::new())?;
//! let tile = net.codec.decode(&[made[0].latents.clone()])?;
//! # Ok(())
//! # }
//! ```

mod layers;
mod nets;
pub mod rescaler;
pub mod unet;
pub mod vq;

pub use layers::{Asked, Layers, Tensors};
pub use nets::{CodecNet, DenoiserNet, Paper};

use histoloom_core::{Error, Result};

/// The weight file of the UNet in a manifest.
pub const UNET: &str = "htd_unet";
/// The weight file of the first stage in a manifest.
pub const VQ: &str = "htd_vq";
/// The weight file of the reduction in a manifest.
pub const RESCALER: &str = "htd_rescaler";

/// Groups of every normalisation.
const GROUPS: usize = 32;
/// Levels of resolution.
const LEVELS: usize = 3;
/// Residual blocks of a level on the way down; one more on the way up.
const BLOCKS: usize = 2;
/// Most channels of a map, and of a condition.
const CHANNELS: usize = 4096;
/// Most codes of a first stage.
const CODES: usize = 1 << 20;
/// Largest side of a picture in pixels, that of training; attention in the first stage costs its fourth power.
pub const SIDE_PX: usize = 256;

/// Looks up the shape of a tensor that must be there.
pub type Shape<'a> = dyn Fn(&str) -> Result<Vec<usize>> + 'a;

/// The n-th extent of a shape, 0 where it has fewer.
fn extent(shape: &[usize], n: usize) -> usize {
    shape.get(n).copied().unwrap_or(0)
}

/// The n-th extent of a tensor's shape, from 1 to `most`: what is computed from it stays small.
fn read(shape: &Shape<'_>, name: &str, n: usize, most: usize) -> Result<usize> {
    let shape = shape(name)?;
    let found = extent(&shape, n);
    if (1..=most).contains(&found) {
        return Ok(found);
    }
    Err(Error::Weights {
        file: name.into(),
        why: format!("its shape is {shape:?}, where extent {n} should be from 1 to {most}"),
        hint: "give a checkpoint of the published networks".into(),
    })
}
