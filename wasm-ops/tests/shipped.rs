//! The ops that ship: equal to a plain Rust reference, useful on H&E colours, rebuilt byte for byte where clang is at hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use histoloom_core::ops::{OpFlag, OpOutput};
use histoloom_wasm_ops::{Registry, registry::SHIPPED};
use image::{Rgb, RgbImage};

fn run(tile: &Tile, op: &str, params: &str) -> OpOutput {
    tile.run(&*Registry::shipped().unwrap().get(op).unwrap(), params).unwrap()
}

fn metric(out: &OpOutput, name: &str) -> f64 {
    out.metrics.iter().find(|m| m.0 == name).unwrap().1
}

/// A picture of stained tissue: mixtures of haematoxylin and eosin (vectors of Ruifrok & Johnston 2001) on glass.
fn h_and_e(width: u32, height: u32) -> RgbImage {
    let stain = |x: u32, y: u32| {
        let nucleus = (x % 24).abs_diff(12).pow(2) + (y % 24).abs_diff(12).pow(2) < 40;
        let texture = f64::from((x * 7 + y * 13) % 11) / 40.0;
        if nucleus { (0.9 + texture, 0.2) } else { (0.05, 0.35 + texture) }
    };
    RgbImage::from_fn(width, height, |x, y| {
        let (h, e) = stain(x, y);
        let channel = |hv: f64, ev: f64| (256.0 * 10f64.powf(-(h * hv + e * ev)) - 1.0).clamp(0.0, 255.0) as u8;
        Rgb([channel(0.65, 0.07), channel(0.70, 0.99), channel(0.29, 0.11)])
    })
}

/// Row, column and pixels of a cell of 32 px.
type Cell = (u32, u32, Vec<(u32, u32)>);

/// Cells in raster order.
fn cells(rgb: &RgbImage) -> Vec<Cell> {
    let (w, h) = rgb.dimensions();
    let mut all = Vec::new();
    for row in 0..h.div_ceil(32) {
        for column in 0..w.div_ceil(32) {
            let ys = row * 32..(row * 32 + 32).min(h);
            let pixels = ys.flat_map(|y| (column * 32..(column * 32 + 32).min(w)).map(move |x| (x, y))).collect();
            all.push((row, column, pixels));
        }
    }
    all
}

fn gamut_reference(rgb: &RgbImage, share: f64) -> (Vec<OpFlag>, f64) {
    let od = |v: u8| (-1000.0 * ((f64::from(v) + 1.0) / 256.0).log10()).round() as i32;
    let outside = |&(x, y): &(u32, u32)| {
        let Rgb([r, g, b]) = *rgb.get_pixel(x, y);
        let (r, g, b) = (od(r), od(g), od(b));
        let s = r + g + b;
        s >= 450
            && (s > 4600
                || 1000 * r > 520 * s
                || 1000 * g > 880 * s
                || 1000 * b < 80 * s
                || 1000 * b > 480 * s
                || 1000 * b + 700 * r > 560 * s)
    };
    let (mut flags, mut all) = (Vec::new(), 0);
    for (row, column, pixels) in cells(rgb) {
        let n = pixels.iter().filter(|p| outside(p)).count();
        all += n;
        if n as f64 > share * pixels.len() as f64 {
            let percent = (100 * n + pixels.len() / 2) / pixels.len();
            let reason = format!("{percent} % of this cell has colours that haematoxylin and eosin do not give");
            flags.push(OpFlag { code: "OUTSIDE_GAMUT".into(), reason, cell: Some((row, column)) });
        }
    }
    (flags, all as f64 / f64::from(rgb.width() * rgb.height()))
}

fn sharpness_reference(rgb: &RgbImage, labels: &[u8], limit: f64) -> (Vec<(u32, u32)>, f64) {
    let (w, h) = (rgb.width() as i64, rgb.height() as i64);
    let luma = |x: i64, y: i64| {
        let Rgb([r, g, b]) = *rgb.get_pixel(x.clamp(0, w - 1) as u32, y.clamp(0, h - 1) as u32);
        (77 * i64::from(r) + 150 * i64::from(g) + 29 * i64::from(b)) >> 8
    };
    let (mut flagged, mut variances) = (Vec::new(), Vec::new());
    for (row, column, pixels) in cells(rgb) {
        let tissue = pixels.iter().filter(|(x, y)| labels[(y * rgb.width() + x) as usize] != 0).count();
        if 2 * tissue <= pixels.len() {
            continue;
        }
        let n = pixels.len() as f64;
        let laplace: Vec<f64> = pixels
            .iter()
            .map(|&(x, y)| (i64::from(x), i64::from(y)))
            .map(|(x, y)| (luma(x - 1, y) + luma(x + 1, y) + luma(x, y - 1) + luma(x, y + 1) - 4 * luma(x, y)) as f64)
            .collect();
        let mean = laplace.iter().sum::<f64>() / n;
        let variance = laplace.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n;
        variances.push(variance);
        if variance < limit {
            flagged.push((row, column));
        }
    }
    (flagged, variances.iter().sum::<f64>() / variances.len().max(1) as f64)
}

