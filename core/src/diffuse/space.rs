//! What samplers work on: latents on the host, or their names on a [`Tape`](super::Tape) that a device plays without coming back.
//!
//! In: what a sampler does with the latents of a batch. Out: other latents. A sampler is written once against [`Space`]; [`Host`] does at once
//! what it says, in the arithmetic that results are reproduced in.

use super::ddim::Fresh;
use crate::{Planes, Result};

/// The velocity of a batch at a time.
pub type Velocity<'a> = dyn FnMut(&[Planes], f64) -> Result<Vec<Planes>> + 'a;
/// Sees the number of a step and the predicted clean latents.
pub type Watch<'a> = dyn FnMut(usize, &[Planes]) -> Result<()> + 'a;

/// A step that renews a part of the noise, see [`super::flow_ddim`].
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// Its number.
    pub step: usize,
    /// Time before it.
    pub t: f64,
    /// Time after it.
    pub s: f64,
    /// Standard deviation of the predicted noise that stays.
    pub kept: f64,
    /// Standard deviation of the fresh noise.
    pub fresh: f64,
}

/// Latents of a batch and what samplers do with them.
pub trait Space {
    /// The latents.
    type X: Clone;
    /// The velocity at a time.
    fn velocity(&mut self, x: &Self::X, t: f64) -> Result<Self::X>;
    /// Tells the predicted clean latents of a step.
    fn seen(&mut self, step: usize, z: &Self::X) -> Result<()>;
    /// x + k v.
    fn ahead(&mut self, x: &Self::X, k: f64, v: &Self::X) -> Self::X;
    /// keep x + take (z + extra (z - before)).
    fn multistep(&mut self, x: &Self::X, z: &Self::X, before: &Self::X, factors: [f64; 3]) -> Self::X;
    /// (1 - s) z + kept n + fresh m and z, where z = x - t v, n = x + (1 - t) v and m is fresh noise.
    fn renewed(&mut self, x: &Self::X, v: &Self::X, how: Renewal) -> (Self::X, Self::X);
}

/// Latents on the host.
pub struct Host<'a, 'b> {
    /// The network.
    pub velocity: &'a mut Velocity<'b>,
    /// Fresh noise.
    pub fresh: &'a mut Fresh<'b>,
    /// Sees every prediction.
    pub watch: &'a mut Watch<'b>,
}

impl Space for Host<'_, '_> {
    type X = Vec<Planes>;

    fn velocity(&mut self, x: &Vec<Planes>, t: f64) -> Result<Vec<Planes>> {
        (self.velocity)(x, t)
    }

    fn seen(&mut self, step: usize, z: &Vec<Planes>) -> Result<()> {
        (self.watch)(step, z)
    }

    fn ahead(&mut self, x: &Vec<Planes>, k: f64, v: &Vec<Planes>) -> Vec<Planes> {
        let k = k as f32;
        let one = |(x, v): (&Planes, &Planes)| Planes { data: x.data.iter().zip(&v.data).map(|(x, v)| x + k * v).collect(), ..*x };
        x.iter().zip(v).map(one).collect()
    }

    fn multistep(&mut self, x: &Vec<Planes>, z: &Vec<Planes>, before: &Vec<Planes>, [keep, take, extra]: [f64; 3]) -> Vec<Planes> {
        let value = |x: f32, z: f32, b: f32| (keep * f64::from(x) + take * (f64::from(z) + extra * f64::from(z - b))) as f32;
        let one = |((x, z), b): ((&Planes, &Planes), &Planes)| {
            let values = x.data.iter().zip(&z.data).zip(&b.data);
            Planes { data: values.map(|((x, z), b)| value(*x, *z, *b)).collect(), ..*x }
        };
        x.iter().zip(z).zip(before).map(one).collect()
    }

    /// Without a deviation `fresh` is not called.
    fn renewed(&mut self, x: &Vec<Planes>, v: &Vec<Planes>, how: Renewal) -> (Vec<Planes>, Vec<Planes>) {
        let Renewal { step, t, s, kept, fresh } = how;
        let (mut x, mut v) = (x.clone(), v.clone());
        for (item, (x, v)) in x.iter_mut().zip(&mut v).enumerate() {
            let new = if fresh > 0.0 { (self.fresh)(step, item) } else { Vec::new() };
            for (j, (x, v)) in x.data.iter_mut().zip(&mut v.data).enumerate() {
                let (now, velocity) = (f64::from(*x), f64::from(*v));
                let (z, n) = (now - t * velocity, now + (1.0 - t) * velocity);
                let m = f64::from(new.get(j).copied().unwrap_or(0.0));
                *x = ((1.0 - s) * z + kept * n + fresh * m) as f32;
                *v = z as f32;
            }
        }
        (x, v)
    }
}
