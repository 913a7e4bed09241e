//! A first look at the whole slide at a quarter of the working resolution: which cells are tissue, and their mean colour.

use half::f16;
use image::RgbImage;

use super::artefacts::{self, Look};
use super::stain::is_stained;
use super::{Glass, Grid, Roi, mask};
use crate::ahead;
use crate::cache::{Cache, Kind};
use crate::slide::{Region, SlideInfo, read, read_inside};
use crate::{Job, Result, TileSource};

/// Pixels a cell side in the survey.
const PIXELS: u32 = 4;
/// Cells a side of one read: 1024 x 1024 px.
const BLOCK_CELLS: usize = 256;
/// A cell is tissue from this share of stained pixels on.
const TISSUE_SHARE: f32 = 0.25;
/// Smaller holes in the tissue are gaps between fibres, not lumina: 12 cells of 8 um are 770 square micrometres.
const HOLE_CELLS: usize = 12;
/// In what is kept of a cell: it is tissue.
const TISSUE: u8 = 1;
/// And most of it is ink.
const INK: u8 = 2;
/// What is kept of the [`Look`] of a cell: three numbers of half and two of single precision.
const LOOK_BYTES: usize = 14;
/// Longest side of the thumbnail.
const THUMBNAIL_PX: f64 = 1024.0;

/// What the first look found.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Which cells are tissue (inside the region of interest).
    pub tissue: Vec<bool>,
    /// Mean colour of each cell.
    pub color: Vec<[u8; 3]>,
    /// Cells that were tissue but for an artefact: [its code](super::Artefact::code), else 0. Empty where none were looked for.
    pub artefact: Vec<u8>,
}

/// What is to be found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted<'a> {
    /// Only cells inside; the whole slide without it.
    pub roi: Option<Roi<'a>>,
    /// Smaller islands of tissue are dirt, in cells.
    pub island_cells: usize,
    /// Look for artefacts and take them from the tissue.
    pub artefacts: bool,
}

/// The whole slide, longest side 1024 px (or level 0 where that is smaller).
pub fn thumbnail(source: &dyn TileSource) -> Result<RgbImage> {
    let info = source.info();
    let downsample = (info.width_px.max(info.height_px) as f64 / THUMBNAIL_PX).max(1.0);
    let side = |px: u64| ((px as f64 / downsample).round() as u32).max(1);
    read(source, &Region { x: 0, y: 0, downsample, width_px: side(info.width_px), height_px: side(info.height_px) })
}

/// Looks over the grid block by block; an [`Error::Slide`](crate::Error::Slide) if there is no tissue (inside the region of interest).
/// Blocks that `cache` has are not looked at again.
pub fn survey(source: &dyn TileSource, grid: &Grid, glass: &Glass, wanted: &Wanted<'_>, cache: &Cache, job: &Job) -> Result<Survey> {
    let inside = wanted.roi.as_ref().map(|roi| roi.cells(grid, job)).transpose()?;
    let mut out = Survey { tissue: vec![false; grid.cells()], color: vec![[255; 3]; grid.cells()], artefact: Vec::new() };
    let mut looks = wanted.artefacts.then(Vec::new);
    let blocks = blocks(grid, inside.as_deref());
    job.stage("finding the tissue", blocks.len() as u64);
    let seen = |i: usize| {
        job.check()?;
        let [row, column, ..] = blocks[i];
        let number = (row / BLOCK_CELLS * grid.columns.div_ceil(BLOCK_CELLS) + column / BLOCK_CELLS) as u32;
        let kept = cache.get(Kind::Survey, number)?;
        let keep = kept.is_none() && cache.kept();
        Ok((kept.map_or_else(|| look(source, grid, glass, blocks[i]), Ok)?, keep.then_some(number)))
    };
    let take = |i: usize, (seen, keep): (Vec<u8>, Option<u32>)| {
        keep.map_or(Ok(()), |number| cache.put(Kind::Survey, number, &seen))?;
        out.take(grid, blocks[i], &seen, looks.as_mut());
        job.advance(1);
        Ok(())
    };
    ahead::in_order(rayon::current_num_threads().min(source.concurrent_reads()), blocks.len(), seen, take)?;
    let any = out.tissue.contains(&true);
    mask::clean(&mut out.tissue, grid.columns, wanted.island_cells, HOLE_CELLS);
    if any && !out.tissue.contains(&true) {
        let hint = "make `min_region_um2` smaller, 0 keeps all";
        return Err(source.info().error("all its tissue lies in islands smaller than the least region", hint));
    }
    if let Some(looks) = looks {
        out.artefact = artefacts::artefacts(&out.tissue, grid.columns, looks);
        out.tissue.iter_mut().zip(&out.artefact).for_each(|(tissue, artefact)| *tissue &= *artefact == 0);
        // slivers between artefacts; holes are the artefacts themselves
        mask::clean(&mut out.tissue, grid.columns, wanted.island_cells, 0);
    }
    for (i, inside) in inside.iter().flatten().enumerate().filter(|(_, inside)| !**inside) {
        out.tissue[i] = *inside;
        if let Some(code) = out.artefact.get_mut(i) {
            *code = 0;
        }
    }
    if !out.tissue.contains(&true) {
        return Err(no_tissue(source.info(), inside.is_some(), out.artefact.iter().any(|a| *a != 0)));
    }
    Ok(out)
}

