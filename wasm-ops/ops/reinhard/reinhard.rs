//! reinhard: gives a tile the colour statistics of a reference, after Reinhard et al. (IEEE Comput Graph Appl 2001;21(5):34-41,
//! doi:10.1109/38.946629): in their space l, alpha, beta (logarithms of cone responses, decorrelated) tissue is brought to the means and
//! standard deviations of the reference.
//!
//! The default reference is the one that HistomicsTK's users take: slide TCGA-A2-A3XS-DX1 of Amgad et al. (Bioinformatics 2019;35:3461-7,
//! doi:10.1093/bioinformatics/btz083), with natural logarithms of responses to grey values from 0 to 255. Statistics are of tissue only
//! (label not 0, optical density of the channels together from 0.25 on), and the paler a pixel is, the less it is changed, so glass stays glass.
//! Deviations are stretched by `most_gain` at most: looked at on NCT-CRC tiles of 112 um, which show one tissue, the whole factor (up to 2.2)
//! turns pale stroma white and mucus into a net.
#![no_std]
#![allow(unused_attributes)] // natively this file is a module

use histoloom_op::math::{OD, exp, ln, sqrt, whole};
use histoloom_op::{Host, NO_ROOM, PIXELS, Tile, UNCHANGED, op};

op! {
    manifest: r#"{"name": "reinhard", "version": 1, "summary": "Normalises the stain to a reference by means and deviations (Reinhard)", "params": [
        {"name": "mean_l", "min": 0, "max": 10, "default": 8.74108109, "doc": "Mean lightness of the reference's tissue"},
        {"name": "mean_alpha", "min": -2, "max": 2, "default": -0.12440419, "doc": "Its mean of yellow against blue"},
        {"name": "mean_beta", "min": -2, "max": 2, "default": 0.0444982, "doc": "Its mean of red against green"},
        {"name": "sd_l", "min": 0, "max": 5, "default": 0.6135447, "doc": "Its standard deviation of lightness"},
        {"name": "sd_alpha", "min": 0, "max": 2, "default": 0.10989545, "doc": "Its standard deviation of yellow against blue"},
        {"name": "sd_beta", "min": 0, "max": 2, "default": 0.0286032, "doc": "Its standard deviation of red against green"},
        {"name": "most_gain", "min": 1, "max": 10, "default": 1.25, "doc": "How far a deviation is stretched at most: a tile of one tissue has less than a reference of several"}]}"#,
    run: run
}

/// Cone responses of red, green and blue (the paper's), and back.
const TO_LMS: [[f32; 3]; 3] = [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]];
const TO_RGB: [[f32; 3]; 3] = [[4.46867, -3.588676, 0.1196044], [-1.219717, 2.383088, -0.1626301], [0.05850848, -0.2610784, 1.205666]];
/// 1 / sqrt of 3, 6 and 2.
const SCALE: [f32; 3] = [0.577_350_3, 0.408_248_3, 0.707_106_8];
/// Optical density (thousandths, channels together) from which a pixel is tissue.
const TISSUE: u32 = 250;
/// Below the first it is left as it is, from the second on changed altogether.
const GLASS: u32 = 150;
const STAINED: u32 = 450;
/// Fewer tissue pixels have no statistics.
const LEAST: u32 = 500;

/// Rows of three planes.
struct Rows<'a> {
    l: &'a mut [f32],
    m: &'a mut [f32],
    s: &'a mut [f32],
}

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    normalised(tile, host).unwrap_or(NO_ROOM)
}

fn normalised(tile: &mut Tile<'_>, host: &mut impl Host) -> Option<i32> {
    let w = tile.width;
    let mut rows = Rows { l: tile.room.take(w)?, m: tile.room.take(w)?, s: tile.room.take(w)? };
    let weights = tile.room.take::<f32>(w)?;
    let (mut n, mut sums, mut squares) = (0u32, [0f64; 3], [0f64; 3]);
    for (rgb, labels) in tile.rgb.chunks_exact(3 * w).zip(tile.labels.chunks_exact(w)) {
        logarithms(rgb, &mut rows);
        n += tissue(rgb, labels, weights);
        statistics(&mut rows, weights, &mut sums, &mut squares);
    }
    host.metric("tissue_px", f64::from(n));
    if n < LEAST {
        host.flag("STAIN_NOT_TOLD", "This tile shows too little tissue to tell its stain, so its colours were left as they are", None);
        return Some(UNCHANGED);
    }
    let mean = sums.map(|s| s / f64::from(n));
    let mut gain = [1f32; 3];
    for (c, name) in ["sd_l", "sd_alpha", "sd_beta"].iter().enumerate() {
        let sd = sqrt((squares[c] / f64::from(n) - mean[c] * mean[c]).max(0.0));
        host.metric(["mean_l", "mean_alpha", "mean_beta"][c], mean[c]);
        host.metric(name, sd);
        gain[c] = if sd > 1e-6 { (tile.params[3 + c] / sd).min(tile.params[6]) as f32 } else { 1.0 };
    }
    let shift = [0, 1, 2].map(|c| tile.params[c] as f32 - gain[c] * mean[c] as f32);
    for rgb in tile.rgb.chunks_exact_mut(3 * w) {
        logarithms(rgb, &mut rows);
        transformed(&mut rows, gain, shift);
        shares(rgb, weights);
        write(rgb, &rows, weights);
    }
    Some(PIXELS)
}

