//! DDIM (arXiv 2010.02502) for networks that predict noise on the discrete schedule of latent diffusion (arXiv 2112.10752), which the
//! published HTD networks do (design/method.md section 2). The reference is `ddim` in models/reference/htd.py.
//!
//! In: an [`EpsDenoiser`], reduced conditions, (seed, tile) an element. Out: latents with their spread. The schedule has 1000 steps,
//! x_t = sqrt(a_t) z + sqrt(1 - a_t) n, a_t the running product of 1 - beta_t. From a step to the next nearer the image, a' its a,
//!
//! ```text
//! z = (x - sqrt(1 - a) e) / sqrt(a)
//! x = sqrt(a') z + sqrt(1 - a' - s^2) e + s n,    s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a')
//! ```
//!
//! eta = 1 adds fresh noise at every step, the last one included; eta = 0 is deterministic. Fails when the network fails, returns
//! another shape, or the job is cancelled (checked at every network call).

use super::space::Watch;
use super::{Denoised, Spread};
use crate::condition::paper::Variant;
use crate::{Error, Job, Planes, Result, limits, rng};

/// Steps of the schedule the networks were trained on.
pub const TRAINED_STEPS: usize = 1000;
/// Square roots of the first and last beta.
const BETA_ROOTS: (f64, f64) = (0.0015, 0.0205);
/// First lane of the fresh noise, one a step: far from those of places and crops.
pub(super) const LANE: u32 = 0x1_0000;

/// A network that predicts the noise in x_t, with the part that reduces its condition.
pub trait EpsDenoiser: Send + Sync {
    /// SHA-256 over the weights, hex.
    fn sha256(&self) -> &str;
    /// Latent channels.
    fn channels(&self) -> usize;
    /// Which planes the condition has.
    fn variant(&self) -> Variant;
    /// Conditions `[c, h, w]` in pixels to what [`EpsDenoiser::eps`] takes, `[3, h/4, w/4]`. Once a tile.
    fn reduce(&self, conditions: &[Planes]) -> Result<Vec<Planes>>;
    /// The noise in a batch of latents `[c, h, w]` (h and w multiples of 4) at step `t` in 0..1000, each with its reduced condition.
    fn eps(&self, x: &[Planes], reduced: &[Planes], t: u32) -> Result<Vec<Planes>>;
}

/// betas = linspace(sqrt 0.0015, sqrt 0.0205, 1000)^2.
pub fn betas() -> impl Iterator<Item = f64> {
    let (a, b) = (BETA_ROOTS.0.sqrt(), BETA_ROOTS.1.sqrt());
    (0..TRAINED_STEPS).map(move |i| (a + (b - a) * i as f64 / (TRAINED_STEPS - 1) as f64).powi(2))
}

/// One step of the sampler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The step of the training schedule at which the network is called.
    pub t: u32,
    /// a of it.
    pub alpha: f64,
    /// a of the step after, nearer the image.
    pub next: f64,
    /// Standard deviation of the fresh noise.
    pub sigma: f64,
}

/// The steps from noise to image, evenly spaced: t = 1, 1 + c, 1 + 2 c ... below 1000 with c = 1000 / `steps` rounded down, in falling
/// order. So their number is `steps` only where that divides 1000, else somewhat more. Fails unless `steps` is 1..=1000 and `eta`
/// 0..=1.
pub fn schedule(steps: usize, eta: f64) -> Result<Vec<Step>> {
    if steps == 0 || steps > TRAINED_STEPS.min(limits::STEPS as usize) {
        return Err(Error::parameter("steps", format!("{steps} is not from 1 to {TRAINED_STEPS}"), "the published setting is 200"));
    }
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::parameter("eta", format!("{eta} is not from 0 to 1"), "the published setting is 1"));
    }
    let mut product = 1.0;
    let alphas: Vec<f64> = betas()
        .map(|beta| {
            product *= 1.0 - beta;
            product
        })
        .collect();
    let mut next = alphas.first().copied().unwrap_or(1.0);
    let mut out = Vec::new();
    for (t, alpha) in alphas.into_iter().enumerate().skip(1).step_by(TRAINED_STEPS / steps) {
        let sigma = eta * ((1.0 - next) / (1.0 - alpha) * (1.0 - alpha / next)).sqrt();
        out.push(Step { t: t as u32, alpha, next, sigma });
        next = alpha;
    }
    out.reverse();
    Ok(out)
}

