//! What the autoencoder does to any tissue. In: a map, of which crops are sent. Out: how it moves embeddings, how fine detail is after it.
//!
//! Every generated tile comes through the decoder, which cannot make all of a scan's grain. That alone moves embeddings,
//! much the same way on every slide, and softens detail. It is no fault of a tile, so crops are
//! sent through the autoencoder and back, and the mean difference is taken off before a tile is judged. The fineness that a class's tissue
//! should have moves by the mean difference of that class, for textures lose unlike amounts of detail. How far the slide's tiles lie apart
//! stays as it is in the scan: crops are too few to tell it anew.

use std::collections::BTreeMap;

use image::RgbImage;

use super::cells::features;
use super::grain::{Grain, of_crop};
use crate::condition::shown_side;
use crate::semantic_map::SemanticMap;
use crate::{Encoder, Error, Job, LatentCodec, Planes, Result};

/// Crops that are looked at: two or more a class up to eight classes.
const CROPS: usize = 16;

/// The autoencoder's own part.
#[derive(Default)]
pub struct Rendering {
    /// Mean shift of an embedding; empty where nothing was measured.
    shift: Vec<f32>,
    /// Fineness of rendered tissue.
    pub(super) grain: Option<Grain>,
}

impl Rendering {
    /// From up to [`CROPS`] crops, the classes in turn.
    pub fn of(map: &SemanticMap, encoder: &dyn Encoder, codec: &dyn LatentCodec, job: &Job) -> Result<Self> {
        let (mut sum, mut cells) = (vec![0f64; encoder.channels()], 0usize);
        let mut moved: Vec<(u8, f32)> = Vec::new();
        for (class, rgb) in in_turn(map) {
            job.check()?;
            let again = codec.decode(&codec.encode(std::slice::from_ref(rgb))?)?;
            let again = again.into_iter().next().ok_or_else(|| Error::internal("the codec decoded nothing"))?;
            let (before, after) = (features(encoder, rgb)?, features(encoder, &again)?);
            cells += before.area();
            for (c, s) in sum.iter_mut().enumerate() {
                *s += after.plane(c).iter().zip(before.plane(c)).map(|(a, b)| f64::from(a - b)).sum::<f64>();
            }
            moved.extend(of_crop(&again).iter().zip(of_crop(rgb)).map(|(after, before)| (class, after - before)));
        }
        let shift = if cells > 0 { sum.iter().map(|s| (s / cells as f64) as f32).collect() } else { Vec::new() };
        Ok(Self { shift, grain: Grain::of(map).and_then(|grain| grain.moved(&moved)) })
    }

    /// Takes the shift off features.
    pub fn taken_off(&self, f: &mut Planes) {
        for (c, shift) in self.shift.iter().enumerate() {
            f.plane_mut(c).iter_mut().for_each(|v| *v -= shift);
        }
    }
}

/// Crops that can be shown, the first of each class, then the second of each, and so on.
fn in_turn(map: &SemanticMap) -> Vec<(u8, &RgbImage)> {
    let mut seen: BTreeMap<u8, usize> = BTreeMap::new();
    let mut all: Vec<(usize, u8, &RgbImage)> = Vec::new();
    for crop in map.crops.iter().filter(|c| shown_side(c).is_some()) {
        let n = seen.entry(crop.class).or_default();
        all.push((*n, crop.class, &crop.rgb));
        *n += 1;
    }
    all.sort_by_key(|(n, class, _)| (*n, *class));
    all.truncate(CROPS);
    all.into_iter().map(|(_, class, rgb)| (class, rgb)).collect()
}
