//! How many nuclei a picture shows, counted plainly. In: a picture and its resolution. Out: their places. The same count on a tile and on
//! real crops tells whether a tile has as many as the tissue it stands for; as an absolute number it is no measurement.
//!
//! Haematoxylin by the colour deconvolution of Ruifrok & Johnston (Anal Quant Cytol Histol 2001;23:291-9), in thousandths of optical
//! density. A nucleus is a peak of its mean over 3 um against its mean over 10 um (a difference of boxes, as blob detectors take it:
//! Lindeberg, Int J Comput Vis 1998;30:79-116, doi:10.1023/A:1008045108935), higher than any other within 2 um. The op `nuclei` counts
//! the same in less time; a test holds one against the other.

use image::RgbImage;

/// Thousandths of optical density by which a nucleus stands out. On the raw CMU-1 slide that is about a third of what its nuclei have.
pub const CONTRAST: f32 = 100.0;
/// Rows of the inverse of the stain matrix (haematoxylin, eosin, their cross product; Ruifrok & Johnston) that give haematoxylin, times 1024.
const HAEMATOXYLIN: [i32; 3] = [1525, -167, 525];
/// Sides of the boxes and the reach of a peak, in micrometres.
const CORE_UM: f64 = 3.0;
const AROUND_UM: f64 = 10.0;
const APART_UM: f64 = 2.0;
/// Largest reach in pixels: beyond 0.1 um/px nothing is gained.
const MOST_PX: usize = 64;

/// Half the side of a box of so many micrometres.
fn half(um: f64, mpp: f64) -> usize {
    ((um / mpp / 2.0).round() as usize).clamp(1, MOST_PX)
}

/// Haematoxylin in thousandths of optical density.
fn haematoxylin(rgb: [u8; 3]) -> i32 {
    let od = |v: u8| (-1000.0 * ((f64::from(v) + 1.0) / 256.0).log10()).round() as i32;
    (rgb.iter().zip(HAEMATOXYLIN).map(|(v, w)| od(*v) * w).sum::<i32>() >> 10).clamp(0, 2000)
}

/// Columns and rows of the nuclei, row by row; none where the resolution is not known.
pub fn count(rgb: &RgbImage, mpp: f64, contrast: f32) -> Vec<(u32, u32)> {
    if !(mpp.is_finite() && mpp > 0.0) {
        return Vec::new();
    }
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    let stain: Vec<i32> = rgb.pixels().map(|p| haematoxylin(p.0)).collect();
    let mean = |reach: usize| -> Vec<f32> {
        let span = |i: usize, n: usize| (i.saturating_sub(reach), (i + reach + 1).min(n));
        let columns: Vec<i32> = (0..w * h)
            .map(|i| {
                let (from, to) = span(i / w, h);
                (from..to).map(|y| stain[y * w + i % w]).sum()
            })
            .collect();
        (0..w * h)
            .map(|i| {
                let ((x0, x1), (y0, y1)) = (span(i % w, w), span(i / w, h));
                let sum: i32 = columns[i / w * w + x0..i / w * w + x1].iter().sum();
                sum as f32 * ((1.0 / (x1 - x0) as f32) * (1.0 / (y1 - y0) as f32))
            })
            .collect()
    };
    let (core, around) = (mean(half(CORE_UM, mpp)), mean(half(AROUND_UM, mpp)));
    let peaks: Vec<f32> = core.iter().zip(around).map(|(c, a)| c - a).collect();
    let reach = half(2.0 * APART_UM, mpp);
    (0..w * h).filter(|i| peaks[*i] > contrast && highest(&peaks, w, h, *i, reach)).map(|i| ((i % w) as u32, (i / w) as u32)).collect()
}

/// Whether none within reach is higher; of equal ones the first counts.
fn highest(peaks: &[f32], w: usize, h: usize, at: usize, reach: usize) -> bool {
    let (x, y) = (at % w, at / w);
    let rows = y.saturating_sub(reach)..(y + reach + 1).min(h);
    rows.flat_map(|r| (x.saturating_sub(reach)..(x + reach + 1).min(w)).map(move |c| r * w + c))
        .all(|i| i == at || peaks[i] < peaks[at] || (peaks[i] == peaks[at] && i > at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dark_discs_are_counted_once_each_and_nothing_else() {
        let disc = |x: u32, y: u32| (x % 32).abs_diff(16).pow(2) + (y % 32).abs_diff(16).pow(2) < 30;
        let rgb = RgbImage::from_fn(128, 128, |x, y| image::Rgb(if disc(x, y) { [90, 60, 140] } else { [225, 160, 195] }));
        assert_eq!(count(&rgb, 0.5, CONTRAST).len(), 16);
        let plain = RgbImage::from_pixel(128, 128, image::Rgb([90, 60, 140]));
        assert_eq!(count(&plain, 0.5, CONTRAST), []);
        for unknown in [0.0, -1.0, f64::NAN] {
            assert_eq!(count(&rgb, unknown, CONTRAST), []);
        }
    }

    #[test]
    fn the_stain_matrix_is_that_of_the_paper() {
        // haematoxylin and eosin of the paper come out as 1 and 0
        let amount = |od: [f64; 3]| od.iter().zip(HAEMATOXYLIN).map(|(d, w)| d * f64::from(w) / 1024.0).sum::<f64>();
        let unit = |v: [f64; 3]| v.map(|x| x / v.iter().map(|x| x * x).sum::<f64>().sqrt());
        assert!((amount(unit([0.650, 0.704, 0.286])) - 1.0).abs() < 0.01);
        assert!(amount(unit([0.072, 0.990, 0.105])).abs() < 0.01);
    }
}