#[test]
fn gamut_equals_its_reference() {
    let pictures = [Tile::noise(256, 256, 1), Tile::noise(100, 70, 2), Tile::noise(1, 1, 3), Tile::of(h_and_e(256, 256))];
    for tile in pictures {
        for share in [0.0, 0.3, 0.55, 1.0] {
            let out = run(&tile, "gamut", &format!("{{\"share\": {share}}}"));
            let (flags, outside) = gamut_reference(&tile.rgb, share);
            assert_eq!(out.flags, flags);
            assert_eq!(metric(&out, "outside_share"), outside);
            assert_eq!(metric(&out, "outside_cells"), flags.len() as f64);
            assert!(out.rgb.is_none());
        }
    }
}

#[test]
fn gamut_knows_stained_tissue_from_other_colours() {
    assert_eq!(run(&Tile::of(h_and_e(256, 256)), "gamut", "").flags, []);
    for inside in [[255, 255, 255], [243, 240, 244], [220, 150, 190], [90, 60, 130], [200, 60, 70], [230, 180, 205]] {
        assert_eq!(run(&Tile::plain(64, 64, inside), "gamut", "").flags, [], "{inside:?}");
    }
    for outside in [[0, 255, 0], [0, 160, 0], [0, 0, 255], [255, 255, 0], [0, 200, 200], [0, 0, 0], [90, 90, 90], [255, 0, 0]] {
        assert_eq!(run(&Tile::plain(64, 64, outside), "gamut", "").flags.len(), 4, "{outside:?}");
    }
}

#[test]
fn gamut_flags_the_cell_that_is_off_and_no_other() {
    let mut rgb = h_and_e(256, 256);
    for (x, y) in (64..96).flat_map(|x| (128..160).map(move |y| (x, y))) {
        rgb.put_pixel(x, y, Rgb([20, 140, 40]));
    }
    let cells: Vec<_> = run(&Tile::of(rgb), "gamut", "").flags.iter().map(|f| f.cell).collect();
    assert_eq!(cells, [Some((4, 2))]);
}

#[test]
fn sharpness_equals_its_reference() {
    for tile in [Tile::noise(256, 256, 4), Tile::noise(33, 97, 5), Tile::noise(1, 1, 6), Tile::of(h_and_e(128, 128))] {
        for limit in [0.0, 8.0, 5000.0, 100_000.0] {
            let out = run(&tile, "sharpness", &format!("{{\"min_variance\": {limit}}}"));
            let (cells, mean) = sharpness_reference(&tile.rgb, &tile.labels, limit);
            assert_eq!(out.flags.iter().map(|f| f.cell.unwrap()).collect::<Vec<_>>(), cells);
            assert!((metric(&out, "mean_variance") - mean).abs() <= 1e-9 * mean.max(1.0));
        }
    }
}

#[test]
fn sharpness_flags_mush_and_leaves_glass_alone() {
    let sharp = Tile::of(h_and_e(128, 128));
    assert_eq!(run(&sharp, "sharpness", "").flags, []);
    let mut mush = Tile::of(RgbImage::from_fn(128, 128, |x, y| Rgb([180 + (x / 8) as u8, 120 + (y / 8) as u8, 170])));
    assert_eq!(run(&mush, "sharpness", "").flags.len(), 16);
    mush.labels.fill(0);
    assert_eq!(run(&mush, "sharpness", "").flags, []);
}

