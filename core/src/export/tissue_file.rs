//! `tissue.f32`: the measured cells of a map. Little-endian; a cell is its mean optical density, the shares of red, green and blue in it and
//! its share of clipped pixels; 64 cells a tile of 256 px. In and out: bytes.

use crate::flags::Stain;
use crate::semantic_map::TissueCell;
use crate::semantic_map::tissue::CELLS;

/// Its name in a map's folder.
pub(super) const TISSUE: &str = "tissue.f32";
/// Numbers a cell.
const NUMBERS: usize = 5;
/// Bytes a tile.
const TILE_BYTES: usize = 4 * NUMBERS * CELLS;
/// Largest file read, in bytes: a thousand tiles.
pub(super) const BYTES: usize = 1000 * TILE_BYTES;

pub(super) fn to_bytes(cells: &[TissueCell]) -> Vec<u8> {
    let numbers = |c: &TissueCell| [c.stain.density, c.stain.shares[0], c.stain.shares[1], c.stain.shares[2], c.clipped];
    cells.iter().flat_map(numbers).flat_map(f32::to_le_bytes).collect()
}

/// The error is the reason alone.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Vec<TissueCell>, String> {
    if !bytes.len().is_multiple_of(TILE_BYTES) {
        return Err(format!("{} bytes are no whole number of tiles", bytes.len()));
    }
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    if numbers.iter().any(|v| !v.is_finite()) {
        return Err("a number is not finite".into());
    }
    let cell = |&[density, r, g, b, clipped]: &[f32; NUMBERS]| TissueCell { stain: Stain { density, shares: [r, g, b] }, clipped };
    Ok(numbers.as_chunks().0.iter().map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_and_damaged_ones_are_refused() {
        let stain = |i: usize| Stain { density: i as f32 / 64.0, shares: [0.2, 0.5, 0.3] };
        let cells: Vec<_> = (0..CELLS).map(|i| TissueCell { stain: stain(i), clipped: 0.125 }).collect();
        let mut bytes = to_bytes(&cells);
        assert_eq!(from_bytes(&bytes).unwrap(), cells);
        assert!(from_bytes(&bytes[4..]).unwrap_err().contains("no whole number of tiles"));
        bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(from_bytes(&bytes).unwrap_err().contains("not finite"));
    }
}
