//! What the files promise, checked on a small map and tile.

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::*;
use crate::atlas::{Assigned, EncoderOf, SampledSlide};
use crate::cluster::choice::Reading;
use crate::cluster::{Centroids, Hierarchy};
use crate::flags::{Flag, TileFlags};
use crate::rng::Stream;
use crate::semantic_map::edit::{Edit, History};
use crate::semantic_map::tissue::cells;
use crate::semantic_map::{Bank, Class, Crop, SemanticMap, TissueTile, Tree};
use crate::synth::SyntheticTile;
use crate::tiles::Artefact;
use crate::{Job, Planes, limits};

const COLORS: [[u8; 3]; 3] = [[0, 114, 178], [230, 159, 0], [0, 158, 115]];

fn speckled(side: u32, seed: u64, base: [u8; 3]) -> RgbImage {
    let mut s = Stream::new(seed, 0, 0);
    RgbImage::from_fn(side, side, |_, _| Rgb(base.map(|v| v.saturating_sub(s.below(40) as u8))))
}

/// A hierarchy of three leaves over the cells of [`map`].
fn tree() -> Tree {
    let leaves = Centroids { channels: 2, data: vec![0.1, -0.2, 1.0 / 3.0, 7e-9, 2.5, 1e7] };
    let hierarchy = Hierarchy::of_leaves(leaves, vec![5, 1, 7], 0.1 + 0.2);
    Tree {
        hierarchy,
        leaves: (0..37 * 53).map(|i| (i % 4) as u8).collect(),
        readings: vec![Reading { k: 2, inertia: 0.1 + 0.2, silhouette: -1e-17, stability: 1.0 / 3.0 }],
    }
}

/// What an atlas says of the map.
fn assigned() -> Assigned {
    Assigned {
        id_sha256: "0a".repeat(32),
        distance: map_labels().iter().enumerate().map(|(i, l)| if *l == 0 { 0 } else { 1 + (i % 250) as u8 }).collect(),
    }
}

/// An edit, and what the map was before it.
fn history() -> History {
    let classes = vec![Class { id: 9, name: "all".into(), color: [1, 2, 3], cells: 7, area_um2: 0.1 + 0.2, share: 1.0 / 3.0 }];
    let edits = vec![Edit::Merge(vec![1, 2]), Edit::Rename { label: 1, name: "x, \"y\"".into() }, Edit::Split(1)];
    History { edits, labels: vec![9; 37 * 53], classes, crops: vec![9; 12], bank: vec![9; 11] }
}

fn map_labels() -> Vec<u8> {
    let (rows, columns) = (37, 53);
    let mut labels = vec![0u8; rows * columns];
    for (i, l) in labels.iter_mut().enumerate() {
        let (y, x) = ((i / columns) as f64 - 18.0, (i % columns) as f64 - 26.0);
        let r = x.hypot(y * 1.3);
        *l = if r < 6.0 {
            3
        } else if r < 13.0 {
            1 + u8::from(x > 0.0)
        } else if r < 18.0 {
            1
        } else {
            0
        };
    }
    labels
}

