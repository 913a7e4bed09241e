//! A vision transformer of a user's. In: the tensors of a file, and what a `config.json` beside it may say (as timm and the
//! transformers library write it: number of heads, normalisation, activation). Out: the weight file to write, tensors named as by
//! timm. Fails naming the first tensor that is missing, of another shape or too many.

use std::path::Path;

use histoloom_core::Result;
use serde_json::Value;

use super::source::Source;
use super::tensors::{Tensor, Tensors};
use super::write::{Made, Network};
use super::{Encoder, source};
use crate::vit::{Config, FILE, Fault, Found, KIND, Normalisation, OTHER};

/// Resolution of the slides that encoders of this field are trained on, in micrometres a pixel.
const MPP: f64 = 0.5;
/// Where such a network comes from, in a manifest.
const PROVENANCE: &str = "imported from a vision transformer's file by `histoloom models import`";
/// A description beside a file.
const BESIDE: &str = "config.json";
/// Largest description read, in bytes.
const BESIDE_BYTES: u64 = 1 << 20;

/// What a file holds.
pub struct Read<'a> {
    /// The weight file to write.
    pub network: Network<'a>,
    /// What is told of it.
    pub encoder: Encoder,
}

/// What is known from elsewhere than from tensors.
#[derive(Default)]
struct Told {
    heads: Option<usize>,
    normalisation: Option<Normalisation>,
}

/// Finds the network.
pub fn read<'a>(source: &Source, all: &'a Tensors, file: &Path) -> Result<Read<'a>> {
    let refuse = |f: Fault| source.refused(f.why, f.hint);
    let shapes = all.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect();
    let told = beside(file).map_err(refuse)?;
    let found = Found::of(&shapes).map_err(refuse)?;
    let config = Config::read(&found, told.heads).map_err(refuse)?;
    let tensors = config.tensors().into_iter().map(|(name, shape)| {
        let parts = found.keys(&name).iter().filter_map(|key| Some((key.clone(), all.get(key)?)));
        let made = Made { parts: parts.collect(), name, shape };
        one_type(source, &made)?;
        Ok(made)
    });
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let encoder = Encoder {
        id: source.stem(),
        width: config.width,
        depth: config.depth,
        heads: config.heads,
        patch_px: config.patch_px,
        size_px: config.side * config.patch_px,
        mpp: MPP,
        mlp: config.mlp.name(),
        class_token: config.class_token,
        registers: config.registers,
        tokens: "dense",
        normalisation: told.normalisation.unwrap_or(Normalisation::IMAGENET),
    };
    let network = Network { id: source.stem(), file: FILE.into(), kind: KIND, provenance: PROVENANCE, tensors };
    Ok(Read { network, encoder })
}

/// Parts that are laid together must be of one type.
fn one_type(source: &Source, made: &Made<'_>) -> Result<()> {
    let types: Vec<&str> = made.parts.iter().map(|(_, t): &(String, &Tensor)| t.written()).collect();
    if types.windows(2).all(|w| w[0] == w[1]) {
        return Ok(());
    }
    let keys: Vec<&str> = made.keys().collect();
    Err(source.refused(format!("the tensors {} are of different types", keys.join(", ")), source::CONVERT))
}

/// Reads the description beside a file; one that is missing or no JSON says nothing.
fn beside(file: &Path) -> std::result::Result<Told, Fault> {
    let path = file.with_file_name(BESIDE);
    let small = std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= BESIDE_BYTES);
    let text = if small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
    let Ok(json) = serde_json::from_slice::<Value>(&text) else { return Ok(Told::default()) };
    let activation = ["/model_args/act_layer", "/hidden_act"].iter().find_map(|at| json.pointer(at)?.as_str());
    if let Some(other) = activation.filter(|a| !matches!(*a, "gelu" | "silu" | "swish")) {
        return Err(Fault { why: format!("the {BESIDE} beside it asks for the activation `{}`", other.escape_debug()), hint: OTHER });
    }
    let heads = ["/model_args/num_heads", "/num_heads", "/num_attention_heads"].iter().find_map(|at| json.pointer(at)?.as_u64());
    let colours = |name: &str| [format!("/pretrained_cfg/{name}"), format!("/{name}")].iter().find_map(|at| colours(json.pointer(at)?));
    let normalisation = colours("mean").zip(colours("std")).map(|(mean, std)| Normalisation { mean, std });
    Ok(Told { heads: heads.and_then(|n| usize::try_from(n).ok()), normalisation: normalisation.filter(Normalisation::usable) })
}

/// Three numbers.
fn colours(value: &Value) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = value.as_array()?.iter().filter_map(Value::as_f64).collect();
    numbers.try_into().ok()
}
