//! Vision transformers: numbers as timm's for every kind of them, on the CPU, on burn-flex and on a GPU; the same bytes for any threads
//! and batch. Weights are made up at small widths; see `reference/vit.py`.

use std::path::Path;

use histoloom_core::{Encoder as _, Job, Planes};
use image::RgbImage;

use super::{Goldens, cpu, data, flex, safetensors_of};
use crate::backend::{self, Place};
use crate::cpu::CpuOps;
use crate::import;
use crate::ops::Ops;
use crate::runner::Runner;
use crate::self_test::{TOLERANCE, relative_error};
use crate::vit::{VitNet, positions, projection};

/// Names of the goldens' networks.
const VARIANTS: [&str; 6] = ["plain", "registers", "gated", "bare", "dinov2", "dinov2_registers"];

pub(super) fn goldens() -> Goldens {
    Goldens::named("vit_goldens.safetensors")
}

/// A folder imported from a network of the goldens.
pub(super) fn folder(g: &Goldens, variant: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("{variant}.safetensors"));
    std::fs::write(&file, safetensors_of(&g.tensors(&format!("vit_{variant}.")))).unwrap();
    import::run(&file, &dir.path().join("out"), &Job::new()).unwrap();
    dir
}

/// The network in it.
pub(super) fn net<O: Ops>(ops: O, runner: Runner, dir: &Path) -> VitNet<O> {
    VitNet::load(ops, runner, &dir.join("out")).unwrap()
}

/// Name and relative error of these networks.
fn errors<O: Ops + Clone>(ops: &O, runner: &Runner, variants: &[&'static str]) -> Vec<(&'static str, f64)> {
    let g = goldens();
    let error = |variant: &&'static str| {
        let dir = folder(&g, variant);
        let ours = net(ops.clone(), runner.clone(), dir.path()).embed_raw(&g.pictures(&format!("{variant}_pictures"))).unwrap();
        (*variant, relative_error(&ours, &g.planes(&format!("{variant}_tokens"))))
    };
    variants.iter().map(error).collect()
}

fn agree(device: &str, errors: &[(&str, f64)], tolerance: f64) {
    let told: Vec<String> = errors.iter().map(|(name, e)| format!("{name} {e:.1e}")).collect();
    eprintln!("relative errors on {device}: {}", told.join(", "));
    assert!(errors.iter().all(|(_, e)| *e < tolerance), "{device}: {told:?}");
}

#[test]
fn vision_transformers_on_the_cpu_agree_with_timm_to_1e_5() {
    agree("our CPU engine", &errors(&CpuOps::default(), &cpu(2), &VARIANTS), 1e-5);
}

#[test]
fn vision_transformers_on_burn_flex_agree_with_timm_to_1e_5() {
    agree("burn-flex", &errors(&flex(), &cpu(2), &VARIANTS), 1e-5);
}

#[test]
fn vision_transformers_on_a_gpu_agree_with_timm_within_the_stated_tolerance() {
    if std::env::var_os("HISTOLOOM_WITHOUT_GPU").is_some() {
        eprintln!("SKIPPED by HISTOLOOM_WITHOUT_GPU: the GPU path of vision transformers is not tested");
        return;
    }
    let (place, report) = backend::open("gpu").unwrap();
    let Place::Gpu(ops, runner) = place else { panic!("{report:?}") };
    // every kernel; a software driver takes its time to compile each shape
    agree(&report.name, &errors(&ops, &runner, &["plain", "gated"]), TOLERANCE);
}

#[test]
fn a_file_of_torch_save_with_a_teachers_backbone_gives_timms_numbers() {
    let (g, dir) = (goldens(), tempfile::tempdir().unwrap());
    let made = import::run(&data("vit_tiny.pth"), &dir.path().join("out"), &Job::new()).unwrap();
    let net = net(CpuOps::default(), cpu(1), dir.path());
    let error = relative_error(&net.embed_raw(&g.pictures("tiny_pictures")).unwrap(), &g.planes("tiny_tokens"));
    assert!(error < 1e-5, "{error:e}");
    assert_eq!((net.id(), net.channels(), net.stride_px()), ("vit_tiny", 64, 14), "64 channels are not projected");
    let bytes = std::fs::metadata(dir.path().join("out/encoder.safetensors")).unwrap().len();
    assert!(bytes < 2 * made.parameters + 5000, "f16 stays f16: {bytes} bytes for {} values", made.parameters);
}

#[test]
fn positions_on_another_grid_are_timms() {
    let g = goldens();
    let table = g.planes("positions").remove(0);
    for (h, w) in [(5, 5), (2, 9), (7, 3), (16, 16), (1, 1)] {
        let error = relative_error(&[positions::resampled(&table, h, w)], &g.planes(&format!("positions_{h}_{w}")));
        assert!(error < 1e-6, "{h} x {w}: {error:e}");
    }
}

fn bits(planes: &[Planes]) -> Vec<u32> {
    planes.iter().flat_map(|p| &p.data).map(|v| v.to_bits()).collect()
}

#[test]
fn embeddings_of_vision_transformers_are_the_same_bytes_for_any_threads_and_batch() {
    let g = goldens();
    for variant in ["registers", "gated"] {
        let dir = folder(&g, variant);
        let windows: Vec<RgbImage> = g.pictures(&format!("{variant}_pictures")).into_iter().cycle().take(3).collect();
        let embed = |threads: usize, windows: &[RgbImage]| net(CpuOps::default(), cpu(threads), dir.path()).embed(windows).unwrap();
        let one = embed(1, &windows);
        for threads in [2, 3] {
            assert_eq!(bits(&one), bits(&embed(threads, &windows)), "{variant} on {threads} threads");
        }
        assert_eq!(bits(&one[1..2]), bits(&embed(2, &windows[1..2])), "{variant}: a window alone");
    }
}

#[test]
fn embeddings_are_the_projected_tokens_and_say_what_they_are() {
    let (g, dir) = (goldens(), folder(&goldens(), "plain"));
    let net = net(CpuOps::default(), cpu(2), dir.path());
    let pictures = g.pictures("plain_pictures");
    let (made, raw) = (net.embed(&pictures).unwrap(), net.embed_raw(&pictures).unwrap());
    let matrix = projection::matrix(128).unwrap();
    let mut exact = Planes::zeros(64, 3, 5);
    for (k, row) in matrix.chunks_exact(128).enumerate() {
        for (i, to) in exact.plane_mut(k).iter_mut().enumerate() {
            *to = row.iter().enumerate().map(|(c, m)| m * raw[0].data[c * 15 + i]).sum();
        }
    }
    let error = relative_error(&made[..1], &[exact]);
    assert!(error < 1e-6, "{error:e}");
    assert_eq!((net.id(), net.channels(), net.stride_px()), ("plain", 64, 16));
    assert!(net.sha256().len() == 64 && net.sha256() != net.config().width.to_string());
}

#[test]
fn windows_that_do_not_fit_the_patches_are_errors_that_name_the_rule() {
    let dir = folder(&goldens(), "registers");
    let net = net(CpuOps::default(), cpu(1), dir.path());
    let odd = net.embed(&[RgbImage::new(32, 28)]).unwrap_err().to_string();
    assert!(odd.contains("multiples of 14") && odd.contains("registers"), "{odd}");
    let large = net.embed(&[RgbImage::new(1036, 14)]).unwrap_err().to_string();
    assert!(large.contains("1036 px") && large.contains("1024 px"), "{large}");
    assert!(net.embed(&[]).unwrap().is_empty(), "nothing in, nothing out");
}
