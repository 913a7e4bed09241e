//! What the real crops that a tile was shown measure, for its ops. In: a map, a plan. Out: one [`RealClass`] a class, measured once a crop.

use std::collections::BTreeMap;

use image::{RgbImage, imageops};

use super::plan::Plan;
use crate::condition::{MARGIN_PX, Measures};
use crate::ops::{CONTRAST, RealClass, count_nuclei};
use crate::semantic_map::SemanticMap;

/// Crops measured so far.
pub(super) struct Shown<'a> {
    map: &'a SemanticMap,
    known: BTreeMap<usize, RealClass>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(map: &'a SemanticMap) -> Self {
        Self { map, known: BTreeMap::new() }
    }

    /// The classes of a plan that have crops, by label.
    pub(super) fn of(&mut self, plan: &Plan) -> Vec<RealClass> {
        let mut out: Vec<RealClass> = Vec::new();
        for (class, pair) in &plan.choice.known {
            let mut indices = pair.map(|c| c.index).to_vec();
            indices.dedup();
            let crops: Vec<RealClass> = indices.into_iter().filter_map(|i| self.crop(i)).collect();
            if !crops.is_empty() {
                out.push(joined(*class, &crops));
            }
        }
        out.sort_by_key(|c| c.label);
        out
    }

    fn crop(&mut self, index: usize) -> Option<RealClass> {
        if let Some(known) = self.known.get(&index) {
            return Some(*known);
        }
        let seen = inside(&self.map.crops.get(index)?.rgb)?;
        let m = Measures::of(&seen, self.map.work_mpp);
        let one = RealClass {
            label: 0,
            crops: 1,
            haematoxylin: m.haematoxylin,
            eosin: m.eosin,
            nuclei: m.nuclei,
            counted: count_nuclei(&seen, self.map.work_mpp, CONTRAST).len() as u32,
            area_mm2: (f64::from(seen.width()) * f64::from(seen.height()) * self.map.work_mpp.powi(2) * 1e-6) as f32,
        };
        self.known.insert(index, one);
        Some(one)
    }
}

/// What the denoiser is shown of a crop: all but its margin.
fn inside(rgb: &RgbImage) -> Option<RgbImage> {
    let (w, h) = rgb.dimensions();
    let (w, h) = (w.checked_sub(2 * MARGIN_PX).filter(|w| *w > 0)?, h.checked_sub(2 * MARGIN_PX).filter(|h| *h > 0)?);
    Some(imageops::crop_imm(rgb, MARGIN_PX, MARGIN_PX, w, h).to_image())
}

/// Means of measures, sums of counts and areas.
fn joined(label: u8, crops: &[RealClass]) -> RealClass {
    let mean = |of: fn(&RealClass) -> f32| crops.iter().map(of).sum::<f32>() / crops.len() as f32;
    RealClass {
        label,
        crops: crops.len() as u32,
        haematoxylin: mean(|c| c.haematoxylin),
        eosin: mean(|c| c.eosin),
        nuclei: mean(|c| c.nuclei),
        counted: crops.iter().map(|c| c.counted).sum(),
        area_mm2: crops.iter().map(|c| c.area_mm2).sum(),
    }
}
