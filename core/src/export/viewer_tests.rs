//! The files for other viewers, read back by readers that are not ours.

use std::io::Cursor;
use std::path::Path;

use serde_json::json;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

use super::contours::Polygon;
use super::contours::tests::painted;
use super::tests::map;
use super::*;
use crate::semantic_map::SemanticMap;

/// A map of stripes and blocks with holes, so large that a pyramid has three levels.
fn large() -> SemanticMap {
    let mut map = map();
    (map.rows, map.columns, map.cell_px, map.mpp) = (700, 1500, 32.13, 0.25);
    map.labels = (0..map.rows * map.columns)
        .map(|i| {
            let (y, x) = (i / map.columns, i % map.columns);
            if x % 97 < 40 && y % 61 < 30 { ((x / 97 + y / 61) % 4) as u8 } else { 1 + (x / 500) as u8 }
        })
        .collect();
    (map.tree, map.history, map.atlas) = (None, None, None);
    map.provenance["slide"] = json!({"width_px": 48_200, "height_px": 22_487});
    map
}

type Reader = Decoder<Cursor<Vec<u8>>>;

fn open(path: &Path) -> Reader {
    Decoder::new(Cursor::new(std::fs::read(path).unwrap())).unwrap()
}

/// The file as if it began with the directory at `offset`: the reader opens no others as pictures.
fn open_at(path: &Path, offset: u64) -> Reader {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[8..16].copy_from_slice(&offset.to_le_bytes());
    Decoder::new(Cursor::new(bytes)).unwrap()
}

/// Width, height, pixels of the directory being read.
fn pixels(tiff: &mut Reader) -> (usize, usize, Vec<u8>) {
    let (width, height) = tiff.dimensions().unwrap();
    let DecodingResult::U8(pixels) = tiff.read_image().unwrap() else { panic!("not one byte a pixel") };
    (width as usize, height as usize, pixels)
}

/// What every level of either file must say.
fn check_tags(tiff: &mut Reader, level: u32, pixel_um: f64) {
    let tag = |tiff: &mut Reader, tag| tiff.get_tag_u32(tag).unwrap();
    for (of, want) in [
        (Tag::NewSubfileType, u32::from(level > 0)),
        (Tag::BitsPerSample, 8),
        (Tag::Compression, 5),
        (Tag::PhotometricInterpretation, 1),
        (Tag::Orientation, 1),
        (Tag::SamplesPerPixel, 1),
        (Tag::PlanarConfiguration, 1),
        (Tag::ResolutionUnit, 3),
        (Tag::TileWidth, 512),
        (Tag::TileLength, 512),
        (Tag::SampleFormat, 1),
        (Tag::SMinSampleValue, 0),
        (Tag::SMaxSampleValue, 3),
    ] {
        assert_eq!(tag(tiff, of), want, "{of:?} of level {level}");
    }
    for of in [Tag::XResolution, Tag::YResolution] {
        let value = tiff.get_tag(of).unwrap();
        let tiff::decoder::ifd::Value::Rational(n, d) = value else { panic!("{value:?}") };
        let um = 10_000.0 * f64::from(d) / f64::from(n);
        assert!((um / pixel_um / f64::from(1u32 << level) - 1.0).abs() < 1e-8, "{um} um at level {level}");
    }
    assert!(tiff.find_tag(Tag::ColorMap).unwrap().is_none() && tiff.find_tag(Tag::Predictor).unwrap().is_none());
}

/// Each level shows what stands in the middle of its pixels in the first.
fn check_levels(levels: &[(usize, usize, Vec<u8>)]) {
    let (width, height, first) = &levels[0];
    for (level, (w, h, pixels)) in levels.iter().enumerate() {
        assert_eq!((*w, *h), (width.div_ceil(1 << level), height.div_ceil(1 << level)));
        let at = |v: usize, most: usize| ((v << level) + (1 << level) / 2).min(most - 1);
        let same = |i: &usize| pixels[*i] == first[at(i / w, *height) * width + at(i % w, *width)];
        assert!((0..w * h).all(|i| same(&i)), "level {level} is not the nearest neighbour");
    }
}

