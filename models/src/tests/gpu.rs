//! The GPU path against the CPU, on whatever adapter exists: in CI that is the software Vulkan driver, hence the small shapes.

use histoloom_core::diffuse::{Batch, Guidance, Networks, Sampler, Settings, Tape, denoise};
use histoloom_core::{Denoiser as _, LatentCodec as _, Planes};

use super::{Goldens, cpu, operations, shipped};
use crate::backend::{self, Place};
use crate::cpu::CpuOps;
use crate::nets::{CodecNet, DenoiserNet, EncoderNet};
use crate::ops::{After, Before, ConvSpec, Ops};
use crate::runner::Runner;
use crate::self_test::{TOLERANCE, relative_error};
use crate::wgsl::WgslOps;

/// Largest relative error of a kernel in single precision.
const CLOSE: f64 = 5e-6;

/// Our kernels on the best adapter, or None where the tests are to go without.
fn opened() -> Option<(WgslOps, Runner)> {
    if std::env::var_os("HISTOLOOM_WITHOUT_GPU").is_some() {
        eprintln!("SKIPPED by HISTOLOOM_WITHOUT_GPU: the GPU path is not tested");
        return None;
    }
    let found = backend::devices_json()["adapters"].as_array().is_some_and(|a| !a.is_empty());
    assert!(found, "no Vulkan or Metal adapter: install mesa-vulkan-drivers and libvulkan1, or set HISTOLOOM_WITHOUT_GPU=1 to go without");
    let (place, report) = backend::open("gpu").unwrap();
    eprintln!("GPU test on {} ({})", report.name, report.kind);
    let Place::Gpu(ops, runner) = place else { panic!("our kernels do not agree with the CPU: {report:?}") };
    Some((ops, runner))
}

