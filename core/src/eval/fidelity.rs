//! How near a picture is to another. In: two RGB pictures of one size. Out: PSNR in dB over all channels; SSIM of the luma (Wang et al.
//! 2004: Gaussian window of 11 px with sigma 1.5, K1 = 0.01, K2 = 0.03, windows inside the picture only), averaged.

use image::RgbImage;

/// Peak signal to noise ratio in dB; infinite for equal pictures.
pub fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) * a.as_raw().len() as f64 / sum).log10()
}

/// Structural similarity, 1 for equal pictures. Pictures smaller than the window give NaN.
pub fn ssim(a: &RgbImage, b: &RgbImage) -> f64 {
    let (w, h) = (a.width() as usize, a.height() as usize);
    let luma = |p: &RgbImage| -> Vec<f64> {
        p.pixels().map(|p| 0.299 * f64::from(p.0[0]) + 0.587 * f64::from(p.0[1]) + 0.114 * f64::from(p.0[2])).collect()
    };
    let (x, y) = (luma(a), luma(b));
    let product = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(p, q)| p * q).collect::<Vec<_>>();
    let mean = |v: &[f64]| blurred(v, w, h);
    let (mx, my, xx, yy, xy) = (mean(&x), mean(&y), mean(&product(&x, &x)), mean(&product(&y, &y)), mean(&product(&x, &y)));
    let (c1, c2) = ((0.01 * 255.0f64).powi(2), (0.03 * 255.0f64).powi(2));
    let one = |i: usize| {
        let (sx, sy, sxy) = (xx[i] - mx[i] * mx[i], yy[i] - my[i] * my[i], xy[i] - mx[i] * my[i]);
        (2.0 * mx[i] * my[i] + c1) * (2.0 * sxy + c2) / ((mx[i] * mx[i] + my[i] * my[i] + c1) * (sx + sy + c2))
    };
    (0..mx.len()).map(one).sum::<f64>() / mx.len() as f64
}

/// Gaussian means at every place where the window fits.
fn blurred(v: &[f64], w: usize, h: usize) -> Vec<f64> {
    const REACH: usize = 5;
    let n = 2 * REACH + 1;
    if w < n || h < n {
        return Vec::new();
    }
    let raw: Vec<f64> = (0..n).map(|i| (-((i as f64 - REACH as f64).powi(2)) / (2.0 * 1.5f64.powi(2))).exp()).collect();
    let kernel: Vec<f64> = raw.iter().map(|k| k / raw.iter().sum::<f64>()).collect();
    let columns = w - n + 1;
    let rows: Vec<f64> =
        (0..h * columns).map(|i| kernel.iter().enumerate().map(|(k, g)| g * v[i / columns * w + i % columns + k]).sum()).collect();
    (0..(h - n + 1) * columns).map(|i| kernel.iter().enumerate().map(|(k, g)| g * rows[i + k * columns]).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psnr_and_ssim_are_those_of_the_references() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/fidelity.json")).unwrap();
        let side = golden["side"].as_u64().unwrap() as u32;
        let picture = |key: &str| {
            let values = golden[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u8).collect();
            RgbImage::from_raw(side, side, values).unwrap()
        };
        let (a, b) = (picture("a"), picture("b"));
        assert!((psnr(&a, &b) - golden["psnr"].as_f64().unwrap()).abs() < 1e-6);
        assert!((ssim(&a, &b) - golden["ssim"].as_f64().unwrap()).abs() < 1e-6, "{}", ssim(&a, &b));
        assert!(psnr(&a, &a).is_infinite() && (ssim(&a, &a) - 1.0).abs() < 1e-12);
    }
}
