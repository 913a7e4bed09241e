//! Where on the map a tile is made. In: map, tile size, seed, tile index. Out: a [`Place`] that holds at least 60 % tissue where the
//! map offers one, mixed regions preferred by the entropy of their classes (H = -sum p ln p, design/method.md section 3).

use image::RgbImage;

use super::{crops, labels::cell};
use crate::rng::Stream;
use crate::semantic_map::SemanticMap;
use crate::slide::{Region, read_inside};
use crate::{Error, Result, TileSource};

/// Candidates drawn a tile; enough that a class of 5 % of the tissue is hit by some with probability 0.96.
const CANDIDATES: usize = 64;
/// Share of tissue a window should hold.
const TISSUE: f64 = 0.6;
/// Weight of a window of one single class beside one of entropy 1 nat: pure regions stay possible.
const PURE: f64 = 0.1;
/// Lane of the random stream; 0 is the noise.
const LANE: u32 = 1;

/// A square window on the map, its corner on a cell's corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Upper row of cells; negative where the window is larger than the map.
    pub row: i64,
    /// Left column of cells.
    pub column: i64,
    /// Side in cells.
    pub cells: f64,
    /// Left edge, level-0 pixels.
    pub x: f64,
    /// Upper edge, level-0 pixels.
    pub y: f64,
    /// Side in level-0 pixels.
    pub side_px: f64,
    /// Share of tissue, 0..=1.
    pub tissue: f64,
    /// Entropy of the classes among the tissue, in nats.
    pub entropy: f64,
    /// Share of the tissue whose class has a crop outside the window.
    pub known: f64,
}

impl Place {
    /// Its real tissue, `size_px` pixels a side.
    pub fn read(&self, source: &dyn TileSource, size_px: u32) -> Result<RgbImage> {
        let downsample = self.side_px / f64::from(size_px);
        read_inside(
            source,
            &Region { x: self.x.round() as i64, y: self.y.round() as i64, downsample, width_px: size_px, height_px: size_px },
        )
    }
}

/// Whether tiles are drawn around cells of a label: any tissue, or what was annotated where a map has that.
fn is_wanted(map: &SemanticMap, label: u8) -> bool {
    label != 0 && map.other_label() != Some(label)
}

/// Chooses places on one map for tiles of one size.
pub struct Places<'a> {
    map: &'a SemanticMap,
    cells: f64,
    /// Cells that tiles are wanted of above each row, and in all.
    above: Vec<u64>,
}

impl<'a> Places<'a> {
    /// For tiles of `size_px` pixels at the map's working resolution. An error if the map holds no tissue.
    pub fn new(map: &'a SemanticMap, size_px: u32) -> Result<Self> {
        let mut above = vec![0; map.rows + 1];
        for (r, row) in map.labels.chunks_exact(map.columns.max(1)).enumerate().take(map.rows) {
            above[r + 1] = above[r] + row.iter().filter(|l| is_wanted(map, **l)).count() as u64;
        }
        if above[map.rows] == 0 {
            return Err(Error::parameter("from", "the map holds no tissue", "cluster a slide or a region of interest that shows tissue"));
        }
        let cells = f64::from(size_px) * map.work_mpp / (map.cell_px * map.mpp);
        let whole = (cells - cells.round()).abs() < 1e-6; // rounding of the map's scale must not add a row of cells
        Ok(Self { map, cells: if whole { cells.round() } else { cells }, above })
    }

    /// The place of a tile; the same for the same seed and tile, whatever else the run makes.
    pub fn choose(&self, seed: u64, tile: u32) -> Place {
        let mut stream = Stream::new(seed, tile, LANE);
        let mut best: Option<Place> = None;
        let mut fit = Vec::new();
        for _ in 0..CANDIDATES {
            let p = self.candidate(&mut stream);
            if p.tissue >= TISSUE {
                fit.push(p);
            }
            if best.is_none_or(|b| p.tissue > b.tissue) {
                best = Some(p);
            }
        }
        drawn(&fit, stream.uniform()).or(best).unwrap_or_else(|| self.cell(0, 0))
    }

