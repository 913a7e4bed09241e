//! What editing a map promises, on a map of four textures of which two are nearly alike.

use image::RgbImage;

use super::edit::{Edit, edited};
use super::legend::legend;
use super::{Bank, Crop, SemanticMap, Tree};
use crate::atlas::Assigned;
use crate::cluster::{Centroids, Hierarchy};

/// 40 x 40 cells in quarters; leaves 0, 1 (alike), 2, 3; the cut at 3 has 0 and 1 together.
fn map() -> SemanticMap {
    let leaves = Centroids { channels: 1, data: vec![0.0, 1.0, 10.0, 30.0] };
    let hierarchy = Hierarchy::of_leaves(leaves, vec![400, 390, 380, 370], 0.0);
    let leaf = |i: usize| 1 + u8::from(i % 40 >= 20) + 2 * u8::from(i / 40 >= 20);
    let cut = hierarchy.cut(3).unwrap();
    let leaves: Vec<u8> = (0..1600).map(leaf).collect();
    let labels: Vec<u8> = leaves.iter().map(|l| cut[usize::from(*l) - 1]).collect();
    let crop = |x: i64, y: i64| Crop { class: labels[(y / 16 * 40 + x / 16) as usize + 82], x, y, rgb: RgbImage::new(96, 96) };
    let bank = Bank { channels: 1, classes: vec![cut[0], cut[1], cut[2]], rows: vec![0.1, 0.9, 10.2] };
    SemanticMap {
        rows: 40,
        columns: 40,
        cell_px: 16.0,
        mpp: 0.5,
        work_mpp: 0.5,
        classes: legend(&labels, 8.0),
        crops: vec![crop(32, 32), crop(400, 32), crop(32, 400)],
        tree: Some(Tree { hierarchy, leaves, readings: Vec::new() }),
        history: None,
        atlas: None,
        bank,
        artefacts: None,
        tissue: Vec::new(),
        thumbnail: RgbImage::new(8, 8),
        provenance: serde_json::json!({}),
        labels,
    }
}

#[test]
fn a_class_splits_where_the_hierarchy_does_and_its_crops_and_bank_follow() {
    let m = map();
    let whole = m.labels[0];
    assert_eq!((m.labels[39], m.classes.len()), (whole, 3), "two textures are one class");
    let s = edited(&m, 0, &[Edit::Split(whole)]).unwrap();
    assert_eq!(s.classes.len(), 4);
    let fresh = s.labels[39].max(s.labels[0]);
    assert!((0..1600).filter(|i| m.labels[*i] != whole).all(|i| s.labels[i] == m.labels[i]), "the rest stays");
    assert!((0..20).all(|r| (0..40).all(|c| (s.labels[r * 40 + c] == s.labels[0]) == (c < 20))));
    assert_eq!([s.crops[0].class, s.crops[1].class, s.crops[2].class], [s.labels[0], s.labels[39], m.crops[2].class]);
    assert_eq!(s.bank.classes, [s.labels[0], s.labels[39], m.bank.classes[2]]);
    assert!(s.classes.iter().all(|c| c.cells == 400) && s.classes.iter().any(|c| c.id == fresh));
    let e = edited(&s, 0, &[Edit::Split(fresh)]).unwrap_err().to_string();
    assert!(e.contains("edits[0]") && e.contains("any further"), "{e}");
}

#[test]
fn a_split_takes_no_label_that_means_something_in_the_atlas() {
    let atlas = Assigned { id_sha256: "00".into(), distance: vec![1; 1600] };
    let m = SemanticMap { atlas: Some(atlas), provenance: serde_json::json!({"k": 7}), ..map() };
    let s = edited(&m, 0, &[Edit::Split(m.labels[0])]).unwrap();
    assert_eq!(s.classes.iter().map(|c| c.id).max(), Some(8), "4 to 7 are classes of the atlas that this slide lacks");
    let full = SemanticMap { provenance: serde_json::json!({"k": 100}), ..m };
    let e = edited(&full, 0, &[Edit::Split(full.labels[0])]).unwrap_err().to_string();
    assert!(e.contains("no label up to 100 is free"), "{e}");
}

#[test]
fn edits_are_kept_and_taken_back_one_by_one_to_the_last_bit() {
    let m = map();
    let [a, b] = [m.labels[0], m.labels[1599]];
    let steps = [
        Edit::Rename { label: b, name: " Tumour ".into() },
        Edit::Merge(vec![b, a]),
        Edit::Recolour { label: b, color: "#0A0b0C".into() },
        Edit::Split(b),
    ];
    let mut states = vec![m.clone()];
    for step in &steps {
        states.push(edited(states.last().unwrap(), 0, std::slice::from_ref(step)).unwrap());
    }
    let merged = &states[3];
    assert_eq!((merged.classes.len(), merged.labels[0]), (2, b));
    let class = merged.classes.iter().find(|c| c.id == b).unwrap();
    assert_eq!((class.name.as_str(), class.color, class.cells), ("Tumour", [10, 11, 12], 1200));
    assert_eq!(edited(&m, 0, &steps).unwrap(), states[4], "one by one or together");
    for undo in 1..=4 {
        assert_eq!(edited(&states[4], undo, &[]).unwrap(), states[4 - undo], "{undo} taken back");
    }
    assert!(edited(&states[4], 5, &[]).unwrap_err().to_string().contains("the map has 4"));
}

#[test]
fn edits_that_cannot_be_made_name_themselves_and_change_nothing() {
    let m = map();
    let a = m.labels[0];
    let other = m.classes.iter().find(|c| c.id != a).unwrap();
    for (edit, needle) in [
        (Edit::Rename { label: other.id, name: " kept".into() }, "has that name; merge"),
        (Edit::Merge(vec![a]), "two or more"),
        (Edit::Merge(vec![a, a]), "two or more"),
        (Edit::Merge(vec![a, 77]), "no class 77"),
        (Edit::Rename { label: a, name: "a\nb".into() }, "control"),
        (Edit::Rename { label: a, name: "x".repeat(65) }, "1 to 64"),
        (Edit::Recolour { label: a, color: "red".into() }, "#rrggbb"),
        (Edit::Recolour { label: a, color: "#12345é".into() }, "#rrggbb"),
        (Edit::Split(99), "no class 99"),
    ] {
        let good = Edit::Rename { label: a, name: "kept".into() };
        let e = edited(&m, 0, &[good, edit]).unwrap_err().to_string();
        assert!(e.contains("edits[1]") && e.contains(needle) && e.contains("kept"), "{e}");
    }
    let drawn = SemanticMap { tree: None, ..m };
    assert!(edited(&drawn, 0, &[Edit::Split(a)]).unwrap_err().to_string().contains("no hierarchy"));
}
