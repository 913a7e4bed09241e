//! The ops written in C, in plain Rust and written for speed as a native program would be. Only for comparison.

use histoloom_op::math::OD;
use histoloom_op::{Host, PIXELS, Text, Tile, UNCHANGED};

/// Ranges of the cells along an axis.
fn spans(n: usize, cell: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).step_by(cell).map(move |from| (from, (from + cell).min(n)))
}

pub fn gamut(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    let (w, share, cell) = (tile.width, tile.params[0], tile.cell_px);
    let (mut all, mut flagged) = (0, 0);
    for (y0, y1) in spans(tile.height, cell) {
        for (x0, x1) in spans(w, cell) {
            let rows = (y0..y1).map(|y| &tile.rgb[3 * (y * w + x0)..3 * (y * w + x1)]);
            let n: u32 = rows.map(|row| row.chunks_exact(3).map(|p| u32::from(outside(p))).sum::<u32>()).sum();
            let area = ((y1 - y0) * (x1 - x0)) as u32;
            all += n;
            if f64::from(n) <= share * f64::from(area) {
                continue;
            }
            flagged += 1;
            let text = Text::new().number((100 * n + area / 2) / area);
            let text = text.words(" % of this cell has colours that haematoxylin and eosin do not give");
            host.flag("OUTSIDE_GAMUT", text.as_str(), Some((y0 / cell, x0 / cell)));
        }
    }
    host.metric("outside_share", f64::from(all) / (w * tile.height) as f64);
    host.metric("outside_cells", f64::from(flagged));
    UNCHANGED
}

fn outside(p: &[u8]) -> bool {
    let [r, g, b] = [0, 1, 2].map(|c| i32::from(OD[usize::from(p[c])]));
    let s = r + g + b;
    s >= 450
        && (s > 4600 || 1000 * r > 520 * s || 1000 * g > 880 * s || 1000 * b < 80 * s || 1000 * b > 480 * s || 1000 * b + 700 * r > 560 * s)
}

pub fn sharpness(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    let (w, h, cell, limit) = (tile.width, tile.height, tile.cell_px, tile.params[0]);
    let stride = w + 2;
    let Some(plane) = tile.room.take::<i16>(stride * (h + 2)) else { return -1 };
    for (y, row) in plane.chunks_exact_mut(stride).enumerate() {
        let from = &tile.rgb[3 * w * y.saturating_sub(1).min(h - 1)..][..3 * w];
        for (to, p) in row[1..].iter_mut().zip(from.chunks_exact(3)) {
            *to = ((77 * i32::from(p[0]) + 150 * i32::from(p[1]) + 29 * i32::from(p[2])) >> 8) as i16;
        }
        row[0] = row[1];
        row[w + 1] = row[w];
    }
    let (mut cells, mut blurred, mut variances) = (0u32, 0u32, 0.0);
    for (y0, y1) in spans(h, cell) {
        for (x0, x1) in spans(w, cell) {
            let (mut sum, mut squares, mut tissue) = (0i32, 0i32, 0i32);
            for y in y0..y1 {
                let line = |y: usize, x: usize| &plane[y * stride + x..][..x1 - x0];
                let (up, down, left, right, here) =
                    (line(y, x0 + 1), line(y + 2, x0 + 1), line(y + 1, x0), line(y + 1, x0 + 2), line(y + 1, x0 + 1));
                let labels = &tile.labels[y * w + x0..y * w + x1];
                for (((((up, down), left), right), here), label) in up.iter().zip(down).zip(left).zip(right).zip(here).zip(labels) {
                    let l = i32::from(up + down + left + right - 4 * here);
                    sum += l;
                    squares += l * l;
                    tissue += i32::from(*label != 0);
                }
            }
            let n = ((y1 - y0) * (x1 - x0)) as i64;
            if 2 * i64::from(tissue) <= n {
                continue;
            }
            let variance = (i64::from(squares) * n - i64::from(sum) * i64::from(sum)) as f64 / (n * n) as f64;
            cells += 1;
            variances += variance;
            if variance < limit {
                blurred += 1;
                host.flag("BLURRED", "This cell has less fine detail than stained tissue has", Some((y0 / cell, x0 / cell)));
            }
        }
    }
    host.metric("mean_variance", if cells > 0 { variances / f64::from(cells) } else { 0.0 });
    host.metric("blurred_share", if cells > 0 { f64::from(blurred) / f64::from(cells) } else { 0.0 });
    UNCHANGED
}

/// 5 x 7 letters, a row a byte, the left dot is bit 4: S Y N T H E T I C.
const FONT: [[u8; 7]; 9] = [
    [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e],
    [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04],
    [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11],
    [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
    [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11],
    [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f],
    [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
    [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e],
    [0x0f, 0x10, 0x10, 0x10, 0x10, 0x10, 0x0f],
];

pub fn watermark(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    let (strength, scale) = ((tile.params[0] * 256.0) as i32, tile.params[1] as usize);
    let (width, height) = (53 * scale, 7 * scale);
    if width + 6 > tile.width || height + 6 > tile.height {
        host.flag("WATERMARK_NO_ROOM", "The tile is too small for the word SYNTHETIC; use a smaller scale", None);
        return UNCHANGED;
    }
    let (left, top) = (tile.width - width - 3, tile.height - height - 3);
    let mut written = 0;
    for y in 0..height {
        for x in 0..width {
            let (column, row) = (x / scale, y / scale);
            if column % 6 == 5 || (FONT[column / 6][row] >> (4 - column % 6)) & 1 == 0 {
                continue;
            }
            let at = 3 * ((top + y) * tile.width + left + x);
            let p = &mut tile.rgb[at..at + 3];
            let target = if 77 * i32::from(p[0]) + 150 * i32::from(p[1]) + 29 * i32::from(p[2]) >= 100 * 256 { 0 } else { 255 };
            p.iter_mut().for_each(|v| *v = (i32::from(*v) + (target - i32::from(*v)) * strength / 256) as u8);
            written += 1;
        }
    }
    host.metric("watermark_px", f64::from(written));
    if strength == 0 { UNCHANGED } else { PIXELS }
}
