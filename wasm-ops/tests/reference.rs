//! The ops written in Rust: each equal to itself built natively, bit for bit, and to a plain reference written down from its description.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]

#[path = "common/mod.rs"]
mod common;
#[path = "common/native.rs"]
mod native;
#[path = "common/ports.rs"]
mod ports;

use common::*;
use histoloom_core::Planes;
use histoloom_core::ops::{CONTRAST, OpOutput, RealClass, Seen, count_nuclei};
use histoloom_wasm_ops::Registry;
use image::{Rgb, RgbImage};
use native::{Heard, Native};
use serde_json::json;

fn run(tile: &Tile, op: &str, params: &str) -> OpOutput {
    tile.run(&*Registry::shipped().unwrap().get(op).unwrap(), params).unwrap()
}

fn metric(out: &OpOutput, name: &str) -> f64 {
    out.metrics.iter().find(|m| m.0 == name).unwrap_or_else(|| panic!("no metric {name}: {:?}", out.metrics)).1
}

/// Tissue with discs for nuclei, glass in one corner, two classes with a stair between them; everything an op may see.
fn scene(width: u32, height: u32, stain: f64, seed: u32) -> Tile {
    let noise = Tile::noise(width, height, seed).rgb;
    let rgb = RgbImage::from_fn(width, height, |x, y| {
        let n = noise.get_pixel(x, y).0.map(|v| f64::from(v) / 255.0 - 0.5);
        let nucleus = (x % 20).abs_diff(10).pow(2) + (y % 20).abs_diff(10).pow(2) < 30 && (x / 20 + y / 20) % 3 != 0;
        let glass = x < width / 8 && y < height / 8;
        let (h, e) = if glass {
            (0.0, 0.01)
        } else if nucleus {
            (0.9 + 0.2 * n[0], 0.3 + 0.1 * n[1])
        } else {
            (0.08 + 0.05 * n[0], 0.5 + 0.3 * n[1])
        };
        let channel = |hv: f64, ev: f64| (256.0 * 10f64.powf(-stain * (h * hv + e * ev)) - 1.0 + 3.0 * n[2]).clamp(0.0, 255.0) as u8;
        Rgb([channel(0.56, 0.22), channel(0.72, 0.80), channel(0.41, 0.56)])
    });
    let mut tile = Tile::of(rgb);
    let label = |x: u32, y: u32| if x < width / 8 && y < height / 8 { 0 } else { 1 + u8::from(x / 16 > y / 16) };
    tile.labels = (0..width * height).map(|i| label(i % width, i / width)).collect();
    tile.classes =
        [(1, 40), (2, 300)].map(|(label, counted)| RealClass { label, crops: 2, counted, area_mm2: 0.01, ..RealClass::default() }).to_vec();
    tile.seams = vec![width / 2];
    tile
}

#[test]
fn modules_and_native_code_give_the_same_bits() {
    let registry = Registry::shipped().unwrap();
    for tile in [
        scene(256, 192, 1.0, 1),
        scene(100, 75, 0.6, 2),
        scene(33, 47, 1.4, 3),
        Tile::noise(160, 128, 4),
        Tile::noise(1, 1, 5),
        Tile::noise(7, 300, 6),
    ] {
        for name in ["gamut", "macenko", "nuclei", "reinhard", "seams", "sharpness", "smooth", "watermark"] {
            let op = registry.get(name).unwrap();
            let params: Vec<f64> = registry.defaults(name).unwrap();
            let out = tile.run(&*op, "").unwrap();
            let (mut native, mut heard) = (Native::new(&tile), Heard::default());
            let code = native.run(name, &tile, &params, &mut heard);
            assert_eq!((code & 1 != 0, code & 2 != 0), (out.rgb.is_some(), out.labels.is_some()), "{name}");
            assert!(out.rgb.is_none_or(|rgb| *rgb.as_raw() == native.rgb), "{name}: other pixels");
            assert!(out.labels.is_none_or(|labels| labels == native.labels), "{name}: other labels");
            assert_eq!((out.flags, out.metrics), (heard.flags, heard.metrics), "{name}");
        }
    }
}