pub(super) fn map() -> SemanticMap {
    let (rows, columns, labels) = (37, 53, map_labels());
    let mut classes = Vec::new();
    for (i, name) in ["keratin", "tumour nests \u{b5}", "stroma, a rather long name that is cut"].into_iter().enumerate() {
        let cells = labels.iter().filter(|l| **l == i as u8 + 1).count() as u64;
        let area_um2 = cells as f64 * 64.1 / 3.0;
        classes.push(Class { id: i as u8 + 1, name: name.into(), color: COLORS[i], cells, area_um2, share: cells as f64 / 700.0 });
    }
    let mut crops = Vec::new();
    for class in 1..=3u8 {
        for j in 0..4u32 {
            let side = if j == 3 { 96 } else { 128 };
            let rgb = speckled(side, u64::from(class) * 8 + u64::from(j), [240, 140 + class * 25, 220]);
            crops.push(Crop { class, x: i64::from(j) * 1000 - 7, y: -5, rgb });
        }
    }
    let mut s = Stream::new(3, 0, 0);
    let rows_of = (0..11 * 5).map(|_| s.uniform() as f32 * 1e-3 - 4e-4).collect();
    SemanticMap {
        rows,
        columns,
        labels,
        cell_px: 16.032_064_128_256_51,
        mpp: 0.499,
        work_mpp: 0.1 + 0.2,
        classes,
        crops,
        tree: Some(tree()),
        history: Some(history()),
        atlas: Some(assigned()),
        bank: Bank { channels: 5, classes: vec![1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3], rows: rows_of },
        artefacts: None,
        tissue: vec![TissueTile { row: 2, column: 5, cells: cells(&speckled(256, 77, [200, 120, 180])) }],
        thumbnail: speckled(1, 9, [0, 0, 0]).clone_resized(424, 296),
        provenance: json!({"parameters": {"k": 3, "seed": 9_007_199_254_740_993u64, "x": 0.1 + 0.7, "y": 5e-324, "device": "cpu"}, "slide": {"id": "ab12"}}),
    }
}

trait Resized {
    fn clone_resized(&self, width: u32, height: u32) -> RgbImage;
}

impl Resized for RgbImage {
    fn clone_resized(&self, width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([225 + (x % 17) as u8, 190 + (y % 13) as u8, 220]))
    }
}

pub(super) fn tile(index: u32) -> SyntheticTile {
    let labels = (0..256 * 256).map(|i| 1 + u8::from(i % 256 > 120) + u8::from(i / 256 > 200 && i % 256 > 120)).collect();
    let mut scores = Planes::zeros(2, 8, 8);
    scores.plane_mut(0)[9] = 1.5;
    scores.plane_mut(0)[30] = 0.7;
    scores.plane_mut(1)[4] = f32::NAN;
    let flag = |code: &str, cell| Flag { code: code.into(), reason: "a reason".into(), score: Some(1.5), threshold: Some(1.0), cell };
    SyntheticTile {
        index,
        rgb: speckled(256, 77 + u64::from(index), [235, 180, 215]),
        labels,
        crops: map().crops.into_iter().step_by(2).collect(),
        flags: TileFlags {
            scores,
            names: vec!["S1_OFF_MANIFOLD".into(), "S2_MAP_DISAGREES".into()],
            flags: vec![flag("S1_OFF_MANIFOLD", Some((1, 1))), flag("UNCALIBRATED", None)],
            tile_scores: None,
            nearest: None,
            calibration: None,
            fused: None,
        },
        provenance: json!({"parameters": {"seed": 7, "n": 4, "first": 0, "steps": 20, "guidance": 1.7, "sampler": "heun", "out_dir": "/home/someone/out", "from": "map"},
            "model": {"sha256": "00ff"}, "index": index}),
        inputs: std::sync::Arc::default(),
    }
}

#[test]
fn a_map_reads_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let map = map();
    let written = write_map(dir.path(), &map).unwrap();
    assert!(written.last().unwrap().ends_with("map.json") && written.iter().all(|p| p.is_file()));
    assert_eq!(read_map(dir.path()).unwrap(), map);
    let bytes = |d: &Path| written.iter().map(|p| std::fs::read(d.join(p.strip_prefix(dir.path()).unwrap())).unwrap()).collect::<Vec<_>>();
    let again = tempfile::tempdir().unwrap();
    write_map(again.path(), &map).unwrap();
    assert_eq!(bytes(dir.path()), bytes(again.path()), "the same map gives the same bytes");
}

#[test]
fn a_second_map_in_the_same_folder_leaves_no_crop_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut map = map();
    write_map(dir.path(), &map).unwrap();
    map.crops.truncate(2);
    map.history.as_mut().unwrap().crops.truncate(2);
    write_map(dir.path(), &map).unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("crops")).unwrap().count(), 2);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 22, "no temporary file is left");
    assert_eq!(read_map(dir.path()).unwrap(), map);
    map.atlas = None;
    write_map(dir.path(), &map).unwrap();
    assert!(!dir.path().join("unknown.png").exists(), "what an atlas said of the first map");
}

