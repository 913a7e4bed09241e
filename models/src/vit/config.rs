//! The network that shapes tell. In: the tensors found. Out: [`Config`], and with it every tensor that must be there. Fails naming the
//! first tensor that is missing, of another shape, or too many.

use std::collections::BTreeSet;

use super::{Fault, Found, fault};

/// Most channels of a token.
const WIDTH: usize = 4096;
/// Most channels inside a perceptron.
const HIDDEN: usize = 32_768;
/// Most blocks.
const DEPTH: usize = 128;
/// Sides of a patch accepted, in pixels.
const PATCH_PX: std::ops::RangeInclusive<usize> = 4..=64;
/// Most register tokens.
const REGISTERS: usize = 64;
/// Longest side of the grid of positions.
const SIDE: usize = 512;
/// Channels of a head, where no other number is known.
const HEAD: usize = 64;
/// Widths whose heads have another number of channels: timm's ViT-SO400M, H, g and G, all of 16 heads.
const SIXTEEN_HEADS: [usize; 4] = [1152, 1280, 1408, 1664];

/// The perceptron of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// Linear, GELU, linear.
    Gelu,
    /// Linear to twice the width, silu(first half) times the second, linear.
    SwiGlu,
}

impl Mlp {
    /// Its name in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::SwiGlu => "swiglu",
        }
    }
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Channels of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Whether there is a class token.
    pub class_token: bool,
    /// Register tokens.
    pub registers: usize,
    /// How many of class and register tokens, in this order, have a position.
    pub placed: usize,
    /// Side of the grid that positions were trained on.
    pub side: usize,
    /// The perceptron.
    pub mlp: Mlp,
    /// Its inner channels.
    pub hidden: usize,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
    /// Whether each branch is scaled by channel.
    pub layer_scale: bool,
}

/// Name and shape of a tensor.
pub type Listed = Vec<(String, Vec<usize>)>;

impl Config {
    /// Tells the network and checks that every tensor is there, and none besides. `heads` is what is known from elsewhere.
    pub fn read(found: &Found, heads: Option<usize>) -> Result<Self, Fault> {
        let need = |name: &str| found.shape(name).ok_or_else(|| missing(name));
        let [width, 3, patch_px, other] = *need("patch_embed.proj.weight")? else {
            return fault(format!("tensor {} is no embedding of RGB patches", shown(found, "patch_embed.proj.weight")));
        };
        if patch_px != other || !PATCH_PX.contains(&patch_px) || width == 0 || width > WIDTH || !width.is_multiple_of(4) {
            return fault(format!("tensor {}: patches must be squares of 4 to 64 px", shown(found, "patch_embed.proj.weight")));
        }
        let class_token = found.shape("cls_token").is_some();
        let registers = found.shape("reg_token").map_or(0, |s| s.get(1).copied().unwrap_or(0));
        let (placed, side) = positions(found, need("pos_embed")?, usize::from(class_token), registers)?;
        let (mlp, hidden) = perceptron(found, need("blocks.0.mlp.fc1.weight")?, need("blocks.0.mlp.fc2.weight")?)?;
        let config = Self {
            width,
            depth: depth(found)?,
            heads: heads_of(width, heads)?,
            patch_px,
            class_token,
            registers,
            placed,
            side,
            mlp,
            hidden,
            qkv_bias: found.shape("blocks.0.attn.qkv.bias").is_some(),
            layer_scale: found.shape("blocks.0.ls1.gamma").is_some(),
        };
        config.check(found)?;
        Ok(config)
    }

    /// Tokens that are no patches.
    pub fn prefix(&self) -> usize {
        usize::from(self.class_token) + self.registers
    }

    /// Every tensor, named as by timm, in the order of a file.
    pub fn tensors(&self) -> Listed {
        let (c, p) = (self.width, self.patch_px);
        let mut out: Listed = Vec::new();
        let mut add = |name: &str, shape: &[usize]| out.push((name.to_owned(), shape.to_vec()));
        if self.class_token {
            add("cls_token", &[1, 1, c]);
        }
        if self.registers > 0 {
            add("reg_token", &[1, self.registers, c]);
        }
        add("pos_embed", &[1, self.placed + self.side * self.side, c]);
        add("patch_embed.proj.weight", &[c, 3, p, p]);
        add("patch_embed.proj.bias", &[c]);
        (0..self.depth).for_each(|n| out.extend(self.block(n)));
        out.extend([("norm.weight".to_owned(), vec![c]), ("norm.bias".to_owned(), vec![c])]);
        out
    }

