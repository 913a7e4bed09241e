//! A map's folder. In: a [`SemanticMap`]. Out: its files, and the same map read back: labels, classes, crops, bank, thumbnail and
//! provenance bit for bit. Fails with the file's name, what is wrong with it and what to try.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::held::Held;
use super::map_names::{ARTEFACTS, BEFORE, CHOICE, CROPS, DISTANCE, LEAVES, REPORT, SIDECAR, SIDECAR_BYTES, UNKNOWN, crop_name};
use super::map_page::{Pictures, map_page, map_sheet, png};
use super::sidecar::{self, ArtefactsOf, AtlasOf, BankOf, CropOf, FileOf, Sidecar, ThumbnailOf};
use super::staged::{Staged, found};
use super::tissue_file::{self, TISSUE};
use super::tree_files::{HistoryOf, TreeOf};
use super::{asap, classes_csv, files, geojson, label_tiff, png_text, scrubbed};
use super::{readings_csv, unknown};
use crate::atlas::Assigned;
use crate::semantic_map::edit::History;
use crate::semantic_map::{Bank, Class, Crop, SemanticMap, TissueTile, Tree};
use crate::tiles::Artefact;
use crate::{Error, Job, Result, limits, pool};

/// Largest picture file read, in bytes.
const PICTURE_BYTES: usize = 256 << 20;
/// Largest bank read, in bytes.
const BANK_BYTES: usize = 1 << 30;
/// Largest thumbnail side read, in pixels.
const THUMBNAIL_PX: u32 = 8192;
/// Most crops read.
const MOST_CROPS: usize = limits::CLASSES * 64;
const AGAIN: &str = "make the map again with `histoloom cluster`, or give the folder of another map";

/// Whether a folder has the files for people and viewers beside those that `map.json` vouches for.
pub fn has_views(dir: &Path) -> bool {
    let all = [
        "overlay.png",
        "legend.png",
        REPORT[0],
        REPORT[1],
        "map.geojson",
        "map.asap.xml",
        "classes.csv",
        "labels_likelihood_map.tif",
        "labels.ome.tif",
    ];
    all.iter().all(|name| dir.join(name).is_file())
}

/// Writes a map into a folder, which is made if it is not there; a map that is there already is replaced as a whole or not at all. The
/// paths come back in the order in which they were written; `map.json`, which vouches for the others, is the last.
pub fn write_map(dir: &Path, map: &SemanticMap) -> Result<Vec<PathBuf>> {
    Held::of(dir)?.write(map, 1, &Job::new())
}

impl Held {
    /// [`write_map`] into the folder held, with so many threads (0: one a core). A cancelled job ends it between two files, and what was there
    /// stays.
    pub fn write(&self, map: &SemanticMap, threads: usize, job: &Job) -> Result<Vec<PathBuf>> {
        pool::pool(threads)?.install(|| written(self, map, job))
    }
}

