//! From annotations that people have to synthetic tiles of their classes: the same from QuPath's GeoJSON and from ASAP's XML.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::fmt::Write as _;
use std::path::Path;

use histoloom_tests::{histoloom, run, sample};
use serde_json::{Value, json};

/// Two rectangles with classes, level-0 pixels: x, y, width, height. Both lie on tissue of the sample slide.
const REGIONS: [(&str, [u8; 3], [i64; 4]); 2] =
    [("Epidermis", [200, 0, 40], [1250, 900, 350, 500]), ("Dermis", [0, 60, 200], [700, 1300, 450, 500])];

fn ring([x, y, w, h]: [i64; 4]) -> [[i64; 2]; 4] {
    [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
}

fn geojson() -> String {
    let feature = |(name, color, at): &(&str, [u8; 3], [i64; 4])| {
        let properties = json!({"objectType": "annotation", "classification": {"name": name, "color": color}});
        json!({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring(*at)]}, "properties": properties})
    };
    json!({"type": "FeatureCollection", "features": REGIONS.iter().map(feature).collect::<Vec<_>>()}).to_string()
}

fn xml() -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\n<ASAP_Annotations><Annotations>");
    for (name, _, at) in REGIONS {
        let _ = write!(out, "<Annotation Name=\"a\" Type=\"Polygon\" PartOfGroup=\"{name}\" Color=\"#F4FA58\"><Coordinates>");
        for (order, [x, y]) in ring(at).iter().enumerate() {
            let _ = write!(out, "<Coordinate Order=\"{order}\" X=\"{x}\" Y=\"{y}\"/>");
        }
        out += "</Coordinates></Annotation>";
    }
    out += "</Annotations><AnnotationGroups>";
    for (name, [r, g, b], _) in REGIONS {
        let _ = write!(out, "<Group Name=\"{name}\" PartOfGroup=\"None\" Color=\"#{r:02x}{g:02x}{b:02x}\"><Attributes/></Group>");
    }
    out + "</AnnotationGroups></ASAP_Annotations>"
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn a_data_set_of_annotated_classes_is_one_command_from_either_viewer_s_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let (drawn, also, out) = (file("a.geojson", geojson()), file("a.xml", xml()), dir.path().join("out"));
    let mut c = histoloom();
    c.args(["generate", "--json", "--device", "cpu", "-n", "2", "--size", "128", "--annotations"]).arg(&drawn).arg("--out").arg(&out);
    let said: Value = serde_json::from_slice(&run(c.arg(sample())).stdout).expect("one JSON object");
    assert_eq!((&said["map"]["map"]["annotated"], &said["map"]["k"]["chosen_by"]), (&json!(true), &json!("annotations")));

    let told = read(&out.join("map/map.json"));
    let legend: Vec<Value> = told["classes"].as_array().expect("classes").iter().map(|c| json!([c["id"], c["name"], c["color"]])).collect();
    assert_eq!(
        legend,
        [json!([1, "Dermis", [0, 60, 200]]), json!([2, "Epidermis", [200, 0, 40]]), json!([3, "Other tissue", [153, 153, 153]])]
    );
    assert!(told["provenance"]["annotations"]["file_sha256"].is_string() && !told.to_string().contains("a.geojson"), "a hash, no name");
    let labels = image::open(out.join("map/labels.png")).expect("labels").into_luma8();
    let cell = told["cell_px"].as_f64().expect("a cell");
    let at = |x: i64, y: i64| labels.get_pixel((x as f64 / cell) as u32, (y as f64 / cell) as u32).0[0];
    assert_eq!((at(1400, 1100), at(900, 1500), at(1000, 2400), at(60, 60)), (2, 1, 3, 0), "painted where they were drawn");
    let crops = told["crops"].as_array().expect("crops");
    assert!([1, 2, 3].iter().all(|class| crops.iter().any(|c| c["class"] == *class)), "every class has real tissue to show");

    // no calibration was made on annotated maps, so every tile says so and is kept apart
    let set = read(&out.join("tiles/manifest.json"));
    let apart = set["flagged"].as_array().expect("flagged");
    assert_eq!((set["tiles"].as_array().map(Vec::len), apart.len()), (Some(0), 2));
    for tile in apart {
        let of_drawn = tile["labels"].as_array().expect("labels").iter().any(|l| *l == 1 || *l == 2);
        assert!(of_drawn && tile["flag_codes"].as_array().expect("codes").contains(&json!("UNCALIBRATED")), "{tile}");
        assert!(tile["flag_reasons"]["UNCALIBRATED"].as_str().is_some_and(|why| why.contains("maps of annotations")), "{tile}");
    }
    let flags = std::fs::read_to_string(out.join("tiles/flagged/tile_0001_flags.json")).expect("flags");
    assert!(flags.contains("not made for maps of annotations"), "{flags}");

    let other = dir.path().join("xml");
    run(histoloom().args(["cluster", "--device", "cpu", "--annotations"]).arg(&also).arg("--out").arg(&other).arg(sample()));
    let bytes = |dir: &Path, name: &str| std::fs::read(dir.join(name)).expect(name);
    for name in ["labels.png", "legend.png", "bank.f32", "map.geojson"] {
        assert!(bytes(&out.join("map"), name) == bytes(&other, name), "{name}");
    }
    // once more with the same file: nothing is made anew
    let again = run(histoloom()
        .args(["cluster", "--json", "--skip-done", "--device", "cpu", "--annotations"])
        .arg(&also)
        .arg("--out")
        .arg(&other)
        .arg(sample()));
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(again["already_done"], true);

    let mut c = histoloom();
    let nothing = file("nothing.geojson", r#"{"type": "FeatureCollection", "features": []}"#.into());
    let failed =
        c.args(["generate", "--device", "cpu", "--annotations"]).arg(nothing).arg("--out").arg(dir.path().join("no")).arg(sample());
    let failed = failed.output().expect("it runs");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("annotations") && said.contains("no region"), "{said}");
}
