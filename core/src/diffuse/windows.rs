//! Canvases larger than the networks were trained on. In: a network and a canvas of any size. Out: what the network says of
//! overlapping windows, blended: velocities by weights that fall off towards a window's edge (MultiDiffusion, arXiv 2302.08113),
//! pictures by cutting a margin away, which is exact where the autoencoder sees no further than that.
//!
//! Memory: the canvas itself and a few windows, whatever the canvas' size.

use std::any::Any;

use image::{RgbImage, imageops};

use super::{Denoiser, LatentCodec, Played, Tape};
use crate::{Error, Job, Planes, Result};

/// Side of a denoiser's window in latent cells: the size it was trained on last (256 px).
pub const SIDE: usize = 32;
/// Least overlap of two windows in latent cells; the weights rise over it.
const OVERLAP: usize = 8;
/// Windows must begin on multiples of what the UNet halves.
const GRAIN: usize = 4;
/// Windows handed to the network at once.
const BATCH: usize = 4;
/// Side of a window for the autoencoder in latent cells, and the margin that is cut away: more than the reach of its convolutions.
const CODEC: (usize, usize) = (64, 12);

/// Corners along one axis: from 0 to `n - side`, evenly spread, `overlap` at least shared by neighbours.
fn corners(n: usize, side: usize, overlap: usize) -> Vec<usize> {
    if n <= side {
        return vec![0];
    }
    let steps = (n - side).div_ceil(side - overlap);
    (0..=steps).map(|i| if i == steps { n - side } else { (n - side) * i / steps / GRAIN * GRAIN }).collect()
}

/// Weight of each position of a window along one axis.
fn ramp(side: usize) -> Vec<f32> {
    (0..side).map(|i| (i.min(side - 1 - i) as f32 + 0.5).min(OVERLAP as f32) / OVERLAP as f32).collect()
}

/// Where windows meet on a canvas of `n` latent cells, in pixels along either axis: edges of the denoiser's windows and the cuts between
/// those of the autoencoder. None on a canvas of one window.
pub fn seams(n: usize, factor_px: usize) -> Vec<u32> {
    let (side, margin) = CODEC;
    let edges = corners(n, SIDE, OVERLAP).into_iter().flat_map(|c| [c, c + SIDE]);
    let cuts = corners(n, side, 2 * margin).into_iter().map(|c| if c == 0 { 0 } else { c + margin });
    let mut all: Vec<u32> = edges.chain(cuts).filter(|e| (1..n).contains(e)).map(|e| (e * factor_px) as u32).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A denoiser that sees no more than [`SIDE`] latent cells at once.
pub struct Windowed<'a> {
    /// The network.
    pub inner: &'a dyn Denoiser,
    /// Asked before every few windows whether to stop.
    pub job: &'a Job,
}

impl Windowed<'_> {
    /// The blended velocity of one canvas.
    fn canvas(&self, x: &Planes, condition: &Planes, t: f32, log2_mpp: f32) -> Result<Planes> {
        let (h, w) = (x.height.min(SIDE), x.width.min(SIDE));
        let all: Vec<(usize, usize)> = corners(x.height, SIDE, OVERLAP)
            .into_iter()
            .flat_map(|r| corners(x.width, SIDE, OVERLAP).into_iter().map(move |c| (r, c)))
            .collect();
        let (rows, columns) = (ramp(h), ramp(w));
        let mut sum = Planes::zeros(x.channels, x.height, x.width);
        let mut total = Planes::zeros(1, x.height, x.width);
        for some in all.chunks(BATCH) {
            self.job.check()?;
            let cut = |p: &Planes| some.iter().map(|(r, c)| p.cut(*r, *c, h, w)).collect::<Result<Vec<_>>>();
            let v = self.inner.velocity(&cut(x)?, &cut(condition)?, t, log2_mpp)?;
            if v.len() != some.len() || v.iter().any(|v| (v.channels, v.height, v.width) != (x.channels, h, w)) {
                return Err(Error::internal("the denoiser returned windows of another shape than it was given"));
            }
            for ((r, c), v) in some.iter().zip(&v) {
                add(&mut sum, v, (*r, *c), &rows, &columns);
                let ones = Planes { channels: 1, height: h, width: w, data: vec![1.0; h * w] };
                add(&mut total, &ones, (*r, *c), &rows, &columns);
            }
        }
        let area = total.area();
        sum.data.iter_mut().enumerate().for_each(|(i, v)| *v /= total.data[i % area]);
        Ok(sum)
    }
}

