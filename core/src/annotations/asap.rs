//! ASAP's XML: `Annotation` elements with `Coordinate`s in the order of their `Order`; a group (`PartOfGroup`) is a class, its colour stands
//! at the `Group`. ASAP draws no holes. Dots, point sets and measurements are no regions.

use roxmltree::{Document, Node};

use super::{Shape, Shapes};

/// Types that are regions, as ASAP names them.
const REGIONS: [&str; 3] = ["Polygon", "Spline", "Rectangle"];

pub(super) fn read(text: &str) -> Result<Shapes, String> {
    let document = Document::parse(text.trim_start_matches('\u{feff}')).map_err(|e| format!("not XML: {e}"))?;
    if document.root_element().tag_name().name() != "ASAP_Annotations" {
        return Err("XML, but not ASAP's annotations".into());
    }
    let all = |name: &'static str| document.descendants().filter(move |n| n.has_tag_name(name));
    let color = |group: &str| all("Group").find(|g| g.attribute("Name") == Some(group))?.attribute("Color").and_then(color);
    let mut out = Shapes::default();
    for a in all("Annotation") {
        let name = a.attribute("Name").unwrap_or_default();
        let ring = points(a).map_err(|why| format!("annotation `{name}`: {why}"))?;
        if ring.len() < 3 || !a.attribute("Type").is_some_and(|t| REGIONS.contains(&t)) {
            out.left_out += 1;
            continue;
        }
        let class = a.attribute("PartOfGroup").filter(|g| *g != "None" && !g.is_empty());
        out.shapes.push(Shape { class: class.map(str::to_owned), label: None, color: class.and_then(color), rings: vec![ring] });
    }
    Ok(out)
}

fn points(annotation: Node<'_, '_>) -> Result<Vec<[f64; 2]>, String> {
    let number = |n: Node<'_, '_>, name: &str| {
        let value = n.attribute(name).and_then(|v| v.trim().parse::<f64>().ok()).filter(|v| v.is_finite());
        value.ok_or_else(|| format!("a coordinate without a number `{name}`"))
    };
    let coordinates = annotation.descendants().filter(|n| n.has_tag_name("Coordinate"));
    let mut out = coordinates.map(|c| Ok((number(c, "Order")?, [number(c, "X")?, number(c, "Y")?]))).collect::<Result<Vec<_>, String>>()?;
    out.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(out.into_iter().map(|(_, point)| point).collect())
}

/// `#rrggbb`.
fn color(hex: &str) -> Option<[u8; 3]> {
    let hex = hex.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii())?;
    let mut out = [0; 3];
    for (i, v) in out.iter_mut().enumerate() {
        *v = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}
