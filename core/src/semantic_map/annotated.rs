//! Classes that people drew. In: annotations of the slide, its tissue. Out: labels and a legend: one class a name, in the order of the names so
//! that slides annotated alike get the same labels, and one more for tissue that nobody annotated. Fails where no class lies on tissue, or
//! there are more classes than labels.

use std::path::Path;

use serde_json::{Value, json};

use super::{Class, legend::described, palette::palette};
use crate::annotations::{self, Raster, Ring, bad, is_background};
use crate::export::{read_file, sha256};
use crate::tiles::Grid;
use crate::{Error, Job, Result, limits};

/// Name of the class of tissue that nobody annotated.
pub const OTHER: &str = "Other tissue";
const OTHER_COLOR: [u8; 3] = [153, 153, 153];
const FIELD: &str = "annotations";
/// Largest file read, in bytes.
const BYTES: usize = 256 << 20;

/// A file of annotations as classes of a map.
#[derive(Debug)]
pub struct Annotated {
    regions: Vec<(u8, Vec<Ring>)>,
    /// Name and colour of labels 1, 2, ...
    legend: Vec<(String, [u8; 3])>,
    sha256: String,
    notes: Vec<String>,
}

impl Annotated {
    /// Reads GeoJSON or ASAP's XML.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path, BYTES, "give GeoJSON from QuPath or ASAP's XML")?;
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(FIELD, "not UTF-8 text"))?;
        Self::of(&annotations::read(FIELD, text)?, sha256(&bytes))
    }

    fn of(read: &annotations::Shapes, sha256: String) -> Result<Self> {
        let named = || read.shapes.iter().filter_map(|s| Some((s.class.as_deref()?, s.color))).filter(|(name, _)| !is_background(name));
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in named() {
            if !names.iter().any(|n| n.eq_ignore_ascii_case(name)) {
                names.push(name);
            }
        }
        names.sort_by_key(|n| n.to_lowercase());
        if names.is_empty() {
            return Err(bad(FIELD, "no region has a class"));
        }
        if names.len() >= limits::CLASSES {
            let (value, limit) = (format!("{} classes", names.len()), format!("{} classes", limits::CLASSES - 1));
            return Err(Error::Limit { field: FIELD.into(), value, limit, hint: "give fewer classes to the annotations".into() });
        }
        let color = |(i, name): (usize, &&str)| {
            let own = named().find_map(|(n, color)| color.filter(|_| n.eq_ignore_ascii_case(name)));
            own.unwrap_or_else(|| palette(i + 1)[i])
        };
        let mut legend: Vec<(String, [u8; 3])> = names.iter().enumerate().map(|(i, n)| ((*n).to_owned(), color((i, n)))).collect();
        legend.push((OTHER.into(), OTHER_COLOR));
        let label = |name: &str| (1..).zip(&names).find(|(_, n)| n.eq_ignore_ascii_case(name)).map_or(0, |(label, _)| label);
        let mut notes = Vec::new();
        let unnamed = read.shapes.iter().filter(|s| s.class.is_none()).count();
        for (n, what) in [(read.left_out, "are no regions"), (unnamed, "have no class")] {
            if n > 0 {
                notes.push(format!("{n} annotation(s) {what} and were left out"));
            }
        }
        let regions = read.shapes.iter().filter_map(|s| Some((label(s.class.as_deref()?), s.rings.clone()))).collect();
        Ok(Self { regions, legend, sha256, notes })
    }

    /// Labels of the cells: later regions lie above earlier ones, what is no tissue stays 0.
    pub fn labels(&self, grid: &Grid, tissue: &[bool], job: &Job) -> Result<Vec<u8>> {
        self.notes.iter().for_each(|n| job.note(n.clone()));
        let mut labels = vec![self.legend.len() as u8; grid.cells()];
        let on = Raster { size: [grid.columns, grid.rows], corner: [0.0; 2], step: grid.cell_px() };
        for (label, rings) in &self.regions {
            job.check()?;
            annotations::paint(rings, *label, &mut labels, on);
        }
        labels.iter_mut().zip(tissue).filter(|(_, is)| !**is).for_each(|(label, _)| *label = 0);
        let drawn = &self.legend[..self.legend.len() - 1];
        let missing: Vec<&str> =
            (1u8..).zip(drawn).filter(|(label, _)| !labels.contains(label)).map(|(_, (name, _))| name.as_str()).collect();
        if missing.len() == drawn.len() {
            return Err(Error::parameter(
                FIELD,
                "no annotated region lies on tissue",
                "check that they were drawn on this slide, in level-0 pixels of the whole slide",
            ));
        }
        if !missing.is_empty() {
            job.note(format!("no tissue lies under the annotations of: {}", missing.join(", ")));
        }
        Ok(labels)
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
        json!({"file_sha256": self.sha256, "regions": self.regions.len(), "other_label": self.legend.len()})
    }
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
}
