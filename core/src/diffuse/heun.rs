//! Heun's method: two network calls a step, second order. A step to t = 0 is Euler's, because the network has hardly seen t = 0 in
//! training (t = sigmoid(normal)); one step of first order leaves the whole of second order. `steps` counts intervals, so n steps
//! to t = 0 are 2 n - 1 calls. The reference is `solve` in models/reference/sample.py.

use super::sample::{Velocity, Watch, add, predicted};
use crate::{Planes, Result};

/// Integrates from `grid[0]` to its last time; `watch` sees the predicted clean latents of every step.
pub fn run(v: &mut Velocity<'_>, mut x: Vec<Planes>, grid: &[f64], watch: &mut Watch<'_>) -> Result<Vec<Planes>> {
    for (i, w) in grid.windows(2).enumerate() {
        let (t, s) = (w[0], w[1]);
        let a = v(&x, t)?;
        watch(i, &predicted(&x, &a, t))?;
        if s <= 0.0 {
            add(&mut x, s - t, &a);
            continue;
        }
        let mut y = x.clone();
        add(&mut y, s - t, &a);
        let b = v(&y, s)?;
        add(&mut x, 0.5 * (s - t), &a);
        add(&mut x, 0.5 * (s - t), &b);
    }
    Ok(x)
}
