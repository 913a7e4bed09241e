//! Adapters of this machine through wgpu, and the operations on one of them: our own kernels, or burn's where ours do not agree with the CPU.
//!
//! In: a wish. Out: operations on an adapter that agreed with the CPU, with the reason why each other one was refused. The wgpu instance is
//! created once a process and never dropped (dropping one crashes the exit of some drivers). Settings of burn and cubecl are set here, so
//! that no file is searched for in the host's working directory. Left out of a build without the feature `gpu`.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{Device, DeviceKind};
use cubecl_runtime::config::{CubeClRuntimeConfig, RuntimeConfig};
use histoloom_core::memory::Exhausted;
use parking_lot::Mutex;

use crate::backend::{DeviceReport, Place, Wish};
use crate::burn_ops::BurnOps;
use crate::runner::Runner;
use crate::self_test;
use crate::wgsl::WgslOps;

/// What to try where no adapter can be used.
pub(crate) const HINT: &str = "install a Vulkan driver (Debian: mesa-vulkan-drivers), or use the device cpu";

/// One adapter of this machine.
struct Adapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
    /// How burn calls it: its kind, and its number among those of its kind.
    kind: DeviceKind,
    api: WgpuBackend,
}

/// The best adapter that fits `wish`, if any; why others do not is added to `refused`.
pub(crate) fn open(wish: Wish, refused: &mut Vec<String>) -> Option<(Place, DeviceReport)> {
    let adapters = adapters();
    for n in order(wish, &adapters, refused) {
        let a = &adapters[n];
        match open_adapter(a) {
            Ok(opened) => {
                let kind = if software(&a.info) { "software" } else { "gpu" };
                if kind == "software" {
                    refused.push(format!("{} is a Vulkan driver that runs on the processor, far slower than the device cpu", a.info.name));
                }
                let name = format!("{} ({:?})", a.info.name, a.info.backend);
                let (place, name) = match opened {
                    Opened::Wgsl(ops) => (Place::Gpu(ops, Runner::device(&name)), name),
                    Opened::Burn(ops, why) => {
                        refused.push(format!("{}: our own kernels are not used, burn's are: {why}", a.info.name));
                        let name = format!("{name} through burn");
                        (Place::Burn(ops, Runner::device(&name)), name)
                    }
                };
                return Some((place, DeviceReport { name, kind, refused: std::mem::take(refused) }));
            }
            Err(why) => refused.push(format!("{}: {why}", a.info.name)),
        }
    }
    None
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
        found.into_iter().map(|a| (a.get_info(), a)).collect::<Vec<_>>()
    }));
    let mut seen: BTreeMap<(u8, u8), usize> = BTreeMap::new();
    let address = |(info, adapter): (wgpu::AdapterInfo, wgpu::Adapter)| {
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
        Adapter { adapter, info, kind, api }
    };
    listed.unwrap_or_default().into_iter().map(address).collect()
}

/// Operations on an adapter.
#[derive(Clone)]
enum Opened {
    /// Our own kernels.
    Wgsl(WgslOps),
    /// burn's, and why not ours.
    Burn(BurnOps, String),
}

/// What this process knows of an adapter.
struct Known {
    opened: Result<Opened, String>,
    /// Whether a device of it was lost before this one.
    anew: bool,
}

/// Opens an adapter once a process and tests it once against the CPU; once more where its device was lost, and not a third time.
fn open_adapter(a: &Adapter) -> Result<Opened, String> {
    static OPENED: Mutex<BTreeMap<String, Known>> = Mutex::new(BTreeMap::new());
    let mut known = OPENED.lock();
    let key = format!("{:?} {:?}", a.api, a.kind);
    let anew = match known.get(&key) {
        Some(Known { opened: Ok(Opened::Wgsl(ops)), anew }) if ops.lost() => {
            if *anew {
                return Err("its device was lost twice: start the program anew when it is well again".into());
            }
            log::warn!("{}: its device was lost, it is opened anew", a.info.name);
            true
        }
        Some(known) => return known.opened.clone(),
        None => false,
    };
    let found = match catch_unwind(AssertUnwindSafe(|| first_open(a))) {
        // no verdict on the adapter, so none that is kept
        Err(payload) if payload.is::<Exhausted>() => return Err("there was no memory to test it".into()),
        Err(_) => Err("its driver panicked".into()),
        Ok(found) => found,
    };
    known.insert(key, Known { opened: found.clone(), anew });
    found
}

