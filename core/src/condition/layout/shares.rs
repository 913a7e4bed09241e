//! Invented layouts whose regions have given shares of the tile. In: shares by label, seed, tile. Out: labels.
//!
//! Each class has a smooth random field; a pixel belongs to the class whose field plus offset is largest. The offsets are moved until
//! the areas are right: a power diagram of random fields, so regions are connected blobs of tissue-like outline rather than stripes.

use super::known;
use crate::rng::Stream;
use crate::semantic_map::SemanticMap;
use crate::{Error, Result};

/// Pixels a node of the random fields: regions are a few of them wide.
const NODE_PX: usize = 64;
/// Octaves of the fields, each half as wide and half as strong.
const OCTAVES: usize = 3;
/// Pixels a side of the blocks on which offsets are fitted.
const BLOCK_PX: usize = 4;
/// Rounds of fitting.
const ROUNDS: usize = 200;
/// First lane of the random streams, one a class.
const LANE: u32 = 0x200;

/// Shares by label.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares(Vec<(u8, f64)>);

impl Shares {
    /// Shares that sum to 1, for a map.
    pub fn new(shares: impl IntoIterator<Item = (u8, f64)>, map: &SemanticMap) -> Result<Self> {
        let all: Vec<(u8, f64)> = shares.into_iter().filter(|(_, s)| *s > 0.0).collect();
        known(map, "shares", all.iter().map(|(l, _)| *l))?;
        if all.iter().all(|(l, _)| *l == 0) {
            return Err(Error::parameter("shares", "they hold background only", "give a share to at least one class"));
        }
        Ok(Self(all))
    }

    /// Labels `[side, side]`; each share is met within about half a percent of the area.
    pub fn labels(&self, side: usize, seed: u64, tile: u32) -> Vec<u8> {
        let fields: Vec<Field> = self.0.iter().map(|(label, _)| Field::new(side, seed, tile, *label)).collect();
        let offsets = self.offsets(&fields, side);
        let one = |i: usize| {
            let (y, x) = ((i / side) as f64 + 0.5, (i % side) as f64 + 0.5);
            let value = |k: usize| fields[k].at(y, x) + offsets[k];
            let best = (1..fields.len()).fold(0, |b, k| if value(k) > value(b) { k } else { b });
            self.0[best].0
        };
        (0..side * side).map(one).collect()
    }

    /// Offsets that give each class its share, on a coarse grid.
    fn offsets(&self, fields: &[Field], side: usize) -> Vec<f64> {
        let n = side / BLOCK_PX;
        let at = |i: usize| [i / n, i % n].map(|k| (k as f64 + 0.5) * BLOCK_PX as f64);
        let values: Vec<Vec<f64>> = fields.iter().map(|f| (0..n * n).map(|i| f.at(at(i)[0], at(i)[1])).collect()).collect();
        let mut offsets = vec![0.0; fields.len()];
        for round in 0..ROUNDS {
            let mut area = vec![0usize; fields.len()];
            let value = |k: usize, i: usize| values[k][i] + offsets[k];
            let winner = |i: usize| (1..fields.len()).fold(0, |b, k| if value(k, i) > value(b, i) { k } else { b });
            (0..n * n).for_each(|i| area[winner(i)] += 1);
            let step = 2.0 / (1.0 + round as f64 / 10.0);
            for (k, o) in offsets.iter_mut().enumerate() {
                *o += step * (self.0[k].1 - area[k] as f64 / (n * n) as f64);
            }
        }
        offsets
    }
}

/// A smooth random field: bilinear interpolation of random nodes, a few octaves.
struct Field {
    octaves: Vec<(f64, usize, Vec<f64>)>,
}

impl Field {
    fn new(side: usize, seed: u64, tile: u32, label: u8) -> Self {
        let mut stream = Stream::new(seed, tile, LANE + u32::from(label));
        let octave = |o: usize| {
            let width = (side << o) / NODE_PX + 3;
            ((NODE_PX >> o) as f64, width, (0..width * width).map(|_| stream.uniform() - 0.5).collect())
        };
        Self { octaves: (0..OCTAVES).map(octave).collect() }
    }

    /// Its value at a position in pixels.
    fn at(&self, y: f64, x: f64) -> f64 {
        let one = |(o, (node, width, values)): (usize, &(f64, usize, Vec<f64>))| {
            let (r, c) = (y / node, x / node);
            let (i, j) = (r as usize, c as usize);
            let smooth = |t: f64| t * t * (3.0 - 2.0 * t);
            let (a, b) = (smooth(r.fract()), smooth(c.fract()));
            let v = |i: usize, j: usize| values[i * width + j];
            let (top, bottom) = ((1.0 - b) * v(i, j) + b * v(i, j + 1), (1.0 - b) * v(i + 1, j) + b * v(i + 1, j + 1));
            ((1.0 - a) * top + a * bottom) / (1 << o) as f64
        };
        self.octaves.iter().enumerate().map(one).sum()
    }
}
