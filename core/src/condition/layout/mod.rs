//! The label map of a tile. In: the map, parameters, drawings of the user's. Out: a [`Layout`] with labels by pixel and by latent
//! cell. One source a file: the slide's own map at a place drawn or given ([`Layouts::of`]), a [`drawn`] label picture, [`annotated`]
//! regions painted over the map, invented regions of given [`shares`].

pub mod annotated;
pub mod drawn;
pub mod shares;

use super::{LATENT_PX, Place, Places, window_labels};
use crate::semantic_map::SemanticMap;
use crate::{Error, Result};

use annotated::Annotations;
use drawn::Drawing;
use shares::Shares;

/// What one tile is asked to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Where on the slide, unless drawn or invented.
    pub place: Option<Place>,
    /// One class a pixel, row-major, `side * side`.
    pub labels: Vec<u8>,
    /// One class a latent cell.
    pub latent_labels: Vec<u8>,
    /// Whether annotations were given that do not touch the window.
    pub missed: bool,
}

/// Where layouts come from.
pub enum Source {
    /// Places drawn over the slide.
    Anywhere,
    /// One place, its upper left corner in level-0 pixels.
    At([f64; 2]),
    /// A label picture.
    Drawn(Drawing),
    /// Regions of given shares.
    Shares(Shares),
}

/// Layouts of a run.
pub struct Layouts<'a> {
    map: &'a SemanticMap,
    places: Option<Places<'a>>,
    source: Source,
    annotations: Option<Annotations>,
    size_px: u32,
}

impl<'a> Layouts<'a> {
    /// Layouts of tiles `size_px` a side. An error where the map holds no tissue to place a tile on, or annotations name classes it
    /// does not have.
    pub fn new(map: &'a SemanticMap, source: Source, annotations: Option<Annotations>, size_px: u32) -> Result<Self> {
        let places = match source {
            Source::Anywhere | Source::At(_) => Some(Places::new(map, size_px)?),
            Source::Drawn(_) | Source::Shares(_) => None,
        };
        Ok(Self { map, places, source, annotations, size_px })
    }

    /// The layout of a tile; the same for the same seed and tile, whatever else the run makes.
    pub fn of(&self, seed: u64, tile: u32) -> Result<Layout> {
        let side = self.size_px as usize;
        let on_slide = |place: Place| {
            let side = self.size_px as usize;
            let mut labels = window_labels(self.map, &place, side);
            let mut latent_labels = window_labels(self.map, &place, side / LATENT_PX as usize);
            let painted = self.annotations.as_ref().map(|a| a.paint(&mut labels, side, &place));
            if painted.is_some_and(|n| n > 0) {
                latent_labels = majority(&labels, side);
            }
            Layout { place: Some(place), labels, latent_labels, missed: painted == Some(0) }
        };
        match (&self.source, &self.places) {
            (Source::Drawn(d), _) => {
                Ok(Layout { place: None, labels: d.labels.clone(), latent_labels: majority(&d.labels, side), missed: false })
            }
            (Source::Shares(s), _) => {
                let labels = s.labels(side, seed, tile);
                Ok(Layout { place: None, latent_labels: majority(&labels, side), labels, missed: false })
            }
            (Source::At([x, y]), Some(p)) => p.at(*x, *y).map(on_slide),
            (Source::Anywhere, Some(p)) => Ok(on_slide(match &self.annotations {
                Some(a) => p.around(a.middle()).ok_or_else(|| {
                    let why = "the window around the annotations holds no tissue of the map";
                    Error::parameter("regions", why, "check that they were drawn on this slide, or name a place with `at`")
                })?,
                None => p.choose(seed, tile),
            })),
            _ => Err(Error::internal("a layout on the slide without places")),
        }
    }
}

/// The most frequent label under each latent cell of 8 px; of equals the smallest.
pub fn majority(labels: &[u8], side: usize) -> Vec<u8> {
    let f = LATENT_PX as usize;
    let cells = side / f;
    let one = |i: usize| {
        let mut counts = [0u8; 256];
        for k in 0..f * f {
            counts[usize::from(labels[(i / cells * f + k / f) * side + i % cells * f + k % f])] += 1;
        }
        counts.iter().enumerate().rev().max_by_key(|(_, n)| **n).map_or(0, |(l, _)| l as u8)
    };
    (0..cells * cells).map(one).collect()
}

/// An error unless the map has every label but background.
pub fn known(map: &SemanticMap, field: &str, labels: impl IntoIterator<Item = u8>) -> Result<()> {
    for label in labels {
        if label != 0 && !map.classes.iter().any(|c| c.id == label) {
            return Err(Error::parameter(field, format!("the map has no class {label}"), format!("it has {}", listed(map))));
        }
    }
    Ok(())
}

/// Labels and names of a map's classes.
pub(super) fn listed(map: &SemanticMap) -> String {
    map.classes.iter().map(|c| format!("{} ({})", c.id, c.name)).collect::<Vec<_>>().join(", ")
}
