//! Editing map, crops and beginning, with networks that follow what they are asked.

use std::collections::BTreeMap;
use std::path::Path;

use image::{GrayImage, Luma, RgbImage};
use serde_json::json;

use super::fakes::{Colors, Follow, PINK, PURPLE, Pooling, map, tissue};
use super::*;
use crate::semantic_map::SemanticMap;
use crate::{Job, Result, params};

fn make(map: &SemanticMap, text: &serde_json::Value) -> Result<Vec<SyntheticTile>> {
    let p = params::Synth { refine: false, ..params::parse(&text.to_string())? };
    let (net, mut tiles) = (Follow::default(), Vec::new());
    run(map, &Nets::new(&Pooling, &net, &Colors), &[], &p, &Job::new(), &mut |t| {
        tiles.push(t);
        Ok(())
    })?;
    Ok(tiles)
}

fn one(text: &serde_json::Value) -> SyntheticTile {
    make(&map(), text).unwrap().remove(0)
}

fn error(text: &serde_json::Value) -> String {
    make(&map(), text).map(|_| ()).unwrap_err().to_string()
}

/// Share of pixels of a label that are nearer to a colour than to the other.
fn follows(t: &SyntheticTile, label: u8, color: [u8; 3], other: [u8; 3]) -> f64 {
    let d = |p: [u8; 3], c: [u8; 3]| p.iter().zip(c).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum::<i32>();
    let of: Vec<[u8; 3]> = t.rgb.pixels().zip(&t.labels).filter(|(_, l)| **l == label).map(|(p, _)| p.0).collect();
    of.iter().filter(|p| d(**p, color) < d(**p, other)).count() as f64 / of.len().max(1) as f64
}

fn share(labels: &[u8], label: u8) -> f64 {
    labels.iter().filter(|l| **l == label).count() as f64 / labels.len() as f64
}

/// A drawing of two halves, saved; its path.
fn drawing(dir: &Path, w: u32, h: u32, left: u8, right: u8) -> String {
    let path = dir.join(format!("drawing_{w}_{h}_{left}_{right}.png"));
    GrayImage::from_fn(w, h, |x, _| Luma([if x < w / 2 { left } else { right }])).save(&path).unwrap();
    path.display().to_string()
}

fn picture(dir: &Path, name: &str, rgb: &RgbImage) -> String {
    let path = dir.join(name);
    rgb.save(&path).unwrap();
    path.display().to_string()
}

#[test]
fn a_drawing_becomes_the_map_and_is_kept_with_the_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let labels = drawing(dir.path(), 192, 192, 2, 1);
    let t = one(&json!({"labels": labels, "steps": 10, "guidance": 1}));
    assert_eq!((t.rgb.dimensions(), t.labels[0], t.labels[191]), ((192, 192), 2, 1));
    assert!(follows(&t, 2, PURPLE, PINK) > 0.95 && follows(&t, 1, PINK, PURPLE) > 0.95);
    let told = t.provenance["parameters"]["labels"].as_str().unwrap();
    assert_eq!((told, &*t.inputs[0].bytes), (t.inputs[0].name.as_str(), &*std::fs::read(&labels).unwrap()));
    assert!(told.starts_with("inputs/") && !t.provenance.to_string().contains(&*dir.path().to_string_lossy()));
    assert_eq!(t.provenance["place"], json!(null));
    for (w, h, l, r, needle) in
        [(100, 100, 1, 2, "128 x 128"), (256, 128, 1, 2, "square"), (128, 128, 1, 7, "no class 7"), (128, 128, 0, 0, "background only")]
    {
        let e = error(&json!({"labels": drawing(dir.path(), w, h, l, r)}));
        assert!(e.contains("`labels`") && e.contains(needle), "{e}");
    }
    let rgb = picture(dir.path(), "colour.png", &RgbImage::new(128, 128));
    assert!(error(&json!({"labels": rgb})).contains("8-bit grey"));
    assert!(error(&json!({"labels": dir.path().join("none.png")})).contains("none.png"));
}

