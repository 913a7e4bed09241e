//! Pen, a fold and a blurred region drawn on synthetic tissue: nuclei and fibres on a pink ground, in two tissues, with glass around.

use image::{Rgb, RgbImage, imageops};

use super::{Artefact, Glass, Grid, Roi, Survey, Wanted, survey, thumbnail};
use crate::cache::Cache;
use crate::rng::Stream;
use crate::slide::{Mpp, Region, Scale, SlideInfo};
use crate::{Job, Result, TileSource};

const GLASS: f32 = 240.0;
const HAEMATOXYLIN: [f32; 3] = [0.65, 0.70, 0.29];
const EOSIN: [f32; 3] = [0.10, 0.95, 0.30];
const WIDTH: u32 = 1536;
const HEIGHT: u32 = 1152;

/// A picture at 0.5 um/px that is read with the means of whole pixels.
struct Painted(SlideInfo, RgbImage);

impl TileSource for Painted {
    fn info(&self) -> &SlideInfo {
        &self.0
    }

    fn read(&self, region: &Region) -> Result<RgbImage> {
        let step = region.downsample.round().max(1.0) as i64;
        Ok(RgbImage::from_fn(region.width_px, region.height_px, |x, y| {
            let (left, top) = (region.x + i64::from(x) * step, region.y + i64::from(y) * step);
            let mut sum = [0u32; 3];
            for i in 0..step * step {
                let inside = |v: i64, end: u32| u32::try_from(v).ok().filter(|v| *v < end);
                let at = inside(left + i % step, WIDTH).zip(inside(top + i / step, HEIGHT));
                let p = at.map_or([255; 3], |(x, y)| self.1.get_pixel(x, y).0);
                (0..3).for_each(|c| sum[c] += u32::from(p[c]));
            }
            Rgb(sum.map(|s| (s / (step * step) as u32) as u8))
        }))
    }
}

fn in_tissue(x: u32, y: u32) -> bool {
    (64..WIDTH - 64).contains(&x) && (64..HEIGHT - 64).contains(&y)
}

/// Amounts of both stains: nuclei denser on the left, fibres on the right.
fn amounts() -> Vec<[f32; 2]> {
    let mut s = Stream::new(5, 0, 0);
    let mut out: Vec<[f32; 2]> = (0..WIDTH * HEIGHT)
        .map(|i| {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let fibres = ((x + 2 * y) as f32 * 0.35).sin() * 0.12;
            let grain = 0.1 * (s.uniform() as f32 - 0.5);
            if in_tissue(x, y) { [0.12 + grain.abs(), 0.35 + grain + if x > WIDTH / 2 { fibres } else { 0.0 }] } else { [0.0; 2] }
        })
        .collect();
    for _ in 0..9000 {
        let (cx, cy) = (s.below(WIDTH as usize) as i64, s.below(HEIGHT as usize) as i64);
        if cx > i64::from(WIDTH) / 2 && s.uniform() < 0.7 {
            continue;
        }
        for (dx, dy) in (0..144).map(|i| (i % 12 - 6, i / 12 - 6)).filter(|(x, y)| x * x + y * y < 30) {
            let (x, y) = ((cx + dx).clamp(0, i64::from(WIDTH) - 1) as u32, (cy + dy).clamp(0, i64::from(HEIGHT) - 1) as u32);
            if in_tissue(x, y) {
                out[(y * WIDTH + x) as usize][0] = 0.9 + 0.3 * s.uniform() as f32;
            }
        }
    }
    out
}

/// The picture of stains, with other optical densities on top.
fn painted(amounts: &[[f32; 2]], on_top: impl Fn(u32, u32) -> [f32; 3]) -> Painted {
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let ([h, e], top) = (amounts[(y * WIDTH + x) as usize], on_top(x, y));
        Rgb([0, 1, 2].map(|c| (GLASS * (-(h * HAEMATOXYLIN[c] + e * EOSIN[c] + top[c])).exp()).round() as u8))
    });
    let info = SlideInfo {
        name: "painted".into(),
        id: String::new(),
        width_px: WIDTH.into(),
        height_px: HEIGHT.into(),
        downsamples: vec![1.0],
        mpp: Some(Mpp::new(0.5).unwrap()),
        origin_px: (0, 0),
    };
    Painted(info, picture)
}

fn look(source: &Painted, roi: Option<Roi<'_>>) -> Result<(Grid, Survey)> {
    let grid = Grid::new(&source.0, &Scale { mpp: 0.5, work_mpp: 0.5, downsample: 1.0 }, 16)?;
    let glass = Glass::of(&thumbnail(source)?);
    let found = survey(source, &grid, &glass, &Wanted { roi, island_cells: 12, artefacts: true }, &Cache::memory(), &Job::new())?;
    Ok((grid, found))
}

