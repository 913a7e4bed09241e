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
/// Largest value of an embedding read from a file: they are kept as f16, and distances between larger ones leave the range of f32.
pub const EMBEDDING: f32 = 65_536.0;
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
/// Largest count read from a file: whole numbers up to here are exact in any JSON reader.
pub const COUNT: u64 = 1 << 53;
/// Largest side of a map's cell in level-0 pixels: a whole window at the coarsest resolution of a slide of the finest.
pub const CELL_PX: f64 = WINDOW_PX as f64 * 320.0;
/// Coarsest and finest resolution worked at, in micrometres per pixel.
pub const MPP: std::ops::RangeInclusive<f64> = 0.05..=16.0;

/// The sum of counts, if neither it nor one of them is above [`COUNT`].
pub fn sum_of_counts(counts: impl IntoIterator<Item = u64>) -> Option<u64> {
    counts.into_iter().try_fold(0u64, |sum, n| sum.checked_add(n).filter(|sum| *sum <= COUNT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_counts_are_bounded_and_the_largest_cell_is_what_the_resolutions_allow() {
        assert_eq!(sum_of_counts([1, COUNT - 1]), Some(COUNT));
        assert!(sum_of_counts([1, COUNT]).is_none() && sum_of_counts([u64::MAX, 1]).is_none());
        assert!((CELL_PX / (f64::from(WINDOW_PX) * MPP.end() / MPP.start()) - 1.0).abs() < 1e-9);
    }
}
