//! Label rasters as tiled TIFF pyramids. In: a [`Raster`] and what the file says of itself. Out: a BigTIFF, one byte a pixel, written
//! tile by tile: beyond the labels nothing larger than one tile and the list of tiles is held. Fails where writing does.
//!
//! Labels are names, not amounts, so a smaller level shows the label in the middle of each of its pixels and never a mean.
//! Resolutions are written in pixels per centimetre. Directories come after the tiles, the smallest level first, so that each
//! knows what it points at; the header is put right last.
//!
//! Own code, because the `tiff` crate writes strips and no tiles.

use std::io::{self, Seek, SeekFrom, Write};

/// Side of a tile, in pixels.
pub(super) const TILE_PX: usize = 512;

/// Where the smaller levels stand.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Levels {
    /// One directory after another (OpenSlide, ASAP).
    Chained,
    /// Below the first directory (OME-TIFF).
    Below,
}

/// Labels as they go into a file: pixel (x, y) shows the label of the cell (`columns[x]`, `rows[y]`); `None` is background.
pub(super) struct Raster<'a> {
    /// Labels of the cells, row by row.
    pub labels: &'a [u8],
    /// Cells a row of `labels`.
    pub stride: usize,
    /// For each pixel across, its column of cells.
    pub columns: Vec<Option<usize>>,
    /// For each pixel down, its row of cells.
    pub rows: Vec<Option<usize>>,
}

/// What a file says of itself.
pub(super) struct Text<'a> {
    /// Tag ImageDescription, of the first level.
    pub description: &'a str,
    /// Tag Software, of the first level.
    pub software: &'a str,
    /// Side of a pixel of the first level, in micrometres.
    pub pixel_um: f64,
}

impl Raster<'_> {
    /// Number of levels: halved until one tile holds all.
    pub fn levels(&self) -> u32 {
        (0..).find(|level| self.size(*level).iter().all(|side| *side <= TILE_PX)).unwrap_or(0) + 1
    }

    /// Width and height of a level, in pixels.
    pub fn size(&self, level: u32) -> [usize; 2] {
        [self.columns.len().div_ceil(1 << level), self.rows.len().div_ceil(1 << level)]
    }

    /// Fills a tile; what lies beyond the border is background.
    fn fill(&self, level: u32, across: usize, down: usize, tile: &mut [u8]) {
        tile.fill(0);
        for (y, line) in tile.chunks_exact_mut(TILE_PX).enumerate() {
            let Some(row) = middle(&self.rows, down * TILE_PX + y, level) else { continue };
            let labels = &self.labels[row * self.stride..][..self.stride];
            for (x, pixel) in line.iter_mut().enumerate() {
                *pixel = middle(&self.columns, across * TILE_PX + x, level).map_or(0, |column| labels[column]);
            }
        }
    }
}

/// The cell in the middle of a pixel of a level.
fn middle(cells: &[Option<usize>], pixel: usize, level: u32) -> Option<usize> {
    let first = pixel << level;
    if first >= cells.len() {
        return None;
    }
    cells[(first + (1 << level) / 2).min(cells.len() - 1)]
}

/// Writes the whole file from the start of `out`.
pub(super) fn write<W: Write + Seek>(out: &mut W, raster: &Raster<'_>, text: &Text<'_>, levels: Levels) -> io::Result<()> {
    let mut file = BigTiff { out, at: 0 };
    file.put(b"II+\0\x08\0\0\0\0\0\0\0\0\0\0\0")?; // little-endian, 8-byte offsets, the first directory not known yet
    let mut placed = Vec::new();
    for level in 0..raster.levels() {
        placed.push(file.tiles(raster, level)?);
    }
    let greatest = raster.labels.iter().copied().max().unwrap_or(0).max(1);
    let (mut next, mut below) = (0, Vec::new());
    for (tiles, level) in placed.iter().zip(0..raster.levels()).rev() {
        let mut entries = entries(raster.size(level), text.pixel_um * f64::from(1u32 << level), tiles, greatest);
        entries.push(Entry::longs(254, &[u32::from(level > 0)]));
        if level == 0 {
            entries.extend([Entry::text(270, text.description), Entry::text(305, text.software)]);
            if !below.is_empty() {
                entries.push(Entry::offsets(330, IFD8, &below));
            }
        }
        let after = if levels == Levels::Chained { next } else { 0 };
        next = file.directory(entries, after)?;
        if levels == Levels::Below {
            below.insert(0, next);
        }
    }
    file.out.seek(SeekFrom::Start(8))?;
    file.out.write_all(&next.to_le_bytes())?;
    file.out.flush()
}

/// Where the tiles of a level lie, and how long they are.
struct Tiles {
    offsets: Vec<u64>,
    bytes: Vec<u64>,
}