/// Means and deviations in the space of Reinhard et al., as the paper has it.
fn ruderman(rgb: [u8; 3]) -> [f64; 3] {
    let m = [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]];
    let log = m.map(|row: [f64; 3]| row.iter().zip(rgb).map(|(k, v)| k * f64::from(v)).sum::<f64>().max(1.0).ln());
    let [l, m, s] = log;
    [(l + m + s) / 3f64.sqrt(), (l + m - 2.0 * s) / 6f64.sqrt(), (l - m) / 2f64.sqrt()]
}

fn density(rgb: [u8; 3]) -> f64 {
    rgb.map(|v| (-1000.0 * ((f64::from(v) + 1.0) / 256.0).log10()).round()).iter().sum()
}

fn reinhard_reference(tile: &Tile, mean: [f64; 3], sd: [f64; 3]) -> Vec<[f64; 3]> {
    let tissue: Vec<[f64; 3]> =
        tile.rgb.pixels().zip(&tile.labels).filter(|(p, l)| **l != 0 && density(p.0) >= 250.0).map(|(p, _)| ruderman(p.0)).collect();
    let n = tissue.len() as f64;
    let of = [0, 1, 2].map(|c| tissue.iter().map(|v| v[c]).sum::<f64>() / n);
    let spread = [0, 1, 2].map(|c| (tissue.iter().map(|v| (v[c] - of[c]).powi(2)).sum::<f64>() / n).sqrt());
    let back = [[4.468_670, -3.588_676, 0.119_604], [-1.219_717, 2.383_088, -0.162_63], [0.058_508, -0.261_078, 1.205_666]];
    let one = |p: &Rgb<u8>| {
        let v = ruderman(p.0);
        let [a, b, c] = [0, 1, 2].map(|c| (v[c] - of[c]) * (sd[c] / spread[c]).min(1.25) + mean[c]);
        let (a, b, c) = (a / 3f64.sqrt(), b / 6f64.sqrt(), c / 2f64.sqrt());
        let lms = [(a + b + c).exp(), (a + b - c).exp(), (a - 2.0 * b).exp()];
        let share = ((density(p.0) - 150.0) / 300.0).clamp(0.0, 1.0);
        let mut out = [0.0; 3];
        for (k, row) in back.iter().enumerate() {
            let new: f64 = row.iter().zip(lms).map(|(k, v)| k * v).sum();
            let old = f64::from(p.0[k]);
            out[k] = (old + share * (new - old)).clamp(0.0, 255.0);
        }
        out
    };
    tile.rgb.pixels().map(one).collect()
}

/// The largest and the mean difference of two pictures in grey values.
fn apart(a: &RgbImage, b: &[[f64; 3]]) -> (f64, f64) {
    let d: Vec<f64> = a.pixels().zip(b).flat_map(|(p, q)| [0, 1, 2].map(|c| (f64::from(p.0[c]) - q[c]).abs())).collect();
    (d.iter().copied().fold(0.0, f64::max), d.iter().sum::<f64>() / d.len() as f64)
}

const MEAN: [f64; 3] = [8.741_081_09, -0.124_404_19, 0.044_498_2];
const SD: [f64; 3] = [0.613_544_7, 0.109_895_45, 0.028_603_2];

#[test]
fn reinhard_equals_its_reference_and_brings_the_statistics_to_those_asked_for() {
    for stain in [0.7, 1.0, 1.3] {
        let tile = scene(256, 256, stain, 9);
        let out = run(&tile, "reinhard", "");
        let (most, mean) = apart(out.rgb.as_ref().unwrap(), &reinhard_reference(&tile, MEAN, SD));
        println!("reinhard, stain {stain}: {most:.2} grey values apart at most, {mean:.3} in the mean");
        assert!(most < 1.5 && mean < 0.5);
    }
    // statistics that can be reached without clipping are reached
    let tile = scene(256, 256, 1.0, 9);
    let plain = run(&tile, "reinhard", "");
    let own = |name: &str| metric(&plain, name);
    let asked = json!({"mean_l": own("mean_l") + 0.1, "mean_alpha": own("mean_alpha"), "mean_beta": own("mean_beta"),
        "sd_l": own("sd_l"), "sd_alpha": own("sd_alpha"), "sd_beta": own("sd_beta")});
    let moved = Tile { rgb: run(&tile, "reinhard", &asked.to_string()).rgb.unwrap(), ..scene(256, 256, 1.0, 9) };
    let again = run(&moved, "reinhard", "");
    assert!((metric(&again, "mean_l") - own("mean_l") - 0.1).abs() < 0.03, "{:?} {:?}", again.metrics, plain.metrics);
    let glass = |t: &RgbImage| *t.get_pixel(3, 3);
    assert!(glass(plain.rgb.as_ref().unwrap()).0.iter().zip(glass(&tile.rgb).0).all(|(a, b)| a.abs_diff(b) <= 1), "glass stays glass");
}

