//! Rows of numbers to classes. In: `[n, c]` rows (f32, row-major) and k. Out: centroids, the nearest centroid of each row, and a
//! [`Hierarchy`] whose cuts at any k are nested.
//! Fails if cancelled, or with fewer distinct rows than k. The result depends on rows, k and seed only: sums run over chunks of fixed
//! size whose partial sums are added in order, so every thread count gives the same bits.

pub mod choice;
mod descent;
mod hierarchy;
mod kmeans;
mod packed;

pub use descent::{Classes, Descent};
pub use hierarchy::{Hierarchy, Join};
pub use kmeans::{Centroids, Model, fit, lloyd, quick};

/// Rows of one length, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// All values.
    pub data: &'a [f32],
    /// Length of a row.
    pub channels: usize,
}

impl<'a> Rows<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.channels.max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// One row.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.channels..][..self.channels]
    }
}

/// Squared Euclidean distance, in eight fixed lanes so that it is fast and always adds in the same order.
#[inline(always)] // into loops that are compiled for this machine
pub fn distance2(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            let d = x[i] - y[i];
            lanes[i] += d * d;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
