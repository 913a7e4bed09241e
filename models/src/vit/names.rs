//! Names of a vision transformer's tensors. In: the names and shapes of a file. Out: for each tensor of timm's naming the one, or the
//! two or three, that it is made of. Fails, naming the tensor, where one belongs to no network of this kind.
//!
//! | here (timm) | DINOv2 | transformers library |
//! |---|---|---|
//! | `cls_token` | the same | `embeddings.cls_token` |
//! | `reg_token` | `register_tokens` | `embeddings.register_tokens` |
//! | `pos_embed` | the same | `embeddings.position_embeddings` |
//! | `patch_embed.proj` | the same | `embeddings.patch_embeddings.projection` |
//! | `blocks.N.` | `blocks.N.` or `blocks.CHUNK.N.` | `encoder.layer.N.` |
//! | `norm1`, `norm2` | the same | the same, or `layernorm_before`, `layernorm_after` |
//! | `attn.qkv` | the same | `attention.attention.query`, `key`, `value` |
//! | `attn.proj` | the same | `attention.output.dense` |
//! | `ls1.gamma`, `ls2.gamma` | the same | `layer_scale1.lambda1`, `layer_scale2.lambda1` |
//! | `mlp.fc1`, `mlp.fc2` | the same, or `mlp.w12`, `mlp.w3` | the same; `mlp.weights_in`, `_out`; `intermediate.dense`, `output.dense` |
//! | `norm` | the same | `layernorm` |
//!
//! What stands before these names (`backbone.`, `teacher.backbone.`, `module.`) is found by the patch embedding's; tensors without it,
//! heads and mask tokens are not looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, fault};

/// The tensor that tells such a network, in both families.
const PATCHES: [&str; 2] = ["patch_embed.proj.weight", "embeddings.patch_embeddings.projection.weight"];
/// Outside of blocks: what a file calls it, what timm does.
const OUTSIDE: [(&str, &str); 11] = [
    ("cls_token", "cls_token"),
    ("embeddings.cls_token", "cls_token"),
    ("reg_token", "reg_token"),
    ("register_tokens", "reg_token"),
    ("embeddings.register_tokens", "reg_token"),
    ("pos_embed", "pos_embed"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("patch_embed.proj", "patch_embed.proj"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("norm", "norm"),
    ("layernorm", "norm"),
];
/// Inside of blocks: what a file calls it, what timm does, which part of how many it is.
const INSIDE: [(&str, &str, usize, usize); 24] = [
    ("norm1", "norm1", 0, 1),
    ("layernorm_before", "norm1", 0, 1),
    ("attn.qkv", "attn.qkv", 0, 1),
    ("attention.attention.query", "attn.qkv", 0, 3),
    ("attention.attention.key", "attn.qkv", 1, 3),
    ("attention.attention.value", "attn.qkv", 2, 3),
    ("attn.proj", "attn.proj", 0, 1),
    ("attention.output.dense", "attn.proj", 0, 1),
    ("ls1", "ls1", 0, 1),
    ("layer_scale1", "ls1", 0, 1),
    ("norm2", "norm2", 0, 1),
    ("layernorm_after", "norm2", 0, 1),
    ("mlp.fc1", "mlp.fc1", 0, 1),
    ("mlp.w12", "mlp.fc1", 0, 1),
    ("mlp.weights_in", "mlp.fc1", 0, 1),
    ("intermediate.dense", "mlp.fc1", 0, 1),
    ("mlp.fc1_g", "mlp.fc1", 0, 2),
    ("mlp.fc1_x", "mlp.fc1", 1, 2),
    ("mlp.fc2", "mlp.fc2", 0, 1),
    ("mlp.w3", "mlp.fc2", 0, 1),
    ("mlp.weights_out", "mlp.fc2", 0, 1),
    ("output.dense", "mlp.fc2", 0, 1),
    ("ls2", "ls2", 0, 1),
    ("layer_scale2", "ls2", 0, 1),
];
/// Parts that are for training, or for other tasks than features.
const IGNORED: [&str; 9] =
    ["mask_token", "embeddings.mask_token", "head.", "head_dist.", "pooler.", "classifier.", "dino_head.", "ibot_head.", "decoder_"];

/// The tensors found.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<String, Made>);

/// What a tensor is made of.
#[derive(Debug, Default)]
struct Made {
    /// Names in the file, one after another along the first axis.
    keys: Vec<String>,
    shape: Vec<usize>,
}

/// What stands before the names of each vision transformer in a file.
fn prefixes<'a>(keys: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let before = keys.filter_map(|k| PATCHES.iter().find_map(|end| k.strip_suffix(end)));
    before.filter(|p| p.is_empty() || p.ends_with('.')).collect()
}

/// Whether a file holds a vision transformer.
pub fn recognised<'a>(keys: impl Iterator<Item = &'a String>) -> bool {
    !prefixes(keys).is_empty()
}

