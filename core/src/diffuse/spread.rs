//! How much the predicted clean latents still move near the end of sampling (S3 of design/flags.md, after arXiv 2406.09358).

use crate::Planes;

/// Share of the steps, counted from the end, that is looked at.
const TAIL: f64 = 0.3;

/// Running mean and squared deviation of the predictions of one batch (Welford's recurrence).
pub struct Spread {
    first: usize,
    steps: usize,
    seen: usize,
    mean: Vec<Planes>,
    squares: Vec<Planes>,
}

impl Spread {
    /// For `steps` steps over latents shaped like `x`: the last 30 % of them, two at least.
    pub fn new(steps: usize, x: &[Planes]) -> Self {
        let tail = ((steps as f64 * TAIL).ceil() as usize).max(2);
        let zeros = || x.iter().map(|p| Planes::zeros(p.channels, p.height, p.width)).collect();
        Self { first: steps.saturating_sub(tail), steps, seen: 0, mean: zeros(), squares: zeros() }
    }

    /// Whether it looks at the predictions of a step.
    pub fn wants(&self, step: usize) -> bool {
        (self.first..self.steps).contains(&step)
    }

    /// Takes the predictions of a step.
    pub fn see(&mut self, step: usize, z: &[Planes]) {
        if self.wants(step) {
            self.take(z);
        }
    }

    /// Takes predictions that it [`wants`](Self::wants).
    pub fn take(&mut self, z: &[Planes]) {
        self.seen += 1;
        let n = self.seen as f32;
        for ((z, mean), squares) in z.iter().zip(&mut self.mean).zip(&mut self.squares) {
            for ((z, m), s) in z.data.iter().zip(&mut mean.data).zip(&mut squares.data) {
                let d = z - *m;
                *m += d / n;
                *s += d * (z - *m);
            }
        }
    }

    /// Variance over the steps, averaged over the channels: one plane `[1, h, w]` an element of the batch.
    pub fn variance(&self) -> Vec<Planes> {
        if self.seen < 2 {
            // one prediction says nothing of settling
            let unknown = |p: &Planes| Planes { channels: 1, height: p.height, width: p.width, data: vec![f32::NAN; p.area()] };
            return self.squares.iter().map(unknown).collect();
        }
        let n = (self.seen.max(1) * self.squares.first().map_or(1, |p| p.channels.max(1))) as f32;
        let one = |p: &Planes| {
            let mut out = Planes::zeros(1, p.height, p.width);
            for c in 0..p.channels {
                for (o, s) in out.data.iter_mut().zip(p.plane(c)) {
                    *o += s / n;
                }
            }
            out
        };
        self.squares.iter().map(one).collect()
    }
}
