//! The hierarchy and the history of a map in its folder. In: a [`Tree`], a [`History`]. Out: `leaves.png`, `labels_before.png`, their
//! parts of `map.json`, and the same read back bit for bit. The joins are not written: they follow from leaves and counts ([`Hierarchy::of_leaves`]).

use serde::{Deserialize, Serialize};

use super::sidecar::{FileOf, runs};
use crate::cluster::choice::Reading;
use crate::cluster::{Centroids, Hierarchy};
use crate::limits;
use crate::semantic_map::edit::{Edit, History};
use crate::semantic_map::{Class, Tree};

/// The tree's part of the sidecar. Single-precision numbers come back exactly whatever JSON reader: they have digits to spare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TreeOf {
    #[serde(flatten)]
    pub file: FileOf,
    /// One row a leaf.
    pub centroids: Vec<Vec<f32>>,
    /// Rows each leaf was fitted on.
    pub counts: Vec<u64>,
    pub inertia: f64,
    /// What speaks for each number of classes.
    pub readings: Vec<Reading>,
}

impl TreeOf {
    /// What is written of a tree whose leaves went into `file`.
    pub fn new(tree: &Tree, file: FileOf) -> Self {
        let h = &tree.hierarchy;
        let centroids = (0..h.leaves.k()).map(|i| h.leaves.row(i).to_vec()).collect();
        Self { file, centroids, counts: h.counts.clone(), inertia: h.inertia, readings: tree.readings.clone() }
    }

    /// The tree, or what is wrong with it.
    pub fn tree(self, leaves: Vec<u8>) -> Result<Tree, String> {
        let (k, channels) = (self.centroids.len(), self.centroids.first().map_or(0, Vec::len));
        if !(1..=limits::CLASSES).contains(&k) || channels == 0 || self.counts.len() != k {
            return Err(format!("a hierarchy of {k} leaves of {channels} numbers with {} counts", self.counts.len()));
        }
        if self.centroids.iter().any(|c| c.len() != channels || c.iter().any(|v| !v.is_finite())) {
            return Err("a leaf of the hierarchy is not what the others are".into());
        }
        if limits::sum_of_counts(self.counts.iter().copied()).is_none() {
            return Err(format!("the leaves of the hierarchy have more than {} rows", limits::COUNT));
        }
        if let Some(leaf) = leaves.iter().find(|l| usize::from(**l) > k) {
            return Err(format!("leaf {leaf} of {k}"));
        }
        let centroids = Centroids { channels, data: self.centroids.concat() };
        Ok(Tree { hierarchy: Hierarchy::of_leaves(centroids, self.counts, self.inertia), leaves, readings: self.readings })
    }
}

/// The history's part of the sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct HistoryOf {
    #[serde(flatten)]
    pub file: FileOf,
    pub edits: Vec<Edit>,
    pub classes: Vec<Class>,
    /// Classes of crops and of bank rows, as runs `[class, length]`.
    pub crops: Vec<(u8, usize)>,
    pub bank: Vec<(u8, usize)>,
}

impl HistoryOf {
    /// What is written of a history whose labels went into `file`.
    pub fn new(h: &History, file: FileOf) -> Self {
        Self { file, edits: h.edits.clone(), classes: h.classes.clone(), crops: runs(&h.crops), bank: runs(&h.bank) }
    }

    /// The history.
    pub fn history(self, labels: Vec<u8>) -> History {
        History { edits: self.edits, labels, classes: self.classes, crops: values(&self.crops), bank: values(&self.bank) }
    }
}

/// The values of runs, as far as a map can hold them.
fn values(runs: &[(u8, usize)]) -> Vec<u8> {
    runs.iter().flat_map(|(value, n)| std::iter::repeat_n(*value, *n)).take(limits::MAP_CELLS).collect()
}
