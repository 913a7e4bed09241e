//! Stain normalisation before the encoder. In: pixels of the slide's tissue. Out: a [`Macenko`] that maps the slide's stains and their
//! strengths to fixed ones, and [`Normalised`], the slide seen through it. Fails, with the reason, where two stains cannot be told.
//!
//! M. Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI 2009, 1107-1110: optical densities lie in
//! a plane that the two largest eigenvectors of their covariance span; the extreme angles in it are the two stains; the 99th percentiles of
//! their amounts are brought to the reference's. What lies off the plane is dropped.

use image::RgbImage;

use super::{Glass, Grid};
use crate::slide::{Region, SlideInfo, read, read_inside};
use crate::{Job, Result, TileSource};

/// Reference directions of haematoxylin and eosin in (R, G, B), and the 99th percentiles of their amounts: Macenko's, as in the authors'
/// code and in most that follow it.
const REFERENCE: [[f64; 3]; 2] = [[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]];
const REFERENCE_MOST: [f64; 2] = [1.9705, 1.0308];
/// Glass of the reference.
const REFERENCE_GLASS: f32 = 240.0;
/// Pixels with a channel below this optical density are too pale to tell (beta of the paper).
const PALE_OD: f32 = 0.15;
/// The share of angles cut off at either end (alpha of the paper, 1 %).
const CUT: f64 = 0.01;
/// Fewer tissue pixels say nothing.
const LEAST_PIXELS: usize = 2000;
/// Stains whose directions are nearer than this, in radians (8.6 degrees; haematoxylin and eosin are some 25 apart), are one.
const LEAST_ANGLE: f64 = 0.15;
/// Places that are looked at, and their side in pixels.
const PLACES: usize = 64;
const PLACE_PX: u32 = 64;

/// The map from a slide's stains to the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Macenko {
    glass: Glass,
    /// Optical densities of the slide to those of the reference.
    matrix: [[f32; 3]; 3],
    /// Directions of haematoxylin and eosin of the slide in (R, G, B).
    pub stains: [[f64; 3]; 2],
    /// 99th percentiles of their amounts.
    pub most: [f64; 2],
}

impl Macenko {
    /// From places spread over the tissue of a slide, read at the working resolution. The inner error is the reason why it cannot be told.
    pub fn of_slide(
        source: &dyn TileSource,
        grid: &Grid,
        glass: Glass,
        tissue: &[bool],
        job: &Job,
    ) -> Result<std::result::Result<Self, &'static str>> {
        let cells: Vec<usize> = (0..tissue.len()).filter(|i| tissue[*i]).collect();
        let mut pixels = Vec::new();
        for i in 0..PLACES.min(cells.len()) {
            job.check()?;
            let cell = cells[i * cells.len() / PLACES.min(cells.len())];
            let corner = grid.region((cell / grid.columns) as i64, (cell % grid.columns) as i64, 1, 1, grid.stride_px);
            let region = Region { downsample: grid.downsample, width_px: PLACE_PX, height_px: PLACE_PX, ..corner };
            pixels.extend(read_inside(source, &region)?.pixels().map(|p| p.0).filter(|p| glass.is_tissue(*p)));
        }
        Ok(Self::new(glass, &pixels))
    }

    /// From tissue pixels.
    pub fn new(glass: Glass, pixels: &[[u8; 3]]) -> std::result::Result<Self, &'static str> {
        let densities: Vec<[f64; 3]> =
            pixels.iter().map(|p| glass.od(*p)).filter(|od| od.iter().all(|v| *v > PALE_OD)).map(|od| od.map(f64::from)).collect();
        if densities.len() < LEAST_PIXELS {
            return Err("there is too little stained tissue");
        }
        let plane = plane(&densities);
        let mut angles: Vec<f64> = densities.iter().map(|od| dot(od, &plane[1]).atan2(dot(od, &plane[0]))).collect();
        let [low, high] = [CUT, 1.0 - CUT].map(|share| percentile(&mut angles, share));
        if high - low < LEAST_ANGLE {
            return Err("there is only one stain");
        }
        let along = |angle: f64| unit(std::array::from_fn(|c| angle.cos() * plane[0][c] + angle.sin() * plane[1][c]));
        let (a, b) = (along(low), along(high));
        // haematoxylin absorbs more red
        let stains = if a[0] > b[0] { [a, b] } else { [b, a] };
        let to_amounts = inverse(&stains);
        let most = [0, 1].map(|s| {
            let mut amounts: Vec<f64> = densities.iter().map(|od| dot(od, &to_amounts[s])).collect();
            percentile(&mut amounts, 1.0 - CUT)
        });
        if most.iter().any(|m| *m < f64::from(PALE_OD)) {
            return Err("one of the stains is too pale");
        }
        let reference = REFERENCE.map(unit);
        let entry =
            |to: usize, from: usize| -> f64 { (0..2).map(|s| reference[s][to] * REFERENCE_MOST[s] / most[s] * to_amounts[s][from]).sum() };
        let matrix = std::array::from_fn(|to| std::array::from_fn(|from| entry(to, from) as f32));
        Ok(Self { glass, matrix, stains, most })
    }

    /// The colour under the reference's stains.
    pub fn apply(&self, rgb: [u8; 3]) -> [u8; 3] {
        let od = self.glass.od(rgb);
        self.matrix.map(|row| {
            let v = row[0] * od[0] + row[1] * od[1] + row[2] * od[2];
            (REFERENCE_GLASS * (-v).exp()).round().clamp(0.0, 255.0) as u8
        })
    }
}