fn written(held: &Held, map: &SemanticMap, job: &Job) -> Result<Vec<PathBuf>> {
    let dir = held.dir();
    check(map).map_err(|why| Error::internal(format!("map: {why}")))?;
    let mut out = Out { staged: Staged::begin(held)?, names: Vec::new(), job };
    let (columns, rows) = (map.columns as u32, map.rows as u32);
    let labels = out.put("labels.png", &png_text::encode(columns, rows, png_text::Pixels::Grey(&map.labels), &marks(map))?)?;
    let shown = Pictures::of(map, &marks(map))?;
    let thumbnail = out.put("thumbnail.png", &shown.thumbnail_png)?;
    out.put("overlay.png", &shown.overlay.png)?;
    out.put("legend.png", &shown.legend.png)?;
    let (page, sheet) = rayon::join(|| map_page(map, &shown), || png(&map_sheet(map, &shown), &marks(map)));
    out.put(REPORT[0], page?.as_bytes())?;
    out.put(REPORT[1], &sheet?)?;
    out.put("map.geojson", geojson(map).as_bytes())?;
    out.put("map.asap.xml", asap::annotations(map).as_bytes())?;
    out.put("classes.csv", classes_csv::classes_csv(map).as_bytes())?;
    out.put_with("labels_likelihood_map.tif", |file| label_tiff::likelihood_map(map, file))?;
    out.put_with("labels.ome.tif", |file| label_tiff::ome(map, file))?;
    let mut crops = Vec::with_capacity(map.crops.len());
    let pictures = map.crops.par_iter().map(|c| job.check().and_then(|()| png(&c.rgb, &[]))).collect::<Result<Vec<_>>>()?;
    for ((crop, picture), name) in map.crops.iter().zip(pictures).zip(crop_names(map.crops.iter().map(|c| c.class))) {
        let sha256 = out.put(&name, &picture)?.sha256;
        crops.push(CropOf { class: crop.class, x: crop.x, y: crop.y, side_px: crop.rgb.dimensions().into(), sha256 });
    }
    let bytes: Vec<u8> = map.bank.rows.iter().flat_map(|v| v.to_le_bytes()).collect();
    let bank = BankOf {
        file: out.put("bank.f32", &bytes)?,
        rows: map.bank.classes.len(),
        channels: map.bank.channels,
        class_runs: sidecar::runs(&map.bank.classes),
    };
    let tissue = (!map.tissue.is_empty()).then(|| out.put(TISSUE, &tissue_file::to_bytes(&map.tissue))).transpose()?;
    let grey = |cells: &[u8]| png_text::encode(columns, rows, png_text::Pixels::Grey(cells), &marks(map));
    if let (Some(tree), Some(chart)) = (&map.tree, &shown.chart) {
        out.put(CHOICE[0], &chart.png)?;
        out.put(CHOICE[1], readings_csv(&tree.readings).as_bytes())?;
    }
    let tree = map.tree.as_ref().map(|t| Ok(TreeOf::new(t, out.put(LEAVES, &grey(&t.leaves)?)?))).transpose()?;
    let history = map.history.as_ref().map(|h| Ok(HistoryOf::new(h, out.put(BEFORE, &grey(&h.labels)?)?))).transpose()?;
    let atlas = map.atlas.as_ref().map(|a| out.put_atlas(map, a, &grey(&a.distance)?)).transpose()?;
    let left_out = map.left_out();
    let artefacts = map.artefacts.as_ref().map(|codes| Ok(ArtefactsOf { file: out.put(ARTEFACTS, &grey(codes)?)?, left_out }));
    let sidecar = Sidecar {
        format: sidecar::FORMAT.into(),
        version: sidecar::VERSION,
        software: format!("histoloom {}", env!("CARGO_PKG_VERSION")),
        rows: map.rows,
        columns: map.columns,
        cell_px: map.cell_px,
        mpp: map.mpp,
        work_mpp: map.work_mpp,
        classes: map.classes.clone(),
        labels,
        thumbnail: ThumbnailOf { file: thumbnail, side_px: map.thumbnail.dimensions().into() },
        crops,
        bank,
        tissue,
        tree,
        history,
        atlas,
        artefacts: artefacts.transpose()?,
        provenance: scrubbed(&map.provenance),
    };
    out.put(SIDECAR, sidecar::to_text(&sidecar)?.as_bytes())?;
    let before = listed(dir);
    out.staged.settle()?;
    // what only the earlier map had; a failure leaves a stray picture and nothing worse
    for name in before.iter().filter(|name| !out.names.contains(name)) {
        let _ = fs::remove_file(dir.join(name));
    }
    Ok(out.names.iter().map(|name| dir.join(name)).collect())
}

