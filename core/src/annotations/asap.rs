//! ASAP's XML: `Annotation` elements with `Coordinate`s in the order of their `Order`; a group (`PartOfGroup`) is a class, its colour stands
//! at the `Group`. ASAP draws no holes. Dots, point sets and measurements are no regions.

use std::collections::HashMap;

use roxmltree::{Document, Error, Node};

use super::{PSEUDO_SEMANTIC, Shape, Shapes, cleaned, hex_color};

/// Types that are regions, as ASAP names them.
const REGIONS: [&str; 3] = ["Polygon", "Spline", "Rectangle"];

pub(super) fn read(text: &str) -> Result<Shapes, String> {
    let document = Document::parse(text).map_err(|e| match e {
        Error::UnexpectedEndOfStream | Error::UnclosedRootNode => format!("not XML: {e}; is the file cut off?"),
        _ => format!("not XML: {e}"),
    })?;
    let root = document.root_element();
    let all = |name: &'static str| document.descendants().filter(move |n| n.has_tag_name(name));
    if root.tag_name().name() != "ASAP_Annotations" {
        let image_scope = root.has_tag_name("Annotations") && (root.has_attribute("MicronsPerPixel") || all("Regions").next().is_some());
        let why = if image_scope { "XML of Aperio ImageScope: convert it with QuPath" } else { "XML, but not ASAP's annotations" };
        return Err(why.into());
    }
    let mut colors = HashMap::new();
    for group in all("Group") {
        if let Some(name) = group.attribute("Name") {
            colors.entry(name).or_insert_with(|| group.attribute("Color").and_then(hex_color)); // the first of a name counts
        }
    }
    let mut out = Shapes::default();
    for a in all("Annotation") {
        let name = a.attribute("Name").unwrap_or_default();
        let is_region = a.attribute("Type").is_some_and(|t| REGIONS.contains(&t));
        let ring = if is_region {
            points(a).map_err(|why| format!("annotation `{}`: {why}", cleaned(name).unwrap_or_default()))?
        } else {
            Vec::new()
        };
        if ring.len() < 3 {
            out.left_out += 1;
            continue;
        }
        let class = a.attribute("PartOfGroup").filter(|g| *g != "None" && !g.is_empty());
        out.named |= class.is_none() && !name.is_empty();
        out.shapes.push(Shape {
            class: class.map(str::to_owned),
            label: None,
            color: class.and_then(|c| colors.get(c).copied().flatten()),
            made_by_hand: !name.ends_with(&format!("({PSEUDO_SEMANTIC})")),
            rings: vec![ring],
        });
    }
    Ok(out)
}

fn points(annotation: Node<'_, '_>) -> Result<Vec<[f64; 2]>, String> {
    let number = |n: Node<'_, '_>, name: &str| {
        let told = n.attribute(name).unwrap_or_default();
        told.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| {
            let comma = if told.contains(',') { "; write a decimal point, not a comma" } else { "" };
            let told: String = cleaned(told).unwrap_or_default().chars().take(40).collect();
            format!("a coordinate without a number `{name}`, which is `{told}`{comma}")
        })
    };
    let coordinates = annotation.descendants().filter(|n| n.has_tag_name("Coordinate"));
    let mut out = coordinates.map(|c| Ok((number(c, "Order")?, [number(c, "X")?, number(c, "Y")?]))).collect::<Result<Vec<_>, String>>()?;
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(out.into_iter().map(|(_, point)| point).collect())
}
