//! Weight files. In: the models folder with its `manifest.json`. Out: named f32 tensors whose file, size, hash, types, shapes and
//! values were checked. Fails with [`Error::Weights`] naming the file and the tensor. Only safetensors are read: no pickles.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use histoloom_core::{Error, Result, memory};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ops::{ConvSpec, NORM_EPSILON, NormSpec, Ops};

/// Largest weight file accepted, in bytes. The biggest network planned for has 0.9 GB.
const FILE_BYTES: u64 = 2 << 30;
/// Largest safetensors header accepted, in bytes; ours have some 20 kB.
const HEADER_BYTES: u64 = 4 << 20;
/// Largest manifest accepted, in bytes.
const MANIFEST_BYTES: u64 = 1 << 20;
/// Name of the list of weight files.
const MANIFEST: &str = "manifest.json";

/// One weight file as the manifest describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What the program asks for.
    pub id: String,
    /// File name beside the manifest.
    pub file: String,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// `encoder`, `projection`, `autoencoder` or `denoiser`; `htd_unet`, `htd_first_stage` or `htd_rescaler` of an import.
    pub kind: String,
    /// SPDX expression.
    pub licence: String,
    /// Where the weights come from.
    pub provenance: String,
    /// Everything else (channels, mpp, training): shown but not used, save for an imported encoder's heads and normalisation.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

/// The list of weight files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// All files.
    pub models: Vec<Entry>,
}

