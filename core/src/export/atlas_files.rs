//! An atlas in one file. In: an [`Atlas`]. Out: JSON, and the same atlas read back bit for bit. The joins are not written: they follow
//! from leaves and counts ([`Hierarchy::of_leaves`]). Fails with the file's name, what is wrong with it and what to try.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asap::hex;
use super::{files, scrubbed};
use crate::atlas::{Atlas, EncoderOf, Leaf};
use crate::cluster::{Centroids, Hierarchy};
use crate::semantic_map::edit::{name_of, parsed};
use crate::{Error, Result, limits};

const FORMAT: &str = "histoloom-atlas";
/// Raised when a reader of the older form would be misled.
const VERSION: u32 = 1;
/// Largest atlas file, in bytes.
const ATLAS_BYTES: usize = 64 << 20;
const AGAIN: &str = "give a file made by `histoloom atlas fit`";

/// The file. Single-precision numbers come back exactly whatever JSON reader: they have digits to spare.
#[derive(Serialize, Deserialize)]
struct AtlasFile {
    format: String,
    version: u32,
    software: String,
    id_sha256: String,
    encoder: EncoderOf,
    mpp: f32,
    normalisation: String,
    k: usize,
    inertia: f32,
    leaves: Vec<LeafOf>,
    provenance: Value,
    licence: String,
}

/// A leaf.
#[derive(Serialize, Deserialize)]
struct LeafOf {
    name: Option<String>,
    color: Option<String>,
    rows: u64,
    radius: f32,
    centroid: Vec<f32>,
}

/// Writes an atlas.
pub fn write_atlas(path: &Path, atlas: &Atlas) -> Result<Vec<PathBuf>> {
    let h = &atlas.hierarchy;
    let leaf = |(i, leaf): (usize, &Leaf)| LeafOf {
        name: leaf.name.clone(),
        color: leaf.color.map(hex),
        rows: h.counts[i],
        radius: leaf.radius,
        centroid: h.leaves.row(i).to_vec(),
    };
    let file = AtlasFile {
        format: FORMAT.into(),
        version: VERSION,
        software: format!("histoloom {}", env!("CARGO_PKG_VERSION")),
        id_sha256: atlas.id_sha256(),
        encoder: atlas.encoder.clone(),
        mpp: atlas.mpp,
        normalisation: atlas.normalisation.clone(),
        k: atlas.k,
        inertia: h.inertia as f32,
        leaves: atlas.leaves.iter().enumerate().map(leaf).collect(),
        provenance: scrubbed(&atlas.provenance),
        licence: atlas.licence.clone(),
    };
    let text = serde_json::to_string_pretty(&file).map_err(|e| Error::internal(format!("atlas: {e}")))?;
    files::write_making_dir(path, (text + "\n").as_bytes())?;
    Ok(vec![path.to_owned()])
}

/// Reads an atlas that [`write_atlas`] wrote.
pub fn read_atlas(path: &Path) -> Result<Atlas> {
    let bytes = files::read(path, ATLAS_BYTES, AGAIN)?;
    parsed_atlas(&bytes).map_err(|why| Error::file("cannot use the atlas", path, why, AGAIN))
}

fn parsed_atlas(bytes: &[u8]) -> std::result::Result<Atlas, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {e}"))?;
    let (format, version) = (value["format"].as_str().unwrap_or(""), value["version"].as_u64().unwrap_or(0));
    if (format, version) != (FORMAT, u64::from(VERSION)) {
        return Err(format!("its format is {format:?} version {version}, not {FORMAT:?} version {VERSION}"));
    }
    let file: AtlasFile = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let (n, channels) = (file.leaves.len(), file.encoder.channels);
    if !(2..=limits::CLASSES).contains(&n) || !(1..=n).contains(&file.k) {
        return Err(format!("{n} leaves, to be cut at {}", file.k));
    }
    let positive = |v: f32| v > 0.0 && v.is_finite();
    let whole = |l: &LeafOf| l.centroid.len() == channels && positive(l.radius) && l.centroid.iter().all(|v| v.is_finite());
    if channels == 0 || !file.leaves.iter().all(whole) || !limits::MPP.contains(&f64::from(file.mpp)) {
        return Err("a leaf or the resolution is not what it must be".into());
    }
    if limits::sum_of_counts(file.leaves.iter().map(|l| l.rows)).is_none() || !(file.inertia >= 0.0 && file.inertia.is_finite()) {
        return Err("the rows of its leaves, or how they spread, are not what they can be".into());
    }
    let leaves = file.leaves.iter().map(leaf).collect::<std::result::Result<_, String>>()?;
    let centroids = Centroids { channels, data: file.leaves.iter().flat_map(|l| l.centroid.iter().copied()).collect() };
    let counts = file.leaves.iter().map(|l| l.rows).collect();
    let atlas = Atlas {
        encoder: file.encoder,
        mpp: file.mpp,
        normalisation: file.normalisation,
        k: file.k,
        hierarchy: Hierarchy::of_leaves(centroids, counts, f64::from(file.inertia)),
        leaves,
        provenance: file.provenance,
        licence: file.licence,
    };
    if atlas.id_sha256() != file.id_sha256 {
        return Err("its leaves are not those it was written with: the file was changed by hand or is damaged".into());
    }
    Ok(atlas)
}

fn leaf(of: &LeafOf) -> std::result::Result<Leaf, String> {
    let name = of.name.as_deref().map(name_of).transpose()?;
    let color = of.color.as_deref().map(parsed).transpose()?;
    Ok(Leaf { radius: of.radius, name, color })
}

/// What an atlas is, with the classes of its cut at `k` (0 = its own).
pub fn atlas_summary(atlas: &Atlas, k: usize) -> Result<Value> {
    let k = atlas.k_or_own(k);
    let (cut, shown, legend) = (atlas.hierarchy.cut(k)?, atlas.cut(k)?, atlas.legend(k)?);
    let rows = |label: u8| shown.iter().zip(&atlas.hierarchy.counts).filter(|(l, _)| **l == label).map(|(_, n)| n).sum::<u64>();
    let there = (1u8..).zip(&legend).filter(|(label, _)| shown.contains(label));
    let classes = there.map(|(label, (name, color))| json!({"id": label, "name": name, "color": color, "rows": rows(label)}));
    Ok(json!({
        "format": FORMAT,
        "version": VERSION,
        "id_sha256": atlas.id_sha256(),
        "encoder": atlas.encoder,
        "mpp": (f64::from(atlas.mpp) * 1e4).round() / 1e4,
        "normalisation": atlas.normalisation,
        "leaves": atlas.leaves.len(),
        "leaf_labels": cut,
        "k": k,
        "own_k": atlas.k,
        "classes": classes.collect::<Vec<_>>(),
        "slides": atlas.provenance["slides"].as_array().map(Vec::len),
        "rows": atlas.hierarchy.counts.iter().sum::<u64>(),
        "provenance": atlas.provenance,
        "licence": atlas.licence,
    }))
}

/// The summary of a JSON file, if it is an atlas.
pub(super) fn inspected(bytes: &[u8]) -> Option<Value> {
    bytes.windows(FORMAT.len()).take(64).any(|w| w == FORMAT.as_bytes()).then_some(())?;
    parsed_atlas(bytes).ok().and_then(|atlas| atlas_summary(&atlas, 0).ok())
}
