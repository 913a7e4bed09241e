//! Writing a Histoloom op in Rust, without the standard library. In: a [`Tile`]. Out: what the op rewrote in it, and what it said to a
//! [`Host`]. Fails: a panic ends the run (the tile stays as it was). The contract is told in `OPS.md`, the same in C is `histoloom_op.h`.
//!
//! Natively this crate is a plain library: an op can be tested and measured without WebAssembly.
//!
//! ```
//! use histoloom_op::{Host, Tile, UNCHANGED, op};
//! op! {
//!     manifest: r#"{"name": "bright", "version": 1, "summary": "Reports the first pixel", "params": []}"#,
//!     run: run
//! }
//! fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
//!     host.metric("first_red", f64::from(tile.rgb[0]));
//!     UNCHANGED
//! }
//! # fn main() {}
//! ```
#![no_std]

pub mod math;
mod room;
mod text;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use room::Room;
pub use text::Text;

/// Version of the contract.
pub const ABI: i32 = 1;
/// The host is to take nothing.
pub const UNCHANGED: i32 = 0;
/// The host is to take the pixels.
pub const PIXELS: i32 = 1;
/// The host is to take the labels.
pub const LABELS: i32 = 2;
/// There was no room for what the op needs.
pub const NO_ROOM: i32 = -1;

/// What the real crops of a class measure that the tile was made from.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Class {
    /// The class.
    pub label: u32,
    /// Number of crops.
    pub crops: u32,
    /// Mean amount of haematoxylin, about 0 to 1.
    pub haematoxylin: f32,
    /// Mean amount of eosin.
    pub eosin: f32,
    /// Share of the area that is nuclei.
    pub nuclei: f32,
    /// Nuclei counted.
    pub counted: u32,
    /// Area they were counted on, in square millimetres.
    pub area_mm2: f32,
    /// 0.
    pub reserved: u32,
}

/// A tile as an op sees it.
pub struct Tile<'a> {
    /// Columns in pixels.
    pub width: usize,
    /// Rows in pixels.
    pub height: usize,
    /// Red, green, blue; may be rewritten.
    pub rgb: &'a mut [u8],
    /// One class a pixel, 0 = background; may be rewritten with classes that it holds, or 0.
    pub labels: &'a mut [u8],
    /// Score planes `[planes][rows][columns]`, higher is worse, NaN = not judged.
    pub scores: &'a [f32],
    /// Planes, rows, columns of the scores.
    pub score_shape: [usize; 3],
    /// Parameters in the order of the manifest.
    pub params: &'a [f64],
    /// Side of a cell of the flag raster in pixels.
    pub cell_px: usize,
    /// Micrometres a pixel, 0 = not known.
    pub mpp: f32,
    /// Spread of the predicted latents near the end of sampling.
    pub spread: &'a [f32],
    /// Rows and columns of the spread.
    pub spread_shape: [usize; 2],
    /// Of the tile's classes those of which crops were shown, by label.
    pub classes: &'a [Class],
    /// Where windows of the networks meet: pixels from the left, and the same from the top.
    pub seams: &'a [u32],
    /// Memory to work in.
    pub room: Room<'a>,
}

/// The colours of four pixels, read three words at a time: in the sandbox each access of memory is checked, so few and wide ones are fast.
#[inline(always)]
pub fn quad(p: &[u8; 12]) -> [[usize; 3]; 4] {
    let word = |i: usize| u32::from_le_bytes([p[i], p[i + 1], p[i + 2], p[i + 3]]) as usize;
    let (a, b, c) = (word(0), word(4), word(8));
    [
        [a & 255, a >> 8 & 255, a >> 16 & 255],
        [a >> 24 & 255, b & 255, b >> 8 & 255],
        [b >> 16 & 255, b >> 24 & 255, c & 255],
        [c >> 8 & 255, c >> 16 & 255, c >> 24 & 255],
    ]
}

/// To whom an op speaks.
pub trait Host {
    /// Flags a cell (row, column) of the raster, or the whole tile. `code` holds A-Z, 0-9 and _, `reason` is one sentence.
    fn flag(&mut self, code: &str, reason: &str, cell: Option<(usize, usize)>);
    /// Reports a finite number. `name` holds a-z, 0-9 and _.
    fn metric(&mut self, name: &str, value: f64);
}

/// Makes an op of a manifest and a function. On WebAssembly it exports what the host calls; elsewhere it does nothing but keep the
/// manifest.
#[macro_export]
macro_rules! op {
    (manifest: $manifest:expr, run: $run:ident) => {
        /// What the op says of itself.
        pub const MANIFEST: &str = $manifest;

        #[cfg(target_arch = "wasm32")]
        mod exports {
            const TEXT: &str = super::MANIFEST;
            const fn bytes() -> [u8; TEXT.len()] {
                let mut out = [0; TEXT.len()];
                let mut i = 0;
                while i < out.len() {
                    out[i] = TEXT.as_bytes()[i];
                    i += 1;
                }
                out
            }
            #[used]
            #[link_section = "histoloom.op"]
            static SECTION: [u8; TEXT.len()] = bytes();

            #[no_mangle]
            extern "C" fn hl_op_abi() -> i32 {
                $crate::ABI
            }

            #[no_mangle]
            extern "C" fn hl_op_alloc(bytes: u32) -> u32 {
                $crate::wasm::alloc(bytes)
            }

            #[no_mangle]
            extern "C" fn hl_op_run(input: u32) -> i32 {
                // the host gives the block that hl_op_alloc returned, filled in as the contract says
                let mut tile = unsafe { $crate::wasm::tile(input) };
                super::$run(&mut tile, &mut $crate::wasm::Outside)
            }

            #[panic_handler]
            fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
                core::arch::wasm32::unreachable()
            }
        }
    };
}
