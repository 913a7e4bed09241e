//! Colours as a pathologist's stain model sees them: the colour of empty glass, optical densities, and whether a slide looks like H&E.
//!
//! Optical density (OD) of a channel is -ln(value / glass value). Grey OD is shade, OD that differs between channels is stain.

use image::RgbImage;

/// A pixel is stained where its channels' optical densities differ by more than this (eosin-pale stroma gives about 0.15, glass of
/// the slides this was set on at most 0.05).
const STAINED_OD: f32 = 0.10;
/// A pixel is tissue whatever its colour where it is darker than this mean OD (pigment, folds).
const DARK_OD: f32 = 0.45;
/// A pixel is near black below this luma; dense nuclei of H&E have about 60.
const DARK_LUMA: f32 = 50.0;
/// Absorption of haematoxylin and eosin in (R, G, B), Ruifrok & Johnston, Anal Quant Cytol Histol 2001;23:291-9.
const HAEMATOXYLIN: [f32; 3] = [0.65, 0.70, 0.29];
const EOSIN: [f32; 3] = [0.07, 0.99, 0.11];

/// The colour of empty glass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glass(pub [f32; 3]);

impl Glass {
    /// From a picture of the whole slide: the median of its bright, nearly grey pixels, so that any white balance will do;
    /// (245, 245, 245) where there are too few to tell (a region without glass).
    pub fn of(picture: &RgbImage) -> Self {
        let bright: Vec<[u8; 3]> = picture.pixels().map(|p| p.0).filter(|p| lowest(p) >= 170 && highest(p) - lowest(p) <= 45).collect();
        // stitched white blocks carry no colour of the lamp: they count only where there is nothing else
        let lit: Vec<[u8; 3]> = bright.iter().copied().filter(|p| lowest(p) < 254).collect();
        let enough = picture.pixels().len() / 100 + 1;
        let from = if lit.len() >= enough { lit } else { bright };
        if from.len() < enough {
            return Self([245.0; 3]);
        }
        Self([0, 1, 2].map(|c| {
            let mut v: Vec<u8> = from.iter().map(|p| p[c]).collect();
            let half = v.len() / 2;
            f32::from(*v.select_nth_unstable(half).1).max(1.0)
        }))
    }

    /// Optical densities, never below 0.
    pub fn od(&self, rgb: [u8; 3]) -> [f32; 3] {
        [0, 1, 2].map(|c| ((self.0[c] + 1.0) / (f32::from(rgb[c]) + 1.0)).ln().max(0.0))
    }

    /// Whether a pixel holds tissue.
    pub fn is_tissue(&self, rgb: [u8; 3]) -> bool {
        is_stained(self.od(rgb))
    }

    /// Why a slide whose picture this is does not look like H&E, if so.
    ///
    /// Bright field: less than half of the picture near black to the eye, blue counting little (DAPI is bright blue). H&E: green is absorbed most, as both haematoxylin (0.65, 0.70,
    /// 0.29) and eosin (0.07, 0.99, 0.11) do; brown DAB absorbs blue most, fluorescence has no glass at all.
    pub fn not_he(&self, picture: &RgbImage) -> Option<&'static str> {
        let dark = picture.pixels().filter(|p| luma(p.0) < DARK_LUMA).count();
        if 2 * dark >= picture.pixels().len() {
            return Some("the background is dark as in fluorescence, not bright as in H&E");
        }
        let (mut sum, mut n) = ([0.0f64; 3], 0u64);
        for od in picture.pixels().filter(|p| self.is_tissue(p.0)).map(|p| self.od(p.0)) {
            (0..3).for_each(|c| sum[c] += f64::from(od[c].min(2.5)));
            n += 1;
        }
        let [r, g, b] = sum;
        (n > 0 && g < 0.95 * r.max(b)).then_some("the stain is not the pink and purple of H&E")
    }
}

/// Whether optical densities are those of tissue.
pub(super) fn is_stained([r, g, b]: [f32; 3]) -> bool {
    r.max(g).max(b) - r.min(g).min(b) > STAINED_OD || (r + g + b) / 3.0 > DARK_OD
}

/// Optical density of haematoxylin in a colour, least squares over both stains.
pub fn haematoxylin(od: [f32; 3]) -> f32 {
    amount(od, HAEMATOXYLIN, EOSIN)
}

/// Optical density of eosin in a colour, least squares over both stains.
pub(super) fn eosin(od: [f32; 3]) -> f32 {
    amount(od, EOSIN, HAEMATOXYLIN)
}

/// How much of stain `a` is in a colour that is made of `a` and `b`.
fn amount(od: [f32; 3], a: [f32; 3], b: [f32; 3]) -> f32 {
    let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let (aa, bb, ab) = (dot(a, a), dot(b, b), dot(a, b));
    (dot(od, a) * bb - dot(od, b) * ab) / (aa * bb - ab * ab)
}

/// Brightness to the eye, 0..=255 (ITU-R BT.601).
fn luma(p: [u8; 3]) -> f32 {
    0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])
}

fn lowest(p: &[u8; 3]) -> u8 {
    p[0].min(p[1]).min(p[2])
}

fn highest(p: &[u8; 3]) -> u8 {
    p[0].max(p[1]).max(p[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(left: [u8; 3], right: [u8; 3]) -> RgbImage {
        RgbImage::from_fn(40, 40, |x, _| image::Rgb(if x < 20 { left } else { right }))
    }

    #[test]
    fn glass_is_found_under_any_white_balance_and_shades_of_it_are_not_tissue() {
        for glass in [[240, 240, 240], [238, 232, 236], [228, 222, 205]] {
            let g = Glass::of(&picture(glass, [205, 120, 170]));
            assert_eq!(g.0, glass.map(f32::from));
            assert!(
                !g.is_tissue(glass) && !g.is_tissue(glass.map(|v| v - 15)) && g.is_tissue([205, 120, 170]) && g.is_tissue([30, 30, 30])
            );
        }
        assert!(!Glass::of(&picture([240, 238, 240], [255, 255, 255])).is_tissue([255, 255, 255]));
    }

    #[test]
    fn he_passes_and_fluorescence_brown_and_blue_stains_do_not() {
        let glass = [240, 240, 240];
        for (tissue, he) in
            [([200, 110, 170], true), ([120, 80, 150], true), ([225, 150, 190], true), ([150, 100, 60], false), ([90, 140, 200], false)]
        {
            let p = picture(glass, tissue);
            assert_eq!(Glass::of(&p).not_he(&p).is_none(), he, "{tissue:?}");
        }
        for (left, right) in [([5, 5, 8], [20, 20, 140]), ([0, 0, 110], [0, 0, 190])] {
            let p = picture(left, right);
            assert!(Glass::of(&p).not_he(&p).is_some_and(|why| why.contains("fluorescence")));
        }
    }

    #[test]
    fn haematoxylin_is_told_from_eosin() {
        assert!((haematoxylin(HAEMATOXYLIN) - 1.0).abs() < 1e-5);
        assert!(haematoxylin(EOSIN).abs() < 1e-5 && (eosin(EOSIN) - 1.0).abs() < 1e-5);
    }
}
