//! Networks and a map without weights, for tests: tissue is a colour with blocks of noise, an embedding is a mean colour.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use image::{Rgb, RgbImage};

use crate::rng::Stream;
use crate::semantic_map::{Bank, Class, Crop, SemanticMap, TissueTile, tissue::cells};
use crate::{Denoiser, Encoder, Job, LatentCodec, Planes, Result, condition};

pub(crate) const PINK: [u8; 3] = [210, 135, 180];
pub(crate) const PURPLE: [u8; 3] = [120, 80, 160];

/// A square of tissue.
pub(crate) fn tissue(color: [u8; 3], side: u32, seed: u64) -> RgbImage {
    let mut s = Stream::new(seed, 77, 77);
    let blocks: Vec<[i32; 3]> = (0..(side / 8) * (side / 8)).map(|_| [0; 3].map(|_| s.below(25) as i32 - 12)).collect();
    RgbImage::from_fn(side, side, |x, y| {
        let shift = blocks[(y / 8 * (side / 8) + x / 8) as usize];
        let value = |c: usize, fine: i32| (i32::from(color[c]) + shift[c] + fine).clamp(1, 254) as u8;
        Rgb([0, 1, 2].map(|c| value(c, s.below(7) as i32 - 3)))
    })
}

/// 60 x 80 cells of 8 um: glass left, class 1 (pink) in the middle, class 2 (purple) right of a diagonal; 4 crops a class at the
/// lower edge, a bank of 64 rows a class, and measured tiles.
pub(crate) fn map() -> SemanticMap {
    let (rows, columns) = (60, 80);
    let label = |r: usize, c: usize| if c < 16 { 0 } else { 1 + u8::from(c > 30 + r / 2) };
    let class = |id: u8, name: &str| Class { id, name: name.into(), color: [id; 3], cells: 1, area_um2: 64.0, share: 0.5 };
    let crop = |i: i64| {
        let class = 1 + (i % 2) as u8;
        Crop { class, x: 300 * i, y: 1600, rgb: tissue(if class == 1 { PINK } else { PURPLE }, 128, i as u64) }
    };
    let mut bank = Bank { channels: condition::TEXTURE, ..Bank::default() };
    for (class, color) in [(1, PINK), (2, PURPLE)] {
        for i in 0..64 {
            bank.classes.push(class);
            bank.rows.extend(mean(&tissue(color, 32, 1000 + i), 0, 0, 32));
            bank.rows.extend([0.0; condition::TEXTURE - 3]);
        }
    }
    SemanticMap {
        rows,
        columns,
        labels: (0..rows * columns).map(|i| label(i / columns, i % columns)).collect(),
        cell_px: 32.0,
        mpp: 0.25,
        work_mpp: 0.5,
        classes: vec![class(1, "stroma"), class(2, "tumour")],
        crops: (0..8).map(crop).collect(),
        tree: None,
        history: None,
        atlas: None,
        bank,
        artefacts: None,
        tissue: LOOKED.clone(),
        thumbnail: RgbImage::new(8, 8),
        provenance: serde_json::json!({"slide": {"id_sha256": "abc", "name": "x"}, "parameters": {"out_dir": "/home/x"}}),
    }
}

/// Measured tiles all over the borders.
static LOOKED: LazyLock<Vec<TissueTile>> =
    LazyLock::new(|| [0, 5, 11].into_iter().flat_map(|row| (8..32).map(move |c| looked(row, c))).collect());

fn looked(row: u32, column: u32) -> TissueTile {
    let seed = 2000 + u64::from(100 * row + column);
    let (pink, purple) = (tissue(PINK, 256, seed), tissue(PURPLE, 256, seed + 10_000));
    let rgb = RgbImage::from_fn(256, 256, |x, y| match column + x / 16 {
        0..16 => Rgb([254; 3]),
        c => *(if c > 30 + (row + y / 16) / 2 { &purple } else { &pink }).get_pixel(x, y),
    });
    TissueTile { row, column, cells: cells(&rgb) }
}

fn mean(rgb: &RgbImage, x: u32, y: u32, side: u32) -> [f32; 3] {
    let mut sum = [0f32; 3];
    for i in 0..side * side {
        let p = rgb.get_pixel(x + i % side, y + i / side);
        sum.iter_mut().zip(p.0).for_each(|(s, v)| *s += f32::from(v));
    }
    sum.map(|s| s / (side * side) as f32)
}

