//! The readings that help in choosing k, as a picture and as a table. In: [`Reading`]s and the k that was taken. Out: one panel a
//! reading over k with that k marked; CSV (RFC 4180). Cannot fail.

use image::{Rgb, RgbImage};

use super::picture::{FAINT, INK, PAPER};
use super::text;
use crate::cluster::choice::Reading;

/// The value of a panel.
type Of = fn(&Reading) -> f64;

const WIDTH: u32 = 720;
const PANEL_PX: u32 = 170;
/// Left, right, upper and lower margin of a panel's axes.
const MARGIN_PX: [u32; 4] = [64, 24, 34, 26];
const LINE: [u8; 3] = [0, 114, 178];
const TAKEN: [u8; 3] = [213, 94, 0];
/// Values of k that are written under the axis.
const TICKS: [usize; 7] = [2, 5, 10, 20, 30, 50, 100];

/// `k,inertia,silhouette,stability`, one line a k.
pub fn readings_csv(readings: &[Reading]) -> String {
    let mut out = String::from("k,inertia,silhouette,stability\r\n");
    for r in readings {
        out += &format!("{},{:.6},{:.6},{:.6}\r\n", r.k, r.inertia, r.silhouette, r.stability);
    }
    out
}

/// The three curves.
pub fn readings_chart(readings: &[Reading], taken: usize) -> RgbImage {
    let panels: [(&str, Of); 3] = [
        ("inertia: variance left within classes (look for an elbow)", |r| r.inertia),
        ("silhouette: how well classes are apart (higher is better)", |r| r.silhouette),
        ("stability: halves of the tissue agree (higher is better)", |r| r.stability),
    ];
    let mut out = RgbImage::from_pixel(WIDTH, 3 * PANEL_PX + 8, Rgb(PAPER));
    for ((name, of), top) in panels.into_iter().zip((0..).step_by(PANEL_PX as usize)) {
        let points: Vec<(usize, f64)> = readings.iter().map(|r| (r.k, of(r))).collect();
        panel(&mut out, top, name, &points, taken);
    }
    out
}

/// One curve in its axes; k runs on a logarithmic scale, on which 5, 10, 20 ... are evenly apart.
fn panel(out: &mut RgbImage, top: u32, name: &str, points: &[(usize, f64)], taken: usize) {
    let [left, right, above, below] = MARGIN_PX;
    let (wide, high) = (WIDTH - left - right, PANEL_PX - above - below);
    text::draw(out, left, top + 12, 1, INK, name);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let top_value = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max).max(low + 1e-6);
    let span = ((last.0 as f64) / first.0 as f64).ln().max(1e-6);
    let x = |k: usize| left + ((k as f64 / first.0 as f64).ln() / span * f64::from(wide)).clamp(0.0, f64::from(wide)) as u32;
    let y = |v: f64| top + above + ((top_value - v) / (top_value - low) * f64::from(high)).clamp(0.0, f64::from(high)) as u32;
    text::fill(out, left, top + above, 1, high, FAINT);
    text::fill(out, left, top + above + high, wide, 1, FAINT);
    for (value, at) in [(top_value, top + above), (low, top + above + high)] {
        text::draw(out, 8, at.saturating_sub(4), 1, FAINT, &format!("{value:6.3}"));
    }
    for k in TICKS.into_iter().filter(|k| (first.0..=last.0).contains(k)) {
        text::fill(out, x(k), top + above + high, 1, 4, FAINT);
        text::draw(out, x(k).saturating_sub(8), top + above + high + 8, 1, FAINT, &k.to_string());
    }
    if (first.0..=last.0).contains(&taken) {
        text::fill(out, x(taken), top + above, 1, high, TAKEN);
        text::draw(out, x(taken) + 4, top + above + 2, 1, TAKEN, &format!("k = {taken}"));
    }
    for pair in points.windows(2) {
        line(out, (x(pair[0].0), y(pair[0].1)), (x(pair[1].0), y(pair[1].1)));
    }
}

/// A line two pixels thick.
fn line(out: &mut RgbImage, a: (u32, u32), b: (u32, u32)) {
    let steps = a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)).max(1);
    for i in 0..=steps {
        let at = |p: u32, q: u32| (f64::from(p) + (f64::from(q) - f64::from(p)) * f64::from(i) / f64::from(steps)).round() as u32;
        text::fill(out, at(a.0, b.0), at(a.1, b.1), 2, 2, LINE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_and_the_chosen_k_are_drawn_and_the_table_has_every_k() {
        let readings: Vec<Reading> = (2..=40)
            .map(|k| Reading {
                k,
                inertia: 1.0 / k as f64,
                silhouette: 0.3 - (k as f64 - 8.0).abs() / 100.0,
                stability: 1.0 - k as f64 / 60.0,
            })
            .collect();
        let chart = readings_chart(&readings, 8);
        let count = |color: [u8; 3]| chart.pixels().filter(|p| p.0 == color).count();
        assert!(count(LINE) > 3 * 600 && count(TAKEN) > 3 * 100, "{} {}", count(LINE), count(TAKEN));
        let csv = readings_csv(&readings);
        assert_eq!(csv.lines().count(), 40);
        assert!(csv.starts_with("k,inertia,silhouette,stability\r\n2,0.500000,0.240000,0.966667\r\n"), "{csv}");
        assert_eq!(readings_chart(&[], 8).dimensions(), (720, 518), "no readings, no curves, no panic");
    }
}