#[test]
fn missing_and_damaged_pieces_are_named_with_what_to_try() {
    let whole = tempfile::tempdir().unwrap();
    write_map(whole.path(), &map()).unwrap();
    let error = |change: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        write_map(dir.path(), &map()).unwrap();
        change(dir.path());
        read_map(dir.path()).unwrap_err().to_string()
    };
    for name in ["labels.png", "leaves.png", "thumbnail.png", "bank.f32", "tissue.f32", "crops/class_02_3.png"] {
        let e = error(&|d| std::fs::remove_file(d.join(name)).unwrap());
        assert!(e.contains(name) && e.contains("histoloom cluster"), "{e}");
        let e = error(&|d| std::fs::write(d.join(name), b"\x89PNG nothing").unwrap());
        assert!(e.contains(name) && e.contains("not the file"), "{e}");
    }
    assert!(error(&|d| std::fs::remove_file(d.join("map.json")).unwrap()).contains("no map.json"));
    assert!(error(&|d| std::fs::write(d.join("map.json"), "{").unwrap()).contains("not JSON"));
    let edited = |pointer: &'static str, value: Value| {
        error(&move |d| {
            let path = d.join("map.json");
            let mut v: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            *v.pointer_mut(pointer).unwrap() = value.clone();
            std::fs::write(path, v.to_string()).unwrap();
        })
    };
    for (pointer, value, needle) in [
        ("/version", json!(1), "version 1"),
        ("/tree/counts", json!([1, 2]), "with 2 counts"),
        ("/tree/centroids/1", json!([1.0]), "not what the others are"),
        ("/tree/centroids", json!([[1.0], [2.0]]), "2 leaves"),
        ("/format", json!("x"), "its format"),
        ("/rows", json!(1u64 << 62), "cells are outside"),
        ("/rows", json!(36), "px belong here"),
        ("/bank/channels", json!(1u64 << 62), "do not hold"),
        ("/bank/class_runs", json!([[9, 11]]), "label 9"),
        ("/classes/1/id", json!(1), "class 1"),
        ("/crops/0/side_px", json!([100_000, 1]), "a crop of"),
        ("/cell_px", json!(0.0), "cell of 0 px"),
        ("/cell_px", json!(1e15), "cell of 1000000000000000 px"),
        ("/cell_px", json!(3e5), "37 x 53 cells of 300000 px are no slide"),
        ("/mpp", json!(1e-3), "0.001 um/px"),
        ("/work_mpp", json!(1e30), "worked at 1000000"),
        ("/tree/counts", json!([1u64 << 60, 1u64 << 63, u64::MAX]), "rows"),
        ("/exact", json!({"/cell_px": "x"}), "exact/cell_px is no number"),
        ("/exact", json!({"/nothing": "1.5"}), "points nowhere"),
    ] {
        let e = edited(pointer, value);
        assert!(e.contains(needle), "{pointer}: {e}");
    }
    assert!(read_map(Path::new("nowhere")).unwrap_err().to_string().contains("no such folder"));
}