#[test]
fn the_pyramid_for_asap_keeps_its_rules_and_shows_the_label_at_each_pixel() {
    for map in [large(), map()] {
        let dir = tempfile::tempdir().unwrap();
        write_map(dir.path(), &map).unwrap();
        let path = dir.path().join("labels_likelihood_map.tif");
        assert_eq!(std::fs::read(&path).unwrap()[..4], *b"II+\0", "BigTIFF");
        let mut tiff = open(&path);
        for (tag, needle) in [(Tag::ImageDescription, "pseudo-semantic class"), (Tag::Software, "pseudo-semantic")] {
            let text = tiff.get_tag_ascii_string(tag).unwrap();
            assert!(text.contains(needle) && !text.to_lowercase().contains("xml") && !text.to_lowercase().contains("dicom"), "{text}");
        }
        let step = map.cell_px.floor();
        let mut levels = Vec::new();
        loop {
            check_tags(&mut tiff, levels.len() as u32, step * map.mpp);
            levels.push(pixels(&mut tiff));
            if !tiff.more_images() {
                break;
            }
            tiff.next_image().unwrap();
        }
        check_levels(&levels);
        let (width, height, first) = &levels[0];
        assert_eq!(levels.len(), if map.columns == 1500 { 3 } else { 1 });
        let side = |key: &str, cells: usize| map.provenance["slide"][key].as_f64().unwrap_or((cells as f64 * map.cell_px).round());
        let slide = [side("width_px", map.columns), side("height_px", map.rows)];
        assert_eq!([(slide[0] / *width as f64).floor(), (slide[1] / *height as f64).floor()], [step; 2], "ASAP's scale");
        assert_eq!(first.len(), width * height);
        for (i, shown) in first.iter().enumerate() {
            let cell = |pixel: usize| ((pixel as f64 + 0.5) * step / map.cell_px) as usize;
            let (row, column) = (cell(i / width), cell(i % width));
            let want = if row < map.rows && column < map.columns { map.labels[row * map.columns + column] } else { 0 };
            assert_eq!(*shown, want, "pixel {i}");
        }
    }
}

#[test]
fn a_map_of_whole_pixels_goes_into_the_pyramid_for_asap_cell_by_cell() {
    let dir = tempfile::tempdir().unwrap();
    let mut map = map();
    map.cell_px = 16.0;
    write_map(dir.path(), &map).unwrap();
    let (width, height, first) = pixels(&mut open(&dir.path().join("labels_likelihood_map.tif")));
    assert_eq!((width, height, first), (map.columns, map.rows, map.labels));
}

#[test]
fn the_ome_pyramid_is_the_label_grid_with_its_levels_below_the_first_directory() {
    let dir = tempfile::tempdir().unwrap();
    let map = large();
    write_map(dir.path(), &map).unwrap();
    let path = dir.path().join("labels.ome.tif");
    let mut tiff = open(&path);
    let description = tiff.get_tag_ascii_string(Tag::ImageDescription).unwrap();
    assert!(tiff.get_tag_ascii_string(Tag::Software).unwrap().contains("pseudo-semantic"));
    check_ome(&description, &map);
    let below: Vec<u64> = tiff.get_tag_u64_vec(Tag::SubIfd).unwrap();
    let pixel_um = map.cell_px * map.mpp;
    check_tags(&mut tiff, 0, pixel_um);
    let mut levels = vec![pixels(&mut tiff)];
    assert!(!tiff.more_images(), "smaller levels are no images of their own");
    for offset in below {
        let mut sub = open_at(&path, offset);
        assert!(!sub.more_images());
        check_tags(&mut sub, levels.len() as u32, pixel_um);
        levels.push(pixels(&mut sub));
    }
    assert_eq!(levels.len(), 3);
    check_levels(&levels);
    assert_eq!(levels[0], (map.columns, map.rows, map.labels));
}

/// OME-XML: one plane of the grid's size with its pixel in micrometres.
fn check_ome(description: &str, map: &SemanticMap) {
    assert!(description.is_ascii());
    let ome = roxmltree::Document::parse(description).unwrap();
    assert_eq!(ome.root_element().tag_name().name(), "OME");
    let of = |name: &str| ome.descendants().find(|n| n.tag_name().name() == name).unwrap();
    let node = of("Pixels");
    let um = (map.cell_px * map.mpp).to_string();
    let (columns, rows) = (map.columns.to_string(), map.rows.to_string());
    for (key, want) in [
        ("Type", "uint8"),
        ("DimensionOrder", "XYCZT"),
        ("SizeX", &columns),
        ("SizeY", &rows),
        ("SizeC", "1"),
        ("SizeZ", "1"),
        ("SizeT", "1"),
        ("PhysicalSizeX", &um),
        ("PhysicalSizeY", &um),
        ("PhysicalSizeXUnit", "\u{b5}m"),
        ("PhysicalSizeYUnit", "\u{b5}m"),
    ] {
        assert_eq!(node.attribute(key), Some(want), "{key}");
    }
    assert_eq!(of("TiffData").attribute("IFD"), Some("0"));
    assert!(of("Description").text().unwrap().contains("found by clustering"));
}

/// An annotation: its group and its corners.
type Ring = (String, Vec<[f64; 2]>);

