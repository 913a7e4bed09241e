//! Faults that are put into tiles, so that how many of them are caught can be counted. In: a tile and dice. Out: the tile with one fault.
//! Those that need a network (truncated, worn, averaged) are made where the networks are.

use image::{Rgb, RgbImage, imageops};

use crate::condition::MARGIN_PX;
use crate::rng::Stream;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A square of the map, half the tile a side, asks for another class than was drawn.
    ClassSwap,
    /// The map of another tile.
    Shuffled,
    /// Decoded from the mean of its own latents and those of a tile of other classes.
    Averaged,
    /// Two to five steps of the denoiser and no refiner.
    Truncated,
    /// Made by networks whose weights were disturbed, as a checkpoint from early in training would be.
    Worn,
    /// Nuclei of twice the size.
    Magnified,
    /// Nuclei of half the size.
    Shrunk,
    /// A chequered lattice of 2, 4 or 8 px.
    Checkerboard,
    /// A Gaussian of 1.5 to 3 px.
    Blurred,
    /// Optical densities mixed with those of two channels exchanged.
    Stained,
    /// One of the shown crops pasted in.
    Pasted,
    /// Real tissue of the index, moved by some pixels, lightened, with noise, through the autoencoder as any tile.
    Copied,
}

impl Fault {
    /// All, in the order in which they are planted.
    pub const ALL: [Self; 12] = [
        Self::ClassSwap,
        Self::Shuffled,
        Self::Averaged,
        Self::Truncated,
        Self::Worn,
        Self::Magnified,
        Self::Shrunk,
        Self::Checkerboard,
        Self::Blurred,
        Self::Stained,
        Self::Pasted,
        Self::Copied,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClassSwap => "class_swap",
            Self::Shuffled => "shuffled_map",
            Self::Averaged => "averaged_latents",
            Self::Truncated => "truncated_sampling",
            Self::Worn => "worn_networks",
            Self::Magnified => "nuclei_2x",
            Self::Shrunk => "nuclei_0.5x",
            Self::Checkerboard => "checkerboard",
            Self::Blurred => "blur",
            Self::Stained => "foreign_stain",
            Self::Pasted => "pasted_crop",
            Self::Copied => "jittered_copy",
        }
    }
}

/// Pixels and labels of a square tile.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Pixels.
    pub rgb: RgbImage,
    /// One class a pixel.
    pub labels: Vec<u8>,
}

impl Drawn {
    fn side(&self) -> usize {
        self.rgb.width() as usize
    }

    fn relabelled(&self, at: impl Fn(usize, usize) -> (usize, usize)) -> Vec<u8> {
        let side = self.side();
        let of = |i: usize| {
            let (x, y) = at(i % side, i / side);
            self.labels[y * side + x]
        };
        (0..side * side).map(of).collect()
    }

    /// A square that asks for one of `classes` that was not drawn there; none where no square holds enough tissue or there is no class.
    pub fn swapped(&self, classes: &[u8], dice: &mut Stream) -> Option<Self> {
        let (side, half) = (self.side(), self.side() / 2);
        for _ in 0..32 {
            let (x, y) = (32 * dice.below(half / 32 + 1), 32 * dice.below(half / 32 + 1));
            let inside = |i: &usize| (x..x + half).contains(&(i % side)) && (y..y + half).contains(&(i / side));
            let mut counts = [0usize; 256];
            (0..side * side).filter(inside).for_each(|i| counts[usize::from(self.labels[i])] += 1);
            let (own, n) = counts.iter().enumerate().skip(1).max_by_key(|(_, n)| **n).unwrap_or((0, &0));
            let others: Vec<u8> = classes.iter().copied().filter(|c| usize::from(*c) != own).collect();
            if others.is_empty() || *n < half * half * 6 / 10 {
                continue;
            }
            let to = others[dice.below(others.len())];
            let mut out = self.clone();
            (0..side * side).filter(inside).filter(|i| self.labels[*i] != 0).for_each(|i| out.labels[i] = to);
            return Some(out);
        }
        None
    }

    /// The middle, twice as large.
    pub fn magnified(&self) -> Self {
        let (side, half) = (self.rgb.width(), self.rgb.width() / 2);
        let middle = imageops::crop_imm(&self.rgb, half / 2, half / 2, half, half).to_image();
        let rgb = imageops::resize(&middle, side, side, imageops::FilterType::CatmullRom);
        let quarter = self.side() / 4;
        Self { rgb, labels: self.relabelled(|x, y| (quarter + x / 2, quarter + y / 2)) }
    }

    /// Half as large, mirrored to fill the tile.
    pub fn shrunk(&self) -> Self {
        let half = self.rgb.width() / 2;
        let small = imageops::resize(&self.rgb, half, half, imageops::FilterType::Lanczos3);
        let of = |v: u32| if v < half { v } else { 2 * half - 1 - v };
        let rgb = RgbImage::from_fn(2 * half, 2 * half, |x, y| *small.get_pixel(of(x), of(y)));
        let at = |v: usize| 2 * of(v as u32) as usize;
        Self { rgb, labels: self.relabelled(|x, y| (at(x), at(y))) }
    }

    /// A chequered lattice of 8 to 16 grey levels.
    pub fn chequered(&self, dice: &mut Stream) -> Self {
        let square = [1, 2, 4][dice.below(3)];
        let height = 8.0 + 8.0 * dice.uniform();
        let shifted = |v: u8, up: bool| (f64::from(v) + if up { height } else { -height }).round().clamp(0.0, 255.0) as u8;
        self.with(|x, y, p| p.map(|v| shifted(v, (x / square + y / square).is_multiple_of(2))))
    }

