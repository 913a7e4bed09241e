//! Windows of a slide into rows. The next windows are read while the encoder is busy, where the host reads more than one region at once; only
//! a few are held beside the rows.

use image::{RgbImage, imageops};

use super::{Embedding, Encoder};
use crate::ahead;
use crate::slide::read_inside;
use crate::tiles::Window;
use crate::{Error, Job, Planes, Result, TileSource};

/// Most windows handed to the encoder at once, each in both orientations, of which each thread gets one: a cancel is noticed after a batch, and
/// activations cost memory. A GPU gets as many.
const BATCH: usize = 16;
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
    let threads = rayon::current_num_threads();
    let at_once = threads.clamp(2, BATCH);
    let read = |i: usize| {
        job.check()?;
        let picture = read_inside(source, &missing[i].region)?;
        let turned = imageops::rotate90(&picture);
        Ok([picture, turned])
    };
    let mut pictures: Vec<RgbImage> = Vec::with_capacity(2 * at_once);
    ahead::in_order(threads.min(source.concurrent_reads()), missing.len(), read, |last, pair| {
        pictures.extend(pair);
        if pictures.len() < 2 * at_once && last + 1 < missing.len() {
            return Ok(());
        }
        job.check()?;
        let batch = &missing[last + 1 - pictures.len() / 2..=last];
        let blocks = checked(encoder, &pictures)?;
        let pairs = blocks.as_chunks().0.iter().map(|[straight, turned]| average(straight, turned));
        batch.iter().zip(pairs).try_for_each(|(window, block)| into.put(window, &block))?;
        pictures.clear();
        done += batch.len();
        job.advance(batch.len() as u64);
        seen(done)
    })
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::cache::Cache;
    use crate::slide::{Region, SlideInfo};
    use crate::tiles::Grid;

    #[test]
    fn a_turned_block_is_turned_back() {
        let p = RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x / 16) as u8, (y / 16) as u8, 0]));
        let cells = |p: &RgbImage| {
            let at = |i: usize| p.get_pixel((i as u32 % 2) * 16, (i as u32 / 2) * 16).0;
            Planes::new(2, 2, 2, (0..8).map(|i| f32::from(at(i % 4)[i / 4])).collect()).unwrap()
        };
        assert_eq!(average(&cells(&p), &cells(&imageops::rotate90(&p))), cells(&p));
    }

    /// A white slide and an encoder that waits until the window after its batch was read.
    struct Both {
        info: SlideInfo,
        reads: AtomicUsize,
        needed: AtomicUsize,
    }

    impl TileSource for Both {
        fn info(&self) -> &SlideInfo {
            &self.info
        }

        fn read(&self, r: &Region) -> Result<RgbImage> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            Ok(RgbImage::from_pixel(r.width_px, r.height_px, image::Rgb([255; 3])))
        }

        fn concurrent_reads(&self) -> usize {
            2
        }
    }

    impl Encoder for Both {
        fn id(&self) -> &str {
            "waiting"
        }
        fn sha256(&self) -> &str {
            "00"
        }
        fn channels(&self) -> usize {
            1
        }
        fn stride_px(&self) -> u32 {
            16
        }
        fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
            let (since, needed) = (Instant::now(), self.needed.load(Ordering::SeqCst));
            while self.reads.load(Ordering::SeqCst) < needed {
                if since.elapsed() > Duration::from_secs(20) {
                    return Err(Error::internal("nothing was read meanwhile"));
                }
                std::thread::yield_now();
            }
            Ok(windows.iter().map(|w| Planes::zeros(1, (w.height() / 16) as usize, (w.width() / 16) as usize)).collect())
        }
    }

    #[test]
    fn windows_are_read_while_the_encoder_is_busy() {
        let (name, id) = (String::new(), String::new());
        let info = SlideInfo { name, id, width_px: 2048, height_px: 1024, downsamples: vec![1.0], mpp: None, origin_px: (0, 0) };
        let grid = Grid { rows: 64, columns: 128, stride_px: 16, downsample: 1.0 };
        let (windows, cache, job) = (grid.windows(&vec![true; grid.cells()]), Cache::memory(), Job::new());
        let both = Both { info, reads: AtomicUsize::new(0), needed: AtomicUsize::new(3) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let rows = Embedding::new(grid, 1, &cache);
        let mut told = Vec::new();
        let mut seen = |done: usize| {
            told.push(done);
            both.needed.store(windows.len().min(done + 3), Ordering::SeqCst);
            Ok(())
        };
        pool.install(|| embed_windows(&both, &both, &windows, &rows, &job, &mut seen)).unwrap();
        assert_eq!((told, windows.len()), (vec![2, 4, 6, 8], 8));
        assert!(windows.iter().all(|w| rows.has(w)) && both.reads.load(Ordering::SeqCst) == 8);
    }
}
