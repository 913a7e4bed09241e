//! The crop field. In: labels `[h, w]` at latent resolution and what each class is to look like. Out: the condition `[56, h, w]`.

use super::{CHANNELS, LATENT, MASKS, Measures, TEXTURE, TEXTURE_UNIT};
use crate::{Error, Planes, Result};

/// What a class is to look like. Whatever is missing was missing at times in training too.
#[derive(Clone, Debug)]
pub struct Laid<'a> {
    /// The class.
    pub class: u8,
    /// Crops A and B as latents `[16, s, s]`, each with the phase (rows, columns) at which it is tiled. A class with one crop shows
    /// it twice at the same phase, as in training.
    pub crops: Option<[(&'a Planes, (usize, usize)); 2]>,
    /// Mean embedding of the crops.
    pub texture: Option<Vec<f32>>,
    /// Amounts of stain and nuclei.
    pub measures: Option<Measures>,
}

/// Indices of `n` positions into a crop of `size` cells, reflected at its edges, starting at `phase` in 0..2 * size.
pub fn mirror(n: usize, size: usize, phase: usize) -> Vec<usize> {
    let period = 2 * size.max(1);
    (0..n).map(|i| (i + phase) % period).map(|m| if m < size { m } else { period - 1 - m }).collect()
}

/// What the denoiser sees when it is asked for nothing in particular.
pub fn unconditional(h: usize, w: usize) -> Planes {
    Planes::zeros(CHANNELS, h, w)
}

/// The condition `[56, h, w]` of a label map `[h, w]`, 0 = glass. Classes without a crop stay unknown: their field is zero and
/// so is the known mask, which training showed too.
pub fn build(labels: &[u8], h: usize, w: usize, laid: &[Laid<'_>]) -> Result<Planes> {
    if labels.len() != h * w {
        return Err(Error::internal(format!("{} labels for a condition of {h} x {w}", labels.len())));
    }
    let mut out = unconditional(h, w);
    for class in laid {
        for (slot, (crop, phase)) in class.crops.iter().flatten().enumerate() {
            lay(&mut out, slot, labels, class.class, crop, *phase)?;
        }
        if class.crops.is_some() {
            fill(out.plane_mut(MASKS), labels, class.class, 1.0);
        }
        if let Some(texture) = &class.texture {
            if texture.len() != TEXTURE {
                return Err(Error::internal(format!("a texture of {} numbers, not {TEXTURE}", texture.len())));
            }
            let scaled: Vec<f32> = texture.iter().map(|v| v / TEXTURE_UNIT).collect();
            tell(&mut out, 2 * LATENT, MASKS + 1, labels, class.class, &scaled);
        }
        if let Some(m) = class.measures {
            tell(&mut out, 2 * LATENT + TEXTURE, MASKS + 2, labels, class.class, &[m.haematoxylin, m.eosin, m.nuclei]);
        }
    }
    fill(out.plane_mut(MASKS + 3), labels, 0, 1.0);
    boundary(out.plane_mut(MASKS + 4), labels, h, w);
    Ok(out)
}

/// Writes numbers into the channels from `first` on wherever the label is `class`, and sets their mask there.
fn tell(out: &mut Planes, first: usize, mask: usize, labels: &[u8], class: u8, values: &[f32]) {
    for (i, v) in values.iter().enumerate() {
        fill(out.plane_mut(first + i), labels, class, *v);
    }
    fill(out.plane_mut(mask), labels, class, 1.0);
}

/// Sets `value` wherever the label is `class`.
fn fill(plane: &mut [f32], labels: &[u8], class: u8, value: f32) {
    for (p, _) in plane.iter_mut().zip(labels).filter(|(_, l)| **l == class) {
        *p = value;
    }
}

/// Paints the mirror-tiled crop into field `slot` wherever the label is `class`.
fn lay(out: &mut Planes, slot: usize, labels: &[u8], class: u8, crop: &Planes, phase: (usize, usize)) -> Result<()> {
    if crop.channels != LATENT || crop.height == 0 || crop.width == 0 {
        return Err(Error::internal(format!("a crop of {} x {} x {} for the crop field", crop.channels, crop.height, crop.width)));
    }
    let (rows, columns) = (mirror(out.height, crop.height, phase.0), mirror(out.width, crop.width, phase.1));
    let width = out.width;
    for c in 0..LATENT {
        let plane = out.plane_mut(slot * LATENT + c);
        for (i, p) in plane.iter_mut().enumerate().filter(|(i, _)| labels[*i] == class) {
            *p = crop.at(c, rows[i / width], columns[i % width]);
        }
    }
    Ok(())
}

/// Sets 1 on cells with a 4-neighbour of another label.
fn boundary(plane: &mut [f32], labels: &[u8], h: usize, w: usize) {
    for r in 0..h {
        for c in 0..w {
            let i = r * w + c;
            let below = r + 1 < h && labels[i] != labels[i + w];
            let right = c + 1 < w && labels[i] != labels[i + 1];
            for (differs, other) in [(below, i + w), (right, i + 1)] {
                if differs {
                    plane[i] = 1.0;
                    plane[other] = 1.0;
                }
            }
        }
    }
}
