//! Euler's method: one network call a step, first order. For rectified flow it is the same as DDIM without fresh noise.

use super::sample::{Velocity, Watch, add, predicted};
use crate::{Planes, Result};

/// Integrates from `grid[0]` to its last time; `watch` sees the predicted clean latents of every step.
pub fn run(v: &mut Velocity<'_>, mut x: Vec<Planes>, grid: &[f64], watch: &mut Watch<'_>) -> Result<Vec<Planes>> {
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let a = v(&x, t)?;
        watch(i, &predicted(&x, &a, t))?;
        add(&mut x, s - t, &a);
    }
    Ok(x)
}
