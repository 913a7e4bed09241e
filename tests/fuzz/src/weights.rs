//! Weight files and their manifest, and checkpoints from elsewhere. What is imported is loaded, and an encoder used.

use std::path::Path;

use histoloom_core::{Error, Job};
use histoloom_models::cpu::CpuOps;
use histoloom_models::import::{self, Network};
use histoloom_models::weights::Weights;
use histoloom_models::{Engine, autoencoder, denoiser, efficientnet_lite0};
use image::RgbImage;
use serde_json::{Value, json};

use crate::bytes::Bytes;
use crate::files::sha256;
use crate::zip::archive;

/// Name of the file in the manifest.
const FILE: &str = "net.safetensors";
/// Bytes of each storage that a pickle can name.
const STORAGE_BYTES: usize = 4096;

/// The bytes: one for the reader, then what it reads.
pub fn weights(data: &[u8]) {
    let mut b = Bytes::new(data);
    match b.byte() % 5 {
        0 => drop(parsed(b.rest())),
        1 => added(b.piece(), b.rest()),
        2 => listed(b.piece(), b.rest()),
        3 => imported(b.piece(), b.rest()),
        _ => imported(b"", &checkpoint(b.rest())),
    }
}

fn refused(e: &Error) {
    assert!(matches!(e, Error::Weights { .. } | Error::File { .. }), "{e}");
}

/// A safetensors file; every network is tried on it.
fn parsed(bytes: &[u8]) -> Option<Weights> {
    let w = Weights::parse(FILE, "00".into(), bytes).inspect_err(refused).ok()?;
    check(&w, bytes);
    let ops = CpuOps::default();
    autoencoder::Encoder::load(&ops, &w).err().iter().for_each(refused);
    autoencoder::Decoder::load(&ops, &w).err().iter().for_each(refused);
    denoiser::Denoiser::load(&ops, &w).err().iter().for_each(refused);
    efficientnet_lite0::Trunk::load(&ops, &w).err().iter().for_each(refused);
    Some(w)
}

/// Every tensor that the header of a file names is there, as large as its shape and finite.
fn check(w: &Weights, bytes: &[u8]) {
    let length = u64::from_le_bytes(*bytes.first_chunk().expect("a header")) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
    for name in header.as_object().expect("an object").keys().filter(|name| *name != "__metadata__") {
        let shape = w.shape(name).expect("a tensor").to_vec();
        let values = w.values(name, &shape).expect("of this shape");
        assert!(values.len() == shape.iter().product::<usize>() && values.iter().all(|v| v.is_finite()), "{name} {shape:?}");
    }
}

/// A file and what is added to it.
fn added(base: &[u8], more: &[u8]) {
    let (Some(base_of), Some(more)) = (parsed(base), parsed(more)) else { return };
    match base_of.plus(&more) {
        Ok(both) => check(&both, base),
        Err(e) => refused(&e),
    }
}

/// A folder: the manifest, with size and hash of the file put right, and the file.
fn listed(manifest: &[u8], file: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut text = manifest.to_vec();
    if let Ok(mut value) = serde_json::from_slice::<Value>(manifest) {
        for entry in value.get_mut("models").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            entry.insert("sha256".into(), json!(sha256(file)));
            entry.insert("bytes".into(), json!(file.len()));
        }
        text = value.to_string().into_bytes();
    }
    put(dir.path(), "manifest.json", &text);
    put(dir.path(), FILE, file);
    Weights::load(dir.path(), "net").err().iter().for_each(refused);
    let engine = Engine::open("cpu", dir.path(), 1).expect("the processor");
    engine.encoder_from(dir.path()).err().iter().for_each(refused);
}

/// A checkpoint and the description beside it.
fn imported(config: &[u8], file: &[u8]) {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, out) = (dir.path().join("given.ckpt"), dir.path().join("made"));
    put(dir.path(), "config.json", config);
    put(dir.path(), "given.ckpt", file);
    let made = match import::run(&path, &out, &Job::new()) {
        Ok(made) => made,
        Err(e) => {
            assert!(!out.exists(), "an import that failed left a folder");
            return refused(&e);
        }
    };
    assert!(made.files.iter().all(|f| f.is_file()));
    let engine = Engine::open("cpu", &out, 1).expect("the processor");
    match made.network {
        Network::Published { .. } => drop(engine.paper(&out).expect("what was imported can be loaded")),
        Network::Encoder(of) => {
            let encoder = engine.encoder_from(&out).expect("what was imported can be loaded");
            let side = 2 * of.patch_px as u32;
            let cells = encoder.embed(&[RgbImage::new(side, side)]).expect("a picture of whole patches");
            assert_eq!((cells[0].channels, cells[0].height, cells[0].width), (encoder.channels(), 2, 2));
        }
    }
}

/// A pickle as torch.save packs it, with four storages.
fn checkpoint(pickle: &[u8]) -> Vec<u8> {
    let storage: Vec<u8> = [0, 60].into_iter().cycle().take(STORAGE_BYTES).collect(); // 1.0 as f16, 0.0078 as f32
    archive(&[("a/data.pkl", pickle), ("a/data/0", &storage), ("a/data/1", &storage), ("a/data/2", &storage), ("a/data/3", &storage)])
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).expect("a file");
}
