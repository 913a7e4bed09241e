//! Where the refiner takes over (experts for the last noise levels: arXiv 2307.01952, section 2.5). In: steps, where the path begins.
//! Out: the denoiser's times, which end at [`FROM`], and the refiner's two steps from there.
//!
//! At [`FROM`] layout and stain are there. What is left to invent is detail, and a network trained on squared errors gives the mean of
//! all details that may be; the refiner was trained to give one of them (models/reference/refiner.py), at these two times, with fresh noise
//! between them ([`flow_ddim`](super::flow_ddim) with eta 1) and without guidance.

use super::sample::times;

/// The first time of the refiner.
pub const FROM: f64 = 0.5;
/// Its steps.
const STEPS: usize = 2;

/// The times of the denoiser, which has `steps` steps, and of the refiner on a path that begins at `top`; the last of the one is the first
/// of the other. A path that begins at [`FROM`] or below is the refiner's alone.
pub fn grids(steps: usize, shift: f64, top: f64) -> (Vec<f64>, Vec<f64>) {
    let from = top.min(FROM);
    let before = if top > from { times(steps, shift) } else { vec![0.0] };
    (before.iter().map(|u| from + (top - from) * u).collect(), times(STEPS, 1.0).iter().map(|u| from * u).collect())
}

/// Steps of both together.
pub fn steps(steps: usize, top: f64) -> usize {
    let (before, own) = grids(steps, 1.0, top);
    before.len() + own.len() - 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denoiser_goes_to_the_half_and_the_refiner_on_from_there() {
        assert_eq!(grids(4, 1.0, 1.0), (vec![1.0, 0.875, 0.75, 0.625, 0.5], vec![0.5, 0.25, 0.0]));
        assert_eq!((steps(4, 1.0), steps(1, 1.0), steps(4, 0.5)), (6, 3, 2));
        let (before, own) = grids(2, 1.0, 0.6);
        assert!((before[1] - 0.55).abs() < 1e-9 && before[2] == 0.5 && own[0] == 0.5);
        assert_eq!((grids(9, 1.0, 0.4), steps(9, 0.4)), ((vec![0.4], vec![0.4, 0.2, 0.0]), 2));
    }
}
