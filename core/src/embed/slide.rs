//! The tissue of a whole slide, window by window: only what one batch needs is held besides the rows of the tissue cells.

use image::{RgbImage, imageops};

use super::Encoder;
use crate::cluster::Rows;
use crate::slide::read_inside;
use crate::tiles::{Grid, Window};
use crate::{Error, Job, Planes, Result, TileSource};

/// Windows handed to the encoder at once. Small: a cancel is noticed after a batch, and activations cost memory.
const BATCH: usize = 2;
/// Marks a cell without a row.
const NONE: u32 = u32::MAX;

/// Embeddings of the tissue cells of a slide.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Length of a row.
    pub channels: usize,
    /// Cell number of each row, ascending.
    pub cells: Vec<u32>,
    /// `cells.len() * channels` values.
    pub data: Vec<f32>,
    /// Row of each cell of the grid, `u32::MAX` where there is no tissue.
    index: Vec<u32>,
}

impl Embedding {
    /// All zero, for the cells of `tissue`.
    pub fn zeros(tissue: &[bool], channels: usize) -> Self {
        let cells: Vec<u32> = (0u32..).zip(tissue).filter(|(_, t)| **t).map(|(i, _)| i).collect();
        let mut index = vec![NONE; tissue.len()];
        (0u32..).zip(&cells).for_each(|(row, cell)| index[*cell as usize] = row);
        Self { channels, data: vec![0.0; cells.len() * channels], cells, index }
    }

    /// The row number of a cell, if it is tissue.
    pub fn row_of(&self, cell: usize) -> Option<usize> {
        self.index.get(cell).filter(|r| **r != NONE).map(|r| *r as usize)
    }

    /// The rows.
    pub fn rows(&self) -> Rows<'_> {
        Rows { data: &self.data, channels: self.channels }
    }

    /// Takes the cells of a window's core over from its feature block.
    fn take(&mut self, grid: &Grid, window: &Window, block: &Planes) {
        for r in 0..window.rows {
            for c in 0..window.columns {
                let cell = (window.row + r) * grid.columns + window.column + c;
                if let Some(row) = self.row_of(cell) {
                    for k in 0..self.channels {
                        self.data[row * self.channels + k] = block.at(k, r + window.margin, c + window.margin);
                    }
                }
            }
        }
    }
}

/// Embeds every tissue cell. Each window is seen twice, as it is and turned by 90 degrees, and the two are averaged: what the encoder
/// says about the direction of fibres cancels to first order (a feature that goes with the cosine of twice their angle changes its
/// sign), so that stroma is one tissue whichever way it runs.
pub fn embed_slide(source: &dyn TileSource, encoder: &dyn Encoder, grid: &Grid, tissue: &[bool], job: &Job) -> Result<Embedding> {
    let windows = grid.windows(tissue);
    let mut out = Embedding::zeros(tissue, encoder.channels());
    job.stage("embed", windows.len() as u64);
    for batch in windows.chunks(BATCH) {
        job.check()?;
        let pictures: Vec<RgbImage> = batch.iter().map(|w| read_inside(source, &w.region)).collect::<Result<_>>()?;
        job.check()?;
        let blocks = embed_unturned(encoder, &pictures, job)?;
        batch.iter().zip(&blocks).for_each(|(window, block)| out.take(grid, window, block));
        job.advance(batch.len() as u64);
    }
    Ok(out)
}

/// Features averaged over a picture and its turn by 90 degrees; square pictures of one size.
fn embed_unturned(encoder: &dyn Encoder, pictures: &[RgbImage], job: &Job) -> Result<Vec<Planes>> {
    let straight = checked(encoder, pictures)?;
    job.check()?;
    let turned: Vec<RgbImage> = pictures.iter().map(imageops::rotate90).collect();
    let turned = checked(encoder, &turned)?;
    Ok(straight.iter().zip(&turned).map(|(a, b)| average(a, b)).collect())
}

/// The mean of a block and one that was turned clockwise by 90 degrees.
fn average(a: &Planes, turned: &Planes) -> Planes {
    let mut out = a.clone();
    for k in 0..a.channels {
        for r in 0..a.height {
            for c in 0..a.width {
                // clockwise: what was at (r, c) is now at (c, height - 1 - r)
                let v = turned.at(k, c, a.height - 1 - r);
                let to = &mut out.data[(k * a.height + r) * a.width + c];
                *to = 0.5 * (*to + v);
            }
        }
    }
    out
}

/// Calls the encoder and holds it to its promise.
fn checked(encoder: &dyn Encoder, pictures: &[RgbImage]) -> Result<Vec<Planes>> {
    let blocks = encoder.embed(pictures)?;
    let stride = encoder.stride_px();
    let fits = |p: &RgbImage, b: &Planes| {
        (b.channels, b.height, b.width) == (encoder.channels(), (p.height() / stride) as usize, (p.width() / stride) as usize)
    };
    if blocks.len() != pictures.len() || !pictures.iter().zip(&blocks).all(|(p, b)| fits(p, b)) {
        return Err(Error::internal(format!("encoder {} returned blocks of another shape than promised", encoder.id())));
    }
    if blocks.iter().any(|b| b.data.iter().any(|v| !v.is_finite())) {
        return Err(Error::Device {
            device: encoder.id().into(),
            why: "the encoder returned numbers that are not finite".into(),
            hint: "try `device` cpu".into(),
        });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_block_is_turned_back() {
        let p = RgbImage::from_fn(32, 32, |x, y| image::Rgb([(x / 16) as u8, (y / 16) as u8, 0]));
        let cells = |p: &RgbImage| {
            let at = |i: usize| p.get_pixel((i as u32 % 2) * 16, (i as u32 / 2) * 16).0;
            Planes::new(2, 2, 2, (0..8).map(|i| f32::from(at(i % 4)[i / 4])).collect()).unwrap()
        };
        assert_eq!(average(&cells(&p), &cells(&imageops::rotate90(&p))), cells(&p));
    }
}
