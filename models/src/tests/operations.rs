//! Each operation of our CPU engine against burn-flex, at awkward sizes: channels that fill no register, one pixel, odd strides.

use histoloom_core::{Planes, rng};

use super::{cpu, flex};
use crate::cpu::CpuOps;
use crate::ops::{After, Before, ConvSpec, Inverted, NormSpec, Ops};
use crate::self_test::relative_error;

pub(super) fn noise(seed: u64, n: usize) -> Vec<f32> {
    rng::noise(seed, 0, 0, n)
}

pub(super) fn items(n: usize, c: usize, h: usize, w: usize) -> Vec<Planes> {
    (0..n).map(|i| Planes::new(c, h, w, noise(100 + i as u64, c * h * w)).unwrap()).collect()
}

/// Runs `f` on both and compares.
fn agree(what: &str, ours: impl FnOnce(&CpuOps) -> Vec<Planes> + Send, theirs: impl FnOnce() -> Vec<Planes>) {
    let ours = cpu(2).run(|| Ok(ours(&CpuOps::default()))).unwrap();
    let error = relative_error(&ours, &theirs());
    assert!(error < 2e-6, "{what}: relative error {error:e}");
}

/// (c_in, c_out, kernel, stride, padding, height, width)
type Case = (usize, usize, usize, usize, (usize, usize), usize, usize);

fn convolved<O: Ops>(ops: &O, case: Case) -> Vec<Planes> {
    let (c_in, c_out, kernel, stride, pad, h, w) = case;
    let (weight, bias) = (noise(1, c_out * c_in * kernel * kernel), noise(2, c_out));
    let layer = ops.conv_layer(&ConvSpec { weight: &weight, bias: &bias, c_in, c_out, kernel, stride, pad });
    let x = ops.upload(&items(2, c_in, h, w));
    let plain = ops.conv(&x, Before::Relu, &layer, After::Plain);
    let mut out = ops.download(ops.conv(&x, Before::Plain, &layer, After::Add(&plain))).unwrap();
    out.extend(ops.download(ops.conv(&x, Before::Plain, &layer, After::Silu)).unwrap());
    out.extend(ops.download(ops.conv(&x, Before::Plain, &layer, After::Relu6)).unwrap());
    let each = ops.upload(&[Planes::new(c_out, 1, 1, noise(3, c_out)).unwrap()]);
    out.extend(ops.download(ops.conv(&x, Before::Plain, &layer, After::AddToAll(&each))).unwrap());
    out
}

const CONVOLUTIONS: [Case; 8] = [
    (3, 32, 3, 2, (0, 1), 10, 14),
    (51, 20, 3, 1, (1, 1), 8, 12),
    (16, 5, 3, 1, (1, 1), 7, 5),
    (24, 72, 1, 1, (0, 0), 9, 11),
    (12, 40, 2, 2, (0, 0), 6, 10),
    (8, 17, 5, 2, (1, 2), 12, 8),
    (320, 160, 1, 1, (0, 0), 1, 1),
    (4, 33, 3, 1, (1, 1), 1, 1),
];

pub(super) fn all_convolved<O: Ops>(ops: &O) -> Vec<Vec<Planes>> {
    CONVOLUTIONS.map(|case| convolved(ops, case)).into()
}

#[test]
fn convolutions_agree_with_burn_flex_at_awkward_sizes() {
    for case in CONVOLUTIONS {
        agree(&format!("{case:?}"), |o| convolved(o, case), || convolved(&flex(), case));
    }
}

/// (c_in, expansion, c_out, kernel, stride, height, width)
type Wide = (usize, usize, usize, usize, usize, usize, usize);

fn inverted<O: Ops>(ops: &O, case: Wide) -> Vec<Planes> {
    let (c_in, expand, c_out, kernel, stride, h, w) = case;
    let mid = c_in * expand;
    let total = kernel - stride;
    let values = [noise(3, mid * c_in), noise(4, mid * kernel * kernel), noise(5, c_out * mid), noise(6, mid.max(c_out))];
    let spec = |weight, c_in, c_out, kernel, stride, total: usize| ConvSpec {
        weight,
        bias: &values[3][..c_out],
        c_in,
        c_out,
        kernel,
        stride,
        pad: (total / 2, total - total / 2),
    };
    let block = Inverted {
        expand: (expand > 1).then(|| ops.conv_layer(&spec(&values[0], c_in, mid, 1, 1, 0))),
        depthwise: ops.depthwise_layer(&spec(&values[1], mid, mid, kernel, stride, total)),
        project: ops.conv_layer(&spec(&values[2], mid, c_out, 1, 1, 0)),
        residual: stride == 1 && c_in == c_out,
    };
    ops.download(ops.inverted(&ops.upload(&items(3, c_in, h, w)), &block)).unwrap()
}

