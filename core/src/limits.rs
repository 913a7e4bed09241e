//! Every bound of the pipeline, in one place. A value beyond one is an [`Error::Limit`](crate::Error::Limit) before anything is
//! allocated.

/// Largest slide side accepted, in level-0 pixels.
pub const SLIDE_SIDE_PX: u64 = 2_000_000;
/// Most tissue classes in one map; labels are one byte and 0 is background.
pub const CLASSES: usize = 100;
/// Most edits a map remembers: each is made again whenever one is taken back.
pub const EDITS: usize = 1000;
/// Most rows of a sample that an atlas is fitted on: 8 MB for the shipped encoder, 400 MB for one of 768 channels.
pub const ATLAS_ROWS: usize = 1 << 17;
/// Largest number of map cells held in memory.
pub const MAP_CELLS: usize = 64 << 20;
/// Largest side of a window handed to a network, in pixels (known faults of wgpu convolutions begin above it).
pub const WINDOW_PX: u32 = 1024;
/// Largest side of a synthetic tile, in pixels; it is made in windows.
pub const TILE_PX: u32 = 4096;
/// Most tiles of one synthesis job.
pub const TILES: u32 = 100_000;
/// Most denoising steps.
pub const STEPS: u32 = 1000;
/// Largest guidance scale that is still meaningful.
pub const GUIDANCE: f64 = 20.0;
/// Longest parameter JSON, in bytes.
pub const PARAMETERS_BYTES: usize = 1 << 20;
/// Largest text written into or read from a PNG chunk, in bytes.
pub const TEXT_BYTES: usize = 1 << 20;
/// Coarsest and finest resolution worked at, in micrometres per pixel.
pub const MPP: std::ops::RangeInclusive<f64> = 0.05..=16.0;