/// Shares of the cells inside `drawn` that have the code of `artefact`, and of the tissue outside, two cells away, that has any.
fn shares(source: &Painted, artefact: Artefact, drawn: impl Fn(i64, i64) -> bool) -> (f64, f64) {
    let (grid, found) = look(source, None).unwrap();
    let (mut inside, mut hit, mut outside, mut wrong) = (0, 0, 0, 0);
    for (i, code) in found.artefact.iter().enumerate() {
        let (x, y) = ((i % grid.columns * 16 + 8) as i64, (i / grid.columns * 16 + 8) as i64);
        let near = (-2..=2).any(|dy| (-2..=2).any(|dx| drawn(x + 16 * dx, y + 16 * dy)));
        if drawn(x, y) {
            inside += 1;
            hit += u32::from(*code == artefact.code());
            assert!(*code == 0 || !found.tissue[i], "no artefact is tissue");
        } else if !near && in_tissue(x as u32, y as u32) {
            outside += 1;
            wrong += u32::from(*code != 0);
        }
    }
    (f64::from(hit) / f64::from(inside), f64::from(wrong) / f64::from(outside))
}

fn stroke(x: i64, y: i64) -> bool {
    (x * 3 - y * 2 - 900).abs() < 260 && (160..1000).contains(&y)
}

fn disc(x: i64, y: i64) -> bool {
    (x - 768).pow(2) + (y - 560).pow(2) < 240 * 240
}

#[test]
fn sound_tissue_is_left_alone() {
    let (_, found) = look(&painted(&amounts(), |_, _| [0.0; 3]), None).unwrap();
    assert_eq!(found.artefact.iter().filter(|code| **code != 0).count(), 0);
}

#[test]
fn pen_of_any_colour_is_found_on_tissue() {
    let amounts = amounts();
    for (ink, name) in [([1.9, 1.0, 0.3], "blue"), ([1.8, 0.6, 1.2], "green"), ([1.9, 1.9, 1.8], "black"), ([0.05, 1.6, 2.2], "red")] {
        let source = painted(&amounts, |x, y| if stroke(x.into(), y.into()) { ink } else { [0.0; 3] });
        let (found, wrong) = shares(&source, Artefact::Pen, stroke);
        assert!(found > 0.9 && wrong == 0.0, "{name}: {found:.3} of the stroke, {wrong:.4} of the rest");
    }
}

#[test]
fn tissue_that_lies_double_is_a_fold() {
    let amounts = amounts();
    let layer = |x: u32, y: u32| amounts[(((y + 80) % HEIGHT) * WIDTH + (x + 60) % WIDTH) as usize];
    // a fold with a third layer, as most have where they turn
    let source = painted(&amounts, |x, y| {
        let (a, b) = (layer(x, y), layer(x + 200, y + 330));
        let [h, e] = [a[0] + b[0], a[1] + b[1]];
        if stroke(x.into(), y.into()) { [0, 1, 2].map(|c| h * HAEMATOXYLIN[c] + e * EOSIN[c]) } else { [0.0; 3] }
    });
    let (found, wrong) = shares(&source, Artefact::Fold, stroke);
    assert!(found > 0.8 && wrong == 0.0, "{found:.3} of the fold, {wrong:.4} of the rest");
}

#[test]
fn tissue_out_of_focus_is_found_and_named() {
    let mut source = painted(&amounts(), |_, _| [0.0; 3]);
    let soft = imageops::blur(&source.1, 8.0); // 4 um
    for (x, y, p) in source.1.enumerate_pixels_mut() {
        if disc(x.into(), y.into()) {
            *p = *soft.get_pixel(x, y);
        }
    }
    let (found, wrong) = shares(&source, Artefact::Blur, disc);
    assert!(found > 0.9 && wrong == 0.0, "{found:.3} of the disc, {wrong:.4} of the rest");
}

#[test]
fn a_region_of_artefacts_alone_says_how_to_go_on() {
    let source = painted(&amounts(), |x, y| if stroke(x.into(), y.into()) { [1.9, 1.0, 0.3] } else { [0.0; 3] });
    let inside = [vec![[680.0, 560.0], [720.0, 560.0], [720.0, 600.0], [680.0, 600.0]]];
    let e = look(&source, Some(Roi(&inside))).unwrap_err().to_string();
    assert!(e.contains("`artefacts`") && e.contains("pen"), "{e}");
}