/// Reads a map that [`write_map`] wrote. Every piece is checked against the SHA-256 in `map.json` before it is used.
pub fn read_map(dir: &Path) -> Result<SemanticMap> {
    let path = found(dir, SIDECAR);
    if !path.exists() {
        let why = if dir.is_dir() { "there is no map.json in it" } else { "there is no such folder" };
        return Err(Error::file("cannot read the map", dir, why, "give the folder that a finished cluster job wrote"));
    }
    let text = files::read(&path, SIDECAR_BYTES, AGAIN)?;
    let s = sidecar::from_text(&text).map_err(|why| Error::file("cannot read", &path, why, AGAIN))?;
    bounds(&s, &path)?;
    let labels_png = piece(dir, "labels.png", &s.labels, PICTURE_BYTES)?;
    let labels = png_text::grey(&labels_png, (s.columns as u32, s.rows as u32), &dir.join("labels.png"), AGAIN)?;
    let thumbnail_png = piece(dir, "thumbnail.png", &s.thumbnail.file, PICTURE_BYTES)?;
    let thumbnail = png_text::rgb(&thumbnail_png, s.thumbnail.side_px.into(), &dir.join("thumbnail.png"), AGAIN)?;
    let map = SemanticMap {
        rows: s.rows,
        columns: s.columns,
        labels,
        cell_px: s.cell_px,
        mpp: s.mpp,
        work_mpp: s.work_mpp,
        crops: read_crops(dir, &s.crops)?,
        bank: read_bank(dir, &s.bank)?,
        tissue: s.tissue.map_or_else(|| Ok(Vec::new()), |of| read_tissue(dir, &of))?,
        tree: s.tree.map(|of| read_tree(dir, of, (s.columns as u32, s.rows as u32))).transpose()?,
        history: s.history.map(|of| read_history(dir, of, (s.columns as u32, s.rows as u32))).transpose()?,
        atlas: s.atlas.map(|of| read_assigned(dir, of, (s.columns as u32, s.rows as u32))).transpose()?,
        classes: s.classes,
        artefacts: s.artefacts.map(|of| read_grey(dir, ARTEFACTS, &of.file, (s.columns as u32, s.rows as u32))).transpose()?,
        thumbnail,
        provenance: s.provenance,
    };
    check(&map).map_err(|e| Error::file("cannot use", &path, e, AGAIN))?;
    Ok(map)
}

/// A folder being written.
struct Out<'a> {
    staged: Staged,
    names: Vec<String>,
    job: &'a Job,
}

impl Out<'_> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<FileOf> {
        self.job.check()?;
        files::write(&self.staged.path().join(name), bytes)?;
        self.names.push(name.into());
        Ok(FileOf { file: name.into(), sha256: files::sha256(bytes) })
    }

    /// A file made piece by piece; `map.json` does not vouch for it.
    fn put_with(&mut self, name: &str, fill: impl FnOnce(&mut BufWriter<&mut File>) -> std::io::Result<()>) -> Result<()> {
        self.job.check()?;
        files::write_with(&self.staged.path().join(name), fill)?;
        self.names.push(name.into());
        Ok(())
    }

    /// What an atlas says, as a picture and as numbers.
    fn put_atlas(&mut self, map: &SemanticMap, assigned: &Assigned, distance: &[u8]) -> Result<AtlasOf> {
        self.put(UNKNOWN, &png(&unknown(map, assigned), &marks(map))?)?;
        let file = self.put(DISTANCE, distance)?;
        Ok(AtlasOf { file, id_sha256: assigned.id_sha256.clone(), unknown_share: assigned.unknown_share() })
    }
}

/// The files that the map of a folder has and another one may not have; none where it cannot be read.
fn listed(dir: &Path) -> Vec<String> {
    let text = files::read(&found(dir, SIDECAR), SIDECAR_BYTES, AGAIN).unwrap_or_default();
    let Ok(s) = sidecar::from_text(&text) else { return Vec::new() };
    let read = s.tree.as_ref().is_some_and(|t| !t.readings.is_empty());
    let parts: [(bool, &[&str]); 5] = [
        (s.tree.is_some(), &[LEAVES]),
        (read, &CHOICE),
        (s.history.is_some(), &[BEFORE]),
        (s.atlas.is_some(), &[UNKNOWN, DISTANCE]),
        (s.artefacts.is_some(), &[ARTEFACTS]),
    ];
    let others = parts.iter().filter(|(there, _)| *there).flat_map(|(_, names)| names.iter().map(|n| (*n).to_owned()));
    crop_names(s.crops.iter().map(|c| c.class)).into_iter().chain(others).collect()
}

/// `crops/class_03_1.png`: the class, then a number within the class.
fn crop_names(classes: impl Iterator<Item = u8>) -> Vec<String> {
    let mut used = [0u32; 256];
    classes
        .map(|class| {
            used[class as usize] += 1;
            format!("{CROPS}/{}", crop_name(class, used[class as usize]))
        })
        .collect()
}

