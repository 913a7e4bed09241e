//! From noise to latents. In: conditions, noise, settings. Out: latents with the spread of their last predictions.

use image::RgbImage;

use super::ddim::LANE;
use super::space::{Host, Space, Watch};
use super::tape::{Played, Recorder};
use super::{Anchor, Denoiser, Field, Guidance, LatentCodec, Spread, Start, dpmpp2m, euler, flow_ddim, heun, refine, windows};
use crate::{Error, Job, Planes, Result, rng};

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

    /// Integrates over `grid`.
    fn run<S: Space>(self, space: &mut S, x: S::X, grid: &[f64]) -> Result<S::X> {
        match self {
            Self::Euler => euler::run(space, x, grid),
            Self::Heun => heun::run(space, x, grid),
            Self::Dpmpp2m => dpmpp2m::run(space, x, grid),
            Self::Ddim(eta) => flow_ddim::run(space, x, grid, eta),
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
    /// The latents decoded, where that was done on the way.
    pub picture: Option<RgbImage>,
}

/// `steps + 1` times from 1 to 0: evenly spaced u, moved by t = shift u / (1 + (shift - 1) u) (arXiv 2403.03206, eq. 23); a shift of
/// 1 leaves them even, a larger one spends more steps near the noise.
pub fn times(steps: usize, shift: f64) -> Vec<f64> {
    let n = steps.max(1);
    (0..=n).map(|i| 1.0 - i as f64 / n as f64).map(|u| shift * u / (1.0 + (shift - 1.0) * u)).collect()
}

/// The networks of a way from noise to latents.
#[derive(Clone, Copy)]
pub struct Networks<'a> {
    /// The denoiser.
    pub denoiser: &'a dyn Denoiser,
    /// Takes the last steps ([`refine`]).
    pub refiner: Option<&'a dyn Denoiser>,
    /// Where it is given, a device may go the whole way and decode without coming back in between; no step is watched then.
    pub codec: Option<&'a dyn LatentCodec>,
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

impl Batch<'_> {
    /// The fresh noise of a step for an element.
    pub(super) fn fresh(&self, step: usize, i: usize) -> Vec<f32> {
        let drawn = |((seed, tile), n): (&(u64, u32), &Planes)| rng::noise(*seed, *tile, LANE + step as u32, n.data.len());
        self.tiles.get(i).zip(self.noise.get(i)).map_or_else(Vec::new, drawn)
    }
}