/// A slide seen through a normalisation.
pub struct Normalised<'a> {
    /// The slide.
    pub source: &'a dyn TileSource,
    /// The normalisation.
    pub by: Macenko,
}

impl TileSource for Normalised<'_> {
    fn info(&self) -> &SlideInfo {
        self.source.info()
    }

    fn read(&self, region: &Region) -> Result<RgbImage> {
        let mut picture = read(self.source, region)?;
        picture.pixels_mut().for_each(|p| p.0 = self.by.apply(p.0));
        Ok(picture)
    }

    fn concurrent_reads(&self) -> usize {
        self.source.concurrent_reads()
    }
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let length = dot(&v, &v).sqrt().max(f64::MIN_POSITIVE);
    v.map(|x| x / length)
}

/// The two largest eigenvectors of the covariance, by power iteration; the first points to where the densities lie.
fn plane(densities: &[[f64; 3]]) -> [[f64; 3]; 2] {
    let n = densities.len() as f64;
    let mean: [f64; 3] = std::array::from_fn(|c| densities.iter().map(|od| od[c]).sum::<f64>() / n);
    let covariance: [[f64; 3]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|j| densities.iter().map(|od| (od[i] - mean[i]) * (od[j] - mean[j])).sum::<f64>() / n));
    let along = |start: [f64; 3], without: Option<[f64; 3]>| {
        (0..1000).fold(unit(start), |v, _| {
            let mut next: [f64; 3] = std::array::from_fn(|i| dot(&covariance[i], &v));
            if let Some(w) = without {
                let shared = dot(&next, &w);
                next = std::array::from_fn(|i| next[i] - shared * w[i]);
            }
            unit(next)
        })
    };
    let first = along([1.0, 1.0, 1.0], None);
    let first = if dot(&first, &mean) < 0.0 { first.map(|v| -v) } else { first };
    [first, along([1.0, -0.5, -0.7], Some(first))]
}

/// Rows that give the amounts of both stains in optical densities, least squares.
fn inverse([h, e]: &[[f64; 3]; 2]) -> [[f64; 3]; 2] {
    let (hh, ee, he) = (dot(h, h), dot(e, e), dot(h, e));
    let determinant = hh * ee - he * he;
    [std::array::from_fn(|c| (ee * h[c] - he * e[c]) / determinant), std::array::from_fn(|c| (hh * e[c] - he * h[c]) / determinant)]
}

/// The value at a share of the way through the sorted values.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    let at = ((values.len() - 1) as f64 * share).round() as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    const H: [f64; 3] = [0.65, 0.70, 0.29];
    const E: [f64; 3] = [0.15, 0.92, 0.36];

    /// Pixels of amounts of two stains under a lamp.
    fn pixels(h: [f64; 3], e: [f64; 3], strength: [f64; 2], glass: [f64; 3]) -> Vec<[u8; 3]> {
        let mut s = Stream::new(1, 0, 0);
        let (h, e) = (unit(h), unit(e));
        (0..20_000)
            .map(|i| {
                let pure = if i % 5 == 0 { 0.02 } else { s.uniform() };
                let (a, b) = if i % 10 < 5 { (1.0, pure) } else { (pure, 1.0) };
                let amount = 0.3 + s.uniform();
                let od = |c: usize| amount * (a * strength[0] * h[c] + b * strength[1] * e[c]);
                std::array::from_fn(|c| (glass[c] * (-od(c)).exp()).round() as u8)
            })
            .collect()
    }

    #[test]
    fn two_scans_of_one_tissue_become_alike() {
        let one = pixels(H, E, [1.0, 0.6], [240.0; 3]);
        let two = pixels([0.60, 0.72, 0.35], [0.22, 0.90, 0.38], [1.4, 0.4], [228.0, 222.0, 230.0]);
        let apart = |a: &[[u8; 3]], b: &[[u8; 3]]| {
            let of = |(p, q): (&[u8; 3], &[u8; 3])| (0..3).map(|c| f64::from(p[c].abs_diff(q[c]))).sum::<f64>() / 3.0;
            a.iter().zip(b).map(of).sum::<f64>() / a.len() as f64
        };
        let through = |p: &[[u8; 3]], glass: [f32; 3]| {
            let by = Macenko::new(Glass(glass), p).unwrap();
            p.iter().map(|p| by.apply(*p)).collect::<Vec<_>>()
        };
        let (before, after) = (apart(&one, &two), apart(&through(&one, [240.0; 3]), &through(&two, [228.0, 222.0, 230.0])));
        assert!(before > 15.0 && after < before / 4.0, "{before:.1} grey values apart, then {after:.1}");
    }

    #[test]
    fn stains_are_found_where_they_are() {
        let by = Macenko::new(Glass([240.0; 3]), &pixels(H, E, [1.0, 0.6], [240.0; 3])).unwrap();
        for (found, real) in by.stains.iter().zip([unit(H), unit(E)]) {
            assert!(dot(found, &real) > 0.995, "{found:?} for {real:?}");
        }
        assert_eq!(by.apply([240; 3]), [240; 3], "glass stays glass");
    }

    #[test]
    fn one_stain_or_little_tissue_is_told() {
        assert!(Macenko::new(Glass([240.0; 3]), &pixels(H, H, [1.0, 1.0], [240.0; 3])).unwrap_err().contains("one stain"));
        assert!(Macenko::new(Glass([240.0; 3]), &[[120, 70, 140]; 100]).unwrap_err().contains("too little"));
    }
}
