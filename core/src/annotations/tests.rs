use super::*;

const XML: &str = r##"<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="a" Type="Polygon" PartOfGroup="Tumour" Color="#F4FA58"><Coordinates>
<Coordinate Order="1" X="20" Y="0"/><Coordinate Order="0" X="0" Y="0"/><Coordinate Order="2" X="20" Y="10.5"/></Coordinates></Annotation>
<Annotation Name="b" Type="Dot" PartOfGroup="Tumour" Color="#F4FA58"><Coordinates><Coordinate Order="0" X="1" Y="1"/></Coordinates></Annotation>
<Annotation Name="c" Type="Rectangle" PartOfGroup="None" Color="#F4FA58"><Coordinates><Coordinate Order="0" X="0" Y="0"/>
<Coordinate Order="1" X="1" Y="0"/><Coordinate Order="2" X="1" Y="1"/></Coordinates></Annotation></Annotations>
<AnnotationGroups><Group Name="Tumour" PartOfGroup="None" Color="#0010ff"><Attributes/></Group></AnnotationGroups></ASAP_Annotations>"##;

#[test]
fn groups_of_asap_are_classes_and_dots_are_no_regions() {
    let read = read("annotations", XML).unwrap();
    assert_eq!((read.shapes.len(), read.left_out), (2, 1));
    let tumour = &read.shapes[0];
    assert_eq!((tumour.class.as_deref(), tumour.color), (Some("Tumour"), Some([0, 16, 255])));
    assert_eq!(tumour.rings, [vec![[0.0, 0.0], [20.0, 0.0], [20.0, 10.5]]], "in the order told");
    assert_eq!((read.shapes[1].class.as_deref(), read.shapes[1].color), (None, None));
}

#[test]
fn classes_of_qupath_come_with_name_and_colour() {
    let text = r#"[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4],[0,0]]]},
        "properties":{"classification":{"name":"Stroma","color":[1,2,3]}}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":[0,0]}, "properties": null},
        {"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]},"properties":{"classification":"Tumour"}}]"#;
    let read = read("annotations", text).unwrap();
    let of = |i: usize| (read.shapes[i].class.as_deref(), read.shapes[i].color);
    assert_eq!((of(0), of(1), read.left_out), ((Some("Stroma"), Some([1, 2, 3])), (Some("Tumour"), None), 1));
}

#[test]
fn what_is_neither_is_refused_with_the_parameter_s_name() {
    for (text, why) in [
        ("", "neither GeoJSON nor XML"),
        ("<svg/>", "not ASAP's"),
        ("<a", "not XML"),
        (&XML.replace("X=\"20\"", "X=\"nan\""), "without a number `X`"),
        (r#"{"type":"FeatureCollection","features":[]}"#, "no region"),
    ] {
        let e = read("annotations", text).unwrap_err().to_string();
        assert!(e.contains(why) && e.contains("annotations"), "{text}: {e}");
    }
}

#[test]
fn a_hole_stays_as_it_was() {
    let square = |a: f64, b: f64| vec![[a, a], [b, a], [b, b], [a, b]];
    let mut labels = [7u8; 25];
    let on = Raster { size: [5, 5], corner: [10.0, 10.0], step: 2.0 };
    let painted = paint(&[square(10.0, 20.0), square(14.0, 16.0)], 3, &mut labels, on);
    assert_eq!((painted, labels[12], labels.iter().filter(|l| **l == 3).count()), (24, 7, 24));
}
