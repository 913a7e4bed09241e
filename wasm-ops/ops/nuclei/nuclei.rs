//! nuclei: counts the nuclei of each class and holds their density against that of the real crops the tile was made from.
//!
//! The count is `histoloom_core::ops::count_nuclei`, written for speed: peaks of haematoxylin over 3 um against 10 um, one within 2 um. Two
//! densities differ when the ratio is beyond `ratio` and the counts say that this is no accident: with both as Poisson counts, the
//! number on the tile, given the sum of the two, is binomial, and lies `sigmas` standard deviations from what the areas ask for
//! (Przyborowski & Wilenski, Biometrika 1940;31:313-23, doi:10.1093/biomet/31.3-4.313). Nuclei are not spread like raindrops, so 3 is not many.
#![no_std]
#![allow(unused_attributes)] // natively this file is a module

use histoloom_op::math::{OD, sqrt};
use histoloom_op::{Class, Host, NO_ROOM, Text, Tile, UNCHANGED, op, quad};

op! {
    manifest: r#"{"name": "nuclei", "version": 1, "summary": "Counts nuclei and flags classes with far more or fewer than their real crops", "params": [
        {"name": "ratio", "min": 1, "max": 100, "default": 2, "doc": "How many times more or fewer nuclei per area a class may have than its crops"},
        {"name": "sigmas", "min": 0, "max": 100, "default": 4, "doc": "How many standard deviations the counts must lie apart before that is flagged"},
        {"name": "contrast", "min": 1, "max": 2000, "default": 100, "doc": "By how many thousandths of optical density a nucleus stands out; the crops are counted with 100"}]}"#,
    run: run
}

/// Rows of the inverse stain matrix (Ruifrok & Johnston 2001) that give haematoxylin, times 1024.
const HAEMATOXYLIN: [i32; 3] = [1525, -167, 525];

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    counted(tile, host).unwrap_or(NO_ROOM)
}

fn counted(tile: &mut Tile<'_>, host: &mut impl Host) -> Option<i32> {
    let (w, h) = (tile.width, tile.height);
    if !(tile.mpp > 0.0) {
        host.flag("NUCLEI_NOT_COUNTED", "The resolution of this tile is not known, so its nuclei were not counted", None);
        return Some(UNCHANGED);
    }
    let room = &mut tile.room;
    let (stain, peaks) = (room.take::<i16>(w * h)?, room.take::<f32>(w * h)?);
    let mut lines = Lines { columns: room.take(w)?, along: room.take(w + 1)?, shares: room.take(w)? };
    haematoxylin(tile.rgb, stain);
    let mpp = f64::from(tile.mpp);
    box_means(stain, peaks, &mut lines, h, half(3.0, mpp), Box::Core);
    box_means(stain, peaks, &mut lines, h, half(10.0, mpp), Box::Around);
    let (mut counts, mut areas) = ([0u32; 256], [0u32; 256]);
    tile.labels.iter().for_each(|l| areas[*l as usize] += 1);
    count(peaks, tile.labels, w, h, half(4.0, mpp), tile.params[2] as f32, &mut counts);
    let mm2 = mpp * mpp * 1e-6;
    let tissue: u32 = (1..256).map(|l| areas[l]).sum();
    let all: u32 = (1..256).map(|l| counts[l]).sum();
    host.metric("nuclei", f64::from(all));
    host.metric("nuclei_per_mm2", if tissue > 0 { f64::from(all) / (f64::from(tissue) * mm2) } else { 0.0 });
    let mut drifted = 0;
    for class in tile.classes.iter().filter(|c| c.label < 256 && c.area_mm2 > 0.0) {
        let (n, area) = (counts[class.label as usize], f64::from(areas[class.label as usize]) * mm2);
        drifted += judge(class, n, area, tile.params, host) as u32;
    }
    host.metric("drifted_classes", f64::from(drifted));
    Some(UNCHANGED)
}

/// Half the side of a box of so many micrometres, in pixels.
fn half(um: f64, mpp: f64) -> usize {
    ((um / mpp / 2.0 + 0.5) as usize).max(1).min(64)
}

fn haematoxylin(rgb: &[u8], stain: &mut [i16]) {
    let mut amounts = [[0i32; 256]; 3];
    for (table, weight) in amounts.iter_mut().zip(HAEMATOXYLIN) {
        table.iter_mut().zip(&OD).for_each(|(a, od)| *a = i32::from(*od) * weight);
    }
    let [red, green, blue] = &amounts;
    let amount = |[r, g, b]: [usize; 3]| ((red[r & 255] + green[g & 255] + blue[b & 255]) >> 10).max(0).min(2000) as i16;
    let (quads, fours) = (rgb.chunks_exact(12), stain.chunks_exact_mut(4));
    for (p, s) in quads.zip(fours) {
        if let Ok(p) = <&[u8; 12]>::try_from(p) {
            s.copy_from_slice(&quad(p).map(amount));
        }
    }
    let done = rgb.len() / 12 * 4;
    for (p, s) in rgb[3 * done..].chunks_exact(3).zip(&mut stain[done..]) {
        *s = amount([p[0] as usize, p[1] as usize, p[2] as usize]);
    }
}