/// What a picture of a map says of itself: labels found without a pathologist are not a diagnosis.
fn marks(map: &SemanticMap) -> Vec<(&'static str, String)> {
    vec![("Software", format!("histoloom {}", env!("CARGO_PKG_VERSION"))), ("Comment", format!("label map; a label is a {}", map.kind()))]
}

/// A file of the folder, with the content that the sidecar vouches for.
fn piece(dir: &Path, name: &str, of: &FileOf, limit: usize) -> Result<Vec<u8>> {
    let path = found(dir, name);
    let bytes = files::read(&path, limit, AGAIN)?;
    if files::sha256(&bytes) != of.sha256 {
        return Err(Error::file("cannot use", &path, "it is not the file that map.json was written with", AGAIN));
    }
    Ok(bytes)
}

fn read_crops(dir: &Path, crops: &[CropOf]) -> Result<Vec<Crop>> {
    let names = crop_names(crops.iter().map(|c| c.class));
    let read = |(c, name): (&CropOf, String)| {
        let bytes = piece(dir, &name, &FileOf { file: name.clone(), sha256: c.sha256.clone() }, PICTURE_BYTES)?;
        let rgb = png_text::rgb(&bytes, c.side_px.into(), &dir.join(&name), AGAIN)?;
        Ok(Crop { class: c.class, x: c.x, y: c.y, rgb })
    };
    crops.iter().zip(names).map(read).collect()
}

fn read_tree(dir: &Path, of: TreeOf, size: (u32, u32)) -> Result<Tree> {
    let leaves = read_grey(dir, LEAVES, &of.file, size)?;
    of.tree(leaves).map_err(|why| Error::file("cannot use", &dir.join("map.json"), why, AGAIN))
}

fn read_history(dir: &Path, of: HistoryOf, size: (u32, u32)) -> Result<History> {
    let before = read_grey(dir, BEFORE, &of.file, size)?;
    Ok(of.history(before))
}

/// A raster of the map's size, a cell a pixel.
fn read_grey(dir: &Path, name: &str, of: &FileOf, size: (u32, u32)) -> Result<Vec<u8>> {
    png_text::grey(&piece(dir, name, of, PICTURE_BYTES)?, size, &dir.join(name), AGAIN)
}

fn read_assigned(dir: &Path, of: AtlasOf, size: (u32, u32)) -> Result<Assigned> {
    let bytes = piece(dir, DISTANCE, &of.file, PICTURE_BYTES)?;
    Ok(Assigned { id_sha256: of.id_sha256, distance: png_text::grey(&bytes, size, &dir.join(DISTANCE), AGAIN)? })
}

fn read_bank(dir: &Path, of: &BankOf) -> Result<Bank> {
    let path = dir.join("bank.f32");
    let bytes = piece(dir, "bank.f32", &of.file, BANK_BYTES)?;
    let values = of.rows.checked_mul(of.channels);
    let in_runs = of.class_runs.iter().try_fold(0usize, |sum, run| sum.checked_add(run.1));
    if values.and_then(|v| v.checked_mul(4)) != Some(bytes.len()) || in_runs != Some(of.rows) {
        let why = format!("{} bytes do not hold {} rows of {} numbers", bytes.len(), of.rows, of.channels);
        return Err(Error::file("cannot use", &path, why, AGAIN));
    }
    let rows = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let classes = of.class_runs.iter().flat_map(|(class, n)| std::iter::repeat_n(*class, *n)).collect();
    Ok(Bank { channels: of.channels, classes, rows })
}

fn read_tissue(dir: &Path, of: &FileOf) -> Result<Vec<TissueTile>> {
    let bytes = piece(dir, TISSUE, of, tissue_file::BYTES)?;
    tissue_file::from_bytes(&bytes).map_err(|why| Error::file("cannot use", &dir.join(TISSUE), why, AGAIN))
}

