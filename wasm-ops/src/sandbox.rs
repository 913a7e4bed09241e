//! The one engine of the process and what a running op may use up. In: nothing. Out: a compiled module, a store with fuel, deadline
//! and memory limits armed. Fails: [`Stop`], which says which limit was hit. Bytes, milliseconds, wasm instructions.
//!
//! Manners in somebody's process: no signal handlers (a JVM owns SIGSEGV), no unwind tables registered, 64 MiB of address space a
//! running op, one thread `histoloom-epoch` that sleeps while no op runs. Why both fuel and time: fuel stops an op at the same
//! instruction on every machine; the deadline bounds the wait on a slow one.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::{Config, Engine, Module, ResourceLimiter, Store, Trap, UpdateDeadline};

/// Linear memory of an op: 64 MiB holds a 2048 px tile (17 MB with its labels) three times.
pub const MEMORY_BYTES: usize = 64 << 20;
/// Elements of an op's function table.
pub const TABLE_ELEMENTS: usize = 10_000;
/// Stack of an op. The calling thread must have this much free and some 100 KiB more.
pub const STACK_BYTES: usize = 256 << 10;
/// Stack of the compiling thread; the default of a Rust main thread.
const COMPILER_STACK_BYTES: usize = 8 << 20;
/// How often the deadline is looked at.
const TICK: Duration = Duration::from_millis(4);

/// What one run may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall-clock time of one run; it ends at most 20 ms later.
    pub deadline: Duration,
    /// Instructions of one run, whatever the tile.
    pub fuel: u64,
    /// Instructions more for every pixel of the tile.
    pub fuel_per_pixel: u64,
    /// Linear memory in bytes, at most [`MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// Wall-clock time of the compilation before the first run. A compilation that takes longer is left to end by itself on its own
    /// thread, which the bounds of [`crate::prescan`] see to.
    pub compile: Duration,
}

impl Default for Limits {
    /// 5 s, 50 million instructions and 4 000 a pixel (a convolution of 31 x 31 fits), 64 MiB, 10 s to compile.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            fuel: 50_000_000,
            fuel_per_pixel: 4_000,
            memory_bytes: MEMORY_BYTES,
            compile: Duration::from_secs(10),
        }
    }
}

/// A limit that was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Out of time.
    Deadline(Duration),
    /// Out of instructions.
    Fuel,
    /// Memory beyond the limit; the size asked for and the limit in bytes.
    Memory(usize, usize),
    /// A table beyond the limit; the number of elements asked for.
    Table(usize),
    /// Recursion too deep.
    Stack,
    /// Took too long to compile.
    Compile(Duration),
    /// The job it ran for was cancelled.
    Cancelled,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(d) => write!(f, "it ran longer than {} ms; use a smaller tile or a faster op", d.as_millis()),
            Self::Fuel => write!(f, "it ran out of instructions (an endless loop?); use a smaller tile or a faster op"),
            Self::Memory(asked, limit) => {
                write!(f, "it asked for {asked} bytes of memory, the limit is {limit}; use a smaller tile or a more frugal op")
            }
            Self::Table(asked) => write!(f, "it asked for a table of {asked} elements, the limit is {TABLE_ELEMENTS}; rebuild the op"),
            Self::Stack => write!(f, "its calls went deeper than a stack of {STACK_BYTES} bytes (endless recursion?); rebuild the op"),
            Self::Cancelled => write!(f, "its job was cancelled"),
            Self::Compile(d) => write!(f, "it took longer than {} ms to compile; rebuild the op with smaller functions", d.as_millis()),
        }
    }
}

impl std::error::Error for Stop {}

impl Stop {
    /// The limit behind a failure of wasmtime, if it was one.
    pub fn behind(error: &wasmtime::Error) -> Option<Self> {
        if let Some(stop) = error.downcast_ref::<Self>() {
            return Some(stop.clone());
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Some(Self::Fuel),
            Some(Trap::StackOverflow) => Some(Self::Stack),
            _ => None,
        }
    }
}

/// Memory and table limits of one store. Growing beyond a limit stops the op rather than giving it -1: the user learns why.
#[derive(Debug)]
pub struct Meter {
    memory_bytes: usize,
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory_bytes { Err(Stop::Memory(desired, self.memory_bytes).into()) } else { Ok(true) }
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS { Err(Stop::Table(desired).into()) } else { Ok(true) }
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        1
    }
}

