//! Whether a tile repeats a picture the model was trained on (S5_NEAR_DUPLICATE). In: features of a tile, an [`Index`] of the training
//! pictures. Out: how much nearer the nearest window of the index is than the next ones.
//!
//! A window is 4 x 4 cells of 32 px. Windows of the tile, half a window apart and at four alignments of half a cell, are compared with every
//! window of the index in eight orientations. With d1 the distance to the nearest and d2 to d6 those to the next five that do not overlap
//! it or each other, the score is 1 - d1 / mean(d2..d6): a copy is far nearer to its original than to anything else, tissue that is
//! only common is about as near to many. (The ratio d1 / mean is that of Webster's and Carlini's memorisation tests, arXiv 2301.13188,
//! section 5.)

use crate::{Encoder, Job, Planes, Result};

/// Cells a side of a window.
const SIDE: usize = 4;
/// Cells of 32 px between windows of a tile.
const STEP: usize = 2;
/// Windows of the index that are compared in all orientations: those with the nearest means.
const COMPARED: usize = 256;
/// Most cells a side of a picture: more than any slide has.
const SIDE_CELLS: usize = 1 << 17;
/// Relative difference of resolution beyond which pictures show tissue of another size.
const MPP_TOLERANCE: f64 = 0.1;
/// Further neighbours that the nearest is held against.
const FURTHER: usize = 5;

/// A picture of an index: embeddings of its cells of 32 px.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    /// Names the picture, hex: of a slide [`id_sha256`](crate::slide::SlideInfo::id_sha256).
    pub id_sha256: String,
    /// Micrometres a pixel.
    pub mpp: f32,
    /// Rows of cells.
    pub rows: usize,
    /// Columns of cells.
    pub columns: usize,
    /// `[row][column][channel]`, in units of [`Index::scale`].
    pub cells: Vec<i8>,
}

/// Pictures that a tile must not repeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// SHA-256 of the encoder, hex.
    pub encoder_sha256: String,
    /// Length of an embedding.
    pub channels: usize,
    /// One unit of the cells.
    pub scale: f32,
    /// The pictures.
    pub pictures: Vec<Indexed>,
}

/// A window of the index.
#[derive(Clone, Copy)]
struct At {
    picture: usize,
    row: usize,
    column: usize,
}

/// An index made ready.
pub struct Duplicates {
    index: Index,
    places: Vec<At>,
    /// Mean of each window.
    means: Vec<f32>,
}

/// Where a real tile comes from: what overlaps it there is itself, no copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Own<'a> {
    /// Hashed id of the picture.
    pub id_sha256: &'a str,
    /// First row of cells of 32 px.
    pub row: i64,
    /// First column.
    pub column: i64,
    /// Cells a side.
    pub cells: i64,
}

impl Own<'_> {
    /// Whether a window of the picture overlaps the tile, by a cell for its alignment.
    fn overlaps(&self, at: At) -> bool {
        let near = |window: usize, first: i64| {
            let window = window as i64;
            window <= first + self.cells && window + SIDE as i64 >= first
        };
        near(at.row, self.row) && near(at.column, self.column)
    }
}

/// What was nearest to a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// 1 - d1 / mean(d2..d6), the largest over the alignments.
    pub score: f32,
    /// d1 over the square root of the numbers in a window, the smallest over the alignments.
    pub distance: f32,
    /// The picture it is in.
    pub picture: usize,
}

impl Index {
    /// Cells of an embedding in units of the scale.
    pub fn packed(&self, value: f32) -> i8 {
        (value / self.scale).round().clamp(-127.0, 127.0) as i8
    }

    /// Whether its parts fit each other.
    pub fn is_sound(&self) -> bool {
        let side = |n: usize| n <= SIDE_CELLS;
        let fits = |p: &Indexed| {
            side(p.rows)
                && side(p.columns)
                && p.rows.checked_mul(p.columns).and_then(|n| n.checked_mul(self.channels)) == Some(p.cells.len())
        };
        self.channels > 0 && self.scale.is_finite() && self.scale > 0.0 && self.pictures.iter().all(fits)
    }
}

impl Duplicates {
    /// Whether a window's picture has about the resolution of a tile.
    fn fits(&self, at: At, mpp: f64) -> bool {
        (f64::from(self.index.pictures[at.picture].mpp) / mpp - 1.0).abs() <= MPP_TOLERANCE
    }

