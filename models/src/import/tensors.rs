//! Where the tensors of a checkpoint lie. In: a file of torch.save or a safetensors file. Out: for each name its type, shape, steps and
//! place, all inside the file; and on demand values. Fails with the file and the tensor in the message.

use std::collections::BTreeMap;

use histoloom_core::Result;
use serde::Deserialize;

use super::pickle::{self, Described, Refused, Type};
use super::source::{AGAIN, CONVERT, Source, number};
use super::zip;

/// Largest tensor accepted, in values; the largest of the published networks has 19 million.
const VALUES: u64 = 1 << 28;
/// Largest safetensors header accepted, in bytes; those of checkpoints have some 200 kB.
const HEADER_BYTES: u64 = 4 << 20;

/// One tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Type of the values.
    pub dtype: Type,
    /// Extents.
    pub shape: Vec<usize>,
    /// Steps of the axes in values; none where the values lie in order.
    stride: Option<Vec<usize>>,
    /// Where the first value lies in the file.
    at: u64,
    /// Values from the first to the last, both included.
    span: u64,
}

/// All tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// Finds the tensors of a file.
pub fn find(source: &Source) -> Result<Tensors> {
    let head = source.read(0, source.bytes.min(8))?;
    if head.starts_with(b"PK\x03\x04") {
        return of_torch(source);
    }
    if pickle::is_bare(&head) {
        return Err(source.refused("it is a checkpoint in the format of torch before 1.6, a pickle outside of a zip", CONVERT));
    }
    of_safetensors(source)
}

/// Those of a file of torch.save.
fn of_torch(source: &Source) -> Result<Tensors> {
    let entries = zip::entries(source)?;
    let pickles: Vec<_> = entries.iter().filter(|(name, _)| name.ends_with("/data.pkl")).collect();
    let [(name, entry)] = pickles[..] else {
        return Err(source.refused(format!("{} entries are named data.pkl, torch.save writes one", pickles.len()), AGAIN));
    };
    let root = name.strip_suffix("data.pkl").unwrap_or_default();
    if entry.bytes > pickle::PICKLE_BYTES {
        let why = format!("`{name}` has {} bytes, the limit is {}", entry.bytes, pickle::PICKLE_BYTES);
        return Err(source.refused(why, CONVERT));
    }
    if let Some(order) = entries.get(&format!("{root}byteorder"))
        && source.read(zip::data(source, "byteorder", order)?, order.bytes.min(6))? != b"little"
    {
        return Err(source.refused("it was saved on a machine with another byte order", CONVERT));
    }
    let bytes = source.read(zip::data(source, name, entry)?, entry.bytes)?;
    let described = pickle::tensors(&bytes).map_err(|e| match e {
        Refused::Damaged(why) => source.refused(format!("`{name}`: {why}"), AGAIN),
        Refused::Foreign(why) => source.refused(format!("`{name}`: {why}"), CONVERT),
    })?;
    let placed = described.into_iter().map(|(tensor, d)| {
        let why = |what: &str| source.refused(format!("tensor `{tensor}` {what}"), AGAIN);
        let key = format!("{root}data/{}", d.storage);
        let entry = entries.get(&key).ok_or_else(|| why(&format!("has no storage `{key}`")))?;
        if d.length.checked_mul(d.dtype.bytes()).is_none_or(|bytes| bytes > entry.bytes) {
            return Err(why(&format!("has a storage of {} values, its entry has {} bytes", d.length, entry.bytes)));
        }
        let at = zip::data(source, &key, entry)?;
        let t = placed(&d, at).map_err(|e| why(&e))?;
        Ok((tensor, t))
    });
    placed.collect()
}

/// A described tensor whose storage begins at `at`, checked against the storage.
fn placed(d: &Described, at: u64) -> std::result::Result<Tensor, String> {
    let count = values(&d.shape).ok_or_else(|| format!("has the shape {:?}, too large", d.shape))?;
    if d.shape.len() != d.stride.len() {
        return Err(format!("has {} extents and {} steps", d.shape.len(), d.stride.len()));
    }
    // how far the last value lies from the first
    let reach = d.shape.iter().zip(&d.stride).try_fold(0u64, |sum, (n, s)| sum.checked_add(n.saturating_sub(1).checked_mul(*s)?));
    let span = reach.and_then(|r| r.checked_add(1)).map(|r| if count == 0 { 0 } else { r });
    let inside = span.filter(|s| s.checked_add(d.offset).is_some_and(|end| end <= d.length));
    let Some(span) = inside.filter(|s| count <= *s && *s <= VALUES) else {
        return Err(format!("of shape {:?}, steps {:?} does not fit its storage of {} values", d.shape, d.stride, d.length));
    };
    let size = |v: &[u64]| v.iter().map(|n| usize::try_from(*n)).collect::<std::result::Result<Vec<_>, _>>();
    let (shape, stride) = size(&d.shape).and_then(|a| Ok((a, size(&d.stride)?))).map_err(|e| e.to_string())?;
    let start = d.offset.checked_mul(d.dtype.bytes()).and_then(|o| o.checked_add(at)).ok_or("lies beyond the file")?;
    let stride = (span != count).then_some(stride).or_else(|| shuffled(d).then(|| size(&d.stride).unwrap_or_default()));
    Ok(Tensor { dtype: d.dtype, shape, stride, at: start, span })
}

