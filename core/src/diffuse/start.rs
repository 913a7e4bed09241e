//! Beginning from real tissue. In: its latents z, a strength, a mask. Out: where the flow begins, and what it must not change.
//!
//! Image to image: the path begins at t = strength with x = (1 - t) z + t n instead of at t = 1 with noise alone (SDEdit, arXiv
//! 2108.01073). Inpainting: where the mask is 0 the velocity is (x - z) / t whatever the network says, so that every sampler walks the
//! straight path from x to z there and arrives at z itself, while the network always sees the kept region as noisy as the rest.

use crate::{Error, Planes, Result};

/// What a tile begins from.
#[derive(Clone, Debug)]
pub struct Start {
    /// Latents of real tissue, `[c, h, w]`.
    pub latents: Planes,
    /// 0 < strength <= 1: 1 forgets the real tissue but for what the mask keeps.
    pub strength: f64,
    /// `[1, h, w]`, 1 = to be made, 0 = to be kept; between them, blended.
    pub mask: Option<Planes>,
}

impl Start {
    /// An error unless it fits latents shaped like `noise`.
    pub fn check(&self, noise: &Planes) -> Result<()> {
        let shape = |p: &Planes| (p.height, p.width);
        let fits = |m: &Planes| m.channels == 1 && shape(m) == shape(noise);
        if shape(&self.latents) != shape(noise) || self.latents.channels != noise.channels || !self.mask.iter().all(fits) {
            return Err(Error::internal("the latents to begin from have another shape than the tile"));
        }
        if self.strength > 0.0 && self.strength <= 1.0 {
            return Ok(());
        }
        Err(Error::parameter("strength", format!("{} is not in 0 < strength <= 1", self.strength), "try 0.6"))
    }

    /// Where the path begins: x = (1 - t) z + t n at t = strength.
    pub(super) fn begin(&self, noise: &Planes) -> Planes {
        let t = self.strength as f32;
        let data = self.latents.data.iter().zip(&noise.data).map(|(z, n)| (1.0 - t) * z + t * n).collect();
        Planes { data, ..*noise }
    }

    /// Holds the velocity of what is kept to the straight path to it; no sampler asks at t = 0.
    pub(super) fn pin(&self, x: &Planes, v: &mut Planes, t: f64) {
        let (Some(mask), t) = (&self.mask, t as f32) else { return };
        let area = mask.area();
        for (i, ((v, x), z)) in v.data.iter_mut().zip(&x.data).zip(&self.latents.data).enumerate() {
            let straight = (x - z) / t;
            *v = straight + mask.data[i % area] * (*v - straight);
        }
    }
}
