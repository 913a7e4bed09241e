//! Promises of this crate: numbers as PyTorch's, the same bytes for any threads and batch, damaged weights refused, GPU as CPU.

mod determinism;
mod gpu;
mod hostile_checkpoints;
mod htd;
mod imports;
mod operations;
mod parity;
mod vit;
mod vit_imports;
mod weight_files;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use histoloom_core::Planes;
use image::RgbImage;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::burn_ops::BurnOps;
use crate::runner::Runner;
use crate::weights::Weights;

/// The folder of shipped weights.
fn shipped() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("weights")
}

/// A runner on a pool of `threads`.
fn cpu(threads: usize) -> Runner {
    Runner::Cpu(Arc::new(histoloom_core::pool::pool(threads).unwrap()))
}

/// burn-flex, the oracle.
fn flex() -> BurnOps {
    BurnOps::new(burn::tensor::Device::flex())
}

/// A file of goldens.
fn data(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file)
}

fn meta(bytes: &[u8], key: &str) -> serde_json::Value {
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()[key]).unwrap()
}

/// Inputs and PyTorch's outputs, and the made-up weights they belong to; see `reference/goldens.py`.
struct Goldens {
    bytes: Vec<u8>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Goldens {
    fn read() -> Self {
        Self::named("goldens.safetensors")
    }

    fn named(file: &str) -> Self {
        let bytes = std::fs::read(data(file)).unwrap();
        let shapes = serde_json::from_value(meta(&bytes, "shapes")).unwrap();
        Self { bytes, shapes }
    }

    /// An entry of the metadata.
    fn meta(&self, key: &str) -> serde_json::Value {
        meta(&self.bytes, key)
    }

    /// A tensor `[b, c, h, w]`, one block an item.
    fn planes(&self, name: &str) -> Vec<Planes> {
        let all = SafeTensors::deserialize(&self.bytes).unwrap();
        let t = all.tensor(name).unwrap();
        let s = t.shape().to_vec();
        let values: Vec<f32> = match t.dtype() {
            Dtype::F32 => t.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            _ => t.data().iter().map(|b| f32::from(*b)).collect(),
        };
        values.chunks_exact(s[1] * s[2] * s[3]).map(|v| Planes::new(s[1], s[2], s[3], v.to_vec()).unwrap()).collect()
    }

    /// A tensor of bytes as pictures.
    fn pictures(&self, name: &str) -> Vec<RgbImage> {
        let pixel = |p: &Planes, x: u32, y: u32| image::Rgb([0, 1, 2].map(|c| p.at(c, y as usize, x as usize) as u8));
        let planes = self.planes(name);
        planes.iter().map(|p| RgbImage::from_fn(p.width as u32, p.height as u32, |x, y| pixel(p, x, y))).collect()
    }

    /// The made-up tensors of one network.
    fn tensors(&self, prefix: &str) -> Vec<Tensor> {
        let names = self.shapes.iter().filter(|(name, _)| name.starts_with(prefix));
        names.map(|(name, shape)| (name[prefix.len()..].to_string(), shape.clone(), made_up(name, shape))).collect()
    }

    /// The made-up weights of one network.
    fn weights(&self, prefix: &str) -> Weights {
        Weights::parse(prefix, "made up".into(), &safetensors_of(&self.tensors(prefix))).unwrap()
    }
}

/// Name, shape and values of a tensor.
type Tensor = (String, Vec<usize>, Vec<f32>);

/// The bytes of a safetensors file of f32.
fn safetensors_of(tensors: &[Tensor]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(|(n, s, v)| (n, s, v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())).collect();
    let views = bytes.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

/// The formula of `reference/goldens.py`.
fn made_up(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    let fan: usize = shape[1..].iter().product();
    let value = |i: usize| {
        let mut x = (i as u32).wrapping_add(seed).wrapping_mul(0x9E37_79B1);
        x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA77);
        x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE3D);
        let u = f64::from(x ^ (x >> 16)) / 2f64.powi(31) - 1.0;
        match (shape.len() > 1, name.ends_with("weight")) {
            (true, _) => u * (3.0 / fan as f64).sqrt(),
            (false, true) => 1.0 + 0.3 * u,
            (false, false) => 0.2 * u,
        }
    };
    (0..shape.iter().product()).map(|i| value(i) as f32).collect()
}