/// Named tensors of one file, as f32.
pub struct Weights {
    file: String,
    sha256: String,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

pub(crate) fn refused(file: &str, why: impl Into<String>, hint: &str) -> Error {
    Error::Weights { file: file.into(), why: why.into(), hint: hint.into() }
}

/// The hint for a file that is not as it was shipped.
pub(crate) const REINSTALL: &str = "restore the models folder from the release or the repository";

/// The path of a file beside the manifest, which must name nothing else.
pub(crate) fn beside(dir: &Path, file: &str) -> Result<PathBuf> {
    if Path::new(file).components().count() != 1 || file.contains(['/', '\\']) {
        return Err(refused(file, "the manifest names a path, not a file beside it", REINSTALL));
    }
    Ok(dir.join(file))
}

/// Reads a regular file of at most `limit` bytes.
fn read(dir: &Path, file: &str, limit: u64) -> Result<Vec<u8>> {
    let path = beside(dir, file)?;
    let meta = std::fs::metadata(&path).map_err(|e| refused(file, e.to_string(), "point the models folder to the one that holds it"))?;
    if !meta.is_file() {
        return Err(refused(file, "not a regular file", REINSTALL));
    }
    if meta.len() > limit {
        return Err(refused(file, format!("{} bytes, the limit is {limit}", meta.len()), REINSTALL));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    let opened = std::fs::File::open(&path).map_err(|e| refused(file, e.to_string(), "make the file readable"))?;
    opened.take(limit).read_to_end(&mut bytes).map_err(|e| refused(file, e.to_string(), REINSTALL))?;
    Ok(bytes)
}

/// Reads the list of weight files in `dir`.
pub fn manifest(dir: &Path) -> Result<Manifest> {
    let bytes = read(dir, MANIFEST, MANIFEST_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|e| refused(MANIFEST, e.to_string(), REINSTALL))
}

impl Weights {
    /// Reads the file that the manifest of `dir` lists as `id`, and checks it against what is written there.
    pub fn load(dir: &Path, id: &str) -> Result<Self> {
        let manifest = manifest(dir)?;
        let entry = manifest.models.into_iter().find(|m| m.id == id);
        let entry = entry.ok_or_else(|| refused(MANIFEST, format!("it lists no model `{id}`"), REINSTALL))?;
        let bytes = read(dir, &entry.file, FILE_BYTES)?;
        if bytes.len() as u64 != entry.bytes {
            let why = format!("{} bytes, the manifest says {}", bytes.len(), entry.bytes);
            return Err(refused(&entry.file, why, REINSTALL));
        }
        let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        if sha256 != entry.sha256 {
            let why = format!("its sha-256 is {sha256}, the manifest says {}", entry.sha256);
            return Err(refused(&entry.file, why, REINSTALL));
        }
        Self::parse(&entry.file, sha256, &bytes)
    }

    /// Reads tensors from the bytes of a safetensors file. Shapes are checked when they are taken.
    pub fn parse(file: &str, sha256: String, bytes: &[u8]) -> Result<Self> {
        let header = bytes.first_chunk::<8>().map_or(u64::MAX, |n| u64::from_le_bytes(*n));
        if header > HEADER_BYTES {
            return Err(refused(file, format!("its header claims {header} bytes, the limit is {HEADER_BYTES}"), REINSTALL));
        }
        let parsed = SafeTensors::deserialize(bytes).map_err(|e| refused(file, e.to_string(), REINSTALL))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in parsed.iter() {
            memory::check()?;
            let values = floats(view.dtype(), view.data())
                .ok_or_else(|| refused(file, format!("tensor `{name}` is {:?}", view.dtype()), "save it as f16 or f32"))?;
            if values.iter().any(|v| !v.is_finite()) {
                return Err(refused(file, format!("tensor `{name}` holds values that are not finite"), REINSTALL));
            }
            tensors.insert(name.to_string(), (view.shape().to_vec(), values));
        }
        Ok(Self { file: file.into(), sha256, tensors })
    }

    /// These weights with what another file adds to them: the product of `NAME.up` `[out, r]` and `NAME.down` `[r, in]` to a matrix NAME
    /// (LoRA, arXiv 2106.09685; kernels count as part of `in`), a tensor NAME to the vector of its name. Every addition must fit.
    pub fn plus(mut self, added: &Self) -> Result<Self> {
        let odd = |name: &str, why: String| refused(&added.file, format!("`{name}` {why}"), REINSTALL);
        for (name, (shape, values)) in &added.tensors {
            let (target, pair) = match (name.strip_suffix(".up"), name.strip_suffix(".down")) {
                (Some(target), _) => (target, Some(added.shape(&format!("{target}.down"))?)),
                (None, Some(target)) if added.tensors.contains_key(&format!("{target}.up")) => continue,
                _ => (name.as_str(), None),
            };
            let Some((whole, weights)) = self.tensors.get_mut(target) else {
                return Err(odd(name, format!("adds to nothing in {}", self.file)));
            };
            let out = whole.first().copied().unwrap_or(0).max(1);
            let columns = weights.len() / out;
            match pair {
                None if shape == whole => weights.iter_mut().zip(values).for_each(|(w, v)| *w += v),
                Some(&[rank, n]) if whole.len() > 1 && *shape == [out, rank] && n == columns => {
                    let down = added.values(&format!("{target}.down"), &[rank, columns])?;
                    for (row, up) in weights.chunks_exact_mut(columns.max(1)).zip(values.chunks_exact(rank.max(1))) {
                        for (factor, part) in up.iter().zip(down.chunks_exact(columns.max(1))) {
                            row.iter_mut().zip(part).for_each(|(w, v)| *w += factor * v);
                        }
                    }
                }
                _ => return Err(odd(name, format!("has shape {shape:?} and does not fit `{target}` {whole:?}"))),
            }
            if weights.iter().any(|w| !w.is_finite()) {
                return Err(odd(name, format!("makes `{target}` more than a number can hold")));
            }
        }
        let joined = Sha256::digest([self.sha256.as_str(), added.sha256.as_str()].join("\n"));
        self.sha256 = joined.iter().map(|b| format!("{b:02x}")).collect();
        self.file = format!("{} with {}", self.file, added.file);
        Ok(self)
    }

    /// These weights disturbed: to every matrix and kernel normal noise is added, `share` of its root mean square. Stands for networks that
    /// are not yet trained, where faults are planted.
    pub fn worn(mut self, share: f32, seed: u64) -> Self {
        for ((shape, values), i) in self.tensors.values_mut().zip(0u32..) {
            if shape.len() < 2 {
                continue;
            }
            let rms = (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len().max(1) as f64).sqrt() as f32;
            let noise = histoloom_core::rng::noise(seed, i, 0, values.len());
            values.iter_mut().zip(noise).for_each(|(v, n)| *v += share * rms * n);
        }
        let worn = Sha256::digest(format!("{}\nworn {share} {seed}", self.sha256));
        self.sha256 = worn.iter().map(|b| format!("{b:02x}")).collect();
        self.file = format!("{}, worn", self.file);
        self
    }

    /// Name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// SHA-256 of the file, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The shape of a tensor that must be there.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        match self.tensors.get(name) {
            Some((shape, _)) => Ok(shape),
            None => Err(refused(&self.file, format!("tensor `{name}` is missing"), REINSTALL)),
        }
    }

