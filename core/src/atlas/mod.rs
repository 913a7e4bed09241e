//! Labels that mean the same on every slide. In: rows of many slides. Out: an [`Atlas`], one hierarchy of classes with names, colours and
//! the reach of every leaf, by which any slide is labelled, and which tells what it does not know.
//!
//! [`Sample`] (one slide, or many merged: bounded, whatever the order) -> [`fit`] -> [`Atlas`] -> labels, and distances to what it knows.
//! Distances are in hundredths of a leaf's radius, so 100 is the bound. Fails where samples or encoders do not belong together, naming
//! what differs, and if cancelled. The same samples and seed give the same atlas, in whatever order and groups they were merged.

mod fit;
mod name;
mod sample;
#[cfg(test)]
mod tests;

pub use fit::fit;
pub use sample::{Kept, Sample, SampledSlide, merged, sample};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cluster::Hierarchy;
use crate::{Encoder, Error, Result};

/// No stain normalisation.
pub const NOT_NORMALISED: &str = "none";
/// The distance, in hundredths of a leaf's radius, beyond which tissue is unknown.
pub const BOUND: u8 = 100;
/// Share of the tissue beyond the bound from which on a note says so.
pub const NOTED_SHARE: f64 = 0.1;
/// Share of a class beyond the bound from which on its name is in doubt.
pub const DOUBTED_SHARE: f64 = 0.3;
/// Relative difference of resolution beyond which cells show another size of tissue than the atlas knows.
const MPP_TOLERANCE: f64 = 0.1;

/// The encoder that rows come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncoderOf {
    /// Registry name.
    pub id: String,
    /// SHA-256 of the weights, hex.
    pub sha256: String,
    /// Length of a row.
    pub channels: usize,
    /// Pixels a cell.
    pub stride_px: u32,
}

impl EncoderOf {
    /// Of an encoder.
    pub fn of(encoder: &dyn Encoder) -> Self {
        let (id, sha256) = (encoder.id().to_owned(), encoder.sha256().to_owned());
        Self { id, sha256, channels: encoder.channels(), stride_px: encoder.stride_px() }
    }

    fn told(&self) -> String {
        format!("{} ({}...)", self.id, self.sha256.get(..12).unwrap_or(&self.sha256))
    }
}

/// One leaf of an atlas.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// How far its tissue reaches: Euclidean distance from its centroid, above 0.
    pub radius: f32,
    /// What its tissue is called.
    pub name: Option<String>,
    /// The colour of the class that goes under this leaf's number, if it is not the palette's.
    pub color: Option<[u8; 3]>,
}

/// Classes shared across slides.
#[derive(Clone, Debug, PartialEq)]
pub struct Atlas {
    /// The encoder it speaks about.
    pub encoder: EncoderOf,
    /// Resolution of the pixels it was fitted on, um/px.
    pub mpp: f32,
    /// Stain normalisation of these pixels, [`NOT_NORMALISED`] if none.
    pub normalisation: String,
    /// Number of classes of a map that leaves it to the atlas.
    pub k: usize,
    /// Leaves and how they join.
    pub hierarchy: Hierarchy,
    /// As many as the hierarchy has leaves.
    pub leaves: Vec<Leaf>,
    /// Slides (hashed ids), counts, seed, software.
    pub provenance: serde_json::Value,
    /// Under which licence the atlas may be used.
    pub licence: String,
}

/// What an atlas says of a slide.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// [`Atlas::id_sha256`].
    pub id_sha256: String,
    /// Distance of each cell to its nearest leaf in hundredths of the leaf's radius, 1 to 255; 0 = background.
    pub distance: Vec<u8>,
}

impl Assigned {
    /// Share of the tissue beyond [`BOUND`], 0..=1.
    pub fn unknown_share(&self) -> f64 {
        self.unknown_of(|_| true)
    }

    /// The same among the cells that `of` chooses.
    pub fn unknown_of(&self, of: impl Fn(usize) -> bool) -> f64 {
        let chosen = || self.distance.iter().enumerate().filter(|(i, d)| **d > 0 && of(*i));
        chosen().filter(|(_, d)| **d > BOUND).count() as f64 / chosen().count().max(1) as f64
    }
}

impl Atlas {
    /// Names what decides labels and distances, hex: encoder, resolution, normalisation, leaves. Names and colours do not.
    pub fn id_sha256(&self) -> String {
        let mut hash = Sha256::new();
        let e = &self.encoder;
        hash.update(format!("{}\n{}\n{}\n{}\n{}\n", e.id, e.sha256, e.channels, e.stride_px, self.normalisation));
        hash.update(self.mpp.to_le_bytes());
        self.hierarchy.counts.iter().for_each(|n| hash.update(n.to_le_bytes()));
        self.leaves.iter().for_each(|leaf| hash.update(leaf.radius.to_le_bytes()));
        self.hierarchy.leaves.data.iter().for_each(|v| hash.update(v.to_le_bytes()));
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Changes with the names and colours, hex.
    pub fn legend_sha256(&self) -> String {
        crate::export::sha256(format!("{:?}", self.leaves.iter().map(|l| (&l.name, l.color)).collect::<Vec<_>>()).as_bytes())
    }

    /// An error if the rows of `encoder` are not those that the atlas was fitted on.
    pub fn check_encoder(&self, encoder: &dyn Encoder) -> Result<()> {
        let here = EncoderOf::of(encoder);
        if here != self.encoder {
            let why = format!("it was fitted with the encoder {}, this job uses {}", self.encoder.told(), here.told());
            return Err(Error::parameter("atlas", why, "use the encoder of the atlas, or fit an atlas with this one"));
        }
        if self.normalisation != NOT_NORMALISED {
            let why = format!("it was fitted on pixels normalised by `{}`, which this job does not do", self.normalisation);
            return Err(Error::parameter("atlas", why, "use an atlas of pixels as they are"));
        }
        Ok(())
    }

    /// What to tell the user where cells of `work_mpp` show tissue larger or smaller than the atlas knows it.
    pub fn doubt(&self, work_mpp: f64) -> Option<String> {
        let off = (work_mpp / f64::from(self.mpp) - 1.0).abs() > MPP_TOLERANCE;
        off.then(|| {
            format!("the atlas knows tissue at {:.2} um/px, this slide is looked at with {work_mpp:.2}: labels may be wrong", self.mpp)
        })
    }

    /// Distance to a leaf in hundredths of its radius, 1 to 255, from the squared distance.
    pub fn hundredths(&self, leaf: usize, distance2: f32) -> u8 {
        let radius = self.leaves.get(leaf).map_or(f32::MIN_POSITIVE, |l| l.radius);
        (100.0 * distance2.sqrt() / radius).ceil().clamp(1.0, 255.0) as u8
    }
}
