//! Import of published checkpoints. In: a file of torch.save or a `.safetensors` file, and a folder that is new or empty. Out: our
//! weight files with their manifest. Which networks a file holds is told by its key names:
//!
//! | names | networks | loaded by |
//! |---|---|---|
//! | the CompVis layout | the published ones (design/method.md section 2) | [`crate::Engine::paper`] |
//! | a patch embedding in one of three namings | a vision transformer ([`crate::vit`]) | [`crate::Engine::encoder_from`] |
//!
//! Nothing of the file is executed: its pickle is read as data ([`pickle`]), and refused when it holds more than tensors and plain
//! metadata. Class count, planes of the condition, width, depth and patch are told by key names and shapes. Weights averaged over the
//! training (EMA, a teacher) are taken where there are any. Fails with [`Error::Weights`](histoloom_core::Error::Weights) naming file,
//! tensor and what to do, with `Error::File`, or when the job is cancelled; in each case the folder is not made.
//!
//! ```no_run
//! let job = histoloom_core::Job::new();
//! let made = histoloom_models::import::run("c16.ckpt".as_ref(), "models/c16".as_ref(), &job)?;
//! println!("{} parameters; licence: {}", made.parameters, made.licence);
//! # Ok::<(), histoloom_core::Error>(())
//! ```

mod checkpoint;
mod encoder;
pub mod pickle;
pub(crate) mod source;
pub(crate) mod tensors;
mod write;
mod zip;

use std::path::{Path, PathBuf};

use histoloom_core::{Error, Job, Result};
use serde::Serialize;
use serde_json::json;

use crate::vit::{self, Normalisation};
use crate::weights::Manifest;
use source::Source;

/// What is known of the licence of imported weights.
pub const LICENCE: &str = "as the source states; ask its authors";

/// What was imported.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// The networks.
    #[serde(flatten)]
    pub network: Network,
    /// SHA-256 of the checkpoint, hex.
    pub source_sha256: String,
    /// See [`LICENCE`].
    pub licence: &'static str,
    /// Values in all weight files.
    pub parameters: u64,
    /// The files made.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
}

/// The networks of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Network {
    /// The published networks.
    Published {
        /// Classes the network knows.
        classes: usize,
        /// Whether the background has a plane of its own.
        background: bool,
        /// Planes of the condition.
        condition_channels: usize,
        /// `ema` or `plain`.
        weights: &'static str,
    },
    /// A vision transformer.
    Encoder(Encoder),
}

/// A vision transformer that was imported; the same is in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Encoder {
    /// Its name, that of the file.
    pub id: String,
    /// Channels of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Side of a patch in pixels.
    pub patch_px: usize,
    /// Side of the pictures it was trained on in pixels.
    pub size_px: usize,
    /// Resolution it is assumed to be meant for, in micrometres a pixel; files do not tell.
    pub mpp: f64,
    /// `gelu` or `swiglu`.
    pub mlp: &'static str,
    /// Whether there is a class token.
    pub class_token: bool,
    /// Register tokens.
    pub registers: usize,
    /// `dense`: embeddings are patch tokens.
    pub tokens: &'static str,
    /// What is done to pixels.
    pub normalisation: Normalisation,
}

/// Imports a checkpoint.
pub fn run(file: &Path, out_dir: &Path, job: &Job) -> Result<Imported> {
    let source = Source::open(file)?;
    let tensors = tensors::find(&source)?;
    if vit::names::recognised(tensors.keys()) {
        let found = encoder::read(&source, &tensors, file)?;
        return write_all(&source, out_dir, job, &[found.network], Network::Encoder(found.encoder));
    }
    let found = checkpoint::read(&source, &tensors)?;
    let network = Network::Published {
        classes: found.variant.classes,
        background: found.variant.background,
        condition_channels: found.variant.channels(),
        weights: if found.ema { "ema" } else { "plain" },
    };
    write_all(&source, out_dir, job, &found.networks, network)
}

/// Writes the weight files; what is told of the networks goes into each one's entry of the manifest.
fn write_all(source: &Source, out_dir: &Path, job: &Job, networks: &[write::Network<'_>], network: Network) -> Result<Imported> {
    let folder = write::Folder::begin(out_dir)?;
    let source_sha256 = source.sha256(job)?;
    job.stage("reading weights", networks.iter().map(|n| n.tensors.len() as u64).sum());
    let facts = serde_json::to_value(&network).map_err(|e| Error::internal(e.to_string()))?;
    let mut models = Vec::new();
    for network in networks {
        let mut entry = folder.network(source, network, job)?;
        let facts = facts.as_object().into_iter().flatten().filter(|(key, _)| !matches!(key.as_str(), "kind" | "id"));
        entry.more.extend(facts.map(|(key, value)| (key.clone(), value.clone())));
        entry.more.insert("source_sha256".into(), json!(source_sha256));
        models.push(entry);
    }
    let parameters = models.iter().filter_map(|m| m.more.get("parameters")?.as_u64()).sum();
    let files = folder.finish(&Manifest { models })?;
    Ok(Imported { network, source_sha256, licence: LICENCE, parameters, files })
}
