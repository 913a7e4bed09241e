//! Changes to a map's classes. In: a map and [`Edit`]s. Out: the map changed, with its [`History`], so that every change can be taken
//! back: the history holds what the map was before the first one, and undoing makes the others again from there. Fails with
//! `Error::Parameter` naming the edit; the map is then as it was.

use serde::{Deserialize, Serialize};

use super::legend::described;
use super::regularise::merge_small;
use super::{Class, SemanticMap, Tree, palette};
use crate::cluster::{Descent, distance2};
use crate::{Error, Result, limits};

/// Longest name of a class, in characters.
const NAME_CHARS: usize = 64;
/// Rounds of majority over 3 x 3 cells that calm the border of a split.
const CALM_ROUNDS: usize = 3;

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// The classes become one, under the label, name and colour of the first.
    Merge(Vec<u8>),
    /// Another name.
    Rename {
        /// The class.
        label: u8,
        /// Its name.
        name: String,
    },
    /// Another colour.
    Recolour {
        /// The class.
        label: u8,
        /// `#rrggbb`.
        color: String,
    },
    /// A class becomes two, where the hierarchy splits it; the larger part keeps label, name and colour.
    Split(u8),
}

/// What a map was before its first edit, and the edits since.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// In the order they were made.
    pub edits: Vec<Edit>,
    /// Labels of the cells.
    pub labels: Vec<u8>,
    /// The classes.
    pub classes: Vec<Class>,
    /// Class of each crop.
    pub crops: Vec<u8>,
    /// Class of each row of the bank.
    pub bank: Vec<u8>,
}

/// Takes the last `undo` edits back, then makes `edits`. The error says which edit cannot be made.
pub fn edited(map: &SemanticMap, undo: usize, edits: &[Edit]) -> Result<SemanticMap> {
    let mut history = map.history.clone().unwrap_or_else(|| History::of(map));
    if undo > history.edits.len() {
        let why = format!("{undo} edits are to be taken back, the map has {}", history.edits.len());
        return Err(Error::parameter("undo", why, "take back fewer"));
    }
    history.edits.truncate(history.edits.len() - undo);
    history.edits.extend_from_slice(edits);
    if history.edits.len() > limits::EDITS {
        return Err(Error::Limit {
            field: "edits".into(),
            value: history.edits.len().to_string(),
            limit: limits::EDITS.to_string(),
            hint: "take some back, or make the map again".into(),
        });
    }
    let mut out = history.restored(map);
    let first_new = history.edits.len() - edits.len();
    for (i, edit) in history.edits.iter().enumerate() {
        out.apply(edit).map_err(|why| {
            let at = i.checked_sub(first_new).map_or("an earlier edit".into(), |n| format!("edits[{n}]"));
            Error::parameter(at, why, format!("the map has {}", listed(&out.classes)))
        })?;
    }
    for (i, edit) in edits.iter().enumerate().rev() {
        let hint = || format!("the map would have {}", listed(&out.classes));
        out.keeps_names_apart(edit).map_err(|why| Error::parameter(format!("edits[{i}]"), why, hint()))?;
    }
    out.history = (!history.edits.is_empty()).then_some(history);
    Ok(out)
}

fn listed(classes: &[Class]) -> String {
    classes.iter().map(|c| format!("{} ({})", c.id, c.name)).collect::<Vec<_>>().join(", ")
}

impl History {
    fn of(map: &SemanticMap) -> Self {
        Self {
            edits: Vec::new(),
            labels: map.labels.clone(),
            classes: map.classes.clone(),
            crops: map.crops.iter().map(|c| c.class).collect(),
            bank: map.bank.classes.clone(),
        }
    }

    /// The map as it was before the first edit.
    fn restored(&self, map: &SemanticMap) -> SemanticMap {
        let mut out = map.clone();
        out.labels.clone_from(&self.labels);
        out.classes.clone_from(&self.classes);
        out.bank.classes.clone_from(&self.bank);
        out.crops.iter_mut().zip(&self.crops).for_each(|(crop, class)| crop.class = *class);
        out
    }
}

impl SemanticMap {
    fn class_mut(&mut self, label: u8) -> std::result::Result<&mut Class, String> {
        self.classes.iter_mut().find(|c| c.id == label).ok_or_else(|| format!("there is no class {label}"))
    }

    /// Viewers know classes by their names: QuPath would make one of two. Asked of what new edits left; maps of earlier versions may hold such.
    fn keeps_names_apart(&self, edit: &Edit) -> std::result::Result<(), String> {
        let Edit::Rename { label, .. } = edit else { return Ok(()) };
        let Some(named) = self.classes.iter().find(|c| c.id == *label) else { return Ok(()) };
        match self.classes.iter().find(|c| c.id != *label && c.name == named.name) {
            Some(other) => Err(format!("class {} has that name; merge {} and {label} to make them one", other.id, other.id)),
            None => Ok(()),
        }
    }