/// The noise a network sees in a batch at a step.
pub type Eps<'a> = dyn FnMut(&[Planes], u32) -> Result<Vec<Planes>> + 'a;
/// Fresh standard normal numbers for a step (counted from 0) and an element of the batch, as many as it has values.
pub type Fresh<'a> = dyn FnMut(usize, usize) -> Vec<f32> + 'a;

/// Runs the steps; `watch` sees the predicted clean latents of each. Without sigma `fresh` is not called.
pub fn run(eps: &mut Eps<'_>, mut x: Vec<Planes>, steps: &[Step], fresh: &mut Fresh<'_>, watch: &mut Watch<'_>) -> Result<Vec<Planes>> {
    for (i, s) in steps.iter().enumerate() {
        let mut e = eps(&x, s.t)?;
        let (root, noise) = (s.alpha.sqrt(), (1.0 - s.alpha).sqrt());
        let (keep, toward) = (s.next.sqrt(), (1.0 - s.next - s.sigma * s.sigma).max(0.0).sqrt());
        for (item, (x, e)) in x.iter_mut().zip(&mut e).enumerate() {
            let new = if s.sigma > 0.0 { fresh(i, item) } else { Vec::new() };
            for (j, (x, e)) in x.data.iter_mut().zip(&mut e.data).enumerate() {
                let z = (f64::from(*x) - noise * f64::from(*e)) / root;
                let n = f64::from(new.get(j).copied().unwrap_or(0.0));
                *x = (keep * z + toward * f64::from(*e) + s.sigma * n) as f32;
                *e = z as f32; // the prediction, for `watch`
            }
        }
        watch(i, &e)?;
    }
    Ok(x)
}