/// Rows to work on.
struct Lines<'a> {
    /// Sums of the columns within reach.
    columns: &'a mut [i32],
    /// Their sums from the left.
    along: &'a mut [i32],
    /// 1 / width of the square around each column.
    shares: &'a mut [f32],
}

/// Which of the two means is taken.
#[derive(Clone, Copy, PartialEq)]
enum Box {
    /// Over a nucleus: written.
    Core,
    /// Around it: taken away.
    Around,
}

/// Means over squares, cut off at the edges.
fn box_means(stain: &[i16], peaks: &mut [f32], lines: &mut Lines<'_>, h: usize, reach: usize, of: Box) {
    let Lines { columns, along, shares } = lines;
    let w = columns.len();
    columns.fill(0);
    let span = |i: usize, n: usize| (i.saturating_sub(reach), (i + reach + 1).min(n));
    for (x, share) in shares.iter_mut().enumerate() {
        let (from, to) = span(x, w);
        *share = 1.0 / (to - from) as f32;
    }
    for y in 0..reach.min(h) {
        columns.iter_mut().zip(&stain[y * w..][..w]).for_each(|(c, s)| *c += i32::from(*s));
    }
    for y in 0..h {
        if y + reach < h {
            columns.iter_mut().zip(&stain[(y + reach) * w..][..w]).for_each(|(c, s)| *c += i32::from(*s));
        }
        if y > reach {
            columns.iter_mut().zip(&stain[(y - reach - 1) * w..][..w]).for_each(|(c, s)| *c -= i32::from(*s));
        }
        let mut sum = 0;
        for (a, c) in along[1..].iter_mut().zip(columns.iter()) {
            sum += c;
            *a = sum;
        }
        let (from, to) = span(y, h);
        row(along, shares, 1.0 / (to - from) as f32, reach, &mut peaks[y * w..][..w], of);
    }
}

/// One row of means from running sums.
fn row(along: &[i32], shares: &[f32], share: f32, reach: usize, out: &mut [f32], of: Box) {
    let w = out.len();
    let put = |out: &mut f32, sum: i32, column: f32| {
        let mean = sum as f32 * (column * share);
        *out = if of == Box::Core { mean } else { *out - mean };
    };
    let inside = reach.min(w)..w.saturating_sub(reach).max(reach.min(w));
    for x in (0..inside.start).chain(inside.end..w) {
        put(&mut out[x], along[(x + reach + 1).min(w)] - along[x.saturating_sub(reach)], shares[x]);
    }
    if inside.is_empty() {
        return;
    }
    let n = inside.len();
    let (high, low) = (&along[inside.start + reach + 1..][..n], &along[inside.start - reach..][..n]);
    let columns = &shares[inside.start..][..n];
    for (((out, high), low), column) in out[inside].iter_mut().zip(high).zip(low).zip(columns) {
        put(out, high - low, *column);
    }
}

/// Peaks by class.
fn count(peaks: &[f32], labels: &[u8], w: usize, h: usize, reach: usize, contrast: f32, counts: &mut [u32; 256]) {
    for y in 0..h {
        let line = &peaks[y * w..][..w];
        for (x, p) in line.iter().enumerate() {
            if *p > contrast && highest(peaks, w, h, x, y, reach) {
                counts[labels[y * w + x] as usize] += 1;
            }
        }
    }
}

/// Whether none within reach is higher; of equal ones the first counts.
fn highest(peaks: &[f32], w: usize, h: usize, x: usize, y: usize, reach: usize) -> bool {
    let p = peaks[y * w + x];
    // most are not higher than their neighbours
    if (x > 0 && peaks[y * w + x - 1] >= p) || (x + 1 < w && peaks[y * w + x + 1] > p) {
        return false;
    }
    let (left, right) = (x.saturating_sub(reach), (x + reach + 1).min(w));
    for r in y.saturating_sub(reach)..(y + reach + 1).min(h) {
        let line = &peaks[r * w + left..r * w + right];
        let here = if r == y {
            x - left
        } else if r < y {
            line.len()
        } else {
            0
        };
        let (earlier, later) = line.split_at(here);
        if earlier.iter().any(|q| *q >= p) || later.iter().any(|q| *q > p) {
            return false;
        }
    }
    true
}

/// Flags a class whose density is not that of its crops.
fn judge(class: &Class, n: u32, area: f64, params: &[f64], host: &mut impl Host) -> bool {
    let (real, real_area) = (f64::from(class.counted), f64::from(class.area_mm2));
    if !(area > 0.0) {
        return false;
    }
    let (here, there) = (f64::from(n) / area, real / real_area);
    let share = area / (area + real_area);
    let sum = f64::from(n) + real;
    let apart = f64::from(n) - sum * share;
    let sigmas = apart / sqrt(sum * share * (1.0 - share)).max(1e-9);
    let far = here > params[0] * there || there > params[0] * here;
    if sum < 1.0 || !far || !(sigmas.max(-sigmas) > params[1]) {
        return false;
    }
    let text = Text::new().words("Class ").number(class.label).words(" shows ").number(here as u32);
    let text = text.words(" nuclei per mm2, the real tissue it was made from ").number(there as u32);
    let text = text.words(if here > there { ": far too many" } else { ": far too few" });
    host.flag("NUCLEI_DENSITY", text.as_str(), None);
    true
}
