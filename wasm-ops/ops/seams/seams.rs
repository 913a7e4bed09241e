//! seams: looks for straight lines where windows of the networks meet, and for tissue that jumps along the boundaries of the label map.
//!
//! A line: the mean difference of grey values across it, over the whole length of the tile, against the mean of the lines beside it (12 px to
//! either side, the two nearest left out). Boundaries: the mean difference of neighbours with different labels, both tissue, against that of
//! neighbours with the same label within the tissue. Luma is (77 R + 150 G + 29 B) / 256. Whole numbers until the last division.
//!
//! On real tissue, with lines and boundaries laid where nothing is: the largest line ratio of 49 tiles of NCT-CRC is 1.63 (6 lines each), of
//! 24 of BreCaHAD 1.57 (14 lines); the boundary ratio is at most 1.28 and 1.17, of 45 tiles of osteosarcoma 1.58.
#![no_std]
#![allow(unused_attributes)] // natively this file is a module

use histoloom_op::{Host, NO_ROOM, Text, Tile, UNCHANGED, op};

op! {
    manifest: r#"{"name": "seams", "version": 1, "summary": "Flags visible seams between windows and along label boundaries", "params": [
        {"name": "line_ratio", "min": 1, "max": 100, "default": 2, "doc": "How many times larger than beside it the difference across a line may be"},
        {"name": "boundary_ratio", "min": 1, "max": 100, "default": 2, "doc": "How many times larger than elsewhere the difference across label boundaries may be"},
        {"name": "every", "integer": true, "min": 0, "max": 2048, "default": 0, "doc": "Looks for lines at multiples of so many pixels too; 0 = only where windows of this tile meet"}]}"#,
    run: run
}

/// Lines to either side that are compared with, and how many of the nearest are left out.
const REACH: usize = 12;
const NEAR: usize = 2;
/// Grey values by which the mean difference across a line must be larger than beside it: less is not seen.
const VISIBLE: f64 = 2.0;
/// Fewer pairs of pixels across boundaries say nothing.
const LEAST_PAIRS: u32 = 64;

/// Sums of differences.
struct Sums<'a> {
    /// By the column and row of the second of two neighbours.
    columns: &'a mut [u32],
    rows: &'a mut [u32],
    /// Sum and number over pairs with two labels, and with one.
    across: (u64, u32),
    within: (u64, u32),
}

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    looked(tile, host).unwrap_or(NO_ROOM)
}

fn looked(tile: &mut Tile<'_>, host: &mut impl Host) -> Option<i32> {
    let (w, h) = (tile.width, tile.height);
    let room = &mut tile.room;
    let (columns, rows) = (room.take(w)?, room.take(h)?);
    let (above, here) = (room.take::<i16>(w)?, room.take::<i16>(w)?);
    let mut sums = Sums { columns, rows, across: (0, 0), within: (0, 0) };
    for y in 0..h {
        luma(&tile.rgb[3 * w * y..][..3 * w], here);
        let labels = &tile.labels[w * y..][..w];
        let (d, across) = beside(here, labels, sums.columns, &mut sums.within);
        sums.across = (sums.across.0 + d, sums.across.1 + across);
        if y > 0 {
            let upper = &tile.labels[w * (y - 1)..][..w];
            let (all, two, pairs) = below(above, here, upper, labels, &mut sums.within);
            sums.rows[y] = all;
            sums.across = (sums.across.0 + two, sums.across.1 + pairs);
        }
        above.copy_from_slice(here);
    }
    lines(tile, &sums, host);
    boundaries(tile, &sums, host);
    Some(UNCHANGED)
}

fn luma(rgb: &[u8], out: &mut [i16]) {
    for (p, to) in rgb.chunks_exact(3).zip(out) {
        *to = ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2])) >> 8) as i16;
    }
}

