//! The crop field. In: labels `[h, w]` at latent resolution and encoded crops. Out: the condition `[35, h, w]`.

use super::{CHANNELS, LATENT};
use crate::{Error, Planes, Result};

/// A class with its two encoded crops `[16, s, s]` and the phase (rows, columns) at which each is tiled. A class with one crop
/// shows it twice at the same phase, as in training.
#[derive(Clone, Copy, Debug)]
pub struct Laid<'a> {
    /// The class.
    pub class: u8,
    /// Crops A and B.
    pub crops: [(&'a Planes, (usize, usize)); 2],
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

/// The condition `[35, h, w]` of a label map `[h, w]`, 0 = glass. Classes without a crop stay unknown: their field is zero and
/// so is the known mask, which training showed too.
pub fn build(labels: &[u8], h: usize, w: usize, laid: &[Laid<'_>]) -> Result<Planes> {
    if labels.len() != h * w {
        return Err(Error::internal(format!("{} labels for a condition of {h} x {w}", labels.len())));
    }
    let mut out = unconditional(h, w);
    for class in laid {
        for (slot, (crop, phase)) in class.crops.iter().enumerate() {
            lay(&mut out, slot, labels, class.class, crop, *phase)?;
        }
        mark(out.plane_mut(2 * LATENT), labels, class.class);
    }
    mark(out.plane_mut(2 * LATENT + 1), labels, 0);
    boundary(out.plane_mut(2 * LATENT + 2), labels, h, w);
    Ok(out)
}

/// Sets 1 wherever the label is `class`.
fn mark(plane: &mut [f32], labels: &[u8], class: u8) {
    for (p, _) in plane.iter_mut().zip(labels).filter(|(_, l)| **l == class) {
        *p = 1.0;
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
