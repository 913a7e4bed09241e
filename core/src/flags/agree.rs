//! Whether the tissue is of the class that was asked for (S2). In: the map, features of a tile, its labels. Out: a margin a cell.
//!
//! The map's classes are unions of the leaves of its hierarchy, found on features averaged over 5 x 5 cells. A cell of a tile is averaged
//! in the same way; its margin is the squared distance to the nearest leaf of the class asked for, less that to the nearest leaf of
//! any other class, in units of the mean squared distance of real cells to their leaf. It is averaged over 7 x 7 cells of one region, for
//! a region's texture tells its class and a single cell does not. Above 0 the tissue lies nearer to another class.
//!
//! Nearest centroids of the classes and a linear discriminant of the bank's rows were tried before it; both told swapped classes worse.

use super::cells::{CELL_PX, cell_labels};
use crate::semantic_map::SemanticMap;
use crate::{Encoder, Planes};

/// Cells to each side that are averaged before the distance is taken, as the map's own smoothing does.
const SMOOTH: usize = 2;
/// Cells to each side over which margins are averaged.
const REACH: usize = 3;
/// Cells of a region that make a full window; margins of smaller parts count in proportion, for they are less sure.
const FULL: usize = 30;

/// What tissue of each class looks like.
pub struct Prototypes {
    channels: usize,
    centroids: Vec<f32>,
    /// Class of each centroid; 0 = of none.
    classes: Vec<u8>,
    /// Mean squared distance of real cells to their centroid.
    noise: f32,
}

impl Prototypes {
    /// The leaves of the map's hierarchy if they are of this encoder, else the mean of the bank's rows of each class. None without either.
    pub fn of(map: &SemanticMap, encoder: &dyn Encoder) -> Option<Self> {
        Self::leaves(map, encoder).or_else(|| Self::means(map, encoder))
    }

    fn leaves(map: &SemanticMap, encoder: &dyn Encoder) -> Option<Self> {
        let of = map.provenance.pointer("/encoder/sha256").and_then(serde_json::Value::as_str);
        let plain = map.provenance.pointer("/parameters/normalise").is_none_or(|n| n.is_null() || n == "none");
        let tree = map.tree.as_ref().filter(|t| plain && of == Some(encoder.sha256()) && t.leaves.len() == map.labels.len())?;
        let h = &tree.hierarchy;
        let (k, rows) = (h.leaves.k(), h.counts.iter().sum::<u64>());
        let mut votes = vec![[0u32; 256]; k];
        for (leaf, label) in tree.leaves.iter().zip(&map.labels).filter(|(leaf, label)| **leaf > 0 && **label > 0) {
            votes.get_mut(usize::from(*leaf) - 1)?[usize::from(*label)] += 1;
        }
        let winner =
            |v: &[u32; 256]| v.iter().enumerate().rev().max_by_key(|(_, n)| **n).filter(|(_, n)| **n > 0).map_or(0, |(c, _)| c as u8);
        let noise = h.inertia / rows.max(1) as f64;
        let out = Self {
            channels: encoder.channels(),
            centroids: h.leaves.data.clone(),
            classes: votes.iter().map(winner).collect(),
            noise: noise as f32,
        };
        (h.leaves.channels == encoder.channels() && out.noise.is_finite() && out.noise > 0.0).then_some(out)
    }

    fn means(map: &SemanticMap, encoder: &dyn Encoder) -> Option<Self> {
        let (bank, channels) = (&map.bank, encoder.channels());
        if channels == 0 || bank.channels != channels || bank.classes.is_empty() || bank.rows.len() != bank.classes.len() * channels {
            return None;
        }
        let mut classes = bank.classes.clone();
        classes.sort_unstable();
        classes.dedup();
        classes.retain(|c| *c != 0);
        let rows = |class: u8| bank.classes.iter().zip(bank.rows.chunks_exact(channels)).filter(move |(c, _)| **c == class).map(|(_, r)| r);
        let mut centroids = Vec::new();
        let (mut squares, mut n) = (0f64, 0usize);
        for class in &classes {
            let count = rows(*class).count();
            let mean: Vec<f32> = (0..channels).map(|c| rows(*class).map(|r| r[c]).sum::<f32>() / count as f32).collect();
            squares += rows(*class).map(|r| f64::from(distance2(r, &mean))).sum::<f64>();
            n += count;
            centroids.extend(mean);
        }
        let noise = (squares / n.max(1) as f64) as f32;
        (noise.is_finite() && noise > 0.0).then_some(Self { channels, centroids, classes, noise })
    }

    /// Margins by cell of the flag raster, NaN where nothing was judged: the largest of the feature cells in it. `labels` are those of a
    /// square picture, `f` its features, one a `stride` pixels.
    pub fn margins(&self, f: &Planes, labels: &[u8], stride: usize) -> Vec<f32> {
        let k = (CELL_PX / stride).max(1);
        let asked: Vec<u8> = cell_labels(labels, f.width * stride, stride).iter().map(|l| l.class).collect();
        let own: Vec<f32> = (0..f.area()).map(|i| self.margin(f, &asked, i)).collect();
        let (rows, columns) = (f.height / k, f.width / k);
        let mut out = vec![f32::NAN; rows * columns];
        for i in 0..rows * k * f.width {
            let cell = i / f.width / k * columns + i % f.width / k;
            if i % f.width < columns * k {
                out[cell] = out[cell].max(self.averaged(f, &asked, &own, i));
            }
        }
        out
    }