    fn apply(&mut self, edit: &Edit) -> std::result::Result<(), String> {
        match edit {
            Edit::Rename { label, name } => {
                let name = name_of(name)?;
                self.class_mut(*label)?.name = name;
            }
            Edit::Recolour { label, color } => self.class_mut(*label)?.color = parsed(color)?,
            Edit::Merge(labels) => self.merge(labels)?,
            Edit::Split(label) => self.split(*label)?,
        }
        Ok(())
    }

    fn merge(&mut self, labels: &[u8]) -> std::result::Result<(), String> {
        let [first, others @ ..] = labels else { return Err("nothing to merge".into()) };
        if others.is_empty() || (1..labels.len()).any(|i| labels[..i].contains(&labels[i])) {
            return Err("name two or more different classes".into());
        }
        labels.iter().try_for_each(|l| self.class_mut(*l).map(drop))?;
        let new = |label: &mut u8| {
            if others.contains(label) {
                *label = *first;
            }
        };
        self.labels.iter_mut().for_each(new);
        self.bank.classes.iter_mut().for_each(new);
        self.crops.iter_mut().for_each(|c| new(&mut c.class));
        self.classes.retain(|c| !others.contains(&c.id));
        self.count();
        Ok(())
    }

    fn split(&mut self, label: u8) -> std::result::Result<(), String> {
        self.class_mut(label)?;
        // labels of an atlas keep their meaning, those that this slide has no tissue of among them
        let taken = self.atlas.as_ref().and_then(|_| self.provenance["k"].as_u64()).unwrap_or(0);
        let fresh = (1..=limits::CLASSES as u8).filter(|l| u64::from(*l) > taken).find(|l| self.classes.iter().all(|c| c.id != *l));
        let fresh = fresh.ok_or_else(|| format!("no label up to {} is free", limits::CLASSES))?;
        let tree = self.tree.as_ref().ok_or("the map has no hierarchy: it was not made by clustering")?;
        let smaller = smaller_part(tree, &self.labels, label).ok_or("the hierarchy does not split it any further")?;
        let mut labels = self.labels.clone();
        for (l, leaf) in labels.iter_mut().zip(&tree.leaves).filter(|(l, _)| **l == label) {
            if smaller[usize::from(*leaf)] {
                *l = fresh;
            }
        }
        calm(&mut labels, self.columns, label, fresh);
        merge_small(&mut labels, self.columns, self.least_cells());
        if !labels.contains(&fresh) || !labels.contains(&label) {
            return Err("one part would be too small to be shown".into());
        }
        let descent = Descent::new(&tree.hierarchy);
        let in_smaller = |row: &[f32]| smaller[1 + descent.leaf(row)];
        if self.bank_is_of_the_classes_encoder() && self.bank.channels == tree.hierarchy.leaves.channels {
            let rows = self.bank.rows.chunks_exact(self.bank.channels.max(1));
            let moved = |(class, row): (&mut u8, &[f32])| {
                if *class == label && in_smaller(row) {
                    *class = fresh;
                }
            };
            self.bank.classes.iter_mut().zip(rows).for_each(moved);
        }
        self.labels = labels;
        self.assign_crops(&[label, fresh]);
        let taken = |name: &String| self.classes.iter().any(|c| c.name == *name);
        let name =
            (1..).map(|n| if n == 1 { format!("Tissue {fresh}") } else { format!("Tissue {fresh} ({n})") }).find(|name| !taken(name));
        self.classes.push(Class { id: fresh, name: name.unwrap_or_default(), color: [0; 3], cells: 0, area_um2: 0.0, share: 0.0 });
        self.classes.sort_by_key(|c| c.id);
        let color = palette(usize::from(fresh)).pop().unwrap_or([128; 3]);
        self.class_mut(fresh)?.color = color;
        self.count();
        Ok(())
    }

    /// Whether the rows of the bank can be told apart by the hierarchy. Where another encoder found the classes they cannot: a split
    /// leaves them all with the larger part, and likeness to the smaller one is not judged.
    fn bank_is_of_the_classes_encoder(&self) -> bool {
        let sha256 = |key: &str| self.provenance.get(key).and_then(|e| e.get("sha256"));
        sha256("bank_encoder").is_none_or(|bank| Some(bank) == sha256("encoder"))
    }

