//! Names and colours of an atlas's classes. In: a cut, labels. Out: what each class is called and drawn in, and both changed.
//!
//! Names belong to leaves, so that they hold at every cut: a class has the name that at least half of its tissue has. Colours belong
//! to labels, which stay from cut to cut. Classes that are given one name become one. Fails for labels and names that cannot be, with `Error::Parameter`.

use std::collections::BTreeMap;

use super::Atlas;
use crate::semantic_map::edit::{name_of, parsed};
use crate::semantic_map::palette;
use crate::{Error, Result};

impl Atlas {
    /// The number of classes asked for, or the atlas's own for 0.
    pub fn k_or_own(&self, k: usize) -> usize {
        if k == 0 { self.k } else { k }
    }

    /// The label of every leaf at `k` classes. Classes of one name are one class, under the label of the first: so tissue that looks
    /// different in differently stained slides can be one class all the same, and some labels may not occur.
    pub fn cut(&self, k: usize) -> Result<Vec<u8>> {
        let cut = self.hierarchy.cut(k)?;
        let names: Vec<Option<&str>> = (1..=k as u8).map(|label| self.common_name(&cut, label)).collect();
        let first = |label: u8| {
            let name = names[usize::from(label) - 1];
            name.and_then(|_| names.iter().position(|n| *n == name)).map_or(label, |at| 1 + at as u8)
        };
        Ok(cut.iter().map(|label| first(*label)).collect())
    }

    /// Name and colour of each label of the cut at `k`, in order of labels 1..=k.
    pub fn legend(&self, k: usize) -> Result<Vec<(String, [u8; 3])>> {
        let cut = self.hierarchy.cut(k)?;
        let name = |label: u8| self.common_name(&cut, label).map_or_else(|| format!("Tissue {label}"), str::to_owned);
        Ok((1u8..).zip(self.colors(k)?).map(|(label, color)| (name(label), color)).collect())
    }

    /// The name that at least half of the rows of a class have.
    fn common_name(&self, cut: &[u8], label: u8) -> Option<&str> {
        let mut votes: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        let members = (0..cut.len()).filter(|leaf| cut[*leaf] == label);
        members.for_each(|leaf| *votes.entry(self.leaves[leaf].name.as_deref()).or_default() += self.hierarchy.counts[leaf]);
        let total: u64 = votes.values().sum();
        let most = votes.into_iter().max_by_key(|(_, rows)| *rows)?;
        most.0.filter(|_| most.1 * 2 >= total)
    }

    /// Colours of labels 1..=k.
    fn colors(&self, k: usize) -> Result<Vec<[u8; 3]>> {
        let mut out = palette(k);
        for (leaf, label) in self.hierarchy.cut(self.leaves.len())?.into_iter().enumerate() {
            if let (Some(color), Some(to)) = (self.leaves[leaf].color, out.get_mut(usize::from(label) - 1)) {
                *to = color;
            }
        }
        Ok(out)
    }

    /// Gives names and `#rrggbb` colours to labels of the cut at `k`; all of them or, with an error, none.
    pub fn renamed(&self, k: usize, names: &BTreeMap<u8, String>, colors: &BTreeMap<u8, String>) -> Result<Self> {
        let (cut, shown, finest) = (self.hierarchy.cut(k)?, self.cut(k)?, self.hierarchy.cut(self.leaves.len())?);
        let known = |field: &str, label: u8| {
            let hint = format!("the cut at k = {k} has labels 1 to {k}");
            if cut.contains(&label) { Ok(()) } else { Err(Error::parameter(field, format!("there is no class {label}"), hint)) }
        };
        let mut out = self.clone();
        for (label, name) in names {
            known("names", *label)?;
            let name = name_of(name).map_err(|why| Error::parameter("names", format!("class {label}: {why}"), "shorten it"))?;
            // a label that went into another of the same name still names its own part
            let labels = if shown.contains(label) { &shown } else { &cut };
            let members = out.leaves.iter_mut().zip(labels).filter(|(_, l)| *l == label);
            members.for_each(|(leaf, _)| leaf.name = Some(name.clone()));
        }
        for (label, color) in colors {
            known("colors", *label)?;
            let color = parsed(color).map_err(|why| Error::parameter("colors", format!("class {label}: {why}"), "write #rrggbb"))?;
            out.leaves.iter_mut().zip(&finest).filter(|(_, l)| *l == label).for_each(|(leaf, _)| leaf.color = Some(color));
        }
        Ok(out)
    }
}
