//! The regions that a library asks a host for. Each is read twice, into buffers with other bytes in them: what differs was left unwritten, or
//! is not the same at every call.

use std::sync::Barrier;

use crate::checks::host::Host;
use crate::ffi::{HL_PIXEL_RGBA8_PRE, hl_region};
use crate::memory::{Fence, Guarded, bytes_of};
use crate::session::Session;
use crate::viewer::exact;

/// Side of most regions.
const SIDE_PX: u32 = 256;

/// One call: the rows without what lies between them.
fn once(s: &Session, h: &Host, r: &hl_region, what: &str, fill: u8) -> Option<Vec<u8>> {
    let read = h.table.read_region?;
    let bytes = exact(r) as usize;
    let mut dst = Guarded::filled(bytes, fill);
    // SAFETY: the host's function with the host's pointer, a struct and a buffer of ours.
    let returned = unsafe { read(h.table.user, r, dst.ptr(), bytes as u64) };
    let whole = s.promise(returned == bytes as i64, || format!("{what}: it returned {returned}, {bytes} bytes were asked for"));
    let inside = s.promise(dst.guards_hold(), || format!("{what}: it wrote outside the {bytes} bytes it was given"));
    let row = 4 * r.width_px as usize;
    (whole && inside).then(|| dst.content().chunks(r.stride_bytes as usize).flat_map(|line| &line[..row]).copied().collect())
}

/// A region that must come whole; its pixels.
fn read(s: &Session, h: &Host, r: &hl_region, why: &str) -> Option<Vec<u8>> {
    let what = format!("{why}: {} x {} px at {}, {} with downsample {}", r.width_px, r.height_px, r.x_px, r.y_px, r.downsample);
    s.at(&what);
    let (first, second) = (once(s, h, r, &what, 0x00)?, once(s, h, r, &what, 0xFF)?);
    let odd = first.iter().zip(&second).position(|(a, b)| a != b).map(|i| i / 4);
    if let Some(odd) = odd {
        let (x, y) = (odd as u32 % r.width_px, odd as u32 / r.width_px);
        s.broken(&format!("{what}: pixel {x}, {y} was left unwritten, or two reads gave two pixels"));
        return None;
    }
    let premultiplied = h.slide.pixel_format >= HL_PIXEL_RGBA8_PRE;
    let beyond = premultiplied && first.chunks_exact(4).any(|p| p[..3].iter().any(|c| *c > p[3]));
    s.promise(!beyond, || format!("{what}: a colour is above its alpha, which premultiplied pixels cannot be"));
    Some(first)
}

/// The sides of the slide.
fn sides(h: &Host) -> (u64, u64) {
    (h.slide.width_px, h.slide.height_px)
}

/// Where a region of a side begins: at the front, in the middle, at the end.
fn places(side: u64, region: u32) -> [u64; 3] {
    let last = side.saturating_sub(region.into());
    [0, last / 2, last]
}

/// Corners, edges, middle.
pub fn edges(s: &Session, h: &Host) {
    let (width, height) = sides(h);
    for y in places(height, SIDE_PX) {
        for x in places(width, SIDE_PX) {
            read(s, h, &h.region(x, y, 1.0, SIDE_PX, SIDE_PX), "at an edge");
        }
    }
    for (x, y) in [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)] {
        read(s, h, &h.region(x, y, 1.0, 1, 1), "the corner pixel");
    }
}

/// Sizes that are seldom asked for.
pub fn shapes(s: &Session, h: &Host) {
    let (width, height) = sides(h);
    for (w, high) in [(1, 1), (1, 300), (300, 1), (2, 3), (13, 7), (255, 257), (101, 1), (1024, 5), (1023, 1025)] {
        for (x, y) in [(0, 0), (width / 3, height / 3)] {
            read(s, h, &h.region(x, y, 1.0, w, high), "an odd size");
        }
    }
}

/// Levels, between levels, beyond the last.
pub fn downsamples(s: &Session, h: &Host) {
    let all = h.downsamples();
    let (width, height) = sides(h);
    let most = all.iter().fold(1.0, |a: f64, b| a.max(*b));
    let between = all.windows(2).flat_map(|w| [(w[0] * w[1]).sqrt(), w[0] * 1.0001, w[1] * 0.9999]);
    let asked = all.iter().copied().chain(between).chain([1.5, std::f64::consts::PI, most * 1.7, most * 3.0]);
    for downsample in asked.filter(|d| *d >= 1.0 && *d <= width.min(height) as f64) {
        read(s, h, &h.region(0, 0, downsample, SIDE_PX, SIDE_PX), "a downsample");
        read(s, h, &h.region(width / 3, height / 3, downsample, 65, 33), "a downsample");
        let (w, high) = ((f64::from(64) * downsample) as u64, (f64::from(48) * downsample) as u64);
        read(s, h, &h.region(width.saturating_sub(w), height.saturating_sub(high), downsample, 64, 48), "a downsample at the last corner");
    }
    read(s, h, &h.region(0, 0, width.min(height) as f64, 1, 1), "the slide as one pixel");
}