/// Reads annotations as ASAP does and refuses what ASAP refuses; gives the groups with their colours, and the annotations.
fn asap_reads(text: &str) -> (Vec<(String, String)>, Vec<Ring>) {
    let file = roxmltree::Document::parse(text).unwrap();
    let root = file.root_element();
    assert_eq!(root.tag_name().name(), "ASAP_Annotations");
    let child = |name: &str| root.children().find(|n| n.has_tag_name(name)).unwrap();
    let text_of = |n: roxmltree::Node<'_, '_>, key: &str| n.attribute(key).unwrap_or_else(|| panic!("{n:?} lacks {key}")).to_owned();
    let mut groups = Vec::new();
    for group in child("AnnotationGroups").children().filter(roxmltree::Node::is_element) {
        assert!(group.has_tag_name("Group") && group.children().any(|n| n.has_tag_name("Attributes")));
        assert_eq!(text_of(group, "PartOfGroup"), "None");
        let name = text_of(group, "Name");
        assert!(name != "None" && groups.iter().all(|(n, _)| *n != name), "{name}");
        groups.push((name, text_of(group, "Color")));
    }
    let mut rings = Vec::new();
    for a in child("Annotations").children().filter(roxmltree::Node::is_element) {
        assert_eq!((a.tag_name().name(), text_of(a, "Type").as_str()), ("Annotation", "Polygon"));
        assert!(text_of(a, "Name").contains("pseudo-semantic"));
        let group = (text_of(a, "PartOfGroup"), text_of(a, "Color"));
        assert!(groups.contains(&group), "{group:?} is not declared");
        let list = a.children().find(|n| n.has_tag_name("Coordinates")).unwrap();
        let mut ring = Vec::new();
        for (order, c) in list.children().filter(roxmltree::Node::is_element).enumerate() {
            assert_eq!((c.tag_name().name(), text_of(c, "Order")), ("Coordinate", order.to_string()));
            ring.push(["X", "Y"].map(|key| text_of(c, key).parse().unwrap()));
        }
        assert!(ring.len() >= 4 && ring.first() != ring.last());
        rings.push((group.0, ring));
    }
    (groups, rings)
}

#[test]
fn asap_s_annotations_cover_each_class_once_in_groups_that_are_declared() {
    for mut map in [map(), large()] {
        map.classes[1].name = "a <b> & \"c\"\t'd'\u{1}".into();
        let text = asap::annotations(&map);
        assert!(text.contains("pseudo-semantic class found by clustering"));
        let (groups, rings) = asap_reads(&text);
        assert_eq!(groups.len(), 3);
        assert_eq!(groups[0], ("keratin".to_owned(), "#0072b2".to_owned()));
        assert_eq!(groups[1].0, "a <b> & \"c\"\t'd'\u{fffd}");
        let polygons: Vec<Polygon> = rings
            .iter()
            .map(|(group, ring)| {
                let corner = |v: f64| (v / map.cell_px).round() as u32;
                let class = map.classes[groups.iter().position(|g| g.0 == *group).unwrap()].id;
                let shell = ring.iter().map(|p| (corner(p[0]), corner(p[1]))).collect();
                Polygon { class, cells: 0, shell, holes: Vec::new() }
            })
            .collect();
        assert_eq!(painted(&polygons, map.rows, map.columns), map.labels);
    }
}

#[test]
fn classes_of_one_name_stay_two_groups_for_asap() {
    let mut map = map();
    for class in &mut map.classes {
        class.name = "None".into();
    }
    map.classes[2].name = " ".into();
    let names: Vec<_> = asap_reads(&asap::annotations(&map)).0.into_iter().map(|g| g.0).collect();
    assert_eq!(names, ["None (1)", "None (2)", "  (3)"]);
}

#[test]
fn the_class_table_is_rfc_4180_and_holds_every_class() {
    let mut map = map();
    map.classes[1].name = "nests, \"dense\"\nand more".into();
    map.classes[2].share = f64::NAN;
    let text = classes_csv::classes_csv(&map);
    let rows = csv_rows(&text);
    assert_eq!(rows[0], ["label", "name", "color", "cells", "area_um2", "share", "kind", "unknown_share"]);
    assert_eq!(rows.len(), 4);
    for (row, class) in rows[1..].iter().zip(&map.classes) {
        assert_eq!((row.len(), row[0].parse(), &row[1]), (8, Ok(class.id), &class.name));
        assert_eq!((row[3].parse(), row[4].parse()), (Ok(class.cells), Ok(class.area_um2)));
        assert!(row[6].contains("pseudo-semantic"));
    }
    assert_eq!((rows[1][2].as_str(), rows[1][5].parse(), rows[3][5].as_str()), ("#0072b2", Ok(map.classes[0].share), "0"));
    let unknown: f64 = rows[1][7].parse().unwrap();
    assert!(unknown > 0.4 && unknown < 0.8, "distances run from 1 to 250: {unknown}");
    map.atlas = None;
    assert_eq!(csv_rows(&classes_csv::classes_csv(&map))[1].len(), 7);
}

