//! DPM-Solver++ (2M), arXiv 2211.01095 algorithm 2, for rectified flow: one network call a step, second order.
//!
//! With alpha = 1 - t and sigma = t, lambda = log(alpha / sigma) = log((1 - t) / t). The exact solution between t and s is
//! x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda z(lambda); with z linear in lambda, h = lambda_s - lambda_t and
//! r = h_before / h it becomes
//!     x_s = (s / t) x_t - (1 - s) (e^-h - 1) D,    D = z + (z - z_before) / (2 r).
//! As e^-h = s (1 - t) / (t (1 - s)), the factor of D is 1 - s / t, which is finite at both ends. At t = 1 and after it (h or
//! h_before infinite) and in a step to t = 0 (h infinite) the formula degenerates to first order, D = z.

use super::space::Space;
use crate::Result;

/// Integrates from `grid[0]` to its last time.
pub fn run<S: Space>(space: &mut S, mut x: S::X, grid: &[f64]) -> Result<S::X> {
    let mut before: Option<(f64, S::X)> = None; // step in lambda, predicted z
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let v = space.velocity(&x, t)?;
        let z = space.ahead(&x, -t, &v);
        space.seen(i, &z)?;
        let h = log_snr(s) - log_snr(t);
        let extra = before.as_ref().map_or(0.0, |(h_before, _)| extrapolation(h, *h_before));
        x = space.multistep(&x, &z, before.as_ref().map_or(&z, |b| &b.1), [s / t, 1.0 - s / t, extra]);
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