    /// Blurred.
    pub fn blurred(&self, dice: &mut Stream) -> Self {
        Self { rgb: imageops::blur(&self.rgb, 1.5 + 1.5 * dice.uniform() as f32), labels: self.labels.clone() }
    }

    /// Its densities mixed, at least by half, with those of two channels exchanged.
    pub fn stained(&self, dice: &mut Stream) -> Self {
        let share = 0.5 + 0.4 * dice.uniform() as f32;
        let order = [[1, 0, 2], [0, 2, 1], [2, 1, 0]][dice.below(3)];
        let od = |v: u8| -((f32::from(v) + 1.0) / 256.0).log10();
        self.with(|_, _, p| {
            let own = p.map(od);
            let mixed = |c: usize| (1.0 - share) * own[c] + share * own[order[c]];
            [0, 1, 2].map(|c| (256.0 * 10f32.powf(-mixed(c)) - 1.0).round().clamp(0.0, 255.0) as u8)
        })
    }

    /// The shown part of a crop, pasted somewhere.
    pub fn pasted(&self, crop: &RgbImage, dice: &mut Stream) -> Self {
        let inner = crop.width().saturating_sub(2 * MARGIN_PX).min(self.rgb.width());
        let core = imageops::crop_imm(crop, MARGIN_PX, MARGIN_PX, inner, inner).to_image();
        let room = (self.rgb.width() - inner) as usize + 1;
        let (x, y) = (dice.below(room), dice.below(room));
        let mut out = self.clone();
        imageops::replace(&mut out.rgb, &core, x as i64, y as i64);
        out
    }

    /// Lightened or darkened by up to 4 %, with noise of up to 3 grey levels.
    pub fn jittered(&self, dice: &mut Stream) -> Self {
        let gain = 0.96 + 0.08 * dice.uniform();
        let noise: Vec<f64> = (0..4096).map(|_| 6.0 * dice.uniform() - 3.0).collect();
        let at = |x: u32, y: u32, c: usize| noise[(x as usize * 7919 + y as usize * 104_729 + c * 31) % noise.len()];
        self.with(|x, y, p| [0, 1, 2].map(|c| (gain * f64::from(p[c]) + at(x, y, c)).round().clamp(0.0, 255.0) as u8))
    }

    fn with(&self, of: impl Fn(u32, u32, [u8; 3]) -> [u8; 3]) -> Self {
        let rgb = RgbImage::from_fn(self.rgb.width(), self.rgb.height(), |x, y| Rgb(of(x, y, self.rgb.get_pixel(x, y).0)));
        Self { rgb, labels: self.labels.clone() }
    }
}

/// Share of the pixels at which two label maps differ.
pub fn difference(a: &[u8], b: &[u8]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth::fakes::{PINK, tissue};

    fn drawn() -> Drawn {
        Drawn { rgb: tissue(PINK, 256, 1), labels: (0..256 * 256).map(|i| 1 + u8::from(i % 256 >= 128)).collect() }
    }

    #[test]
    fn a_swap_changes_one_square_of_the_map_and_nothing_else() {
        let d = drawn();
        let mut dice = Stream::new(1, 0, 0);
        let s = d.swapped(&[1, 2, 3], &mut dice).unwrap();
        assert_eq!(s.rgb, d.rgb);
        let changed: Vec<usize> = (0..256 * 256).filter(|i| s.labels[*i] != d.labels[*i]).collect();
        let (x0, x1) = (changed.iter().map(|i| i % 256).min().unwrap(), changed.iter().map(|i| i % 256).max().unwrap());
        assert!(x1 - x0 < 128 && changed.len() >= 128 * 128 / 10 * 6, "{} from {x0} to {x1}", changed.len());
        assert!(d.swapped(&[1], &mut Stream::new(2, 0, 0)).is_none_or(|s| difference(&s.labels, &d.labels) > 0.0));
        let glass = Drawn { labels: vec![0; 256 * 256], ..d };
        assert!(glass.swapped(&[1, 2], &mut dice).is_none());
    }

    #[test]
    fn scale_moves_pixels_and_labels_together() {
        let d = drawn();
        let (m, s) = (d.magnified(), d.shrunk());
        assert_eq!(m.rgb.dimensions(), (256, 256));
        assert_eq!((m.labels[127], m.labels[128]), (1, 2));
        assert_eq!((s.labels[63], s.labels[64], s.labels[191], s.labels[192]), (1, 2, 2, 1));
    }

    #[test]
    fn every_fault_of_pixels_is_the_same_for_the_same_dice_and_leaves_the_map() {
        let d = drawn();
        let of = |f: &dyn Fn(&mut Stream) -> Drawn| {
            let (a, b, c) = (f(&mut Stream::new(1, 0, 0)), f(&mut Stream::new(1, 0, 0)), f(&mut Stream::new(2, 0, 0)));
            assert!(a.rgb == b.rgb && a.rgb != d.rgb && a.labels == d.labels && c.rgb != a.rgb);
        };
        let crop = tissue([90, 60, 120], 128, 9);
        of(&|dice| d.chequered(dice));
        of(&|dice| d.blurred(dice));
        of(&|dice| d.stained(dice));
        of(&|dice| d.pasted(&crop, dice));
        of(&|dice| d.jittered(dice));
    }
}
