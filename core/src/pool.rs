//! Our own rayon pool: the host's global pool is never touched.

use crate::{Error, Result};

/// Most threads a core: more only cost memory.
const THREADS_A_CORE: usize = 4;

/// A pool of `threads` threads, 0 for one a core, at most four a core. Results never depend on the number.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.min(THREADS_A_CORE * cores))
        .thread_name(|i| format!("histoloom-{i}"))
        .build()
        .map_err(|e| Error::internal(format!("cannot start worker threads: {e}")))
}
