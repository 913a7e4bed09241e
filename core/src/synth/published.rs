//! Tiles by an imported network (HTD-LDM). In: plans. Out: latents. The map's classes take the network's places 1, 2 ... in the order
//! of their labels; each shows the first of its crops.

use image::{RgbImage, imageops};

use super::plan::Plan;
use crate::condition::MARGIN_PX;
use crate::condition::paper::{Variant, build};
use crate::diffuse::Denoised;
use crate::diffuse::ddim::{self, EpsDenoiser};
use crate::semantic_map::SemanticMap;
use crate::{Error, Job, Planes, Result, params};

/// Latents of a few tiles.
pub(super) fn denoised(
    network: &dyn EpsDenoiser,
    map: &SemanticMap,
    plans: &[Plan],
    p: &params::Synth,
    seed: u64,
    job: &Job,
) -> Result<Vec<Denoised>> {
    let variant = network.variant();
    let conditions = plans.iter().map(|plan| condition(variant, map, plan)).collect::<Result<Vec<_>>>()?;
    let reduced = network.reduce(&conditions)?;
    let tiles: Vec<(u64, u32)> = plans.iter().map(|plan| (seed, plan.index)).collect();
    let steps = ddim::schedule(p.steps as usize, p.eta)?;
    let out = ddim::denoise(network, &reduced, &tiles, &steps, job)?;
    Ok(out.into_iter().zip(plans).map(|(d, plan)| Denoised { spread: pooled(&d.spread, plan.side), ..d }).collect())
}

/// The condition of one tile.
fn condition(variant: Variant, map: &SemanticMap, plan: &Plan) -> Result<Planes> {
    if map.classes.len() > variant.classes {
        let why = format!("its map has {} classes, the imported model knows {}", map.classes.len(), variant.classes);
        return Err(Error::parameter("model", why, format!("cluster the slide with k = {}", variant.classes)));
    }
    let place = |label: u8| map.classes.iter().position(|c| c.id == label).map_or(0, |i| i as u8 + 1);
    let labels: Vec<u8> = plan.layout.labels.iter().map(|l| place(*l)).collect();
    let mut crops: Vec<Option<RgbImage>> = vec![None; variant.classes];
    for (class, pair) in &plan.choice.known {
        let shown = map.crops.get(pair[0].index).map(|c| {
            let side = c.rgb.width() - 2 * MARGIN_PX;
            imageops::crop_imm(&c.rgb, MARGIN_PX, MARGIN_PX, side, side).to_image()
        });
        crops.get_mut(usize::from(place(*class)).wrapping_sub(1)).into_iter().for_each(|c| c.clone_from(&shown));
    }
    let side = (labels.len() as f64).sqrt() as usize;
    build(variant, &labels, side, side, &crops.iter().map(Option::as_ref).collect::<Vec<_>>())
}

/// The spread by cells of 8 px: means over those of the network's own latents.
fn pooled(spread: &Planes, side: usize) -> Planes {
    let k = (spread.height / side.max(1)).max(1);
    let one = |i: usize| {
        let (r, c) = (i / side * k, i % side * k);
        (0..k * k).map(|n| spread.at(0, r + n / k, c + n % k)).sum::<f32>() / (k * k) as f32
    };
    Planes { channels: 1, height: side, width: side, data: (0..side * side).map(one).collect() }
}
