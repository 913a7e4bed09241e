//! Damaged or hostile weight files are refused with the file, the tensor and a remedy in the message.

use std::path::Path;

use safetensors::serialize;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use crate::Engine;
use crate::cpu::CpuOps;
use crate::weights::{Entry, Manifest, Weights};

fn tensor(dtype: Dtype, bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len() * 8 / dtype.bitsize();
    serialize([("a.weight", TensorView::new(dtype, vec![size], bytes).unwrap())], None).unwrap()
}

/// A folder with one listed file; `change` may spoil its manifest entry.
fn folder(bytes: &[u8], change: impl FnOnce(&mut Entry)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut entry = Entry {
        id: "net".into(),
        file: "net.safetensors".into(),
        sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
        bytes: bytes.len() as u64,
        kind: "encoder".into(),
        licence: "MIT".into(),
        provenance: "a test".into(),
        more: Default::default(),
    };
    change(&mut entry);
    std::fs::write(dir.path().join("net.safetensors"), bytes).unwrap();
    std::fs::write(dir.path().join("manifest.json"), serde_json::to_vec(&Manifest { models: vec![entry] }).unwrap()).unwrap();
    dir
}

fn refusal(dir: &Path) -> String {
    Weights::load(dir, "net").err().expect("must be refused").to_string()
}

#[test]
fn a_whole_file_is_read_in_f16_and_f32() {
    let f32s: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let f16s: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    for file in [tensor(Dtype::F32, &f32s), tensor(Dtype::F16, &f16s)] {
        let dir = folder(&file, |_| ());
        let w = Weights::load(dir.path(), "net").unwrap();
        assert_eq!(w.values("a.weight", &[2]).unwrap(), [1.5, -2.0]);
        let wrong = w.values("a.weight", &[1, 2]).unwrap_err().to_string();
        assert!(wrong.contains("a.weight") && wrong.contains("[2]") && wrong.contains("[1, 2]"), "{wrong}");
        let missing = w.values("b.weight", &[2]).unwrap_err().to_string();
        assert!(missing.contains("b.weight") && missing.contains("missing"), "{missing}");
    }
}

/// Name, shape and values.
type Tensor<'a> = (&'a str, &'a [usize], &'a [f32]);