/// Sizes in the sidecar, before anything is read by them.
fn bounds(s: &Sidecar, path: &Path) -> Result<()> {
    let bad = |why: String| Err(Error::file("cannot use", path, why, AGAIN));
    match s.rows.checked_mul(s.columns) {
        Some(cells) if (1..=limits::MAP_CELLS).contains(&cells) => {}
        _ => return bad(format!("{} x {} cells are outside 1 to {}", s.rows, s.columns, limits::MAP_CELLS)),
    }
    if let Some(crop) = s.crops.iter().find(|c| c.side_px.iter().any(|side| !(1..=limits::WINDOW_PX).contains(side))) {
        return bad(format!("a crop of {:?} px", crop.side_px));
    }
    if s.crops.len() > MOST_CROPS || s.thumbnail.side_px.iter().any(|side| !(1..=THUMBNAIL_PX).contains(side)) {
        return bad(format!("{} crops, a thumbnail of {:?} px", s.crops.len(), s.thumbnail.side_px));
    }
    if s.bank.channels == 0 && s.bank.rows > 0 {
        return bad("a bank of embeddings without numbers".into());
    }
    Ok(())
}

/// What every map must fulfil, written or read; the error is the reason alone.
fn check(map: &SemanticMap) -> std::result::Result<(), String> {
    let bad = |why: String| Err(why);
    if map.rows.checked_mul(map.columns) != Some(map.labels.len()) || map.labels.is_empty() {
        return bad(format!("{} labels for {} x {} cells", map.labels.len(), map.rows, map.columns));
    }
    let scaled = map.cell_px > 0.0 && map.cell_px <= limits::CELL_PX && [map.mpp, map.work_mpp].iter().all(|v| limits::MPP.contains(v));
    if !scaled {
        return bad(format!("cell of {} px, {} um/px, worked at {} um/px", map.cell_px, map.mpp, map.work_mpp));
    }
    // the last cell may reach beyond the slide
    let side_px = map.rows.max(map.columns).saturating_sub(1) as f64 * map.cell_px;
    if side_px > limits::SLIDE_SIDE_PX as f64 {
        return bad(format!("{} x {} cells of {} px are no slide", map.rows, map.columns, map.cell_px));
    }
    let drawn = map.tree.as_ref().map(|t| t.leaves.len()).into_iter().chain(map.history.as_ref().map(|h| h.labels.len()));
    let drawn = drawn.chain(map.atlas.as_ref().map(|a| a.distance.len()));
    if let Some(cells) = drawn.into_iter().find(|n| *n != map.labels.len()) {
        return bad(format!("a hierarchy or history of {cells} cells for a map of {}", map.labels.len()));
    }
    let codes = map.artefacts.as_deref().unwrap_or_default();
    let fits = |(code, label): (&u8, &u8)| *code == 0 || (*label == 0 && usize::from(*code) <= Artefact::ALL.len());
    if map.artefacts.is_some() && (codes.len() != map.labels.len() || !codes.iter().zip(&map.labels).all(fits)) {
        return bad("artefacts that are labelled, unknown or not of the map's size".into());
    }
    if map.bank.rows.len() != map.bank.classes.len() * map.bank.channels {
        return bad(format!("{} numbers in a bank of {} rows of {}", map.bank.rows.len(), map.bank.classes.len(), map.bank.channels));
    }
    if let Some(h) = &map.history {
        if h.bank.len() != map.bank.classes.len() || h.crops.len() != map.crops.len() {
            return bad(format!("a history of {} embeddings and {} crops, the map has others", h.bank.len(), h.crops.len()));
        }
        check_labels(&h.classes, h.labels.iter().filter(|l| **l != 0).chain(&h.bank).chain(&h.crops))?;
    }
    let used = map.labels.iter().filter(|l| **l != 0).chain(&map.bank.classes).chain(map.crops.iter().map(|c| &c.class));
    check_labels(&map.classes, used)
}

/// Classes in range and each there once, and no label without one.
fn check_labels<'a>(classes: &[Class], mut used: impl Iterator<Item = &'a u8>) -> std::result::Result<(), String> {
    let mut known = [false; 256];
    for class in classes {
        if !(1..=limits::CLASSES).contains(&(class.id as usize)) || std::mem::replace(&mut known[class.id as usize], true) {
            return Err(format!("class {} is out of range or there twice", class.id));
        }
    }
    used.find(|l| !known[**l as usize]).map_or(Ok(()), |label| Err(format!("label {label} is in no class")))
}