/// Adds a weighted window to a canvas.
fn add(to: &mut Planes, window: &Planes, (row, column): (usize, usize), rows: &[f32], columns: &[f32]) {
    for c in 0..window.channels {
        for (r, wr) in rows.iter().enumerate() {
            let from = (c * window.height + r) * window.width;
            let at = (c * to.height + row + r) * to.width + column;
            let line = to.data[at..at + window.width].iter_mut().zip(&window.data[from..from + window.width]);
            line.zip(columns).for_each(|((t, v), wc)| *t += wr * wc * v);
        }
    }
}

impl Denoiser for Windowed<'_> {
    fn sha256(&self) -> &str {
        self.inner.sha256()
    }

    fn channels(&self) -> usize {
        self.inner.channels()
    }

    fn condition_channels(&self) -> usize {
        self.inner.condition_channels()
    }

    fn velocity(&self, x: &[Planes], condition: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>> {
        if x.iter().all(|x| x.height <= SIDE && x.width <= SIDE) {
            return self.inner.velocity(x, condition, t, log2_mpp);
        }
        x.iter().zip(condition).map(|(x, c)| self.canvas(x, c, t, log2_mpp)).collect()
    }

    /// What is on a tape is one window.
    fn play(&self, tape: &Tape, refiner: Option<&dyn Denoiser>, codec: &dyn LatentCodec) -> Option<Result<Played>> {
        self.inner.play(tape, refiner, codec)
    }

    fn own(&self) -> Option<&dyn Any> {
        self.inner.own()
    }
}

/// The core of a window that begins at `corner`: its first cell and length within the window, given where the next one takes over.
fn core(corner: usize, n: usize, side: usize, margin: usize) -> (usize, usize) {
    let from = if corner == 0 { 0 } else { margin };
    let to = if corner + side >= n { side.min(n - corner) } else { side - margin };
    (from, to - from)
}

/// Decodes latents of any size.
pub fn decode(codec: &dyn LatentCodec, z: &Planes, job: &Job) -> Result<RgbImage> {
    let ((side, margin), f) = (CODEC, codec.factor_px() as usize);
    let (h, w) = (z.height.min(side), z.width.min(side));
    let mut out = RgbImage::new((z.width * f) as u32, (z.height * f) as u32);
    for r in corners(z.height, side, 2 * margin) {
        for c in corners(z.width, side, 2 * margin) {
            job.check()?;
            let window = codec.decode(&[z.cut(r, c, h, w)?])?.pop().ok_or_else(|| Error::internal("the codec decoded nothing"))?;
            if window.dimensions() != ((w * f) as u32, (h * f) as u32) {
                let (a, b) = window.dimensions();
                return Err(Error::internal(format!("the codec decoded {a} x {b} pixels from {w} x {h} latents")));
            }
            let ((y, rows), (x, columns)) = (core(r, z.height, side, margin), core(c, z.width, side, margin));
            let part = imageops::crop_imm(&window, (x * f) as u32, (y * f) as u32, (columns * f) as u32, (rows * f) as u32);
            imageops::replace(&mut out, &*part, ((c + x) * f) as i64, ((r + y) * f) as i64);
        }
    }
    Ok(out)
}