    /// Those of a block.
    fn block(&self, n: usize) -> Listed {
        let c = self.width;
        let wide = if self.mlp == Mlp::SwiGlu { 2 * self.hidden } else { self.hidden };
        let mut out: Listed = Vec::new();
        let mut add = |name: &str, shape: &[usize]| out.push((format!("blocks.{n}.{name}"), shape.to_vec()));
        for (name, out, inner) in [("attn.qkv", 3 * c, c), ("attn.proj", c, c), ("mlp.fc1", wide, c), ("mlp.fc2", c, self.hidden)] {
            add(&format!("{name}.weight"), &[out, inner]);
            if name != "attn.qkv" || self.qkv_bias {
                add(&format!("{name}.bias"), &[out]);
            }
        }
        for name in ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"] {
            add(name, &[c]);
        }
        if self.layer_scale {
            add("ls1.gamma", &[c]);
            add("ls2.gamma", &[c]);
        }
        out
    }

    fn check(&self, found: &Found) -> Result<(), Fault> {
        let wanted = self.tensors();
        for (name, shape) in &wanted {
            match found.shape(name) {
                Some(have) if have == shape => (),
                Some(_) => return fault(format!("tensor {}, not {shape:?}", shown(found, name))),
                None => return Err(missing(name)),
            }
        }
        let known: BTreeSet<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
        match found.names().find(|name| !known.contains(name)) {
            Some(name) => fault(format!("it has a tensor {}, which its other blocks have not", found.told(name))),
            None => Ok(()),
        }
    }
}

fn missing(name: &str) -> Fault {
    Fault { why: format!("tensor `{name}` (as timm names it) is missing"), hint: super::OTHER }
}

/// A tensor and its shape, for messages.
fn shown(found: &Found, name: &str) -> String {
    format!("{} has shape {:?}", found.told(name), found.shape(name).unwrap_or(&[]))
}

/// How many tokens besides patches have a position, and the side of the grid.
fn positions(found: &Found, shape: &[usize], class: usize, registers: usize) -> Result<(usize, usize), Fault> {
    if registers > REGISTERS {
        return fault(format!("tensor {}: the limit is {REGISTERS} registers", shown(found, "reg_token")));
    }
    let count = shape.get(1).copied().unwrap_or(0);
    // all of them, or the class token alone (DINOv2 with registers), or none
    let side = |placed: usize| Some((placed, count.checked_sub(placed)?.isqrt())).filter(|(p, side)| p + side * side == count);
    let split = [class + registers, class, 0].into_iter().find_map(side);
    match split.filter(|(_, side)| (1..=SIDE).contains(side)) {
        Some(split) => Ok(split),
        None => fault(format!("tensor {}: its positions are not those of a square of patches", shown(found, "pos_embed"))),
    }
}

fn perceptron(found: &Found, first: &[usize], last: &[usize]) -> Result<(Mlp, usize), Fault> {
    match (first, last) {
        ([wide, _], [_, hidden]) if wide == hidden && (1..=HIDDEN).contains(hidden) => Ok((Mlp::Gelu, *hidden)),
        ([wide, _], [_, hidden]) if (1..=HIDDEN).contains(hidden) && *wide == 2 * hidden => Ok((Mlp::SwiGlu, *hidden)),
        _ => {
            let (a, b) = (shown(found, "blocks.0.mlp.fc1.weight"), shown(found, "blocks.0.mlp.fc2.weight"));
            fault(format!("tensor {a}, and {b}: neither a GELU nor a SwiGLU perceptron"))
        }
    }
}

/// Number of blocks, which must be numbered through.
fn depth(found: &Found) -> Result<usize, Fault> {
    let number = |name: &str| name.strip_prefix("blocks.")?.split_once('.')?.0.parse::<usize>().ok();
    let numbers: BTreeSet<usize> = found.names().filter_map(number).collect();
    if let Some((gap, after)) = (0..).zip(&numbers).find(|(i, n)| i != *n) {
        return fault(format!("it has a block {after} but no block {gap}"));
    }
    if numbers.len() > DEPTH {
        return fault(format!("it has {} blocks, the limit is {DEPTH}", numbers.len()));
    }
    Ok(numbers.len())
}

fn heads_of(width: usize, told: Option<usize>) -> Result<usize, Fault> {
    let usual = if SIXTEEN_HEADS.contains(&width) { 16 } else { (width / HEAD).max(1) };
    let heads = told.unwrap_or(usual);
    if heads == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(4) {
        let why = format!("{heads} heads do not divide its width of {width} into multiples of 4");
        return Err(Fault { why, hint: "put timm's config.json (model_args.num_heads) beside the file" });
    }
    Ok(heads)
}
