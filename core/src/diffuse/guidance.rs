//! Classifier-free guidance (arXiv 2207.12598). In: noisy latents and a time. Out: v = vu + g (vc - vu), both passes in one batch.

use super::Denoiser;
use crate::{Error, Job, Planes, Result, condition};

/// The guided velocity of a batch with fixed conditions.
pub struct Field<'a> {
    denoiser: &'a dyn Denoiser,
    conditions: Vec<Planes>,
    guidance: f32,
    log2_mpp: f32,
    job: &'a Job,
}

impl<'a> Field<'a> {
    /// For conditions `[35, h, w]`, one an element of the batch. Guidance 1 never makes the unconditional pass, 0 never the
    /// conditional one.
    pub fn new(denoiser: &'a dyn Denoiser, conditions: &[Planes], guidance: f32, log2_mpp: f32, job: &'a Job) -> Self {
        let none = conditions.iter().map(|c| condition::unconditional(c.height, c.width));
        let conditions = match guidance {
            1.0 => conditions.to_vec(),
            0.0 => none.collect(),
            _ => conditions.iter().cloned().chain(none).collect(),
        };
        Self { denoiser, conditions, guidance, log2_mpp, job }
    }

    /// Velocities of `x` at time `t`. Fails when the job is cancelled or the network returns something else than asked.
    pub fn velocity(&self, x: &[Planes], t: f64) -> Result<Vec<Planes>> {
        self.job.check()?;
        let both = self.conditions.len() == 2 * x.len();
        let doubled: Vec<Planes>;
        let batch = if both {
            doubled = x.iter().chain(x).cloned().collect();
            &doubled[..]
        } else {
            x
        };
        let mut v = self.denoiser.velocity(batch, &self.conditions, t as f32, self.log2_mpp)?;
        check(batch, &v)?;
        if both {
            let free = v.split_off(x.len());
            for (c, u) in v.iter_mut().zip(free) {
                for (c, u) in c.data.iter_mut().zip(u.data) {
                    *c = u + self.guidance * (*c - u);
                }
            }
        }
        Ok(v)
    }
}

/// One velocity of the same shape for each element of the batch.
fn check(x: &[Planes], v: &[Planes]) -> Result<()> {
    let shape = |p: &Planes| (p.channels, p.height, p.width, p.data.len());
    if x.len() == v.len() && x.iter().zip(v).all(|(a, b)| shape(a) == shape(b)) {
        return Ok(());
    }
    Err(Error::internal(format!("the denoiser returned {} velocities of another shape for {} latents", v.len(), x.len())))
}
