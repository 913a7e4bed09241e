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

use super::space::{Renewal, Space};
use crate::Result;

/// Standard deviation of the fresh noise in the step from `t` to `s`.
pub fn deviation(t: f64, s: f64, eta: f64) -> f64 {
    let kept = (1.0 - t) / (1.0 - s) * s;
    eta * s / t * (t * t - kept * kept).max(0.0).sqrt()
}

/// Integrates from `grid[0]` to its last time.
pub fn run<S: Space>(space: &mut S, mut x: S::X, grid: &[f64], eta: f64) -> Result<S::X> {
    for (step, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let fresh = deviation(t, s, eta);
        let v = space.velocity(&x, t)?;
        let (next, z) = space.renewed(&x, &v, Renewal { step, t, s, kept: (s * s - fresh * fresh).max(0.0).sqrt(), fresh });
        space.seen(step, &z)?;
        x = next;
    }
    Ok(x)
}
