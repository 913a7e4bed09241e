//! A vision transformer behind core's [`Encoder`]. In: a folder made by an import. Out: embeddings `[c, h/p, w/p]` of windows whose
//! sides are multiples of the patch: normalised patch tokens, reduced to 64 channels where they have more ([`projection`]). Fails
//! with `Error::Weights` where the folder is not what its manifest says.

use std::path::Path;

use histoloom_core::{Encoder, Error, Job, Planes, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::net::{Vit, patched};
use super::{Config, Found, KIND, projection};
use crate::import::source::Source;
use crate::import::tensors;
use crate::nets::check_pictures;
use crate::ops::{After, Before, ConvSpec, Ops};
use crate::runner::Runner;
use crate::weights::{self, Entry};

const AGAIN: &str = "import the encoder again with `histoloom models import`";

/// What is done to pixels: (v / 255 - mean) / std, by colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Of red, green and blue.
    pub mean: [f64; 3],
    /// Of red, green and blue.
    pub std: [f64; 3],
}

impl Normalisation {
    /// That of ImageNet, which most encoders were trained with.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

    /// Whether it can be applied.
    pub fn usable(&self) -> bool {
        self.mean.iter().all(|m| m.is_finite()) && self.std.iter().all(|s| s.is_finite() && *s >= 1e-3)
    }

    /// For each colour what becomes of each byte.
    fn tables(&self) -> [Vec<f32>; 3] {
        [0, 1, 2].map(|c| (0..=255u8).map(|v| ((f64::from(v) / 255.0 - self.mean[c]) / self.std[c]) as f32).collect())
    }
}

/// What the manifest says of an encoder that its tensors do not.
#[derive(Debug, Deserialize)]
struct Said {
    heads: usize,
    normalisation: Normalisation,
}

/// The encoder.
pub struct VitNet<O: Ops> {
    ops: O,
    runner: Runner,
    net: Vit<O>,
    projection: Option<O::Conv>,
    channels: usize,
    tables: [Vec<f32>; 3],
    id: String,
    licence: String,
    sha256: String,
}

impl<O: Ops> VitNet<O> {
    /// Loads the encoder of a folder, a tensor at a time.
    pub fn load(ops: O, runner: Runner, dir: &Path) -> Result<Self> {
        let entry = weights::manifest(dir)?.models.into_iter().find(|m| m.kind == KIND);
        let entry = entry.ok_or_else(|| refused("manifest.json", "it lists no encoder"))?;
        let said: Said = serde_json::to_value(&entry.more)
            .and_then(serde_json::from_value)
            .map_err(|e| refused("manifest.json", &format!("of encoder `{}`: {e}", entry.id)))?;
        if !said.normalisation.usable() {
            return Err(refused("manifest.json", "the encoder's normalisation is not of positive deviations"));
        }
        let source = checked(dir, &entry)?;
        let tensors = tensors::find(&source)?;
        let shapes = tensors.iter().map(|(name, t)| (name.clone(), t.shape.clone())).collect();
        let config = Found::of(&shapes).and_then(|found| Config::read(&found, Some(said.heads)));
        let config = config.map_err(|f| refused(&entry.file, &f.why))?;
        let read = |name: &str| match tensors.get(name) {
            Some(t) => t.values(&source, name),
            None => Err(refused(&entry.file, &format!("tensor `{name}` is missing"))),
        };
        let net = runner.run(|| Vit::load(&ops, config, &read))?;
        let matrix = projection::matrix(config.width);
        let channels = if matrix.is_some() { projection::CHANNELS } else { config.width };
        let projection = matrix.map(|weight| {
            let (bias, c_in) = (vec![0.0; channels], config.width);
            ops.conv_layer(&ConvSpec { weight: &weight, bias: &bias, c_in, c_out: channels, kernel: 1, stride: 1, pad: (0, 0) })
        });
        let kind = if projection.is_some() { projection::KIND } else { "none" };
        let sha256 = named(&format!("{}\n{kind}\n{}\n{:?}", entry.sha256, said.heads, said.normalisation));
        Ok(Self {
            ops,
            runner,
            net,
            projection,
            channels,
            tables: said.normalisation.tables(),
            id: entry.id,
            licence: entry.licence,
            sha256,
        })
    }

    /// The network.
    pub fn config(&self) -> Config {
        self.net.config
    }

    fn through(&self, windows: &[RgbImage], project: bool) -> Result<Vec<Planes>> {
        check_pictures(&self.id, windows, self.stride_px())?;
        self.runner.run(|| {
            self.ops.in_batches(windows, |ops, windows| {
                let patches: Vec<Planes> = windows.iter().map(|w| patched(w, self.net.config.patch_px, &self.tables)).collect();
                let x = self.net.forward(ops, &patches);
                let projection = self.projection.as_ref().filter(|_| project);
                ops.download(projection.map_or(x.clone(), |p| ops.conv(&x, Before::Plain, p, After::Plain)))
            })
        })
    }

    /// All channels of the patch tokens, for comparison with the reference.
    pub fn embed_raw(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        self.through(windows, false)
    }
}

fn refused(file: &str, why: &str) -> Error {
    Error::Weights { file: file.into(), why: why.into(), hint: AGAIN.into() }
}

/// The weight file, as its entry describes it.
fn checked(dir: &Path, entry: &Entry) -> Result<Source> {
    let source = Source::open(&weights::beside(dir, &entry.file)?)?;
    if source.bytes != entry.bytes {
        return Err(refused(&entry.file, &format!("{} bytes, the manifest says {}", source.bytes, entry.bytes)));
    }
    let sha256 = source.sha256(&Job::new())?;
    if sha256 != entry.sha256 {
        return Err(refused(&entry.file, &format!("its sha-256 is {sha256}, the manifest says {}", entry.sha256)));
    }
    Ok(source)
}

/// SHA-256 of a text, hex.
fn named(text: &str) -> String {
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

impl<O: Ops> Encoder for VitNet<O> {
    fn id(&self) -> &str {
        &self.id
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn arithmetic(&self) -> &str {
        self.runner.name()
    }

    fn licence(&self) -> &str {
        &self.licence
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn stride_px(&self) -> u32 {
        self.net.config.patch_px as u32
    }

    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        self.through(windows, true)
    }
}
