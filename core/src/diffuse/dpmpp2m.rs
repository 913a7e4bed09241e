//! DPM-Solver++ (2M), arXiv 2211.01095 algorithm 2, for rectified flow: one network call a step, second order.
//!
//! With alpha = 1 - t and sigma = t, lambda = log(alpha / sigma) = log((1 - t) / t). The exact solution between t and s is
//! x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda z(lambda); with z linear in lambda, h = lambda_s - lambda_t and
//! r = h_before / h it becomes
//!     x_s = (s / t) x_t - (1 - s) (e^-h - 1) D,    D = z + (z - z_before) / (2 r).
//! As e^-h = s (1 - t) / (t (1 - s)), the factor of D is 1 - s / t, which is finite at both ends. At t = 1 and after it (h or
//! h_before infinite) and in a step to t = 0 (h infinite) the formula degenerates to first order, D = z.

use super::sample::{Velocity, Watch, predicted};
use crate::{Planes, Result};

/// Integrates from `grid[0]` to its last time; `watch` sees the predicted clean latents of every step.
pub fn run(v: &mut Velocity<'_>, mut x: Vec<Planes>, grid: &[f64], watch: &mut Watch<'_>) -> Result<Vec<Planes>> {
    let mut before: Option<(f64, Vec<Planes>)> = None; // step in lambda, predicted z
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let a = v(&x, t)?;
        let z = predicted(&x, &a, t);
        watch(i, &z)?;
        let h = log_snr(s) - log_snr(t);
        let extra = before.as_ref().map_or(0.0, |(h_before, _)| extrapolation(h, *h_before));
        let (keep, take) = (s / t, 1.0 - s / t);
        for (n, x) in x.iter_mut().enumerate() {
            let old = before.as_ref().map_or(&z[n], |b| &b.1[n]);
            for ((x, z), o) in x.data.iter_mut().zip(&z[n].data).zip(&old.data) {
                let d = f64::from(*z) + extra * f64::from(*z - *o);
                *x = (keep * f64::from(*x) + take * d) as f32;
            }
        }
        before = Some((h, z));
    }
    Ok(x)
}

/// lambda of a time; infinite at both ends.
fn log_snr(t: f64) -> f64 {
    ((1.0 - t) / t).ln()
}

/// 1 / (2 r), or 0 where the step is of first order.
fn extrapolation(h: f64, before: f64) -> f64 {
    if h.is_finite() && before.is_finite() && before > 0.0 { h / (2.0 * before) } else { 0.0 }
}
