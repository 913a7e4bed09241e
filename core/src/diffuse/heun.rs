//! Heun's method: two network calls a step, second order. A step to t = 0 is Euler's, because the network has hardly seen t = 0 in
//! training (t = sigmoid(normal)); one step of first order leaves the whole of second order. `steps` counts intervals, so n steps
//! to t = 0 are 2 n - 1 calls. The reference is `solve` in models/reference/sample.py.

use super::space::Space;
use crate::Result;

/// Integrates from `grid[0]` to its last time.
pub fn run<S: Space>(space: &mut S, mut x: S::X, grid: &[f64]) -> Result<S::X> {
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let a = space.velocity(&x, t)?;
        let z = space.ahead(&x, -t, &a);
        space.seen(i, &z)?;
        let y = space.ahead(&x, s - t, &a);
        if s <= 0.0 {
            x = y;
            continue;
        }
        let b = space.velocity(&y, s)?;
        let half = space.ahead(&x, 0.5 * (s - t), &a);
        x = space.ahead(&half, 0.5 * (s - t), &b);
    }
    Ok(x)
}