impl Found {
    /// Finds the tensors of a file by its names and shapes.
    pub fn of(file: &BTreeMap<String, Vec<usize>>) -> Result<Self, Fault> {
        let prefix = the_one(&prefixes(file.keys()))?;
        let mut parts: BTreeMap<String, BTreeMap<usize, (&String, usize)>> = BTreeMap::new();
        for key in file.keys() {
            let Some(rest) = key.strip_prefix(prefix.as_str()) else { continue };
            if IGNORED.iter().any(|i| rest.starts_with(i)) {
                continue;
            }
            let (name, part, of) = known(rest).ok_or_else(|| foreign(key, rest))?;
            if let Some((twin, _)) = parts.entry(name).or_default().insert(part, (key, of)) {
                return fault(format!("its tensors `{twin}` and `{key}` are both the same one of a vision transformer's"));
            }
        }
        let joined = parts.into_iter().map(|(name, parts)| {
            let made = joined(&name, &parts, file)?;
            Ok((name, made))
        });
        Ok(Self(joined.collect::<Result<_, Fault>>()?))
    }

    /// Timm's names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A tensor's shape, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(|m| m.shape.as_slice())
    }

    /// What a tensor is made of: names in the file.
    pub fn keys(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], |m| m.keys.as_slice())
    }

    /// A tensor's name for messages: the file's, and timm's where they differ.
    pub fn told(&self, name: &str) -> String {
        match self.keys(name) {
            [key] if key != name => format!("`{key}` ({name})"),
            _ => format!("`{name}`"),
        }
    }
}

/// The network to take where there are several: the averaged one.
fn the_one(prefixes: &BTreeSet<&str>) -> Result<String, Fault> {
    let averaged = |p: &&&str| p.contains("teacher") || p.contains("ema");
    let only = if prefixes.len() == 1 { prefixes.first() } else { None };
    match only.or_else(|| Some(prefixes.iter().find(averaged)).filter(|_| prefixes.iter().filter(averaged).count() == 1).flatten()) {
        Some(prefix) => Ok((*prefix).to_owned()),
        None => {
            let told: Vec<String> = prefixes.iter().map(|p| format!("`{p}`")).collect();
            fault(format!("it holds {} vision transformers ({})", told.len(), told.join(", ")))
        }
    }
}

/// Timm's name of a tensor, which part of it this is, and of how many.
fn known(rest: &str) -> Option<(String, usize, usize)> {
    let (stem, leaf) = match rest.rsplit_once('.') {
        Some((stem, leaf @ ("weight" | "bias" | "gamma"))) => (stem, format!(".{leaf}")),
        Some((stem, "lambda1")) => (stem, ".gamma".to_owned()),
        _ => (rest, String::new()),
    };
    if let Some((_, ours)) = OUTSIDE.iter().find(|(theirs, ..)| *theirs == stem) {
        return Some((format!("{ours}{leaf}"), 0, 1));
    }
    let (number, inner) = in_block(stem)?;
    let (_, ours, part, of) = INSIDE.iter().find(|(theirs, ..)| *theirs == inner)?;
    Some((format!("blocks.{number}.{ours}{leaf}"), *part, *of))
}

/// The number of a block, and what follows. Chunks of blocks, as DINOv2 trains them, number blocks through.
fn in_block(stem: &str) -> Option<(usize, &str)> {
    let rest = stem.strip_prefix("blocks.").or_else(|| stem.strip_prefix("encoder.layer."))?;
    let (first, rest) = rest.split_once('.')?;
    let inner = rest.split_once('.').and_then(|(n, inner)| Some((n.parse().ok()?, inner)));
    let first = first.parse().ok()?;
    Some(inner.unwrap_or((first, rest)))
}

/// Why a tensor is none of those known.
fn foreign(key: &str, rest: &str) -> Fault {
    let why = if rest.starts_with("norm_pre.") {
        format!("`{key}` normalises tokens before the blocks, as CLIP does, which is not supported")
    } else if rest.starts_with("fc_norm.") {
        format!("`{key}` shows that it was trained for pooled features; its patch tokens have no normalisation of their own")
    } else {
        format!("it has a tensor `{key}`, which plain vision transformers have not")
    };
    Fault { why, hint: super::OTHER }
}

/// Parts laid one after another.
fn joined(name: &str, parts: &BTreeMap<usize, (&String, usize)>, file: &BTreeMap<String, Vec<usize>>) -> Result<Made, Fault> {
    let mut made = Made::default();
    let whole = parts.values().all(|(_, of)| *of == parts.len());
    for (key, _) in parts.values() {
        let shape = file.get(*key).cloned().unwrap_or_default();
        if made.keys.is_empty() {
            made.shape = shape;
        } else if whole && shape.len() == made.shape.len() && shape.get(1..) == made.shape.get(1..) {
            let sum = made.shape.first().and_then(|a| a.checked_add(*shape.first()?));
            sum.into_iter().for_each(|sum| made.shape[0] = sum);
        } else {
            return fault(format!("`{key}` of shape {shape:?} does not fit the other parts of `{name}`"));
        }
        made.keys.push((*key).clone());
    }
    match parts.values().next() {
        Some((key, of)) if !whole => fault(format!("`{key}` is one of {of} parts of `{name}`, of which {} are there", parts.len())),
        _ => Ok(made),
    }
}
