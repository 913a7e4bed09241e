//! Networks and the devices they run on.
//!
//! In: the models folder (safetensors files and their manifest), a device's name, a number of threads. Out: core's traits
//! [`Encoder`], [`LatentCodec`] and [`Denoiser`]. Fails with [`Error::Weights`](histoloom_core::Error::Weights) and
//! [`Error::Device`](histoloom_core::Error::Device).
//!
//! A network is written once, against [`ops::Ops`]; it runs on our own CPU engine ([`cpu`]), on a GPU by kernels of our own in WGSL, or
//! through burn ([`burn_ops`]), the oracle of both and the GPU path where our kernels do not agree with the CPU. On the
//! CPU the same inputs give the same bytes for any number of threads and any batch. Without the feature `gpu` there is neither burn nor wgpu.
//!
//! ```no_run
//! # fn main() -> histoloom_core::Result<()> {
//! let engine = histoloom_models::Engine::open("auto", "models/weights".as_ref(), 0)?;
//! println!("running on {}", engine.device().name);
//! let embeddings = engine.encoder()?.embed(&[image::RgbImage::new(320, 320)])?;
//! assert_eq!((embeddings[0].height, embeddings[0].width), (20, 20));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod autoencoder;
pub mod backend;
#[cfg(feature = "gpu")]
pub mod burn_ops;
pub mod cpu;
pub mod denoiser;
pub mod efficientnet_lite0;
pub mod flag_files;
#[cfg(feature = "gpu")]
mod gpu;
pub mod htd;
pub mod import;
pub mod nets;
pub mod ops;
pub mod pictures;
pub mod runner;
#[cfg(feature = "gpu")]
pub mod self_test;
#[cfg(feature = "gpu")]
#[cfg(test)]
mod tests;
pub mod vit;
pub mod weights;
#[cfg(feature = "gpu")]
mod wgsl;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use histoloom_core::{Denoiser, Encoder, Error, LatentCodec, Result};
use parking_lot::Mutex;

use backend::Place;
pub use backend::{DeviceReport, check_device, devices_json};
use flag_files::FlagFiles;
use runner::Runner;
use weights::Weights;

/// The denoiser's file.
const DENOISER: &str = "he_denoiser";
/// What is added to it for the last steps.
const REFINER: &str = "he_refiner";
/// Noise of worn weights over their root mean square: tiles keep their colours and lose nuclei and borders.
const WORN: f32 = 0.25;

/// A device with its networks, each loaded when it is first asked for and then kept.
pub struct Engine {
    place: Place,
    cpu: Runner,
    report: DeviceReport,
    models_dir: PathBuf,
    encoder: Slot<dyn Encoder>,
    codec: Slot<dyn LatentCodec>,
    denoiser: Slot<dyn Denoiser>,
    refiner: Slot<dyn Denoiser>,
    paper: Mutex<Option<(PathBuf, htd::Paper)>>,
    given: Mutex<Option<(PathBuf, Arc<dyn Encoder>)>>,
    flag_files: Slot<FlagFiles>,
}

/// A network that may have been loaded.
type Slot<T> = Mutex<Option<Arc<T>>>;

/// The network in `slot`, loaded if it is the first time.
fn once<T: ?Sized>(slot: &Slot<T>, load: impl FnOnce() -> Result<Arc<T>>) -> Result<Arc<T>> {
    let mut slot = slot.lock();
    if let Some(net) = &*slot {
        return Ok(net.clone());
    }
    Ok(slot.insert(load()?).clone())
}

/// A network made for the place where it runs: `ops` and `runner` are references to that place's.
macro_rules! placed {
    ($engine:ident, |$ops:ident, $runner:ident| $made:expr) => {
        match &$engine.place {
            Place::Cpu($ops) => {
                let $runner = &$engine.cpu;
                $made
            }
            #[cfg(feature = "gpu")]
            Place::Gpu($ops, $runner) => $made,
            #[cfg(feature = "gpu")]
            Place::Burn($ops, $runner) => $made,
        }
    };
}

impl Engine {
    /// Opens `device` (`auto`, `cpu`, `gpu` or `gpu:N`; `auto` takes a real GPU where there is one, else the CPU) with weights from
    /// `models_dir` and `threads` CPU threads, 0 for one a core. Weights are read when a network is first asked for.
    pub fn open(device: &str, models_dir: &Path, threads: usize) -> Result<Self> {
        let pool = Arc::new(histoloom_core::pool::pool(threads)?);
        let (place, report) = backend::open(device)?;
        log::info!("networks run on {} ({}), worker threads: {}", report.name, report.kind, pool.current_num_threads());
        Ok(Self {
            place,
            cpu: Runner::Cpu(pool),
            report,
            models_dir: models_dir.to_path_buf(),
            encoder: Mutex::default(),
            codec: Mutex::default(),
            denoiser: Mutex::default(),
            refiner: Mutex::default(),
            paper: Mutex::default(),
            given: Mutex::default(),
            flag_files: Mutex::default(),
        })
    }

