//! Euler's method: one network call a step, first order. For rectified flow it is the same as DDIM without fresh noise.

use super::space::Space;
use crate::Result;

/// Integrates from `grid[0]` to its last time.
pub fn run<S: Space>(space: &mut S, mut x: S::X, grid: &[f64]) -> Result<S::X> {
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let v = space.velocity(&x, t)?;
        let z = space.ahead(&x, -t, &v);
        space.seen(i, &z)?;
        x = space.ahead(&x, s - t, &v);
    }
    Ok(x)
}
