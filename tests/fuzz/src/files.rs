//! Files of ours that came back from elsewhere. Hashes and checksums are put right first, so that what is behind them is reached.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use histoloom_core::atlas::{Atlas, fit, merged};
use histoloom_core::cache::{Cache, Key, Kind};
use histoloom_core::export::{self, View, read_atlas, read_map, read_sample, write_atlas, write_map, write_sample};
use histoloom_core::params::{self, Synth};
use histoloom_core::semantic_map::SemanticMap;
use histoloom_core::semantic_map::edit::{Edit, edited};
use histoloom_core::{Error, Job};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::bytes::Bytes;
use crate::label_png::mended;
use crate::map;
use crate::resumed::resumed;

/// Rows and values a row up to which an atlas is fitted on a sample.
const FITTED: (usize, usize) = (64, 16);
/// Text of the cache's key.
const KEY: &str = "slide";

/// The files of a map's folder.
static PIECES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = write_map(dir.path(), &map::map()).expect("a map");
    let name = |p: &Path| p.strip_prefix(dir.path()).expect("inside").display().to_string();
    paths.iter().map(|p| (name(p), fs::read(p).expect("a file"))).collect()
});

/// The bytes: one for the reader, then what it reads.
pub fn files(data: &[u8]) {
    let mut b = Bytes::new(data);
    let (reader, bytes) = (b.byte() % 8, b.rest());
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    match reader {
        0 => told(&file, &mended(bytes)),
        1 => atlas(&file, bytes),
        2 => sample(&file, bytes),
        3 => folder(dir.path(), bytes),
        4 => cache(dir.path(), bytes),
        5 => cache(dir.path(), &whole_records(bytes)),
        7 => resumed(dir.path(), bytes),
        _ => preset(&dir.path().join("file.toml"), bytes),
    }
}

/// SHA-256, hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
}

fn refused(e: &Error) {
    assert!(matches!(e, Error::File { .. } | Error::Limit { .. } | Error::Parameter { .. }), "{e}");
}

/// What a file says of itself.
fn told(path: &Path, bytes: &[u8]) {
    put(path, bytes);
    export::inspect(path).err().iter().for_each(refused);
}

fn atlas(path: &Path, bytes: &[u8]) {
    put(path, bytes);
    match read_atlas(path) {
        Ok(atlas) => used(path, &atlas),
        Err(e) => refused(&e),
    }
}

/// Cuts, names, and the same atlas written and read.
fn used(path: &Path, atlas: &Atlas) {
    for k in 0..=atlas.leaves.len() + 1 {
        export::atlas_summary(atlas, k).err().iter().for_each(refused);
        let names = BTreeMap::from([(1, "stroma".to_owned())]);
        atlas.renamed(atlas.k_or_own(k), &names, &BTreeMap::new()).err().iter().for_each(refused);
    }
    write_atlas(path, atlas).expect("an atlas");
    assert_eq!(read_atlas(path).expect("an atlas that was written").id_sha256(), atlas.id_sha256());
}

fn sample(path: &Path, bytes: &[u8]) {
    put(path, &with_hash(bytes).unwrap_or_else(|| bytes.to_vec()));
    let sample = match read_sample(path) {
        Ok(sample) => sample,
        Err(e) => return refused(&e),
    };
    write_sample(path, &sample).expect("a sample");
    assert_eq!(read_sample(path).expect("a sample that was written"), sample);
    match merged([sample.clone(), sample.clone()].into_iter().map(Ok)) {
        Ok(union) => assert_eq!(union, sample, "a sample and itself"),
        Err(e) => return refused(&e),
    }
    if sample.kept.len() <= FITTED.0 && sample.encoder.channels <= FITTED.1 {
        match fit(&sample, 0, 1, "CC0-1.0", &Job::new()) {
            Ok(atlas) => used(path, &atlas),
            Err(e) => refused(&e),
        }
    }
}

/// A sample whose header has the hash of its rows.
fn with_hash(bytes: &[u8]) -> Option<Vec<u8>> {
    let (magic, rest) = bytes.split_at_checked(8)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (header, rows) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let mut header: Value = serde_json::from_slice(header).ok()?;
    header.as_object_mut()?.insert("rows_sha256".into(), json!(sha256(rows)));
    let header = header.to_string();
    Some([magic, &(header.len() as u64).to_le_bytes(), header.as_bytes(), rows].concat())
}

