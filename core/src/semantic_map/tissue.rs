//! What the slide's tissue looks like, for the flags. In: the open slide, its map. Out: tiles of 256 px from all over it, measured cell by
//! cell (32 px): stain and clipped pixels. No pixels are kept. Fails where the slide cannot be read or the job is cancelled.

use image::RgbImage;

use crate::condition::Places;
use crate::flags::{CELL_PX, Stain, densities, is_saturated};
use crate::rng::Stream;
use crate::{Job, Result, TileSource};

use super::SemanticMap;

/// Side of a tile in pixels of the working resolution.
pub(crate) const TILE_PX: u32 = 256;
/// Cells a side of a tile.
const SIDE: usize = TILE_PX as usize / CELL_PX;
/// Cells of a tile.
pub const CELLS: usize = SIDE * SIDE;
/// Most tiles: with 64, what covers a twentieth of the tissue is missed with probability 0.04.
const MOST: usize = 64;

/// One cell that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TissueCell {
    /// Its stain.
    pub stain: Stain,
    /// Share of its pixels with a channel at 0 or 255.
    pub clipped: f32,
}

/// The cells, [`CELLS`] a tile, of up to 64 tiles drawn by `seed` among those side by side on the map with at least 60 % tissue; none on a
/// map without room for one.
pub fn tissue(source: &dyn TileSource, map: &SemanticMap, seed: u64, job: &Job) -> Result<Vec<TissueCell>> {
    let mut places = Places::new(map, TILE_PX).map_or_else(|_| Vec::new(), |p| p.side_by_side());
    Stream::new(seed, u32::MAX - 3, 0).shuffle(&mut places);
    places.truncate(MOST);
    places.sort_by_key(|p| (p.row, p.column)); // neighbours share the slide's own tiles
    job.stage("tissue", places.len() as u64);
    let mut out = Vec::with_capacity(places.len() * CELLS);
    for place in &places {
        job.check()?;
        out.extend(cells(&place.read(source, TILE_PX)?));
        job.advance(1);
    }
    Ok(out)
}

/// The cells of a picture of 256 px, row-major.
pub(crate) fn cells(rgb: &RgbImage) -> Vec<TissueCell> {
    let (od, side) = (densities(), CELL_PX as u32);
    let cell = |i: usize| {
        let (x, y) = ((i % SIDE * CELL_PX) as u32, (i / SIDE * CELL_PX) as u32);
        let pixels = (0..side * side).map(|n| rgb.get_pixel(x + n % side, y + n / side));
        let clipped = pixels.filter(|p| is_saturated(p)).count() as f32 / (side * side) as f32;
        TissueCell { stain: Stain::of(rgb, x, y, side, &od), clipped }
    };
    (0..CELLS).map(cell).collect()
}
