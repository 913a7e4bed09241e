//! Where network code is called from: our own thread pool, or a device, whose panics (burn's way to say that a device was lost) are
//! turned into errors. A panic of our own code passes through to the boundary of the library, which tells the host.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use histoloom_core::memory::Exhausted;
use histoloom_core::{Error, Result};
use parking_lot::Mutex;

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

    /// `cpu`, or the device's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Device { name, .. } => name,
        }
    }

    /// Runs `f`; a panic inside is an error on a device, and goes on to the caller on the CPU.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self {
            Self::Cpu(pool) => pool.install(f),
            Self::Device { name, turn } => {
                let _turn = turn.lock();
                catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|p| {
                    if let Some(exhausted) = p.downcast_ref::<Exhausted>() {
                        return Err(exhausted.error());
                    }
                    Err(Error::Device { device: name.clone(), why: message(&*p), hint: "update its driver, or use the device cpu".into() })
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
    fn a_panic_on_a_device_is_an_error_that_repeats_its_message_and_one_on_the_cpu_passes_through() {
        let device = Runner::device("made up");
        let error = device.run(|| -> Result<()> { panic!("lost") }).unwrap_err().to_string();
        assert!(error.contains("lost") && error.contains("made up"), "{error}");
        assert_eq!(device.run(|| Ok(1)).unwrap(), 1, "usable afterwards");
        let cpu = Runner::Cpu(Arc::new(histoloom_core::pool::pool(1).unwrap()));
        assert!(catch_unwind(AssertUnwindSafe(|| cpu.run(|| -> Result<()> { panic!("lost") }))).is_err());
        assert_eq!(cpu.run(|| Ok(1)).unwrap(), 1, "usable afterwards");
    }
}