    /// The values of a tensor that must be there with this shape.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        memory::check()?; // what becomes of them is as large again
        match self.tensors.get(name) {
            Some((have, values)) if have == shape => Ok(values),
            Some((have, _)) => Err(refused(&self.file, format!("tensor `{name}` has shape {have:?}, not {shape:?}"), REINSTALL)),
            None => Err(refused(&self.file, format!("tensor `{name}` is missing"), REINSTALL)),
        }
    }

    /// How many of `prefix.0.suffix`, `prefix.1.suffix` ... there are.
    pub fn count(&self, prefix: &str, suffix: &str) -> usize {
        (0..).take_while(|i| self.tensors.contains_key(&format!("{prefix}.{i}.{suffix}"))).count()
    }

    /// The convolution `name.weight`, `name.bias`, from `c_in` to `c_out` channels with a k x k kernel, padded evenly.
    pub fn conv<O: Ops>(&self, ops: &O, name: &str, c_in: usize, c_out: usize, kernel: usize, stride: usize) -> Result<O::Conv> {
        let pad = if kernel == stride { 0 } else { kernel / 2 };
        Ok(ops.conv_layer(&ConvSpec {
            weight: self.values(&format!("{name}.weight"), &[c_out, c_in, kernel, kernel])?,
            bias: self.values(&format!("{name}.bias"), &[c_out])?,
            c_in,
            c_out,
            kernel,
            stride,
            pad: (pad, pad),
        }))
    }

    /// The linear layer `name.weight`, `name.bias`, applied to each pixel.
    pub fn linear<O: Ops>(&self, ops: &O, name: &str, c_in: usize, c_out: usize) -> Result<O::Conv> {
        Ok(ops.conv_layer(&ConvSpec {
            weight: self.values(&format!("{name}.weight"), &[c_out, c_in])?,
            bias: self.values(&format!("{name}.bias"), &[c_out])?,
            c_in,
            c_out,
            kernel: 1,
            stride: 1,
            pad: (0, 0),
        }))
    }

    /// The group normalisation `name.weight`, `name.bias`.
    pub fn norm<O: Ops>(&self, ops: &O, name: &str, channels: usize, groups: usize) -> Result<O::Norm> {
        let gamma = self.values(&format!("{name}.weight"), &[channels])?;
        let beta = self.values(&format!("{name}.bias"), &[channels])?;
        if !channels.is_multiple_of(groups) || !channels.is_multiple_of(4) {
            let why = format!("`{name}` normalises {channels} channels in {groups} groups");
            return Err(refused(&self.file, why, "use widths that are multiples of 16"));
        }
        Ok(ops.norm_layer(&NormSpec { gamma, beta, groups, epsilon: NORM_EPSILON }))
    }
}

fn floats(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        Dtype::F32 => Some(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F16 => Some(data.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
        _ => None,
    }
}
