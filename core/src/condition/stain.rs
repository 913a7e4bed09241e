//! Measures of stain and nuclei that a region may be asked for. In: a picture and its resolution. Out: [`Measures`]. The reference, with
//! which training measured its regions, is models/reference/stain.py.
//!
//! Haematoxylin and eosin: colour deconvolution of optical densities (base 10) with the vectors of Ruifrok & Johnston, Anal Quant
//! Cytol Histol 2001;23:291-9. Nuclei: pixels whose haematoxylin, averaged over about 1 um, lies above Otsu's threshold.

use image::RgbImage;
use serde::{Deserialize, Serialize};

const HAEMATOXYLIN: [f32; 3] = [0.650, 0.704, 0.286];
const EOSIN: [f32; 3] = [0.072, 0.990, 0.105];
/// Sum of both stains above which a pixel is tissue.
const TISSUE: f32 = 0.08;
/// Bins of Otsu's histogram over amounts from 0 to 1.
const BINS: usize = 128;

/// Amounts of stain and nuclei of a region.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Mean amount of haematoxylin, about 0 to 1.
    pub haematoxylin: f32,
    /// Mean amount of eosin, about 0 to 1.
    pub eosin: f32,
    /// Share of the area that is nuclei, 0 to 1.
    pub nuclei: f32,
}

impl Measures {
    /// Of a whole picture.
    pub fn of(rgb: &RgbImage, mpp: f64) -> Self {
        let (w, h) = rgb.dimensions();
        let inverse = inverse();
        let stains: Vec<[f32; 2]> = rgb.pixels().map(|p| amounts(p.0, &inverse)).collect();
        let hae: Vec<f32> = stains.iter().map(|s| s[0]).collect();
        let calm = box_mean(&hae, w as usize, h as usize, (1.0 / mpp).round().max(1.0) as usize);
        let tissue: Vec<f32> = calm.iter().zip(&stains).filter(|(_, s)| s[0] + s[1] > TISSUE).map(|(c, _)| *c).collect();
        let threshold = otsu(if tissue.is_empty() { &calm } else { &tissue });
        let n = stains.len().max(1) as f32;
        Self {
            haematoxylin: hae.iter().sum::<f32>() / n,
            eosin: stains.iter().map(|s| s[1]).sum::<f32>() / n,
            nuclei: calm.iter().filter(|c| **c > threshold).count() as f32 / n,
        }
    }
}

/// Rows of the inverse of (haematoxylin, eosin, residual) that give the first two amounts.
fn inverse() -> [[f32; 2]; 3] {
    let unit = |v: [f32; 3]| v.map(|x| x / v.iter().map(|x| x * x).sum::<f32>().sqrt());
    let cross = |a: [f32; 3], b: [f32; 3]| [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let (a, b) = (unit(HAEMATOXYLIN), unit(EOSIN));
    let c = unit(cross(a, b));
    // the inverse's columns are cross products over the determinant
    let (x, y) = (cross(b, c), cross(c, a));
    let det: f32 = a.iter().zip(x).map(|(a, x)| a * x).sum();
    [0, 1, 2].map(|k| [x[k] / det, y[k] / det])
}

fn amounts(rgb: [u8; 3], inverse: &[[f32; 2]; 3]) -> [f32; 2] {
    let density = rgb.map(|v| -(f32::from(v.max(1)) / 255.0).log10());
    [0, 1].map(|s| density.iter().zip(inverse).map(|(d, i)| d * i[s]).sum())
}

/// Means over squares of `size` pixels, edges mirrored (scipy's `uniform_filter`: an even size reaches one further up and left).
fn box_mean(values: &[f32], w: usize, h: usize, size: usize) -> Vec<f32> {
    let along = |v: &[f32], n: usize, at: &dyn Fn(usize, usize) -> usize, lines: usize| {
        let mut out = vec![0.0; v.len()];
        for line in 0..lines {
            for i in 0..n {
                let from = i as i64 - (size / 2) as i64;
                let sum: f32 = (from..from + size as i64).map(|k| v[at(line, mirrored(k, n))]).sum();
                out[at(line, i)] = sum / size as f32;
            }
        }
        out
    };
    let rows = along(values, w, &|line, i| line * w + i, h);
    along(&rows, h, &|line, i| i * w + line, w)
}

fn mirrored(k: i64, n: usize) -> usize {
    let m = k.rem_euclid(2 * n.max(1) as i64) as usize;
    if m < n { m } else { 2 * n - 1 - m }
}

/// The threshold that leaves the least variance on its two sides (Otsu, IEEE Trans SMC 1979;9:62-6).
fn otsu(values: &[f32]) -> f32 {
    let mut counts = [0f64; BINS];
    for v in values {
        counts[((v.clamp(0.0, 1.0) * BINS as f32) as usize).min(BINS - 1)] += 1.0;
    }
    let middle = |i: usize| (i as f64 + 0.5) / BINS as f64;
    let (all, weighted) = (counts.iter().sum::<f64>(), counts.iter().enumerate().map(|(i, n)| n * middle(i)).sum::<f64>());
    let (mut below, mut sum, mut best) = (0.0, 0.0, (0.0, 0));
    for (i, n) in counts.iter().enumerate() {
        below += n;
        sum += n * middle(i);
        let above = all - below;
        let apart = (sum / below.max(1.0) - (weighted - sum) / above.max(1.0)).powi(2) * below * above;
        if apart > best.0 {
            best = (apart, i);
        }
    }
    (best.1 + 1) as f32 / BINS as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_are_those_of_the_reference() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/stain.json")).unwrap();
        for case in golden.as_array().unwrap() {
            let side = case["side"].as_u64().unwrap() as u32;
            // the picture is a formula, so that the golden file need not hold it
            let rgb = RgbImage::from_fn(side, side, |x, y| {
                let nucleus = (x % 16).abs_diff(8).pow(2) + (y % 16).abs_diff(8).pow(2) < 20;
                let shade = ((x * 7 + y * 13) % 32) as u8;
                image::Rgb(if nucleus { [70 + shade, 40 + shade, 110 + shade] } else { [220 - shade, 150 - shade, 190 - shade] })
            });
            let m = Measures::of(&rgb, case["mpp"].as_f64().unwrap());
            for (name, value) in [("haematoxylin", m.haematoxylin), ("eosin", m.eosin), ("nuclei", m.nuclei)] {
                let want = case[name].as_f64().unwrap();
                assert!((f64::from(value) - want).abs() < 2e-3, "{name} at {}: {value}, not {want}", case["mpp"]);
            }
        }
    }
}
