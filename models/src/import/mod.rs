//! Import of published checkpoints (design/method.md section 2). In: a `.ckpt` of torch.save or a `.safetensors` file in the CompVis
//! layout, and a folder that is new or empty. Out: our weight files with their manifest, which [`crate::Engine::paper`] loads.
//!
//! Nothing of the file is executed: its pickle is read as data ([`pickle`]), and refused when it holds more than tensors and plain
//! metadata. Class count and planes of the condition are told by key names and shapes. Weights averaged over the training (EMA) are
//! taken where there are any. Fails with [`Error::Weights`](histoloom_core::Error::Weights) naming file, tensor and what to do, with
//! `Error::File`, or when the job is cancelled; in each case the folder is not made.
//!
//! ```no_run
//! let job = histoloom_core::Job::new();
//! let made = histoloom_models::import::run("c16.ckpt".as_ref(), "models/c16".as_ref(), &job)?;
//! println!("{} classes; licence: {}", made.classes, histoloom_models::import::LICENCE);
//! # Ok::<(), histoloom_core::Error>(())
//! ```

mod checkpoint;
pub mod pickle;
mod source;
mod tensors;
mod write;
mod zip;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use histoloom_core::{Job, Result};
use serde::Serialize;
use serde_json::json;

use crate::weights::Manifest;

/// What is known of the licence of imported weights.
pub const LICENCE: &str = "as the source states; ask its authors";

/// What was imported.
#[derive(Clone, Debug, Serialize)]
pub struct Imported {
    /// Classes the network knows.
    pub classes: usize,
    /// Whether the background has a plane of its own.
    pub background: bool,
    /// Planes of the condition.
    pub condition_channels: usize,
    /// `ema` or `plain`.
    pub weights: &'static str,
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

/// Imports a checkpoint.
pub fn run(file: &Path, out_dir: &Path, job: &Job) -> Result<Imported> {
    let source = source::Source::open(file)?;
    let tensors = tensors::find(&source)?;
    let found = checkpoint::read(&source, &tensors)?;
    let folder = write::Folder::begin(out_dir)?;
    let source_sha256 = source.sha256(job)?;
    job.stage("import", found.networks.iter().map(|n| n.tensors.len() as u64).sum());
    let weights = if found.ema { "ema" } else { "plain" };
    let facts = BTreeMap::from([
        ("classes".to_owned(), json!(found.variant.classes)),
        ("background".to_owned(), json!(found.variant.background)),
        ("condition_channels".to_owned(), json!(found.variant.channels())),
        ("weights".to_owned(), json!(weights)),
        ("source_sha256".to_owned(), json!(source_sha256)),
    ]);
    let mut models = Vec::new();
    for network in &found.networks {
        let mut entry = folder.network(&source, network, job)?;
        entry.more.extend(facts.clone());
        models.push(entry);
    }
    let parameters = models.iter().filter_map(|m| m.more.get("parameters")?.as_u64()).sum();
    let files = folder.finish(&Manifest { models })?;
    Ok(Imported {
        classes: found.variant.classes,
        background: found.variant.background,
        condition_channels: found.variant.channels(),
        weights,
        source_sha256,
        licence: LICENCE,
        parameters,
        files,
    })
}
