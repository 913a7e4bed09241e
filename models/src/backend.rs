//! The only place that names a device.
//!
//! In: `auto`, `cpu`, `gpu` or `gpu:N`. Out: where networks run, with the reason why each other adapter was refused. Fails with
//! [`Error::Device`]. Nothing of the GPU stack is touched for `cpu`.

use histoloom_core::{Error, Result};

#[cfg(feature = "gpu")]
use crate::burn_ops::BurnOps;
use crate::cpu::CpuOps;
#[cfg(feature = "gpu")]
use crate::gpu;
#[cfg(feature = "gpu")]
use crate::runner::Runner;
#[cfg(feature = "gpu")]
use crate::wgsl::WgslOps;

/// Where networks run, and why not elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceReport {
    /// The device's name.
    pub name: String,
    /// `cpu`, `gpu`, or `software` for a Vulkan driver that runs on the processor.
    pub kind: &'static str,
    /// Adapters not used, each with the reason; and anything about the choice that the user must be told.
    pub refused: Vec<String>,
}

/// A choice of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Auto,
    Cpu,
    Gpu(Option<usize>),
}

/// Where networks run.
pub(crate) enum Place {
    /// Our own CPU engine.
    Cpu(CpuOps),
    /// Our kernels on a GPU, with its runner.
    #[cfg(feature = "gpu")]
    Gpu(WgslOps, Runner),
    /// burn's on a GPU where ours do not agree with the CPU.
    #[cfg(feature = "gpu")]
    Burn(BurnOps, Runner),
}

fn no_device(device: &str, why: impl Into<String>, hint: &str) -> Error {
    Error::Device { device: device.into(), why: why.into(), hint: hint.into() }
}

/// Fails for what is no name of a device: `auto`, `cpu`, `gpu` or `gpu:N`. Whether it is there is found out when it is opened.
pub fn check_device(device: &str) -> Result<()> {
    wish(device).map(drop)
}

fn wish(device: &str) -> Result<Wish> {
    match (device, device.strip_prefix("gpu:").map(str::parse)) {
        ("auto" | "", _) => Ok(Wish::Auto),
        ("cpu", _) => Ok(Wish::Cpu),
        ("gpu", _) => Ok(Wish::Gpu(None)),
        (_, Some(Ok(n))) => Ok(Wish::Gpu(Some(n))),
        _ => Err(no_device(device, "no such device", "use auto, cpu, gpu or gpu:N; the doctor lists the adapters")),
    }
}

/// Chooses and opens a device.
pub(crate) fn open(device: &str) -> Result<(Place, DeviceReport)> {
    let wish = wish(device)?;
    let mut refused = Vec::new();
    if wish != Wish::Cpu
        && let Some(opened) = gpu::open(wish, &mut refused)
    {
        return Ok(opened);
    }
    if matches!(wish, Wish::Auto | Wish::Cpu) {
        return Ok((Place::Cpu(CpuOps::default()), cpu_report(refused)));
    }
    let why = if refused.is_empty() { "this machine has no such adapter".to_string() } else { refused.join("; ") };
    Err(no_device(device, why, gpu::HINT))
}

fn cpu_report(refused: Vec<String>) -> DeviceReport {
    let bits = 32 * histoloom_core::simd::lanes();
    DeviceReport { name: format!("CPU, {bits}-bit instructions"), kind: "cpu", refused }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Every device of this machine, for `doctor`.
pub fn devices_json() -> serde_json::Value {
    serde_json::json!({
        "cpu": { "device": "cpu", "threads": cores(), "floats_a_register": histoloom_core::simd::lanes() },
        "adapters": gpu::adapters_json(),
    })
}

/// A library that was built without a GPU path says so.
#[cfg(not(feature = "gpu"))]
mod gpu {
    use super::{DeviceReport, Place, Wish};

    pub(super) const HINT: &str = "take a library built with the feature gpu, or use the device cpu";

    pub(super) fn open(_: Wish, refused: &mut Vec<String>) -> Option<(Place, DeviceReport)> {
        refused.push("this library was built without its GPU path".into());
        None
    }

    pub(super) fn adapters_json() -> Vec<serde_json::Value> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_device_names_are_understood() {
        assert_eq!(wish("auto").unwrap(), Wish::Auto);
        assert_eq!(wish("cpu").unwrap(), Wish::Cpu);
        assert_eq!(wish("gpu").unwrap(), Wish::Gpu(None));
        assert_eq!(wish("gpu:3").unwrap(), Wish::Gpu(Some(3)));
        for bad in ["GPU", "gpu:", "gpu:-1", "cuda", "gpu:x"] {
            assert!(wish(bad).unwrap_err().to_string().contains("auto, cpu, gpu or gpu:N"), "{bad}");
        }
    }

    #[test]
    fn an_adapter_number_beyond_the_last_is_an_error_that_says_what_to_try() {
        let error = open("gpu:99").err().unwrap().to_string();
        assert!(error.contains("the device cpu"), "{error}");
    }
}
