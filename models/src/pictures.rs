//! Pictures to planes and back, on the host.

use histoloom_core::{Error, Planes, Result};
use image::RgbImage;
use rayon::prelude::*;

/// `[3, h, w]`, each byte through `f`.
pub fn planes(rgb: &RgbImage, f: impl Fn(u8) -> f32) -> Planes {
    let table: Vec<f32> = (0..=255).map(f).collect();
    let mut out = Planes::zeros(3, rgb.height() as usize, rgb.width() as usize);
    let area = out.area().max(1);
    out.data.par_chunks_mut(area).enumerate().for_each(|(k, plane)| {
        plane.iter_mut().zip(rgb.as_raw().as_chunks::<3>().0).for_each(|(to, v)| *to = table[usize::from(v[k])]);
    });
    out
}

/// Planes `[3, h, w]`, each value through `f`, clamped to [0, 1] and rounded to bytes; not finite is an error.
pub fn rgb(planes: &Planes, f: impl Fn(f32) -> f32) -> Result<RgbImage> {
    if planes.data.iter().any(|v| !v.is_finite()) {
        return Err(Error::internal("the decoder's output is not finite"));
    }
    let mut out = RgbImage::new(planes.width as u32, planes.height as u32);
    for (k, plane) in planes.data.chunks_exact(planes.area()).take(3).enumerate() {
        let bytes = out.iter_mut().skip(k).step_by(3);
        bytes.zip(plane).for_each(|(to, v)| *to = (f(*v).clamp(0.0, 1.0) * 255.0).round() as u8);
    }
    Ok(out)
}

/// `[c, 2h, 2w]` to `[4c, h, w]`, channels ordered as PyTorch's `pixel_unshuffle`.
pub fn unshuffle2(x: &Planes) -> Planes {
    let mut out = Planes::zeros(4 * x.channels, x.height / 2, x.width / 2);
    for k in 0..out.channels {
        let (c, dy, dx) = (k / 4, k / 2 % 2, k % 2);
        for (i, to) in out.plane_mut(k).iter_mut().enumerate() {
            let (row, column) = (i / (x.width / 2), i % (x.width / 2));
            *to = x.at(c, 2 * row + dy, 2 * column + dx);
        }
    }
    out
}

/// `[4c, h, w]` to `[c, 2h, 2w]`, channels ordered as PyTorch's `pixel_shuffle`.
pub fn shuffle2(x: &Planes) -> Planes {
    let mut out = Planes::zeros(x.channels / 4, 2 * x.height, 2 * x.width);
    let width = out.width;
    for c in 0..out.channels {
        for (i, to) in out.plane_mut(c).iter_mut().enumerate() {
            let (row, column) = (i / width, i % width);
            *to = x.at(4 * c + 2 * (row % 2) + column % 2, row / 2, column / 2);
        }
    }
    out
}
