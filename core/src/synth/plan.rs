//! What one tile will be, before any network runs. In: map, layout, parameters, tile index. Out: labels, crops, condition.

use super::crops::Encoded;
use crate::condition::layout::Layout;
use crate::condition::{self, Chosen, CropChoice, LATENT_PX, Laid, Measures, OwnCrops};
use crate::diffuse::anchor;
use crate::semantic_map::SemanticMap;
use crate::{Planes, Result, params, rng};

/// A tile to be made.
pub(super) struct Plan {
    pub(super) index: u32,
    pub(super) layout: Layout,
    /// Latent cells a side.
    pub(super) side: usize,
    pub(super) choice: CropChoice,
}

impl Plan {
    pub(super) fn new(map: &SemanticMap, layout: Layout, own: &OwnCrops, p: &params::Synth, index: u32) -> Self {
        let side = (layout.labels.len() as f64).sqrt() as usize / LATENT_PX as usize;
        let mut present = layout.latent_labels.clone();
        present.sort_unstable();
        present.dedup();
        let mixed = p.mix.iter().flatten().filter(|(l, _)| present.contains(l)).map(|(_, m)| m.with).collect::<Vec<_>>();
        present.extend(mixed.into_iter().filter(|m| !layout.latent_labels.contains(m)));
        present.sort_unstable();
        present.dedup();
        let choice = condition::choose_crops(map, layout.place.as_ref(), &present, own, p.seed, index);
        Self { index, layout, side, choice }
    }

    /// Indices of the crops it shows.
    pub(super) fn crops(&self) -> impl Iterator<Item = usize> {
        self.choice.known.iter().flat_map(|(_, pair)| pair).map(|c| c.index)
    }

    fn pair(&self, class: u8) -> Option<&[Chosen; 2]> {
        self.choice.known.iter().find(|(c, _)| *c == class).map(|(_, pair)| pair)
    }

    /// Its condition `[56, side, side]` from encoded crops.
    pub(super) fn condition(&self, encoded: &Encoded<'_>, p: &params::Synth) -> Result<Planes> {
        let mut laid = Vec::new();
        for (class, pair) in &self.choice.known {
            let mix = p.mix.as_ref().and_then(|m| m.get(class)).filter(|m| m.share > 0.0);
            let other = mix.and_then(|m| self.pair(m.with));
            let share = other.and(mix).map_or(0.0, |m| m.share as f32);
            // the first crop shows the class, the second what is mixed in
            let [a, b] = match other {
                Some(o) if share >= 1.0 => *o,
                Some(o) => [pair[0], o[0]],
                None => *pair,
            };
            let mut texture = encoded.texture(pair)?;
            if let Some(o) = other {
                texture.iter_mut().zip(encoded.texture(o)?).for_each(|(t, o)| *t += share * (o - *t));
            }
            let crops = [(&encoded.get(a.index)?.latents, a.phase), (&encoded.get(b.index)?.latents, b.phase)];
            let asked = p.measures.as_ref().and_then(|m| m.get(class));
            let measures = asked.map(|asked| encoded.measures(pair).map(|of| completed(asked, of))).transpose()?;
            laid.push(Laid { class: *class, crops: Some(crops), texture: Some(texture), measures });
        }
        condition::build(&self.layout.latent_labels, self.side, self.side, &laid)
    }

    /// Classes that are to be mixed with one of which no crop lies outside this window.
    pub(super) fn unmixed(&self, p: &params::Synth) -> Vec<(u8, u8)> {
        let lacks = |(l, m): &(&u8, &params::Mix)| m.share > 0.0 && self.pair(**l).is_some() && self.pair(m.with).is_none();
        p.mix.iter().flatten().filter(lacks).map(|(l, m)| (*l, m.with)).collect()
    }

    /// Mean latents of each class's crops, mixed as the class is; classes of which amounts of stain are asked are left free.
    pub(super) fn means(&self, encoded: &Encoded<'_>, p: &params::Synth) -> Result<Vec<(u8, Vec<f32>)>> {
        let of = |pair: &[Chosen; 2]| Ok(anchor::mean(&[&encoded.get(pair[0].index)?.latents, &encoded.get(pair[1].index)?.latents]));
        let free = |class: &u8| p.measures.as_ref().is_some_and(|m| m.contains_key(class));
        let mut out = Vec::new();
        for (class, pair) in self.choice.known.iter().filter(|(class, _)| !free(class)) {
            let mut mean: Vec<f32> = of(pair)?;
            let mix = p.mix.as_ref().and_then(|m| m.get(class));
            if let Some((mix, other)) = mix.and_then(|m| Some((m, self.pair(m.with)?))) {
                mean.iter_mut().zip(of(other)?).for_each(|(a, b)| *a += mix.share as f32 * (b - *a));
            }
            out.push((*class, mean));
        }
        Ok(out)
    }

    /// The noise it starts from.
    pub(super) fn noise(&self, seed: u64) -> Result<Planes> {
        let n = condition::LATENT * self.side * self.side;
        Planes::new(condition::LATENT, self.side, self.side, rng::noise(seed, self.index, 0, n))
    }
}

/// What was asked, and where nothing was, what the crops have.
fn completed(asked: &params::Asked, of: Measures) -> Measures {
    Measures {
        haematoxylin: asked.haematoxylin.unwrap_or(of.haematoxylin),
        eosin: asked.eosin.unwrap_or(of.eosin),
        nuclei: asked.nuclei.unwrap_or(of.nuclei),
    }
}
