//! The layout of a real picture: what each place of it looks most like. In: a picture of tissue, the map's bank. Out: labels.

use image::RgbImage;

use crate::condition::layout::{Layout, majority};
use crate::flags::{Manifold, features};
use crate::semantic_map::SemanticMap;
use crate::tiles::Glass;
use crate::{Encoder, Error, Result};

/// Cells to each side that are averaged, as the map's own smoothing does.
const REACH: usize = 2;
/// A cell with less tissue than this is background.
const TISSUE: f32 = 0.25;

/// Labels of a square picture whose side is a multiple of the encoder's stride: the class whose real tissue is nearest.
pub(super) fn layout(map: &SemanticMap, encoder: &dyn Encoder, rgb: &RgbImage) -> Result<Layout> {
    let none = || Error::parameter("init", "the map holds no embeddings to name its tissue by", "give `labels` or `at` for its map");
    let manifold = Manifold::new(&map.bank).filter(|m| m.channels() == encoder.channels()).ok_or_else(none)?;
    let f = features(encoder, rgb)?;
    let (stride, side) = (encoder.stride_px() as usize, rgb.width() as usize);
    let glass = Glass::of(&map.thumbnail);
    let tissue: Vec<bool> = (0..f.area())
        .map(|i| {
            let (y, x) = (i / f.width * stride, i % f.width * stride);
            let pixels = (0..stride * stride).map(|k| rgb.get_pixel((x + k % stride) as u32, (y + k / stride) as u32).0);
            pixels.filter(|p| glass.is_tissue(*p)).count() as f32 >= TISSUE * (stride * stride) as f32
        })
        .collect();
    let label = |i: usize| {
        if !tissue[i] {
            return 0;
        }
        let (r, c) = (i / f.width, i % f.width);
        let rows = r.saturating_sub(REACH)..(r + REACH + 1).min(f.height);
        let near = |r: usize| (c.saturating_sub(REACH)..(c + REACH + 1).min(f.width)).map(move |c| r * f.width + c);
        let cells: Vec<usize> = rows.flat_map(near).filter(|j| tissue[*j]).collect();
        let mean = |k: usize| cells.iter().map(|j| f.plane(k)[*j]).sum::<f32>() / cells.len().max(1) as f32;
        manifold.closest(&(0..f.channels).map(mean).collect::<Vec<_>>()).unwrap_or(0)
    };
    let cells: Vec<u8> = (0..f.area()).map(label).collect();
    let labels: Vec<u8> = (0..side * side).map(|i| cells[i / side / stride * f.width + i % side / stride]).collect();
    Ok(Layout { place: None, latent_labels: majority(&labels, side), labels, missed: false })
}