#[test]
fn geojson_keeps_qupath_s_rules() {
    let map = map();
    let v: Value = serde_json::from_str(&geojson(&map)).unwrap();
    assert_eq!(v["type"], "FeatureCollection");
    let features = v["features"].as_array().unwrap();
    assert_eq!(features.len(), 3);
    let mut ids = Vec::new();
    for (f, class) in features.iter().zip(&map.classes) {
        assert_eq!(f["type"], "Feature");
        let id = f["id"].as_str().unwrap();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert!(lengths == [8, 4, 4, 4, 12] && id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{id}");
        ids.push(id);
        let p = &f["properties"];
        assert_eq!(p["objectType"], "annotation");
        assert_eq!(p["classification"], json!({"name": class.name, "color": class.color}));
        assert!(p["metadata"].as_object().unwrap().values().all(Value::is_string));
        assert!(p["measurements"].as_object().unwrap().values().all(Value::is_number));
        let area: f64 = polygons(&f["geometry"]).iter().flatten().map(|ring| shoelace(ring)).sum();
        let cells = area / (map.cell_px * map.cell_px);
        assert!((cells - class.cells as f64).abs() < 0.01, "{cells} for {}", class.cells);
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert!(!geojson(&map).contains("null"));
}

#[test]
fn artefacts_are_kept_hatched_ignored_and_counted_in_every_file() {
    let (dir, mut map) = (tempfile::tempdir().unwrap(), map());
    let mut codes = vec![0; map.labels.len()];
    let glass: Vec<usize> = (0..codes.len()).filter(|i| map.labels[*i] == 0).collect();
    glass[..40].iter().for_each(|i| codes[*i] = Artefact::Pen.code());
    glass[100..130].iter().for_each(|i| codes[*i] = Artefact::Blur.code());
    let without = overlay(&map);
    map.artefacts = Some(codes);
    write_map(dir.path(), &map).unwrap();
    assert_eq!(read_map(dir.path()).unwrap(), map);
    let cell_um2 = (map.cell_px * map.mpp).powi(2);
    let left_out = map.left_out();
    assert_eq!(left_out.iter().map(|l| (l.reason.as_str(), l.cells)).collect::<Vec<_>>(), [("pen", 40), ("out of focus", 30)]);
    assert!((left_out[0].area_um2 - 40.0 * cell_um2).abs() < 1e-6);
    let v: Value = serde_json::from_str(&geojson(&map)).unwrap();
    let ignored: Vec<&Value> =
        v["features"].as_array().unwrap().iter().filter(|f| f["properties"]["classification"]["name"] == "Ignore*").collect();
    assert_eq!(ignored.len(), 2);
    for (f, line) in ignored.iter().zip(&left_out) {
        assert_eq!(f["properties"]["name"], format!("Artefact: {}", line.reason));
        let area: f64 = polygons(&f["geometry"]).iter().flatten().map(|ring| shoelace(ring)).sum();
        assert!((area / (map.cell_px * map.cell_px) - line.cells as f64).abs() < 0.01);
    }
    let csv = std::fs::read_to_string(dir.path().join("classes.csv")).unwrap();
    assert!(csv.contains("0,Artefact: pen,,40,") && csv.ends_with("left unlabelled,\r\n"), "{csv}");
    assert_ne!(overlay(&map), without);
    let sidecar = std::fs::read_to_string(dir.path().join("map.json")).unwrap();
    assert!(sidecar.contains("artefacts.png") && sidecar.contains("\"out of focus\""));
    // what is labelled is no artefact
    let labelled = map.labels.iter().position(|l| *l != 0).unwrap();
    map.artefacts.as_mut().unwrap()[labelled] = 1;
    assert!(write_map(dir.path(), &map).unwrap_err().to_string().contains("artefacts"));
}

#[test]
fn polygons_of_all_classes_tile_the_tissue() {
    // corners on the shared borders are the same numbers, so there is neither gap nor overlap: every edge is gone along twice, once each
    // way, or lies on the background
    let map = map();
    let v: Value = serde_json::from_str(&geojson(&map)).unwrap();
    let unit = |a: f64, b: f64| ((a / map.cell_px).round() as i64, (b / map.cell_px).round() as i64);
    let mut edges = std::collections::HashMap::new();
    let mut area = 0.0;
    for f in v["features"].as_array().unwrap() {
        for ring in polygons(&f["geometry"]).iter().flatten() {
            area += shoelace(ring) / (map.cell_px * map.cell_px);
            for w in ring.windows(2) {
                let ((x, y), (to_x, to_y)) = (unit(w[0][0], w[0][1]), unit(w[1][0], w[1][1]));
                let (dx, dy) = ((to_x - x).signum(), (to_y - y).signum());
                for i in 0..(to_x - x).abs().max((to_y - y).abs()) {
                    *edges.entry((x + i * dx, y + i * dy, dx, dy)).or_insert(0) += 1;
                }
            }
        }
    }
    let label = |x: i64, y: i64| {
        let inside = (0..map.columns as i64).contains(&x) && (0..map.rows as i64).contains(&y);
        if inside { map.labels[(y * map.columns as i64 + x) as usize] } else { 0 }
    };
    for (&(x, y, dx, dy), &times) in &edges {
        assert_eq!(times, 1, "an edge is gone along twice the same way: an overlap");
        // the cell on the left hand, which the ring keeps out
        let left = match (dx, dy) {
            (1, _) => label(x, y - 1),
            (-1, _) => label(x - 1, y),
            (_, 1) => label(x, y),
            _ => label(x - 1, y - 1),
        };
        assert_eq!(edges.contains_key(&(x + dx, y + dy, -dx, -dy)), left != 0, "at ({x}, {y}): a gap, or a border without a neighbour");
    }
    assert!((area - map.labels.iter().filter(|l| **l != 0).count() as f64).abs() < 0.01);
}

fn polygons(geometry: &Value) -> Vec<Vec<Vec<[f64; 2]>>> {
    match geometry["type"].as_str().unwrap() {
        "Polygon" => vec![serde_json::from_value(geometry["coordinates"].clone()).unwrap()],
        "MultiPolygon" => serde_json::from_value(geometry["coordinates"].clone()).unwrap(),
        other => panic!("{other}"),
    }
}

/// Signed area of a closed ring.
fn shoelace(ring: &[[f64; 2]]) -> f64 {
    assert!(ring.len() >= 5 && ring.first() == ring.last(), "a ring of {} points must be closed", ring.len());
    ring.windows(2).map(|w| w[0][0] * w[1][1] - w[1][0] * w[0][1]).sum::<f64>() / 2.0
}

#[test]
fn the_overlay_tints_with_legend_colours_and_leaves_glass_alone() {
    let map = map();
    let picture = overlay(&map);
    assert_eq!(picture.dimensions(), map.thumbnail.dimensions());
    let center = (26 * 8 + 4, 18 * 8 + 4);
    let (before, after) = (map.thumbnail.get_pixel(center.0, center.1).0, picture.get_pixel(center.0, center.1).0);
    for c in 0..3 {
        let grey = (u32::from(before[0]) + 2 * u32::from(before[1]) + u32::from(before[2])) / 4;
        let want = grey as f32 * 0.55 + f32::from(COLORS[2][c]) * 0.45;
        assert!((f32::from(after[c]) - want).abs() <= 1.0);
    }
    assert_eq!(picture.get_pixel(1, 1), map.thumbnail.get_pixel(1, 1));
    let shown = legend(&map);
    for color in COLORS {
        assert!(shown.pixels().any(|p| p.0 == color));
    }
}

#[test]
fn a_tile_says_synthetic_and_carries_what_makes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let (map, tile) = (map(), tile(0));
    let written = write_tile(dir.path(), &tile, &map).unwrap();
    let names: Vec<_> = written.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["tile_0001_labels.png", "tile_0001_flags.png", "tile_0001_flags.json", "tile_0001.png"]);
    let v = inspect(&dir.path().join("tile_0001.png")).unwrap();
    assert_eq!((&v["synthetic"], &v["histoloom"]), (&json!(true), &scrubbed(&tile.provenance)));
    let text = v["parameters"].as_str().unwrap();
    assert!(text.starts_with("SYNTHETIC") && text.contains("guidance: 1.7") && text.contains("UNCALIBRATED"), "{text}");
    for name in ["tile_0001_labels.png", "tile_0001_flags.png", "tile_0001_flags.json"] {
        assert_eq!(inspect(&dir.path().join(name)).unwrap()["synthetic"], json!(true), "{name}");
    }
    let flags = inspect(&dir.path().join("tile_0001_flags.json")).unwrap();
    assert_eq!(flags["scores"]["S1_OFF_MANIFOLD"][9], json!(1.5));
    let labels = image::open(&written[0]).unwrap();
    assert_eq!(labels.as_luma8().unwrap().as_raw(), &tile.labels);
    let raster = image::open(&written[1]).unwrap().into_luma8();
    assert_eq!(raster.iter().map(|v| u32::from(*v)).sum::<u32>(), 255);
    assert_eq!(raster.get_pixel(1, 1).0, [255]);
}

