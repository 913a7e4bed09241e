//! Our own rayon pool: the host's global pool is never touched.

use crate::{Error, Result};

/// A pool of `threads` threads, 0 for one a core. Results never depend on the number.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("histoloom-{i}"))
        .build()
        .map_err(|e| Error::internal(format!("cannot start worker threads: {e}")))
}