/// Differences along a row: to each column, and by kind of pair. Sum and number of those with two labels come back.
fn beside(here: &[i16], labels: &[u8], columns: &mut [u32], within: &mut (u64, u32)) -> (u64, u32) {
    let (mut two, mut pairs, mut one, mut same) = (0u32, 0u32, 0u32, 0u32);
    let pixels = here[1..].iter().zip(here).zip(labels[1..].iter().zip(labels)).zip(columns[1..].iter_mut());
    for (((b, a), (lb, la)), column) in pixels {
        let d = (b - a).unsigned_abs() as u32;
        *column += d;
        let tissue = ((*la != 0) & (*lb != 0)) as u32;
        let differ = (la != lb) as u32 & tissue;
        two += d * differ;
        pairs += differ;
        one += d * (tissue - differ);
        same += tissue - differ;
    }
    *within = (within.0 + u64::from(one), within.1 + same);
    (u64::from(two), pairs)
}

/// The same between two rows; the sum of all differences comes first.
fn below(above: &[i16], here: &[i16], upper: &[u8], lower: &[u8], within: &mut (u64, u32)) -> (u32, u64, u32) {
    let (mut all, mut two, mut pairs, mut one, mut same) = (0u32, 0u32, 0u32, 0u32, 0u32);
    for ((b, a), (lb, la)) in here.iter().zip(above).zip(lower.iter().zip(upper)) {
        let d = (b - a).unsigned_abs() as u32;
        all += d;
        let tissue = ((*la != 0) & (*lb != 0)) as u32;
        let differ = (la != lb) as u32 & tissue;
        two += d * differ;
        pairs += differ;
        one += d * (tissue - differ);
        same += tissue - differ;
    }
    *within = (within.0 + u64::from(one), within.1 + same);
    (all, u64::from(two), pairs)
}

fn lines(tile: &Tile<'_>, sums: &Sums<'_>, host: &mut impl Host) {
    let every = tile.params[2] as usize;
    let (mut worst, mut seen, mut told) = (0f64, 0u32, 0u32);
    for (side, sums, n, across) in
        [(" px from the left", &*sums.columns, tile.width, tile.height), (" px from the top", &*sums.rows, tile.height, tile.width)]
    {
        let asked = |at: usize| (every > 0 && at % every == 0) || tile.seams.iter().any(|s| *s as usize == at);
        for at in (1..n).filter(|at| asked(*at)) {
            let ratio = ratio(sums, at, across);
            seen += 1;
            worst = if ratio > worst { ratio } else { worst };
            if ratio <= tile.params[0] || told == 16 {
                continue;
            }
            told += 1;
            let text = Text::new().words("A straight line can be seen ").number(at as u32).words(side);
            let text = text.words(": across it the tissue changes ").tenths(ratio as f32).words(" times as much as beside it");
            host.flag("SEAM", text.as_str(), None);
        }
    }
    host.metric("lines", f64::from(seen));
    host.metric("worst_line_ratio", worst);
}

/// The difference across a line of so many pixels against those beside it; 1 where there is nothing to compare, or to see.
fn ratio(sums: &[u32], at: usize, pixels: usize) -> f64 {
    let (mut sum, mut n) = (0u64, 0u32);
    for other in at.saturating_sub(REACH).max(1)..(at + REACH + 1).min(sums.len()) {
        if other + NEAR < at || other > at + NEAR {
            sum += u64::from(sums[other]);
            n += 1;
        }
    }
    let (here, beside) = (f64::from(sums[at]), sum as f64 / f64::from(n.max(1)));
    if beside > 0.0 && (here < beside || here - beside >= VISIBLE * pixels as f64) { here / beside } else { 1.0 }
}

fn boundaries(tile: &Tile<'_>, sums: &Sums<'_>, host: &mut impl Host) {
    let ((two, pairs), (one, same)) = (sums.across, sums.within);
    if pairs < LEAST_PAIRS || one == 0 {
        return;
    }
    let ratio = two as f64 * f64::from(same) / (one as f64 * f64::from(pairs));
    host.metric("boundary_ratio", ratio);
    if ratio > tile.params[1] {
        let text = Text::new().words("The regions look pasted together: across their boundaries the tissue changes ");
        host.flag("BOUNDARY_JUMP", text.tenths(ratio as f32).words(" times as much as within them").as_str(), None);
    }
}
