//! Annotations painted over the map. In: a file as [`annotations`](crate::annotations) reads it. Out: labels. A region's class must be one of
//! the map by label, by name, or "background". Holes are left as they were; later regions lie above earlier ones.

use super::{known, listed};
use crate::annotations::{self, LEFT_OUT, Raster, Ring, Shape, bad};
use crate::condition::Place;
use crate::semantic_map::SemanticMap;
use crate::{Error, Result};

const FIELD: &str = "regions";

/// Regions with their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotations {
    regions: Vec<(u8, Vec<Ring>)>,
    /// In the order of [`LEFT_OUT`].
    left_out: [usize; 3],
}

impl Annotations {
    /// Reads GeoJSON or ASAP's XML for a map.
    pub fn read(text: &str, map: &SemanticMap) -> Result<Self> {
        let read = annotations::read(FIELD, text)?;
        let one = |(i, shape): (usize, Shape)| Ok((class(&shape, map, i)?, shape.rings));
        let left_out = [read.left_out, read.delimiting, read.detections];
        let regions = read.shapes.into_iter().enumerate().map(one).collect::<Result<_>>()?;
        Ok(Self { regions, left_out })
    }

    /// What of the file is not painted.
    pub fn notes(&self) -> Vec<String> {
        let counts = LEFT_OUT.iter().zip(self.left_out).filter(|(_, n)| *n > 0);
        counts.map(|((_, what), n)| format!("{n} annotations {what} and were left out")).collect()
    }

    /// The middle of the box around them, level-0 pixels.
    pub fn middle(&self) -> [f64; 2] {
        let all = || self.regions.iter().flat_map(|(_, rings)| rings.iter().flatten());
        [0, 1]
            .map(|k| all().map(|p| p[k]).fold(f64::INFINITY, f64::min) / 2.0 + all().map(|p| p[k]).fold(f64::NEG_INFINITY, f64::max) / 2.0)
    }

    /// Paints them over labels `[side, side]` of a place; how many pixels were painted comes back.
    pub fn paint(&self, labels: &mut [u8], side: usize, place: &Place) -> usize {
        let on = Raster { size: [side, side], corner: [place.x, place.y], step: place.side_px / side as f64 };
        self.regions.iter().map(|(class, rings)| annotations::paint(rings, *class, labels, on)).sum()
    }
}

/// The label of region `i`.
fn class(shape: &Shape, map: &SemanticMap, i: usize) -> Result<u8> {
    if let Some(n) = shape.label {
        let label = u8::try_from(n).map_err(|_| bad(FIELD, format!("region {i} has label {n}")))?;
        known(map, FIELD, [label])?;
        return Ok(label);
    }
    let Some(name) = &shape.class else { return Err(bad(FIELD, format!("region {i} has no class"))) };
    if annotations::is_background(name) {
        return Ok(0);
    }
    let found = map.classes.iter().find(|c| c.name.eq_ignore_ascii_case(name) || c.id.to_string() == *name);
    found
        .map(|c| c.id)
        .ok_or_else(|| Error::parameter(FIELD, format!("region {i} has the class `{name}`"), format!("the map has {}", listed(map))))
}
