//! The scores: what each is called, how the cells of a window become one number, and what it is ranked among. In: score planes. Out:
//! one number a score and tile. Higher is worse everywhere; NaN was not judged.

use crate::Planes;

/// Cells a side of the window that a tile's scores are taken over: 256 px, the size that calibrations are made with. Larger tiles count as
/// their worst window.
pub const WINDOW: usize = 8;

/// What a score is ranked among.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Among {
    /// Real tiles that took no part in the map's bank, as scanned and as the autoencoder renders them.
    Real,
    /// Ordinary tiles of the model: what only sampling has, and what every tile of the model has a little of.
    Ordinary,
    /// Nothing: from this value on it flags, with a calibration or without.
    Limit(f32),
    /// Nothing: it has limits of its own, by map.
    Nothing,
}

/// How the cells of a window become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Mean of the largest quarter.
    Quarter,
    /// Mean of all.
    All,
    /// The largest.
    Worst,
}

/// One score.
#[derive(Debug)]
pub struct Score {
    /// Name of its plane.
    pub name: &'static str,
    /// Code of its flag.
    pub code: &'static str,
    /// What it is ranked among.
    pub among: Among,
    /// The flag's sentence.
    pub reason: &'static str,
    over: Over,
}

impl Score {
    /// Whether the bound rests on it: all that are ranked or have a limit but S4, which is measured on request.
    pub fn needed(&self) -> bool {
        !matches!(self.among, Among::Nothing) && self.code != "S4_SEEDS_DISAGREE"
    }

    /// Whether it is ranked.
    pub fn ranked(&self) -> bool {
        matches!(self.among, Among::Real | Among::Ordinary)
    }

    /// Its fixed limit.
    pub fn limit(&self) -> Option<f32> {
        if let Among::Limit(limit) = self.among { Some(limit) } else { None }
    }
}

const fn score(name: &'static str, code: &'static str, among: Among, over: Over, reason: &'static str) -> Score {
    Score { name, code, among, reason, over }
}

/// Index of each score in [`SCORES`] and of its plane.
pub mod index {
    #![allow(missing_docs, reason = "the table below tells each")]
    pub const OFF_MANIFOLD: usize = 0;
    pub const MAP_DISAGREES: usize = 1;
    pub const UNSTABLE: usize = 2;
    pub const SEEDS_DISAGREE: usize = 3;
    pub const CROP_COPY: usize = 4;
    pub const NEAR_DUPLICATE: usize = 5;
    pub const SATURATION: usize = 6;
    pub const STAIN: usize = 7;
    pub const SOFT: usize = 8;
    pub const GRAINY: usize = 9;
    pub const LATTICE: usize = 10;
}

/// Correlation from which on a place is a copy of a crop. On the two slides of the shipped calibration real tiles reached 0.77, tiles of the
/// model 0.84, pasted crops began at 0.84 (5 % below 0.88).
const CROP_COPY: f32 = 0.84;
/// Score from which on a place is a copy of a training picture: there real tiles reached 0.18, tiles of the model 0.19, copies began at 0.29.
const NEAR_DUPLICATE: f32 = 0.235;
/// Softness from which on a tile is blurred or magnified: the geometric mean of the largest value of real tiles there, as scanned and as the
/// autoencoder renders them (2.01), and the smallest of tiles blurred or magnified (4.61). Ranked among real tiles it flagged an eighth of those
/// of other slides, whose values end where nothing is wrong yet.
const SOFT: f32 = 3.05;
/// Graininess from which on a tile is too fine: the same of real tiles (1.75) and of tiles drawn at half the size (2.72).
const GRAINY: f32 = 2.18;

