//! The flag raster. In: a picture or its labels. Out: embeddings and classes by cell. Units: cells of 32 px, features of the
//! encoder's stride.

use image::{RgbImage, imageops};

use crate::{Encoder, Error, Planes, Result, condition};

/// Side of a cell of the flag raster, in pixels.
pub const CELL_PX: usize = 32;

/// Side of the blocks of [`features`], in pixels.
const BLOCK_PX: u32 = 512;

/// What was asked for in a square of the raster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CellLabel {
    /// The most frequent class, 0 = background.
    pub class: u8,
    /// Its share of the pixels, 0..=1.
    pub purity: f32,
}

/// Dense features `[c, h/stride, w/stride]` of a picture. Its edges are mirrored by two strides first, so that cells there do
/// not see the network's padding, and the features of the picture and of its turn by 90 degrees are averaged, as
/// [`crate::embed`] does for the map's bank. Pictures larger than [`BLOCK_PX`] go block by block, each with what lies around it.
pub fn features(encoder: &dyn Encoder, picture: &RgbImage) -> Result<Planes> {
    let stride = encoder.stride_px().max(1);
    let (w, h) = picture.dimensions();
    let padded = mirrored(picture, 2 * stride);
    let block = BLOCK_PX.max(stride) / stride * stride;
    let mut out = Planes::zeros(encoder.channels(), (h / stride) as usize, (w / stride) as usize);
    for y in (0..h / stride * stride).step_by(block as usize) {
        for x in (0..w / stride * stride).step_by(block as usize) {
            let (bw, bh) = (block.min(w - x) / stride * stride, block.min(h - y) / stride * stride);
            let part = imageops::crop_imm(&padded, x, y, bw + 4 * stride, bh + 4 * stride).to_image();
            let f = one_block(encoder, part, 2)?;
            out.put(&f, (y / stride) as usize, (x / stride) as usize);
        }
    }
    Ok(out)
}

/// Features of a block without its `margin` cells on each side.
fn one_block(encoder: &dyn Encoder, padded: RgbImage, margin: usize) -> Result<Planes> {
    let turned = imageops::rotate90(&padded);
    // one window a call: a picture's features never depend on what else is embedded
    let a = one(encoder, padded)?;
    let b = one(encoder, turned)?;
    if (b.channels, b.height, b.width) != (a.channels, a.width, a.height) {
        return Err(Error::internal("the encoder's features of a picture and of its turn differ in shape"));
    }
    let mut mean = a;
    let (rows, columns) = (mean.height, mean.width);
    // clockwise: what was at (r, k) is now at (k, rows - 1 - r)
    for (i, v) in mean.data.iter_mut().enumerate() {
        let (c, r, k) = (i / (rows * columns), i / columns % rows, i % columns);
        *v = 0.5 * (*v + b.at(c, k, rows - 1 - r));
    }
    mean.cut(margin, margin, rows.saturating_sub(2 * margin), columns.saturating_sub(2 * margin))
}

/// Mean embedding of a crop without its margin.
pub fn texture(encoder: &dyn Encoder, crop: &RgbImage) -> Result<Vec<f32>> {
    let f = features(encoder, crop)?;
    let margin = (condition::MARGIN_PX / encoder.stride_px().max(1)) as usize;
    let inner = f.cut(margin, margin, f.height.saturating_sub(2 * margin), f.width.saturating_sub(2 * margin))?;
    let area = inner.area().max(1) as f32;
    Ok((0..inner.channels).map(|c| inner.plane(c).iter().sum::<f32>() / area).collect())
}

/// Labels of the squares of `side` pixels of a picture `width` pixels wide.
pub fn cell_labels(labels: &[u8], width: usize, side: usize) -> Vec<CellLabel> {
    let (rows, columns) = (labels.len() / width.max(1) / side, width / side);
    let one = |i: usize| {
        let mut counts = [0u32; 256];
        for r in 0..side {
            let from = (i / columns * side + r) * width + i % columns * side;
            labels[from..from + side].iter().for_each(|l| counts[usize::from(*l)] += 1);
        }
        let (class, n) = counts.iter().enumerate().rev().max_by_key(|(_, n)| **n).unwrap_or((0, &0));
        CellLabel { class: class as u8, purity: *n as f32 / (side * side) as f32 }
    };
    (0..rows * columns).map(one).collect()
}

/// Means of `k x k` features: the embedding of each larger cell, one row each.
pub(super) fn pooled(features: &Planes, k: usize) -> Vec<Vec<f32>> {
    let (rows, columns) = (features.height / k, features.width / k);
    let mean = |c: usize, i: usize| {
        let (r, q) = (i / columns * k, i % columns * k);
        (0..k * k).map(|n| features.at(c, r + n / k, q + n % k)).sum::<f32>() / (k * k) as f32
    };
    (0..rows * columns).map(|i| (0..features.channels).map(|c| mean(c, i)).collect()).collect()
}

fn one(encoder: &dyn Encoder, window: RgbImage) -> Result<Planes> {
    let mut out = encoder.embed(&[window])?;
    match (out.pop(), out.is_empty()) {
        (Some(p), true) if p.data.iter().all(|v| v.is_finite()) => Ok(p),
        (Some(_), true) => Err(Error::Device {
            device: encoder.id().into(),
            why: "the encoder returned numbers that are not finite".into(),
            hint: "try `device` cpu".into(),
        }),
        _ => Err(Error::internal("the encoder did not return one block of features for one window")),
    }
}

fn mirrored(picture: &RgbImage, margin: u32) -> RgbImage {
    let along = |n: u32| condition::mirror((n + 2 * margin) as usize, n as usize, (2 * n - margin) as usize);
    let (columns, rows) = (along(picture.width()), along(picture.height()));
    RgbImage::from_fn(columns.len() as u32, rows.len() as u32, |x, y| {
        *picture.get_pixel(columns[x as usize] as u32, rows[y as usize] as u32)
    })
}
