//! A first look at the whole slide at a quarter of the working resolution: which cells are tissue, and their mean colour.

use image::RgbImage;

use super::{Glass, Grid, Roi, mask};
use crate::slide::{Region, SlideInfo, read};
use crate::{Job, Result, TileSource};

/// Pixels a cell side in the survey.
const PIXELS: u32 = 4;
/// Cells a side of one read: 1024 x 1024 px.
const BLOCK_CELLS: usize = 256;
/// A cell is tissue from this share of stained pixels on.
const TISSUE_SHARE: f32 = 0.25;
/// Smaller islands of tissue and smaller holes in it are dirt: 12 cells of 8 um are 770 square micrometres, about five cells of the body.
const LEAST_CELLS: usize = 12;
/// Longest side of the thumbnail.
const THUMBNAIL_PX: f64 = 1024.0;

/// What the first look found.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Which cells are tissue (inside the region of interest).
    pub tissue: Vec<bool>,
    /// Mean colour of each cell.
    pub color: Vec<[u8; 3]>,
}

/// The whole slide, longest side 1024 px (or level 0 where that is smaller).
pub fn thumbnail(source: &dyn TileSource) -> Result<RgbImage> {
    let info = source.info();
    let downsample = (info.width_px.max(info.height_px) as f64 / THUMBNAIL_PX).max(1.0);
    let side = |px: u64| ((px as f64 / downsample).round() as u32).max(1);
    read(source, &Region { x: 0, y: 0, downsample, width_px: side(info.width_px), height_px: side(info.height_px) })
}

/// Looks over the grid block by block; an [`Error::Slide`](crate::Error::Slide) if there is no tissue (inside the region of interest).
pub fn survey(source: &dyn TileSource, grid: &Grid, glass: &Glass, roi: Option<&Roi<'_>>, job: &Job) -> Result<Survey> {
    let inside = roi.map(|roi| roi.cells(grid, job)).transpose()?;
    let mut out = Survey { tissue: vec![false; grid.cells()], color: vec![[255; 3]; grid.cells()] };
    let blocks: Vec<_> = blocks(grid, inside.as_deref());
    job.stage("survey", blocks.len() as u64);
    for block in blocks {
        job.check()?;
        look(source, grid, glass, block, &mut out)?;
        job.advance(1);
    }
    mask::clean(&mut out.tissue, grid.columns, LEAST_CELLS);
    for (tissue, inside) in out.tissue.iter_mut().zip(inside.iter().flatten()) {
        *tissue &= inside;
    }
    if !out.tissue.contains(&true) {
        return Err(no_tissue(source.info(), inside.is_some()));
    }
    Ok(out)
}

fn no_tissue(info: &SlideInfo, roi: bool) -> crate::Error {
    if roi {
        info.error("no tissue inside the region of interest", "give `roi` in level-0 pixels, around tissue")
    } else {
        info.error(
            "no tissue found",
            "is this the right slide? Pale stains can be mapped by giving a `roi` around them only if they are stained at all",
        )
    }
}

/// Rectangles of cells (row, column, rows, columns) to look at.
fn blocks(grid: &Grid, inside: Option<&[bool]>) -> Vec<[usize; 4]> {
    let mut out = Vec::new();
    for row in (0..grid.rows).step_by(BLOCK_CELLS) {
        for column in (0..grid.columns).step_by(BLOCK_CELLS) {
            let (rows, columns) = (BLOCK_CELLS.min(grid.rows - row), BLOCK_CELLS.min(grid.columns - column));
            let wanted = inside.is_none_or(|m| (row..row + rows).any(|r| m[r * grid.columns + column..][..columns].contains(&true)));
            if wanted {
                out.push([row, column, rows, columns]);
            }
        }
    }
    out
}

fn look(source: &dyn TileSource, grid: &Grid, glass: &Glass, [row, column, rows, columns]: [usize; 4], out: &mut Survey) -> Result<()> {
    let picture = read(source, &grid.region(row as i64, column as i64, rows, columns, PIXELS))?;
    for r in 0..rows {
        for c in 0..columns {
            let (mut sum, mut stained) = ([0u32; 3], 0u32);
            for i in 0..PIXELS * PIXELS {
                let p = picture.get_pixel(c as u32 * PIXELS + i % PIXELS, r as u32 * PIXELS + i / PIXELS).0;
                (0..3).for_each(|k| sum[k] += u32::from(p[k]));
                stained += u32::from(glass.is_tissue(p));
            }
            let cell = (row + r) * grid.columns + column + c;
            out.color[cell] = sum.map(|s| (s / (PIXELS * PIXELS)) as u8);
            out.tissue[cell] = stained as f32 > TISSUE_SHARE * (PIXELS * PIXELS) as f32;
        }
    }
    Ok(())
}