/// Number of values of a shape, where it is allowed.
fn values(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1u64, |n, extent| n.checked_mul(*extent)).filter(|n| *n <= VALUES)
}

/// Whether values do not lie in the order of the axes.
fn shuffled(d: &Described) -> bool {
    let mut step = 1;
    d.shape.iter().zip(&d.stride).rev().any(|(n, s)| {
        let wrong = *n > 1 && *s != step;
        step = step.saturating_mul(*n);
        wrong
    })
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Those of a safetensors file.
fn of_safetensors(source: &Source) -> Result<Tensors> {
    let damaged = |why: String| source.refused(why, AGAIN);
    let size = number(&source.read(0, source.bytes.min(8))?, 0, 8).unwrap_or(u64::MAX);
    if size > HEADER_BYTES {
        let known = "it is neither a zip of torch.save nor a safetensors file with a header of at most 4 MiB";
        return Err(source.refused(known, "give a checkpoint (.ckpt) or a .safetensors file"));
    }
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&source.read(8, size)?).map_err(|e| damaged(format!("its header is no JSON: {e}")))?;
    let mut out = Tensors::new();
    for (name, value) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let why = |what: &str| damaged(format!("tensor `{name}` {what}"));
        let info: Info = serde_json::from_value(value).map_err(|e| why(&e.to_string()))?;
        let dtype = match info.dtype.as_str() {
            "F64" => Type::F64,
            "F32" => Type::F32,
            "F16" => Type::F16,
            "BF16" => Type::Bf16,
            "I64" => Type::I64,
            "I32" => Type::I32,
            other => return Err(source.refused(format!("tensor `{name}` is of type {other}"), "save it as f16 or f32")),
        };
        let (from, to) = info.data_offsets;
        let count = values(&info.shape).ok_or_else(|| why("is too large"))?;
        if to.checked_sub(from) != Some(count * dtype.bytes()) || to > source.bytes - 8 - size {
            return Err(why(&format!("of shape {:?} does not fit bytes {from} to {to}", info.shape)));
        }
        let shape = info.shape.iter().map(|n| *n as usize).collect();
        out.insert(name, Tensor { dtype, shape, stride: None, at: 8 + size + from, span: count });
    }
    Ok(out)
}

impl Tensor {
    /// The values in the order of the axes as little-endian bytes: f16 stays, everything else becomes f32. Fails where one is not
    /// finite, or not a floating-point number.
    pub fn bytes(&self, source: &Source, name: &str) -> Result<Vec<u8>> {
        if matches!(self.dtype, Type::I64 | Type::I32) {
            return Err(source.refused(format!("tensor `{name}` holds integers"), "give a checkpoint with floating-point weights"));
        }
        let raw = source.read(self.at, self.span * self.dtype.bytes())?;
        let raw = match &self.stride {
            None => raw,
            Some(stride) => gathered(&raw, self.dtype.bytes() as usize, &self.shape, stride),
        };
        let values = floats(self.dtype, &raw);
        if values.iter().any(|v| !v.is_finite()) {
            return Err(source.refused(format!("tensor `{name}` holds values that are not finite"), AGAIN));
        }
        let same = matches!(self.dtype, Type::F16 | Type::F32);
        Ok(if same { raw } else { values.iter().flat_map(|v| v.to_le_bytes()).collect() })
    }

    /// The values as numbers.
    pub fn values(&self, source: &Source, name: &str) -> Result<Vec<f32>> {
        let bytes = self.bytes(source, name)?;
        Ok(floats(if self.dtype == Type::F16 { Type::F16 } else { Type::F32 }, &bytes))
    }

    /// The type [`Tensor::bytes`] gives.
    pub fn written(&self) -> &'static str {
        if self.dtype == Type::F16 { "F16" } else { "F32" }
    }

    /// Size of what [`Tensor::bytes`] gives.
    pub fn written_bytes(&self) -> u64 {
        let count: usize = self.shape.iter().product();
        count as u64 * if self.dtype == Type::F16 { 2 } else { 4 }
    }
}

fn floats(dtype: Type, raw: &[u8]) -> Vec<f32> {
    match dtype {
        Type::F64 => raw.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        Type::F32 => raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Type::F16 => raw.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Type::Bf16 => raw.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        Type::I64 | Type::I32 => Vec::new(),
    }
}

/// Values of `size` bytes put into the order of the axes; every place was checked to lie inside.
fn gathered(raw: &[u8], size: usize, shape: &[usize], stride: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count * size);
    let mut at = vec![0; shape.len()];
    for _ in 0..count {
        let place: usize = at.iter().zip(stride).map(|(i, s)| i * s).sum();
        out.extend_from_slice(raw.get(place * size..(place + 1) * size).unwrap_or(&[]));
        for (i, n) in at.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *n {
                break;
            }
            *i = 0;
        }
    }
    out
}