#[test]
fn stains_that_cannot_be_told_leave_the_tile_alone() {
    for (op, tile) in [
        ("reinhard", Tile::plain(64, 64, [250, 250, 250])),
        ("macenko", Tile::plain(64, 64, [250, 250, 250])),
        ("macenko", Tile::plain(64, 64, [120, 60, 140])),
    ] {
        let out = run(&tile, op, "");
        assert!(out.rgb.is_none() && out.flags.len() == 1 && out.flags[0].code == "STAIN_NOT_TOLD", "{op}: {:?}", out.flags);
        assert!(out.flags[0].reason.ends_with("so its colours were left as they are"), "{}", out.flags[0].reason);
    }
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let size = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    v.map(|x| x / size)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = share * (values.len() - 1) as f64;
    let (low, part) = (at as usize, at.fract());
    values[low] + part * (values[(low + 1).min(values.len() - 1)] - values[low])
}

/// Largest eigenvector of a symmetric matrix, by powers.
fn largest(m: &[[f64; 3]; 3]) -> [f64; 3] {
    let mut v = unit([1.0, 0.9, 0.8]);
    for _ in 0..2000 {
        v = unit([0, 1, 2].map(|i| dot(m[i], v)));
    }
    if v.iter().sum::<f64>() < 0.0 { v.map(|x| -x) } else { v }
}

fn macenko_reference(tile: &Tile) -> ([[f64; 3]; 2], Vec<[f64; 3]>) {
    let od = |p: &Rgb<u8>| p.0.map(|v| (240.0 / f64::from(v).min(239.0).mul_add(1.0, 1.0)).ln().max(0.0));
    let tissue: Vec<[f64; 3]> =
        tile.rgb.pixels().zip(&tile.labels).filter(|(_, l)| **l != 0).map(|(p, _)| od(p)).filter(|d| d.iter().all(|v| *v > 0.15)).collect();
    let n = tissue.len() as f64;
    let mean = [0, 1, 2].map(|c| tissue.iter().map(|d| d[c]).sum::<f64>() / n);
    let mut cov = [0, 1, 2].map(|i| [0, 1, 2].map(|j| tissue.iter().map(|d| (d[i] - mean[i]) * (d[j] - mean[j])).sum::<f64>() / n));
    let first = largest(&cov);
    let value = dot([0, 1, 2].map(|i| dot(cov[i], first)), first);
    for i in 0..3 {
        for j in 0..3 {
            cov[i][j] -= value * first[i] * first[j];
        }
    }
    let second = largest(&cov);
    let mut angles: Vec<f64> = tissue.iter().map(|d| dot(*d, second).atan2(dot(*d, first))).collect();
    let (low, high) = (percentile(&mut angles, 0.01), percentile(&mut angles, 0.99));
    let along = |t: f64| unit([0, 1, 2].map(|c| t.cos() * first[c] + t.sin() * second[c]));
    let (a, b) = (along(low), along(high));
    let stains = if a[0] > b[0] { [a, b] } else { [b, a] };
    let (p, q, r) = (dot(stains[0], stains[0]), dot(stains[0], stains[1]), dot(stains[1], stains[1]));
    let det = p * r - q * q;
    let rows =
        [[0, 1, 2].map(|k| (r * stains[0][k] - q * stains[1][k]) / det), [0, 1, 2].map(|k| (p * stains[1][k] - q * stains[0][k]) / det)];
    let most = rows.map(|row| percentile(&mut tissue.iter().map(|d| dot(*d, row).max(0.0)).collect::<Vec<_>>(), 0.99));
    let wanted = [unit([0.5626, 0.7201, 0.4062]), unit([0.2159, 0.8012, 0.5581])];
    let one = |px: &Rgb<u8>| {
        let amounts = rows.map(|row| dot(od(px), row));
        let scaled = [amounts[0] * 1.9705 / most[0], amounts[1] * 1.0308 / most[1]];
        [0, 1, 2].map(|c| (240.0 * (-(scaled[0] * wanted[0][c] + scaled[1] * wanted[1][c])).exp()).min(255.0))
    };
    (stains, tile.rgb.pixels().map(one).collect())
}

