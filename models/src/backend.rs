//! The only place that names a device.
//!
//! In: `auto`, `cpu`, `gpu` or `gpu:N`. Out: where networks run, with the reason why each other adapter was refused. Fails with
//! [`Error::Device`]. Nothing of the GPU stack is touched for `cpu`. The wgpu instance is created once a process and never dropped
//! (dropping one crashes the exit of some drivers). Settings of burn and cubecl are set here, so that no file is searched for in the
//! host's working directory.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};
use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig};
use histoloom_core::{Error, Result};

use crate::burn_ops::BurnOps;
use crate::cpu::CpuOps;
use crate::runner::Runner;
use crate::self_test;

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
enum Wish {
    Auto,
    Cpu,
    Gpu(Option<usize>),
}

/// Where networks run.
pub(crate) enum Place {
    /// Our own CPU engine.
    Cpu(CpuOps),
    /// A GPU, with its runner.
    Gpu(BurnOps, Runner),
}

/// One adapter of this machine.
struct Adapter {
    info: wgpu::AdapterInfo,
    /// How burn calls it: its kind, and its number among those of its kind.
    kind: DeviceKind,
    api: WgpuBackend,
}

fn no_device(device: &str, why: impl Into<String>, hint: &str) -> Error {
    Error::Device { device: device.into(), why: why.into(), hint: hint.into() }
}

fn wish(device: &str) -> Result<Wish> {
    match (device, device.strip_prefix("gpu:").map(str::parse)) {
        ("auto" | "", _) => Ok(Wish::Auto),
        ("cpu", _) => Ok(Wish::Cpu),
        ("gpu", _) => Ok(Wish::Gpu(None)),
        (_, Some(Ok(n))) => Ok(Wish::Gpu(Some(n))),
        _ => Err(no_device(device, "no such device", "use auto, cpu, gpu or gpu:N; `histoloom doctor` lists the adapters")),
    }
}

/// Chooses and opens a device.
pub(crate) fn open(device: &str) -> Result<(Place, DeviceReport)> {
    let wish = wish(device)?;
    if wish == Wish::Cpu {
        return Ok((Place::Cpu(CpuOps::default()), cpu_report(Vec::new())));
    }
    let adapters = adapters();
    let mut refused = Vec::new();
    for n in order(wish, &adapters, &mut refused) {
        let a = &adapters[n];
        match open_adapter(a) {
            Ok(ops) => {
                let kind = if software(&a.info) { "software" } else { "gpu" };
                if kind == "software" {
                    refused.push(format!("{} is a Vulkan driver that runs on the processor, far slower than --device cpu", a.info.name));
                }
                let name = format!("{} ({:?})", a.info.name, a.info.backend);
                return Ok((Place::Gpu(ops, Runner::device(&name)), DeviceReport { name, kind, refused }));
            }
            Err(why) => refused.push(format!("{}: {why}", a.info.name)),
        }
    }
    if wish == Wish::Auto {
        return Ok((Place::Cpu(CpuOps::default()), cpu_report(refused)));
    }
    let why = if refused.is_empty() { "this machine has no such adapter".to_string() } else { refused.join("; ") };
    Err(no_device(device, why, "install a Vulkan driver (Debian: mesa-vulkan-drivers), or use --device cpu"))
}

/// Numbers of the adapters to try, best first; those ruled out are added to `refused`.
fn order(wish: Wish, adapters: &[Adapter], refused: &mut Vec<String>) -> Vec<usize> {
    let rank = |a: &Adapter| match a.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::Cpu => 3,
        _ => 2,
    };
    let mut numbers: Vec<usize> = (0..adapters.len()).collect();
    numbers.sort_by_key(|n| rank(&adapters[*n]));
    match wish {
        Wish::Gpu(Some(n)) => numbers.retain(|m| *m == n),
        Wish::Auto => numbers.retain(|n| {
            let soft = software(&adapters[*n].info);
            if soft {
                refused.push(format!("{}: a Vulkan driver that runs on the processor", adapters[*n].info.name));
            }
            !soft
        }),
        _ => (),
    }
    if adapters.is_empty() {
        refused.push("no Vulkan or Metal adapter found".into());
    }
    numbers
}

