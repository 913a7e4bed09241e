//! Regions that keep the stain of their crops. In: a velocity and, by class, the mean latents of its crops. Out: the velocity whose
//! predicted clean latents have, region by region, means nearer to those.
//!
//! What a network decides at the first steps, when all is noise, is the mean of a region: its stain. There it leans towards the mean of
//! all it has seen, and guidance drives what it does decide further off. The crops say what the mean is. With z = x - t v the correction
//! z + d is v - d / t; d is the same for all cells of a class, so texture is left to the network. A region of few cells may differ from
//! its crops by chance, so d is weighed by n / (n + 16). It ends at t = 0.3: from there on means hardly move. In the manner of iterative
//! latent variable refinement (arXiv 2108.02938), which holds the low frequencies of every prediction to those of a reference.

use crate::Planes;

/// Cells at which half of the difference is corrected.
const HALF_CELLS: f64 = 16.0;
/// Lowest t at which means are corrected.
const LOWEST_T: f64 = 0.3;

/// What one tile is held to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Anchor {
    /// A group of cells and the mean of each channel that is wanted of it.
    pub regions: Vec<(Vec<usize>, Vec<f32>)>,
    /// Share of the difference that is corrected, 0..=1.
    pub share: f64,
}

impl Anchor {
    /// The cells of each class with the mean of its crops.
    pub fn new(labels: &[u8], wanted: Vec<(u8, Vec<f32>)>, share: f64) -> Self {
        let cells = |class: u8| labels.iter().enumerate().filter(|(_, l)| **l == class).map(|(i, _)| i).collect::<Vec<_>>();
        let regions = wanted.into_iter().map(|(class, mean)| (cells(class), mean)).filter(|(cells, _)| !cells.is_empty()).collect();
        Self { regions, share }
    }

    /// Corrects the velocity of `x` at `t`.
    pub(super) fn hold(&self, x: &Planes, v: &mut Planes, t: f64) {
        if t < LOWEST_T || self.share <= 0.0 {
            return;
        }
        let area = x.area();
        for (cells, wanted) in &self.regions {
            let n = cells.len() as f64;
            let weight = self.share * n / (n + HALF_CELLS);
            for (channel, wanted) in wanted.iter().enumerate().take(x.channels) {
                let at = |i: &usize| channel * area + i;
                let z = |i: &usize| f64::from(x.data[at(i)]) - t * f64::from(v.data[at(i)]);
                let missing = f64::from(*wanted) - cells.iter().map(z).sum::<f64>() / n;
                let correction = (weight * missing / t) as f32;
                cells.iter().for_each(|i| v.data[at(i)] -= correction);
            }
        }
    }
}

/// The mean of each channel over several latents.
pub fn mean(latents: &[&Planes]) -> Vec<f32> {
    let channels = latents.first().map_or(0, |z| z.channels);
    let cells: usize = latents.iter().map(|z| z.area()).sum();
    let sum = |c: usize| latents.iter().flat_map(|z| z.plane(c)).map(|v| f64::from(*v)).sum::<f64>();
    (0..channels).map(|c| (sum(c) / cells.max(1) as f64) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_move_to_those_wanted_and_the_texture_stays() {
        let x = Planes::new(2, 8, 8, crate::rng::noise(1, 0, 0, 128)).unwrap();
        let before = Planes::new(2, 8, 8, crate::rng::noise(2, 0, 0, 128)).unwrap();
        let labels: Vec<u8> = (0..64).map(|i| if i < 48 { 3 } else { 5 }).collect();
        let anchor = Anchor::new(&labels, vec![(3, vec![0.5, -1.0]), (9, vec![7.0, 7.0])], 1.0);
        let mut v = before.clone();
        anchor.hold(&x, &mut v, 0.8);
        let z = |v: &Planes, i: usize| x.data[i] - 0.8 * v.data[i];
        let mean_of = |v: &Planes, c: usize| (0..48).map(|i| z(v, c * 64 + i)).sum::<f32>() / 48.0;
        for (c, wanted) in [(0, 0.5), (1, -1.0)] {
            let expected = mean_of(&before, c) + 48.0 / 64.0 * (wanted - mean_of(&before, c));
            assert!((mean_of(&v, c) - expected).abs() < 1e-5, "three quarters of the way for 48 cells");
            let shift = z(&v, c * 64) - z(&before, c * 64);
            assert!((0..48).all(|i| (z(&v, c * 64 + i) - z(&before, c * 64 + i) - shift).abs() < 1e-5), "the same for every cell");
            assert!((48..64).all(|i| v.data[c * 64 + i] == before.data[c * 64 + i]), "other classes stay");
        }
        let mut late = before.clone();
        anchor.hold(&x, &mut late, 0.2);
        assert_eq!(late, before);
        assert_eq!(mean(&[&x, &before]).len(), 2);
    }
}