#[test]
fn macenko_equals_its_reference() {
    for stain in [0.7, 1.0, 1.3] {
        let tile = scene(256, 256, stain, 11);
        let out = run(&tile, "macenko", "");
        assert_eq!(out.flags, []);
        let (stains, picture) = macenko_reference(&tile);
        for (k, name) in ["h_red", "h_green", "h_blue", "e_red", "e_green", "e_blue"].iter().enumerate() {
            assert!((metric(&out, name) - stains[k / 3][k % 3]).abs() < 0.01, "{name}: {} {stains:?}", metric(&out, name));
        }
        let (most, mean) = apart(out.rgb.as_ref().unwrap(), &picture);
        println!("macenko, stain {stain}: {most:.2} grey values apart at most, {mean:.3} in the mean");
        assert!(most < 4.0 && mean < 1.0, "{most} {mean}");
    }
}

#[test]
fn normalised_tiles_of_two_stains_look_alike() {
    let gap = |a: &RgbImage, b: &RgbImage| {
        let d: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        d / a.as_raw().len() as f64
    };
    let (pale, dark) = (scene(256, 256, 0.7, 13), scene(256, 256, 1.3, 13));
    let before = gap(&pale.rgb, &dark.rgb);
    for op in ["reinhard", "macenko"] {
        let after = gap(&run(&pale, op, "").rgb.unwrap(), &run(&dark, op, "").rgb.unwrap());
        println!("{op}: {before:.1} grey values apart before, {after:.1} after");
        assert!(after < 0.4 * before, "{op}: {before} {after}");
    }
}

#[test]
fn nuclei_are_counted_as_the_crops_are() {
    for (mpp, seed) in [(0.5, 1), (0.25, 2), (1.0, 3), (0.37, 4)] {
        for tile in [scene(200, 160, 1.0, seed), Tile::noise(64, 90, seed)] {
            let tile = Tile { mpp, ..tile };
            let places = count_nuclei(&tile.rgb, f64::from(mpp), CONTRAST);
            let in_tissue = places.iter().filter(|(x, y)| tile.labels[(y * tile.rgb.width() + x) as usize] != 0).count();
            assert_eq!(metric(&run(&tile, "nuclei", ""), "nuclei"), in_tissue as f64, "at {mpp}");
        }
    }
}

#[test]
fn a_density_far_from_the_crops_is_flagged_and_told() {
    let mut tile = scene(256, 256, 1.0, 5);
    tile.labels.iter_mut().for_each(|l| *l = 1);
    let real = metric(&run(&tile, "nuclei", ""), "nuclei_per_mm2");
    let crops = |density: f64| RealClass { label: 1, crops: 2, counted: (density * 0.01) as u32, area_mm2: 0.01, ..RealClass::default() };
    for (density, word) in [(real, None), (real / 1.5, None), (real / 4.0, Some("far too many")), (real * 4.0, Some("far too few"))] {
        tile.classes = vec![crops(density)];
        let flags = run(&tile, "nuclei", "").flags;
        assert_eq!(flags.len(), usize::from(word.is_some()), "{density} {real}: {flags:?}");
        if let Some(word) = word {
            assert!(
                flags[0].code == "NUCLEI_DENSITY" && flags[0].reason.contains(word) && flags[0].reason.starts_with("Class 1 shows "),
                "{flags:?}"
            );
        }
    }
    // three nuclei where one was expected is no evidence
    let small = Tile { classes: vec![RealClass { counted: 1, area_mm2: 0.001, ..crops(0.0) }], ..scene(40, 40, 1.0, 5) };
    assert_eq!(run(&small, "nuclei", "").flags, []);
    let unknown = Tile { mpp: 0.0, ..scene(64, 64, 1.0, 5) };
    assert_eq!(run(&unknown, "nuclei", "").flags[0].code, "NUCLEI_NOT_COUNTED");
}