    /// None if the index is not of this encoder, is not sound or holds nothing.
    pub fn new(index: Index, encoder: &dyn Encoder) -> Option<Self> {
        if index.encoder_sha256 != encoder.sha256() || index.channels != encoder.channels() || !index.is_sound() {
            return None;
        }
        let of = |(picture, p): (usize, &Indexed)| {
            let (rows, columns) = ((p.rows + 1).saturating_sub(SIDE), (p.columns + 1).saturating_sub(SIDE));
            (0..rows * columns).map(move |i| At { picture, row: i / columns.max(1), column: i % columns.max(1) })
        };
        let places: Vec<At> = index.pictures.iter().enumerate().flat_map(of).collect();
        let mut out = Self { index, places, means: Vec::new() };
        let channels = out.index.channels;
        let mut means = Vec::with_capacity(out.places.len() * channels);
        for at in &out.places {
            means.extend((0..channels).map(|c| (0..SIDE * SIDE).map(|i| out.value(*at, i, c)).sum::<f32>() / (SIDE * SIDE) as f32));
        }
        out.means = means;
        (!out.places.is_empty()).then_some(out)
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn value(&self, at: At, i: usize, c: usize) -> f32 {
        let p = &self.index.pictures[at.picture];
        let cell = (at.row + i / SIDE) * p.columns + at.column + i % SIDE;
        f32::from(p.cells[cell * self.index.channels + c]) * self.index.scale
    }

    /// The nearest window of each window of a tile: its first cell of the flag raster (row, column) and what was found. `f` are features
    /// one a `stride` pixels; what overlaps `own` and pictures of another resolution than `mpp` are left out. Nothing where the tile or the index is too small.
    pub fn nearest(&self, f: &Planes, stride: usize, mpp: f64, own: Option<Own<'_>>, job: &Job) -> Result<Vec<(usize, usize, Nearest)>> {
        let k = (super::CELL_PX / stride.max(1)).max(1);
        let half = k / 2;
        let (rows, columns) = (f.height / k, f.width / k);
        let mut out = Vec::new();
        for (r, c) in (0..(rows + 1).saturating_sub(SIDE))
            .step_by(STEP)
            .flat_map(|r| (0..(columns + 1).saturating_sub(SIDE)).step_by(STEP).map(move |c| (r, c)))
        {
            job.check()?;
            let shifts = [(0, 0), (half, 0), (0, half), (half, half)];
            let fits = |(y, x): &(usize, usize)| r * k + y + SIDE * k <= f.height && c * k + x + SIDE * k <= f.width;
            let found =
                shifts.iter().filter(|s| fits(s)).filter_map(|(y, x)| self.of_window(&window(f, r * k + y, c * k + x, k), mpp, own));
            let better = |a: Nearest, b: Nearest| {
                let best = if b.score > a.score { b } else { a };
                Nearest { distance: a.distance.min(b.distance), ..best }
            };
            if let Some(best) = found.reduce(better) {
                out.push((r, c, best));
            }
        }
        Ok(out)
    }

    /// The nearest windows of the index to one window `[cell][channel]`.
    fn of_window(&self, window: &[f32], mpp: f64, own: Option<Own<'_>>) -> Option<Nearest> {
        let channels = self.index.channels;
        let mean: Vec<f32> = (0..channels).map(|c| window.iter().skip(c).step_by(channels).sum::<f32>() / (SIDE * SIDE) as f32).collect();
        let of_own: Vec<bool> = self.index.pictures.iter().map(|p| own.is_some_and(|o| o.id_sha256 == p.id_sha256)).collect();
        let left_out = |at: At| of_own[at.picture] && own.is_some_and(|o| o.overlaps(at));
        let mut order: Vec<(f32, u32)> = self
            .means
            .chunks_exact(channels)
            .zip(0u32..)
            .filter(|(_, i)| !left_out(self.places[*i as usize]) && self.fits(self.places[*i as usize], mpp))
            .map(|(m, i)| (m.iter().zip(&mean).map(|(a, b)| (a - b) * (a - b)).sum(), i))
            .collect();
        let nearer = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if order.len() > COMPARED {
            order.select_nth_unstable_by(COMPARED, nearer);
            order.truncate(COMPARED);
        }
        let mut all: Vec<(f32, u32)> = order.iter().map(|(_, i)| (self.distance(window, self.places[*i as usize]), *i)).collect();
        all.sort_by(nearer);
        let mut apart: Vec<(f32, At)> = Vec::new();
        for (d, i) in all {
            let at = self.places[i as usize];
            let overlaps = |o: &At| o.picture == at.picture && o.row.abs_diff(at.row) < SIDE && o.column.abs_diff(at.column) < SIDE;
            if !apart.iter().any(|(_, o)| overlaps(o)) {
                apart.push((d, at));
            }
            if apart.len() > FURTHER {
                break;
            }
        }
        let ((d1, at), further) = apart.split_first()?;
        let mean = further.iter().map(|(d, _)| d).sum::<f32>() / further.len() as f32;
        let size = (window.len() as f32).sqrt();
        (further.len() == FURTHER && mean > 0.0).then(|| Nearest { score: 1.0 - d1 / mean, distance: d1 / size, picture: at.picture })
    }

    /// Distance to a window of the index in the orientation in which it is nearest.
    fn distance(&self, window: &[f32], at: At) -> f32 {
        let channels = self.index.channels;
        let there: Vec<f32> = (0..SIDE * SIDE).flat_map(|i| (0..channels).map(move |c| self.value(at, i, c))).collect();
        let of = |o: usize| {
            let cell = |i: usize| &there[turned(i, o) * channels..][..channels];
            let one = |i: usize| window[i * channels..][..channels].iter().zip(cell(i)).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            (0..SIDE * SIDE).map(one).sum::<f32>()
        };
        (0..8).map(of).fold(f32::MAX, f32::min).sqrt()
    }
}

/// Where cell `i` of a window lies in orientation `o`: turned by `o % 4` quarters, mirrored for `o >= 4`.
fn turned(i: usize, o: usize) -> usize {
    let (mut r, mut c) = (i / SIDE, i % SIDE);
    for _ in 0..o % 4 {
        (r, c) = (c, SIDE - 1 - r);
    }
    if o >= 4 { r * SIDE + SIDE - 1 - c } else { r * SIDE + c }
}

/// A window of cells of `k x k` features from (row, column) on: `[cell][channel]`.
fn window(f: &Planes, row: usize, column: usize, k: usize) -> Vec<f32> {
    let cell = |i: usize, c: usize| {
        let (r, q) = (row + i / SIDE * k, column + i % SIDE * k);
        (0..k * k).map(|n| f.at(c, r + n / k, q + n % k)).sum::<f32>() / (k * k) as f32
    };
    (0..SIDE * SIDE).flat_map(|i| (0..f.channels).map(move |c| (i, c))).map(|(i, c)| cell(i, c)).collect()
}