#[test]
fn networks_on_a_gpu_agree_with_the_cpu_within_the_stated_tolerance() {
    let Some((ops, runner)) = opened() else { return };
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

#[test]
fn threads_that_read_from_one_device_at_once_all_get_their_values() {
    let Some((ops, _)) = opened() else { return };
    std::thread::scope(|s| {
        for t in 0..8 {
            let ops = &ops;
            s.spawn(move || {
                for i in 0..100 {
                    let x = [Planes::new(4, 1, 1, vec![t as f32, i as f32, 1.0, 2.0]).unwrap()];
                    assert_eq!(ops.download(ops.upload(&x)).unwrap(), x);
                }
            });
        }
    });
}

#[test]
fn each_kernel_agrees_with_the_cpu_engine_at_awkward_sizes() {
    let Some((ops, _)) = opened() else { return };
    let on_cpu = |f: fn(&CpuOps) -> Vec<Vec<Planes>>| cpu(2).run(|| Ok(f(&CpuOps::default()))).unwrap();
    let pairs = [
        ("convolutions", operations::all_convolved(&ops), on_cpu(operations::all_convolved)),
        ("inverted residuals", operations::all_inverted(&ops), on_cpu(operations::all_inverted)),
        ("rearrangements", vec![operations::moved(&ops)], on_cpu(|o| vec![operations::moved(o)])),
        ("tokens", operations::of_tokens(&ops), on_cpu(operations::of_tokens)),
        ("wide heads", vec![wide_heads(&ops)], on_cpu(|o| vec![wide_heads(o)])),
        ("many workgroups", vec![many_workgroups(&ops)], on_cpu(|o| vec![many_workgroups(o)])),
        ("large tiles", vec![large_tiles(&ops)], on_cpu(|o| vec![large_tiles(o)])),
    ];
    for (what, theirs, ours) in pairs {
        for (i, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            let error = relative_error(theirs, ours);
            assert!(error < CLOSE, "{what} {i}: relative error {error:e}");
        }
    }
    let (theirs, ours) = (operations::normed(&ops), on_cpu(|o| vec![operations::normed(o)]).remove(0));
    let error = relative_error(&theirs, &ours);
    assert!(error < 2e-5, "norms: relative error {error:e}"); // the mean of 30 costs both a digit
    operations::by_formula(&ops, CLOSE);
}

/// Heads so wide that few keys lie in a workgroup's memory, and more queries than it has threads.
fn wide_heads<O: Ops>(ops: &O) -> Vec<Planes> {
    ops.download(ops.attention(&ops.upload(&operations::items(2, 3 * 160, 9, 15)), 1)).unwrap()
}

/// More workgroups than are put into a row.
fn many_workgroups<O: Ops>(ops: &O) -> Vec<Planes> {
    let layer = ops.conv_layer(&ConvSpec { weight: &[0.7], bias: &[0.1], c_in: 1, c_out: 1, kernel: 1, stride: 1, pad: (0, 0) });
    ops.download(ops.conv(&ops.upload(&operations::items(1, 1, 730, 730)), Before::Plain, &layer, After::Silu)).unwrap()
}

/// A convolution with work enough for the large tiles, from an upsampled map.
fn large_tiles<O: Ops>(ops: &O) -> Vec<Planes> {
    let (c_in, c_out) = (6, 70);
    let (weight, bias) = (operations::noise(1, c_out * c_in * 9), operations::noise(2, c_out));
    let layer = ops.conv_layer(&ConvSpec { weight: &weight, bias: &bias, c_in, c_out, kernel: 3, stride: 1, pad: (1, 1) });
    let x = ops.upsample2(&ops.upload(&operations::items(2, c_in, 33, 35)));
    ops.download(ops.conv(&x, Before::Relu, &layer, After::Silu)).unwrap()
}

#[test]
fn a_denoising_step_is_few_dispatches_and_one_submission() {
    let Some((ops, runner)) = opened() else { return };
    let alone = ops.another(true).unwrap(); // other tests count on their own
    let engine = DenoiserNet::new(alone.clone(), runner, &crate::weights::Weights::load(&shipped(), crate::DENOISER).unwrap()).unwrap();
    let (x, condition) = (Planes::zeros(engine.channels(), 4, 4), Planes::zeros(engine.condition_channels(), 4, 4));
    // what the condition says is found in the first step alone
    for (step, most) in [("first", 110), ("next", 93)] {
        let start = alone.counts();
        engine.velocity(std::slice::from_ref(&x), std::slice::from_ref(&condition), 0.5, 0.0).unwrap();
        let end = alone.counts();
        eprintln!("{step} step: {} dispatches, {} submissions", end.0 - start.0, end.1 - start.1);
        assert!(end.0 - start.0 <= most, "{step} step: {} dispatches", end.0 - start.0);
        assert_eq!(end.1 - start.1, 1, "{step} step: submissions");
    }
}

#[test]
fn a_whole_tile_is_one_submission_and_what_its_steps_make() {
    let Some((ops, runner)) = opened() else { return };
    let (alone, g) = (ops.another(true).unwrap(), Goldens::read());
    let net = |seed: u64| DenoiserNet::new(alone.clone(), runner.clone(), &g.weights("denoiser.").worn(0.1, seed)).unwrap();
    let (denoiser, refiner) = (net(1), net(2));
    let codec = CodecNet::new(alone.clone(), runner.clone(), &g.weights("autoencoder.")).unwrap();
    let (conditions, tiles) = (g.planes("condition"), [(7, 0), (7, 1)]);
    let conditions = &conditions[..2];
    let noise = |i: u32| Planes {
        channels: denoiser.channels(),
        data: operations::noise(u64::from(i), denoiser.channels() * conditions[0].area()),
        ..conditions[0]
    };
    for (sampler, scale) in [(Sampler::Dpmpp2m, 3.0), (Sampler::Heun, 1.0), (Sampler::Ddim(0.5), 0.0)] {
        let guidance = Guidance { interval: (0.55, 0.9), ..Guidance::of(scale) }; // in one step of three
        let settings = Settings { sampler, steps: 3, guidance, shift: 1.0, log2_mpp: 0.0 };
        let go = |codec| {
            let batch = Batch { conditions, noise: vec![noise(0), noise(1)], tiles: &tiles, start: &[], anchors: &[] };
            let nets = Networks { denoiser: &denoiser, refiner: Some(&refiner), codec };
            denoise(nets, &batch, &settings, &histoloom_core::Job::new(), &mut |_, _| Ok(())).unwrap()
        };
        let steps = go(None);
        denoiser.hurried();
        let start = alone.counts();
        let played = go(Some(&codec));
        let end = alone.counts();
        eprintln!("{sampler:?}: {} dispatches, {} submissions", end.0 - start.0, end.1 - start.1);
        assert_eq!(end.1 - start.1, 1, "{sampler:?}: submissions");
        for (a, b) in steps.iter().zip(&played) {
            let error = relative_error(std::slice::from_ref(&b.latents), std::slice::from_ref(&a.latents));
            assert!(error < 1e-4, "{sampler:?}: latents differ by {error:e}");
            let error = relative_error(std::slice::from_ref(&b.spread), std::slice::from_ref(&a.spread));
            assert!(error < 1e-3, "{sampler:?}: spread differs by {error:e}");
            let own = codec.decode(std::slice::from_ref(&b.latents)).unwrap().remove(0);
            let picture = b.picture.as_ref().unwrap();
            let most = own.iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(own.dimensions() == picture.dimensions() && most <= Some(1), "{sampler:?}: pictures differ by {most:?} grey values");
        }
    }
    // before a step was timed nobody knows how long it takes but of a fast device, and a codec of another device cannot be used
    let fresh = net(1);
    let tape = Tape {
        items: 1,
        conditions: vec![conditions[0].clone(), conditions[1].clone()],
        scale: 1.0,
        log2_mpp: 0.0,
        entries: Vec::new(),
        predictions: Vec::new(),
        end: 0,
    };
    assert!(alone.surely_fast() || fresh.play(&tape, None, &codec).is_none());
    let on_cpu = CodecNet::new(CpuOps::default(), cpu(1), &g.weights("autoencoder.")).unwrap();
    assert!(denoiser.play(&tape, None, &on_cpu).is_none());
}

#[test]
fn weights_that_half_precision_holds_lose_nothing_by_it() {
    let Some((ops, _)) = opened() else { return };
    if !ops.half() {
        eprintln!("this adapter has no half precision");
        return;
    }
    let single = ops.another(false).unwrap();
    assert!(!single.half());
    for exact in [true, false] {
        let made = |ops: &WgslOps| {
            let (c, whole) = (20, operations::noise(1, 20 * 20 * 9));
            let weight: Vec<f32> = whole.iter().map(|v| if exact { half::f16::from_f32(*v).to_f32() } else { *v }).collect();
            let layer =
                ops.conv_layer(&ConvSpec { weight: &weight, bias: &weight[..c], c_in: c, c_out: c, kernel: 3, stride: 1, pad: (1, 1) });
            assert_eq!(layer.half, exact && ops.half());
            ops.download(ops.conv(&ops.upload(&operations::items(2, c, 9, 11)), Before::Plain, &layer, After::Silu)).unwrap()
        };
        assert!(made(&ops) == made(&single), "exact {exact}");
    }
}

#[test]
fn a_lost_device_is_an_error_that_says_so_and_a_map_too_large_says_how_large() {
    let Some((ops, _)) = opened() else { return };
    let alone = ops.another(true).unwrap();
    let x = alone.upload(&operations::items(1, 4, 8, 8));
    let mut huge = x.clone();
    for _ in 0..16 {
        huge = alone.upsample2(&huge); // a map that is upsampled again is laid out: up to 1 TiB
    }
    let error = alone.download(huge).unwrap_err().to_string();
    assert!(error.contains("MiB"), "{error}");
    assert!(!alone.lost());
    assert_eq!(alone.download(alone.add(&x, &x)).unwrap()[0].data[5], 2.0 * operations::items(1, 4, 8, 8)[0].data[5], "usable afterwards");
    alone.lose();
    let error = alone.download(alone.add(&x, &x)).unwrap_err().to_string();
    assert!(alone.lost() && error.contains("lost") && error.contains("the device cpu"), "{error}");
}

/// In a process of its own: the other tests need their device.
#[test]
fn a_lost_device_is_opened_anew_once_and_then_auto_takes_the_cpu() {
    if opened().is_none() {
        return;
    }
    let me = std::env::current_exe().unwrap();
    let child =
        std::process::Command::new(me).args(["--exact", "tests::gpu::child_that_loses_its_device", "--ignored", "--nocapture"]).output();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
#[ignore = "loses the device; the test above runs it in a process of its own"]
fn child_that_loses_its_device() {
    let open = |device: &str| crate::Engine::open(device, &shipped(), 1);
    let embed = |e: &crate::Engine| e.encoder().unwrap().embed(&[image::RgbImage::new(32, 32)]).map_err(|e| e.to_string());
    for round in 0..2 {
        let engine = open("gpu").unwrap();
        embed(&engine).unwrap();
        let Place::Gpu(ops, _) = &engine.place else { panic!("{:?}", engine.device()) };
        assert!(!engine.lost(), "round {round}");
        ops.lose();
        let error = embed(&engine).unwrap_err();
        assert!(engine.lost() && error.contains("lost"), "round {round}: {error}");
    }
    let error = open("gpu").err().unwrap().to_string();
    assert!(error.contains("lost twice"), "{error}");
    let engine = open("auto").unwrap();
    assert_eq!(engine.device().kind, "cpu");
    embed(&engine).unwrap();
}

#[test]
fn batches_are_halved_where_the_device_has_no_room() {
    let Some((ops, _)) = opened() else { return };
    let alone = ops.another(true).unwrap();
    let sizes = parking_lot::Mutex::new(Vec::new());
    let done = alone.in_batches(&[1, 2, 3, 4, 5], |ops, items| {
        sizes.lock().push(items.len());
        if items.len() > 2 { Err(ops.no_room()) } else { Ok(items.to_vec()) }
    });
    assert_eq!(done.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(*sizes.lock(), [5, 4, 2, 2, 1]);
}

#[test]
fn burn_on_the_same_adapter_passes_the_self_test() {
    if opened().is_some() {
        crate::gpu::burn_agrees().unwrap();
    }
}
