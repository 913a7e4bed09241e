//! Tissue that is held out. In: a map. Out: a chequer of squares of 512 px: tiles are taken from the black ones, what they are compared
//! with from the white ones, so that no pixel is on both sides.

use crate::condition::{Place, Places};
use crate::flags::{CELL_PX, cell_labels, features};
use crate::rng::Stream;
use crate::semantic_map::tissue::TILE_PX;
use crate::semantic_map::{Bank, SemanticMap, TissueTile};
use crate::{Encoder, Job, Result, TileSource, condition};

/// Side of a square of the chequer, in pixels of the working resolution.
const SQUARE_PX: f64 = 512.0;
/// Rows of the bank a class, as a map has.
const ROWS: usize = 48;
/// Least tissue of a tile.
const TISSUE: f64 = 0.6;
/// Most tiles that are embedded for the bank.
const READ: usize = 96;

/// Places of `size_px` that lie wholly in squares of one colour, in an order drawn by `seed`; those that overlap come after those that do not.
pub fn places(map: &SemanticMap, size_px: u32, black: bool, seed: u64) -> Result<Vec<Place>> {
    let of = Places::new(map, size_px)?;
    let px = map.work_mpp / map.mpp; // level-0 pixels a pixel
    let (square, tile) = (SQUARE_PX * px, f64::from(size_px) * px);
    let (width, height) = (map.columns as f64 * map.cell_px, map.rows as f64 * map.cell_px);
    let across = |n: f64| (n / square).ceil() as usize;
    let (mut apart, mut overlapping) = (Vec::new(), Vec::new());
    for (r, c) in (0..across(height)).flat_map(|r| (0..across(width)).map(move |c| (r, c))) {
        if ((r + c) % 2 == 1) != black {
            continue;
        }
        let steps = ((square / tile).floor() as usize).max(1) * 2 - 1;
        for (i, j) in (0..steps).flat_map(|i| (0..steps).map(move |j| (i, j))) {
            let (x, y) = (c as f64 * square + j as f64 * tile / 2.0, r as f64 * square + i as f64 * tile / 2.0);
            if x + tile > width || y + tile > height {
                continue;
            }
            let Ok(place) = of.at(x, y) else { continue };
            if place.tissue >= TISSUE {
                (if i % 2 == 0 && j % 2 == 0 { &mut apart } else { &mut overlapping }).push(place);
            }
        }
    }
    let mut dice = Stream::new(seed, u32::MAX - 2, u32::from(black));
    dice.shuffle(&mut apart);
    dice.shuffle(&mut overlapping);
    apart.extend(overlapping);
    Ok(apart)
}

/// The map as its white half knows it: bank and tissue anew from there, and crops that overlap none of the tiles held out, where a class has others.
pub fn without(
    map: &SemanticMap,
    held: &[Place],
    source: &dyn TileSource,
    encoder: &dyn Encoder,
    seed: u64,
    job: &Job,
) -> Result<SemanticMap> {
    let size_px = TILE_PX;
    let white = places(map, size_px, false, seed)?;
    let white = &white[..white.len().min(READ)];
    job.stage("measuring the tissue", white.len() as u64);
    let mut bank = Bank { channels: encoder.channels(), ..Bank::default() };
    let (mut rows, mut tissue): (Vec<Vec<Vec<f32>>>, _) = (vec![Vec::new(); 256], Vec::new());
    for place in white {
        job.check()?;
        let rgb = place.read(source, size_px)?;
        let labels = condition::window_labels(map, place, size_px as usize);
        tissue.push(TissueTile::at(place, &rgb));
        let f = features(encoder, &rgb)?;
        let k = CELL_PX / encoder.stride_px() as usize;
        for (i, label) in cell_labels(&labels, size_px as usize, CELL_PX).iter().enumerate() {
            let of = &mut rows[usize::from(label.class)];
            if label.class == 0 || label.purity < 1.0 || of.len() >= ROWS {
                continue;
            }
            let (r, c) = (i / (f.width / k) * k, i % (f.width / k) * k);
            let mean = |ch: usize| (0..k * k).map(|n| f.at(ch, r + n / k, c + n % k)).sum::<f32>() / (k * k) as f32;
            of.push((0..f.channels).map(mean).collect());
        }
        job.advance(1);
    }
    for (class, of) in (0..=u8::MAX).zip(rows) {
        for row in of {
            bank.classes.push(class);
            bank.rows.extend(row);
        }
    }
    let mut out = SemanticMap { bank, tissue, ..map.clone() };
    let clear = |c: &crate::semantic_map::Crop| {
        let side = f64::from(c.rgb.width()) * map.work_mpp / map.mpp;
        let apart = |p: &Place| {
            let (x, y) = (c.x as f64, c.y as f64);
            x + side <= p.x || x >= p.x + p.side_px || y + side <= p.y || y >= p.y + p.side_px
        };
        held.iter().all(apart)
    };
    for class in &map.classes {
        if out.crops.iter().any(|c| c.class == class.id && clear(c)) {
            out.crops.retain(|c| c.class != class.id || clear(c));
        }
    }
    Ok(out)
}