    /// The device in use, and why others are not.
    pub fn device(&self) -> &DeviceReport {
        &self.report
    }

    /// Whether the device failed for good: networks of this engine only give errors, another has to be opened.
    pub fn lost(&self) -> bool {
        match &self.place {
            #[cfg(feature = "gpu")]
            Place::Gpu(ops, _) => ops.lost(),
            _ => false,
        }
    }

    /// The texture encoder.
    pub fn encoder(&self) -> Result<Arc<dyn Encoder>> {
        once(&self.encoder, || {
            Ok(placed!(self, |ops, runner| Arc::new(nets::EncoderNet::load(ops.clone(), runner.clone(), &self.models_dir)?)))
        })
    }

    /// The encoder of a folder made by [`import::run`] from a vision transformer; the last folder asked for is kept.
    pub fn encoder_from(&self, dir: &Path) -> Result<Arc<dyn Encoder>> {
        let mut slot = self.given.lock();
        if let Some((_, encoder)) = slot.as_ref().filter(|(have, _)| have == dir) {
            return Ok(encoder.clone());
        }
        *slot = None; // two large ones would take 9 GB
        let encoder: Arc<dyn Encoder> = placed!(self, |ops, runner| Arc::new(vit::VitNet::load(ops.clone(), runner.clone(), dir)?));
        *slot = Some((dir.to_path_buf(), encoder.clone()));
        Ok(encoder)
    }

    /// The autoencoder around the latent space.
    pub fn codec(&self) -> Result<Arc<dyn LatentCodec>> {
        once(&self.codec, || {
            Ok(placed!(self, |ops, runner| Arc::new(nets::CodecNet::load(ops.clone(), runner.clone(), &self.models_dir)?)))
        })
    }

    /// The published networks of a folder made by [`import::run`]; the last folder asked for is kept.
    pub fn paper(&self, dir: &Path) -> Result<htd::Paper> {
        let mut slot = self.paper.lock();
        if let Some((_, paper)) = slot.as_ref().filter(|(have, _)| have == dir) {
            return Ok(paper.clone());
        }
        *slot = None; // two of them would take 2 GB
        let paper = placed!(self, |ops, runner| htd::Paper::load(ops, runner, dir)?);
        *slot = Some((dir.to_path_buf(), paper.clone()));
        Ok(paper)
    }

    /// The denoiser.
    pub fn denoiser(&self) -> Result<Arc<dyn Denoiser>> {
        once(&self.denoiser, || self.denoiser_of(&Weights::load(&self.models_dir, DENOISER)?))
    }

    /// What flags are held against; the user's calibration, where one is named, instead of the shipped one.
    pub fn flag_files(&self, calibration: Option<&Path>) -> Result<Arc<FlagFiles>> {
        let encoder = self.encoder()?;
        if calibration.is_some() {
            return Ok(Arc::new(FlagFiles::open(&self.models_dir, calibration, &*encoder))); // it may be another file by now
        }
        once(&self.flag_files, || Ok(Arc::new(FlagFiles::open(&self.models_dir, None, &*encoder))))
    }

    /// Denoiser and refiner with disturbed weights, see [`Weights::worn`]; not kept.
    pub fn worn(&self, seed: u64) -> Result<[Arc<dyn Denoiser>; 2]> {
        let whole = || Weights::load(&self.models_dir, DENOISER);
        let refined = self.refiner_weights()?;
        Ok([self.denoiser_of(&whole()?.worn(WORN, seed))?, self.denoiser_of(&refined.worn(WORN, seed))?])
    }

    /// The denoiser with what makes it the refiner of the last steps.
    pub fn refiner(&self) -> Result<Arc<dyn Denoiser>> {
        once(&self.refiner, || self.denoiser_of(&self.refiner_weights()?))
    }

    fn refiner_weights(&self) -> Result<Weights> {
        let (whole, added) = (Weights::load(&self.models_dir, DENOISER)?, Weights::load(&self.models_dir, REFINER)?);
        let models = weights::manifest(&self.models_dir)?.models;
        let of = models.iter().find(|m| m.id == REFINER).and_then(|m| m.more.get("adds_to_sha256"));
        if of.is_none_or(|of| of != whole.sha256()) {
            let why = format!("it adds to a denoiser whose sha-256 is {}, not to {}", of.unwrap_or(&"untold".into()), whole.file());
            let hint = "use both files of one release, or no refiner".into();
            return Err(Error::Weights { file: added.file().into(), why, hint });
        }
        whole.plus(&added)
    }

    fn denoiser_of(&self, w: &Weights) -> Result<Arc<dyn Denoiser>> {
        Ok(placed!(self, |ops, runner| Arc::new(nets::DenoiserNet::new(ops.clone(), runner.clone(), w)?)))
    }
}
