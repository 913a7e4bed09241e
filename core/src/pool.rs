//! Our own rayon pool: the host's global pool is never touched.

use crate::{Error, Result};

/// Most threads a core: more only cost memory.
const THREADS_A_CORE: usize = 4;
/// Address space of a thread's stack, Rust's default.
const STACK_BYTES: usize = 2 << 20;

/// A pool of `threads` threads, 0 for one a core, at most four a core. Results never depend on the number.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.min(THREADS_A_CORE * cores);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("histoloom-{i}"))
        .build()
        .map_err(|_| Error::Memory { what: "the stacks of worker threads".into(), bytes: threads.max(1) * STACK_BYTES })
}
