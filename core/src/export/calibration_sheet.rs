//! The tiles a calibration judged worst: faults that passed, the lowest first, and real tiles that were flagged, the highest first. In:
//! a calibration, the slides tested on with their pictures. Out: a picture.

use image::{Rgb, RgbImage, imageops};

use super::picture::{INK, PAPER};
use super::sheet::WARNING;
use super::text::{self, fitted};
use crate::calibrate::{Fault, REAL, RENDERED, SIZE_PX, Sample, caught};
use crate::flags::Calibration;
use crate::semantic_map::palette;

/// Pictures a part.
const SHOWN: usize = 12;
/// Pictures a row.
const ACROSS: usize = 6;
const GAP_PX: u32 = 8;
const HEAD_PX: u32 = 44;
const CAPTION_PX: u32 = 30;

/// A tile that may be shown.
pub struct Shown<'a> {
    /// What was measured.
    pub sample: &'a Sample,
    /// Which slide, counted from 0.
    pub slide: usize,
}

/// Gives a tile's pixels and labels, or none where they are gone.
pub type Pictures<'a> = dyn Fn(&Shown<'_>) -> Option<(RgbImage, Vec<u8>)> + 'a;

/// Draws the sheet; `picture` gives a tile's pixels and labels, or none where they are gone.
pub fn calibration_sheet(c: &Calibration, tiles: &[Shown<'_>], picture: &Pictures<'_>) -> RgbImage {
    let faults = Fault::ALL.map(Fault::name);
    let mut missed: Vec<(f32, &Shown<'_>)> = Vec::new();
    let mut wrong: Vec<(f32, &Shown<'_>)> = Vec::new();
    for tile in tiles {
        let (rank, _) = caught(c, tile.sample);
        if faults.contains(&tile.sample.kind.as_str()) && rank < c.tau {
            missed.push((rank, tile));
        } else if [REAL, RENDERED].contains(&tile.sample.kind.as_str()) && rank >= c.tau {
            wrong.push((rank, tile));
        }
    }
    missed.sort_by(|a, b| a.0.total_cmp(&b.0));
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0));
    let parts = [
        (format!("planted faults that were not flagged: {} (lowest ranks first; threshold {:.3})", missed.len(), c.tau), missed),
        (format!("real tiles that were flagged: {} (highest ranks first)", wrong.len()), wrong),
    ];
    let (w, h) = (2 * SIZE_PX / 2 + GAP_PX, SIZE_PX / 2 + CAPTION_PX);
    let rows = |n: usize| n.min(SHOWN).div_ceil(ACROSS) as u32;
    let height = parts.iter().map(|(_, p)| HEAD_PX + rows(p.len()).max(1) * h).sum::<u32>() + GAP_PX;
    let mut out = RgbImage::from_pixel(GAP_PX + ACROSS as u32 * (w + GAP_PX), height, Rgb(PAPER));
    let mut top = 0;
    for (title, part) in &parts {
        text::draw(&mut out, GAP_PX, top + 14, 2, if top == 0 { WARNING } else { INK }, title);
        for (i, (rank, tile)) in part.iter().take(SHOWN).enumerate() {
            let (x, y) = (GAP_PX + (i % ACROSS) as u32 * (w + GAP_PX), top + HEAD_PX + (i / ACROSS) as u32 * h);
            if let Some((rgb, labels)) = picture(tile) {
                one(&mut out, (x, y), &rgb, &labels);
            }
            let (_, by) = caught(c, tile.sample);
            let caption = format!("{} slide {}", tile.sample.file(), tile.slide + 1);
            text::draw(&mut out, x, y + SIZE_PX / 2 + 4, 1, INK, &fitted(&caption, 1, w));
            text::draw(
                &mut out,
                x,
                y + SIZE_PX / 2 + 16,
                1,
                INK,
                &fitted(&if rank.is_finite() { format!("{by} {rank:.2}") } else { format!("{by}, by itself") }, 1, w),
            );
        }
        top += HEAD_PX + rows(part.len()).max(1) * h;
    }
    out
}

/// A tile and its map side by side, half as large.
fn one(out: &mut RgbImage, (x, y): (u32, u32), rgb: &RgbImage, labels: &[u8]) {
    let half = SIZE_PX / 2;
    let small = imageops::resize(rgb, half, half, imageops::FilterType::Triangle);
    imageops::replace(out, &small, i64::from(x), i64::from(y));
    let colors = palette(100);
    let map = RgbImage::from_fn(half, half, |c, r| {
        let label = labels.get((r * 2 * rgb.width() + c * 2) as usize).copied().unwrap_or(0);
        Rgb(if label == 0 { [232; 3] } else { colors[(usize::from(label) - 1) % colors.len()] })
    });
    imageops::replace(out, &map, i64::from(x + half), i64::from(y));
}
