//! What the denoiser is asked for. In: a [`SemanticMap`](crate::semantic_map::SemanticMap), a seed and a tile index. Out: a
//! [`Place`] on the map, its labels at any resolution, the [`Chosen`] crops and the condition `[56, h, w]` made of them.
//!
//! A class is shown to the denoiser as raw tissue: one or two crops of it are encoded, mirror-tiled and laid inside the class's
//! region ([`build`]). Beside the pixels stands the crops' texture, the mean of their embeddings, and, where somebody asks for them,
//! [`Measures`] of stain and nuclei. Crops the map brings always lie outside the target window, so nothing of the answer is shown;
//! those a user names are shown wherever they lie. Labels only point to crops: any number of classes works and their order means
//! nothing. The unconditional pass sees all zeros, which is what training's dropout showed.
//!
//! Units: map cells for places, level-0 pixels where said, latent cells of 8 px for the condition. Fails only on a map that holds
//! no tissue or crops whose latents have the wrong shape. The reference in Python is models/reference/condition.py.
//!
//! ```
//! use histoloom_core::{Planes, condition::{self, Laid}};
//! let crop = Planes::zeros(condition::LATENT, 12, 12);
//! let labels = [1, 1, 0, 0]; // [2, 2] latent cells: tissue above, glass below
//! let class = Laid { class: 1, crops: Some([(&crop, (0, 0)), (&crop, (3, 5))]), texture: Some(vec![0.5; condition::TEXTURE]), measures: None };
//! let c = condition::build(&labels, 2, 2, &[class])?;
//! assert_eq!((c.channels, c.plane(51)[0], c.plane(54)[3]), (56, 1.0, 1.0));
//! # Ok::<(), histoloom_core::Error>(())
//! ```

mod crops;
mod field;
mod labels;
pub mod layout;
pub mod paper;
mod place;
pub mod stain;
#[cfg(test)]
mod tests;

pub use crops::{Chosen, CropChoice, OwnCrops, available, choose_crops, shown_side};
pub use field::{Laid, build, mirror, unconditional};
pub use labels::{label_at, window_labels};
pub use place::{Place, Places};
pub use stain::Measures;

/// Latent channels of the default autoencoder (models/reference/autoencoder.py).
pub const LATENT: usize = 16;
/// Channels of an embedding the denoiser is told of (the encoder's projection).
pub const TEXTURE: usize = 16;
/// First channel of the masks: known (has crops), textured, measured, glass, boundary.
pub const MASKS: usize = 2 * LATENT + TEXTURE + MEASURES;
/// Channels of a condition: crop fields A and B, texture, measures, masks.
pub const CHANNELS: usize = MASKS + 5;
/// Numbers of [`Measures`].
const MEASURES: usize = 3;
/// The unit of textures in the condition (models/reference/condition.py): about the spread of classes within a slide.
const TEXTURE_UNIT: f32 = 2.0;
/// Pixels a latent cell.
pub const LATENT_PX: u32 = 8;
/// Margin of a crop for the autoencoder, in pixels; it is not shown to the denoiser.
pub const MARGIN_PX: u32 = 16;
