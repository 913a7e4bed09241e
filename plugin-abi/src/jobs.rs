//! Jobs of a context. In: checked work. Out: progress, partial pictures, one final state, perhaps a result. Each job has a thread
//! named `histoloom-job`; those of one context run one after the other in the order they were started, and at most [`WAITING`] are
//! unfinished. A cancelled job that waits ends at once; one that runs ends at its next check.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use histoloom_core as core;
use parking_lot::{Condvar, Mutex};

use crate::boundary::guarded;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::handles::{self, Kind, Object};
use crate::host::{HostSource, Slide, inside_callback};
use crate::logging;
use crate::pipeline::{self, Work};
use crate::results::ResultData;
use crate::rounding::Nearest;
use crate::types::*;

/// Most unfinished jobs of one context.
const WAITING: usize = 64;
/// How often a waiting job looks whether it was cancelled.
const LOOK: Duration = Duration::from_millis(20);

struct State {
    phase: i32,
    failure: Option<Failure>,
    result: Option<Arc<ResultData>>,
}

/// One job.
pub struct Job {
    handle: AtomicU64,
    shared: Arc<core::Job>,
    slide: Option<Arc<Slide>>,
    params: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// What a job starts from.
pub struct Input {
    /// The slide, for jobs that read one.
    pub slide: Option<Arc<Slide>>,
    /// The result of an earlier job.
    pub result: Option<Arc<ResultData>>,
}

/// The jobs of a context.
#[derive(Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    turn: Condvar,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    order: VecDeque<Arc<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Queue {
    /// Starts a job; its handle comes back at once.
    pub fn start(&self, context: &Arc<Context>, work: Work, input: Input, params: String) -> Result<u64> {
        let job = Arc::new(Job {
            handle: AtomicU64::new(0),
            shared: Arc::new(core::Job::new()),
            slide: input.slide.clone(),
            params,
            state: Mutex::new(State { phase: HL_JOB_QUEUED, failure: None, result: None }),
            changed: Condvar::new(),
        });
        let ended = self.enqueue(&job)?;
        for thread in ended {
            // It has ended; a panic of it was caught inside.
            let _ = thread.join();
        }
        let handle = handles::insert(context, Object::Job(job.clone())).inspect_err(|_| self.leave(&job))?;
        job.handle.store(handle, Ordering::SeqCst);
        let (own, ctx) = (job.clone(), context.clone());
        let spawned = std::thread::Builder::new().name("histoloom-job".into()).spawn(move || ctx.jobs.run(&ctx, &own, work, input));
        match spawned {
            Ok(thread) => self.adopt(thread, handle)?,
            Err(e) => {
                self.leave(&job);
                let _ = handles::remove(handle, Kind::Job);
                return Err(Failure::new(HL_E_MEMORY, format!("cannot start a thread for the job: {e}; close other programs")));
            }
        }
        Ok(handle)
    }

    /// Keeps a job's thread to be joined; if the context went while the job was started, the job goes with it.
    fn adopt(&self, thread: JoinHandle<()>, handle: u64) -> Result<()> {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.threads.push(thread);
            return Ok(());
        }
        drop(inner);
        let _ = handles::remove(handle, Kind::Job);
        if !inside_callback() {
            // It was cancelled by whoever closed the queue.
            let _ = thread.join();
        }
        Err(Failure::new(HL_E_HANDLE, "the context was released while the job was started"))
    }

    /// Puts a job at the end of the queue; threads that have ended come back.
    fn enqueue(&self, job: &Arc<Job>) -> Result<Vec<JoinHandle<()>>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Failure::new(HL_E_HANDLE, "the context is being released"));
        }
        if inner.order.len() >= WAITING {
            return Err(Failure::new(HL_E_BUSY, format!("{WAITING} jobs of this context are unfinished; wait for one or cancel it")));
        }
        inner.order.push_back(job.clone());
        let (ended, running) = std::mem::take(&mut inner.threads).into_iter().partition(JoinHandle::is_finished);
        inner.threads = running;
        Ok(ended)
    }

    fn leave(&self, job: &Arc<Job>) {
        self.inner.lock().order.retain(|j| !Arc::ptr_eq(j, job));
        self.turn.notify_all();
    }

    /// The body of a job's thread.
    fn run(&self, context: &Arc<Context>, job: &Arc<Job>, work: Work, input: Input) {
        let _nearest = Nearest::here();
        logging::bind(&context.messenger);
        let outcome = self.await_turn(job).and_then(|()| {
            job.state.lock().phase = HL_JOB_RUNNING;
            context.messenger.began(job);
            let source = input.slide.map(|slide| HostSource { host: context.host.clone(), slide, job: job.shared.clone() });
            guarded(|| pipeline::run(work, &context.engines, source, input.result.as_deref(), &job.shared))
        });
        if outcome.as_ref().is_err_and(|f| f.code == HL_E_PANIC) {
            context.poison();
        }
        job.end(outcome);
        self.leave(job);
        context.messenger.ended(job);
    }

    fn await_turn(&self, job: &Arc<Job>) -> Result<()> {
        let mut inner = self.inner.lock();
        loop {
            job.shared.check()?;
            if inner.order.front().is_some_and(|j| Arc::ptr_eq(j, job)) {
                return Ok(());
            }
            self.turn.wait_for(&mut inner, LOOK);
        }
    }

    /// Cancels the jobs that read a slide.
    pub fn cancel_readers(&self, slide: &Arc<Slide>) {
        for job in self.inner.lock().order.iter().filter(|j| j.slide.as_ref().is_some_and(|s| Arc::ptr_eq(s, slide))) {
            job.shared.cancel();
        }
    }

    /// Cancels everything, lets nothing in any more, and waits for the threads unless it is called from inside a callback.
    pub fn close(&self) {
        let threads = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            for job in &inner.order {
                job.shared.cancel();
            }
            std::mem::take(&mut inner.threads)
        };
        self.turn.notify_all();
        for thread in threads {
            if !inside_callback() {
                // A panic inside was caught and is told by the job.
                let _ = thread.join();
            }
        }
    }
}

