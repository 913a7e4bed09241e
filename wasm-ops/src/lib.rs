//! Sandboxed WASM ops. In: a WebAssembly module that a user dropped into a folder, or one that ships, and a tile with its map,
//! scores and parameters. Out: perhaps new pixels and labels, flags with reasons, metrics ([`histoloom_core::ops::OpOutput`]). Fails: a
//! module that is refused ([`Error::Op`](histoloom_core::Error::Op)), one that runs into a limit
//! ([`Error::OpLimit`](histoloom_core::Error::OpLimit)); the tile is never lost and the host process never harmed.
//! Pixels are RGB8, the flag raster has cells of 32 px.
//!
//! [`prescan`] reads a module before anything is compiled, [`manifest`] what it says of itself, [`sandbox`] holds the engine and
//! the limits, [`abi`] the contract between host and module (for authors: `OPS.md`), [`op`] runs one, [`registry`] finds them.
//!
//! ```
//! use histoloom_core::{Op, Planes, ops::OpInput};
//! let registry = histoloom_wasm_ops::Registry::shipped()?;
//! let op = registry.get("gamut")?;
//! let green = image::RgbImage::from_pixel(64, 64, image::Rgb([0, 160, 0]));
//! let scores = Planes::zeros(0, 2, 2);
//! let out = op.run(&OpInput { rgb: &green, labels: &[1; 64 * 64], scores: &scores, seen: Default::default(), params: "{}",
//!     cancelled: Default::default() })?;
//! assert_eq!(out.flags.len(), 4); // every 32 px cell: H&E is never green
//! # histoloom_core::Result::Ok(())
//! ```
#![forbid(unsafe_code)]

pub mod abi;
pub mod manifest;
pub mod op;
pub mod prescan;
pub mod registry;
pub mod sandbox;

pub use manifest::Manifest;
pub use op::SandboxedOp;
pub use registry::Registry;
pub use sandbox::Limits;
