//! The published networks: numbers as PyTorch's in every block and end to end, on the CPU, on burn-flex and on a GPU; and tensors as
//! published. Weights are made up at small widths; see `reference/goldens_htd.py`.

use std::collections::BTreeMap;

use histoloom_core::condition::paper::{self, Variant};
use histoloom_core::diffuse::ddim::{self, EpsDenoiser as _};
use histoloom_core::{LatentCodec as _, Planes, Result};

use super::{Goldens, cpu, flex};
use crate::backend::{self, Place};
use crate::cpu::CpuOps;
use crate::htd::{CodecNet, DenoiserNet, Layers, unet, vq};
use crate::ops::{After, Before, Ops};
use crate::runner::Runner;
use crate::self_test::{TOLERANCE, relative_error};

fn goldens() -> Goldens {
    Goldens::named("htd_goldens.safetensors")
}

/// Name and relative error of every block of the UNet and of the first stage.
fn blocks<O: Ops>(g: &Goldens, ops: &O) -> Result<Vec<(&'static str, f64)>> {
    let (u, v) = (g.weights("htd_unet."), g.weights("htd_vq."));
    let (u, v) = (Layers { ops, from: &u }, Layers { ops, from: &v });
    let up = |name| ops.upload(&g.planes(name));
    let plain = |x: &O::Map, conv: &O::Conv| ops.conv(x, Before::Plain, conv, After::Plain);
    let silu = |p: Planes| Planes { data: p.data.iter().map(|v| v / (1.0 + (-v).exp())).collect(), ..p };
    let e = ops.upload(&g.planes("res_e").into_iter().map(silu).collect::<Vec<_>>());
    let made = [
        ("res_y", unet::Res::load(&u, "input_blocks.4.0", 32, 64, 128)?.forward(ops, &up("res_x"), &e)),
        ("down_y", plain(&up("res_x"), &u.strided("input_blocks.3.0.op", (32, 32), 3, 2, (1, 1))?)),
        ("up_y", plain(&ops.upsample2(&up("up_x")), &u.conv("output_blocks.5.1.conv", 64, 64, 3)?)),
        ("attention_y", unet::Attention::load(&u, "middle_block.1", 128)?.forward(ops, &up("attention_x"))),
        ("vq_block_y", vq::Block::load(&v, "encoder.down.1.block.0", 32, 64)?.forward(ops, &up("vq_block_x"))),
        ("vq_down_y", plain(&up("vq_block_x"), &vq::halving(&v, "encoder.down.0", 32)?)),
        ("vq_attention_y", vq::Attention::load(&v, "encoder.mid.attn_1", 96)?.forward(ops, &up("vq_attention_x"))),
    ];
    made.into_iter().map(|(name, y)| Ok((name, relative_error(&ops.download(y)?, &g.planes(name))))).collect()
}

/// Name and relative error of everything.
fn errors<O: Ops + Clone>(ops: &O, runner: &Runner) -> Vec<(&'static str, f64)> {
    let g = goldens();
    let mut out = runner.run(|| blocks(&g, ops)).unwrap();
    let codec = CodecNet::new(ops.clone(), runner.clone(), &g.weights("htd_vq.")).unwrap();
    let net = DenoiserNet::new(ops.clone(), runner.clone(), &g.weights("htd_unet."), &g.weights("htd_rescaler.")).unwrap();
    assert_eq!(net.variant(), Variant { classes: 2, background: true });
    let (x, c): (Vec<_>, Vec<_>) = g.planes("unet_x").iter().map(|p| (part(p, 0), part(p, 3))).unzip();
    let steps = ddim::schedule(5, 1.0).unwrap();
    let (condition, noise) = (g.planes("ddim_condition"), g.planes("ddim_noise"));
    let end = ddim::run(
        &mut |x, t| net.eps(x, &condition, t),
        g.planes("ddim_start"),
        &steps,
        &mut |step, item| noise[2 * step + item].data.clone(),
        &mut |_, _| Ok(()),
    );
    out.extend([
        ("unet", relative_error(&net.eps(&x, &c, 701).unwrap(), &g.planes("unet_y"))),
        ("encode", relative_error(&codec.encode(&g.pictures("vq_pictures")).unwrap(), &g.planes("vq_encoded"))),
        ("quantise", relative_error(&codec.quantise(&g.planes("vq_z")), &g.planes("vq_codes"))),
        ("decode", relative_error(&codec.decode_planes(&g.planes("vq_z")).unwrap(), &g.planes("vq_decoded"))),
        ("reduce", relative_error(&net.reduce(&g.planes("condition_9")).unwrap(), &g.planes("reduced"))),
        ("5 steps of DDIM", relative_error(&end.unwrap(), &g.planes("ddim_end"))),
    ]);
    out
}

/// Three channels from `first` on.
fn part(p: &Planes, first: usize) -> Planes {
    let area = p.area();
    Planes::new(3, p.height, p.width, p.data[first * area..(first + 3) * area].to_vec()).unwrap()
}

