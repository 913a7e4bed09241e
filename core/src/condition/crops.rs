//! Which crops are shown. In: map, place, classes present. Out: two crops a class that lie outside the window, with the phases at
//! which they are tiled. A class with one such crop shows it twice; a class with none stays unknown.

use std::collections::BTreeMap;

use super::{LATENT_PX, MARGIN_PX, Place};
use crate::rng::Stream;
use crate::semantic_map::{Crop, SemanticMap};

/// First lane of the random streams, one a class: a class's crops do not depend on which others are present.
const LANE: u32 = 0x100;

/// A crop of the map as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Index into [`SemanticMap::crops`].
    pub index: usize,
    /// Where the mirror tiling starts (rows, columns), latent cells.
    pub phase: (usize, usize),
}

/// Crops of every class of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CropChoice {
    /// Class, crop A and crop B; equal where there is only one.
    pub known: Vec<(u8, [Chosen; 2])>,
    /// Classes of which no crop lies outside the window.
    pub unknown: Vec<u8>,
}

/// Indices of crops by class that the user named.
pub type OwnCrops = BTreeMap<u8, Vec<usize>>;

/// Side of what is shown of a crop, in latent cells, or none if the crop cannot be shown (not square, not a multiple of 16 px, or
/// nothing left within its margin).
pub fn shown_side(crop: &Crop) -> Option<usize> {
    let side = crop.rgb.width();
    let ok = side == crop.rgb.height() && side.is_multiple_of(16) && side > 2 * MARGIN_PX;
    ok.then(|| ((side - 2 * MARGIN_PX) / LATENT_PX) as usize)
}

/// Indices of the crops of a class that can be shown and lie, margin included, outside the window, if there is one.
pub fn available(map: &SemanticMap, place: Option<&Place>, class: u8) -> Vec<usize> {
    let apart = |c: &Crop| place.is_none_or(|p| !overlaps(map, p, c));
    let of_class = |(_, c): &(usize, &Crop)| c.class == class && shown_side(c).is_some() && apart(c);
    map.crops.iter().enumerate().filter(of_class).map(|(i, _)| i).collect()
}

/// Chooses crops for the classes present (background left out), each from the stream of (seed, tile, class). `own` are crops the
/// user named for a class: they are shown wherever they lie.
pub fn choose_crops(map: &SemanticMap, place: Option<&Place>, present: &[u8], own: &OwnCrops, seed: u64, tile: u32) -> CropChoice {
    let mut out = CropChoice::default();
    for &class in present.iter().filter(|c| **c != 0) {
        let mut stream = Stream::new(seed, tile, LANE + u32::from(class));
        let mut left = own.get(&class).cloned().unwrap_or_else(|| available(map, place, class));
        let mut draw = || {
            let at = stream.below(left.len());
            let index = (!left.is_empty()).then(|| left.remove(at))?;
            let period = 2 * map.crops.get(index).and_then(shown_side)?;
            Some(Chosen { index, phase: (stream.below(period), stream.below(period)) })
        };
        match draw() {
            Some(a) => out.known.push((class, [a, draw().unwrap_or(a)])),
            None => out.unknown.push(class),
        }
    }
    out
}

/// Whether a crop and the window share a pixel.
fn overlaps(map: &SemanticMap, place: &Place, crop: &Crop) -> bool {
    let scale = map.work_mpp / map.mpp; // level-0 pixels a crop pixel
    let apart = |a: f64, n: f64, b: f64, m: f64| a + n <= b || b + m <= a;
    let (w, h) = (f64::from(crop.rgb.width()) * scale, f64::from(crop.rgb.height()) * scale);
    !(apart(crop.x as f64, w, place.x, place.side_px) || apart(crop.y as f64, h, place.y, place.side_px))
}
