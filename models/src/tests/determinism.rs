//! The same bytes for any number of threads and any batch, on the CPU.

use histoloom_core::{Denoiser as _, Encoder as _, LatentCodec as _, Planes, rng};
use image::RgbImage;

use super::{Goldens, cpu, shipped};
use crate::Engine;
use crate::cpu::CpuOps;
use crate::nets::{CodecNet, DenoiserNet, EncoderNet};

/// Windows of noise over a gradient.
fn windows(n: u32, side: u32) -> Vec<RgbImage> {
    let noise = rng::noise(5, n, side, (side * side) as usize);
    let pixel = |i: u32, x: u32, y: u32| {
        let v = noise[(y * side + x) as usize] * 20.0;
        image::Rgb([(150.0 + v) as u8, ((x * (i + 1)) % 200) as u8, ((y + 40 * i) % 220) as u8])
    };
    (0..n).map(|i| RgbImage::from_fn(side, side, |x, y| pixel(i, x, y))).collect()
}

fn bits(planes: &[Planes]) -> Vec<u32> {
    planes.iter().flat_map(|p| &p.data).map(|v| v.to_bits()).collect()
}

#[test]
fn embeddings_are_the_same_bytes_for_any_threads_and_batch() {
    let w = windows(3, 112);
    let embed = |threads: usize, w: &[RgbImage]| EncoderNet::load(CpuOps::default(), cpu(threads), &shipped()).unwrap().embed(w).unwrap();
    let one = embed(1, &w);
    for threads in [2, 3, 5] {
        assert_eq!(bits(&one), bits(&embed(threads, &w)), "{threads} threads");
    }
    assert_eq!(bits(&one[1..2]), bits(&embed(2, &w[1..2])), "a window alone");
}

#[test]
fn latents_and_pictures_are_the_same_bytes_for_any_threads_and_batch() {
    let weights = Goldens::read().weights("autoencoder.");
    let net = |threads: usize| CodecNet::new(CpuOps::default(), cpu(threads), &weights).unwrap();
    let pictures = windows(3, 72);
    let latents = net(1).encode(&pictures).unwrap();
    let decoded = net(1).decode(&latents).unwrap();
    for threads in [2, 5] {
        assert_eq!(bits(&latents), bits(&net(threads).encode(&pictures).unwrap()), "{threads} threads");
        assert_eq!(decoded, net(threads).decode(&latents).unwrap(), "{threads} threads");
    }
    assert_eq!(decoded[2..], net(2).decode(&latents[2..]).unwrap(), "a tile alone");
}

#[test]
fn velocities_are_the_same_bytes_for_any_threads_and_batch() {
    let g = Goldens::read();
    let net = |threads: usize| DenoiserNet::new(CpuOps::default(), cpu(threads), &g.weights("denoiser.")).unwrap();
    let planes = |seed: u64, c: usize| Planes::new(c, 20, 28, rng::noise(seed, 0, 0, c * 20 * 28)).unwrap();
    let (x, c): (Vec<Planes>, Vec<Planes>) = (0..3).map(|i| (planes(i, 16), planes(10 + i, histoloom_core::condition::CHANNELS))).unzip();
    let one = net(1).velocity(&x, &c, 0.7, 0.0).unwrap();
    for threads in [2, 5] {
        assert_eq!(bits(&one), bits(&net(threads).velocity(&x, &c, 0.7, 0.0).unwrap()), "{threads} threads");
    }
    assert_eq!(bits(&one[2..]), bits(&net(2).velocity(&x[2..], &c[2..], 0.7, 0.0).unwrap()), "an item alone");
}

#[test]
fn conditions_that_were_seen_before_and_others_since_give_the_same_bytes() {
    let g = Goldens::read();
    let net = || DenoiserNet::new(CpuOps::default(), cpu(2), &g.weights("denoiser.")).unwrap();
    let planes = |seed: u64, c: usize, side: usize| Planes::new(c, side, side, rng::noise(seed, 0, 0, c * side * side)).unwrap();
    // the last is so large that all that was remembered goes
    let cases: Vec<(Planes, Planes)> = [(1, 8), (2, 8), (3, 12), (4, 128)]
        .into_iter()
        .map(|(i, side)| (planes(i, 16, side), planes(10 + i, histoloom_core::condition::CHANNELS, side)))
        .collect();
    let run = |net: &DenoiserNet<CpuOps>, i: usize| bits(&net.velocity(&[cases[i].0.clone()], &[cases[i].1.clone()], 0.4, 0.5).unwrap());
    let fresh: Vec<Vec<u32>> = (0..4).map(|i| run(&net(), i)).collect();
    let used = net();
    for i in [0, 0, 1, 2, 0, 3, 1, 3, 0] {
        assert!(run(&used, i) == fresh[i], "case {i}");
    }
}

#[test]
fn the_shipped_networks_load_once_and_fit_each_other() {
    let engine = Engine::open("cpu", &shipped(), 2).unwrap();
    assert_eq!(engine.device().kind, "cpu");
    let (encoder, codec, denoiser) = (engine.encoder().unwrap(), engine.codec().unwrap(), engine.denoiser().unwrap());
    assert!(std::sync::Arc::ptr_eq(&encoder, &engine.encoder().unwrap()), "kept");
    let w = windows(1, 64);
    let e = encoder.embed(&w).unwrap();
    assert_eq!((e[0].channels, e[0].height, e[0].width), (encoder.channels(), 4, 4));
    let z = codec.encode(&w).unwrap();
    assert_eq!((z[0].channels, z[0].height, z[0].width), (denoiser.channels(), 8, 8));
    assert_eq!(codec.decode(&z).unwrap()[0].dimensions(), (64, 64));
    assert_eq!(denoiser.condition_channels(), histoloom_core::condition::CHANNELS);
}

#[test]
fn inputs_of_the_wrong_size_are_errors_that_name_the_rule() {
    let encoder = EncoderNet::load(CpuOps::default(), cpu(1), &shipped()).unwrap();
    let odd = encoder.embed(&[RgbImage::new(40, 32)]).unwrap_err().to_string();
    assert!(odd.contains("multiples of 16"), "{odd}");
    let mixed = encoder.embed(&[RgbImage::new(32, 32), RgbImage::new(32, 48)]).unwrap_err().to_string();
    assert!(mixed.contains("different sizes"), "{mixed}");
    let large = encoder.embed(&[RgbImage::new(1040, 16)]).unwrap_err().to_string();
    assert!(large.contains("1040 px") && large.contains("1024 px"), "{large}");
    assert!(encoder.embed(&[]).unwrap().is_empty(), "nothing in, nothing out");
}