    /// The place whose upper left corner is the cell corner nearest to (x, y) in level-0 pixels. An error where it holds no tissue.
    pub fn at(&self, x: f64, y: f64) -> Result<Place> {
        let cell = |v: f64| (v / self.map.cell_px).round().clamp(-1e9, 1e9) as i64;
        let place = self.cell(cell(y), cell(x));
        if place.tissue > 0.0 {
            return Ok(place);
        }
        let (w, h) = (self.map.columns as f64 * self.map.cell_px, self.map.rows as f64 * self.map.cell_px);
        let hint = format!("the map covers {w:.0} x {h:.0} level-0 pixels; choose a place with tissue on it");
        Err(Error::parameter("at", format!("there is no tissue in the window at ({x:?}, {y:?})"), hint))
    }

    /// The place whose middle is nearest to a point in level-0 pixels, kept inside the map where it fits; none where it holds no
    /// tissue.
    pub fn around(&self, [x, y]: [f64; 2]) -> Option<Place> {
        let side = self.cells.ceil().max(1.0) as i64;
        let corner = |at: f64, cells: usize| {
            let first = (at / self.map.cell_px - self.cells / 2.0).round().clamp(-1e9, 1e9) as i64;
            let outside = first + side <= 0 || first >= cells as i64;
            if outside || side > cells as i64 { first } else { first.clamp(0, cells as i64 - side) }
        };
        Some(self.cell(corner(y, self.map.rows), corner(x, self.map.columns))).filter(|p| p.tissue > 0.0)
    }

    /// Places side by side from the map's corner on that hold at least 60 % tissue.
    pub fn side_by_side(&self) -> Vec<Place> {
        let side = self.cells.ceil().max(1.0) as usize;
        let corners = |cells: usize| (0..(cells + 1).saturating_sub(side)).step_by(side);
        let all = corners(self.map.rows).flat_map(|r| corners(self.map.columns).map(move |c| self.cell(r as i64, c as i64)));
        all.filter(|p| p.tissue >= TISSUE).collect()
    }

    /// A window around a tissue cell drawn evenly among all, kept inside the map where it fits.
    fn candidate(&self, stream: &mut Stream) -> Place {
        let (row, column) = self.tissue_cell(stream.below(self.above[self.map.rows] as usize) as u64);
        let side = self.cells.ceil().max(1.0) as usize;
        let corner = |at: usize, offset: usize, cells: usize| match cells.checked_sub(side) {
            Some(last) => (at as i64 - offset as i64).clamp(0, last as i64),
            None => -((side - cells) as i64 / 2),
        };
        let (up, left) = (stream.below(side), stream.below(side));
        self.cell(corner(row, up, self.map.rows), corner(column, left, self.map.columns))
    }

    /// The tissue cell of a rank in row-major order.
    fn tissue_cell(&self, rank: u64) -> (usize, usize) {
        let row = self.above.partition_point(|n| *n <= rank).saturating_sub(1);
        let line = &self.map.labels[row * self.map.columns..(row + 1) * self.map.columns];
        let nth = (rank - self.above[row]) as usize;
        (row, line.iter().enumerate().filter(|(_, l)| is_wanted(self.map, **l)).nth(nth).map_or(0, |(c, _)| c))
    }

    /// The window at a corner with its composition.
    fn cell(&self, row: i64, column: i64) -> Place {
        let (side, px) = (self.cells.ceil().max(1.0) as i64, self.map.cell_px);
        let mut counts = [0u32; 256];
        for r in row..row + side {
            for c in column..column + side {
                counts[usize::from(cell(self.map, r, c))] += 1;
            }
        }
        let mut p = Place {
            row,
            column,
            cells: self.cells,
            x: column as f64 * px,
            y: row as f64 * px,
            side_px: self.cells * px,
            tissue: 0.0,
            entropy: 0.0,
            known: 0.0,
        };
        let tissue = f64::from(counts[1..].iter().sum::<u32>());
        p.tissue = tissue / (side * side) as f64;
        for (class, n) in counts.iter().enumerate().skip(1).filter(|(_, n)| **n > 0) {
            let share = f64::from(*n) / tissue;
            p.entropy -= share * share.ln();
            if !crops::available(self.map, Some(&p), class as u8).is_empty() {
                p.known += share;
            }
        }
        p
    }
}

/// One of the places by weight, `u` in [0, 1).
fn drawn(fit: &[Place], u: f64) -> Option<Place> {
    let weight = |p: &Place| (PURE + p.entropy) * (0.01 + p.known * p.known);
    let mut left = u * fit.iter().map(weight).sum::<f64>();
    for p in fit {
        left -= weight(p);
        if left < 0.0 {
            return Some(*p);
        }
    }
    fit.last().copied()
}
