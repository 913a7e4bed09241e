//! The GPU path against the CPU, on whatever adapter exists: in CI that is the software Vulkan driver, hence the small shapes.

use histoloom_core::{Denoiser as _, LatentCodec as _};

use super::{Goldens, cpu, shipped};
use crate::backend::{self, Place};
use crate::cpu::CpuOps;
use crate::nets::{CodecNet, DenoiserNet, EncoderNet};
use crate::self_test::{TOLERANCE, relative_error};

#[test]
fn networks_on_a_gpu_agree_with_the_cpu_within_the_stated_tolerance() {
    if std::env::var_os("HISTOLOOM_WITHOUT_GPU").is_some() {
        eprintln!("SKIPPED by HISTOLOOM_WITHOUT_GPU: the GPU path is not tested");
        return;
    }
    let found = backend::devices_json()["adapters"].as_array().is_some_and(|a| !a.is_empty());
    assert!(found, "no Vulkan or Metal adapter: install mesa-vulkan-drivers and libvulkan1, or set HISTOLOOM_WITHOUT_GPU=1 to go without");
    let (place, report) = backend::open("gpu").unwrap();
    eprintln!("GPU test on {} ({})", report.name, report.kind);
    let Place::Gpu(ops, runner) = place else { panic!("{report:?}") };
    let g = Goldens::read();

    let windows = &g.pictures("windows")[..1];
    let theirs = EncoderNet::load(ops.clone(), runner.clone(), &shipped()).unwrap().embed_raw(windows).unwrap();
    let ours = EncoderNet::load(CpuOps::default(), cpu(1), &shipped()).unwrap().embed_raw(windows).unwrap();
    let encoder = relative_error(&theirs, &ours);

    let codec = CodecNet::new(ops.clone(), runner.clone(), &g.weights("autoencoder.")).unwrap();
    let encoded = relative_error(&codec.encode(&g.pictures("pictures")).unwrap(), &g.planes("encoded"));
    let decoded = codec.decode(&g.planes("latents")).unwrap();
    let near = CodecNet::new(CpuOps::default(), cpu(1), &g.weights("autoencoder.")).unwrap().decode(&g.planes("latents")).unwrap();
    let steps = decoded.iter().zip(&near).flat_map(|(a, b)| a.iter().zip(b.iter())).map(|(a, b)| a.abs_diff(*b)).max();

    let denoiser = DenoiserNet::new(ops, runner, &g.weights("denoiser.")).unwrap();
    let velocity = denoiser.velocity(&g.planes("x"), &g.planes("condition"), 0.3, -1.0).unwrap();
    let velocity = relative_error(&velocity, &g.planes("velocity"));

    eprintln!("relative errors: encoder {encoder:.1e}, encode {encoded:.1e}, velocity {velocity:.1e}; decode {steps:?} grey values");
    assert!(encoder.max(encoded).max(velocity) < TOLERANCE);
    assert!(steps <= Some(1), "pictures differ by {steps:?} grey values");
}