/// Rows further apart than they are long.
pub fn strides(s: &Session, h: &Host) {
    let (width, height) = sides(h);
    for (gap, downsample) in [(4, 1.0), (60, 1.0), (4096, 1.0), (28, 2.5)] {
        let tight = h.region(width / 4, height / 4, downsample, 67, 41);
        let wide = hl_region { stride_bytes: tight.stride_bytes + gap, ..tight };
        if let (Some(tight), Some(wide)) = (read(s, h, &tight, "rows without gaps"), read(s, h, &wide, "rows with gaps")) {
            s.promise(tight == wide, || format!("rows {gap} bytes apart have other pixels than rows without gaps"));
        }
    }
}

/// Four quarters are the whole.
pub fn pieces(s: &Session, h: &Host) {
    let (width, height) = sides(h);
    for (x, y) in [(0, 0), (width / 3, height / 5), (width.saturating_sub(301), height.saturating_sub(203))] {
        let whole = h.region(x, y, 1.0, 301, 203);
        let Some(pixels) = read(s, h, &whole, "at once") else { continue };
        let (left, top) = (whole.width_px / 2, whole.height_px / 2);
        for (x0, w) in [(0, left), (left, whole.width_px - left)] {
            for (y0, high) in [(0, top), (top, whole.height_px - top)] {
                if w == 0 || high == 0 {
                    continue;
                }
                let piece = h.region(x + u64::from(x0), y + u64::from(y0), 1.0, w, high);
                let Some(part) = read(s, h, &piece, "in pieces") else { continue };
                let row = |i: u32| ((y0 + i) * whole.width_px + x0) as usize * 4;
                let same = part.chunks_exact(4 * w as usize).zip(0..).all(|(line, i)| *line == pixels[row(i)..row(i) + line.len()]);
                s.promise(same, || {
                    format!("the piece {w} x {high} at {x0}, {y0} of the region at {x}, {y} has other pixels than the whole")
                });
            }
        }
    }
}

/// A region anywhere, of the dice.
fn anywhere(h: &Host, dice: &mut crate::dice::Dice) -> hl_region {
    let (width, height) = sides(h);
    let downsample = if dice.below(2) == 0 { 1.0 } else { 1.0 + dice.below(1000) as f64 / 100.0 };
    let downsample = downsample.min(width.min(height) as f64);
    let room = |side: u64| side.saturating_sub(downsample.ceil() as u64) as usize + 1;
    let (x, y) = (dice.below(room(width)) as u64, dice.below(room(height)) as u64);
    h.region(x, y, downsample, 1 + dice.below(300) as u32, 1 + dice.below(300) as u32)
}

/// Regions anywhere.
pub fn random(s: &Session, h: &Host) {
    let mut dice = s.dice(0);
    (0..s.times(50, 2000)).for_each(|_| drop(read(s, h, &anywhere(h, &mut dice), "anywhere")));
}

/// As many at once as it allows; with one at a time, on changing threads.
pub fn threads(s: &Session, h: &Host) {
    let at_once = h.table.max_concurrent_reads.clamp(1, 32) as usize;
    let mut dice = s.dice(0);
    let jobs: Vec<hl_region> = (0..s.times(8, 100) * at_once).map(|_| anywhere(h, &mut dice)).collect();
    let want: Vec<_> = jobs.iter().map(|r| read(s, h, r, "alone")).collect();
    s.at(&format!("{at_once} reads at once"));
    for (jobs, want) in jobs.chunks(at_once).zip(want.chunks(at_once)) {
        let barrier = Barrier::new(jobs.len());
        std::thread::scope(|threads| {
            for (r, want) in jobs.iter().zip(want) {
                let barrier = &barrier;
                threads.spawn(move || {
                    barrier.wait();
                    let what = format!("{at_once} at once, each on a new thread");
                    let got = once(s, h, r, &what, 0x55);
                    s.promise(want.is_none() || got == *want, || format!("{what}: other pixels than alone: {r:?}"));
                });
            }
        });
    }
}

/// A struct with more fields behind, all 0, at the end of readable memory.
pub fn newer(s: &Session, h: &Host) {
    let r = h.region(0, 0, 1.0, 33, 21);
    let Some(want) = read(s, h, &r, "a region of today") else { return };
    let mut bytes = bytes_of(&r);
    for size in [bytes.len(), bytes.len() + 24] {
        bytes.resize(size, 0);
        bytes[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        s.at(&format!("an hl_region of {size} bytes"));
        let (Some(fence), Some(read)) = (Fence::new(&bytes), h.table.read_region) else { return };
        let mut dst = Guarded::new(want.len());
        // SAFETY: the host's function with the host's pointer, a struct and a buffer of ours.
        let returned = unsafe { read(h.table.user, fence.ptr(), dst.ptr(), want.len() as u64) };
        let same = returned == want.len() as i64 && dst.content() == want;
        s.promise(same, || format!("a region whose struct_size is {size} was read otherwise: {returned}"));
    }
}
