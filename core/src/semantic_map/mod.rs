//! The pseudo-semantic map of a slide. In: the open slide, one encoder or two ([`Encoders`]), parameters. Out: a smoothed
//! [`SemanticMap`] with legend, exemplar crops and a bank of real embeddings. Labels are one byte a cell, 0 = background (glass,
//! artefacts, outside the region of interest).
//!
//! Fails for a slide without resolution, without tissue or (unless forced) without H&E, if cancelled, and where the host or the encoder
//! fails. The same slide, parameters and encoder give the same map on the CPU whatever the number of threads.
//!
//! [`run`] goes through: first look (some windows all over the slide, a partial map) -> survey (which cells are tissue) -> embed (dense
//! features, windows read one batch at a time, kept as f16 in memory or a file, partial maps meanwhile) -> smooth (means over
//! neighbourhoods in which only tissue counts) -> cluster (a hierarchy fitted on cells away from the glass, cut at k) -> calm (Potts
//! model and least region size) -> legend, crops, bank, tissue. From the kept rows on everything runs strip by strip, so memory grows with the
//! slide by some bytes a cell only. Labels are those of the hierarchy: another k leaves the labels and
//! colours of the classes that it does not split. With an atlas the hierarchy is the atlas's. [`sample`] is the way to one: what [`run`]
//! would fit classes on, bounded. With annotations the labels are those that people drew, and the rest is as ever.

mod annotated;
#[cfg(test)]
mod atlas_tests;
mod bank;
pub mod edit;
#[cfg(test)]
mod edit_tests;
#[cfg(test)]
mod encoder_tests;
mod exemplars;
mod features;
mod first;
mod fitted;
mod legend;
mod palette;
mod picture;
mod regularise;
mod run;
mod smooth;
#[cfg(test)]
mod tests;
pub mod tissue;

pub use palette::palette;
pub use run::{Encoders, made_already, run, run_with, sample};
pub use tissue::{TissueCell, TissueTile};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::atlas::Assigned;
use crate::cluster::Hierarchy;
use crate::cluster::choice::Reading;
use crate::tiles::Artefact;

/// One tissue class of a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Label, 1..=100.
    pub id: u8,
    /// Name shown to the user.
    pub name: String,
    /// Legend colour, colour-blind safe.
    pub color: [u8; 3],
    /// Number of cells.
    pub cells: u64,
    /// Area in square micrometres.
    pub area_um2: f64,
    /// Share of all tissue, 0..=1.
    pub share: f64,
}

/// A raw crop of real tissue that lies (almost) wholly in one class. 128 px a side at [`SemanticMap::work_mpp`], or 96 px where
/// the class offers no larger place; the outer 16 px are margin for the autoencoder and are not shown to the denoiser.
#[derive(Clone, Debug, PartialEq)]
pub struct Crop {
    /// Its class.
    pub class: u8,
    /// Left edge in level-0 pixels, margin included.
    pub x: i64,
    /// Upper edge in level-0 pixels, margin included.
    pub y: i64,
    /// The pixels.
    pub rgb: RgbImage,
}

/// Embeddings of real tissue by class, for the flags: one row a 32 px cell (at the working mpp).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bank {
    /// Length of an embedding.
    pub channels: usize,
    /// Class of each row.
    pub classes: Vec<u8>,
    /// `classes.len() * channels` values.
    pub rows: Vec<f32>,
}

/// How the classes of a map hang together: what another number of classes, or the parts of one class, are made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The hierarchy of which the map shows one cut.
    pub hierarchy: Hierarchy,
    /// Nearest leaf of each cell, counted from 1, before anything was calmed; 0 = background.
    pub leaves: Vec<u8>,
    /// What speaks for each number of classes.
    pub readings: Vec<Reading>,
}

