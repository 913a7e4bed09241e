//! Where network code is called from: our own thread pool, with panics of it or of a device runner turned into errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use histoloom_core::{Error, Result};

/// Runs network code.
#[derive(Clone)]
pub enum Runner {
    /// On the threads of our own pool; calls may overlap.
    Cpu(Arc<rayon::ThreadPool>),
    /// On a device, one call at a time.
    Device {
        /// Shown in errors.
        name: String,
        /// Held while a call runs.
        turn: Arc<Mutex<()>>,
    },
}

impl Runner {
    /// A device's runner.
    pub fn device(name: &str) -> Self {
        Self::Device { name: name.into(), turn: Arc::default() }
    }

    /// Runs `f`; a panic inside is an error.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let f = AssertUnwindSafe(f);
        match self {
            Self::Cpu(pool) => pool.install(|| catch_unwind(f)).unwrap_or_else(|p| Err(Error::internal(message(&*p)))),
            Self::Device { name, turn } => {
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                catch_unwind(f).unwrap_or_else(|p| {
                    Err(Error::Device { device: name.clone(), why: message(&*p), hint: "update its driver, or use --device cpu".into() })
                })
            }
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("network code panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_network_code_is_an_error_that_repeats_its_message() {
        let cpu = Runner::Cpu(Arc::new(histoloom_core::pool::pool(1).unwrap()));
        for (runner, word) in [(cpu, "internal"), (Runner::device("made up"), "made up")] {
            let error = runner.run(|| -> Result<()> { panic!("lost") }).unwrap_err().to_string();
            assert!(error.contains("lost") && error.contains(word), "{error}");
            assert_eq!(runner.run(|| Ok(1)).unwrap(), 1, "usable afterwards");
        }
    }
}
