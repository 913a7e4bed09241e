//! libFuzzer on one target, which the variable `HISTOLOOM_FUZZ` names. Arguments are libFuzzer's.
#![no_main]
#![allow(clippy::panic, reason = "without a target there is nothing to do")]

use std::ffi::c_char;
use std::sync::LazyLock;

use histoloom_fuzz::{Target, smith, target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Of how many mutations of a module one is a new module.
const NEW_IN: u32 = 16;

static NAME: LazyLock<String> = LazyLock::new(|| std::env::var("HISTOLOOM_FUZZ").unwrap_or_default());
static TARGET: LazyLock<Target> = LazyLock::new(|| target(&NAME).unwrap_or_else(|| panic!("HISTOLOOM_FUZZ must name a target")));

/// What LeakSanitizer is not to tell: glibc's notes on a thread that is just ending, for thread pools end without being waited for.
#[unsafe(no_mangle)]
extern "C" fn __lsan_default_suppressions() -> *const c_char {
    c"leak:__cxa_thread_atexit_impl".as_ptr()
}

fuzz_target!(|data: &[u8]| TARGET(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let new = if *NAME == "op" && seed.is_multiple_of(NEW_IN) { smith::module(seed) } else { None };
    match new.filter(|module| module.len() <= max_size) {
        Some(module) => {
            data[..module.len()].copy_from_slice(&module);
            module.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
