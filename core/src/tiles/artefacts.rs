//! Pen, folds and tissue out of focus: cells that look like tissue and would mislead the classes. In: what the survey measured in each
//! tissue cell, at a quarter of the working resolution (2 um/px as a rule). Out: a reason a cell. Cannot fail.
//!
//! A false alarm takes tissue from the map, a miss leaves a wrong label that a pathologist sees: each rule asks for much, measured on
//! H&E slides without artefacts, and small groups of cells are never taken. What is compared is the slide's own tissue, so that another
//! stain or scanner moves nothing: a slide that is out of focus everywhere is not found out.
//!
//! - Pen: ink absorbs red more than green (blue, green, teal), all colours alike (black) or blue more than green (red); haematoxylin
//!   and eosin do neither, alone or mixed. Colour thresholds for pens are those of practice, as in Janowczyk et al., HistoQC, JCO Clin
//!   Cancer Inform 2019;3:1-7.
//! - Fold: both stains far above the slide's medians, since tissue lies twice; seeds and what hangs on them by a softer threshold, as
//!   in Kothari, Phan and Wang, J Pathol Inform 2013;4:22 (there saturation less intensity).
//! - Out of focus: the energy of the Laplacian over the variance of the grey optical density, in 40 um around, against the slide's
//!   median. Defocus lowers the first far more than the second; pale or smooth tissue lowers both. A Laplacian at low magnification
//!   is HistoQC's measure too.

use half::f16;
use rayon::prelude::*;

use super::mask::{around, groups};
use super::stain::{eosin, haematoxylin};

/// Groups of fewer cells are no pen stroke: a stroke is at least 0.1 mm wide.
const PEN_CELLS: usize = 12;
/// Cells around pen that its edge still tints.
const PEN_RIM: usize = 1;
/// A fold has somewhere both stains above this many medians; dense keratin of a skin slide reaches 2.2 where averaged over 3 x 3 cells.
const FOLD_SEED: f32 = 2.3;
/// And goes as far as both are above this.
const FOLD_SPREAD: f32 = 1.7;
/// Smaller groups are not folds (0.0026 square millimetres of cells of 8 um).
const FOLD_CELLS: usize = 40;
/// A stain whose median optical density is below this is not there: nothing can be said in its multiples.
const FAINT_OD: f32 = 0.05;
/// Half the side, in cells, of the squares that focus is measured in: 5 x 5 cells.
const FOCUS_RADIUS: usize = 2;
/// Out of focus below this share of the slide's median. On four slides in focus the lowest thousandth of the squares lies at 0.1 to
/// 0.45; blurred by a Gaussian of 3 um, 95 of 100 squares lie below 0.08.
const FOCUS: f32 = 0.1;
/// Squares of less variance (optical density, squared) are blank, in focus or not.
const BLANK: f32 = 0.001;
/// Smaller groups are smooth tissue (0.0016 square millimetres of cells of 8 um).
const FOCUS_CELLS: usize = 25;

/// Why a cell is left unlabelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artefact {
    /// Ink of a pen or dye.
    Pen,
    /// Tissue that lies double.
    Fold,
    /// Tissue out of focus.
    Blur,
}

impl Artefact {
    /// All, by code from 1; code 0 is none.
    pub const ALL: [Self; 3] = [Self::Pen, Self::Fold, Self::Blur];

    /// The code in rasters.
    pub fn code(self) -> u8 {
        self as u8 + 1
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        ["pen", "fold", "out of focus"][self as usize]
    }
}

/// What was measured in one cell. Twenty bytes: a large slide has millions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The cell.
    pub cell: u32,
    /// Whether more than half of the stained pixels are ink.
    pub ink: bool,
    /// Mean optical densities of haematoxylin and eosin.
    pub stain: [f16; 2],
    /// Mean of the squared Laplacian of the grey optical density.
    pub fine: f16,
    /// Mean of the grey optical density and of its square.
    pub grey: [f32; 2],
}

impl Look {
    /// Measures a cell of `side x side` pixels with its corner at (x, y) in optical densities `od` of a picture `width` pixels wide.
    pub fn new(cell: u32, od: &[[f32; 3]], width: usize, [x, y]: [usize; 2], side: usize, stained: &dyn Fn([f32; 3]) -> bool) -> Self {
        let height = od.len() / width;
        let at = |x: usize, y: usize| od[y.min(height - 1) * width + x.min(width - 1)];
        let grey = |x: usize, y: usize| at(x, y).iter().sum::<f32>() / 3.0;
        let n = (side * side) as f32;
        let (mut mean, mut tinted, mut inked) = ([0.0f32; 3], 0u32, 0u32);
        let mut out = Self { cell, ink: false, stain: [f16::ZERO; 2], fine: f16::ZERO, grey: [0.0; 2] };
        let mut fine = 0.0;
        for (px, py) in (0..side * side).map(|i| (x + i % side, y + i / side)) {
            let (p, g) = (at(px, py), grey(px, py));
            (0..3).for_each(|c| mean[c] += p[c] / n);
            tinted += u32::from(stained(p));
            inked += u32::from(is_ink(p));
            let beside = grey(px.saturating_sub(1), py) + grey(px + 1, py) + grey(px, py.saturating_sub(1)) + grey(px, py + 1);
            fine += (beside - 4.0 * g).powi(2) / n;
            out.grey[0] += g / n;
            out.grey[1] += g * g / n;
        }
        out.ink = 2 * inked > tinted;
        out.stain = [haematoxylin(mean), eosin(mean)].map(f16::from_f32);
        out.fine = f16::from_f32(fine);
        out
    }
}