/// The folder of a map, with `bytes` as its sidecar.
fn folder(dir: &Path, bytes: &[u8]) {
    let mut text = bytes.to_vec();
    if let Ok(mut value) = serde_json::from_slice::<Value>(bytes) {
        vouch(&mut value);
        text = value.to_string().into_bytes();
        fs::create_dir(dir.join("crops")).expect("a folder");
        PIECES.iter().for_each(|(name, bytes)| put(&dir.join(name), bytes));
    }
    put(&dir.join("map.json"), &text);
    match read_map(dir) {
        Ok(map) => shown(dir, &map),
        Err(e) => refused(&e),
    }
}

/// Puts the hash of each file in.
fn vouch(value: &mut Value) {
    if let Value::Object(of) = value {
        let crop = of.get("class").map(|class| format!("crops/class_{:02}_1.png", class.as_u64().unwrap_or(0)));
        let name = of.get("file").and_then(Value::as_str).map(str::to_owned).or(crop);
        if let Some(piece) = name.and_then(|name| PIECES.get(&name)).filter(|_| of.contains_key("sha256")) {
            of.insert("sha256".into(), json!(sha256(piece)));
        }
        of.values_mut().for_each(vouch);
    } else if let Value::Array(all) = value {
        all.iter_mut().for_each(vouch);
    }
}

/// Everything that is made of a map; and the same map written and read.
fn shown(dir: &Path, map: &SemanticMap) {
    assert!(map::has(map, &map.labels));
    drop((export::geojson(map), export::classes_csv(map), export::legend(map), export::overlay(map)));
    let mut out = [0; 64 * 64 * 4];
    for (at, downsample) in [(-100, 1.0), (i64::MAX, 1e-300), (0, 1e300)] {
        let view = View { x_px: at, y_px: at, downsample, width_px: 64, height_px: 64 };
        view.labels(map, &mut out[..64 * 64], 64);
        view.overlay(map, &mut out, 64 * 4);
    }
    let merge = Edit::Merge(map.classes.iter().map(|c| c.id).collect());
    for edit in [Edit::Split(1), merge, Edit::Rename { label: 1, name: "fat".into() }] {
        match edited(map, 0, &[edit]).and_then(|changed| edited(&changed, 1, &[])) {
            Ok(back) => assert!(map::has(&back, &back.labels)),
            Err(e) => refused(&e),
        }
    }
    let other = dir.join("again");
    write_map(&other, map).expect("a map");
    let told = SemanticMap { provenance: export::scrubbed(&map.provenance), ..map.clone() };
    assert_eq!(read_map(&other).expect("a map that was written"), told);
}

fn cache(dir: &Path, bytes: &[u8]) {
    let key = Key(vec![KEY.into()]);
    put(&dir.join(format!("{}.rows", &sha256(json!([KEY]).to_string().as_bytes())[..32])), bytes);
    let open = |new: bool| match Cache::open(dir, &key, &Job::new()) {
        Ok(cache) => Some(cache),
        Err(e) => {
            assert!(new, "a cache cannot be opened again: {e}");
            refused(&e);
            None
        }
    };
    let Some(cache) = open(true) else { return };
    for (kind, number) in [(Kind::Survey, 0), (Kind::Window, 1), (Kind::Hierarchy, 2)] {
        let found = cache.get(kind, number).expect("a record");
        assert!(found.is_some() == cache.has(kind, number) && found.is_none_or(|f| f.len() <= bytes.len()));
        cache.put(kind, number, b"new").expect("room");
    }
    drop(cache);
    let cache = open(false).expect("the cache");
    assert_eq!(cache.get(Kind::Window, 1).expect("a record").as_deref(), Some(&b"new"[..]));
}

/// A cache whose records have the checksums of what they hold.
fn whole_records(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut at = 0;
    while let Some(head) = out.get(at..at + 24) {
        let length = u32::from_le_bytes(*head[12..].first_chunk().expect("4 bytes")) as usize;
        let Some(content) = out.get(at + 24..at + 24 + length) else { break };
        let sum = Sha256::new_with_prefix(&head[4..16]).chain_update(content).finalize();
        out[at + 16..at + 24].copy_from_slice(&sum[..8]);
        at += 24 + length;
    }
    out
}

fn preset(path: &Path, bytes: &[u8]) {
    put(path, bytes);
    params::parse::<Synth>(&json!({"preset": path}).to_string()).err().iter().for_each(refused);
}
