//! Numbers as PyTorch's, on our CPU engine and on burn-flex.

use histoloom_core::{Denoiser, LatentCodec as _, Planes};

use super::{Goldens, cpu, flex, shipped};
use crate::cpu::CpuOps;
use crate::nets::{CodecNet, DenoiserNet, EncoderNet};
use crate::ops::Ops;
use crate::runner::Runner;
use crate::self_test::relative_error;
use crate::{autoencoder, pictures};

/// Embeddings of the goldens by the shipped encoder, before projection.
fn encoder_error<O: Ops>(ops: O, runner: Runner) -> f64 {
    let g = Goldens::read();
    let net = EncoderNet::load(ops, runner, &shipped()).unwrap();
    relative_error(&net.embed_raw(&g.pictures("windows")).unwrap(), &g.planes("embeddings"))
}

/// Errors of encode, decode (before rounding to bytes) and velocity with made-up weights.
fn net_errors<O: Ops + Clone>(ops: O, runner: Runner) -> [f64; 3] {
    let g = Goldens::read();
    let w = g.weights("autoencoder.");
    let codec = CodecNet::new(ops.clone(), runner.clone(), &w).unwrap();
    let encoded = codec.encode(&g.pictures("pictures")).unwrap();
    let decoder = autoencoder::Decoder::load(&ops, &w).unwrap();
    let latents: Vec<Planes> = g.planes("latents").iter().map(autoencoder::limited).collect();
    let mut decoded = runner.run(|| ops.download(decoder.forward(&ops, &ops.upload(&latents)))).unwrap();
    for p in &mut decoded {
        *p = pictures::shuffle2(p);
        p.data.iter_mut().for_each(|v| *v = *v * 0.5 + 0.5);
    }
    let denoiser = DenoiserNet::new(ops, runner, &g.weights("denoiser.")).unwrap();
    let velocity = denoiser.velocity(&g.planes("x"), &g.planes("condition"), 0.3, -1.0).unwrap();
    [
        relative_error(&encoded, &g.planes("encoded")),
        relative_error(&decoded, &g.planes("decoded")),
        relative_error(&velocity, &g.planes("velocity")),
    ]
}

#[test]
fn the_encoder_on_the_cpu_agrees_with_pytorch_to_1e_5() {
    let error = encoder_error(CpuOps::default(), cpu(2));
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn the_encoder_on_burn_flex_agrees_with_pytorch_to_1e_5() {
    let error = encoder_error(flex(), cpu(2));
    assert!(error < 1e-5, "{error:e}");
}

#[test]
fn autoencoder_and_denoiser_on_the_cpu_agree_with_pytorch_to_1e_5() {
    let errors = net_errors(CpuOps::default(), cpu(2));
    assert!(errors.iter().all(|e| *e < 1e-5), "{errors:?}");
}

#[test]
fn autoencoder_and_denoiser_on_burn_flex_agree_with_pytorch_to_1e_5() {
    let errors = net_errors(flex(), cpu(2));
    assert!(errors.iter().all(|e| *e < 1e-5), "{errors:?}");
}

/// The files that ship, f16 weights and full widths, and not only the code.
#[test]
fn the_shipped_autoencoder_and_denoiser_agree_with_pytorch_to_1e_5() {
    let g = Goldens::read();
    let codec = CodecNet::load(CpuOps::default(), cpu(2), &shipped()).unwrap();
    let encoded = relative_error(&codec.encode(&g.pictures("pictures")).unwrap(), &g.planes("shipped_encoded"));
    let decoded = codec.decode(&g.planes("shipped_encoded")).unwrap();
    let want = g.planes("shipped_decoded");
    let exact = |w: &Planes, i: usize| w.data[i % 3 * w.area() + i / 3].clamp(0.0, 1.0) * 255.0;
    let apart =
        decoded.iter().zip(&want).flat_map(|(p, w)| p.as_raw().iter().enumerate().map(|(i, v)| (f32::from(*v) - exact(w, i)).abs()));
    let apart = apart.fold(0.0, f32::max);
    let engine = crate::Engine::open("cpu", &shipped(), 2).unwrap();
    let error = |net: &dyn Denoiser, golden: &str| {
        relative_error(&net.velocity(&g.planes("x"), &g.planes("condition"), 0.3, -1.0).unwrap(), &g.planes(golden))
    };
    let velocity = error(&*engine.denoiser().unwrap(), "shipped_velocity");
    let refined = error(&*engine.refiner().unwrap(), "shipped_refined");
    assert!(encoded < 1e-5 && velocity < 1e-5 && refined < 1e-5 && apart <= 0.51, "{encoded:e} {velocity:e} {refined:e} {apart}");
}

#[test]
fn decoded_pictures_are_the_reference_rounded_to_bytes() {
    let g = Goldens::read();
    let codec = CodecNet::new(CpuOps::default(), cpu(1), &g.weights("autoencoder.")).unwrap();
    let ours = codec.decode(&g.planes("latents")).unwrap();
    for (picture, want) in ours.iter().zip(g.planes("decoded")) {
        for (x, y, p) in picture.enumerate_pixels() {
            for c in 0..3 {
                let exact = want.at(c, y as usize, x as usize).clamp(0.0, 1.0) * 255.0;
                assert!((f32::from(p[c]) - exact).abs() <= 0.501, "({x}, {y}) channel {c}: {} for {exact}", p[c]);
            }
        }
    }
}
