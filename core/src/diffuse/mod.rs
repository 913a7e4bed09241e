//! Diffusion in latent space. In: noise and a condition. Out: latents of unit variance, decoded by the [`LatentCodec`].
//!
//! Rectified flow (arXiv 2209.03003): x_t = (1 - t) z + t n runs from noise n at t = 1 to latents z at t = 0, and the network
//! predicts v = n - z. A sampler integrates dx/dt = v over a [`times`] grid; [`Field`] adds classifier-free guidance; [`denoise`]
//! joins them and keeps the spread of the predicted latents (the raw score S3). One sampler a file: [`euler`], [`heun`],
//! [`dpmpp2m`], [`flow_ddim`]; [`ddim`] is that of the published networks. A [`Start`] begins from real latents instead of noise, or keeps parts of them;
//! an [`Anchor`] holds regions to the stain of their crops; [`refine`] gives the last steps to a network of their own; [`windows`] carries
//! the networks over canvases of any size.
//!
//! Samplers work on a [`Space`](space): latents on the host, or names on a [`Tape`] that a device plays in one go.
//!
//! | paper | here |
//! |---|---|
//! | x_t, z, n, v | `x`, `z` (predicted clean latents, x - t v), `noise`, `v` |
//! | lambda = log((1 - t) / t) | `log_snr` in [`dpmpp2m`] |
//! | guidance scale w | `guidance`, 1 = conditional only |
//!
//! Fails when the network fails, returns planes of another shape, or the job is cancelled (checked at every network call).

use std::any::Any;

use image::RgbImage;

use crate::{Planes, Result};

pub mod anchor;
pub mod ddim;
pub mod dpmpp2m;
pub mod euler;
pub mod flow_ddim;
mod guidance;
pub mod heun;
pub mod refine;
mod sample;
mod space;
mod spread;
mod start;
mod tape;
#[cfg(test)]
mod tests;
pub mod windows;

pub use anchor::Anchor;
pub use guidance::{Field, Guidance};
pub use sample::{Batch, Denoised, Networks, Sampler, Settings, denoise, times};
pub use space::Watch;
pub use spread::Spread;
pub use start::Start;
pub use tape::{Asked, Entry, Name, Played, Tape};

/// The autoencoder around the latent space.
pub trait LatentCodec: Send + Sync {
    /// SHA-256 of the weights, hex.
    fn sha256(&self) -> &str;
    /// Latent channels.
    fn channels(&self) -> usize;
    /// Pixels a latent cell.
    fn factor_px(&self) -> u32;
    /// RGB pictures (sides multiples of the factor, one common size) to latents `[c, h/f, w/f]`.
    fn encode(&self, pictures: &[RgbImage]) -> Result<Vec<Planes>>;
    /// Latents of one common size to RGB pictures.
    fn decode(&self, latents: &[Planes]) -> Result<Vec<RgbImage>>;
    /// Itself, for a denoiser of the same device that plays a tape to its end.
    fn own(&self) -> Option<&dyn Any> {
        None
    }
}

/// The network that predicts the velocity v = noise - z of the straight path x_t = (1 - t) z + t noise.
pub trait Denoiser: Send + Sync {
    /// SHA-256 of the weights, hex.
    fn sha256(&self) -> &str;
    /// Latent channels.
    fn channels(&self) -> usize;
    /// Channels of the condition.
    fn condition_channels(&self) -> usize;
    /// Velocities for a batch of noisy latents `[c, h, w]` (h and w multiples of 4) with their conditions at one time `t` in
    /// [0, 1] and one resolution, `log2(mpp / 0.5)`.
    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>>;
    /// Plays a tape and decodes where it ends, all on the device. None where that is not to be had, or would keep the user waiting for
    /// longer than between two steps that can be cancelled.
    fn play(&self, _: &Tape, _refiner: Option<&dyn Denoiser>, _: &dyn LatentCodec) -> Option<Result<Played>> {
        None
    }
    /// Itself, for the denoiser of the same device that plays a tape with it as refiner.
    fn own(&self) -> Option<&dyn Any> {
        None
    }
}
