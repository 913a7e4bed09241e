//! Encoded crops of a map. In: index of a crop. Out: its latents without the margin, `[16, s, s]`, and its texture; made once.

use std::collections::BTreeMap;

use crate::condition::{Chosen, LATENT_PX, MARGIN_PX, Measures, shown_side};
use crate::flags::texture;
use crate::semantic_map::SemanticMap;
use crate::{Encoder, Error, LatentCodec, Planes, Result};

/// A crop as the networks see it.
pub(super) struct Seen {
    /// Latents `[16, s, s]`.
    pub(super) latents: Planes,
    /// Mean embedding.
    pub(super) texture: Vec<f32>,
    /// Stain and nuclei.
    pub(super) measures: Measures,
}

/// The crops seen so far: at most 100 classes of a few crops of 16 x 12 x 12 values.
pub(super) struct Encoded<'a> {
    map: &'a SemanticMap,
    codec: &'a dyn LatentCodec,
    encoder: &'a dyn Encoder,
    known: BTreeMap<usize, Seen>,
}

impl<'a> Encoded<'a> {
    pub(super) fn new(map: &'a SemanticMap, codec: &'a dyn LatentCodec, encoder: &'a dyn Encoder) -> Self {
        Self { map, codec, encoder, known: BTreeMap::new() }
    }

    /// Encodes a crop unless it is known. One picture a call: a crop's latents never depend on what else is encoded.
    pub(super) fn prepare(&mut self, index: usize) -> Result<()> {
        if self.known.contains_key(&index) {
            return Ok(());
        }
        let crop = self.map.crops.get(index).ok_or_else(|| Error::internal(format!("no crop {index}")))?;
        let side = shown_side(crop).ok_or_else(|| Error::internal(format!("crop {index} cannot be shown")))?;
        let mut z = self.codec.encode(std::slice::from_ref(&crop.rgb))?;
        let margin = (MARGIN_PX / LATENT_PX) as usize;
        let z = z.pop().ok_or_else(|| Error::internal("the codec encoded nothing"))?.cut(margin, margin, side, side)?;
        let inside = crop.rgb.width() - 2 * MARGIN_PX;
        let inside = image::imageops::crop_imm(&crop.rgb, MARGIN_PX, MARGIN_PX, inside, inside).to_image();
        let measures = Measures::of(&inside, self.map.work_mpp);
        self.known.insert(index, Seen { latents: z, texture: texture(self.encoder, &crop.rgb)?, measures });
        Ok(())
    }

    /// Mean texture of a class's two crops.
    pub(super) fn texture(&self, pair: &[Chosen; 2]) -> Result<Vec<f32>> {
        let (a, b) = (self.get(pair[0].index)?, self.get(pair[1].index)?);
        Ok(a.texture.iter().zip(&b.texture).map(|(a, b)| 0.5 * (a + b)).collect())
    }

    /// Mean measures of a class's two crops.
    pub(super) fn measures(&self, pair: &[Chosen; 2]) -> Result<Measures> {
        let (a, b) = (self.get(pair[0].index)?.measures, self.get(pair[1].index)?.measures);
        let mean = |a: f32, b: f32| 0.5 * (a + b);
        Ok(Measures { haematoxylin: mean(a.haematoxylin, b.haematoxylin), eosin: mean(a.eosin, b.eosin), nuclei: mean(a.nuclei, b.nuclei) })
    }

    /// A prepared crop.
    pub(super) fn get(&self, index: usize) -> Result<&Seen> {
        self.known.get(&index).ok_or_else(|| Error::internal(format!("crop {index} was not encoded")))
    }
}