#[test]
fn inspect_refuses_what_is_not_ours_or_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.png");
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        inspect(&path).unwrap_err().to_string()
    };
    assert!(error(b"GIF89a").contains("neither PNG nor JSON"));
    assert!(error(b"[1]").contains("none that Histoloom wrote"));
    assert!(error(b"\x89PNG\r\n\x1a\n\0\0").contains("not a whole PNG"));
    let pixels = [0; 3];
    let foreign = png_text::encode(1, 1, png_text::Pixels::Rgb(&pixels), &[("Software", "paint".into())]).unwrap();
    assert!(error(&foreign).contains("without Histoloom's texts"));
    let broken = png_text::encode(1, 1, png_text::Pixels::Rgb(&pixels), &[("histoloom", "{".into())]).unwrap();
    assert!(error(&broken).contains("not JSON"));
    write_tile(dir.path(), &tile(0), &map()).unwrap();
    let whole = std::fs::read(dir.path().join("tile_0001.png")).unwrap();
    for cut in (0..400).step_by(7) {
        let _ = error(&whole[..cut]);
    }
    let long = "x".repeat(limits::TEXT_BYTES + 1);
    let e = png_text::encode(1, 1, png_text::Pixels::Rgb(&pixels), &[("histoloom", long)]).unwrap_err().to_string();
    assert!(e.contains("1048577 bytes"), "{e}");
    assert!(inspect(&dir.path().join("none.png")).unwrap_err().to_string().contains("none.png"));
}

