//! Histoloom's pipeline: host pixels in; pseudo-semantic maps, synthetic tiles and flags out.
//!
//! Each folder is a stage, in the order data passes through them:
//! [`slide`] -> [`tiles`] -> [`embed`] -> [`cluster`] -> [`semantic_map`] -> [`condition`] -> [`diffuse`] -> [`synth`] -> [`ops`]
//! -> [`flags`] -> [`export`]; [`eval`] measures what comes out, [`calibrate`] how sure its flags are. Networks, devices and sandboxes come in through the traits [`TileSource`], [`Encoder`],
//! [`LatentCodec`], [`Denoiser`] and [`Op`]; nothing here knows burn, wgpu, wasmtime or libc.
#![forbid(unsafe_code)]

mod ahead;
pub mod annotations;
pub mod atlas;
pub mod cache;
pub mod calibrate;
pub mod cluster;
pub mod condition;
pub mod diffuse;
pub mod embed;
pub mod error;
pub mod eval;
pub mod export;
pub mod flags;
pub mod job;
pub mod limits;
pub mod memory;
pub mod ops;
mod own_file;
pub mod params;
pub mod planes;
pub mod pool;
pub mod rng;
pub mod semantic_map;
pub mod simd;
pub mod slide;
pub mod synth;
pub mod tiles;

pub use diffuse::{Denoiser, LatentCodec};
pub use embed::Encoder;
pub use error::{Error, Result};
pub use job::Job;
pub use ops::Op;
pub use planes::Planes;
pub use slide::TileSource;
