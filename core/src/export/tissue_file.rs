//! `tissue.f32`: the measured tiles of a map. Little-endian: the version as u32; then for each tile of 256 px the row and the column of
//! its place, in cells of the map, as u32, and its 64 cells of six f32: mean optical density, the shares of red, green and blue in it, the
//! share of clipped pixels, fineness of detail. Version 1, which had no version, no places and no fineness, is refused. In and out: bytes.

use crate::flags::Stain;
use crate::semantic_map::tissue::CELLS;
use crate::semantic_map::{TissueCell, TissueTile};

/// Its name in a map's folder.
pub(super) const TISSUE: &str = "tissue.f32";
/// What stands first. In version 1 that was a density, which is no such small number.
const VERSION: u32 = 2;
/// Numbers a cell.
const NUMBERS: usize = 6;
/// Bytes of a version, a row or a column.
const WORD: usize = 4;
/// Bytes a tile.
const TILE_BYTES: usize = 2 * WORD + 4 * NUMBERS * CELLS;
/// Largest file read, in bytes: a thousand tiles.
pub(super) const BYTES: usize = WORD + 1000 * TILE_BYTES;

pub(super) fn to_bytes(tiles: &[TissueTile]) -> Vec<u8> {
    let mut out = VERSION.to_le_bytes().to_vec();
    for tile in tiles {
        out.extend([tile.row, tile.column].map(u32::to_le_bytes).as_flattened());
        let numbers = |c: &TissueCell| [c.stain.density, c.stain.shares[0], c.stain.shares[1], c.stain.shares[2], c.clipped, c.fineness];
        out.extend(tile.cells.iter().flat_map(numbers).flat_map(f32::to_le_bytes));
    }
    out
}

/// The error is the reason alone.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<TissueTile>, String> {
    let Some((_, tiles)) = bytes.split_first_chunk::<WORD>().filter(|(version, _)| u32::from_le_bytes(**version) == VERSION) else {
        return Err("the tissue was measured by another version of Histoloom".into());
    };
    if !tiles.len().is_multiple_of(TILE_BYTES) {
        return Err(format!("{} bytes are no whole number of tiles", tiles.len()));
    }
    tiles.as_chunks::<TILE_BYTES>().0.iter().map(tile).collect()
}

fn tile(bytes: &[u8; TILE_BYTES]) -> Result<TissueTile, String> {
    let words = bytes.as_chunks::<WORD>().0;
    let numbers: Vec<f32> = words[2..].iter().map(|b| f32::from_le_bytes(*b)).collect();
    if numbers.iter().any(|v| !v.is_finite()) {
        return Err("a number is not finite".into());
    }
    let cell = |&[density, r, g, b, clipped, fineness]: &[f32; NUMBERS]| {
        let stain = Stain { density, shares: [r, g, b] };
        TissueCell { stain, clipped, fineness }
    };
    let cells = numbers.as_chunks().0.iter().map(cell).collect();
    Ok(TissueTile { row: u32::from_le_bytes(words[0]), column: u32::from_le_bytes(words[1]), cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_come_back_and_damaged_ones_are_refused() {
        let stain = |i: usize| Stain { density: i as f32 / 64.0, shares: [0.2, 0.5, 0.3] };
        let cell = |i: usize| TissueCell { stain: stain(i), clipped: 0.125, fineness: -1.5 - i as f32 };
        let tile = |row| TissueTile { row, column: 70_000, cells: (0..CELLS).map(cell).collect() };
        let tiles = vec![tile(3), tile(u32::MAX)];
        let mut bytes = to_bytes(&tiles);
        assert_eq!(from_bytes(&bytes).unwrap(), tiles);
        assert!(from_bytes(&bytes[..bytes.len() - 4]).unwrap_err().contains("no whole number of tiles"));
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(from_bytes(&bytes).unwrap_err().contains("not finite"));
    }

    #[test]
    fn files_without_places_and_fineness_are_told_apart_whatever_they_hold() {
        // version 1: five numbers a cell and nothing before them, glass being 0 throughout
        for number in [0.0f32, 0.3] {
            let old: Vec<u8> = std::iter::repeat_n(number.to_le_bytes(), 5 * CELLS).flatten().collect();
            assert!(from_bytes(&old).unwrap_err().contains("another version"), "{number}");
        }
        assert!(from_bytes(&[]).unwrap_err().contains("another version"));
    }
}
