//! Classes that people drew. In: annotations of the slide, its tissue. Out: labels and a legend: one class a name, in the order of the names so
//! that slides annotated alike get the same labels, and one more for tissue that nobody annotated. Where regions overlap the smaller one is
//! seen, whatever the order of the file. Fails where no class lies on tissue, or there are more classes than labels.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::{Value, json};

use super::{Class, WithoutCells, legend::described, palette::palette};
use crate::annotations::{self, LEFT_OUT, Raster, Ring, Shapes, area, bad, is_background};
use crate::export::{read_file, sha256};
use crate::tiles::Grid;
use crate::{Error, Job, Result, limits};

/// Name of the class of tissue that nobody annotated, where no class of the file has it.
pub const OTHER: &str = "Other tissue";
const OTHER_COLOR: [u8; 3] = [153, 153, 153];
const FIELD: &str = "annotations";
/// Largest file read, in bytes.
const BYTES: usize = 256 << 20;

/// A file of annotations as classes of a map.
#[derive(Debug)]
pub struct Annotated {
    /// The largest first.
    regions: Vec<(u8, Vec<Ring>)>,
    /// Name and colour of labels 1, 2, ...
    legend: Vec<(String, [u8; 3])>,
    /// Two classes that have the same colour in the file, each time: the first keeps it.
    alike: Vec<[String; 2]>,
    sha256: String,
    /// In the order of [`LEFT_OUT`].
    left_out: [usize; 4],
    /// Whether clustering found one of the classes.
    pseudo_semantic: bool,
}

