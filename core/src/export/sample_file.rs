//! A sample in one file: 8 bytes of magic, the header's length (u64), the header as JSON, then the rows: slide and cell (u32), rank
//! (f64), values (f32), all little-endian. In: a [`Sample`]. Out: the file, and the same sample read back bit for bit. Fails with the
//! file's name, what is wrong with it and what to try; sizes are checked before anything is allocated.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files;
use crate::atlas::{EncoderOf, Kept, Sample, SampledSlide};
use crate::{Error, Result, limits};

/// First bytes of a sample.
pub(super) const MAGIC: &[u8; 8] = b"HLSAMPL1";
const FORMAT: &str = "histoloom-sample";
/// The ending by which samples are found in a folder.
const ENDING: &str = "sample";
/// Largest sample file, in bytes.
const SAMPLE_BYTES: usize = 1 << 30;
/// Bytes of a row besides its values.
const ROW_BYTES: usize = 16;
const AGAIN: &str = "make the sample again with `histoloom atlas sample`";

/// The header.
#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    software: String,
    encoder: EncoderOf,
    normalisation: String,
    seed: u64,
    rows: usize,
    rows_sha256: String,
    slides: Vec<SampledSlide>,
}

/// Writes a sample.
pub fn write_sample(path: &Path, sample: &Sample) -> Result<Vec<PathBuf>> {
    let mut rows = Vec::with_capacity(sample.kept.len() * (ROW_BYTES + 4 * sample.encoder.channels));
    for (i, k) in sample.kept.iter().enumerate() {
        rows.extend(k.slide.to_le_bytes().into_iter().chain(k.cell.to_le_bytes()).chain(k.rank.to_le_bytes()));
        rows.extend(sample.rows().row(i).iter().flat_map(|v| v.to_le_bytes()));
    }
    let header = Header {
        format: FORMAT.into(),
        software: format!("histoloom {}", env!("CARGO_PKG_VERSION")),
        encoder: sample.encoder.clone(),
        normalisation: sample.normalisation.clone(),
        seed: sample.seed,
        rows: sample.kept.len(),
        rows_sha256: files::sha256(&rows),
        slides: sample.slides.clone(),
    };
    let header = serde_json::to_vec(&header).map_err(|e| Error::internal(format!("sample: {e}")))?;
    let mut out = MAGIC.to_vec();
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(|e| Error::internal(e.to_string()))?;
    out.extend(header);
    out.extend(rows);
    files::write_making_dir(path, &out)?;
    Ok(vec![path.to_owned()])
}

/// Reads a sample that [`write_sample`] wrote.
pub fn read_sample(path: &Path) -> Result<Sample> {
    let bytes = files::read(path, SAMPLE_BYTES, AGAIN)?;
    parsed(&bytes).map_err(|why| Error::file("cannot use the sample", path, why, AGAIN))
}

/// The samples that paths name: files as they are, folders by the `.sample` files in them, in order of their names.
pub fn sample_files(paths: &[String]) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for path in paths.iter().map(Path::new) {
        if !path.is_dir() {
            out.push(path.to_owned());
            continue;
        }
        let fail = |why: String| Error::file("cannot read the folder", path, why, "give a folder with samples in it");
        let entries = std::fs::read_dir(path).map_err(|e| fail(e.to_string()))?;
        let mut found: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == ENDING)).collect();
        if found.is_empty() {
            return Err(fail("no file in it ends in .sample".into()));
        }
        found.sort();
        out.extend(found);
    }
    Ok(out)
}

/// The header of a sample file.
pub(super) fn inspected(bytes: &[u8]) -> std::result::Result<Value, String> {
    serde_json::to_value(split(bytes)?.0).map_err(|e| e.to_string())
}

fn split(bytes: &[u8]) -> std::result::Result<(Header, &[u8]), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is no sample")?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or("it is cut off")?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|n| *n <= rest.len()).ok_or("it is cut off")?;
    let (header, rows) = rest.split_at(length);
    let header: Header = serde_json::from_slice(header).map_err(|e| format!("its header: {e}"))?;
    if header.format == FORMAT { Ok((header, rows)) } else { Err(format!("its format is {:?}, not {FORMAT:?}", header.format)) }
}

/// Counts and resolutions of slides.
fn check_slides(slides: &[SampledSlide]) -> std::result::Result<(), String> {
    if limits::sum_of_counts(slides.iter().map(|s| s.cells)).is_none() {
        return Err(format!("its slides have more than {} cells", limits::COUNT));
    }
    let sound = |s: &&SampledSlide| s.rows <= s.cells && limits::MPP.contains(&f64::from(s.work_mpp));
    match slides.iter().find(|s| !sound(s)) {
        Some(s) => Err(format!("a slide with {} rows of {} cells, at {} um/px", s.rows, s.cells, s.work_mpp)),
        None => Ok(()),
    }
}

fn parsed(bytes: &[u8]) -> std::result::Result<Sample, String> {
    let (header, rows) = split(bytes)?;
    let channels = header.encoder.channels;
    let row_bytes =
        channels.checked_mul(4).and_then(|n| n.checked_add(ROW_BYTES)).filter(|_| channels > 0).ok_or("rows without numbers")?;
    if header.rows > limits::ATLAS_ROWS || header.rows.checked_mul(row_bytes) != Some(rows.len()) {
        return Err(format!("{} bytes do not hold {} rows of {channels} numbers", rows.len(), header.rows));
    }
    if files::sha256(rows) != header.rows_sha256 {
        return Err("its rows are not those it was written with".into());
    }
    let (mut kept, mut data) = (Vec::with_capacity(header.rows), Vec::with_capacity(header.rows * channels));
    for row in rows.chunks_exact(row_bytes) {
        let (place, values) = row.split_first_chunk::<ROW_BYTES>().ok_or("it is cut off")?;
        let [a, b, c, d, e, f, g, h, rank @ ..] = *place;
        let word = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
        kept.push(Kept { slide: word([a, b, c, d]), cell: word([e, f, g, h]), rank: f64::from_le_bytes(rank) });
        data.extend(values.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)));
    }
    check_slides(&header.slides)?;
    let sorted =
        kept.is_sorted_by(|a, b| (a.slide, a.cell) < (b.slide, b.cell)) && header.slides.is_sorted_by(|a, b| a.id_sha256 < b.id_sha256);
    let sound = kept.iter().all(|k| (k.slide as usize) < header.slides.len() && k.rank >= 0.0 && k.rank.is_finite());
    if !sorted || !sound || !data.iter().all(|v| v.abs() <= limits::EMBEDDING) {
        return Err("its rows are out of order or hold what is no embedding".into());
    }
    Ok(Sample { encoder: header.encoder, normalisation: header.normalisation, seed: header.seed, slides: header.slides, kept, data })
}