fn luma(rgb: &RgbImage, x: u32, y: u32) -> i64 {
    let [r, g, b] = rgb.get_pixel(x, y).0.map(i64::from);
    (77 * r + 150 * g + 29 * b) >> 8
}

#[test]
fn seams_equal_their_reference() {
    for tile in [scene(192, 128, 1.0, 6), Tile::noise(64, 96, 7)] {
        let (w, h) = tile.rgb.dimensions();
        let sum = |x: u32| (0..h).map(|y| (luma(&tile.rgb, x, y) - luma(&tile.rgb, x - 1, y)).abs()).sum::<i64>() as f64;
        let at = w / 2;
        let beside: Vec<f64> = (at - 12..=at + 12).filter(|x| x.abs_diff(at) > 2 && *x < w).map(sum).collect();
        let mean = beside.iter().sum::<f64>() / beside.len() as f64;
        let ratio = if sum(at) < mean || sum(at) - mean >= 2.0 * f64::from(h) { sum(at) / mean } else { 1.0 };
        let tile = Tile { seams: vec![at], ..tile };
        let out = run(&tile, "seams", "");
        let lines = if at < h { 2.0 } else { 1.0 };
        assert_eq!(metric(&out, "lines"), lines);
        assert!(lines > 1.0 || (metric(&out, "worst_line_ratio") - ratio).abs() < 1e-12);
        let (mut two, mut one) = ((0, 0), (0, 0));
        let label = |x: u32, y: u32| tile.labels[(y * w + x) as usize];
        let pairs = (0..h).flat_map(|y| (0..w).flat_map(move |x| [(x, y, x + 1, y), (x, y, x, y + 1)])).filter(|p| p.2 < w && p.3 < h);
        for (x, y, u, v) in pairs.filter(|p| label(p.0, p.1) != 0 && label(p.2, p.3) != 0) {
            let d = (luma(&tile.rgb, x, y) - luma(&tile.rgb, u, v)).abs();
            let to = if label(x, y) == label(u, v) { &mut one } else { &mut two };
            *to = (to.0 + d, to.1 + 1);
        }
        let mean = |(sum, n): (i64, i64)| sum as f64 / n as f64;
        assert!((metric(&out, "boundary_ratio") - mean(two) / mean(one)).abs() < 1e-9);
    }
}