/// All scores in the order of their planes.
pub const SCORES: [Score; 11] = [
    score(
        "s1_off_manifold",
        "S1_OFF_MANIFOLD",
        Among::Real,
        Over::Quarter,
        "The tissue here is unlike the slide's own tissue of this class.",
    ),
    score(
        "s2_map_disagrees",
        "S2_MAP_DISAGREES",
        Among::Real,
        Over::Worst,
        "The tissue here looks like another class than the map asks for.",
    ),
    score("s3_unstable", "S3_UNSTABLE", Among::Ordinary, Over::All, "The model had not settled on this tissue when it stopped."),
    score(
        "s4_seeds_disagree",
        "S4_SEEDS_DISAGREE",
        Among::Ordinary,
        Over::All,
        "Other seeds put other tissue here: the model is not sure what belongs here.",
    ),
    score(
        "s5_crop_copy",
        "S5_CROP_COPY",
        Among::Limit(CROP_COPY),
        Over::Worst,
        "This place repeats one of the crops shown to the model almost pixel by pixel.",
    ),
    score(
        "s5_near_duplicate",
        "S5_NEAR_DUPLICATE",
        Among::Limit(NEAR_DUPLICATE),
        Over::Worst,
        "This place nearly repeats one of the pictures the model was trained on.",
    ),
    score("s6_saturation", "S6_SATURATED", Among::Nothing, Over::All, "Pixels are clipped to black or full colour."),
    score("s6_stain", "S6_STAIN", Among::Nothing, Over::Worst, "The colour here lies outside the stains of the slide's real tissue."),
    score("s7_soft", "S7_SOFT", Among::Limit(SOFT), Over::All, "Fine detail is missing: the tissue is blurred or magnified."),
    score("s7_grainy", "S7_GRAINY", Among::Limit(GRAINY), Over::All, "There is too much fine detail: noise, or tissue drawn too small."),
    score("s8_lattice", "S8_LATTICE", Among::Ordinary, Over::Worst, "A regular lattice lies over the tissue; no section has one."),
];

/// One number a score, in the order of [`SCORES`].
pub type TileScores = [f32; SCORES.len()];

/// The scores of a tile from its planes.
pub fn of_tile(planes: &Planes) -> TileScores {
    std::array::from_fn(|i| {
        let of = |(r, c)| over(SCORES[i].over, window(planes, i, r, c));
        corners(planes.height).flat_map(|r| corners(planes.width).map(move |c| (r, c))).map(of).fold(f32::NAN, f32::max)
    })
}

/// First cells of the windows over `n` cells, half a window apart; the last one ends with them.
fn corners(n: usize) -> impl Iterator<Item = usize> + Clone {
    let (last, step) = (n.saturating_sub(WINDOW), WINDOW / 2);
    (0..=last.div_ceil(step)).map(move |i| (i * step).min(last))
}

/// The judged cells of a window.
fn window(planes: &Planes, score: usize, row: usize, column: usize) -> Vec<f32> {
    let cells = (row..(row + WINDOW).min(planes.height)).flat_map(|r| (column..(column + WINDOW).min(planes.width)).map(move |c| (r, c)));
    cells.map(|(r, c)| planes.at(score, r, c)).filter(|v| !v.is_nan()).collect()
}

fn over(over: Over, mut cells: Vec<f32>) -> f32 {
    if cells.is_empty() {
        return f32::NAN;
    }
    cells.sort_by(f32::total_cmp);
    let from = match over {
        Over::All => 0,
        Over::Quarter => cells.len() * 3 / 4,
        Over::Worst => cells.len() - 1,
    };
    cells[from..].iter().sum::<f32>() / (cells.len() - from) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_tile_counts_as_its_worst_window_and_what_was_not_judged_does_not_count() {
        let mut planes = Planes::zeros(SCORES.len(), 16, 12);
        planes.data.fill(f32::NAN);
        for r in 0..16 {
            for c in 0..12 {
                let at = r * 12 + c;
                planes.plane_mut(index::OFF_MANIFOLD)[at] = if r < 8 { 1.0 } else { 2.0 };
                planes.plane_mut(index::UNSTABLE)[at] = if c < 4 { 5.0 } else { 1.0 };
            }
        }
        planes.plane_mut(index::MAP_DISAGREES)[15 * 12 + 11] = 7.0;
        let s = of_tile(&planes);
        assert_eq!((s[index::OFF_MANIFOLD], s[index::MAP_DISAGREES]), (2.0, 7.0));
        assert_eq!(s[index::UNSTABLE], 3.0, "the window of columns 0 to 7: half 5, half 1");
        assert!(s[index::CROP_COPY].is_nan());
        assert_eq!(over(Over::Quarter, vec![1.0, 2.0, 3.0, 9.0]), 9.0);
    }

    #[test]
    fn planes_and_indices_are_in_one_order() {
        assert_eq!(SCORES[index::SEEDS_DISAGREE].name, "s4_seeds_disagree");
        assert_eq!(SCORES[index::NEAR_DUPLICATE].name, "s5_near_duplicate");
        assert_eq!(SCORES[index::STAIN].name, "s6_stain");
        assert_eq!(
            (SCORES[index::SOFT].name, SCORES[index::GRAINY].name, SCORES[index::LATTICE].name),
            ("s7_soft", "s7_grainy", "s8_lattice")
        );
    }
}