/// 8 x 8 means of the colours in the first 3 of 16 channels, and back.
pub(crate) struct Pooling;

impl LatentCodec for Pooling {
    fn sha256(&self) -> &str {
        "pooling"
    }
    fn channels(&self) -> usize {
        16
    }
    fn factor_px(&self) -> u32 {
        8
    }
    fn encode(&self, pictures: &[RgbImage]) -> Result<Vec<Planes>> {
        let one = |p: &RgbImage| {
            let (w, h) = (p.width() as usize / 8, p.height() as usize / 8);
            let mut z = Planes::zeros(16, h, w);
            for i in 0..w * h {
                let m = mean(p, (i % w * 8) as u32, (i / w * 8) as u32, 8);
                (0..3).for_each(|c| z.plane_mut(c)[i] = m[c] / 127.5 - 1.0);
            }
            z
        };
        Ok(pictures.iter().map(one).collect())
    }
    fn decode(&self, latents: &[Planes]) -> Result<Vec<RgbImage>> {
        let one = |z: &Planes| {
            let value =
                |c: usize, x: u32, y: u32| ((z.at(c, y as usize / 8, x as usize / 8) + 1.0) * 127.5).round().clamp(1.0, 254.0) as u8;
            RgbImage::from_fn(8 * z.width as u32, 8 * z.height as u32, |x, y| Rgb([value(0, x, y), value(1, x, y), value(2, x, y)]))
        };
        Ok(latents.iter().map(one).collect())
    }
}

/// The exact flow to N(crop field A, 0.03^2), glass white.
#[derive(Default)]
pub(crate) struct Follow {
    pub(crate) calls: AtomicUsize,
    /// Cancels this job at this call.
    pub(crate) stop: Option<(usize, Arc<Job>)>,
    /// Returns NaN for batch elements that ask for a single class.
    pub(crate) broken_on_pure: bool,
}

impl Denoiser for Follow {
    fn sha256(&self) -> &str {
        "follow"
    }
    fn channels(&self) -> usize {
        16
    }
    fn condition_channels(&self) -> usize {
        condition::CHANNELS
    }
    fn velocity(&self, x: &[Planes], asked: &[Planes], t: f32, log2_mpp: f32) -> Result<Vec<Planes>> {
        assert_eq!(log2_mpp, 0.0);
        let n = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((at, job)) = &self.stop
            && *at == n
        {
            job.cancel();
        }
        let var = 0.03f32.powi(2);
        let total = (1.0 - t).powi(2) * var + t * t;
        let one = |(x, c): (&Planes, &Planes)| {
            let mut v = x.clone();
            let area = x.area();
            for (i, v) in v.data.iter_mut().enumerate() {
                let mean = c.data[i] + 0.9 * c.plane(condition::MASKS + 3)[i % area];
                let d = *v - (1.0 - t) * mean;
                *v = d * t / total - mean - d * (1.0 - t) * var / total;
            }
            if self.broken_on_pure && !c.plane(condition::MASKS + 4).contains(&1.0) {
                v.data[5] = f32::NAN;
            }
            v
        };
        Ok(x.iter().zip(asked).map(one).collect())
    }
}

/// Mean colours of 16 px cells in the first 3 of 16 channels.
pub(crate) struct Colors;

impl Encoder for Colors {
    fn id(&self) -> &str {
        "colors"
    }
    fn sha256(&self) -> &str {
        "colors-sha"
    }
    fn channels(&self) -> usize {
        condition::TEXTURE
    }
    fn stride_px(&self) -> u32 {
        16
    }
    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        let one = |p: &RgbImage| {
            let (w, h) = (p.width() as usize / 16, p.height() as usize / 16);
            let mut f = Planes::zeros(condition::TEXTURE, h, w);
            for i in 0..w * h {
                let m = mean(p, (i % w * 16) as u32, (i / w * 16) as u32, 16);
                (0..3).for_each(|c| f.plane_mut(c)[i] = m[c]);
            }
            f
        };
        Ok(windows.iter().map(one).collect())
    }
}
