//! What the condition holds in each set of tiles. In: the map, a place. Out: the map as this variant shows it, and crops.

use std::borrow::Cow;

use crate::condition::{OwnCrops, Place};
use crate::flags::Manifold;
use crate::semantic_map::{Crop, SemanticMap};
use crate::slide::{Region, read};
use crate::{Error, Result, TileSource};

/// Sides of a crop cut from the target, margin included.
const SIDES_PX: [u32; 2] = [128, 96];
/// Share of a crop's inside that must belong to its class.
const PURE: f64 = 0.8;

/// One set of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Map, and crops from elsewhere on the slide: what `synth` does.
    Elsewhere,
    /// Map, and crops cut from the target window itself: part of the answer is shown.
    InPlace,
    /// Map, and crops of another slide, matched by their embeddings.
    OtherSlide,
    /// The map alone.
    MapOnly,
    /// Map, and crops of wrong classes.
    Shuffled,
    /// Nothing.
    Unconditional,
}

impl Variant {
    /// All, in the order of the table.
    pub const ALL: [Self; 6] = [Self::Elsewhere, Self::InPlace, Self::OtherSlide, Self::MapOnly, Self::Shuffled, Self::Unconditional];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Elsewhere => "map + crops elsewhere",
            Self::InPlace => "map + crops in place",
            Self::OtherSlide => "map + crops of another slide",
            Self::MapOnly => "map only",
            Self::Shuffled => "map + shuffled crops",
            Self::Unconditional => "unconditional",
        }
    }

    /// The map as this variant shows it; none where there is no other slide.
    pub(super) fn map<'a>(self, map: &'a SemanticMap, other: Option<&SemanticMap>) -> Result<Option<Cow<'a, SemanticMap>>> {
        let with = |crops: Vec<Crop>| Some(Cow::Owned(SemanticMap { crops, ..map.clone() }));
        Ok(match (self, other) {
            (Self::Elsewhere | Self::InPlace | Self::Unconditional, _) => Some(Cow::Borrowed(map)),
            (Self::MapOnly, _) => with(Vec::new()),
            (Self::Shuffled, _) => with(shuffled(map)),
            (Self::OtherSlide, Some(other)) => with(matched(map, other)?),
            (Self::OtherSlide, None) => None,
        })
    }
}

/// Every crop handed to the next class.
fn shuffled(map: &SemanticMap) -> Vec<Crop> {
    let ids: Vec<u8> = map.classes.iter().map(|c| c.id).collect();
    let next = |class: u8| ids.iter().position(|i| *i == class).map_or(class, |i| ids[(i + 1) % ids.len()]);
    map.crops.iter().map(|c| Crop { class: next(c.class), ..c.clone() }).collect()
}

/// For each class the crops of the other slide's class that lies nearest, moved out of every window's way.
fn matched(map: &SemanticMap, other: &SemanticMap) -> Result<Vec<Crop>> {
    let no = || Error::parameter("other", "its map or this one holds no embeddings of one encoder", "cluster both slides again");
    let (ours, theirs) = (Manifold::new(&map.bank).ok_or_else(no)?, Manifold::new(&other.bank).ok_or_else(no)?);
    if ours.channels() != theirs.channels() {
        return Err(no());
    }
    let mut out = Vec::new();
    for class in &map.classes {
        let Some(near) = ours.centroid_of(class.id).and_then(|c| theirs.closest(c)) else { continue };
        let of_class = other.crops.iter().filter(|c| c.class == near);
        out.extend(of_class.map(|c| Crop { class: class.id, x: i64::MIN / 4, y: i64::MIN / 4, rgb: c.rgb.clone() }));
    }
    Ok(out)
}

/// A crop a class cut from the target window, where one fits, at the purest place.
pub(super) fn in_place(
    source: &dyn TileSource,
    map: &SemanticMap,
    place: &Place,
    labels: &[u8],
    side: usize,
) -> Result<(Vec<Crop>, OwnCrops)> {
    let (mut crops, mut own) = (Vec::new(), OwnCrops::new());
    let step = place.side_px / side as f64;
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    for class in present.into_iter().filter(|c| *c != 0) {
        let found = SIDES_PX.iter().find_map(|px| purest(labels, side, class, *px as usize).map(|at| (at, *px)));
        let Some(((row, column), px)) = found else { continue };
        let (x, y) = ((place.x + column as f64 * step).round() as i64, (place.y + row as f64 * step).round() as i64);
        let rgb = read(source, &Region { x, y, downsample: step, width_px: px, height_px: px })?;
        own.insert(class, vec![map.crops.len() + crops.len()]);
        crops.push(Crop { class, x, y, rgb });
    }
    Ok((crops, own))
}

/// The corner of the square of `px` pixels whose inside holds most of a class, if that is enough.
fn purest(labels: &[u8], side: usize, class: u8, px: usize) -> Option<(usize, usize)> {
    let inside = px - 32;
    let share = |(r, c): (usize, usize)| {
        let rows = (r + 16..r + 16 + inside).step_by(4);
        let hits =
            rows.flat_map(|r| (c + 16..c + 16 + inside).step_by(4).map(move |c| r * side + c)).filter(|i| labels[*i] == class).count();
        hits as f64 / (inside.div_ceil(4) * inside.div_ceil(4)) as f64
    };
    let corners = (0..=side.saturating_sub(px)).step_by(16).flat_map(|r| (0..=side.saturating_sub(px)).step_by(16).map(move |c| (r, c)));
    let best = corners.map(|at| (share(at), at)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= PURE).then_some(best.1)
}
