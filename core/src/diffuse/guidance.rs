//! Classifier-free guidance (arXiv 2207.12598). In: noisy latents and a time. Out: v = vu + g (vc - vu), both passes in one batch.
//!
//! Two refinements: only inside an interval of t (arXiv 2404.07724: near the noise guidance does harm, near the end nothing), outside
//! of which the conditional pass runs alone and costs half; and rescaling (arXiv 2305.08891, section 3.4), which brings the spread of
//! the guided prediction back towards that of the conditional one, against saturated colours.

use super::Denoiser;
use super::tape::Asked;
use crate::{Error, Job, Planes, Result, condition};

/// How strongly, how and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// Scale g; 1 = conditional only, 0 = unconditional only.
    pub scale: f32,
    /// Share phi in 0..=1 of the rescaled prediction; 0 = none.
    pub rescale: f32,
    /// Lowest and highest t at which the scale holds.
    pub interval: (f64, f64),
}

impl Guidance {
    /// At all times, without rescaling.
    pub fn of(scale: f32) -> Self {
        Self { scale, rescale: 0.0, interval: (0.0, 1.0) }
    }

    /// That of the refiner: none, and who asked for no crops gets none from it either.
    pub(super) fn of_refiner(&self) -> Self {
        Self::of(if self.scale == 0.0 { 0.0 } else { 1.0 })
    }

    /// What the network is told at t.
    pub(super) fn asked(&self, t: f64) -> Asked {
        match self.scale {
            0.0 => Asked::Nothing,
            _ if self.acts(t) => Asked::Both,
            _ => Asked::Given,
        }
    }

    /// Whether both passes are needed at t.
    fn acts(&self, t: f64) -> bool {
        self.scale != 1.0 && self.scale != 0.0 && (self.interval.0..=self.interval.1).contains(&t)
    }
}

/// The guided velocity of a batch with fixed conditions.
pub struct Field<'a> {
    denoiser: &'a dyn Denoiser,
    /// Conditions; with guidance the unconditional ones behind them.
    conditions: Vec<Planes>,
    asked: usize,
    guidance: Guidance,
    log2_mpp: f32,
    job: &'a Job,
}

impl<'a> Field<'a> {
    /// For conditions `[56, h, w]`, one an element of the batch. Scale 1 never makes the unconditional pass, 0 never the
    /// conditional one.
    pub fn new(denoiser: &'a dyn Denoiser, conditions: &[Planes], guidance: Guidance, log2_mpp: f32, job: &'a Job) -> Self {
        let none = conditions.iter().map(|c| condition::unconditional(c.height, c.width));
        let asked = conditions.len();
        let conditions = match guidance.scale {
            1.0 => conditions.to_vec(),
            0.0 => none.collect(),
            _ => conditions.iter().cloned().chain(none).collect(),
        };
        Self { denoiser, conditions, asked, guidance, log2_mpp, job }
    }

    /// Velocities of `x` at time `t`. Fails when the job is cancelled or the network returns something else than asked.
    pub fn velocity(&self, x: &[Planes], t: f64) -> Result<Vec<Planes>> {
        self.job.check()?;
        if x.len() != self.asked {
            return Err(Error::internal(format!("{} latents for {} conditions", x.len(), self.asked)));
        }
        if !self.guidance.acts(t) {
            return self.network(x, &self.conditions[..self.asked], t);
        }
        let doubled: Vec<Planes> = x.iter().chain(x).cloned().collect();
        let mut v = self.network(&doubled, &self.conditions, t)?;
        let free = v.split_off(x.len());
        for (c, u) in v.iter_mut().zip(&free) {
            self.guide(c, u);
        }
        Ok(v)
    }

    /// Replaces the conditional velocity by the guided one.
    fn guide(&self, c: &mut Planes, u: &Planes) {
        let g = self.guidance;
        let spread = deviation(&c.data);
        for (c, u) in c.data.iter_mut().zip(&u.data) {
            *c = u + g.scale * (*c - u);
        }
        if g.rescale > 0.0 {
            let now = deviation(&c.data);
            let factor = if now > 0.0 { g.rescale * (spread / now) as f32 + 1.0 - g.rescale } else { 1.0 };
            c.data.iter_mut().for_each(|v| *v *= factor);
        }
    }

    fn network(&self, x: &[Planes], conditions: &[Planes], t: f64) -> Result<Vec<Planes>> {
        let v = self.denoiser.velocity(x, conditions, t as f32, self.log2_mpp)?;
        check(x, &v)?;
        Ok(v)
    }
}

/// Standard deviation over all values.
fn deviation(values: &[f32]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// One velocity of the same shape for each element of the batch.
fn check(x: &[Planes], v: &[Planes]) -> Result<()> {
    let shape = |p: &Planes| (p.channels, p.height, p.width, p.data.len());
    if x.len() == v.len() && x.iter().zip(v).all(|(a, b)| shape(a) == shape(b)) {
        return Ok(());
    }
    Err(Error::internal(format!("the denoiser returned {} velocities of another shape for {} latents", v.len(), x.len())))
}
