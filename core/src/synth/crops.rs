//! Encoded crops of a map. In: index of a crop. Out: its latents without the margin, `[16, s, s]`, encoded once.

use std::collections::BTreeMap;

use crate::condition::{LATENT_PX, MARGIN_PX, shown_side};
use crate::semantic_map::SemanticMap;
use crate::{Error, LatentCodec, Planes, Result};

/// Latents of the crops seen so far: at most 100 classes of a few crops of 16 x 12 x 12 values.
pub(super) struct Encoded<'a> {
    map: &'a SemanticMap,
    codec: &'a dyn LatentCodec,
    known: BTreeMap<usize, Planes>,
}

impl<'a> Encoded<'a> {
    pub(super) fn new(map: &'a SemanticMap, codec: &'a dyn LatentCodec) -> Self {
        Self { map, codec, known: BTreeMap::new() }
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
        self.known.insert(index, z);
        Ok(())
    }

    /// The latents of a prepared crop.
    pub(super) fn get(&self, index: usize) -> Result<&Planes> {
        self.known.get(&index).ok_or_else(|| Error::internal(format!("crop {index} was not encoded")))
    }
}