#[test]
fn watermark_writes_the_word_and_nothing_else() {
    let tile = Tile::of(h_and_e(256, 256));
    let out = run(&tile, "watermark", "");
    let marked = out.rgb.as_ref().unwrap();
    let changed: Vec<_> = marked.enumerate_pixels().filter(|(x, y, p)| tile.rgb.get_pixel(*x, *y) != *p).map(|(x, y, _)| (x, y)).collect();
    assert!(changed.iter().all(|&(x, y)| (200..253).contains(&x) && (246..253).contains(&y)));
    assert_eq!(changed.len() as f64, metric(&out, "watermark_px"));
    assert!(changed.len() > 100);
    if let Ok(folder) = std::env::var("HISTOLOOM_TEST_PICTURES") {
        marked.save(Path::new(&folder).join("watermark.png")).unwrap();
        run(&tile, "watermark", r#"{"scale": 4, "strength": 1}"#).rgb.unwrap().save(Path::new(&folder).join("watermark-4.png")).unwrap();
    }
    assert!(run(&tile, "watermark", r#"{"strength": 0}"#).rgb.is_none());
    let small = run(&Tile::plain(32, 32, [200, 100, 150]), "watermark", "");
    assert!(small.rgb.is_none() && small.flags[0].code == "WATERMARK_NO_ROOM");
}

#[test]
fn every_shipped_op_takes_the_largest_tile() {
    let tile = Tile::noise(2048, 2048, 7);
    let registry = Registry::shipped().unwrap();
    for op in registry.list_json()["ops"].as_array().unwrap() {
        let name = op["name"].as_str().unwrap();
        let began = std::time::Instant::now();
        tile.run(&*registry.get(name).unwrap(), "").unwrap();
        println!("{name}: {:.1} ms for 2048 x 2048", began.elapsed().as_secs_f64() * 1e3);
    }
}

#[test]
fn a_folder_adds_ops_and_tells_what_it_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("b.wasm", &bytes(&wat("i32.const 0", "")));
    put("broken.wasm", b"\0asm");
    put("gamut.wasm", SHIPPED[0].1); // the very op that ships
    put("gamut2.wasm", &bytes(&wat("i32.const 0", "").replace(r#"\"test\""#, r#"\"gamut\""#)));
    put("notes.txt", b"no op");
    std::fs::create_dir(folder.path().join("dir.wasm")).unwrap();
    let registry = Registry::with_folder(folder.path()).unwrap();
    let list = registry.list_json();
    let names: Vec<_> = list["ops"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gamut", "macenko", "nuclei", "reinhard", "seams", "sharpness", "smooth", "watermark", "test"]);
    let refused: Vec<_> = list["refused"].as_array().unwrap().iter().map(|r| r["file"].as_str().unwrap()).collect();
    assert_eq!(refused, ["broken.wasm", "dir.wasm", "gamut2.wasm"]);
    assert!(list["refused"][2]["why"].as_str().unwrap().contains("taken"));
    Tile::plain(32, 32, [1, 2, 3]).run(&*registry.get("test").unwrap(), "").unwrap();
    let why = registry.get("tset").err().unwrap().to_string();
    assert!(
        why.contains("known: gamut, macenko, nuclei, reinhard, seams, sharpness, smooth, watermark, test") && why.contains("broken.wasm"),
        "{why}"
    );
    assert!(Registry::with_folder(&folder.path().join("none")).is_err());
}

#[test]
fn the_registry_gives_no_disabled_op() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.wasm"), bytes(&wat("unreachable", ""))).unwrap();
    let registry = Registry::with_folder(folder.path()).unwrap();
    let op = registry.get("test").unwrap();
    let tile = Tile::plain(32, 32, [1, 2, 3]);
    (0..3).for_each(|_| assert!(tile.run(&*op, "").is_err()));
    assert!(registry.get("test").err().unwrap().to_string().contains("disabled"));
    assert!(registry.list_json()["ops"][8]["disabled"].is_string());
}

/// Needs Debian 12's clang-16, lld-16 and rustc 1.63, for other versions give other bytes.
#[test]
fn the_shipped_modules_are_what_their_sources_give() {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    let says = |tool: &str, version: &str| {
        Command::new(tool).arg("--version").output().is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains(version))
    };
    let target = Path::new("/usr/lib/rustlib/wasm32-unknown-unknown").is_dir();
    if !(says("clang-16", "16.0.6") && says("wasm-ld-16", "16.0.6") && says("/usr/bin/rustc", "1.63.0") && target) {
        // past the capture of the test harness: this is to be seen
        let said = "NOT CHECKED: clang-16, lld-16 (16.0.6), rustc 1.63.0 and libstd-rust-dev-wasm32 are not all installed, so the shipped ops were \
                    not rebuilt from their sources\n";
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let built = Command::new("sh").arg(ops.join("build.sh")).arg(out.path()).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for (file, shipped) in SHIPPED {
        let path = PathBuf::from(file.trim_end_matches(".wasm")).join(file);
        assert!(
            std::fs::read(out.path().join(&path)).unwrap() == *shipped,
            "{file} is not what its source gives; run wasm-ops/ops/build.sh"
        );
    }
}
