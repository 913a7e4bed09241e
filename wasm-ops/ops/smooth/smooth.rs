//! smooth: smooths the boundaries of the label map. A map is made of square cells, so its boundaries are stairs that no tissue has.
//!
//! Each pixel takes the class that most pixels of the square around it have (a mode filter; of equally frequent classes it keeps its own
//! if that is one of them, else takes the smallest). Regions thinner than the square go. Only classes of the tile are written.
#![no_std]
#![allow(unused_attributes)] // natively this file is a module

use histoloom_op::{Host, LABELS, NO_ROOM, Text, Tile, UNCHANGED, op};

op! {
    manifest: r#"{"name": "smooth", "version": 1, "summary": "Smooths the boundaries of the label map", "params": [
        {"name": "radius", "integer": true, "min": 1, "max": 32, "default": 6, "doc": "Half the side of the square in pixels; about a third of a cell of the map"},
        {"name": "passes", "integer": true, "min": 1, "max": 8, "default": 2, "doc": "How often it is done"}]}"#,
    run: run
}

/// Rows to work on.
struct Work<'a> {
    /// Column sums of every class, `[class][width]`.
    columns: &'a mut [u16],
    /// Running sums along a row, from `radius` before it to `radius` behind it.
    along: &'a mut [u16],
    best: &'a mut [u16],
    chosen: &'a mut [u8],
}

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    smooth(tile, host).unwrap_or(NO_ROOM)
}

fn smooth(tile: &mut Tile<'_>, host: &mut impl Host) -> Option<i32> {
    let (w, h) = (tile.width, tile.height);
    let (radius, passes) = (tile.params[0] as usize, tile.params[1] as usize);
    let (mut classes, mut n) = ([0u8; 256], 0);
    let mut seen = [false; 256];
    tile.labels.iter().for_each(|l| seen[*l as usize] = true);
    for label in (0..=255u8).filter(|l| seen[*l as usize]) {
        classes[n] = label;
        n += 1;
    }
    let classes = &classes[..n];
    let room = &mut tile.room;
    let before = room.take::<u8>(w * h)?;
    let (columns, along) = (room.take::<u16>(n * w)?, room.take::<u16>(w + 2 * radius + 1)?);
    let (best, chosen) = (room.take::<u16>(w)?, room.take::<u8>(w)?);
    let mut work = Work { columns, along, best, chosen };
    let mut changed = 0;
    for _ in 0..passes {
        before.copy_from_slice(tile.labels);
        changed += pass(before, tile.labels, w, h, radius, classes, &mut work);
    }
    host.metric("moved_share", f64::from(changed) / (w * h) as f64);
    if changed > (w * h / 4) as u32 {
        let text = Text::new().number(100 * changed / (w * h) as u32);
        let text = text.words(" % of the labels were moved: the regions are hardly larger than the smoothing, choose a smaller radius");
        host.flag("LABELS_MOVED", text.as_str(), None);
    }
    Some(if changed > 0 { LABELS } else { UNCHANGED })
}

/// One filter over the whole map; how many labels changed.
fn pass(before: &[u8], after: &mut [u8], w: usize, h: usize, radius: usize, classes: &[u8], work: &mut Work<'_>) -> u32 {
    work.columns.fill(0);
    for y in 0..radius.min(h) {
        add(work.columns, &before[y * w..][..w], classes);
    }
    let mut changed = 0;
    for y in 0..h {
        if y + radius < h {
            add(work.columns, &before[(y + radius) * w..][..w], classes);
        }
        if y > radius {
            subtract(work.columns, &before[(y - radius - 1) * w..][..w], classes);
        }
        let own = &before[y * w..][..w];
        work.best.fill(0);
        for (k, class) in classes.iter().enumerate() {
            running(&work.columns[k * w..][..w], work.along, radius);
            choose(work.along, radius, *class, own, work.best, work.chosen);
        }
        changed += own.iter().zip(work.chosen.iter()).map(|(a, b)| (a != b) as u32).sum::<u32>();
        after[y * w..][..w].copy_from_slice(work.chosen);
    }
    changed
}

fn add(columns: &mut [u16], row: &[u8], classes: &[u8]) {
    for (sums, class) in columns.chunks_exact_mut(row.len()).zip(classes) {
        sums.iter_mut().zip(row).for_each(|(s, l)| *s += (l == class) as u16);
    }
}

fn subtract(columns: &mut [u16], row: &[u8], classes: &[u8]) {
    for (sums, class) in columns.chunks_exact_mut(row.len()).zip(classes) {
        sums.iter_mut().zip(row).for_each(|(s, l)| *s -= (l == class) as u16);
    }
}

/// Sums from the left; beyond the edges nothing is added. They wrap: only differences count, and those fit.
fn running(columns: &[u16], along: &mut [u16], radius: usize) {
    let (left, rest) = along.split_at_mut(radius + 1);
    let (middle, right) = rest.split_at_mut(columns.len());
    left.fill(0);
    let mut sum = 0u16;
    for (to, c) in middle.iter_mut().zip(columns) {
        sum = sum.wrapping_add(*c);
        *to = sum;
    }
    right.fill(sum);
}

/// Takes a class where it is more frequent than the best so far, or as frequent and the pixel's own.
fn choose(along: &[u16], radius: usize, class: u8, own: &[u8], best: &mut [u16], chosen: &mut [u8]) {
    let to = along[2 * radius + 1..].iter().zip(along);
    for (((to, from), own), (best, chosen)) in to.zip(own).zip(best.iter_mut().zip(chosen)) {
        let n = to.wrapping_sub(*from);
        let take = (n > *best) | ((n == *best) & (class == *own));
        *best = if take { n } else { *best };
        *chosen = if take { class } else { *chosen };
    }
}
