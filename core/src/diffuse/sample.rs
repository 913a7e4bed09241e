//! From noise to latents. In: conditions, noise, settings. Out: latents with the spread of their last predictions.

use super::ddim::{Fresh, LANE};
use super::{Anchor, Denoiser, Field, Guidance, Spread, Start, dpmpp2m, euler, flow_ddim, heun, refine};
use crate::{Error, Job, Planes, Result, rng};

/// The velocity of a batch at a time.
pub type Velocity<'a> = dyn FnMut(&[Planes], f64) -> Result<Vec<Planes>> + 'a;
/// Sees the number of a step and the predicted clean latents.
pub type Watch<'a> = dyn FnMut(usize, &[Planes]) -> Result<()> + 'a;

/// Which sampler integrates the flow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// First order, one call a step.
    Euler,
    /// Second order, two calls a step.
    Heun,
    /// Second order, one call a step.
    Dpmpp2m,
    /// First order, one call a step, with this much fresh noise (eta, 0..=1).
    Ddim(f64),
}

impl Sampler {
    /// The sampler of a parameter value; `eta` is for ddim.
    pub fn named(name: &str, eta: f64) -> Result<Self> {
        match name {
            "euler" => Ok(Self::Euler),
            "heun" => Ok(Self::Heun),
            "dpmpp2m" => Ok(Self::Dpmpp2m),
            "ddim" => Ok(Self::Ddim(eta)),
            _ => Err(Error::parameter("sampler", format!("`{name}` is unknown"), "use euler, heun, dpmpp2m or ddim")),
        }
    }

    /// Integrates `v` over `grid`.
    fn run(self, v: &mut Velocity<'_>, x: Vec<Planes>, grid: &[f64], fresh: &mut Fresh<'_>, watch: &mut Watch<'_>) -> Result<Vec<Planes>> {
        match self {
            Self::Euler => euler::run(v, x, grid, watch),
            Self::Heun => heun::run(v, x, grid, watch),
            Self::Dpmpp2m => dpmpp2m::run(v, x, grid, watch),
            Self::Ddim(eta) => flow_ddim::run(v, x, grid, eta, fresh, watch),
        }
    }
}

/// How a batch is denoised.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The sampler.
    pub sampler: Sampler,
    /// Steps of the denoiser.
    pub steps: usize,
    /// Guidance.
    pub guidance: Guidance,
    /// Shift of the time grid, see [`times`].
    pub shift: f64,
    /// log2(mpp / 0.5).
    pub log2_mpp: f32,
}

/// A denoised element of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Denoised {
    /// Latents `[c, h, w]`. They may hold NaN if the network did: the caller withholds such a tile.
    pub latents: Planes,
    /// Variance of the predicted latents over the last 30 % of the denoiser's steps, averaged over channels, `[1, h, w]`.
    pub spread: Planes,
}

/// `steps + 1` times from 1 to 0: evenly spaced u, moved by t = shift u / (1 + (shift - 1) u) (arXiv 2403.03206, eq. 23); a shift of
/// 1 leaves them even, a larger one spends more steps near the noise.
pub fn times(steps: usize, shift: f64) -> Vec<f64> {
    let n = steps.max(1);
    (0..=n).map(|i| 1.0 - i as f64 / n as f64).map(|u| shift * u / (1.0 + (shift - 1.0) * u)).collect()
}

/// A batch to be denoised: one noise `[c, h, w]` and one condition `[56, h, w]` an element, and what all of them begin from.
pub struct Batch<'a> {
    /// Conditions.
    pub conditions: &'a [Planes],
    /// Noise.
    pub noise: Vec<Planes>,
    /// (seed, tile) an element: all that fresh noise of later steps depends on.
    pub tiles: &'a [(u64, u32)],
    /// Real tissue to begin from, one an element; empty where all begin from noise alone.
    pub start: &'a [Start],
    /// What the means of their regions are held to, one an element; empty where nothing is.
    pub anchors: &'a [Anchor],
}

