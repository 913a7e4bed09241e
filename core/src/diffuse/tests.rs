use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{Error, Job, condition, rng};

/// Data distributed as N(mean, std^2) in every cell, where the mean is the condition's first plane. The exact velocity is
/// E[n - z | x] with Var x = (1 - t)^2 std^2 + t^2, and the flow maps noise n to mean + std n.
struct Gaussian {
    std: f64,
    calls: AtomicUsize,
    largest: AtomicUsize,
    stop: Option<(usize, std::sync::Arc<Job>)>,
}

impl Gaussian {
    fn new(std: f64) -> Self {
        Self { std, calls: 0.into(), largest: 0.into(), stop: None }
    }
}

impl Denoiser for Gaussian {
    fn sha256(&self) -> &str {
        "analytic"
    }
    fn channels(&self) -> usize {
        2
    }
    fn condition_channels(&self) -> usize {
        condition::CHANNELS
    }
    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, _: f32) -> Result<Vec<Planes>> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.largest.fetch_max(x.len(), Ordering::SeqCst);
        if let Some((at, job)) = &self.stop
            && n == *at
        {
            job.cancel();
        }
        assert_eq!(x.len(), condition.len());
        let (t, var) = (f64::from(t), self.std * self.std);
        let total = (1.0 - t) * (1.0 - t) * var + t * t;
        let one = |(x, c): (&Planes, &Planes)| {
            let mut v = x.clone();
            let area = x.area();
            for (i, v) in v.data.iter_mut().enumerate() {
                let mean = f64::from(c.data[i % area]);
                let d = f64::from(*v) - (1.0 - t) * mean;
                *v = (d * t / total - mean - d * (1.0 - t) * var / total) as f32;
            }
            v
        };
        Ok(x.iter().zip(condition).map(one).collect())
    }
}

fn alone(denoiser: &dyn Denoiser) -> Networks<'_> {
    Networks { denoiser, refiner: None, codec: None }
}

fn made(net: &dyn Denoiser, conditions: &[Planes], noise: Vec<Planes>, set: &Settings, job: &Job) -> crate::Result<Vec<Denoised>> {
    let tiles: Vec<(u64, u32)> = (0..noise.len() as u32).map(|t| (11, t)).collect();
    denoise(alone(net), &Batch { conditions, noise, tiles: &tiles, start: &[], anchors: &[] }, set, job, &mut |_, _| Ok(()))
}

const N: usize = 2 * 8 * 8;
const ALL: [Sampler; 5] = [Sampler::Euler, Sampler::Heun, Sampler::Dpmpp2m, Sampler::Ddim(0.0), Sampler::Ddim(1.0)];

fn noise(tile: u32) -> Planes {
    Planes::new(2, 8, 8, rng::noise(11, tile, 0, N)).unwrap()
}

fn asked_for(mean: f32) -> Planes {
    let mut c = condition::unconditional(8, 8);
    c.plane_mut(0).fill(mean);
    c
}

fn settings(sampler: Sampler, steps: usize, guidance: f32) -> Settings {
    Settings { sampler, steps, guidance: Guidance::of(guidance), shift: 1.0, log2_mpp: 0.0 }
}