    /// The class of the prototype nearest to each feature cell, smoothed as margins are; 0 where `labels` ask for none.
    pub fn seen(&self, f: &Planes, labels: &[u8], stride: usize) -> Vec<u8> {
        let asked: Vec<u8> = cell_labels(labels, f.width * stride, stride).iter().map(|l| l.class).collect();
        let nearest = |i: usize| {
            if asked[i] == 0 {
                return 0;
            }
            let row = smoothed(f, &asked, i);
            let all = self.centroids.chunks_exact(self.channels).zip(&self.classes).filter(|(_, of)| **of != 0);
            let best = all.map(|(c, of)| (distance2(&row, c), *of)).reduce(|a, b| if b.0 < a.0 { b } else { a });
            best.map_or(0, |(_, of)| of)
        };
        (0..f.area()).map(nearest).collect()
    }

    /// The class that a crop's mean embedding lies nearest to and its margin against its own class; none for a class without prototypes.
    pub fn of_crop(&self, row: &[f32], class: u8) -> Option<(u8, f32)> {
        let (mut own, mut other) = (f32::MAX, (f32::MAX, class));
        for (centroid, of) in self.centroids.chunks_exact(self.channels).zip(&self.classes).filter(|(_, of)| **of != 0) {
            let d = distance2(row, centroid);
            if *of == class {
                own = own.min(d);
            } else if d < other.0 {
                other = (d, *of);
            }
        }
        (own < f32::MAX && other.0 < f32::MAX).then(|| (other.1, (own - other.0) / self.noise))
    }

    /// The margin of one feature cell.
    fn margin(&self, f: &Planes, asked: &[u8], i: usize) -> f32 {
        let class = asked[i];
        if class == 0 || !self.classes.contains(&class) {
            return f32::NAN;
        }
        let row = smoothed(f, asked, i);
        let (mut own, mut other) = (f32::MAX, f32::MAX);
        for (centroid, of) in self.centroids.chunks_exact(self.channels).zip(&self.classes).filter(|(_, of)| **of != 0) {
            let side = if *of == class { &mut own } else { &mut other };
            *side = side.min(distance2(&row, centroid));
        }
        if other == f32::MAX { f32::NAN } else { (own - other) / self.noise }
    }

    /// The mean of the margins of a cell's region around it.
    fn averaged(&self, f: &Planes, asked: &[u8], own: &[f32], i: usize) -> f32 {
        let of: Vec<f32> = around(f, i, REACH).filter(|j| asked[*j] == asked[i]).map(|j| own[j]).filter(|v| !v.is_nan()).collect();
        if own[i].is_nan() || of.is_empty() {
            return f32::NAN;
        }
        of.iter().sum::<f32>() / of.len().max(FULL) as f32
    }
}

/// Features averaged over the tissue around a cell.
fn smoothed(f: &Planes, asked: &[u8], i: usize) -> Vec<f32> {
    let near: Vec<usize> = around(f, i, SMOOTH).filter(|j| asked[*j] != 0).collect();
    (0..f.channels).map(|c| near.iter().map(|j| f.plane(c)[*j]).sum::<f32>() / near.len().max(1) as f32).collect()
}

/// Entropy in nats of the classes that several pictures show, averaged over `k x k` cells; NaN where none is asked for. `columns` are
/// feature cells a row.
pub fn entropy(seen: &[Vec<u8>], columns: usize, k: usize) -> Vec<f32> {
    let cells = seen.first().map_or(0, Vec::len);
    let of = |i: usize| {
        let mut counts = [0u32; 256];
        seen.iter().filter_map(|s| s.get(i)).for_each(|c| counts[usize::from(*c)] += 1);
        let n = seen.len().max(1) as f32;
        counts.iter().filter(|c| **c > 0).map(|c| *c as f32 / n).map(|p| -p * p.ln()).sum::<f32>()
    };
    let (rows, across) = (cells / columns.max(1) / k.max(1), columns / k.max(1));
    let cell = |i: usize| {
        let at = |n: usize| (i / across * k + n / k) * columns + i % across * k + n % k;
        let asked: Vec<f32> = (0..k * k).map(at).filter(|j| seen.iter().any(|s| s[*j] != 0)).map(of).collect();
        if asked.is_empty() { f32::NAN } else { asked.iter().sum::<f32>() / asked.len() as f32 }
    };
    (0..rows * across).map(cell).collect()
}

/// Cells up to `reach` rows and columns away from cell `i`, itself included.
fn around(f: &Planes, i: usize, reach: usize) -> impl Iterator<Item = usize> + use<> {
    let (r, c, width) = (i / f.width, i % f.width, f.width);
    let rows = r.saturating_sub(reach)..(r + reach + 1).min(f.height);
    let columns = c.saturating_sub(reach)..(c + reach + 1).min(f.width);
    rows.flat_map(move |r| columns.clone().map(move |c| r * width + c))
}

fn distance2(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