impl Job {
    /// The number the host knows it by.
    pub fn handle(&self) -> u64 {
        self.handle.load(Ordering::SeqCst)
    }

    /// Asks it to stop.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// The resolved parameters: what the viewer's workflow step and the provenance hold.
    pub fn params(&self) -> &str {
        &self.params
    }

    /// The newest partial picture.
    pub fn partial(&self) -> Option<image::RgbaImage> {
        self.shared.partial()
    }

    fn end(&self, outcome: Result<ResultData>) {
        let mut state = self.state.lock();
        match outcome {
            Ok(result) => {
                state.phase = HL_JOB_DONE;
                state.result = Some(Arc::new(result));
            }
            Err(failure) => {
                state.phase = if failure.code == HL_E_CANCELLED { HL_JOB_CANCELLED } else { HL_JOB_FAILED };
                state.failure = Some(failure);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// What a poll tells.
    pub fn progress(&self) -> hl_progress {
        let (phase, error) = {
            let state = self.state.lock();
            (state.phase, state.failure.as_ref().map_or(HL_OK, |f| f.code))
        };
        let p = self.shared.progress();
        let fraction = match phase {
            HL_JOB_DONE => 1.0,
            _ if p.total > 0 => (p.done as f64 / p.total as f64).min(1.0),
            _ => -1.0,
        };
        let mut stage: [c_char; 40] = [0; 40];
        let name = match phase {
            HL_JOB_DONE => "done",
            HL_JOB_FAILED => "failed",
            HL_JOB_CANCELLED => "cancelled",
            _ => p.stage,
        };
        for (to, from) in stage.iter_mut().zip(name.bytes().take(39)) {
            *to = from as c_char;
        }
        let eta_s = if phase == HL_JOB_RUNNING { p.eta_s.unwrap_or(-1.0) } else { -1.0 };
        let struct_size = size_of::<hl_progress>() as u32;
        let (items_per_s, done, total) = (p.items_per_s, p.done, p.total);
        hl_progress { struct_size, state: phase, error, reserved: 0, fraction, items_per_s, eta_s, done, total, stage }
    }

    /// Waits until it has ended.
    pub fn wait(&self, timeout_ms: u32) -> Result<()> {
        if inside_callback() {
            return Err(Failure::new(HL_E_STATE, "hl_job_wait inside a callback would wait for itself; poll instead"));
        }
        let until = Instant::now() + Duration::from_millis(timeout_ms.into());
        let mut state = self.state.lock();
        while matches!(state.phase, HL_JOB_QUEUED | HL_JOB_RUNNING) {
            let left = if timeout_ms == HL_FOREVER { LOOK * 50 } else { until.saturating_duration_since(Instant::now()) };
            if left.is_zero() {
                return Err(Failure::new(HL_E_TIMEOUT, format!("the job has not ended within {timeout_ms} ms")));
            }
            self.changed.wait_for(&mut state, left);
        }
        Ok(())
    }

    /// Why it failed; empty while it has not.
    pub fn error(&self) -> String {
        self.state.lock().failure.as_ref().map(|f| f.text.clone()).unwrap_or_default()
    }

    /// What it made.
    pub fn result(&self) -> Result<Arc<ResultData>> {
        let state = self.state.lock();
        match (&state.result, &state.failure) {
            (Some(result), _) => Ok(result.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(Failure::new(HL_E_STATE, "the job has not ended; wait for it first")),
        }
    }
}