fn first_open(a: &Adapter) -> Result<Opened, String> {
    let open = |half| WgslOps::open(&a.adapter, &a.info.name, half).and_then(|ops| self_test::compare(&ops).map(|()| ops));
    let ours = |half| match catch_unwind(AssertUnwindSafe(|| open(half))) {
        Err(payload) if payload.is::<Exhausted>() => resume_unwind(payload),
        Err(_) => Err("its driver panicked".into()),
        Ok(opened) => opened,
    };
    let half = a.adapter.features().contains(wgpu::Features::SHADER_F16);
    let ours = ours(half).or_else(|why| {
        if half {
            log::warn!("{}: weights in half precision are not used: {why}", a.info.name);
            return ours(false);
        }
        Err(why)
    });
    let why = match ours {
        Ok(ops) => return Ok(Opened::Wgsl(ops)),
        Err(why) => why,
    };
    log::warn!("{}: our own kernels are not used, burn's are tried: {why}", a.info.name);
    let ops = on_burn(a)?;
    self_test::compare(&ops)?;
    Ok(Opened::Burn(ops, why))
}

fn on_burn(a: &Adapter) -> Result<BurnOps, String> {
    configure();
    let options = Device::wgpu_options().graphics_api(a.api).device_kind(a.kind.clone());
    Ok(BurnOps::new(options.init().map_err(|e| e.to_string())?))
}

/// Whether burn on the best adapter agrees with the CPU.
#[cfg(test)]
pub(crate) fn burn_agrees() -> Result<(), String> {
    let adapters = adapters();
    let best = order(Wish::Gpu(None), &adapters, &mut Vec::new())[0];
    self_test::compare(&on_burn(&adapters[best])?)
}

/// Settings in code: nothing is read from the host's folder, nothing written anywhere.
fn configure() {
    let settings = serde_json::json!({
        "environment": { "path": { "directory": std::env::temp_dir() }, "records": { "level": "off" } },
    });
    match serde_json::from_value::<CubeClRuntimeConfig>(settings) {
        Ok(config) => drop(CubeClRuntimeConfig::try_set(config)),
        Err(e) => log::warn!("GPU settings were not understood: {e}"),
    }
    burn::BurnConfig::try_set(burn::BurnConfig::default());
}

/// The adapters, for `doctor`.
pub(crate) fn adapters_json() -> Vec<serde_json::Value> {
    let told = |(n, a): (usize, Adapter)| {
        serde_json::json!({
            "device": format!("gpu:{n}"),
            "name": a.info.name,
            "type": format!("{:?}", a.info.device_type),
            "api": format!("{:?}", a.info.backend),
            "driver": format!("{} {}", a.info.driver, a.info.driver_info).trim(),
            "half_precision": a.adapter.features().contains(wgpu::Features::SHADER_F16),
            "chosen_by_auto": !software(&a.info),
            "why_not": if software(&a.info) { Some("a Vulkan driver that runs on the processor") } else { None },
        })
    };
    adapters().into_iter().enumerate().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_never_takes_a_software_adapter_and_says_so() {
        let (_, report) = crate::backend::open("auto").unwrap();
        assert_ne!(report.kind, "software");
        for a in adapters().iter().filter(|a| software(&a.info)) {
            assert!(report.refused.iter().any(|r| r.contains(&a.info.name)), "{report:?}");
        }
    }
}
