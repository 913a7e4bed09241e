//! What the slide's tissue looks like, for the flags. In: the open slide, its map. Out: tiles of 256 px from all over it, measured cell by
//! cell (32 px): stain, clipped pixels and fineness of detail. No pixels are kept. A tile knows its place, not its classes: those are
//! looked up in the map, which may be edited after it was measured. Fails where the slide cannot be read or the job is cancelled.

use image::RgbImage;

use crate::condition::{Place, Places, window_labels};
use crate::flags::{CELL_PX, Density, Stain, cell_labels, densities, is_saturated};
use crate::rng::Stream;
use crate::{Job, Result, TileSource};

use super::SemanticMap;

/// Side of a tile in pixels of the working resolution.
pub(crate) const TILE_PX: u32 = 256;
/// Cells a side of a tile.
const SIDE: usize = TILE_PX as usize / CELL_PX;
/// Cells of a tile.
pub const CELLS: usize = SIDE * SIDE;
/// Points a side of a tile that a label is looked up at, 4 px apart: 64 a cell.
const POINTS: usize = 8 * SIDE;
/// Most tiles: with 64, what covers a twentieth of the tissue is missed with probability 0.04.
const MOST: usize = 64;

/// One cell that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TissueCell {
    /// Its stain.
    pub stain: Stain,
    /// Share of its pixels with a channel at 0 or 255.
    pub clipped: f32,
    /// How fine its detail is, as S7 measures it: a logarithm, of pixels as scanned.
    pub fineness: f32,
}

/// One tile of 256 px that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct TissueTile {
    /// Upper row of its place, in cells of the map.
    pub row: u32,
    /// Left column of its place, in cells of the map.
    pub column: u32,
    /// Its [`CELLS`] cells of 32 px, row-major.
    pub cells: Vec<TissueCell>,
}

/// Up to 64 tiles drawn by `seed` among those side by side on the map with at least 60 % tissue; none on a map without room for one.
pub fn tissue(source: &dyn TileSource, map: &SemanticMap, seed: u64, job: &Job) -> Result<Vec<TissueTile>> {
    let mut places = Places::new(map, TILE_PX).map_or_else(|_| Vec::new(), |p| p.side_by_side());
    Stream::new(seed, u32::MAX - 3, 0).shuffle(&mut places);
    places.truncate(MOST);
    places.sort_by_key(|p| (p.row, p.column)); // neighbours share the slide's own tiles
    job.stage("measuring the tissue", places.len() as u64);
    let mut out = Vec::with_capacity(places.len());
    for place in &places {
        job.check()?;
        out.push(TissueTile::at(place, &place.read(source, TILE_PX)?));
        job.advance(1);
    }
    Ok(out)
}

impl TissueTile {
    /// Measures the picture of a place on the map.
    pub(crate) fn at(place: &Place, rgb: &RgbImage) -> Self {
        Self { row: place.row.max(0) as u32, column: place.column.max(0) as u32, cells: cells(rgb) }
    }
}

/// The class of each cell of each measured tile by the map as it is now: the one that most of the cell asks for, as for a tile's own
/// cells; 0 = background.
pub(crate) fn classes(map: &SemanticMap) -> Vec<[u8; CELLS]> {
    let Ok(places) = Places::new(map, TILE_PX) else { return vec![[0; CELLS]; map.tissue.len()] };
    let of = |tile: &TissueTile| {
        let mut out = [0; CELLS];
        if let Ok(place) = places.at(f64::from(tile.column) * map.cell_px, f64::from(tile.row) * map.cell_px) {
            let labels = cell_labels(&window_labels(map, &place, POINTS), POINTS, POINTS / SIDE);
            out.iter_mut().zip(labels).for_each(|(class, label)| *class = label.class);
        }
        out
    };
    map.tissue.iter().map(of).collect()
}

/// The cells of a picture of 256 px, row-major.
pub(crate) fn cells(rgb: &RgbImage) -> Vec<TissueCell> {
    let (od, side, fineness) = (densities(), CELL_PX as u32, Density::of(rgb).fineness());
    let cell = |i: usize| {
        let (x, y) = ((i % SIDE * CELL_PX) as u32, (i / SIDE * CELL_PX) as u32);
        let pixels = (0..side * side).map(|n| rgb.get_pixel(x + n % side, y + n / side));
        let clipped = pixels.filter(|p| is_saturated(p)).count() as f32 / (side * side) as f32;
        TissueCell { stain: Stain::of(rgb, x, y, side, &od), clipped, fineness: fineness[i] }
    };
    (0..CELLS).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::fakes::map;

    #[test]
    fn classes_of_measured_cells_are_those_of_the_map_as_it_was_edited() {
        let mut m = map();
        let before = classes(&m);
        // the tile at column 8 of the map: glass up to column 16, which is the middle of the tile, then class 1
        let first = m.tissue.iter().position(|t| (t.row, t.column) == (0, 8)).unwrap();
        let halves: Vec<u8> = (0..CELLS).map(|i| u8::from(i % SIDE >= SIDE / 2)).collect();
        assert_eq!(before[first].as_slice(), halves);
        assert!(before.iter().flatten().any(|c| *c == 2));
        m.labels.iter_mut().filter(|l| **l == 2).for_each(|l| *l = 7);
        let renamed: Vec<_> = before.iter().map(|tile| tile.map(|c| if c == 2 { 7 } else { c })).collect();
        assert!(classes(&m) == renamed, "a class under another label");
        m.labels.fill(0);
        assert!(classes(&m).iter().flatten().all(|c| *c == 0), "a map without tissue");
    }
}
