//! Tokens of any width reduced to 64 channels. In: a width. Out: the matrix of a fixed random projection. Cannot fail.
//!
//! Rows are random signs (Achlioptas 2003, "Database-friendly random projections") made orthonormal, times sqrt(width / 64): the mean
//! over all such matrices of a squared distance is the distance itself, and a single one keeps distances to about 1 / sqrt(64) (the
//! lemma of Johnson and Lindenstrauss), so clusters stay where they are. Signs come from core's counter generator, and nothing but
//! sums, products, quotients and square roots in f64 follows: the matrix is the same on every machine.

use histoloom_core::rng::Stream;

/// Channels of a projected embedding.
pub const CHANNELS: usize = 64;
/// What the projection is called where weights are hashed; another name for another matrix.
pub const KIND: &str = "signs-64-orthonormal-1";
/// The matrix's seed.
const SEED: u64 = 64;

/// `[64, width]`, or none where there is nothing to reduce.
pub fn matrix(width: usize) -> Option<Vec<f32>> {
    if width <= CHANNELS {
        return None;
    }
    let mut stream = Stream::new(SEED, u32::try_from(width).unwrap_or(u32::MAX), 0);
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(CHANNELS);
    while rows.len() < CHANNELS {
        let mut row: Vec<f64> = (0..width).map(|_| if stream.word() & 1 == 0 { 1.0 } else { -1.0 }).collect();
        // twice, which makes rows orthogonal to rounding
        for other in rows.iter().chain(&rows) {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        // a row that depends on the others is drawn again
        if length > 1e-3 {
            row.iter_mut().for_each(|v| *v /= length);
            rows.push(row);
        }
    }
    let scale = (width as f64 / CHANNELS as f64).sqrt();
    Some(rows.iter().flatten().map(|v| (v * scale) as f32).collect())
}

#[cfg(test)]
mod tests {
    use histoloom_core::rng::noise;

    use super::*;

    #[test]
    fn rows_are_orthogonal_and_of_the_length_that_keeps_distances() {
        for width in [65, 128, 384, 1536] {
            let m = matrix(width).unwrap();
            for (i, a) in m.chunks_exact(width).enumerate() {
                for (j, b) in m.chunks_exact(width).enumerate() {
                    let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
                    let want = if i == j { width as f64 / CHANNELS as f64 } else { 0.0 };
                    assert!((dot - want).abs() < 1e-4, "{width}: rows {i} and {j}: {dot}");
                }
            }
        }
        assert!(matrix(64).is_none(), "nothing to reduce");
    }

    #[test]
    fn distances_stay_on_average_and_to_about_an_eighth() {
        let width = 384;
        let m = matrix(width).unwrap();
        let ratios: Vec<f64> = (0..400)
            .map(|i| {
                let x = noise(3, i, 0, width);
                let length = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
                let dot = |row: &[f32]| row.iter().zip(&x).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                length(&mut m.chunks_exact(width).map(dot)) / length(&mut x.iter().map(|v| f64::from(*v)))
            })
            .collect();
        let mean = ratios.iter().sum::<f64>() / 400.0;
        let spread = (ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 400.0).sqrt();
        assert!((mean - 1.0).abs() < 0.02 && spread < 0.125, "mean {mean}, spread {spread}");
    }

    #[test]
    fn the_matrix_never_changes() {
        let m = matrix(384).unwrap();
        let bits = m.iter().fold(0u32, |h, v| h.rotate_left(5).wrapping_mul(31) ^ v.to_bits());
        assert_eq!(bits, 2_645_060_035, "embeddings of saved atlases depend on it");
    }
}
