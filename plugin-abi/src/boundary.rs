//! The border between C and Rust. Every exported function runs inside [`call`]: a panic becomes `HL_E_PANIC` and poisons the context
//! that was in use; a failure becomes its code, and its text is kept for `hl_last_error` of the same thread.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use histoloom_core::memory::Exhausted;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::handles::{self, Kind, Object};
use crate::host::Slide;
use crate::jobs::Job;
use crate::logging;
use crate::memory;
use crate::results::ResultData;
use crate::types::{HL_E_HANDLE, HL_E_PANIC, HL_E_POISONED, HL_OK};

thread_local! {
    /// Whether this thread is inside library code, so that a panic on it is ours.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What a call has looked up so far; on a panic its context is poisoned.
#[derive(Default)]
pub struct Entry {
    context: Option<Arc<Context>>,
}

impl Entry {
    fn look_up(&mut self, handle: u64, kind: Kind) -> Result<Object> {
        let (context, object) = handles::get(handle, kind)?;
        self.context = Some(context);
        Ok(object)
    }

    /// The context of what was looked up.
    pub fn owner(&self) -> Result<Arc<Context>> {
        self.context.clone().ok_or_else(|| Failure::new(HL_E_HANDLE, "no context"))
    }

    /// A context that can still work.
    pub fn context(&mut self, handle: u64) -> Result<Arc<Context>> {
        self.look_up(handle, Kind::Context)?;
        let context = self.owner()?;
        if context.is_poisoned() {
            let why = "the library panicked in this context before; release it, create another, and report the log";
            return Err(Failure::new(HL_E_POISONED, why));
        }
        Ok(context)
    }

    /// A slide of a given context; 0 is none.
    pub fn slide_of(&mut self, context: &Arc<Context>, handle: u64) -> Result<Option<Arc<Slide>>> {
        self.of(context, handle, Kind::Slide).map(|o| match o {
            Some(Object::Slide(slide)) => Some(slide),
            _ => None,
        })
    }

    /// A result of a given context; 0 is none.
    pub fn result_of(&mut self, context: &Arc<Context>, handle: u64) -> Result<Option<Arc<ResultData>>> {
        self.of(context, handle, Kind::Result).map(|o| match o {
            Some(Object::Result(result)) => Some(result),
            _ => None,
        })
    }

    fn of(&mut self, context: &Arc<Context>, handle: u64, kind: Kind) -> Result<Option<Object>> {
        if handle == 0 {
            return Ok(None);
        }
        let (owner, object) = handles::get(handle, kind)?;
        if !Arc::ptr_eq(&owner, context) {
            return Err(Failure::new(HL_E_HANDLE, format!("{handle:#x} belongs to another context")));
        }
        Ok(Some(object))
    }

    /// A job.
    pub fn job(&mut self, handle: u64) -> Result<Arc<Job>> {
        match self.look_up(handle, Kind::Job)? {
            Object::Job(job) => Ok(job),
            _ => Err(Failure::new(HL_E_HANDLE, "not a job")),
        }
    }

    /// A result.
    pub fn result(&mut self, handle: u64) -> Result<Arc<ResultData>> {
        match self.look_up(handle, Kind::Result)? {
            Object::Result(result) => Ok(result),
            _ => Err(Failure::new(HL_E_HANDLE, "not a result")),
        }
    }
}

/// Runs an exported function's body; what it fails with becomes the thread's newest error. Without memory to spare it fails at once.
pub fn call(body: impl FnOnce(&mut Entry) -> Result<()>) -> i32 {
    call_always(|entry| memory::hold_back().and_then(|()| body(entry)))
}

/// The same for what must work without memory too: to look at a job, to stop it, to give things back.
pub fn call_always(body: impl FnOnce(&mut Entry) -> Result<()>) -> i32 {
    // A thread that is ending has no text to keep.
    run(body, |text| LAST_ERROR.try_with(|e| *e.borrow_mut() = text).unwrap_or_default())
}

/// The same for the function that tells the newest error, which its own failures must not replace.
pub fn call_unrecorded(body: impl FnOnce(&mut Entry) -> Result<()>) -> i32 {
    run(body, drop)
}

fn run(body: impl FnOnce(&mut Entry) -> Result<()>, record: impl FnOnce(String)) -> i32 {
    install_hook();
    let mut entry = Entry::default();
    match guarded(|| body(&mut entry)) {
        Ok(()) => HL_OK,
        Err(failure) => {
            if failure.code == HL_E_PANIC
                && let Some(context) = &entry.context
            {
                context.poison();
            }
            record(failure.text);
            failure.code
        }
    }
}

/// Runs library code; a panic becomes a failure that tells where it was.
pub fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // What a caught panic of earlier work on this thread left.
    let _ = PANIC.try_with(RefCell::take);
    let _ = INSIDE.try_with(|n| n.set(n.get() + 1));
    let out = catch_unwind(AssertUnwindSafe(body));
    let _ = INSIDE.try_with(|n| n.set(n.get().saturating_sub(1)));
    out.unwrap_or_else(|payload| {
        if let Some(exhausted) = payload.downcast_ref::<Exhausted>() {
            return Err(exhausted.error().into());
        }
        // The hook knows the place; it has spoken on another thread if the panic came from one of a pool.
        let what = PANIC.try_with(RefCell::take).ok().filter(|t| !t.is_empty()).unwrap_or_else(|| message(&*payload).to_owned());
        // A text is dropped; dropping anything else may panic once more, and it is small and rare.
        if !payload.is::<&str>() && !payload.is::<String>() {
            std::mem::forget(payload);
        }
        Err(Failure::new(HL_E_PANIC, format!("the library panicked: {what}; please report it with the parameters of the run")))
    })
}

/// What a panic said.
fn message(payload: &dyn std::any::Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

/// The text of the last failed call on this thread.
pub fn last_error() -> String {
    LAST_ERROR.try_with(|e| e.borrow().clone()).unwrap_or_default()
}

/// Panics of our threads go to the host's log and nowhere else; those of other threads of a Rust host go where they went before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_ours() {
                before(info);
                return;
            }
            let place = info.location().map(|l| format!(" at {}:{}", l.file().rsplit('/').next().unwrap_or_default(), l.line()));
            let text = format!("{}{}", message(info.payload()), place.unwrap_or_default());
            logging::forward(log::Level::Error, &format!("panic: {text}"));
            let _ = PANIC.try_with(|p| *p.borrow_mut() = text);
        }));
    });
}

fn is_ours() -> bool {
    INSIDE.try_with(|n| n.get() > 0).unwrap_or(false) || std::thread::current().name().is_some_and(|n| n.starts_with("histoloom"))
}