/// A reader as RFC 4180 describes it.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {
                assert_eq!(letters.next(), Some('\n'), "a line ends with CR LF");
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(row.is_empty() && field.is_empty() && !quoted, "the last line is whole");
    rows
}

#[test]
fn every_file_for_people_and_viewers_says_that_classes_were_found_by_clustering() {
    let dir = tempfile::tempdir().unwrap();
    write_map(dir.path(), &map()).unwrap();
    for name in [
        "labels.png",
        "overlay.png",
        "legend.png",
        "map.geojson",
        "map.asap.xml",
        "classes.csv",
        "labels.ome.tif",
        "labels_likelihood_map.tif",
    ] {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("pseudo-semantic") && text.contains("clustering, not by a pathologist"), "{name}");
    }
}

#[test]
fn a_name_that_a_spreadsheet_would_compute_is_text() {
    let mut map = map();
    for (class, name) in map.classes.iter_mut().zip(["=1+1", "+a,b", "@x"]) {
        class.name = name.into();
    }
    let names: Vec<_> = csv_rows(&classes_csv::classes_csv(&map)).into_iter().skip(1).map(|mut row| row.swap_remove(1)).collect();
    assert_eq!(names, ["'=1+1", "'+a,b", "'@x"]);
}

#[test]
fn a_map_by_annotations_says_in_every_file_whose_classes_they_are() {
    let mut map = map();
    (map.atlas, map.tree) = (None, None);
    let page = |map: &SemanticMap| map_page::map_page(map, &map_page::Pictures::of(map, &[]).unwrap()).unwrap();
    let told = |pseudo: serde_json::Value| {
        json!({"file_sha256": "0b0b", "pseudo_semantic": pseudo, "left_out": 3,
            "classes_without_cells": ["Nerve"], "why_without_cells": {"Nerve": "too small"}})
    };
    let bare = legend(&map).height();
    map.provenance["annotations"] = told(json!(true));
    let text = page(&map);
    assert!(map.kind().contains("holds pseudo-semantic classes") && !text.contains("made by hand"));
    assert!(geojson(&map).contains(map.kind()) && asap::annotations(&map).contains("(pseudo-semantic)"));
    assert!(text.contains("<td class=\"faint\">Nerve</td><td class=\"faint\">no cells</td><td class=\"faint\">too small</td>"), "in grey");
    assert_eq!(legend(&map).height(), bare + 16, "a line more");
    for words in ["3 annotation(s) are no regions", "no cell has: Nerve", "holds pseudo-semantic", "annotations SHA-256: 0b0b"] {
        assert!(text.contains(words), "{words}");
    }
    assert!(!text.contains("only inside a region"));
    map.provenance["parameters"]["roi"] = json!([[[0, 0], [9, 0], [9, 9]]]);
    assert!(page(&map).contains("only inside a region of interest"));
    for annotations in [told(json!(false)), json!({"file_sha256": "0b0b", "regions": 2, "other_label": 3})] {
        map.provenance["annotations"] = annotations;
        assert!(map.kind().contains("made by hand") && page(&map).contains("made by hand"));
        assert!(!asap::annotations(&map).contains("(pseudo-semantic)"));
    }
}

#[test]
fn the_page_names_its_pictures_and_columns() {
    let map = map();
    let text = map_page::map_page(&map, &map_page::Pictures::of(&map, &[]).unwrap()).unwrap();
    for part in ["alt=\"exemplar 1 of ", "<h3>", "<th scope=\"col\">colour</th>", "print-color-adjust:exact", "alt=\"the slide, small\""] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("alt=\"\""));
}

#[test]
fn small_areas_keep_three_digits() {
    let shown = [250_000.0, 23_456.0, 9876.4, 64.0, 3.456].map(picture::area);
    assert_eq!(shown, ["0.250 mm2", "0.0235 mm2", "9876 um2", "64.0 um2", "3.46 um2"]);
}

#[test]
fn a_long_name_is_in_the_legend_whole_where_small_letters_fit() {
    let mut map = map();
    let mut named = |name: &str| {
        map.classes[0].name = name.into();
        legend(&map)
    };
    let base = "Tumour infiltrating lymph";
    assert!(named(&format!("{base}ocytes")) != named(&format!("{base}atic tissue")), "the ends are read");
}