fn no_tissue(info: &SlideInfo, roi: bool, artefacts: bool) -> crate::Error {
    if artefacts {
        info.error("all tissue was taken for pen, folds or out of focus", "set `artefacts` to false to map it all the same")
    } else if roi {
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

/// Looks at a block of cells (row, column, rows, columns): four bytes a cell, mean colour and [`TISSUE`] or [`INK`], and then
/// the numbers of the [`Look`] of each cell of tissue.
fn look(source: &dyn TileSource, grid: &Grid, glass: &Glass, [row, column, rows, columns]: [usize; 4]) -> Result<Vec<u8>> {
    let picture = read_inside(source, &grid.region(row as i64, column as i64, rows, columns, PIXELS))?;
    let (side, width, height) = (PIXELS as usize, picture.width() as usize, picture.height() as usize);
    let (mut out, mut looks) = (Vec::with_capacity(4 * rows * columns), Vec::new());
    // optical densities of a row of cells with a row of pixels above and below, the first of which is row `top` of the picture
    let (mut od, mut top): (Vec<[f32; 3]>, usize) = (Vec::new(), 0);
    for r in 0..rows {
        let from = (r * side).saturating_sub(1);
        od.drain(..(from - top) * width);
        top = from;
        let (ready, end) = (top + od.len() / width, ((r + 1) * side + 1).min(height));
        od.extend(picture.rows().skip(ready).take(end - ready).flatten().map(|p| glass.od(p.0)));
        for c in 0..columns {
            let (mut sum, mut stained) = ([0u32; 3], 0u32);
            for i in 0..PIXELS * PIXELS {
                let (x, y) = (c as u32 * PIXELS + i % PIXELS, r as u32 * PIXELS + i / PIXELS);
                let p = picture.get_pixel(x, y).0;
                (0..3).for_each(|k| sum[k] += u32::from(p[k]));
                stained += u32::from(is_stained(od[(y as usize - top) * width + x as usize]));
            }
            out.extend(sum.map(|s| (s / (PIXELS * PIXELS)) as u8));
            let mut flags = 0;
            if stained as f32 > TISSUE_SHARE * (PIXELS * PIXELS) as f32 {
                let look = Look::new(0, &od, width, [c * side, r * side - top], side, &is_stained);
                flags = TISSUE | if look.ink { INK } else { 0 };
                let [h, e] = look.stain;
                [h, e, look.fine].iter().for_each(|v| looks.extend(v.to_le_bytes()));
                look.grey.iter().for_each(|v| looks.extend(v.to_le_bytes()));
            }
            out.push(flags);
        }
    }
    out.append(&mut looks);
    Ok(out)
}

impl Survey {
    /// Takes over what [`look`] saw of a block.
    fn take(&mut self, grid: &Grid, [row, column, rows, columns]: [usize; 4], seen: &[u8], mut looks: Option<&mut Vec<Look>>) {
        let (cells, numbers) = seen.split_at((4 * rows * columns).min(seen.len()));
        let numbers = numbers.as_chunks::<LOOK_BYTES>().0;
        // by a quarter at most: doubled, they would be what takes most memory on a large slide
        if let Some(looks) = looks.as_mut().filter(|looks| looks.capacity() - looks.len() < numbers.len()) {
            looks.reserve_exact(numbers.len().max(looks.len() / 4));
        }
        let mut numbers = numbers.iter();
        for (i, cell) in cells.as_chunks::<4>().0.iter().enumerate() {
            let at = (row + i / columns) * grid.columns + column + i % columns;
            let [r, g, b, flags] = *cell;
            (self.color[at], self.tissue[at]) = ([r, g, b], flags & TISSUE != 0);
            if flags & TISSUE != 0 {
                let Some([h0, h1, e0, e1, f0, f1, m0, m1, m2, m3, s0, s1, s2, s3]) = numbers.next() else { continue };
                let [stain @ .., fine] = [[*h0, *h1], [*e0, *e1], [*f0, *f1]].map(f16::from_le_bytes);
                let grey = [[*m0, *m1, *m2, *m3], [*s0, *s1, *s2, *s3]].map(f32::from_le_bytes);
                let look = Look { cell: at as u32, ink: flags & INK != 0, stain, fine, grey };
                looks.iter_mut().for_each(|looks| looks.push(look));
            }
        }
    }
}
