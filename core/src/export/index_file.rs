//! The file of an [`Index`]: magic, length of a JSON header, header, cells. In and out: bytes. Little-endian.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files;
use crate::flags::duplicates::{Index, Indexed};
use crate::{Error, Result};

/// First bytes.
pub(super) const MAGIC: &[u8] = b"HLINDEX1";
/// Largest file, in bytes.
const BYTES: usize = 256 << 20;
/// Longest header, in bytes.
const HEADER_BYTES: usize = 1 << 20;
const HINT: &str = "give an index made by `histoloom flags index`, or reinstall the models";

#[derive(Serialize, Deserialize)]
struct Header {
    encoder_sha256: String,
    channels: usize,
    scale: f32,
    pictures: Vec<PictureOf>,
}

#[derive(Serialize, Deserialize)]
struct PictureOf {
    id_sha256: String,
    mpp: f32,
    rows: usize,
    columns: usize,
}

/// Writes an index.
pub fn write_index(path: &Path, index: &Index) -> Result<PathBuf> {
    let of = |p: &Indexed| PictureOf { id_sha256: p.id_sha256.clone(), mpp: p.mpp, rows: p.rows, columns: p.columns };
    let header = Header {
        encoder_sha256: index.encoder_sha256.clone(),
        channels: index.channels,
        scale: index.scale,
        pictures: index.pictures.iter().map(of).collect(),
    };
    let header = serde_json::to_vec(&header).map_err(|e| Error::internal(e.to_string()))?;
    let mut bytes = [MAGIC, &(header.len() as u32).to_le_bytes(), &header].concat();
    index.pictures.iter().for_each(|p| bytes.extend(p.cells.iter().map(|v| *v as u8)));
    files::write(path, &bytes)?;
    Ok(path.into())
}

/// Reads an index; its SHA-256, hex, comes with it.
pub fn read_index(path: &Path) -> Result<(Index, String)> {
    let bytes = files::read(path, BYTES, HINT)?;
    let index = parsed(&bytes).map_err(|why| Error::file("cannot read", path, why, HINT))?;
    Ok((index, files::sha256(&bytes)))
}

fn header(bytes: &[u8]) -> std::result::Result<(Header, &[u8]), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no index of pictures")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is cut off")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (text, cells) = rest.split_at_checked(length).filter(|_| length <= HEADER_BYTES).ok_or("its header is cut off or too long")?;
    Ok((serde_json::from_slice(text).map_err(|e| format!("its header is damaged: {e}"))?, cells))
}

fn parsed(bytes: &[u8]) -> std::result::Result<Index, String> {
    let (header, mut cells) = header(bytes)?;
    let mut pictures = Vec::new();
    for p in header.pictures {
        let n = p.rows.checked_mul(p.columns).and_then(|n| n.checked_mul(header.channels)).ok_or("a picture is too large")?;
        let (own, rest) = cells.split_at_checked(n).ok_or("its cells are cut off")?;
        cells = rest;
        let own = own.iter().map(|v| *v as i8).collect();
        pictures.push(Indexed { id_sha256: p.id_sha256, mpp: p.mpp, rows: p.rows, columns: p.columns, cells: own });
    }
    let index = Index { encoder_sha256: header.encoder_sha256, channels: header.channels, scale: header.scale, pictures };
    if cells.is_empty() && index.is_sound() { Ok(index) } else { Err("its numbers do not fit each other".into()) }
}

/// What the file says of itself.
pub(super) fn inspected(bytes: &[u8]) -> std::result::Result<Value, String> {
    let (header, _) = header(bytes)?;
    let mut value = serde_json::to_value(header).map_err(|e| e.to_string())?;
    value["format"] = "histoloom-index".into();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_and_a_damaged_one_says_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.bin");
        let of = |id: &str, rows: usize| Indexed {
            id_sha256: id.into(),
            mpp: 0.5,
            rows,
            columns: 3,
            cells: (0..rows * 6).map(|i| i as i8 - 9).collect(),
        };
        let index = Index { encoder_sha256: "e".into(), channels: 2, scale: 0.5, pictures: vec![of("a", 4), of("b", 5)] };
        write_index(&path, &index).unwrap();
        let (back, sha256) = read_index(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((back, sha256), (index, files::sha256(&bytes)));
        assert_eq!(inspected(&bytes).unwrap()["pictures"][1]["rows"], 5);
        for n in 0..bytes.len() {
            assert!(parsed(&bytes[..n]).is_err(), "{n}");
        }
        let mut long = bytes;
        long.push(0);
        assert!(parsed(&long).unwrap_err().contains("fit"));
    }
}