/// Denoises a batch. Elements never influence each other here, so a tile does not depend on its batch as long as the network's
/// samples do not. A refiner takes the last steps ([`refine`]). Counts batch x steps items of the job's stage; `watch` sees the predicted
/// clean latents of every step.
pub fn denoise(
    denoiser: &dyn Denoiser,
    refiner: Option<&dyn Denoiser>,
    batch: Batch<'_>,
    settings: &Settings,
    job: &Job,
    watch: &mut Watch<'_>,
) -> Result<Vec<Denoised>> {
    let Batch { conditions, noise, tiles, start, anchors } = batch;
    if (conditions.len(), tiles.len()) != (noise.len(), noise.len()) {
        return Err(Error::internal(format!("{} conditions and {} tiles for {} latents", conditions.len(), tiles.len(), noise.len())));
    }
    if !start.is_empty() && start.len() != noise.len() {
        return Err(Error::internal(format!("{} beginnings for {} latents", start.len(), noise.len())));
    }
    start.iter().zip(&noise).try_for_each(|(s, n)| s.check(n))?;
    let field = Field::new(denoiser, conditions, settings.guidance, settings.log2_mpp, job);
    let top = start.first().map_or(1.0, |s| s.strength);
    let (grid, last) = match refiner {
        Some(_) => refine::grids(settings.steps, settings.shift, top),
        None => (times(settings.steps, settings.shift).iter().map(|t| top * t).collect(), Vec::new()),
    };
    let before = grid.len() - 1;
    // predictions of one network: the refiner's differ from the denoiser's by what it is there for
    let judged = if before > 0 { before } else { last.len().saturating_sub(1) };
    let mut spread = Spread::new(judged, &noise);
    let items = noise.len() as u64;
    let mut see = |step: usize, z: &[Planes]| {
        if step < judged {
            spread.see(step, z);
        }
        job.advance(items);
        watch(step, z)
    };
    let x = if start.is_empty() { noise.clone() } else { start.iter().zip(&noise).map(|(s, n)| s.begin(n)).collect() };
    let held = |field: &Field<'_>, x: &[Planes], t: f64| {
        let mut v = field.velocity(x, t)?;
        anchors.iter().zip(x.iter().zip(&mut v)).for_each(|(a, (x, v))| a.hold(x, v, t));
        start.iter().zip(x.iter().zip(&mut v)).for_each(|(s, (x, v))| s.pin(x, v, t));
        Ok(v)
    };
    let mut fresh = |step: usize, i: usize| {
        let drawn = |((seed, tile), n): (&(u64, u32), &Planes)| rng::noise(*seed, *tile, LANE + step as u32, n.data.len());
        tiles.get(i).zip(noise.get(i)).map_or_else(Vec::new, drawn)
    };
    let mut latents = settings.sampler.run(&mut |x, t| held(&field, x, t), x, &grid, &mut fresh, &mut see)?;
    if let Some(refiner) = refiner {
        // who asked for no crops gets none here either
        let guidance = Guidance::of(if settings.guidance.scale == 0.0 { 0.0 } else { 1.0 });
        let field = Field::new(refiner, conditions, guidance, settings.log2_mpp, job);
        let mut fresh = |step: usize, item: usize| fresh(before + step, item);
        let mut see = |step: usize, z: &[Planes]| see(before + step, z);
        latents = flow_ddim::run(&mut |x, t| held(&field, x, t), latents, &last, 1.0, &mut fresh, &mut see)?;
    }
    Ok(latents.into_iter().zip(spread.variance()).map(|(latents, spread)| Denoised { latents, spread }).collect())
}

/// Adds `k * v` to `x`.
pub(super) fn add(x: &mut [Planes], k: f64, v: &[Planes]) {
    let k = k as f32;
    for (x, v) in x.iter_mut().zip(v) {
        for (x, v) in x.data.iter_mut().zip(&v.data) {
            *x += k * v;
        }
    }
}

/// The clean latents a velocity stands for: z = x - t v.
pub(super) fn predicted(x: &[Planes], v: &[Planes], t: f64) -> Vec<Planes> {
    let mut z = x.to_vec();
    add(&mut z, -t, v);
    z
}