impl Annotated {
    /// Reads GeoJSON or ASAP's XML.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path, BYTES, "give GeoJSON from QuPath or ASAP's XML")?;
        Self::of(&annotations::read(FIELD, annotations::text(FIELD, &bytes)?)?, sha256(&bytes))
    }

    fn of(read: &Shapes, sha256: String) -> Result<Self> {
        let found = classes(read)?;
        if found.is_empty() {
            let names = if read.named { "; names are not classes: set the class in QuPath, the group in ASAP" } else { "" };
            return Err(bad(FIELD, format!("no region has a class{names}")));
        }
        let labels: HashMap<&str, u8> = found.keys().map(String::as_str).zip(1..).collect();
        let label = |name: &str| labels.get(name.to_lowercase().as_str()).copied().unwrap_or(0);
        let mut regions: Vec<(u8, Vec<Ring>)> =
            read.shapes.iter().filter_map(|s| Some((label(s.class.as_deref()?), s.rings.clone()))).collect();
        regions.sort_by_cached_key(|(_, rings)| std::cmp::Reverse(area(rings).to_bits())); // bits of numbers from 0 on are in their order
        let unnamed = read.shapes.iter().filter(|s| s.class.is_none()).count();
        let (legend, alike) = legend(&found);
        Ok(Self {
            regions,
            legend,
            alike,
            sha256,
            left_out: [read.left_out, read.delimiting, read.detections, unnamed],
            pseudo_semantic: read.shapes.iter().any(|s| !s.made_by_hand),
        })
    }

    /// Labels of the cells: smaller regions lie above larger ones, of one size later ones above earlier ones; what is no tissue stays 0.
    pub fn labels(&self, grid: &Grid, tissue: &[bool], job: &Job) -> Result<Vec<u8>> {
        notes(&self.told()).into_iter().for_each(|n| job.note(n));
        let mut labels = vec![self.legend.len() as u8; grid.cells()];
        let on = raster(grid);
        for (label, rings) in &self.regions {
            job.check()?;
            annotations::paint(rings, *label, &mut labels, on);
        }
        labels.iter_mut().zip(tissue).filter(|(_, is)| !**is).for_each(|(label, _)| *label = 0);
        let seen: HashSet<u8> = labels.iter().copied().collect();
        let missing: Vec<(u8, &str)> = (1u8..).zip(self.drawn()).filter(|(label, _)| !seen.contains(label)).collect();
        if missing.len() == self.legend.len() - 1 {
            return Err(Error::parameter(
                FIELD,
                "no annotated region lies on tissue",
                "check that they were drawn on this slide, in level-0 pixels of the whole slide",
            ));
        }
        for (label, name) in missing {
            job.check()?;
            job.note(format!("no cell has the class `{name}`: {}", self.why_missing(label, tissue, on)));
        }
        Ok(labels)
    }

    /// Why no cell has a label.
    fn why_missing(&self, label: u8, tissue: &[bool], on: Raster) -> &'static str {
        let mut alone = vec![0; tissue.len()];
        let own = self.regions.iter().filter(|(l, _)| *l == label);
        let painted: usize = own.map(|(_, rings)| annotations::paint(rings, label, &mut alone, on)).sum();
        match alone.iter().zip(tissue).any(|(l, is)| *l == label && *is) {
            _ if painted == 0 => "its annotations are smaller than a cell, or outside the slide",
            false => "its annotations have no tissue (inside the region of interest) under them",
            true => "its annotations are covered by other annotations",
        }
    }

    /// Names of the classes of the file, in the order of their labels.
    fn drawn(&self) -> impl Iterator<Item = &str> {
        self.legend[..self.legend.len() - 1].iter().map(|(name, _)| name.as_str())
    }

    /// Classes of the file that are none of a map's, each with the reason.
    pub fn without_cells(&self, classes: &[Class], grid: &Grid, tissue: &[bool]) -> Vec<(&str, &'static str)> {
        let missing = (1u8..).zip(self.drawn()).filter(|(label, _)| classes.iter().all(|c| c.id != *label));
        missing.map(|(label, name)| (name, self.why_missing(label, tissue, raster(grid)))).collect()
    }

    /// Classes that have cells, `cell_um` wide.
    pub fn classes(&self, labels: &[u8], cell_um: f64) -> Vec<Class> {
        let new = |(id, (name, color)): (u8, &(String, [u8; 3]))| Class {
            id,
            name: name.clone(),
            color: *color,
            cells: 0,
            area_um2: 0.0,
            share: 0.0,
        };
        let mut classes: Vec<Class> = (1u8..).zip(&self.legend).map(new).collect();
        described(&mut classes, labels, cell_um);
        classes
    }

    /// Colours of labels 1, 2, ...
    pub fn colors(&self) -> Vec<[u8; 3]> {
        self.legend.iter().map(|(_, color)| *color).collect()
    }

    /// What the provenance tells: the file by its hash, never by its name.
    pub fn told(&self) -> Value {
        let mut out = json!({
            "file_sha256": self.sha256,
            "regions": self.regions.len(),
            "other_label": self.legend.len(),
            "pseudo_semantic": self.pseudo_semantic,
        });
        LEFT_OUT.iter().zip(self.left_out).for_each(|((key, _), n)| out[key] = json!(n));
        if !self.alike.is_empty() {
            out["same_color"] = json!(self.alike);
        }
        out
    }
}

/// The cells of a map.
fn raster(grid: &Grid) -> Raster {
    Raster { size: [grid.columns, grid.rows], corner: [0.0; 2], step: grid.cell_px() }
}

/// Classes of the annotations that no cell has, from what the provenance tells of them; maps made before tell no reason.
pub fn without_cells(told: &Value) -> Vec<WithoutCells> {
    let names = told["classes_without_cells"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let why = |name: &str| told["why_without_cells"][name].as_str().map(str::to_owned);
    names.map(|name| WithoutCells { name: name.to_owned(), reason: why(name) }).collect()
}

/// What of annotations is not on the map or not what it seems, from what the provenance tells of them.
pub fn notes(told: &Value) -> Vec<String> {
    let count = |(key, what): &(&str, &str)| {
        let n = told[key].as_u64().filter(|n| *n > 0)?;
        Some(format!("{n} annotation(s) {what} and were left out"))
    };
    let mut out: Vec<String> = LEFT_OUT.iter().filter_map(count).collect();
    if told["pseudo_semantic"] == true {
        out.push("the annotations hold pseudo-semantic classes, which clustering found, not a pathologist".into());
    }
    for pair in told["same_color"].as_array().into_iter().flatten() {
        let [first, second] = [0_usize, 1].map(|i| pair[i].as_str().unwrap_or_default());
        out.push(format!("the classes `{first}` and `{second}` have the same colour in the file: `{second}` is shown in another"));
    }
    let without: Vec<String> = without_cells(told).into_iter().map(|class| class.name).collect();
    if !without.is_empty() {
        out.push(format!("classes of the annotations that no cell has: {}", without.join(", ")));
    }
    out
}

/// Name and colour of each class of tissue, by its name in small letters; the first spelling and the first colour count.
type Found<'a> = BTreeMap<String, (&'a str, Option<[u8; 3]>)>;