#[test]
fn a_data_set_lists_tiles_masks_classes_and_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let map = map();
    let mut set = DataSet::create(dir.path(), &map, true).unwrap();
    for i in 0..3 {
        set.add(tile(i), &map).unwrap();
    }
    let files = set.finish(&map).unwrap();
    assert!(files.iter().all(|f| f.is_file()));
    let v = inspect(&dir.path().join("manifest.json")).unwrap();
    assert_eq!((&v["synthetic"], v["tiles"].as_array().unwrap().len(), v["classes"].as_array().unwrap().len()), (&json!(true), 3, 3));
    assert_eq!(v["tiles"][2]["mask"], "tile_0003_labels.png");
    assert_eq!((&v["tiles"][0]["seed"], &v["tiles"][0]["labels"]), (&json!(7), &json!([1, 2, 3])));
    assert_eq!(inspect(&dir.path().join("contact_sheet.png")).unwrap()["synthetic"], json!(true));
}

#[test]
fn no_file_holds_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let mut map = map();
    map.provenance["parameters"]["out_dir"] = json!("/home/someone/out");
    map.provenance["slide"]["opened"] = json!("C:\\Users\\someone\\slide.svs");
    write_map(dir.path(), &map).unwrap();
    let mut set = DataSet::create(dir.path(), &map, true).unwrap();
    set.add(tile(0), &map).unwrap();
    set.finish(&map).unwrap();
    let place = dir.path().to_str().unwrap().to_owned();
    for path in std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()) {
        let bytes = std::fs::read(&path).unwrap();
        for needle in ["someone", "/home", place.as_str()] {
            assert!(!bytes.windows(needle.len()).any(|w| w == needle.as_bytes()), "{needle} in {}", path.display());
        }
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    files::write(&path, b"old").unwrap();
    std::fs::create_dir(dir.path().join("b")).unwrap();
    let e = files::write(&dir.path().join("b"), b"new").unwrap_err().to_string();
    assert!(e.contains("cannot write") && e.contains("another folder"), "{e}");
    assert!(files::write(&path.join("below"), b"new").is_err());
    let full = |out: &mut dyn std::io::Write| out.write_all(b"half").and(Err(std::io::ErrorKind::StorageFull.into()));
    let e = files::write_with(&path, |out| full(out)).unwrap_err().to_string();
    assert!(e.contains("cannot write") && e.contains("free space"), "{e}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_sample_is_read_back_bit_for_bit_and_a_damaged_one_is_told() {
    let encoder = EncoderOf { id: "e".into(), sha256: "s".into(), channels: 2, stride_px: 16 };
    let data = [0.1f32, -1e-30, 3.0, 0.0, 7.5, 1.0 / 3.0];
    let slide = SampledSlide { id_sha256: "aa".into(), work_mpp: 0.4992, ..Default::default() };
    let rows = crate::cluster::Rows { data: &data, channels: 2 };
    let s = crate::atlas::sample(rows, &[1, 7, u32::MAX], (encoder, slide), u64::MAX, 99, &Job::new()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/a.sample");
    write_sample(&path, &s).unwrap();
    assert_eq!(read_sample(&path).unwrap(), s);
    assert_eq!(inspect(&path).unwrap()["rows"], 3);
    let folder = [dir.path().join("new").display().to_string(), path.display().to_string()];
    assert_eq!(sample_files(&folder).unwrap(), [path.clone(), path.clone()]);
    assert!(sample_files(&[dir.path().display().to_string()]).unwrap_err().to_string().contains(".sample"));
    let whole = std::fs::read(&path).unwrap();
    for n in 0..whole.len() {
        std::fs::write(&path, &whole[..n]).unwrap();
        assert!(read_sample(&path).is_err(), "cut off after {n} bytes");
        let mut changed = whole.clone();
        changed[n] ^= 1 << (n % 8);
        std::fs::write(&path, &changed).unwrap();
        // a flipped bit in the header's words may leave another sound sample, in the rows it never does
        assert!(read_sample(&path).is_err() || n < whole.len() - 3 * 24, "bit flipped in byte {n}");
    }
}

#[test]
fn numbers_in_the_header_of_a_sample_that_cannot_be_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sample");
    let encoder = EncoderOf { id: "e".into(), sha256: "s".into(), channels: 2, stride_px: 16 };
    let data: Vec<f32> = (0..40).map(|i| (i * i % 13) as f32).collect();
    let rows = crate::cluster::Rows { data: &data, channels: 2 };
    let cells: Vec<u32> = (0..20).collect();
    let slide = SampledSlide { id_sha256: "aa".into(), work_mpp: 0.5, ..Default::default() };
    let whole = crate::atlas::sample(rows, &cells, (encoder, slide.clone()), 1, 99, &Job::new()).unwrap();
    let again = |change: &dyn Fn(&mut SampledSlide)| {
        let mut s = whole.clone();
        change(&mut s.slides[0]);
        write_sample(&path, &s).unwrap();
        read_sample(&path)
    };
    let fitted = crate::atlas::fit(&again(&|s| s.cells = limits::COUNT).unwrap(), 0, 1, "", &Job::new()).unwrap();
    write_atlas(&path, &fitted).unwrap();
    assert_eq!(read_atlas(&path).unwrap(), fitted);
    type Change = fn(&mut SampledSlide);
    let changes: [(Change, &str); 6] = [
        (|s| s.cells = u64::MAX, "more than 9007199254740992 cells"),
        (|s| s.rows = s.cells + 1, "21 rows of 20 cells"),
        (|s| s.work_mpp = 0.0, "at 0 um/px"),
        (|s| s.work_mpp = -1.0, "at -1 um/px"),
        (|s| s.work_mpp = 1e30, "um/px"),
        (|s| s.work_mpp = f32::NAN, "header"),
    ];
    for (change, needle) in changes {
        let e = again(&change).unwrap_err().to_string();
        assert!(e.contains(needle) && e.contains("atlas sample"), "{e}");
    }
    let mut two = whole.clone();
    two.slides = vec![SampledSlide { cells: 1 << 53, ..slide.clone() }, SampledSlide { id_sha256: "bb".into(), cells: 1, ..slide }];
    write_sample(&path, &two).unwrap();
    assert!(read_sample(&path).unwrap_err().to_string().contains("more than"), "their sum");
}

#[test]
fn counts_of_an_atlas_that_cannot_be_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("atlas.json");
    let leaf = crate::atlas::Leaf { radius: 1.0, name: None, color: None };
    let atlas = |counts: Vec<u64>| crate::atlas::Atlas {
        encoder: EncoderOf { id: "e".into(), sha256: "s".into(), channels: 2, stride_px: 16 },
        mpp: 0.5,
        normalisation: "none".into(),
        k: 2,
        hierarchy: Hierarchy::of_leaves(Centroids { channels: 2, data: vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0] }, counts, 1.0),
        leaves: vec![leaf.clone(); 3],
        provenance: json!({}),
        licence: "CC0".into(),
    };
    write_atlas(&path, &atlas(vec![1, 2, (1 << 53) - 3])).unwrap();
    assert_eq!(atlas_summary(&read_atlas(&path).unwrap(), 0).unwrap()["rows"], json!(1u64 << 53));
    for counts in [vec![u64::MAX, u64::MAX, 1], vec![1 << 53, 1, 0]] {
        write_atlas(&path, &atlas(counts)).unwrap();
        assert!(read_atlas(&path).unwrap_err().to_string().contains("the rows of its leaves"));
    }
}