/// What every level says: size, kind of pixel, resolution, tiles.
fn entries(size: [usize; 2], pixel_um: f64, tiles: &Tiles, greatest: u8) -> Vec<Entry> {
    let [width, height] = size.map(|side| side as u32);
    let (per_cm, tile) = (rational(10_000.0 / pixel_um), TILE_PX as u32);
    vec![
        Entry::longs(256, &[width]),
        Entry::longs(257, &[height]),
        Entry::short(258, 8),         // bits a sample
        Entry::short(259, 5),         // LZW
        Entry::short(262, 1),         // black is zero
        Entry::short(274, 1),         // the first row is the upper one
        Entry::short(277, 1),         // samples a pixel
        Entry::rational(282, per_cm), // across
        Entry::rational(283, per_cm), // down
        Entry::short(284, 1),         // contiguous
        Entry::short(296, 3),         // centimetres
        Entry::longs(322, &[tile]),   // tile width
        Entry::longs(323, &[tile]),   // tile height
        Entry::offsets(324, LONG8, &tiles.offsets),
        Entry::offsets(325, LONG8, &tiles.bytes),
        Entry::short(339, 1), // unsigned integers
        Entry::byte(340, 0),  // least sample
        Entry::byte(341, greatest),
    ]
}

/// A number as a fraction of two 32-bit integers, to nine digits.
fn rational(v: f64) -> [u32; 2] {
    let mut denominator = 1_000_000_000;
    while denominator > 1 && v * f64::from(denominator) > f64::from(u32::MAX) {
        denominator /= 10;
    }
    [((v * f64::from(denominator)).round() as u32).max(1), denominator]
}

const BYTE: u16 = 1;
const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const LONG8: u16 = 16;
const IFD8: u16 = 18;

/// One line of a directory.
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    bytes: Vec<u8>,
}

impl Entry {
    fn byte(tag: u16, v: u8) -> Self {
        Self { tag, kind: BYTE, count: 1, bytes: vec![v] }
    }

    fn short(tag: u16, v: u16) -> Self {
        Self { tag, kind: SHORT, count: 1, bytes: v.to_le_bytes().to_vec() }
    }

    fn longs(tag: u16, v: &[u32]) -> Self {
        Self { tag, kind: LONG, count: v.len() as u64, bytes: v.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    fn rational(tag: u16, v: [u32; 2]) -> Self {
        Self { kind: RATIONAL, count: 1, ..Self::longs(tag, &v) }
    }

    fn offsets(tag: u16, kind: u16, v: &[u64]) -> Self {
        Self { tag, kind, count: v.len() as u64, bytes: v.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    fn text(tag: u16, v: &str) -> Self {
        let bytes: Vec<u8> = v.bytes().chain([0]).collect();
        Self { tag, kind: ASCII, count: bytes.len() as u64, bytes }
    }
}

/// A file being written, and how long it is.
struct BigTiff<'a, W> {
    out: &'a mut W,
    at: u64,
}

impl<W: Write> BigTiff<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Goes on at a multiple of eight, where BigTIFF wants its numbers.
    fn align(&mut self) -> io::Result<()> {
        self.put(&[0; 8][..(8 - self.at as usize % 8) % 8])
    }

    /// The pixels of a level.
    fn tiles(&mut self, raster: &Raster<'_>, level: u32) -> io::Result<Tiles> {
        let [across, down] = raster.size(level).map(|side| side.div_ceil(TILE_PX));
        let mut tile = vec![0; TILE_PX * TILE_PX];
        let mut placed = Tiles { offsets: Vec::new(), bytes: Vec::new() };
        for i in 0..across * down {
            raster.fill(level, i % across, i / across, &mut tile);
            let mut lzw = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
            let packed = lzw.encode(&tile).map_err(io::Error::other)?;
            placed.offsets.push(self.at);
            placed.bytes.push(packed.len() as u64);
            self.put(&packed)?;
        }
        Ok(placed)
    }

    /// A directory and what it refers to; says where it begins.
    fn directory(&mut self, mut entries: Vec<Entry>, next: u64) -> io::Result<u64> {
        entries.sort_by_key(|e| e.tag);
        let mut lines = Vec::with_capacity(entries.len() * 20);
        for e in entries {
            lines.extend([e.tag.to_le_bytes(), e.kind.to_le_bytes()].concat());
            lines.extend(e.count.to_le_bytes());
            let mut value = e.bytes;
            if value.len() > 8 {
                self.align()?;
                let at = self.at;
                self.put(&value)?;
                value = at.to_le_bytes().to_vec();
            }
            value.resize(8, 0);
            lines.extend(value);
        }
        self.align()?;
        let at = self.at;
        self.put(&(lines.len() as u64 / 20).to_le_bytes())?;
        self.put(&lines)?;
        self.put(&next.to_le_bytes())?;
        Ok(at)
    }
}