const INVERTED: [Wide; 5] =
    [(8, 6, 8, 3, 1, 40, 33), (8, 6, 12, 5, 2, 40, 64), (4, 3, 4, 5, 1, 6, 2), (32, 1, 16, 3, 1, 20, 20), (96, 6, 24, 3, 2, 96, 160)];

pub(super) fn all_inverted<O: Ops>(ops: &O) -> Vec<Vec<Planes>> {
    INVERTED.map(|case| inverted(ops, case)).into()
}

#[test]
fn inverted_residuals_agree_with_burn_flex_across_strips_and_strides() {
    for case in INVERTED {
        agree(&format!("{case:?}"), |o| inverted(o, case), || inverted(&flex(), case));
    }
}

#[test]
fn inverted_residuals_with_kernels_of_any_size_agree_with_burn_flex() {
    for case in [(8, 6, 8, 7, 1, 40, 33), (8, 6, 12, 7, 2, 90, 64), (4, 3, 4, 9, 3, 26, 12)] {
        agree(&format!("{case:?}"), |o| inverted(o, case), || inverted(&flex(), case));
    }
}

pub(super) fn normed<O: Ops>(ops: &O) -> Vec<Planes> {
    let (c, h, w) = (48, 9, 11);
    let norm = ops.norm_layer(&NormSpec { gamma: &noise(7, c), beta: &noise(8, c), groups: 16, epsilon: 1e-2 });
    let film = ops.upload(&[Planes::new(2 * c + 5, 1, 1, noise(9, 2 * c + 5)).unwrap()]);
    let weight = noise(10, c * c * 9);
    let layer = ops.conv_layer(&ConvSpec { weight: &weight, bias: &noise(11, c), c_in: c, c_out: c, kernel: 3, stride: 1, pad: (1, 1) });
    // far from zero mean, where a variance from sums of squares would lose its digits
    let shifted: Vec<Planes> =
        items(2, c, h, w).into_iter().map(|p| Planes { data: p.data.iter().map(|v| v + 30.0).collect(), ..p }).collect();
    let x = ops.upload(&shifted);
    let before = [Before::Norm(&norm), Before::NormSilu(&norm), Before::NormFilmSilu(&norm, &film, 5), Before::Silu];
    before.into_iter().flat_map(|b| ops.download(ops.conv(&x, b, &layer, After::Plain)).unwrap()).collect()
}

#[test]
fn group_norm_with_silu_and_film_agrees_with_burn_flex() {
    let ours = cpu(2).run(|| Ok(normed(&CpuOps::default()))).unwrap();
    let error = relative_error(&ours, &normed(&flex()));
    assert!(error < 2e-5, "relative error {error:e}"); // the mean of 30 costs both a digit
}

pub(super) fn moved<O: Ops>(ops: &O) -> Vec<Planes> {
    let (a, b) = (ops.upload(&items(2, 24, 6, 10)), ops.upload(&items(2, 16, 6, 10)));
    let qkv = ops.upload(&items(2, 3 * 80, 6, 10));
    let small = ops.upload(&items(1, 16, 6, 10));
    let far = ops.mixed(&[(40.0, &a)]);
    let maps = vec![
        ops.concat(&a, &b),
        ops.upsample2(&a),
        ops.pixel_shuffle2(&b),
        ops.attention(&qkv, 2),
        ops.add(&b, &b),
        ops.mixed(&[(0.7, &a), (-1.3, &ops.guided(&ops.twice(&far), 2.0))]),
        ops.mixed(&[(1.0, &a), (0.5, &far), (-0.1, &a)]),
        ops.guided(&a, 3.0),
        ops.twice(&small),
        ops.limited(&far),
        small,
    ];
    ops.download_all(maps).unwrap().concat()
}

#[test]
fn attention_and_rearrangements_agree_with_burn_flex() {
    for (i, (ours, theirs)) in cpu(2).run(|| Ok(moved(&CpuOps::default()))).unwrap().into_iter().zip(moved(&flex())).enumerate() {
        let error = relative_error(&[ours], &[theirs]);
        assert!(error < 2e-6, "map {i}: relative error {error:e}");
    }
}

