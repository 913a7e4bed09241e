//! A whole way from noise to latents, written down: what a device does without coming back to the host between steps.
//!
//! In: what [`super::denoise`] is given. Out: a list of [`Entry`], each of which makes latents of a batch from earlier ones; the first
//! latents are the noise. Numbers are those of the host's samplers, in single precision. A way that is watched, held to crops, begun from a
//! picture or rescaled is walked on the host.

use image::RgbImage;

use super::space::{Renewal, Space};
use super::{Batch, Guidance, Settings, Spread};
use crate::{Planes, Result, condition};

/// A place in the list of latents.
pub type Name = usize;

/// What a network is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// The conditions.
    Given,
    /// Nothing.
    Nothing,
    /// Both in one batch, joined by the guidance scale.
    Both,
}

/// What makes the next latents.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A network's velocity.
    Velocity {
        /// Of these latents.
        x: Name,
        /// At this time.
        t: f32,
        /// By the refiner.
        refiner: bool,
        /// What it is told.
        asked: Asked,
    },
    /// A sum of one to three latents times factors.
    Mix(Vec<(f32, Name)>),
    /// These.
    Noise(Vec<Planes>),
}

/// The way of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Tape {
    /// Elements of the batch.
    pub items: usize,
    /// The conditions of all elements, then as many that ask for nothing.
    pub conditions: Vec<Planes>,
    /// Guidance scale where both are asked.
    pub scale: f32,
    /// log2(mpp / 0.5).
    pub log2_mpp: f32,
    /// What is made, one after another.
    pub entries: Vec<Entry>,
    /// The predictions that [`Spread`] looks at.
    pub predictions: Vec<Name>,
    /// The latents where it ends.
    pub end: Name,
}

/// What a device made of a tape.
pub struct Played {
    /// Latents, one an element.
    pub latents: Vec<Planes>,
    /// The predictions that were asked for, each of the whole batch.
    pub predictions: Vec<Vec<Planes>>,
    /// The latents decoded.
    pub pictures: Vec<RgbImage>,
}

/// Writes a tape.
pub(super) struct Recorder<'a, 'b> {
    pub tape: Tape,
    /// Steps so far.
    pub steps: usize,
    batch: &'a Batch<'b>,
    guidance: Guidance,
    refiner: bool,
    /// Steps of the denoiser, where the refiner has taken over.
    before: usize,
    /// Says which predictions are looked at.
    spread: &'a Spread,
}

impl<'a, 'b> Recorder<'a, 'b> {
    /// A tape that holds the noise.
    pub fn new(batch: &'a Batch<'b>, settings: &Settings, spread: &'a Spread) -> Self {
        let nothing = batch.conditions.iter().map(|c| condition::unconditional(c.height, c.width));
        let tape = Tape {
            items: batch.noise.len(),
            conditions: batch.conditions.iter().cloned().chain(nothing).collect(),
            scale: settings.guidance.scale,
            log2_mpp: settings.log2_mpp,
            entries: vec![Entry::Noise(batch.noise.clone())],
            predictions: Vec::new(),
            end: 0,
        };
        Self { tape, steps: 0, batch, guidance: settings.guidance, refiner: false, before: 0, spread }
    }

    /// What follows is the refiner's, after so many steps of the denoiser.
    pub fn hand_to_refiner(&mut self, before: usize) {
        (self.refiner, self.before, self.guidance) = (true, before, self.guidance.of_refiner());
    }

    fn made(&mut self, entry: Entry) -> Name {
        self.tape.entries.push(entry);
        self.tape.entries.len() - 1
    }
}

impl Space for Recorder<'_, '_> {
    type X = Name;

    fn velocity(&mut self, x: &Name, t: f64) -> Result<Name> {
        let asked = self.guidance.asked(t);
        Ok(self.made(Entry::Velocity { x: *x, t: t as f32, refiner: self.refiner, asked }))
    }

    fn seen(&mut self, step: usize, z: &Name) -> Result<()> {
        self.steps += 1;
        if self.spread.wants(self.before + step) {
            self.tape.predictions.push(*z);
        }
        Ok(())
    }

    fn ahead(&mut self, x: &Name, k: f64, v: &Name) -> Name {
        self.made(Entry::Mix(vec![(1.0, *x), (k as f32, *v)]))
    }

    fn multistep(&mut self, x: &Name, z: &Name, before: &Name, [keep, take, extra]: [f64; 3]) -> Name {
        let terms = [(keep, *x), (take * (1.0 + extra), *z), (-take * extra, *before)];
        self.made(Entry::Mix(terms.iter().filter(|(k, _)| *k != 0.0).map(|(k, n)| (*k as f32, *n)).collect()))
    }

    fn renewed(&mut self, x: &Name, v: &Name, how: Renewal) -> (Name, Name) {
        let Renewal { step, t, s, kept, fresh } = how;
        let z = self.ahead(x, -t, v);
        let mut terms = vec![((1.0 - s + kept) as f32, *x), ((kept * (1.0 - t) - (1.0 - s) * t) as f32, *v)];
        if fresh > 0.0 {
            let new = |(i, n): (usize, &Planes)| Planes { data: self.batch.fresh(self.before + step, i), ..*n };
            let noise = self.batch.noise.iter().enumerate().map(new).collect();
            terms.push((fresh as f32, self.made(Entry::Noise(noise))));
        }
        (self.made(Entry::Mix(terms)), z)
    }
}
