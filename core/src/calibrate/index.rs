//! The embeddings of a slide's tissue by cells of 32 px. In: a slide and its resolution. Out: a picture of an
//! [`Index`](crate::flags::duplicates::Index). Cells without tissue are 0.

use crate::flags::duplicates::Indexed;
use crate::flags::{CELL_PX, features};
use crate::slide::{Mpp, Region, Scale, read_inside};
use crate::tiles::Glass;
use crate::{Encoder, Error, Job, Result, TileSource};

/// Side of the blocks that are read, in pixels.
const BLOCK_PX: u32 = 512;
/// What is read around a block, so that its cells see their surroundings.
const AROUND_PX: u32 = 64;
/// Most cells of a slide.
const CELLS: usize = 1 << 21;
/// Share of tissue pixels below which a block is skipped.
const TISSUE: f64 = 0.02;

/// Indexes a slide in units of `scale`.
pub fn indexed(source: &dyn TileSource, mpp: Mpp, glass: &Glass, encoder: &dyn Encoder, scale: f32, job: &Job) -> Result<Indexed> {
    let (info, at) = (source.info(), Scale::new(mpp));
    let cell = CELL_PX as f64 * at.downsample;
    let (columns, rows) = ((info.width_px as f64 / cell) as usize, (info.height_px as f64 / cell) as usize);
    if rows.saturating_mul(columns) > CELLS {
        return Err(Error::Limit {
            field: "slide".into(),
            value: format!("{rows} x {columns} cells of 32 px"),
            limit: CELLS.to_string(),
            hint: "index a smaller slide".into(),
        });
    }
    let channels = encoder.channels();
    let packing = crate::flags::duplicates::Index { encoder_sha256: String::new(), channels, scale, pictures: Vec::new() };
    let mut cells = vec![0i8; rows * columns * channels];
    let side = BLOCK_PX as usize / CELL_PX;
    let blocks: Vec<(usize, usize)> = (0..rows).step_by(side).flat_map(|r| (0..columns).step_by(side).map(move |c| (r, c))).collect();
    job.stage("indexing tiles", blocks.len() as u64);
    for (r, c) in blocks {
        job.check()?;
        let (h, w) = (side.min(rows - r), side.min(columns - c));
        let corner = |n: usize| (n as f64 * cell - f64::from(AROUND_PX) * at.downsample).round() as i64;
        let px = |n: usize| (n * CELL_PX) as u32 + 2 * AROUND_PX;
        let region = Region { x: corner(c), y: corner(r), downsample: at.downsample, width_px: px(w), height_px: px(h) };
        let rgb = read_inside(source, &region)?;
        let tissue = rgb.pixels().filter(|p| glass.is_tissue(p.0)).count();
        job.advance(1);
        if (tissue as f64) < TISSUE * (rgb.width() * rgb.height()) as f64 {
            continue;
        }
        let f = features(encoder, &rgb)?;
        let k = CELL_PX / encoder.stride_px() as usize;
        let margin = AROUND_PX as usize / encoder.stride_px() as usize;
        for i in 0..h * w {
            let (y, x) = (margin + i / w * k, margin + i % w * k);
            let to = ((r + i / w) * columns + c + i % w) * channels;
            for ch in 0..channels {
                let mean = (0..k * k).map(|n| f.at(ch, y + n / k, x + n % k)).sum::<f32>() / (k * k) as f32;
                cells[to + ch] = packing.packed(mean);
            }
        }
    }
    Ok(Indexed { id_sha256: info.id_sha256(), mpp: at.work_mpp as f32, rows, columns, cells })
}