fn cpu_report(refused: Vec<String>) -> DeviceReport {
    DeviceReport { name: format!("CPU, {} floats a register", crate::cpu::lanes()), kind: "cpu", refused }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu
}

/// All adapters, in the order in which `gpu:N` counts them. Empty where the GPU stack itself fails.
fn adapters() -> Vec<Adapter> {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let listed = catch_unwind(AssertUnwindSafe(|| {
        let instance = INSTANCE.get_or_init(|| {
            let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL;
            wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() })
        });
        let found = cubecl_environment::future::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        found.iter().map(wgpu::Adapter::get_info).collect::<Vec<_>>()
    }));
    let mut seen: BTreeMap<(u8, u8), usize> = BTreeMap::new();
    let address = |info: wgpu::AdapterInfo| {
        let api = if info.backend == wgpu::Backend::Metal { WgpuBackend::Metal } else { WgpuBackend::Vulkan };
        let nth = seen.entry((info.device_type as u8, info.backend as u8)).or_default();
        let n = *nth;
        *nth += 1;
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(n),
            wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(n),
            wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(n),
            wgpu::DeviceType::Cpu => DeviceKind::Cpu,
            wgpu::DeviceType::Other => DeviceKind::DefaultDevice,
        };
        Adapter { info, kind, api }
    };
    listed.unwrap_or_default().into_iter().map(address).collect()
}

/// What this process knows about an adapter: its device, or why it is unfit.
type Opened = std::result::Result<BurnOps, String>;

/// Opens an adapter once a process and tests it once against the CPU.
fn open_adapter(a: &Adapter) -> Opened {
    static OPENED: Mutex<BTreeMap<String, Opened>> = Mutex::new(BTreeMap::new());
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = format!("{:?} {:?}", a.api, a.kind);
    opened
        .entry(key)
        .or_insert_with(|| catch_unwind(AssertUnwindSafe(|| first_open(a))).unwrap_or_else(|_| Err("its driver panicked".into())))
        .clone()
}

fn first_open(a: &Adapter) -> Opened {
    configure(software(&a.info));
    let options = Device::wgpu_options().graphics_api(a.api).device_kind(a.kind.clone());
    let ops = BurnOps::new(options.init().map_err(|e| e.to_string())?);
    self_test::compare(&ops)?;
    Ok(ops)
}

/// Settings in code: kernels are tuned little on software adapters, results of tuning are not written anywhere.
fn configure(software: bool) {
    let level = if software { "minimal" } else { "balanced" };
    let settings = serde_json::json!({
        "autotune": { "level": level, "disable_cache": true, "logger": { "level": "disabled" } },
        "environment": { "path": { "directory": std::env::temp_dir() }, "records": { "level": "off" } },
    });
    match serde_json::from_value::<CubeClRuntimeConfig>(settings) {
        Ok(config) => drop(CubeClRuntimeConfig::try_set(config)),
        Err(e) => log::warn!("GPU settings were not understood: {e}"),
    }
    burn::BurnConfig::try_set(burn::BurnConfig::default());
}

/// Every device of this machine, for `doctor`.
pub fn devices_json() -> serde_json::Value {
    let list = adapters().into_iter().enumerate().map(|(n, a)| {
        serde_json::json!({
            "device": format!("gpu:{n}"),
            "name": a.info.name,
            "type": format!("{:?}", a.info.device_type),
            "api": format!("{:?}", a.info.backend),
            "driver": format!("{} {}", a.info.driver, a.info.driver_info).trim(),
            "chosen_by_auto": !software(&a.info),
            "why_not": if software(&a.info) { Some("a Vulkan driver that runs on the processor") } else { None },
        })
    });
    serde_json::json!({
        "cpu": { "device": "cpu", "threads": cores(), "floats_a_register": crate::cpu::lanes() },
        "adapters": list.collect::<Vec<_>>(),
    })
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
        assert!(error.contains("--device cpu"), "{error}");
    }

    #[test]
    fn auto_never_takes_a_software_adapter_and_says_so() {
        let (_, report) = open("auto").unwrap();
        assert_ne!(report.kind, "software");
        for a in adapters().iter().filter(|a| software(&a.info)) {
            assert!(report.refused.iter().any(|r| r.contains(&a.info.name)), "{report:?}");
        }
    }
}
