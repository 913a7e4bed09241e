//! A running job: cancel, progress, partial results. The pipeline calls it from any thread; hosts poll it.
//!
//! ```
//! let job = histoloom_core::Job::new();
//! job.stage("looking at the tissue", 10);
//! job.advance(4);
//! assert_eq!(job.progress().done, 4);
//! job.cancel();
//! assert!(job.check().is_err());
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::{Error, Result, memory};

/// What a host sees when it polls.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Name of the stage, in the order of the pipeline: words that users are shown, at most 39 bytes.
    pub stage: &'static str,
    /// Items done in this stage.
    pub done: u64,
    /// Items of this stage, 0 if unknown.
    pub total: u64,
    /// Items a second in this stage, 0 until something is known.
    pub items_per_s: f64,
    /// Seconds until this stage ends, if something is known.
    pub eta_s: Option<f64>,
}

struct Stage {
    name: &'static str,
    total: u64,
    since: Instant,
}

/// Shared state of one job.
pub struct Job {
    cancelled: Arc<AtomicBool>,
    done: AtomicU64,
    stage: Mutex<Stage>,
    partial: Mutex<Option<image::RgbaImage>>,
    notes: Mutex<Vec<String>>,
}

impl Default for Job {
    fn default() -> Self {
        Self::new()
    }
}

impl Job {
    /// A job that has not begun.
    pub fn new() -> Self {
        Self {
            cancelled: Arc::default(),
            done: AtomicU64::new(0),
            stage: Mutex::new(Stage { name: "waiting", total: 0, since: Instant::now() }),
            partial: Mutex::new(None),
            notes: Mutex::new(Vec::new()),
        }
    }

    /// Asks the job to stop; it does so at its next [`Job::check`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// What [`Job::is_cancelled`] looks at, for code that outlives a borrow of the job.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// [`Error::Cancelled`] once a stop was asked for, [`Error::Memory`] once the process ran out of it. Called at least once a denoising step
    /// and once an embedding batch.
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { memory::check() }
    }

    /// Enters a stage of `total` items.
    pub fn stage(&self, name: &'static str, total: u64) {
        let mut s = self.stage.lock();
        *s = Stage { name, total, since: Instant::now() };
        self.done.store(0, Ordering::SeqCst);
        log::debug!("stage {name}: {total} items");
    }

    /// Counts items of the current stage as done.
    pub fn advance(&self, items: u64) {
        self.done.fetch_add(items, Ordering::SeqCst);
    }

    /// The state of the current stage.
    pub fn progress(&self) -> Progress {
        let s = self.stage.lock();
        let done = self.done.load(Ordering::SeqCst);
        let items_per_s = done as f64 / s.since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let eta_s = (done > 0 && s.total >= done).then(|| (s.total - done) as f64 / items_per_s);
        Progress { stage: s.name, done, total: s.total, items_per_s, eta_s }
    }

    /// Publishes a picture of what is there so far (an overlay, a preview).
    pub fn publish(&self, picture: image::RgbaImage) {
        *self.partial.lock() = Some(picture);
    }

    /// The newest partial picture.
    pub fn partial(&self) -> Option<image::RgbaImage> {
        self.partial.lock().clone()
    }

    /// Records something the user must be told with the result (the device used, why another was refused, a doubt).
    pub fn note(&self, text: impl Into<String>) {
        let text = text.into();
        log::warn!("{text}");
        self.notes.lock().push(text);
    }

    /// What was noted so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().clone()
    }
}