/// Denoises a batch: one reduced condition and one (seed, tile) an element, whose noise depends on these two only. Counts batch x
/// steps items of the job's stage.
pub fn denoise(net: &dyn EpsDenoiser, reduced: &[Planes], tiles: &[(u64, u32)], steps: &[Step], job: &Job) -> Result<Vec<Denoised>> {
    if reduced.len() != tiles.len() {
        return Err(Error::internal(format!("{} conditions for {} tiles", reduced.len(), tiles.len())));
    }
    let c = net.channels();
    let size = |i: usize| reduced.get(i).map_or(0, Planes::area) * c;
    let drawn = |i: usize, lane: u32| tiles.get(i).map_or_else(Vec::new, |(seed, tile)| rng::noise(*seed, *tile, lane, size(i)));
    let start = reduced.iter().enumerate().map(|(i, r)| Planes::new(c, r.height, r.width, drawn(i, 0)));
    let start = start.collect::<Result<Vec<_>>>()?;
    let mut spread = Spread::new(steps.len(), &start);
    let mut watch = |step: usize, z: &[Planes]| {
        spread.see(step, z);
        job.advance(z.len() as u64);
        Ok(())
    };
    let mut eps = |x: &[Planes], t: u32| {
        job.check()?;
        let e = net.eps(x, reduced, t)?;
        let same = |(a, b): (&Planes, &Planes)| (a.channels, a.data.len()) == (b.channels, b.data.len());
        if e.len() != x.len() || !e.iter().zip(x).all(same) {
            return Err(Error::internal("the denoiser returned noise of another shape"));
        }
        Ok(e)
    };
    let latents = run(&mut eps, start, steps, &mut |step, i| drawn(i, LANE + step as u32), &mut watch)?;
    Ok(latents.into_iter().zip(spread.variance()).map(|(latents, spread)| Denoised { latents, spread, picture: None }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data distributed as N(mean, std^2) in every cell: the exact noise is sqrt(1 - a) (x - sqrt(a) mean) / (a std^2 + 1 - a).
    struct Gaussian {
        mean: f64,
        std: f64,
    }

    impl EpsDenoiser for Gaussian {
        fn sha256(&self) -> &str {
            "analytic"
        }
        fn channels(&self) -> usize {
            3
        }
        fn variant(&self) -> Variant {
            Variant { classes: 2, background: false }
        }
        fn reduce(&self, conditions: &[Planes]) -> Result<Vec<Planes>> {
            Ok(conditions.to_vec())
        }
        fn eps(&self, x: &[Planes], _: &[Planes], t: u32) -> Result<Vec<Planes>> {
            let a: f64 = betas().take(t as usize + 1).map(|b| 1.0 - b).product();
            let k = (1.0 - a).sqrt() / (a * self.std * self.std + 1.0 - a);
            let one = |p: &Planes| Planes {
                data: p.data.iter().map(|x| (k * (f64::from(*x) - a.sqrt() * self.mean)) as f32).collect(),
                ..p.clone()
            };
            Ok(x.iter().map(one).collect())
        }
    }

    fn made(steps: usize, eta: f64, tiles: u32) -> Vec<Denoised> {
        let tiles: Vec<(u64, u32)> = (0..tiles).map(|t| (5, t)).collect();
        let conditions = vec![Planes::zeros(3, 8, 8); tiles.len()];
        let net = Gaussian { mean: 0.7, std: 0.4 };
        denoise(&net, &conditions, &tiles, &schedule(steps, eta).unwrap(), &Job::new()).unwrap()
    }

    #[test]
    fn the_schedule_is_that_of_the_reference() {
        let s = schedule(200, 1.0).unwrap();
        assert_eq!((s.len(), s[0].t, s[199].t), (200, 996, 1));
        // printed by models/reference/goldens_htd.py
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        assert!(
            near(s[0].alpha, 0.0001031144093443122) && near(s[0].next, 0.00011427887914658769) && near(s[0].sigma, 0.31256017473891745)
        );
        assert!(near(s[99].alpha, 0.10678290900393723) && near(s[99].sigma, 0.20107902208796308));
        assert!(near(s[199].next, 0.9985) && near(s[199].sigma, 0.027433335352449108));
        assert!(s.iter().all(|s| s.t < 1000) && schedule(30, 1.0).unwrap().len() == 31, "1000 / 30 is 33, as published");
        assert_eq!(schedule(1000, 0.0).unwrap().len(), 999);
        for (steps, eta) in [(0, 1.0), (1001, 1.0), (10, -0.1), (10, f64::NAN)] {
            assert!(schedule(steps, eta).unwrap_err().to_string().contains("published"), "{steps} {eta}");
        }
    }

    #[test]
    fn without_fresh_noise_it_follows_the_closed_form() {
        // the flow maps x_T to mean + std (x_T - sqrt(a) mean) / sqrt(a std^2 + 1 - a)
        let start = rng::noise(5, 0, 0, 3 * 64);
        let error = |steps: usize| {
            let a = schedule(steps, 0.0).unwrap()[0].alpha;
            let exact = |x: f32| 0.7 + 0.4 * (f64::from(x) - a.sqrt() * 0.7) / (a * 0.16 + 1.0 - a).sqrt();
            let got = &made(steps, 0.0, 1)[0].latents;
            got.data.iter().zip(&start).map(|(g, x)| (f64::from(*g) - exact(*x)).abs()).fold(0.0, f64::max)
        };
        let (coarse, fine) = (error(50), error(500));
        assert!(fine < 0.01 && fine < coarse / 4.0, "errors {coarse} and {fine}");
    }

    #[test]
    fn with_fresh_noise_samples_have_the_mean_and_spread_of_the_data_and_depend_on_seed_and_tile_only() {
        let all = made(200, 1.0, 30);
        let values: Vec<f64> = all.iter().flat_map(|d| d.latents.data.iter().map(|v| f64::from(*v))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((mean - 0.7).abs() < 0.02 && (std - 0.4).abs() < 0.02, "mean {mean}, std {std}");
        assert_eq!(made(200, 1.0, 1)[0], all[0], "a tile alone");
        assert_ne!(made(200, 0.0, 1)[0], all[0]);
    }

    #[test]
    fn a_cancelled_job_stops_before_the_next_network_call() {
        let job = Job::new();
        job.cancel();
        let net = Gaussian { mean: 0.0, std: 1.0 };
        let made = denoise(&net, &[Planes::zeros(3, 4, 4)], &[(1, 0)], &schedule(10, 1.0).unwrap(), &job);
        assert!(matches!(made, Err(Error::Cancelled)));
    }
}