fn agree(device: &str, errors: &[(&str, f64)], tolerance: f64) {
    let told: Vec<String> = errors.iter().map(|(name, e)| format!("{name} {e:.1e}")).collect();
    eprintln!("relative errors on {device}: {}", told.join(", "));
    assert!(errors.iter().all(|(_, e)| *e < tolerance), "{device}: {told:?}");
}

#[test]
fn the_published_networks_on_the_cpu_agree_with_pytorch_to_1e_4() {
    agree("our CPU engine", &errors(&CpuOps::default(), &cpu(2)), 1e-4);
}

#[test]
fn the_published_networks_on_burn_flex_agree_with_pytorch_to_1e_4() {
    agree("burn-flex", &errors(&flex(), &cpu(2)), 1e-4);
}

#[test]
fn the_published_networks_on_a_gpu_agree_with_pytorch_within_the_stated_tolerance() {
    if std::env::var_os("HISTOLOOM_WITHOUT_GPU").is_some() {
        eprintln!("SKIPPED by HISTOLOOM_WITHOUT_GPU: the GPU path of the published networks is not tested");
        return;
    }
    let (place, report) = backend::open("gpu").unwrap();
    let Place::Gpu(ops, runner) = place else { panic!("{report:?}") };
    agree(&report.name, &errors(&ops, &runner), TOLERANCE);
}

#[test]
fn the_condition_is_that_of_the_reference() {
    let g = goldens();
    let labels: Vec<u8> = g.planes("labels")[0].data.iter().map(|v| *v as u8).collect();
    let crops = [g.pictures("crop_0").remove(0), g.pictures("crop_1").remove(0)];
    for (background, name) in [(true, "condition_9"), (false, "condition_8")] {
        let ours = paper::build(Variant { classes: 2, background }, &labels, 32, 32, &crops.each_ref().map(Some)).unwrap();
        let error = relative_error(&[ours], &g.planes(name));
        assert!(error < 1e-6, "{name}: {error:e}");
    }
}

#[test]
fn at_full_width_the_tensors_are_those_of_the_reference_and_as_many_as_published() {
    let listed = |l: Vec<(String, Vec<usize>)>| l.into_iter().collect::<BTreeMap<_, _>>();
    let unet = listed(unet::Config::PUBLISHED.tensors().unwrap());
    let vq = listed(vq::Config::PUBLISHED.tensors().unwrap());
    let theirs: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_value(goldens().meta("full_size")).unwrap();
    assert_eq!((&unet, &vq), (&theirs["unet"], &theirs["vq"]));
    let count = |l: &BTreeMap<String, Vec<usize>>| l.values().map(|s| s.iter().product::<usize>()).sum::<usize>();
    assert_eq!((count(&unet), unet.len()), (215_229_315, 216), "215.2 M");
    assert_eq!((count(&vq), vq.len()), (55_322_782, 205), "55.3 M");
}

#[test]
fn the_same_bytes_for_any_threads_and_batch() {
    let g = goldens();
    let net = |n| DenoiserNet::new(CpuOps::default(), cpu(n), &g.weights("htd_unet."), &g.weights("htd_rescaler.")).unwrap();
    let (x, c) = (g.planes("ddim_start"), g.planes("ddim_condition"));
    let both = net(1).eps(&x, &c, 300).unwrap();
    assert_eq!(net(3).eps(&x, &c, 300).unwrap(), both);
    assert_eq!(net(2).eps(&x[1..], &c[1..], 300).unwrap(), both[1..]);
}

#[test]
fn inputs_that_do_not_fit_are_errors_that_name_the_rule() {
    let g = goldens();
    let codec = CodecNet::new(CpuOps::default(), cpu(1), &g.weights("htd_vq.")).unwrap();
    let net = DenoiserNet::new(CpuOps::default(), cpu(1), &g.weights("htd_unet."), &g.weights("htd_rescaler.")).unwrap();
    let large = codec.decode(&[Planes::zeros(3, 128, 128)]).unwrap_err().to_string();
    assert!(large.contains("512 px") && large.contains("256 px"), "{large}");
    assert!(codec.encode(&[image::RgbImage::new(30, 32)]).unwrap_err().to_string().contains("multiples of 4"));
    assert!(net.eps(&[Planes::zeros(3, 6, 8)], &[Planes::zeros(3, 6, 8)], 1).unwrap_err().to_string().contains("multiples of 4"));
    assert!(net.eps(&[Planes::zeros(3, 8, 8)], &[Planes::zeros(3, 4, 4)], 1).is_err());
    assert!(net.eps(&[Planes::zeros(3, 8, 8)], &[Planes::zeros(3, 8, 8)], 1000).is_err());
    assert!(net.reduce(&[Planes::zeros(8, 32, 32)]).unwrap_err().to_string().contains("9 channels"));
    let swapped = DenoiserNet::new(CpuOps::default(), cpu(1), &g.weights("htd_vq."), &g.weights("htd_rescaler."));
    assert!(swapped.err().unwrap().to_string().contains("input_blocks"));
}