#[test]
fn annotations_are_painted_over_the_map_at_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let feature = |class: &str, ring: serde_json::Value| json!({"type": "Feature", "properties": {"classification": {"name": class}}, "geometry": {"type": "Polygon", "coordinates": ring}});
    let write = |features: serde_json::Value| {
        let path = dir.path().join("a.geojson");
        std::fs::write(&path, json!({"type": "FeatureCollection", "features": features}).to_string()).unwrap();
        path.display().to_string()
    };
    // class 1 lies at columns 16.. of cells of 32 px; a tile of 256 px covers 512 px of the slide
    let square =
        json!([[[640, 320], [896, 320], [896, 576], [640, 576], [640, 320]], [[700, 400], [764, 400], [764, 464], [700, 464], [700, 400]]]);
    let path = write(json!([feature("Tumour", square.clone())]));
    let t = one(&json!({"regions": path, "at": [640, 320], "steps": 2}));
    let at = |x: usize, y: usize| t.labels[y * 256 + x];
    assert_eq!([at(5, 5), at(127, 127), at(128, 127), at(40, 50)], [2, 2, 1, 1], "the hole and the rest stay as the map has them");
    assert!((share(&t.labels[..128 * 256], 2) - (128.0 * 128.0 - 32.0 * 32.0) / (128.0 * 256.0)).abs() < 1e-9);
    let alone = one(&json!({"regions": path, "steps": 2}));
    assert_eq!(["x", "y"].map(|k| alone.provenance["place"][k].as_f64()), [Some(512.0), Some(192.0)], "in the middle of the tile");
    assert!((share(&alone.labels, 2) - (128.0 * 128.0 - 32.0 * 32.0) / 65536.0).abs() < 1e-9);
    let point = json!({"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [1, 2]}});
    let far = json!({"regions": write(json!([feature("Tumour", square), point])), "at": [1100, 320], "steps": 1});
    let job = Job::new();
    let p = params::Synth { refine: false, ..params::parse(&far.to_string()).unwrap() };
    run(&map(), &Nets::new(&Pooling, &Follow::default(), &Colors), &[], &p, &job, &mut |t| {
        assert!(t.provenance["notes"].to_string().contains("do not touch this window"));
        Ok(())
    })
    .unwrap();
    assert!(job.notes().iter().any(|n| n.contains("1 annotations are no regions")), "{:?}", job.notes());
    assert!(
        error(&json!({"regions": write(json!([feature("tumour", json!([[[-9e9, 0], [-8e9, 9], [-9e9, 9]]]))]))})).contains("`regions`")
    );
    let e = error(&json!({"regions": write(json!([feature("liver", json!([[[0, 0], [9, 0], [9, 9]]]))]))}));
    assert!(e.contains("`liver`") && e.contains("1 (stroma), 2 (tumour)"), "{e}");
    assert!(error(&json!({"regions": write(json!([]))})).contains("no region"));
    assert!(error(&json!({"at": [0, 0]})).contains("no tissue"));
}

#[test]
fn shares_are_met_by_regions_that_differ_from_tile_to_tile() {
    let wanted = BTreeMap::from([(0u8, 0.15), (1, 0.25), (2, 0.6)]);
    let tiles = make(&map(), &json!({"shares": {"0": 0.15, "1": 0.25, "2": 0.6}, "steps": 1, "n": 3})).unwrap();
    for t in &tiles {
        for (label, want) in &wanted {
            assert!((share(&t.labels, *label) - want).abs() < 0.02, "{label}: {} not {want}", share(&t.labels, *label));
        }
        let edges = t.labels.windows(2).filter(|w| w[0] != w[1]).count();
        assert!(edges < 256 * 12, "regions, not noise: {edges} borders in 256 rows");
    }
    assert!(tiles[0].labels != tiles[1].labels);
    assert!(error(&json!({"shares": {"1": 0.5}})).contains("sum to 0.5"));
    assert!(error(&json!({"shares": {"1": 0.5, "9": 0.5}})).contains("no class 9"));
    assert!(error(&json!({"shares": {"1": 1}, "at": [0, 0]})).contains("`shares`"));
}

#[test]
fn one_class_takes_another_crop_and_the_rest_stays() {
    let dir = tempfile::tempdir().unwrap();
    let green = picture(dir.path(), "green.png", &tissue([60, 190, 80], 152, 5));
    let at = json!([900, 600]);
    let plain = one(&json!({"at": at, "steps": 12, "guidance": 1}));
    let swapped = one(&json!({"at": at, "steps": 12, "guidance": 1, "crops": {"2": [green]}}));
    assert!(follows(&swapped, 2, [60, 190, 80], PURPLE) > 0.9 && follows(&plain, 2, [60, 190, 80], PURPLE) < 0.1);
    let moved = |label: u8| {
        let pairs = plain.rgb.pixels().zip(swapped.rgb.pixels()).zip(&plain.labels);
        pairs.filter(|((a, b), l)| **l == label && a.0.iter().zip(b.0).any(|(a, b)| a.abs_diff(b) > 8)).count()
    };
    // borders are asked for by latent cells of 8 px, so a few pixels beside them move too
    assert!(moved(1) < 256 && moved(2) > 1000, "{} {}", moved(1), moved(2));
    let file = swapped.provenance["crops"].as_array().unwrap().iter().find(|c| c["class"] == 2).unwrap();
    assert_eq!((&file["x"], file["file"].as_str()), (&json!(null), Some(&*swapped.inputs[0].name)), "a file lies nowhere on the slide");
    let index = one(&json!({"at": at, "steps": 2, "crops": {"2": [3, 5]}}));
    let shown: Vec<_> =
        index.provenance["crops"].as_array().unwrap().iter().filter(|c| c["class"] == 2).map(|c| c["index"].clone()).collect();
    assert!(shown.contains(&json!(3)) && shown.contains(&json!(5)), "{shown:?}");
    assert!(error(&json!({"crops": {"2": [99]}})).contains("the map's crops of class 2 are 1, 3, 5, 7"));
    assert!(error(&json!({"crops": {"2": []}})).contains("one or two"));
    let small = picture(dir.path(), "small.png", &tissue(PINK, 80, 1));
    assert!(error(&json!({"crops": {"1": [small]}})).contains("too small"));
}

#[test]
fn the_noise_alone_can_be_drawn_anew() {
    let tiles = |seed: u64| one(&json!({"seed": 3, "noise_seed": seed, "steps": 4}));
    let (a, b) = (tiles(1), tiles(2));
    assert_eq!((&a.labels, &a.provenance["crops"], &a.provenance["place"]), (&b.labels, &b.provenance["crops"], &b.provenance["place"]));
    assert_ne!(a.rgb, b.rgb);
    assert_eq!(one(&json!({"seed": 3, "noise_seed": 3, "steps": 4})).rgb, one(&json!({"seed": 3, "steps": 4})).rgb);
}

#[test]
fn mixed_classes_and_measures_are_told_to_the_denoiser() {
    let parse = |v: serde_json::Value| params::parse::<params::Synth>(&v.to_string()).map_err(|e| e.to_string());
    assert!(parse(json!({"mix": {"1": {"with": 2, "share": 1.5}}})).unwrap_err().contains("mix.1"));
    assert!(parse(json!({"measures": {"1": {"nuclei": 1.5}}})).unwrap_err().contains("measures.1"));
    assert!(parse(json!({"measures": {"1": {"nucleus": 0.5}}})).is_err());
    assert!(error(&json!({"mix": {"1": {"with": 9, "share": 0.5}}})).contains("no class 9"));
    // with share 1 the other class's crops stand in for the class's own
    let at = json!([560, 300]);
    let all = one(&json!({"at": at, "steps": 12, "guidance": 1, "mix": {"1": {"with": 2, "share": 1}}}));
    assert!(share(&all.labels, 1) > 0.5 && follows(&all, 1, PURPLE, PINK) > 0.95);
    let half = one(&json!({"at": at, "steps": 2, "mix": {"1": {"with": 2, "share": 0.5}}, "measures": {"1": {"nuclei": 0.4}}}));
    assert_eq!(half.provenance["parameters"]["mix"]["1"]["with"], json!(2));
    assert_eq!(half.provenance["parameters"]["measures"]["1"]["nuclei"], json!(0.4f32));
}

#[test]
fn a_real_tile_is_the_beginning_and_what_the_mask_keeps_stays_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let mut real = tissue(PINK, 256, 9);
    let purple = tissue(PURPLE, 256, 8);
    (0..256 * 128).for_each(|i| real.put_pixel(128 + i % 128, i / 128, *purple.get_pixel(128 + i % 128, i / 128)));
    let init = picture(dir.path(), "real.png", &real);
    let t = one(&json!({"init": init, "strength": 0.1, "steps": 4, "guidance": 1}));
    assert!(
        follows(&t, 2, PURPLE, PINK) > 0.95 && share(&t.labels, 2) > 0.4 && share(&t.labels, 1) > 0.4,
        "its map is read off the picture"
    );
    let mask = dir.path().join("mask.png");
    GrayImage::from_fn(256, 256, |x, y| Luma([u8::from((64..192).contains(&x) && (64..192).contains(&y))])).save(&mask).unwrap();
    let t = one(&json!({"init": init, "mask": mask, "strength": 1, "steps": 6}));
    let outside = |x: u32, y: u32| !((64..192).contains(&x) && (64..192).contains(&y));
    assert!(t.rgb.enumerate_pixels().filter(|(x, y, _)| outside(*x, *y)).all(|(x, y, p)| p == real.get_pixel(x, y)));
    let new = t.rgb.enumerate_pixels().filter(|(x, y, p)| !outside(*x, *y) && *p != real.get_pixel(*x, *y)).count();
    assert!(new > 128 * 128 / 2, "{new}");
    let line = dir.path().join("line.png");
    GrayImage::from_fn(256, 256, |x, _| Luma([u8::from(x == 100) * 255])).save(&line).unwrap();
    let t = one(&json!({"init": init, "mask": line, "strength": 1, "steps": 6}));
    let changed = |x: u32| (0..256).filter(|y| t.rgb.get_pixel(x, *y) != real.get_pixel(x, *y)).count();
    assert!(changed(100) > 200 && changed(99) == 0, "a line of one pixel is made anew too: {}", changed(100));
    let t = one(&json!({"init": init, "inpaint": [2], "steps": 3}));
    assert!(t.rgb.pixels().zip(real.pixels()).zip(&t.labels).filter(|(_, l)| **l != 2).all(|((a, b), _)| a == b));
    let several = json!({"init": init, "shares": {"1": 0.5, "2": 0.5}, "inpaint": [2], "strength": 1, "steps": 3, "n": 3});
    let all = make(&map(), &several).unwrap();
    let alone = json!({"init": init, "shares": {"1": 0.5, "2": 0.5}, "inpaint": [2], "strength": 1, "steps": 3, "n": 1, "first": 2});
    assert_eq!(one(&alone).rgb, all[2].rgb, "a mask of its own for each tile");
    let black = dir.path().join("black.png");
    GrayImage::new(256, 256).save(&black).unwrap();
    let e = error(&json!({"init": init, "mask": black}));
    assert!(e.contains("`mask`") && e.contains("0 everywhere"), "{e}");
    let nothing = one(&json!({"init": init, "labels": drawing(dir.path(), 256, 256, 1, 1), "inpaint": [2], "steps": 1}));
    assert!(nothing.provenance["notes"].to_string().contains("nothing was made anew"), "{}", nothing.provenance["notes"]);
    for (text, needle) in [
        (json!({"inpaint": [2]}), "without `init`"),
        (json!({"init": init, "size_px": 128}), "256 x 256"),
        (json!({"init": init, "inpaint": [2], "mask": mask}), "beside"),
        (json!({"init": init, "strength": 0}), "strength"),
        (json!({"init": init, "inpaint": [9]}), "no class 9"),
    ] {
        let e = error(&text);
        assert!(e.contains(needle), "{text}: {e}");
    }
}

#[test]
fn a_tile_of_any_size_has_no_seams_and_previews_come_every_few_steps() {
    let t = one(&json!({"size_px": 1152, "at": [520, 40], "steps": 3, "guidance": 1}));
    assert_eq!((t.rgb.dimensions(), t.flags.scores.height), ((1152, 1152), 36));
    assert!(follows(&t, 1, PINK, PURPLE) > 0.95);
    let (job, net) = (Job::new(), Follow::default());
    let p: params::Synth = params::parse(r#"{"steps": 9, "preview_every": 3}"#).unwrap();
    let p = params::Synth { n: 1, refine: false, ..p };
    run(&map(), &Nets::new(&Pooling, &net, &Colors), &[], &p, &job, &mut |_| {
        assert!(job.partial().is_some_and(|p| p.dimensions() == (256, 256)), "the last preview is there before the tile is");
        Ok(())
    })
    .unwrap();
}