/// Largest distance from the closed form.
fn error(sampler: Sampler, steps: usize, shift: f64, std: f64) -> f64 {
    let set = Settings { shift, ..settings(sampler, steps, 1.0) };
    let out = made(&Gaussian::new(std), &[asked_for(0.7)], vec![noise(0)], &set, &Job::new()).unwrap();
    let exact = noise(0).data.into_iter().map(|n| 0.7 + std * f64::from(n));
    out[0].latents.data.iter().zip(exact).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

#[test]
fn samplers_reach_the_closed_form_at_their_order() {
    for (sampler, order) in [(Sampler::Euler, 0.9), (Sampler::Heun, 1.8), (Sampler::Dpmpp2m, 1.6), (Sampler::Ddim(0.0), 0.9)] {
        for shift in [1.0, 2.0] {
            // dpmpp2m carries a factor log n, and its error changes sign at few steps
            let e: Vec<f64> = [80, 160, 320].iter().map(|n| error(sampler, *n, shift, 0.5)).collect();
            let seen = (e[0] / e[2]).log2() / 2.0;
            assert!(seen > order, "{sampler:?}, shift {shift}: order {seen:.2}, errors {e:?}");
        }
    }
    let (euler, heun, dpm) =
        (error(Sampler::Euler, 20, 1.0, 0.5), error(Sampler::Heun, 20, 1.0, 0.5), error(Sampler::Dpmpp2m, 20, 1.0, 0.5));
    assert!(heun < euler / 10.0 && dpm < euler / 3.0, "errors at 20 steps: euler {euler:.4} heun {heun:.4} dpmpp2m {dpm:.4}");
}

#[test]
fn the_final_distribution_has_the_mean_and_spread_of_the_data() {
    for sampler in ALL {
        let x: Vec<Planes> = (0..40).map(noise).collect();
        let c = vec![asked_for(-1.5); x.len()];
        let out = made(&Gaussian::new(0.3), &c, x, &settings(sampler, 50, 1.0), &Job::new()).unwrap();
        let all: Vec<f64> = out.iter().flat_map(|d| d.latents.data.iter().map(|v| f64::from(*v))).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let std = (all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
        assert!((mean + 1.5).abs() < 0.02 && (std - 0.3).abs() < 0.03, "{sampler:?}: mean {mean:.3}, std {std:.3}");
    }
}

#[test]
fn ddim_without_fresh_noise_is_eulers_method_and_with_it_forgets_where_it_began() {
    let run = |sampler, first: u32| {
        made(&Gaussian::new(0.5), &[asked_for(0.7)], vec![noise(first)], &settings(sampler, 50, 1.0), &Job::new())
            .unwrap()
            .remove(0)
            .latents
    };
    let apart = |a: &Planes, b: &Planes| a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    let (euler, still) = (run(Sampler::Euler, 0), run(Sampler::Ddim(0.0), 0));
    assert!(apart(&euler, &still) < 1e-5);
    let correlation = |a: &Planes, b: &Planes| {
        let (m, n) = (a.data.iter().sum::<f32>() / N as f32, b.data.iter().sum::<f32>() / N as f32);
        let sum = |f: &dyn Fn(f32, f32) -> f32| a.data.iter().zip(&b.data).map(|(a, b)| f(a - m, b - n)).sum::<f32>();
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    };
    // the exact posterior: from t to s the noise kept is sqrt(s^2 - d^2) / t of what it was, times the next steps'
    assert!(correlation(&euler, &run(Sampler::Ddim(1.0), 0)).abs() < 0.3, "eta 1");
    assert!(correlation(&euler, &run(Sampler::Ddim(0.2), 0)) > 0.7, "eta 0.2");
    // both noises anew, same fresh noise: with eta 1 the beginning hardly matters
    assert!(correlation(&run(Sampler::Ddim(1.0), 0), &run(Sampler::Ddim(1.0), 1)) > 0.7);
    assert_eq!(flow_ddim::deviation(1.0, 0.5, 1.0), 0.5, "all noise is fresh after pure noise");
    assert_eq!(flow_ddim::deviation(0.5, 0.0, 1.0), 0.0);
}

#[test]
fn a_step_is_an_interval_and_costs_what_the_sampler_says() {
    for (sampler, calls) in [(Sampler::Euler, 5), (Sampler::Heun, 9), (Sampler::Dpmpp2m, 5), (Sampler::Ddim(1.0), 5)] {
        let (net, job) = (Gaussian::new(1.0), Job::new());
        made(&net, &[asked_for(0.0)], vec![noise(0)], &settings(sampler, 5, 1.0), &job).unwrap();
        assert_eq!((net.calls.load(Ordering::SeqCst), job.progress().done), (calls, 5), "{sampler:?}");
    }
}

#[test]
fn guidance_one_is_the_conditional_pass_alone_and_others_share_one_call() {
    let net = Gaussian::new(0.5);
    let run = |g: f32| made(&net, &[asked_for(1.0)], vec![noise(0)], &settings(Sampler::Heun, 32, g), &Job::new()).unwrap();
    let one = run(1.0);
    assert_eq!((net.calls.load(Ordering::SeqCst), net.largest.load(Ordering::SeqCst)), (63, 1));
    let two = run(2.0);
    assert_eq!((net.calls.load(Ordering::SeqCst), net.largest.load(Ordering::SeqCst)), (126, 2));
    // linear in the mean: scale 2 moves it twice as far from the unconditional 0
    for ((a, b), n) in one[0].latents.data.iter().zip(&two[0].latents.data).zip(noise(0).data) {
        assert!((a - (1.0 + 0.5 * n)).abs() < 0.02 && (b - (2.0 + 0.5 * n)).abs() < 0.02, "{a} {b} {n}");
    }
    let near = run(1.0 + 1e-6);
    assert!(one[0].latents.data.iter().zip(&near[0].latents.data).all(|(a, b)| (a - b).abs() < 1e-4));
    let none = made(&net, &[asked_for(0.0)], vec![noise(0)], &settings(Sampler::Heun, 32, 1.0), &Job::new()).unwrap();
    assert_eq!(run(0.0), none);
}

#[test]
fn an_element_is_the_same_in_any_batch() {
    for sampler in ALL {
        let set = settings(sampler, 6, 1.5);
        let c = [asked_for(1.0), asked_for(-2.0), asked_for(0.3)];
        let all = made(&Gaussian::new(0.5), &c, (0..3).map(noise).collect(), &set, &Job::new()).unwrap();
        let one = Batch { conditions: &c[1..2], noise: vec![noise(1)], tiles: &[(11, 1)], start: &[], anchors: &[] };
        let alone = denoise(alone(&Gaussian::new(0.5)), &one, &set, &Job::new(), &mut |_, _| Ok(())).unwrap();
        assert_eq!(alone[0], all[1]);
    }
}

#[test]
fn a_cancelled_job_stops_before_the_next_network_call() {
    for sampler in ALL {
        let job = std::sync::Arc::new(Job::new());
        let net = Gaussian { stop: Some((3, job.clone())), ..Gaussian::new(0.5) };
        let e = made(&net, &[asked_for(0.0)], vec![noise(0)], &settings(sampler, 50, 1.0), &job).unwrap_err();
        assert!(matches!(e, Error::Cancelled));
        assert_eq!(net.calls.load(Ordering::SeqCst), 3, "{sampler:?}");
    }
}

#[test]
fn spread_is_the_variance_of_the_last_predictions() {
    let z = |v: f32| vec![Planes::new(2, 1, 1, vec![v, 3.0]).unwrap()];
    let mut s = Spread::new(10, &z(0.0));
    for step in 0..10 {
        s.see(step, &z(if step < 7 { 1e6 } else { step as f32 }));
    }
    // 7, 8, 9 have variance 2/3; the other channel does not move
    assert!((s.variance()[0].data[0] - 1.0 / 3.0).abs() < 1e-6);
    // a settled flow scores lower than a short one
    let run =
        |steps| made(&Gaussian::new(0.5), &[asked_for(1.0)], vec![noise(0)], &settings(Sampler::Heun, steps, 1.0), &Job::new()).unwrap();
    let mean = |d: &Denoised| d.spread.data.iter().sum::<f32>();
    assert!(mean(&run(40)[0]) < mean(&run(4)[0]));
    assert!(run(1)[0].spread.data.iter().all(|v| v.is_nan()), "one prediction says nothing of settling");
}

#[test]
fn a_network_of_the_wrong_shape_is_an_error_and_time_runs_from_one_to_zero() {
    struct Wrong;
    impl Denoiser for Wrong {
        fn sha256(&self) -> &str {
            ""
        }
        fn channels(&self) -> usize {
            2
        }
        fn condition_channels(&self) -> usize {
            condition::CHANNELS
        }
        fn velocity(&self, _: &[Planes], _: &[Planes], _: f32, _: f32) -> Result<Vec<Planes>> {
            Ok(vec![Planes::zeros(1, 8, 8)])
        }
    }
    let e = made(&Wrong, &[asked_for(0.0)], vec![noise(0)], &settings(Sampler::Euler, 2, 1.0), &Job::new());
    assert!(e.unwrap_err().to_string().contains("another shape"));
    assert_eq!(times(4, 1.0), [1.0, 0.75, 0.5, 0.25, 0.0]);
    let moved = times(4, 3.0);
    assert!(moved[0] == 1.0 && moved[4] == 0.0 && moved.windows(2).all(|w| w[0] > w[1]) && moved[2] > 0.7);
    assert!(Sampler::named("magic", 0.0).is_err() && Sampler::named("dpmpp2m", 0.0).unwrap() == Sampler::Dpmpp2m);
}

#[test]
fn guidance_acts_in_its_interval_only_and_rescaling_keeps_the_spread() {
    let net = Gaussian::new(0.5);
    let run = |g: Guidance| {
        let set = Settings { guidance: g, ..settings(Sampler::Euler, 10, 1.0) };
        made(&net, &[asked_for(1.0)], vec![noise(0)], &set, &Job::new()).unwrap()
    };
    let all = run(Guidance::of(3.0));
    assert_eq!(net.largest.swap(0, Ordering::SeqCst), 2);
    assert_eq!(run(Guidance { interval: (2.0, 3.0), ..Guidance::of(3.0) }), run(Guidance::of(1.0)));
    assert_eq!(net.largest.load(Ordering::SeqCst), 1, "outside the interval the conditional pass runs alone");
    let upper = run(Guidance { interval: (0.5, 1.0), ..Guidance::of(3.0) });
    assert!(upper != all && upper != run(Guidance::of(1.0)));
    // one velocity by hand: with phi = 1 the guided velocity has the spread of the conditional one (arXiv 2305.08891, eq. 15)
    let spread = |v: &Planes| {
        let m = v.data.iter().sum::<f32>() / v.data.len() as f32;
        (v.data.iter().map(|x| (x - m).powi(2)).sum::<f32>() / v.data.len() as f32).sqrt()
    };
    let mut asked = asked_for(0.0);
    (0..64).for_each(|i| asked.data[i] = i as f32 / 16.0);
    let job = Job::new();
    let at = |g: Guidance| Field::new(&net, std::slice::from_ref(&asked), g, 0.0, &job).velocity(&[noise(3)], 0.7).unwrap().remove(0);
    let (plain, guided) = (at(Guidance::of(1.0)), at(Guidance::of(4.0)));
    let rescaled = at(Guidance { rescale: 1.0, ..Guidance::of(4.0) });
    assert!(spread(&guided) > 1.2 * spread(&plain));
    assert!((spread(&rescaled) / spread(&plain) - 1.0).abs() < 1e-3);
    let factor = rescaled.data[5] / guided.data[5];
    assert!(rescaled.data.iter().zip(&guided.data).all(|(r, g)| (r - factor * g).abs() < 1e-4), "one factor for all");
}

#[test]
fn a_start_is_kept_where_the_mask_says_so_and_dissolved_as_far_as_the_strength_goes() {
    let real = Planes::new(2, 8, 8, (0..N).map(|i| i as f32 / 50.0 - 1.0).collect()).unwrap();
    let mut mask = Planes::zeros(1, 8, 8);
    mask.data[..32].fill(1.0);
    for sampler in ALL {
        let run = |strength: f64, mask: Option<Planes>| {
            let start = Start { latents: real.clone(), strength, mask };
            let batch = Batch { conditions: &[asked_for(0.5)], noise: vec![noise(2)], tiles: &[(11, 2)], start: &[start], anchors: &[] };
            denoise(alone(&Gaussian::new(0.1)), &batch, &settings(sampler, 12, 1.0), &Job::new(), &mut |_, _| Ok(()))
                .unwrap()
                .remove(0)
                .latents
        };
        let far = |a: &Planes| a.data.iter().zip(&real.data).map(|(a, b)| (a - b).abs()).sum::<f32>() / N as f32;
        let (little, much) = (far(&run(0.05, None)), far(&run(0.9, None)));
        let most = if matches!(sampler, Sampler::Ddim(_)) { 0.3 } else { 0.2 }; // first order, and fresh noise besides
        assert!(little < most * much, "{sampler:?}: {little} {much}");
        let kept = run(1.0, Some(mask.clone()));
        for (i, (a, b)) in kept.data.iter().zip(&real.data).enumerate() {
            let new = i % 64 < 32;
            assert!(new || (a - b).abs() < 1e-4, "{sampler:?}: {a} at {i} was {b}");
            assert!(!new || (a - 0.5).abs() < 0.6, "{sampler:?}: made anew by what is asked");
        }
    }
    let bad = Start { latents: real, strength: 0.0, mask: None };
    let batch = Batch { conditions: &[asked_for(0.5)], noise: vec![noise(2)], tiles: &[(11, 2)], start: &[bad], anchors: &[] };
    let e = denoise(alone(&Gaussian::new(0.1)), &batch, &settings(Sampler::Euler, 2, 1.0), &Job::new(), &mut |_, _| Ok(()));
    assert!(e.unwrap_err().to_string().contains("strength"));
}

/// A Gaussian that tells when it was asked and whether for anything.
struct Told {
    net: Gaussian,
    asked: std::sync::Mutex<Vec<(f32, bool)>>,
}

impl Told {
    fn new() -> Self {
        Self { net: Gaussian::new(0.5), asked: std::sync::Mutex::default() }
    }

    fn asked(&self) -> Vec<(f32, bool)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Denoiser for Told {
    fn sha256(&self) -> &str {
        self.net.sha256()
    }
    fn channels(&self) -> usize {
        self.net.channels()
    }
    fn condition_channels(&self) -> usize {
        self.net.condition_channels()
    }
    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>> {
        self.asked.lock().unwrap().extend(condition.iter().map(|c| (t, c.data.iter().any(|v| *v != 0.0))));
        self.net.velocity(x, condition, t, log2_mpp)
    }
}

#[test]
fn a_refiner_takes_the_last_two_steps_without_guidance_and_keeps_what_is_to_be_kept() {
    let (net, refiner) = (Told::new(), Told::new());
    let real = Planes::new(2, 8, 8, (0..N).map(|i| i as f32 / 50.0 - 1.0).collect()).unwrap();
    let run = |guidance: f32, start: &[Start], tile: u32| {
        let (mut seen, job) = (Vec::new(), Job::new());
        let batch = Batch { conditions: &[asked_for(0.7)], noise: vec![noise(2)], tiles: &[(11, tile)], start, anchors: &[] };
        let mut watch = |step: usize, _: &[Planes]| {
            seen.push(step);
            Ok(())
        };
        let set = settings(Sampler::Dpmpp2m, 4, guidance);
        let made = denoise(Networks { refiner: Some(&refiner), ..alone(&net) }, &batch, &set, &job, &mut watch).unwrap().remove(0);
        assert_eq!(seen, (0..seen.len()).collect::<Vec<_>>());
        (made.latents, seen.len())
    };
    let (latents, steps) = run(3.0, &[], 2);
    let twice = |t: f32| [(t, true), (t, false)];
    assert_eq!((steps, net.asked()), (6, [1.0, 0.875, 0.75, 0.625].into_iter().flat_map(twice).collect::<Vec<_>>()));
    assert_eq!(refiner.asked(), [(0.5, true), (0.25, true)]);
    assert!(latents != run(3.0, &[], 3).0 && latents == run(3.0, &[], 2).0, "fresh noise is that of the tile");
    net.asked();
    refiner.asked();
    run(0.0, &[], 2);
    assert!(net.asked().iter().chain(&refiner.asked()).all(|(_, asked)| !asked), "none asked for, none given");
    let mut mask = Planes::zeros(1, 8, 8);
    mask.data[..32].fill(1.0);
    let (kept, steps) = run(1.0, &[Start { latents: real.clone(), strength: 0.4, mask: Some(mask) }], 2);
    assert_eq!((steps, net.asked(), refiner.asked()), (2, vec![], vec![(0.4, true), (0.2, true)]));
    assert!((0..N).filter(|i| i % 64 >= 32).all(|i| (kept.data[i] - real.data[i]).abs() < 1e-4));
}

/// A picture of one pixel a cell.
struct Grey;

impl LatentCodec for Grey {
    fn sha256(&self) -> &str {
        "grey"
    }
    fn channels(&self) -> usize {
        2
    }
    fn factor_px(&self) -> u32 {
        1
    }
    fn encode(&self, _: &[RgbImage]) -> Result<Vec<Planes>> {
        Ok(Vec::new())
    }
    fn decode(&self, latents: &[Planes]) -> Result<Vec<RgbImage>> {
        Ok(latents.iter().map(|z| RgbImage::new(z.width as u32, z.height as u32)).collect())
    }
}

/// Plays tapes on the host, entry by entry.
struct Player {
    net: Gaussian,
    refiner: Gaussian,
    played: AtomicUsize,
    fails: bool,
}

impl Player {
    fn new() -> Self {
        Self { net: Gaussian::new(0.5), refiner: Gaussian::new(0.2), played: 0.into(), fails: false }
    }
}

impl Denoiser for Player {
    fn sha256(&self) -> &str {
        "player"
    }
    fn channels(&self) -> usize {
        self.net.channels()
    }
    fn condition_channels(&self) -> usize {
        self.net.condition_channels()
    }
    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>> {
        self.net.velocity(x, condition, t, log2_mpp)
    }
    fn play(&self, tape: &Tape, refiner: Option<&dyn Denoiser>, codec: &dyn LatentCodec) -> Option<Result<Played>> {
        self.played.fetch_add(1, Ordering::SeqCst);
        if self.fails {
            return Some(Err(Error::internal("a picture that is not of numbers")));
        }
        let mut made: Vec<Vec<Planes>> = Vec::new();
        for entry in &tape.entries {
            made.push(match entry {
                Entry::Noise(noise) => noise.clone(),
                Entry::Mix(terms) => {
                    let mut out = made[terms[0].1].clone();
                    out.iter_mut().for_each(|p| p.data.fill(0.0));
                    for (k, name) in terms {
                        let pairs = out.iter_mut().zip(&made[*name]);
                        pairs.for_each(|(o, x)| o.data.iter_mut().zip(&x.data).for_each(|(o, x)| *o += k * x));
                    }
                    out
                }
                Entry::Velocity { x, t, refiner: of_refiner, asked } => {
                    let net: &dyn Denoiser = if *of_refiner { refiner.unwrap() } else { &self.net };
                    let conditions = |from: usize| &tape.conditions[from..from + tape.items];
                    let v = |from| net.velocity(&made[*x], conditions(from), *t, tape.log2_mpp).unwrap();
                    match asked {
                        Asked::Given => v(0),
                        Asked::Nothing => v(tape.items),
                        Asked::Both => {
                            let mut out = v(tape.items);
                            for (u, c) in out.iter_mut().zip(v(0)) {
                                u.data.iter_mut().zip(c.data).for_each(|(u, c)| *u += tape.scale * (c - *u));
                            }
                            out
                        }
                    }
                }
            });
        }
        let latents = made[tape.end].clone();
        let pictures = codec.decode(&latents).unwrap();
        Some(Ok(Played { latents, predictions: tape.predictions.iter().map(|n| made[*n].clone()).collect(), pictures }))
    }
}

#[test]
fn a_tape_played_in_one_go_gives_what_the_steps_give() {
    let conditions = [asked_for(0.7), asked_for(-0.3)];
    let tiles = [(11, 0), (11, 1)];
    for sampler in ALL {
        for (scale, refined) in [(3.0, true), (1.0, false), (0.0, true)] {
            let (net, job) = (Player::new(), Job::new());
            let mut set = settings(sampler, 6, scale);
            set.guidance.interval = (0.6, 0.95);
            let noise = || vec![noise(0), noise(1)];
            let batch = || Batch { conditions: &conditions, noise: noise(), tiles: &tiles, start: &[], anchors: &[] };
            let refiner = refined.then_some(&net.refiner as &dyn Denoiser);
            let go = |codec| denoise(Networks { denoiser: &net, refiner, codec }, &batch(), &set, &job, &mut |_, _| Ok(())).unwrap();
            let steps = go(None);
            let counted = job.progress().done;
            let played = go(Some(&Grey));
            assert_eq!((net.played.load(Ordering::SeqCst), job.progress().done), (1, 2 * counted), "{sampler:?}");
            for (a, b) in steps.iter().zip(&played) {
                let near = |a: &Planes, b: &Planes| a.data.iter().zip(&b.data).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
                assert!(near(&a.latents, &b.latents) < 1e-4, "{sampler:?}, scale {scale}: {}", near(&a.latents, &b.latents));
                assert!(near(&a.spread, &b.spread) < 1e-4, "{sampler:?}, scale {scale}");
                assert!(a.picture.is_none() && b.picture.is_some());
            }
        }
    }
}

#[test]
fn what_cannot_be_played_is_walked_step_by_step() {
    let net = Player { fails: true, ..Player::new() };
    let batch = Batch { conditions: &[asked_for(0.7)], noise: vec![noise(0)], tiles: &[(11, 0)], start: &[], anchors: &[] };
    let (set, job) = (settings(Sampler::Dpmpp2m, 3, 3.0), Job::new());
    let go = |codec: Option<&dyn LatentCodec>| denoise(Networks { codec, ..alone(&net) }, &batch, &set, &job, &mut |_, _| Ok(()));
    assert_eq!(go(Some(&Grey)).unwrap(), go(None).unwrap());
    assert_eq!((net.played.load(Ordering::SeqCst), job.progress().done), (1, 6));
    job.cancel();
    assert!(matches!(go(Some(&Grey)), Err(Error::Cancelled)));
    assert_eq!(net.played.load(Ordering::SeqCst), 1, "a cancelled job plays nothing");
}

#[test]
fn a_way_that_is_held_rescaled_or_larger_than_a_window_is_walked_step_by_step() {
    let net = Player::new();
    let go = |side: usize, anchors: &[Anchor], rescale: f32| {
        let noise = vec![Planes::new(2, side, side, rng::noise(1, 0, 0, 2 * side * side)).unwrap()];
        let mut set = settings(Sampler::Euler, 2, 3.0);
        set.guidance.rescale = rescale;
        let batch = Batch { conditions: &[condition::unconditional(side, side)], noise, tiles: &[(1, 0)], start: &[], anchors };
        let nets = Networks { codec: Some(&Grey), ..alone(&net) };
        denoise(nets, &batch, &set, &Job::new(), &mut |_, _| Ok(())).unwrap();
        net.played.swap(0, Ordering::SeqCst)
    };
    assert_eq!([go(32, &[], 0.0), go(36, &[], 0.0), go(32, &[Anchor::default()], 0.0), go(32, &[], 0.5)], [1, 0, 0, 0]);
}
