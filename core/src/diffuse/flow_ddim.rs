//! DDIM (arXiv 2010.02502) for rectified flow: one network call a step, first order, with fresh noise of a chosen amount.
//!
//! In: a velocity, latents at `grid[0]`, eta in 0..=1, fresh normal numbers. Out: latents. With signal a = 1 - t and noise t in
//! place of the paper's square roots, z = x - t v the predicted latents, n = x + (1 - t) v the predicted noise, a step from t to s is
//!
//! ```text
//! x = (1 - s) z + sqrt(s^2 - d^2) n + d m,    d = eta (s / t) sqrt(t^2 - ((1 - t) / (1 - s))^2 s^2),    m fresh
//! ```
//!
//! the paper's eq. 12 and 16. eta = 0 is [`super::euler`] but for rounding; eta = 1 forgets the noise it began from step by step.

use super::ddim::Fresh;
use super::sample::{Velocity, Watch};
use crate::{Planes, Result};

/// Standard deviation of the fresh noise in the step from `t` to `s`.
pub fn deviation(t: f64, s: f64, eta: f64) -> f64 {
    let kept = (1.0 - t) / (1.0 - s) * s;
    eta * s / t * (t * t - kept * kept).max(0.0).sqrt()
}

/// Integrates from `grid[0]` to its last time; `watch` sees the predicted clean latents of every step. Without eta `fresh` is not called.
pub fn run(
    v: &mut Velocity<'_>,
    mut x: Vec<Planes>,
    grid: &[f64],
    eta: f64,
    fresh: &mut Fresh<'_>,
    watch: &mut Watch<'_>,
) -> Result<Vec<Planes>> {
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let d = deviation(t, s, eta);
        let toward = (s * s - d * d).max(0.0).sqrt();
        let mut a = v(&x, t)?;
        for (item, (x, a)) in x.iter_mut().zip(&mut a).enumerate() {
            let new = if d > 0.0 { fresh(i, item) } else { Vec::new() };
            for (j, (x, a)) in x.data.iter_mut().zip(&mut a.data).enumerate() {
                let (now, velocity) = (f64::from(*x), f64::from(*a));
                let (z, n) = (now - t * velocity, now + (1.0 - t) * velocity);
                let m = f64::from(new.get(j).copied().unwrap_or(0.0));
                *x = ((1.0 - s) * z + toward * n + d * m) as f32;
                *a = z as f32; // the prediction, for `watch`
            }
        }
        watch(i, &a)?;
    }
    Ok(x)
}