/// The classes of a file; fewer than there are labels.
fn classes(read: &Shapes) -> Result<Found<'_>> {
    let mut out = BTreeMap::new();
    for shape in &read.shapes {
        let Some(name) = shape.class.as_deref().filter(|name| !is_background(name)) else { continue };
        let (_, color) = out.entry(name.to_lowercase()).or_insert((name, None));
        *color = color.or(shape.color);
        if out.len() >= limits::CLASSES {
            let (value, limit) = (format!("{} classes or more", out.len()), format!("{} classes", limits::CLASSES - 1));
            return Err(Error::Limit { field: FIELD.into(), value, limit, hint: "give fewer classes to the annotations".into() });
        }
    }
    Ok(out)
}

/// Name and colour of a class.
type Named = (String, [u8; 3]);

/// Name and colour of each label, that of other tissue last, and which two classes had one colour. Colours of ours differ from all others; a
/// colour of the file belongs to the first label that has it.
fn legend(found: &Found<'_>) -> (Vec<Named>, Vec<[String; 2]>) {
    let mut used: HashSet<[u8; 3]> = found.values().filter_map(|(_, color)| *color).chain([OTHER_COLOR]).collect();
    let ours = palette(2 * found.len() + 1); // more than one for each class and its stand-in
    let mut out: Vec<Named> = Vec::with_capacity(found.len() + 1);
    let (mut alike, mut owner) = (Vec::new(), HashMap::new());
    for (i, (name, own)) in found.values().enumerate() {
        let first = own.map_or(i, |color| *owner.entry(color).or_insert(i));
        if first != i {
            alike.push([out[first].0.clone(), (*name).to_owned()]);
        }
        let free = || ours[i..=i].iter().chain(&ours[found.len()..]).copied().find(|c| !used.contains(c));
        let color = own.filter(|_| first == i).or_else(free).unwrap_or(ours[i]);
        used.insert(color);
        out.push(((*name).to_owned(), color));
    }
    let more = (2..).map(|n| format!("{OTHER} (not annotated {n})"));
    let mut names = [OTHER.to_owned(), format!("{OTHER} (not annotated)")].into_iter().chain(more);
    let other = names.find(|name| !found.contains_key(&name.to_lowercase())).unwrap_or_default();
    out.push((other, OTHER_COLOR));
    (out, alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Annotated> {
        Annotated::of(&annotations::read(FIELD, text)?, "s".into())
    }

    const TEXT: &str = r#"[
        {"geometry":{"type":"Polygon","coordinates":[[[0,0],[40,0],[40,40],[0,40]]]},"properties":{"classification":{"name":"tumour"}}},
        {"geometry":{"type":"Polygon","coordinates":[[[20,0],[40,0],[40,20],[20,20]]]},"properties":{"classification":{"name":"Fat","color":[9,8,7]}}},
        {"geometry":{"type":"Polygon","coordinates":[[[0,20],[20,20],[20,40],[0,40]]]},"properties":{"classification":"Ignore*"}},
        {"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]},"properties":null},
        {"geometry":{"type":"Polygon","coordinates":[[[20,30],[21,30],[21,31]]]},"properties":{"classification":"TUMOUR"}}]"#;

    #[test]
    fn names_are_classes_and_the_rest_is_one_more() {
        let a = of(TEXT).unwrap();
        let grid = Grid { rows: 2, columns: 3, stride_px: 10, downsample: 2.0 };
        let job = Job::new();
        let labels = a.labels(&grid, &[true, true, true, true, false, true], &job).unwrap();
        assert_eq!(labels, [2, 1, 3, 0, 0, 3], "fat above tumour, ignored, no tissue, other");
        assert!(job.notes().iter().any(|n| n.contains("1 annotation(s) have no class")));
        let classes = a.classes(&labels, 20.0);
        let told: Vec<_> = classes.iter().map(|c| (c.id, c.name.as_str(), c.color, c.cells)).collect();
        assert_eq!(told, [(1, "Fat", [9, 8, 7], 1), (2, "tumour", palette(2)[1], 1), (3, OTHER, OTHER_COLOR, 2)]);
        assert!(a.without_cells(&classes, &grid, &[true; 6]).is_empty());
        let elsewhere = a.labels(&grid, &[false, false, true, false, false, false], &Job::new()).unwrap_err().to_string();
        assert!(elsewhere.contains("no annotated region lies on tissue"), "{elsewhere}");
    }

    #[test]
    fn regions_without_classes_and_too_many_classes_are_refused() {
        let ring = r#""geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]}"#;
        assert!(of(&format!("[{{{ring}}}]")).unwrap_err().to_string().contains("no region has a class"));
        let many: Vec<String> = (0..100).map(|i| format!(r#"{{{ring},"properties":{{"classification":"c{i}"}}}}"#)).collect();
        assert!(of(&format!("[{}]", many.join(","))).unwrap_err().to_string().contains("100 classes"));
    }
    const GRID: Grid = Grid { rows: 2, columns: 3, stride_px: 10, downsample: 2.0 };

    fn square([x, y, side]: [u32; 3], class: &str) -> String {
        let (r, b) = (x + side, y + side);
        format!(
            r#"{{"geometry":{{"type":"Polygon","coordinates":[[[{x},{y}],[{r},{y}],[{r},{b}],[{x},{b}]]]}},"properties":{{"classification":{class}}}}}"#
        )
    }

    fn drawn(squares: &[String]) -> Annotated {
        of(&format!("[{}]", squares.join(","))).unwrap()
    }

    #[test]
    fn a_small_region_is_seen_above_a_large_one_that_comes_later() {
        let a = drawn(&[square([20, 0, 20], r#""Small""#), square([0, 0, 40], r#""Large""#), square([0, 20, 20], r#""Ignore*""#)]);
        assert_eq!(a.labels(&GRID, &[true; 6], &Job::new()).unwrap(), [1, 2, 3, 0, 1, 3]);
    }

    #[test]
    fn a_class_without_cells_is_told_with_the_reason() {
        let squares = [
            square([0, 0, 20], r#""Seen""#),
            square([1, 1, 3], r#""Tiny""#),
            square([900, 0, 50], r#""Outside""#),
            square([20, 0, 20], r#""Glassy""#),
            square([40, 0, 20], r#""Below""#),
            square([40, 0, 20], r#""Above""#),
        ];
        let (a, job) = (drawn(&squares), Job::new());
        let tissue = [true, false, true, true, true, true];
        let labels = a.labels(&GRID, &tissue, &job).unwrap();
        let said = job.notes().join("\n");
        for why in [
            "`Tiny`: its annotations are smaller than a cell, or outside",
            "`Outside`: its annotations are smaller than a cell, or outside",
            "`Glassy`: its annotations have no tissue",
            "`Below`: its annotations are covered by other",
        ] {
            assert!(said.contains(why), "{why}: {said}");
        }
        let without = a.without_cells(&a.classes(&labels, 20.0), &GRID, &tissue);
        assert_eq!(without.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["Below", "Glassy", "Outside", "Tiny"]);
        assert!(without[1].1.contains("have no tissue"), "{without:?}");
    }

    #[test]
    fn what_is_left_out_is_in_the_provenance_and_in_words() {
        let point = r#"{"geometry":{"type":"Point","coordinates":[0,0]},"properties":{}}"#;
        let cell = square([0, 0, 9], r#""Tumour","objectType":"cell""#);
        let squares = [square([0, 0, 9], r#""Stroma""#), square([0, 0, 9], "null"), square([0, 0, 90], r#""Region*""#), point.into(), cell];
        let mut told = drawn(&squares).told();
        let counts = ["left_out", "delimiting", "detections", "without_class"].map(|key| told[key].as_u64());
        assert_eq!((counts, told["regions"].as_u64()), ([Some(1); 4], Some(1)));
        told["classes_without_cells"] = json!(["Nerve"]);
        let said = notes(&told).join("\n");
        for words in ["are no regions", "only delimit", "cells, detections", "have no class", "no cell has: Nerve"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        told["why_without_cells"] = json!({"Nerve": "too small"});
        assert_eq!(without_cells(&told), [WithoutCells { name: "Nerve".into(), reason: Some("too small".into()) }]);
        assert!(notes(&json!({"file_sha256": "0a", "regions": 1, "other_label": 2})).is_empty(), "maps made before");
        assert!(notes(&Value::Null).is_empty());
    }

    #[test]
    fn classes_that_clustering_found_make_the_map_pseudo_semantic() {
        let exported = square([0, 0, 9], r#""A","metadata":{"kind":"pseudo-semantic class found by clustering, not by a pathologist"}"#);
        let (ours, mixed) = (drawn(std::slice::from_ref(&exported)), drawn(&[exported, square([0, 0, 9], r#""B""#)]));
        for a in [ours, mixed] {
            assert!(a.told()["pseudo_semantic"] == true && notes(&a.told()).join("").contains("clustering found"));
        }
        assert_eq!(drawn(&[square([0, 0, 9], r#""B""#)]).told()["pseudo_semantic"], false);
    }

    #[test]
    fn other_tissue_has_a_name_and_every_colour_of_ours_a_place_of_its_own() {
        let [first, second] = [palette(2)[0], palette(2)[1]];
        let own = |name: &str, color: [u8; 3]| square([0, 0, 9], &format!(r#"{{"name":"{name}","color":{color:?}}}"#));
        let plain = |name: &str| square([0, 0, 9], &format!("\"{name}\""));
        let a = drawn(&[plain("a"), own("b", first), own("c", second), plain("d"), plain("other tissue")]);
        let names: Vec<&str> = a.legend.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "other tissue", "Other tissue (not annotated)"]);
        assert_eq!(a.colors().iter().collect::<HashSet<_>>().len(), 6, "{:?}", a.colors());
        assert_eq!((a.colors()[1], a.colors()[3]), (first, palette(4)[3]), "a free place of the palette is kept");
    }

    #[test]
    fn of_classes_with_one_colour_the_first_keeps_it() {
        let green = |name: &str| square([0, 0, 9], &format!(r#"{{"name":"{name}","color":[100,254,46]}}"#));
        let a = drawn(&[green("c"), green("b"), green("a"), square([0, 0, 9], "\"d\"")]);
        assert_eq!(a.colors(), [[100, 254, 46], palette(4)[1], palette(4)[2], palette(4)[3], OTHER_COLOR]);
        let said = notes(&a.told()).join("\n");
        for words in ["`a` and `b` have the same colour in the file: `b` is", "`a` and `c` have the same colour in the file: `c` is"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(drawn(&[green("a")]).told()["same_color"].is_null());
    }

    #[test]
    fn names_that_are_no_classes_and_far_too_many_classes_are_told() {
        let named = square([0, 0, 9], r#"null,"name":"Tumour""#);
        let e = of(&named).unwrap_err().to_string();
        assert!(e.contains("no region has a class") && e.contains("names are not classes"), "{e}");
        let many: Vec<String> = (0..2000).map(|i| square([0, 0, 9], &format!("\"c{i}\""))).collect();
        assert!(of(&format!("[{}]", many.join(","))).unwrap_err().to_string().contains("100 classes or more"), "counted no further");
    }
}