/// Encodes a picture of any size whose sides are multiples of the factor.
pub fn encode(codec: &dyn LatentCodec, picture: &RgbImage, job: &Job) -> Result<Planes> {
    let ((side, margin), f) = (CODEC, codec.factor_px() as usize);
    let (width, height) = (picture.width() as usize / f, picture.height() as usize / f);
    let (h, w) = (height.min(side), width.min(side));
    let mut out = Planes::zeros(codec.channels(), height, width);
    for r in corners(height, side, 2 * margin) {
        for c in corners(width, side, 2 * margin) {
            job.check()?;
            let part = imageops::crop_imm(picture, (c * f) as u32, (r * f) as u32, (w * f) as u32, (h * f) as u32).to_image();
            let window = codec.encode(&[part])?.pop().ok_or_else(|| Error::internal("the codec encoded nothing"))?;
            let ((y, rows), (x, columns)) = (core(r, height, side, margin), core(c, width, side, margin));
            let part = window.cut(y, x, rows, columns)?;
            out.put(&part, r + y, c + x);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::fakes::Pooling;
    use crate::{condition, rng};

    /// v = x + the mean of the window: depends on what the window holds.
    struct Mean;

    impl Denoiser for Mean {
        fn sha256(&self) -> &str {
            "mean"
        }
        fn channels(&self) -> usize {
            2
        }
        fn condition_channels(&self) -> usize {
            condition::CHANNELS
        }
        fn velocity(&self, x: &[Planes], _: &[Planes], _: f32, _: f32) -> Result<Vec<Planes>> {
            assert!(x.len() <= BATCH && x.iter().all(|x| x.height <= SIDE && x.width <= SIDE), "memory is bounded by the window");
            let one = |x: &Planes| {
                let mean = x.data.iter().sum::<f32>() / x.data.len() as f32;
                Planes { data: x.data.iter().map(|v| v + mean).collect(), ..*x }
            };
            Ok(x.iter().map(one).collect())
        }
    }

    #[test]
    fn windows_cover_everything_overlap_and_begin_where_the_network_can() {
        for n in (4..300).step_by(4) {
            let c = corners(n, SIDE, OVERLAP);
            assert_eq!((c[0], *c.last().unwrap()), (0, n.saturating_sub(SIDE)));
            assert!(c.windows(2).all(|w| w[0] < w[1] && w[0] + SIDE - w[1] >= OVERLAP), "{n}: {c:?}");
            assert!(c.iter().all(|c| c % GRAIN == 0));
        }
    }

    #[test]
    fn a_canvas_has_no_step_where_windows_meet_and_a_small_one_is_left_alone() {
        let (job, h, w) = (Job::new(), 72, 104);
        let slope = |i: usize| (i % w) as f32 / w as f32;
        let x = Planes::new(2, h, w, (0..2 * h * w).map(slope).collect()).unwrap();
        let c = condition::unconditional(h, w);
        let v = Windowed { inner: &Mean, job: &job }.velocity(std::slice::from_ref(&x), &[c], 0.5, 0.0).unwrap();
        let added: Vec<f32> = v[0].data.iter().zip(&x.data).map(|(v, x)| v - x).collect();
        let steps = added.windows(2).enumerate().filter(|(i, _)| (i + 1) % w != 0).map(|(_, p)| (p[1] - p[0]).abs());
        assert!(steps.fold(0.0f32, f32::max) < 0.05, "window means differ by 0.2; they are blended over the overlap");
        let small = Planes::new(2, 32, 32, rng::noise(1, 0, 0, 2048)).unwrap();
        let c = condition::unconditional(32, 32);
        let v = Windowed { inner: &Mean, job: &job }.velocity(std::slice::from_ref(&small), std::slice::from_ref(&c), 0.5, 0.0).unwrap();
        assert_eq!(v, Mean.velocity(&[small], &[c], 0.5, 0.0).unwrap());
        job.cancel();
        let c = condition::unconditional(h, w);
        assert!(matches!(Windowed { inner: &Mean, job: &job }.velocity(&[x], &[c], 0.5, 0.0), Err(Error::Cancelled)));
    }

    #[test]
    fn pictures_of_any_size_go_through_the_autoencoder_as_if_at_once() {
        let job = Job::new();
        let rgb = RgbImage::from_fn(1600, 720, |x, y| image::Rgb([(x / 8 % 256) as u8, (y / 8 % 256) as u8, 40]));
        let z = encode(&Pooling, &rgb, &job).unwrap();
        assert_eq!(z, Pooling.encode(std::slice::from_ref(&rgb)).unwrap()[0]);
        assert_eq!(decode(&Pooling, &z, &job).unwrap(), Pooling.decode(&[z]).unwrap()[0]);
    }
}