pub(super) fn of_tokens<O: Ops>(ops: &O) -> Vec<Vec<Planes>> {
    let c = 44; // fills no register
    let (x, first) = (ops.upload(&items(2, c, 5, 9)), ops.upload(&items(1, c, 1, 5)));
    let norm = ops.norm_layer(&NormSpec { gamma: &noise(7, c), beta: &noise(8, c), groups: 1, epsilon: 1e-6 });
    let weight = noise(9, c * c);
    let layer = ops.conv_layer(&ConvSpec { weight: &weight, bias: &noise(2, c), c_in: c, c_out: c, kernel: 1, stride: 1, pad: (0, 0) });
    let joined = ops.prepend(&first, &x);
    let long = ops.upload(&items(1, 3 * 208, 1, 205)); // heads of 104, more pixels than a block of queries
    let odd = ops.upload(&items(2, 2 * 17, 3, 4)); // halves that are no multiple of 4
    let maps = [
        ops.layer_norm(&x, &norm),
        ops.conv(&x, Before::Plain, &layer, After::Gelu),
        ops.gated(&odd),
        ops.conv(&ops.without(&joined, 5, 5, 9), Before::Plain, &layer, After::Plain),
        ops.add(&x, &ops.upload(&items(1, c, 5, 9))),
        ops.attention(&long, 2),
        joined,
    ];
    maps.into_iter().map(|m| ops.download(m).unwrap()).collect()
}

#[test]
fn the_operations_of_transformers_agree_with_burn_flex() {
    for (i, (ours, theirs)) in cpu(2).run(|| Ok(of_tokens(&CpuOps::default()))).unwrap().iter().zip(of_tokens(&flex())).enumerate() {
        let error = relative_error(ours, &theirs);
        assert!(error < 2e-6, "map {i}: relative error {error:e}");
    }
}

/// Each against its formula, computed a value at a time.
pub(super) fn by_formula<O: Ops>(ops: &O, tolerance: f64) {
    let (c, n) = (20, 6);
    let x = items(1, 2 * c, 1, n).remove(0);
    let map = ops.upload(std::slice::from_ref(&x));
    let (gamma, beta) = (noise(7, 2 * c), noise(8, 2 * c));
    let norm = ops.norm_layer(&NormSpec { gamma: &gamma, beta: &beta, groups: 1, epsilon: 1e-6 });
    let (mut normed, mut gated) = (x.clone(), Planes::zeros(c, 1, n));
    for p in 0..n {
        let column: Vec<f64> = (0..2 * c).map(|k| f64::from(x.at(k, 0, p))).collect();
        let mean = column.iter().sum::<f64>() / column.len() as f64;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / column.len() as f64;
        for k in 0..2 * c {
            let y = (column[k] - mean) / (variance + 1e-6).sqrt() * f64::from(gamma[k]) + f64::from(beta[k]);
            normed.data[k * n + p] = y as f32;
        }
        for k in 0..c {
            gated.data[k * n + p] = (column[k] / (1.0 + (-column[k]).exp()) * column[c + k]) as f32;
        }
    }
    for (what, ours, exact) in [("layer norm", ops.layer_norm(&map, &norm), normed), ("gate", ops.gated(&map), gated)] {
        let error = relative_error(&ops.download(ours).unwrap(), &[exact]);
        assert!(error < tolerance, "{what}: relative error {error:e}");
    }
}

#[test]
fn layer_norm_and_gate_are_their_formulas_on_both_engines() {
    by_formula(&CpuOps::default(), 1e-6);
    by_formula(&flex(), 1e-6);
}

#[test]
fn attention_that_is_cut_into_groups_of_heads_is_the_same() {
    // 16 heads over 1296 pixels: more than burn's table holds at once
    let x = items(1, 3 * 64, 36, 36);
    let run = |o: &CpuOps| o.download(o.attention(&o.upload(&x), 16)).unwrap();
    let ours = cpu(2).run(|| Ok(run(&CpuOps::default()))).unwrap();
    let theirs = flex().download(flex().attention(&flex().upload(&x), 16)).unwrap();
    let error = relative_error(&ours, &theirs);
    assert!(error < 2e-6, "relative error {error:e}");
}
