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
        (&XML.replace("20", "20,5"), "which is `20,5`; write a decimal point"),
        (r#"{"type":"FeatureCollection","features":[{"#, "cut off"),
        (XML.split_at(400).0, "cut off"),
        (r#"{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]}"#, "it has no class"),
        (r#"<Annotations MicronsPerPixel="0.5"><Annotation/></Annotations>"#, "ImageScope"),
        ("<Annotations><Annotation><Regions/></Annotation></Annotations>", "ImageScope"),
        (&feature(r#"{"name":"\u001bmy roi"}"#).replace("[4,0]", "[\"a\",0]"), "feature 0 (`my roi`): no polygon"),
        (&feature("{}").replace("\"type\":\"Feature\"", "\"id\":\"x1\"").replace("[4,0]", "[4]"), "feature 0 (`x1`)"),
        (&feature(r#"{"classification":"Region*"}"#), "ends in `*`"),
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

/// A triangle with properties.
fn feature(properties: &str) -> String {
    format!(r#"{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[[[0,0],[4,0],[4,4]]]}},"properties":{properties}}}"#)
}

fn of(features: &[&str]) -> Shapes {
    read("annotations", &format!("[{}]", features.iter().map(|p| feature(p)).collect::<Vec<_>>().join(","))).unwrap()
}

#[test]
fn our_own_exports_are_not_made_by_hand() {
    let kind = |kind: &str| format!(r#"{{"classification":"A","metadata":{{"kind":"{kind}"}}}}"#);
    let kinds = [
        "pseudo-semantic class found by clustering, not by a pathologist",
        "class of an annotation file that holds pseudo-semantic classes",
        "class of annotations that were made by hand",
    ];
    let by_hand = |s: &Shapes| s.shapes.iter().map(|s| s.made_by_hand).collect::<Vec<_>>();
    assert_eq!(by_hand(&of(&kinds.map(kind).each_ref().map(String::as_str))), [false, false, true]);
    assert_eq!(by_hand(&read("annotations", &XML.replace("Name=\"a\"", "Name=\"Tissue 1 3 (pseudo-semantic)\"")).unwrap()), [false, true]);
}

#[test]
fn regions_that_only_delimit_and_cells_beside_annotations_are_counted_and_left_out() {
    let (region, ignore, tumour) = (r#"{"classification":"Region*"}"#, r#"{"classification":"Ignore*"}"#, r#"{"classification":"Tumour"}"#);
    let cell = r#"{"classification":"Tumour","objectType":"cell"}"#;
    let names = |s: &Shapes| s.shapes.iter().map(|s| s.class.clone().unwrap_or_default()).collect::<Vec<_>>();
    let read = of(&[region, ignore, tumour, cell, cell]);
    assert_eq!((names(&read), read.delimiting, read.detections, read.left_out), (vec!["Ignore*".into(), "Tumour".to_owned()], 1, 2, 0));
    let cells = of(&[r#"{"objectType":"annotation"}"#, cell, cell]);
    assert_eq!((names(&cells).len(), cells.detections), (3, 0), "nothing else has a class");
}

#[test]
fn derived_classes_names_and_colours_of_every_version_are_read() {
    let read = of(&[
        r#"{"classification":{"names":["Tumor","Positive"],"color":[1,2,3,4]}}"#,
        r#"{"classification":{"name":"\u001b[31mRed\t\u202e ","colorRGB":-65281}}"#,
        r#"{"classification":{"name":" \n","color":[1,2]},"name":"Tumour"}"#,
        r#"{"classification":{"name":"X","color":[1,2,300]}}"#,
        r##"{"classification":{"name":"Y","color":"#0A0b0c"}}"##,
        r#"{"classification":{"name":"Z","color":"red","colorRGB":1}}"#,
    ]);
    let told: Vec<_> = read.shapes.iter().map(|s| (s.class.as_deref(), s.color)).collect();
    let right = [
        (Some("Tumor: Positive"), Some([1, 2, 3])),
        (Some("[31mRed"), Some([255, 0, 255])),
        (None, None),
        (Some("X"), None),
        (Some("Y"), Some([10, 11, 12])),
        (Some("Z"), None),
    ];
    assert_eq!(told, right);
}

#[test]
fn a_mark_and_blanks_before_the_text_are_passed_over_and_what_is_no_text_is_told() {
    let json = format!("[{}]", feature(r#"{"classification":"A"}"#));
    for text in [&json, XML] {
        let plain = read("annotations", text).unwrap();
        for before in ["\u{feff}", " \r\n", "\u{feff}\n"] {
            assert_eq!(read("annotations", &format!("{before}{text}\n")).unwrap(), plain);
        }
    }
    let bytes: [&[u8]; 5] = [b"PK\x03\x04rest", b"\x1f\x8b\x08", b"\xff\xfe{\0", b"{\0}\0", b"<a b=\"\xdc\"/>"];
    for (bytes, why) in bytes.into_iter().zip(["compressed", "compressed", "UTF-16", "UTF-16", "Latin-1"]) {
        let e = text("annotations", bytes).unwrap_err().to_string();
        assert!(e.contains(why), "{bytes:?}: {e}");
    }
    assert_eq!(text("annotations", json.as_bytes()).unwrap(), json);
}

#[test]
fn many_annotations_of_a_group_are_read_in_the_time_of_their_number() {
    let begin = XML.find("<Annotation Name=\"a\"").unwrap();
    let end = XML.find("<Annotation Name=\"b\"").unwrap();
    let least = |n: usize| {
        let many = format!("{}{}{}", &XML[..begin], XML[begin..end].repeat(n), &XML[end..]);
        let once = |_| {
            let since = std::time::Instant::now();
            assert_eq!(read("annotations", &many).unwrap().shapes.len(), n + 1);
            since.elapsed()
        };
        (0..3).map(once).min().unwrap()
    };
    let (few, many) = (least(4000), least(32_000));
    assert!(many < 24 * few, "eight times as many take {many:?} after {few:?}: 64 times as long where each looks through the file");
}

#[test]
fn a_dot_with_bad_coordinates_is_left_out_as_any_other() {
    let read = read(
        "annotations",
        &XML.replace(
            "X=\"1\" Y=\"1\"/></Coordinates></Annotation>\n<Annotation Name=\"c\"",
            "X=\"1,5\" Y=\"1\"/></Coordinates></Annotation>\n<Annotation Name=\"c\"",
        ),
    )
    .unwrap();
    assert_eq!((read.shapes.len(), read.left_out), (2, 1));
}

#[test]
fn parts_of_a_feature_are_regions_of_their_own() {
    let [a, b] = ["[[[0,0],[8,0],[8,8],[0,8]]]", "[[[4,0],[12,0],[12,8],[4,8]]]"];
    let several = format!(r#"{{"type":"MultiPolygon","coordinates":[{a},{b},[]]}}"#);
    let nested = format!(r#"{{"type":"GeometryCollection","geometries":[{{"type":"Point","coordinates":[0,0]}},{several}]}}"#);
    for geometry in [several, nested] {
        let text = format!(r#"{{"type":"Feature","geometry":{geometry},"properties":{{"classification":"A"}}}}"#);
        let read = read("annotations", &text).unwrap();
        assert_eq!((read.shapes.len(), read.left_out), (2, 0), "{text}");
        let mut labels = [0u8; 3];
        let on = Raster { size: [3, 1], corner: [0.0; 2], step: 4.0 };
        assert!(read.shapes.iter().all(|s| paint(&s.rings, 1, &mut labels, on) == 2));
        assert_eq!(labels, [1; 3], "where they overlap it is inside");
    }
    let far = [1e308, -1e308].map(|v| [v, 1e308]).to_vec();
    let square = |side: f64| vec![[0.0, 0.0], [side, 0.0], [side, side], [0.0, side]];
    assert_eq!((area(&[square(4.0), square(1.0)]), area(&[vec![], far]).is_nan(), area(&[])), (15.0, false, 0.0));
}