/// A finished map.
#[derive(Clone, Debug, PartialEq)]
pub struct SemanticMap {
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// `rows * columns` labels.
    pub labels: Vec<u8>,
    /// Side of a cell in level-0 pixels; cell (r, c) covers x in [c, c+1) * cell_px, y in [r, r+1) * cell_px.
    pub cell_px: f64,
    /// Micrometres per level-0 pixel.
    pub mpp: f64,
    /// Resolution at which pixels are read for embedding and crops, um/px (0.5 unless the slide is coarser).
    pub work_mpp: f64,
    /// Classes in order of their label.
    pub classes: Vec<Class>,
    /// Exemplar crops.
    pub crops: Vec<Crop>,
    /// Real embeddings.
    pub bank: Bank,
    /// Tiles of 256 px from all over the slide, [measured](tissue::tissue); none where the map has no room for one.
    pub tissue: Vec<TissueTile>,
    /// The hierarchy behind the classes; none where labels came from somewhere else.
    pub tree: Option<Tree>,
    /// What was changed by hand, and what the map was before.
    pub history: Option<edit::History>,
    /// What the atlas that labelled the map says of the slide; none where the map has classes of its own.
    pub atlas: Option<Assigned>,
    /// Why cells were left unlabelled: [an artefact's code](crate::tiles::Artefact::code) each, else 0. None where nothing was.
    pub artefacts: Option<Vec<u8>>,
    /// The slide, small (longest side about 1024 px), under the overlay.
    pub thumbnail: RgbImage,
    /// Parameters, seed, encoder, device, slide id hash, software version.
    pub provenance: serde_json::Value,
}

/// Tissue that was left unlabelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// [Why](crate::tiles::Artefact::name).
    pub reason: String,
    /// Number of cells.
    pub cells: u64,
    /// Area in square micrometres.
    pub area_um2: f64,
    /// Share of all tissue, what was left out included, 0..=1.
    pub share: f64,
}

/// A class that was annotated and that no cell has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WithoutCells {
    /// Its name.
    pub name: String,
    /// Why, where the map tells.
    pub reason: Option<String>,
}

/// What [`SemanticMap::classes_of`] says of classes that people drew.
pub const ANNOTATED: &str = "annotations";

impl SemanticMap {
    /// Whether its classes are those of a file of annotations; else they were found by clustering.
    pub fn is_annotated(&self) -> bool {
        self.provenance["annotations"].is_object()
    }

    /// Whether clustering found classes of it: its own, or some of the file of annotations, which may be an export of ours.
    pub fn is_pseudo_semantic(&self) -> bool {
        !self.is_annotated() || self.provenance["annotations"]["pseudo_semantic"] == true
    }

    /// What of the annotations is not on the map or not what it seems; nothing on a map without annotations.
    pub fn annotation_notes(&self) -> Vec<String> {
        annotated::notes(&self.provenance["annotations"])
    }

    /// Classes of the annotations that no cell has; none on a map without annotations.
    pub fn without_cells(&self) -> Vec<WithoutCells> {
        annotated::without_cells(&self.provenance["annotations"])
    }

    /// What a class is, in every file that lists classes: labels found without a pathologist are not a diagnosis.
    pub fn kind(&self) -> &'static str {
        match (self.is_annotated(), self.is_pseudo_semantic()) {
            (false, _) => "pseudo-semantic class found by clustering, not by a pathologist",
            (true, true) => "class of an annotation file that holds pseudo-semantic classes",
            (true, false) => "class of annotations that were made by hand",
        }
    }

    /// What its classes are, for a calibration of the flags: an atlas by its id, [`ANNOTATED`], none = classes of its own.
    pub fn classes_of(&self) -> Option<&str> {
        self.atlas.as_ref().map(|a| a.id_sha256.as_str()).or(self.is_annotated().then_some(ANNOTATED))
    }

    /// The label of tissue that nobody annotated, on a map whose classes people drew.
    pub fn other_label(&self) -> Option<u8> {
        self.provenance.pointer("/annotations/other_label")?.as_u64()?.try_into().ok()
    }

    /// What was left unlabelled, a line a reason that there was.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let codes = self.artefacts.as_deref().unwrap_or_default();
        let labelled = self.labels.iter().filter(|l| **l != 0).count();
        let all = (labelled + codes.iter().filter(|c| **c != 0).count()) as f64;
        let line = |artefact: &Artefact| {
            let cells = codes.iter().filter(|c| **c == artefact.code()).count();
            let area_um2 = cells as f64 * (self.cell_px * self.mpp).powi(2);
            LeftOut { reason: artefact.name().into(), cells: cells as u64, area_um2, share: cells as f64 / all.max(1.0) }
        };
        Artefact::ALL.iter().map(line).filter(|l| l.cells > 0).collect()
    }

    /// Regions of fewer cells joined their neighbours when the map was made.
    fn least_cells(&self) -> usize {
        let asked = self.provenance.pointer("/parameters/min_region_um2").and_then(serde_json::Value::as_f64);
        regularise::cells_of(asked.unwrap_or(crate::params::MIN_REGION_UM2), self.cell_px * self.mpp)
    }
}
