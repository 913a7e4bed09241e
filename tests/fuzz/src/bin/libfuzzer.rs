//! libFuzzer on one target, which the variable `HISTOLOOM_FUZZ` names. Arguments are libFuzzer's.
#![no_main]
#![allow(clippy::panic, reason = "without a target there is nothing to do")]

use std::sync::LazyLock;

use histoloom_fuzz::{Target, smith, target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

/// Of how many mutations of a module one is a new module.
const NEW_IN: u32 = 16;

static NAME: LazyLock<String> = LazyLock::new(|| std::env::var("HISTOLOOM_FUZZ").unwrap_or_default());
static TARGET: LazyLock<Target> = LazyLock::new(|| target(&NAME).unwrap_or_else(|| panic!("HISTOLOOM_FUZZ must name a target")));

/// No leaks are looked for: what a thread that is just beginning or ending holds passes for one. Other tests count memory over many jobs,
/// and the hosts' runs under the sanitizer count leaks.
#[unsafe(no_mangle)]
extern "C" fn __lsan_is_turned_off() -> i32 {
    1
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