#[test]
fn runs_that_change_one_map_at_once_lose_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = map();
    first.provenance["changes"] = json!(0);
    write_map(dir.path(), &first).unwrap();
    let change = || {
        let held = Held::of(dir.path()).unwrap();
        let mut map = read_map(dir.path()).unwrap();
        map.provenance["changes"] = json!(map.provenance["changes"].as_u64().unwrap() + 1);
        held.write(&map, 2, &Job::new()).unwrap();
    };
    std::thread::scope(|s| (0..4).for_each(|_| drop(s.spawn(change))));
    assert_eq!(read_map(dir.path()).unwrap().provenance["changes"], 4);
}

#[test]
fn files_of_the_users_are_neither_written_over_nor_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(dir.path().join(name), "mine").unwrap();
    let mine = |name: &str| std::fs::read(dir.path().join(name)).unwrap() == b"mine";
    put("unknown.png");
    let e = write_map(dir.path(), &map()).unwrap_err().to_string();
    assert!(e.contains("unknown.png") && mine("unknown.png"), "{e}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    std::fs::remove_file(dir.path().join("unknown.png")).unwrap();
    let mut plain = map();
    (plain.atlas, plain.history) = (None, None);
    write_map(dir.path(), &plain).unwrap();
    ["unknown.png", "crops/class_09_1.png", "crops/class_of_82.png", "labels_before.png"].iter().for_each(|n| put(n));
    write_map(dir.path(), &plain).unwrap();
    assert!(["unknown.png", "crops/class_09_1.png", "crops/class_of_82.png", "labels_before.png"].iter().all(|n| mine(n)));
}

#[test]
fn every_file_of_a_map_has_a_name_that_a_maps_file_can_have() {
    let dir = tempfile::tempdir().unwrap();
    let mut map = map();
    map.artefacts = Some(vec![0; map.labels.len()]);
    let written = write_map(dir.path(), &map).unwrap();
    assert_eq!(written.len(), 21 + map.crops.len());
    for path in written {
        let below = if path.parent() == Some(dir.path()) { "" } else { "crops" };
        assert!(map_names::is_of_a_map(below, &files::name(&path)), "{}", path.display());
    }
}