    /// Gives the crops of these classes to the one that most cells under them have.
    fn assign_crops(&mut self, classes: &[u8]) {
        let (rows, columns, cell_px, scale) = (self.rows, self.columns, self.cell_px, self.work_mpp / self.mpp);
        for crop in self.crops.iter_mut().filter(|c| classes.contains(&c.class)) {
            let span = |from: i64, px: u32, cells: usize| {
                let at = |v: f64| (v / cell_px).floor().clamp(0.0, cells as f64) as usize;
                at(from as f64)..at(from as f64 + f64::from(px) * scale)
            };
            let across = span(crop.x, crop.rgb.width(), columns);
            let cells = span(crop.y, crop.rgb.height(), rows).flat_map(|r| across.clone().map(move |c| r * columns + c));
            let mut votes = vec![0u32; classes.len()];
            cells.for_each(|i| classes.iter().position(|c| *c == self.labels[i]).into_iter().for_each(|n| votes[n] += 1));
            let most = (0..classes.len()).rev().max_by_key(|n| votes[*n]).unwrap_or(0);
            crop.class = classes[most];
        }
    }

    /// Cells, areas and shares of the classes as the labels have them.
    fn count(&mut self) {
        described(&mut self.classes, &self.labels, self.cell_px * self.mpp);
    }
}

/// Which leaves (counted from 1) make the smaller part of a class, at the first split of the hierarchy that parts its cells.
fn smaller_part(tree: &Tree, labels: &[u8], label: u8) -> Option<Vec<bool>> {
    let h = &tree.hierarchy;
    let mut cells = vec![0u64; h.leaves.k() + 1];
    labels.iter().zip(&tree.leaves).filter(|(l, _)| **l == label).for_each(|(_, leaf)| cells[usize::from(*leaf)] += 1);
    let total: u64 = cells.iter().sum();
    for k in 2..=h.leaves.k() {
        let cut = h.cut(k).ok()?;
        let mut by = vec![0u64; k + 1];
        (0..cut.len()).for_each(|leaf| by[usize::from(cut[leaf])] += cells[leaf + 1]);
        // what neighbours brought over the border when the map was calmed is no part of the class
        let mut parts: Vec<usize> = (1..=k).filter(|l| by[*l] * 20 >= total.max(1)).collect();
        parts.sort_by_key(|l| std::cmp::Reverse(by[*l]));
        if let [larger, smaller, ..] = parts[..] {
            let means = h.centroids(&cut);
            let near = |leaf: usize, part: usize| distance2(h.leaves.row(leaf), means.row(part - 1));
            let mut out: Vec<bool> = (0..cut.len()).map(|leaf| near(leaf, smaller) < near(leaf, larger)).collect();
            cut.iter().zip(&mut out).for_each(|(l, o)| {
                if [larger, smaller].contains(&usize::from(*l)) {
                    *o = usize::from(*l) == smaller;
                }
            });
            out.insert(0, false);
            return Some(out);
        }
    }
    None
}

/// Majority over 3 x 3 cells among two labels.
fn calm(labels: &mut [u8], columns: usize, a: u8, b: u8) {
    let rows = labels.len() / columns.max(1);
    for _ in 0..CALM_ROUNDS {
        let before = labels.to_vec();
        for i in (0..labels.len()).filter(|i| before[*i] == a || before[*i] == b) {
            let (r, c) = (i / columns, i % columns);
            let (mut of_a, mut of_b) = (0, 0);
            for y in r.saturating_sub(1)..(r + 2).min(rows) {
                for x in c.saturating_sub(1)..(c + 2).min(columns) {
                    of_a += u8::from(before[y * columns + x] == a);
                    of_b += u8::from(before[y * columns + x] == b);
                }
            }
            match of_a.cmp(&of_b) {
                std::cmp::Ordering::Greater => labels[i] = a,
                std::cmp::Ordering::Less => labels[i] = b,
                std::cmp::Ordering::Equal => {}
            }
        }
    }
}

/// A name as it is kept, or what is wrong with it.
pub fn name_of(name: &str) -> std::result::Result<String, String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {NAME_CHARS} characters and no control characters"));
    }
    Ok(name.into())
}

/// A colour of the form `#rrggbb`, or what is wrong with it.
pub fn parsed(color: &str) -> std::result::Result<[u8; 3], String> {
    let bad = || format!("`{color}` is no colour; write #rrggbb, for instance #d55e00");
    let hex = color.strip_prefix('#').filter(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(bad)?;
    let value = u32::from_str_radix(hex, 16).map_err(|_| bad())?;
    Ok([value >> 16, value >> 8, value].map(|v| v as u8))
}
