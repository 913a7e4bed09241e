//! Where the tissue is and which windows to read. In: a [`TileSource`](crate::TileSource) and its scale. Out: a [`Grid`] of cells, a
//! [`Survey`] that says which cells are tissue and which are artefacts, and the [`Window`]s that cover them. Fails for a slide without tissue, or one that
//! does not look like H&E. Units: cells (one encoder stride), level-0 pixels where a name ends in `_px`.

#[cfg(test)]
mod artefact_tests;
mod artefacts;
mod grid;
mod mask;
mod normalise;
mod roi;
mod stain;
mod survey;

pub use artefacts::Artefact;
pub use grid::{Grid, Window};
pub(crate) use mask::{neighbours4, small_groups};
pub use normalise::{Macenko, Normalised};
pub use roi::Roi;
pub use stain::{Glass, haematoxylin};
pub use survey::{Survey, Wanted, survey, thumbnail};
