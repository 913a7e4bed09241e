//! The map as annotations that ASAP opens (and Slidescape), in level-0 pixels with y downwards. In: a map. Out: XML.
//!
//! ASAP's rules, kept here: a polygon has no holes, so regions with holes are [cut open](super::cut_open); `Order` counts from 0
//! without a gap and the ring is not closed by a repeated corner; every annotation names a group that the file declares, or the
//! whole file is refused. `None` is ASAP's word for no group, so a class of that name, and one whose name an earlier class
//! has, gets its label behind its name. Cannot fail.

use std::fmt::Write;

use super::contours::Polygon;
use super::cut_open::cut_open;
use super::geojson::pixels;
use super::xml::escaped;
use crate::semantic_map::{Class, SemanticMap};

/// The map as an ASAP annotation file: a group a class, also for a class without a cell.
pub(super) fn annotations(map: &SemanticMap) -> String {
    let mut polygons = cut_open(&map.labels, map.rows, map.columns);
    polygons.sort_by_key(|p| p.class); // stable: within a class in the order of their first cell
    let groups = group_names(&map.classes);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let about = super::label_tiff::software(map);
    let _ = write!(out, "<!-- {about} -->\n<ASAP_Annotations>\n\t<Annotations>\n");
    for (class, group) in map.classes.iter().zip(&groups) {
        for (number, polygon) in (1..).zip(polygons.iter().filter(|p| p.class == class.id)) {
            let name = if map.is_pseudo_semantic() { format!("{group} {number} (pseudo-semantic)") } else { format!("{group} {number}") };
            annotation(&mut out, polygon, &name, group, class.color, map.cell_px);
        }
    }
    out.push_str("\t</Annotations>\n\t<AnnotationGroups>\n");
    for (class, group) in map.classes.iter().zip(&groups) {
        let (name, color) = (escaped(group), hex(class.color));
        let _ = write!(out, "\t\t<Group Name=\"{name}\" PartOfGroup=\"None\" Color=\"{color}\">\n\t\t\t<Attributes/>\n\t\t</Group>\n");
    }
    out.push_str("\t</AnnotationGroups>\n</ASAP_Annotations>\n");
    out
}

fn annotation(out: &mut String, polygon: &Polygon, name: &str, group: &str, color: [u8; 3], cell_px: f64) {
    let (name, group, color) = (escaped(name), escaped(group), hex(color));
    let _ = write!(
        out,
        "\t\t<Annotation Name=\"{name}\" Type=\"Polygon\" PartOfGroup=\"{group}\" Color=\"{color}\">\n\
         \t\t\t<Coordinates>\n"
    );
    for (order, (x, y)) in polygon.shell.iter().enumerate() {
        let (x, y) = (pixels(*x, cell_px), pixels(*y, cell_px));
        let _ = writeln!(out, "\t\t\t\t<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\"/>");
    }
    out.push_str("\t\t\t</Coordinates>\n\t\t</Annotation>\n");
}

/// A name of its own for each class.
fn group_names(classes: &[Class]) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(classes.len());
    for class in classes {
        let mut name = class.name.clone();
        while name.trim().is_empty() || name == "None" || out.contains(&name) {
            name = format!("{name} ({})", class.id);
        }
        out.push(name);
    }
    out
}

/// A colour as `#rrggbb`.
pub(super) fn hex(color: [u8; 3]) -> String {
    let [r, g, b] = color;
    format!("#{r:02x}{g:02x}{b:02x}")
}
