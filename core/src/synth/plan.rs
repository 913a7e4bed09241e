//! What one tile will be, before any network runs. In: map, parameters, tile index. Out: place, labels, crops.

use super::crops::Encoded;
use crate::condition::{self, CropChoice, LATENT_PX, Laid, Place, Places};
use crate::semantic_map::SemanticMap;
use crate::{Planes, Result, params, rng};

/// A tile to be made.
pub(super) struct Plan {
    pub(super) index: u32,
    pub(super) place: Place,
    /// One class a pixel.
    pub(super) labels: Vec<u8>,
    /// One class a latent cell, `[side, side]`.
    pub(super) latent_labels: Vec<u8>,
    /// Latent cells a side.
    pub(super) side: usize,
    pub(super) choice: CropChoice,
}

impl Plan {
    pub(super) fn new(map: &SemanticMap, places: &Places<'_>, p: &params::Synth, index: u32) -> Self {
        let place = places.choose(p.seed, index);
        let side = (p.size_px / LATENT_PX) as usize;
        let labels = condition::window_labels(map, &place, p.size_px as usize);
        let latent_labels = condition::window_labels(map, &place, side);
        let mut present = latent_labels.clone();
        present.sort_unstable();
        present.dedup();
        let choice = condition::choose_crops(map, &place, &present, p.seed, index);
        Self { index, place, labels, latent_labels, side, choice }
    }

    /// Indices of the crops it shows.
    pub(super) fn crops(&self) -> impl Iterator<Item = usize> {
        self.choice.known.iter().flat_map(|(_, pair)| pair).map(|c| c.index)
    }

    /// Its condition `[35, side, side]` from encoded crops.
    pub(super) fn condition(&self, encoded: &Encoded<'_>) -> Result<Planes> {
        let mut laid = Vec::new();
        for (class, [a, b]) in &self.choice.known {
            laid.push(Laid { class: *class, crops: [(encoded.get(a.index)?, a.phase), (encoded.get(b.index)?, b.phase)] });
        }
        condition::build(&self.latent_labels, self.side, self.side, &laid)
    }

    /// The noise it starts from.
    pub(super) fn noise(&self, seed: u64) -> Result<Planes> {
        let n = condition::LATENT * self.side * self.side;
        Planes::new(condition::LATENT, self.side, self.side, rng::noise(seed, self.index, 0, n))
    }
}