fn weights(file: &str, tensors: &[Tensor<'_>]) -> Weights {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|(_, _, v)| v.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), b)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), b).unwrap()));
    Weights::parse(file, file.into(), &serialize(views, None).unwrap()).unwrap()
}

#[test]
fn additions_of_low_rank_are_added_and_such_as_do_not_fit_are_refused() {
    let base = || weights("base", &[("a.weight", &[2, 1, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), ("a.bias", &[2], &[7.0, 8.0])]);
    let (up, down) = ([1.0, 0.0, 2.0, -1.0], [1.0, 0.0, 10.0, 0.0, 1.0, 0.5]);
    let added = weights("more", &[("a.weight.up", &[2, 2], &up), ("a.weight.down", &[2, 3], &down), ("a.bias", &[2], &[0.5, -1.0])]);
    let both = base().plus(&added).unwrap();
    assert_eq!(both.values("a.weight", &[2, 1, 3]).unwrap(), [1.0, 1.0, 12.0, 5.0, 3.0, 24.5]);
    assert_eq!(both.values("a.bias", &[2]).unwrap(), [7.5, 7.0]);
    assert!(both.sha256() != base().sha256() && both.sha256().len() == 64);
    let refused: [&[Tensor<'_>]; 6] = [
        &[("b.bias", &[2], &[1.0, 1.0])],
        &[("a.bias", &[1], &[1.0])],
        &[("a.weight", &[2, 3], &[1.0; 6])],
        &[("a.weight.up", &[2, 2], &up)],
        &[("a.weight.down", &[2, 3], &down)],
        &[("a.weight.up", &[2, 2], &up), ("a.weight.down", &[2, 2], &[1.0; 4])],
    ];
    for tensors in refused {
        let e = base().plus(&weights("more", tensors)).err().expect("must be refused").to_string();
        assert!(e.contains("more") && e.contains(tensors[0].0.rsplit_once('.').unwrap().0), "{e}");
    }
}

#[test]
fn a_refiner_of_another_denoiser_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(super::shipped().join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    for m in manifest["models"].as_array_mut().unwrap() {
        let file = m["file"].as_str().unwrap();
        std::fs::copy(super::shipped().join(file), dir.path().join(file)).unwrap();
        if m.get("adds_to_sha256").is_some() {
            m["adds_to_sha256"] = "00".repeat(32).into();
        }
    }
    std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
    let engine = Engine::open("cpu", dir.path(), 1).unwrap();
    let e = engine.refiner().err().expect("must be refused").to_string();
    assert!(e.contains("he_refiner.safetensors") && e.contains("he_denoiser.safetensors"), "{e}");
    assert!(engine.denoiser().is_ok());
}

#[test]
fn the_model_card_tells_the_training_of_every_model_of_ours() {
    let card = std::fs::read_to_string(super::shipped().join("CARD.md")).unwrap();
    let text = std::fs::read(super::shipped().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let trained: Vec<_> = manifest["models"].as_array().unwrap().iter().filter(|m| m["training"].is_object()).collect();
    assert_eq!(trained.len(), 3, "autoencoder, denoiser and refiner");
    for m in trained {
        let (id, steps) = (m["id"].as_str().unwrap(), m["training"]["steps"].to_string());
        assert!(card.lines().any(|l| l.contains(id) && l.contains(&format!("| {steps} |"))), "{id} was trained for {steps} steps");
    }
}

#[test]
fn a_file_that_differs_from_the_manifest_is_refused() {
    let file = tensor(Dtype::F32, &[0; 8]);
    type Change = fn(&mut Entry);
    let cases: [(&str, Change); 4] = [
        ("sha-256", |e| e.sha256 = "00".repeat(32)),
        ("the manifest says 7", |e| e.bytes = 7),
        ("names a path", |e| e.file = "../net.safetensors".into()),
        ("lists no model", |e| e.id = "other".into()),
    ];
    for (word, change) in cases {
        let why = refusal(folder(&file, change).path());
        assert!(why.contains(word) && why.contains("restore"), "{why}");
    }
}

#[test]
fn damaged_contents_are_refused_by_name() {
    let nan: Vec<u8> = [1.0f32, f32::NAN].iter().flat_map(|v| v.to_le_bytes()).collect();
    let mut truncated = tensor(Dtype::F32, &[0; 64]);
    truncated.truncate(truncated.len() - 4);
    let overlap = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut overlapping = (overlap.len() as u64).to_le_bytes().to_vec();
    overlapping.extend(overlap);
    overlapping.extend([0; 4]);
    let mut huge = (1u64 << 63).to_le_bytes().to_vec();
    huge.extend([b' '; 64]);
    let cases = [
        ("a.weight", tensor(Dtype::F32, &nan)),
        ("a.weight", tensor(Dtype::I64, &[0; 8])),
        ("net.safetensors", truncated),
        ("net.safetensors", overlapping),
        ("header claims", huge),
        ("header claims", b"short".to_vec()),
        ("header claims", b"\x80\x02}q\x00X\x05\x00\x00\x00".to_vec()), // a pickle
    ];
    for (word, file) in cases {
        let why = refusal(folder(&file, |_| ()).path());
        assert!(why.contains(word) && why.contains("net.safetensors"), "{why}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_not_a_regular_file_is_refused_without_blocking() {
    let file = tensor(Dtype::F32, &[0; 8]);
    let dir = folder(&file, |_| ());
    std::fs::remove_file(dir.path().join("net.safetensors")).unwrap();
    std::fs::create_dir(dir.path().join("net.safetensors")).unwrap();
    assert!(refusal(dir.path()).contains("not a regular file"));
    std::fs::remove_dir(dir.path().join("net.safetensors")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("net.safetensors")).status();
    if made.is_ok_and(|s| s.success()) {
        assert!(refusal(dir.path()).contains("not a regular file"));
    }
}

#[test]
fn a_missing_models_folder_is_an_error_when_a_network_is_asked_for() {
    let engine = Engine::open("cpu", Path::new("/nowhere/at/all"), 1).unwrap();
    let why = engine.codec().err().unwrap().to_string();
    assert!(why.contains("manifest.json") && why.contains("models folder"), "{why}");
}

#[test]
fn a_network_of_other_shapes_is_refused_by_tensor() {
    let file = tensor(Dtype::F32, &[0; 8]);
    let w = Weights::parse("net.safetensors", String::new(), &file).unwrap();
    let why = crate::denoiser::Denoiser::load(&CpuOps::default(), &w).err().unwrap().to_string();
    assert!(why.contains("input.weight"), "{why}");
}
