//! Where real tissue lies in the space of embeddings. In: the map's [`Bank`]. Out: inverse realism of an embedding (S1) and its
//! nearest class.
//!
//! Realism of a generated embedding g among real ones r (Kynkaanniemi et al., arXiv 1904.06991, eq. 3) is
//! R(g) = max_r NN_k(r) / |g - r|, where NN_k(r) is the distance from r to its k-th nearest real neighbour, k = 5, and spheres
//! with a radius above the median are dropped. S1 = 1 / R: above 1, g lies outside every sphere that was kept.
//! Distances are Euclidean, as in clustering: the encoder promises that its features are ready for that.

use std::collections::BTreeMap;

use crate::semantic_map::Bank;

/// k of the spheres' radii.
pub const NEIGHBOURS: usize = 5;
/// Most rows of a class that become spheres; more are thinned evenly. The cost grows with the square.
const ROWS: usize = 512;
/// Fewest rows of a class that make a manifold: at k = 5, a median of fewer radii says nothing.
const FEWEST: usize = 2 * (NEIGHBOURS + 1);
/// Share of a class's own rows that lie below the provisional threshold.
const QUANTILE: f64 = 0.95;

/// Spheres around the real embeddings of a class.
struct Spheres {
    centres: Vec<Vec<f32>>,
    radii: Vec<f32>,
    threshold: f32,
}

/// The real tissue of a map.
pub struct Manifold {
    channels: usize,
    centroids: BTreeMap<u8, Vec<f32>>,
    spheres: BTreeMap<u8, Spheres>,
}

impl Manifold {
    /// From a bank; none if it is empty or its sizes do not agree.
    pub fn new(bank: &Bank) -> Option<Self> {
        let n = bank.classes.len();
        if n == 0 || bank.channels == 0 || bank.rows.len() != n * bank.channels || bank.rows.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut out = Self { channels: bank.channels, centroids: BTreeMap::new(), spheres: BTreeMap::new() };
        let mut classes: BTreeMap<u8, Vec<Vec<f32>>> = BTreeMap::new();
        for (class, row) in bank.classes.iter().zip(bank.rows.chunks_exact(bank.channels)).filter(|(c, _)| **c != 0) {
            classes.entry(*class).or_default().push(row.to_vec());
        }
        for (class, rows) in classes {
            out.centroids.insert(class, centroid(&rows, bank.channels));
            if let Some(s) = Spheres::new(&rows) {
                out.spheres.insert(class, s);
            }
        }
        Some(out)
    }

    /// Length of an embedding.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Inverse realism of an embedding in a class and the provisional threshold; none if the bank holds too little
    /// of the class.
    pub fn inverse_realism(&self, class: u8, row: &[f32]) -> Option<(f32, f32)> {
        self.spheres.get(&class).map(|s| (s.inverse_realism(row, None), s.threshold))
    }

    /// The mean embedding of a class.
    pub fn centroid_of(&self, class: u8) -> Option<&[f32]> {
        self.centroids.get(&class).map(Vec::as_slice)
    }

    /// The class whose centroid is nearest to an embedding.
    pub fn closest(&self, row: &[f32]) -> Option<u8> {
        self.centroids.iter().min_by(|a, b| distance(row, a.1).total_cmp(&distance(row, b.1))).map(|(class, _)| *class)
    }

    /// The class whose centroid is nearest to an embedding, with the distances to it and to the centroid of `own`.
    pub fn nearest(&self, row: &[f32], own: u8) -> Option<(u8, f32, f32)> {
        let declared = distance(row, self.centroids.get(&own)?);
        let all = self.centroids.iter().map(|(class, c)| (*class, distance(row, c)));
        let (class, d) = all.fold((own, declared), |best, new| if new.1 < best.1 { new } else { best });
        Some((class, d, declared))
    }
}

impl Spheres {
    fn new(rows: &[Vec<f32>]) -> Option<Self> {
        let kept = rows.len().min(ROWS);
        if kept < FEWEST {
            return None;
        }
        let rows: Vec<&Vec<f32>> = (0..kept).map(|i| &rows[i * rows.len() / kept]).collect();
        let radii: Vec<f32> = rows.iter().enumerate().map(|(i, r)| radius(r, i, &rows)).collect();
        let median = quantile(radii.clone(), 0.5);
        let keep = |(_, r): &(usize, &f32)| **r <= median;
        let (index, radii): (Vec<usize>, Vec<f32>) = radii.iter().enumerate().filter(keep).map(|(i, r)| (i, r.max(1e-12))).unzip();
        let mut out = Self { centres: index.iter().map(|i| rows[*i].clone()).collect(), radii, threshold: 0.0 };
        let own = |i: usize| out.inverse_realism(rows[i], index.iter().position(|k| *k == i));
        out.threshold = quantile((0..rows.len()).map(own).collect(), QUANTILE);
        Some(out)
    }

    /// min over the spheres of distance / radius, one sphere left out where the row is its centre.
    fn inverse_realism(&self, row: &[f32], without: Option<usize>) -> f32 {
        let ratio = |(i, c): (usize, &Vec<f32>)| if Some(i) == without { f32::MAX } else { distance(row, c) / self.radii[i] };
        self.centres.iter().enumerate().map(ratio).fold(f32::MAX, f32::min)
    }
}

/// Distance from row `i` to its k-th nearest other row.
fn radius(row: &[f32], i: usize, rows: &[&Vec<f32>]) -> f32 {
    let mut d: Vec<f32> = rows.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, r)| distance(row, r)).collect();
    *d.select_nth_unstable_by(NEIGHBOURS - 1, f32::total_cmp).1
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

fn centroid(rows: &[Vec<f32>], channels: usize) -> Vec<f32> {
    let mut sum = vec![0f64; channels];
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
    }
    sum.into_iter().map(|s| (s / rows.len().max(1) as f64) as f32).collect()
}

/// The value below which a share `q` of the values lies (nearest rank); `values` is not empty.
pub(super) fn quantile(mut values: Vec<f32>, q: f64) -> f32 {
    let at = ((values.len() as f64 * q).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(at, f32::total_cmp).1 }
}
