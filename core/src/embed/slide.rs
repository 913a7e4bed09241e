//! Windows of a slide into rows: only what one batch needs is held beside the rows.

use image::{RgbImage, imageops};

use super::{Embedding, Encoder};
use crate::slide::read_inside;
use crate::tiles::Window;
use crate::{Error, Job, Planes, Result, TileSource};

/// Windows handed to the encoder at once. Small: a cancel is noticed after a batch, and activations cost memory.
const BATCH: usize = 2;
/// Changes whenever the way from pixels to rows does, so that rows kept by an older version are not mixed with new ones.
pub const PREPROCESSING: &str = "windows 32+2, mirrored edges, mean with a quarter turn, f16: 1";

/// Embeds those of `windows` that `into` does not have yet. Each is seen twice, as it is and turned by 90 degrees, and the two are
/// averaged: what the encoder says about the direction of fibres cancels to first order (a feature that goes with the cosine of twice
/// their angle changes its sign), so that stroma is one tissue whichever way it runs. After each batch `seen` gets to know how many
/// of the windows are done.
pub fn embed_windows(
    source: &dyn TileSource,
    encoder: &dyn Encoder,
    windows: &[Window],
    into: &Embedding<'_>,
    job: &Job,
    seen: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let missing: Vec<Window> = windows.iter().filter(|w| !into.has(w)).copied().collect();
    let mut done = windows.len() - missing.len();
    job.advance(done as u64);
    for batch in missing.chunks(BATCH) {
        job.check()?;
        let pictures: Vec<RgbImage> = batch.iter().map(|w| read_inside(source, &w.region)).collect::<Result<_>>()?;
        job.check()?;
        let blocks = embed_unturned(encoder, &pictures, job)?;
        batch.iter().zip(&blocks).try_for_each(|(window, block)| into.put(window, block))?;
        done += batch.len();
        job.advance(batch.len() as u64);
        seen(done)?;
    }
    Ok(())
}

/// Features averaged over a picture and its turn by 90 degrees; square pictures of one size.
fn embed_unturned(encoder: &dyn Encoder, pictures: &[RgbImage], job: &Job) -> Result<Vec<Planes>> {
    let straight = checked(encoder, pictures)?;
    job.check()?;
    let turned: Vec<RgbImage> = pictures.iter().map(imageops::rotate90).collect();
    let turned = checked(encoder, &turned)?;
    Ok(straight.iter().zip(&turned).map(|(a, b)| average(a, b)).collect())
}

/// The mean of a block and one that was turned clockwise by 90 degrees.
fn average(a: &Planes, turned: &Planes) -> Planes {
    let mut out = a.clone();
    for k in 0..a.channels {
        for r in 0..a.height {
            for c in 0..a.width {
                // clockwise: what was at (r, c) is now at (c, height - 1 - r)
                let v = turned.at(k, c, a.height - 1 - r);
                let to = &mut out.data[(k * a.height + r) * a.width + c];
                *to = 0.5 * (*to + v);
            }
        }
    }
    out
}

/// Calls the encoder and holds it to its promise.
fn checked(encoder: &dyn Encoder, pictures: &[RgbImage]) -> Result<Vec<Planes>> {
    let blocks = encoder.embed(pictures)?;
    let stride = encoder.stride_px();
    let fits = |p: &RgbImage, b: &Planes| {
        (b.channels, b.height, b.width) == (encoder.channels(), (p.height() / stride) as usize, (p.width() / stride) as usize)
    };
    if blocks.len() != pictures.len() || !pictures.iter().zip(&blocks).all(|(p, b)| fits(p, b)) {
        return Err(Error::internal(format!("encoder {} returned blocks of another shape than promised", encoder.id())));
    }
    if blocks.iter().any(|b| b.data.iter().any(|v| !v.is_finite())) {
        return Err(Error::Device {
            device: encoder.id().into(),
            why: "the encoder returned numbers that are not finite".into(),
            hint: "try `device` cpu".into(),
        });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_block_is_turned_back() {
        let p = RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x / 16) as u8, (y / 16) as u8, 0]));
        let cells = |p: &RgbImage| {
            let at = |i: usize| p.get_pixel((i as u32 % 2) * 16, (i as u32 / 2) * 16).0;
            Planes::new(2, 2, 2, (0..8).map(|i| f32::from(at(i % 4)[i / 4])).collect()).unwrap()
        };
        assert_eq!(average(&cells(&p), &cells(&imageops::rotate90(&p))), cells(&p));
    }
}