/// Denoises a batch. Elements never influence each other here, so a tile does not depend on its batch as long as the network's
/// samples do not. Counts batch x steps items of the job's stage; `watch` sees the predicted
/// clean latents of every step.
pub fn denoise(nets: Networks<'_>, batch: &Batch<'_>, settings: &Settings, job: &Job, watch: &mut Watch<'_>) -> Result<Vec<Denoised>> {
    let Networks { denoiser, refiner, .. } = nets;
    let Batch { conditions, noise, tiles, start, anchors } = batch;
    if (conditions.len(), tiles.len()) != (noise.len(), noise.len()) {
        return Err(Error::internal(format!("{} conditions and {} tiles for {} latents", conditions.len(), tiles.len(), noise.len())));
    }
    if !start.is_empty() && start.len() != noise.len() {
        return Err(Error::internal(format!("{} beginnings for {} latents", start.len(), noise.len())));
    }
    start.iter().zip(noise).try_for_each(|(s, n)| s.check(n))?;
    let top = start.first().map_or(1.0, |s| s.strength);
    let (grid, last) = match refiner {
        Some(_) => refine::grids(settings.steps, settings.shift, top),
        None => (times(settings.steps, settings.shift).iter().map(|t| top * t).collect(), Vec::new()),
    };
    let before = grid.len() - 1;
    // predictions of one network: the refiner's differ from the denoiser's by what it is there for
    let judged = if before > 0 { before } else { last.len().saturating_sub(1) };
    let mut spread = Spread::new(judged, noise);
    let items = noise.len() as u64;
    if let Some(done) = played(nets, batch, settings, (&grid, &last), &mut spread, job) {
        return done;
    }
    let field = Field::new(denoiser, conditions, settings.guidance, settings.log2_mpp, job);
    let mut see = |step: usize, z: &[Planes]| {
        spread.see(step, z);
        job.advance(items);
        watch(step, z)
    };
    let x = if start.is_empty() { noise.clone() } else { start.iter().zip(noise).map(|(s, n)| s.begin(n)).collect() };
    let held = |field: &Field<'_>, x: &[Planes], t: f64| {
        let mut v = field.velocity(x, t)?;
        anchors.iter().zip(x.iter().zip(&mut v)).for_each(|(a, (x, v))| a.hold(x, v, t));
        start.iter().zip(x.iter().zip(&mut v)).for_each(|(s, (x, v))| s.pin(x, v, t));
        Ok(v)
    };
    let mut host = Host { velocity: &mut |x, t| held(&field, x, t), fresh: &mut |step, i| batch.fresh(step, i), watch: &mut see };
    let mut latents = settings.sampler.run(&mut host, x, &grid)?;
    if let Some(refiner) = refiner {
        let field = Field::new(refiner, conditions, settings.guidance.of_refiner(), settings.log2_mpp, job);
        let mut host = Host {
            velocity: &mut |x, t| held(&field, x, t),
            fresh: &mut |step, i| batch.fresh(before + step, i),
            watch: &mut |step, z| see(before + step, z),
        };
        latents = flow_ddim::run(&mut host, latents, &last, 1.0)?;
    }
    let one = |(latents, spread)| Denoised { latents, spread, picture: None };
    Ok(latents.into_iter().zip(spread.variance()).map(one).collect())
}

/// The same by a device in one go, where there is one that does and nothing has to be seen or held on the way.
fn played(
    nets: Networks<'_>,
    batch: &Batch<'_>,
    settings: &Settings,
    (grid, last): (&[f64], &[f64]),
    spread: &mut Spread,
    job: &Job,
) -> Option<Result<Vec<Denoised>>> {
    let codec = nets.codec?;
    let fits = |n: &Planes| n.height <= windows::SIDE && n.width <= windows::SIDE;
    let free = batch.start.is_empty() && batch.anchors.is_empty() && settings.guidance.rescale <= 0.0;
    if !free || batch.noise.is_empty() || !batch.noise.iter().all(fits) {
        return None;
    }
    let play = || -> Result<Option<(Played, usize)>> {
        job.check()?;
        let mut recorder = Recorder::new(batch, settings, spread);
        recorder.tape.end = settings.sampler.run(&mut recorder, 0, grid)?;
        if nets.refiner.is_some() {
            let x = recorder.tape.end;
            recorder.hand_to_refiner(grid.len() - 1);
            recorder.tape.end = flow_ddim::run(&mut recorder, x, last, 1.0)?;
        }
        let (tape, steps) = (recorder.tape, recorder.steps);
        Ok(nets.denoiser.play(&tape, nets.refiner, codec).transpose()?.map(|played| (played, steps)))
    };
    let (played, steps) = match play() {
        Ok(done) => done?,
        Err(Error::Cancelled) => return Some(Err(Error::Cancelled)),
        Err(e) => {
            // the steps tell a lost device, and withhold alone what is not a number
            log::warn!("tiles could not be made in one go and are made step by step: {e}");
            return None;
        }
    };
    let n = batch.noise.len();
    let same = |p: &Vec<Planes>| p.len() == n && p.iter().zip(&batch.noise).all(|(p, n)| p.data.len() == n.data.len());
    if !same(&played.latents) || !played.predictions.iter().all(same) || played.pictures.len() != n {
        return Some(Err(Error::internal("the device played something else than the tape")));
    }
    job.advance((n * steps) as u64);
    played.predictions.iter().for_each(|z| spread.take(z));
    let made = played.latents.into_iter().zip(played.pictures).zip(spread.variance());
    Some(Ok(made.map(|((latents, picture), spread)| Denoised { latents, spread, picture: Some(picture) }).collect()))
}