/// Data of a store: the meter beside whatever the op ABI keeps.
pub struct Guarded<T> {
    meter: Meter,
    /// The caller's.
    pub inner: T,
}

/// Number of ops running now; the ticker sleeps on the condition while it is 0.
struct Clock {
    running: Mutex<usize>,
    wake: Condvar,
}

/// The engine with its clock.
pub struct Sandbox {
    engine: Engine,
    clock: Clock,
}

/// Keeps the clock ticking while it lives.
pub struct Running(&'static Clock);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
    }
}

fn config() -> Config {
    let mut c = Config::new();
    c.signals_based_traps(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK_BYTES)
        .memory_reservation(MEMORY_BYTES as u64)
        .memory_reservation_for_growth(0)
        .memory_guard_size(64 << 10)
        .guard_before_linear_memory(false)
        .memory_may_move(false)
        .memory_init_cow(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(None)
        .wasm_simd(true)
        .wasm_relaxed_simd(false)
        .wasm_bulk_memory(true)
        .wasm_multi_value(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .wasm_wide_arithmetic(false);
    c
}

impl Sandbox {
    /// The sandbox of this process, made on first use.
    pub fn get() -> Result<&'static Self, String> {
        static ONE: OnceLock<Result<Sandbox, String>> = OnceLock::new();
        static TICKER: OnceLock<Result<(), String>> = OnceLock::new();
        let made = ONE.get_or_init(|| {
            let engine = Engine::new(&config()).map_err(|e| format!("the WASM engine does not start: {e:#}"))?;
            Ok(Self { engine, clock: Clock { running: Mutex::new(0), wake: Condvar::new() } })
        });
        let sandbox = made.as_ref().map_err(Clone::clone)?;
        TICKER
            .get_or_init(|| {
                let thread = std::thread::Builder::new().name("histoloom-epoch".into()).stack_size(64 << 10);
                thread.spawn(|| sandbox.tick()).map(drop).map_err(|e| format!("no thread for the WASM deadline: {e}"))
            })
            .clone()?;
        Ok(sandbox)
    }

    /// Raises the epoch every few milliseconds while an op runs; asleep otherwise.
    fn tick(&self) {
        loop {
            let mut running = self.clock.running.lock();
            while *running == 0 {
                self.clock.wake.wait(&mut running);
            }
            drop(running);
            std::thread::sleep(TICK);
            self.engine.increment_epoch();
        }
    }

    /// Compiles a module that passed the prescan (milliseconds for an honest op), on a thread of its own: the compiler cannot be
    /// interrupted, but the caller can stop waiting, and a fault of the compiler stays there.
    pub fn compile(&'static self, wasm: Arc<[u8]>, patience: Duration) -> wasmtime::Result<Module> {
        let began = Instant::now();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name("histoloom-compile".into()).stack_size(COMPILER_STACK_BYTES);
        thread.spawn(move || drop(sender.send(Module::new(&self.engine, &*wasm))))?;
        match receiver.recv_timeout(patience) {
            // the limit holds by the clock, not by which thread ran first
            Ok(module) if began.elapsed() > patience => module.and(Err(Stop::Compile(patience).into())),
            Ok(module) => module,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Stop::Compile(patience).into()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(wasmtime::Error::msg("the compiler itself failed")),
        }
    }

    /// The engine, for linking.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A store with every limit armed for a tile of `pixels`, and the guard that keeps deadline and cancel watched.
    pub fn store<T: 'static>(
        &'static self,
        inner: T,
        limits: &Limits,
        pixels: u64,
        cancelled: Arc<AtomicBool>,
    ) -> wasmtime::Result<(Store<Guarded<T>>, Running)> {
        let meter = Meter { memory_bytes: limits.memory_bytes.min(MEMORY_BYTES) };
        let mut store = Store::new(&self.engine, Guarded { meter, inner });
        store.limiter(|g| &mut g.meter);
        store.set_fuel(limits.fuel.saturating_add(limits.fuel_per_pixel.saturating_mul(pixels)))?;
        let (deadline, began) = (limits.deadline, Instant::now());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if cancelled.load(Ordering::SeqCst) {
                return Err(Stop::Cancelled.into());
            }
            if began.elapsed() >= deadline { Err(Stop::Deadline(deadline).into()) } else { Ok(UpdateDeadline::Continue(1)) }
        });
        *self.clock.running.lock() += 1;
        self.clock.wake.notify_one();
        Ok((store, Running(&self.clock)))
    }
}