/// Whether optical densities are those of ink.
fn is_ink([r, g, b]: [f32; 3]) -> bool {
    let (least, most) = (r.min(g).min(b), r.max(g).max(b));
    // over tissue, which absorbs more green, the ink must be strong to show
    let blue_or_green = r - g > 0.15 && ((r > 1.2 * g && r > 0.5) || (r > 1.08 * g && r > 0.8));
    let black = r + g + b > 3.0 && least > 0.8 * most;
    let red = b > 1.05 * g && g > 0.7 && r < 0.3 * g;
    blue_or_green || black || red
}

/// The [code](Artefact::code) of each cell of `tissue`, 0 where nothing is wrong. Where several are, pen goes before fold before blur.
pub fn artefacts(tissue: &[bool], columns: usize, looks: Vec<Look>) -> Vec<u8> {
    let seen = Seen::new(tissue, columns, looks);
    let mut out = vec![0; tissue.len()];
    let mut mark = |artefact: Artefact, found: Vec<bool>| {
        out.iter_mut().zip(found).filter(|(_, found)| *found).for_each(|(code, _)| *code = artefact.code());
    };
    mark(Artefact::Blur, seen.blurred());
    mark(Artefact::Fold, seen.folded());
    mark(Artefact::Pen, seen.inked());
    out
}

/// Looks that can be found by their cell.
struct Seen<'a> {
    tissue: &'a [bool],
    columns: usize,
    looks: Vec<Look>,
    index: Vec<u32>,
}

impl<'a> Seen<'a> {
    fn new(tissue: &'a [bool], columns: usize, mut looks: Vec<Look>) -> Self {
        looks.retain(|l| tissue[l.cell as usize]);
        let mut index = vec![u32::MAX; tissue.len()];
        (0u32..).zip(&looks).for_each(|(i, look)| index[look.cell as usize] = i);
        Self { tissue, columns, looks, index }
    }

    /// What `then` makes of the means of `of` over the looks within `radius` cells of each look.
    fn near<const N: usize, T: Send>(
        &self,
        radius: usize,
        of: impl Fn(&Look) -> [f32; N] + Sync,
        then: impl Fn([f32; N]) -> T + Sync,
    ) -> Vec<T> {
        let mean = |look: &Look| {
            let mut out = ([0.0; N], 0.0);
            let near = around(look.cell as usize, radius, self.columns, self.tissue.len());
            for other in near.filter_map(|j| self.looks.get(self.index[j] as usize)) {
                out.0.iter_mut().zip(of(other)).for_each(|(s, v)| *s += v);
                out.1 += 1.0;
            }
            then(out.0.map(|sum| sum / out.1))
        };
        self.looks.par_iter().map(mean).collect()
    }

    /// One value a look, spread over the grid; 0 elsewhere.
    fn on_grid(&self, values: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut out = vec![0.0; self.tissue.len()];
        self.looks.iter().zip(values).for_each(|(look, v)| out[look.cell as usize] = v);
        out
    }

    /// The groups of at least `cells` cells with `values` of at least `spread`, one of them `seed`, and `rim` cells of tissue around.
    fn grown(&self, values: &[f32], spread: f32, seed: f32, cells: usize, rim: usize) -> Vec<bool> {
        let mut out = vec![false; values.len()];
        let spread: Vec<bool> = values.iter().map(|v| *v >= spread).collect();
        for group in groups(&spread, self.columns) {
            if group.len() >= cells && group.iter().any(|i| values[*i as usize] >= seed) {
                for &i in &group {
                    around(i as usize, rim, self.columns, values.len()).filter(|j| self.tissue[*j]).for_each(|j| out[j] = true);
                }
            }
        }
        out
    }

    fn inked(&self) -> Vec<bool> {
        let ink = self.on_grid(self.looks.iter().map(|l| f32::from(u8::from(l.ink))));
        self.grown(&ink, 1.0, 1.0, PEN_CELLS, PEN_RIM)
    }

    fn folded(&self) -> Vec<bool> {
        let medians = [0, 1].map(|s| median(self.looks.iter().filter(|l| !l.ink).map(|l| l.stain[s].to_f32()).collect()));
        if medians.iter().any(|m| *m < FAINT_OD) {
            return vec![false; self.tissue.len()];
        }
        let times = self.near(1, |l| l.stain.map(f16::to_f32), |[h, e]| (h / medians[0]).min(e / medians[1]));
        self.grown(&self.on_grid(times.into_iter()), FOLD_SPREAD, FOLD_SEED, FOLD_CELLS, 0)
    }

    fn blurred(&self) -> Vec<bool> {
        // negative where there is too little to see to tell
        let sharpness = self.near(
            FOCUS_RADIUS,
            |l| [l.fine.to_f32(), l.grey[0], l.grey[1]],
            |[fine, mean, square]| {
                let variance = square - mean * mean;
                let sharp = fine / variance.max(1e-6);
                if variance > BLANK { sharp } else { -sharp }
            },
        );
        let least = FOCUS * median(sharpness.iter().map(|v| v.abs()).collect());
        let blurred = sharpness.into_iter().map(|v| f32::from(u8::from(v.is_sign_positive() && v < least)));
        self.grown(&self.on_grid(blurred), 1.0, 1.0, FOCUS_CELLS, FOCUS_RADIUS)
    }
}

/// The median, 0 of nothing.
fn median(mut v: Vec<f32>) -> f32 {
    let half = v.len() / 2;
    if v.is_empty() { 0.0 } else { *v.select_nth_unstable_by(half, f32::total_cmp).1 }
}