/// Logarithms of the cone responses of a row.
fn logarithms(rgb: &[u8], rows: &mut Rows<'_>) {
    for (((p, l), m), s) in rgb.chunks_exact(3).zip(rows.l.iter_mut()).zip(rows.m.iter_mut()).zip(rows.s.iter_mut()) {
        let [r, g, b] = [f32::from(p[0]), f32::from(p[1]), f32::from(p[2])];
        let response = |k: [f32; 3]| k[0] * r + k[1] * g + k[2] * b;
        *l = response(TO_LMS[0]);
        *m = response(TO_LMS[1]);
        *s = response(TO_LMS[2]);
    }
    for plane in [&mut *rows.l, &mut *rows.m, &mut *rows.s] {
        // black has no logarithm; one grey value has
        plane.iter_mut().for_each(|v| *v = ln(if *v > 1.0 { *v } else { 1.0 }));
    }
}

/// 1 where a pixel is tissue, else 0; how many there are.
fn tissue(rgb: &[u8], labels: &[u8], weights: &mut [f32]) -> u32 {
    let mut n = 0;
    for ((p, label), weight) in rgb.chunks_exact(3).zip(labels).zip(weights) {
        let is = (*label != 0) & (density(p) >= TISSUE);
        *weight = is as u8 as f32;
        n += is as u32;
    }
    n
}

fn density(p: &[u8]) -> u32 {
    u32::from(OD[p[0] as usize]) + u32::from(OD[p[1] as usize]) + u32::from(OD[p[2] as usize])
}

/// How far each pixel of a row is changed: glass not at all.
fn shares(rgb: &[u8], weights: &mut [f32]) {
    for (p, weight) in rgb.chunks_exact(3).zip(weights) {
        let d = density(p).max(GLASS).min(STAINED) - GLASS;
        *weight = d as f32 / (STAINED - GLASS) as f32;
    }
}

/// Adds sums and squares of l, alpha and beta over the tissue of a row. In four columns, so that it can be done four at a time.
fn statistics(rows: &mut Rows<'_>, weights: &[f32], sums: &mut [f64; 3], squares: &mut [f64; 3]) {
    let (mut sum, mut square) = ([[0f32; 4]; 3], [[0f32; 4]; 3]);
    let quads = rows.l.chunks(4).zip(rows.m.chunks(4)).zip(rows.s.chunks(4)).zip(weights.chunks(4));
    for (((l, m), s), weight) in quads {
        for (k, w) in weight.iter().enumerate() {
            let v = decorrelated(l[k], m[k], s[k]);
            for c in 0..3 {
                sum[c][k] += w * v[c];
                square[c][k] += w * v[c] * v[c];
            }
        }
    }
    for c in 0..3 {
        sums[c] += sum[c].iter().map(|v| f64::from(*v)).sum::<f64>();
        squares[c] += square[c].iter().map(|v| f64::from(*v)).sum::<f64>();
    }
}

#[inline(always)]
fn decorrelated(l: f32, m: f32, s: f32) -> [f32; 3] {
    [SCALE[0] * (l + m + s), SCALE[1] * (l + m - 2.0 * s), SCALE[2] * (l - m)]
}

/// Logarithms of responses to responses with the reference's statistics.
fn transformed(rows: &mut Rows<'_>, gain: [f32; 3], shift: [f32; 3]) {
    for ((l, m), s) in rows.l.iter_mut().zip(rows.m.iter_mut()).zip(rows.s.iter_mut()) {
        let v = decorrelated(*l, *m, *s);
        let [a, b, c] = [0, 1, 2].map(|c| SCALE[c] * (gain[c] * v[c] + shift[c]));
        // l, m, s of the paper's inverse; the scales of it and of its inverse are the same
        *l = exp(a + b + c);
        *m = exp(a + b - c);
        *s = exp(a - 2.0 * b);
    }
}

/// Responses to colours, mixed into what was there.
fn write(rgb: &mut [u8], rows: &Rows<'_>, weights: &[f32]) {
    for ((((p, l), m), s), w) in rgb.chunks_exact_mut(3).zip(rows.l.iter()).zip(rows.m.iter()).zip(rows.s.iter()).zip(weights) {
        for (v, k) in p.iter_mut().zip(TO_RGB) {
            let new = k[0] * l + k[1] * m + k[2] * s;
            let old = f32::from(*v);
            let mixed = old + w * (new - old);
            let mixed = if mixed > 0.0 { mixed } else { 0.0 };
            *v = whole(if mixed < 255.0 { mixed } else { 255.0 }) as u8;
        }
    }
}