#[test]
fn a_visible_line_is_told_where_it_is_and_smooth_tissue_is_not() {
    let plain = scene(256, 256, 1.0, 8);
    assert_eq!(run(&plain, "seams", "").flags, []);
    let mut cut = scene(256, 256, 1.0, 8);
    cut.rgb.enumerate_pixels_mut().filter(|(x, ..)| *x >= 128).for_each(|(_, _, p)| p.0 = p.0.map(|v| v.saturating_sub(30)));
    let flags = run(&cut, "seams", "").flags;
    assert!(flags.len() == 1 && flags[0].code == "SEAM", "{flags:?}");
    assert!(
        flags[0].reason.starts_with("A straight line can be seen 128 px from the left: across it the tissue changes "),
        "{}",
        flags[0].reason
    );
    let elsewhere = Tile { seams: Vec::new(), ..cut };
    assert_eq!(run(&elsewhere, "seams", "").flags, []);
    assert_eq!(run(&elsewhere, "seams", r#"{"every": 128}"#).flags.len(), 1);
    let mut pasted = scene(256, 256, 1.0, 8);
    let labels = pasted.labels.clone();
    pasted.rgb.pixels_mut().zip(labels).filter(|(_, l)| *l == 2).for_each(|(p, _)| p.0 = p.0.map(|v| v / 2));
    assert!(run(&pasted, "seams", "").flags.iter().any(|f| f.code == "BOUNDARY_JUMP"));
}

fn smooth_reference(labels: &[u8], w: usize, h: usize, radius: usize, passes: usize) -> Vec<u8> {
    let mut now = labels.to_vec();
    for _ in 0..passes {
        let before = now.clone();
        for (i, to) in now.iter_mut().enumerate() {
            let (x, y) = (i % w, i / w);
            let mut counts = [0u32; 256];
            for r in y.saturating_sub(radius)..(y + radius + 1).min(h) {
                (x.saturating_sub(radius)..(x + radius + 1).min(w)).for_each(|c| counts[usize::from(before[r * w + c])] += 1);
            }
            let most = counts.iter().copied().max().unwrap();
            *to = if counts[usize::from(before[i])] == most { before[i] } else { counts.iter().position(|n| *n == most).unwrap() as u8 };
        }
    }
    now
}

#[test]
fn smooth_equals_its_reference_and_writes_only_classes_of_the_tile() {
    for (tile, radius, passes) in
        [(scene(96, 80, 1.0, 1), 6, 2), (Tile::noise(40, 33, 2), 3, 3), (Tile::noise(9, 5, 3), 32, 1), (Tile::noise(1, 1, 4), 1, 8)]
    {
        let (w, h) = tile.rgb.dimensions();
        let out = run(&tile, "smooth", &format!("{{\"radius\": {radius}, \"passes\": {passes}}}"));
        let want = smooth_reference(&tile.labels, w as usize, h as usize, radius, passes);
        assert!(out.rgb.is_none());
        assert!(out.labels.as_ref().unwrap_or(&tile.labels) == &want, "{w} x {h}, radius {radius}");
    }
}

#[test]
fn smoothing_turns_stairs_into_a_slope_and_leaves_areas_alone() {
    let tile = scene(256, 256, 1.0, 1);
    let out = run(&tile, "smooth", "").labels.unwrap();
    let changed: Vec<usize> = (0..out.len()).filter(|i| out[*i] != tile.labels[*i]).collect();
    assert!(changed.len() > 500);
    let near = |i: usize| {
        let (x, y) = (i as i64 % 256, i as i64 / 256);
        (-12..=12).any(|dy| {
            (-12..=12).any(|dx| {
                let (u, v) = (x + dx, y + dy);
                (0..256).contains(&u) && (0..256).contains(&v) && tile.labels[(v * 256 + u) as usize] != tile.labels[i]
            })
        })
    };
    assert!(changed.into_iter().all(near));
    assert!(run(&tile, "smooth", r#"{"radius": 1, "passes": 1}"#).labels.is_some());
    assert!(run(&Tile::plain(64, 64, [200, 100, 150]), "smooth", "").labels.is_none());
}

#[test]
fn chains_are_checked_before_anything_runs_and_name_op_and_parameter() {
    let registry = Registry::shipped().unwrap();
    let chain = |ops: &str| registry.chain(&serde_json::from_str::<Vec<histoloom_core::params::OpStep>>(ops).unwrap());
    let steps = chain(r#"["gamut", {"name": "sharpness", "params": {"min_variance": 9}}, {"name": "smooth"}]"#).unwrap();
    assert_eq!(steps.iter().map(|s| s.op().name().to_owned()).collect::<Vec<_>>(), ["gamut", "sharpness", "smooth"]);
    for (bad, words) in [
        (r#"["gamut", "blur"]"#, "there is no op `blur`"),
        (r#"[{"name": "sharpness", "params": {"min_variance": -1}}]"#, "`sharpness.min_variance`: the value -1 will not do"),
        (r#"[{"name": "sharpness", "params": {"min_varianze": 9}}]"#, "`sharpness.min_varianze`: unknown"),
        (
            r#"[{"name": "smooth", "params": {"radius": 2.5}}]"#,
            "`smooth.radius`: the value 2.5 will not do; give a whole number from 1 to 32",
        ),
    ] {
        let e = chain(bad).err().unwrap().to_string();
        assert!(e.contains(words), "{e}");
    }
    let tile = scene(128, 128, 1.0, 1);
    let seen = Seen { mpp: 0.5, ..Seen::default() };
    let job = histoloom_core::Job::new();
    let out = histoloom_core::ops::apply(&steps, tile.rgb.clone(), &tile.labels, &Planes::zeros(0, 4, 4), seen, &job).unwrap();
    assert_eq!(out.records[1]["params"], json!({"min_variance": 9.0}));
    assert_eq!(out.records[2]["params"], json!({"radius": 6, "passes": 2}));
    assert!(out.changed && out.labels != tile.labels && out.records[2]["changed_labels"].as_u64().unwrap() > 0);
    assert!(out.records.iter().all(|r| r["sha256"].as_str().is_some_and(|s| s.len() == 64)));
}
