//! The `histoloom` command as people and scripts meet it: the main job on the sample slide, reruns, help, errors and exit codes.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use histoloom_core::params::{self, Cluster, Synth};
use histoloom_tests::{histoloom, region, root, run, sample, small_vit, tiled_tiff};
use serde_json::Value;

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).expect("one JSON object on standard output")
}

/// What a run that must fail with `code` said on standard error.
fn refused(command: &mut Command, code: i32) -> String {
    let out = command.output().expect("the command runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(code), "{command:?}: {said}");
    said
}

#[test]
fn the_main_job_runs_and_a_tile_is_made_again_byte_for_byte_on_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a folder");
    let (map, tiles, again) = (dir.path().join("map"), dir.path().join("tiles"), dir.path().join("again"));
    let preview = dir.path().join("newest.png");
    let out = run(histoloom()
        .args(["cluster", "--json", "--k", "4", "--device", "cpu", "--seed", "3", "--roi"])
        .arg(region(dir.path()))
        .arg("--out")
        .arg(&map)
        .arg("--preview")
        .arg(&preview)
        .arg(sample()));
    assert_eq!(json(&out)["map"]["classes"].as_array().map(Vec::len), Some(4));
    let newest = image::open(&preview).expect("a PNG").into_rgba8();
    assert!(newest.pixels().any(|p| p.0[3] == 0) && newest.pixels().any(|p| p.0[3] > 0), "the region is shown, the rest is clear");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("device: CPU") && said.contains("seed 3"), "the device and the seed are said loudly: {said}");
    let viewers = ["map.geojson", "labels.ome.tif", "map.asap.xml", "labels_likelihood_map.tif", "classes.csv"];
    for name in viewers.into_iter().chain(["overlay.png", "labels.png", "legend.png", "map.json"]) {
        assert!(map.join(name).is_file(), "{name} is missing");
    }
    let labels = image::open(map.join("labels.png")).expect("a PNG").into_luma8();
    assert!(labels.pixels().all(|p| p.0[0] <= 4) && (0..=4).all(|l| labels.pixels().any(|p| p.0[0] == l)), "grey value = class");

    run(histoloom()
        .args(["synth", "--device", "cpu", "-n", "2", "--steps", "3", "--size", "128", "--seed", "3", "--keep-flagged"])
        .arg("--from")
        .arg(&map)
        .arg("--out")
        .arg(&tiles));
    let tile = tiles.join("tile_0002.png");
    let said = run(histoloom().arg("inspect").arg(&tile));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.starts_with("SYNTHETIC") && said.contains("seed: 3"), "{said}");

    let same = json(&run(histoloom().args(["rerun", "--json"]).arg(&tile)));
    assert_eq!((same["same_file"].as_bool(), same["same_labels"].as_bool()), (Some(true), Some(true)), "{same}");
    let same = json(&run(histoloom().args(["rerun", "--json", "--threads", "1", "--out"]).arg(&again).arg(&tile)));
    assert_eq!(same["same_file"], true, "{same}");

    // tiles of the same run join, tiles of another run are refused and nothing is lost
    let more = |first: &str, seed: &str| {
        let mut c = histoloom();
        c.args([
            "synth",
            "--device",
            "cpu",
            "-n",
            "1",
            "--steps",
            "3",
            "--size",
            "128",
            "--seed",
            seed,
            "--first",
            first,
            "--keep-flagged",
        ]);
        c.arg("--from");
        c.arg(&map).arg("--out").arg(&tiles);
        c
    };
    run(&mut more("2", "3"));
    let listed: Value = serde_json::from_slice(&std::fs::read(tiles.join("manifest.json")).expect("a manifest")).expect("JSON");
    assert_eq!(listed["tiles"].as_array().map(Vec::len), Some(3), "{listed}");
    let before = std::fs::read(tiles.join("tile_0001.png")).expect("the first tile");
    assert!(refused(&mut more("0", "4"), 1).contains("another run"));
    assert!(std::fs::read(tiles.join("tile_0001.png")).is_ok_and(|now| now == before));

    let mut changed = image::open(again.join("tile_0002.png")).expect("a PNG").into_rgb8();
    changed.get_pixel_mut(5, 5).0[0] ^= 1;
    changed.save(dir.path().join("changed.png")).expect("writable");
    let said = refused(histoloom().arg("rerun").arg(dir.path().join("changed.png")), 3);
    assert!(said.contains("edited or saved again"), "{said}");
}

/// Blanks a piece of a PNG's text and gives the chunk its new CRC-32 (PNG specification, annex D).
fn without(png: &Path, piece: &str) {
    let mut bytes = std::fs::read(png).expect("a PNG");
    let at = bytes.windows(piece.len()).position(|w| w == piece.as_bytes()).expect("the piece is there");
    bytes[at..at + piece.len()].fill(b' ');
    let mut chunk = 8;
    loop {
        let n = u32::from_be_bytes(bytes[chunk..chunk + 4].try_into().expect("four")) as usize;
        let end = chunk + 8 + n;
        if at < end {
            let step = |c: u32, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 };
            let crc = !bytes[chunk + 4..end].iter().fold(!0, |c, b| (0..8).fold(c ^ u32::from(*b), step));
            bytes[end..end + 4].copy_from_slice(&crc.to_be_bytes());
            return std::fs::write(png, bytes).expect("written");
        }
        chunk = end + 4;
    }
}

/// A user's drawing as the map, another crop for one class, part of a real tile made anew: all of it can be repeated from the folder.
#[test]
fn drawings_crops_and_pictures_of_the_users_make_tiles_that_can_be_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    run(histoloom()
        .args(["cluster", "--k", "3", "--device", "cpu", "--roi"])
        .arg(region(dir.path()))
        .arg("--out")
        .arg(at("map"))
        .arg(sample()));
    image::GrayImage::from_fn(128, 128, |x, y| image::Luma([if y < 30 { 0 } else { 1 + u8::from(x > 64) }]))
        .save(at("drawing.png"))
        .expect("saved");
    let real = image::open(at("map/crops/class_03_1.png")).expect("a crop").into_rgb8();
    real.save(at("real.png")).expect("saved");
    let flagged_apart = |out: &str, more: &[&str]| {
        let mut c = histoloom();
        c.current_dir(dir.path()).args(["synth", "--from", "map", "--device", "cpu", "-n", "1", "--steps", "2", "--out", out]).args(more);
        c
    };
    let synth = |out: &str, more: &[&str]| {
        let mut c = flagged_apart(out, more);
        c.arg("--keep-flagged");
        c
    };
    run(&mut flagged_apart("apart", &["--labels", "drawing.png", "--crop", "2=real.png"]));
    run(&mut synth(
        "drawn",
        &["--labels", "drawing.png", "--crop", "2=real.png", "--mix", "1:3:0.5", "--ask", "1:nuclei=0.4", "--noise-seed", "9"],
    ));
    let labels = image::open(at("drawn/tile_0001_labels.png")).expect("a PNG").into_luma8();
    assert_eq!(labels.as_raw(), image::open(at("drawing.png")).expect("a PNG").into_luma8().as_raw());
    run(&mut synth("anew", &["--init", "real.png", "--size", "128", "--inpaint", "1,2", "--strength", "0.8", "--preset", "fast"]));
    let said = run(&mut synth("weak", &["--init", "real.png", "--size", "128", "--strength", "0.4"]));
    assert!(String::from_utf8_lossy(&said.stderr).contains("the refiner's alone"), "{said:?}");
    run(&mut synth("shares", &["--share", "1=0.5", "--share", "2=0.3", "--share", "0=0.2", "--size", "160", "--no-refiner"]));
    run(&mut synth("place", &["--at", "700,1000", "--size", "384", "--guidance", "1"]));
    let seams = seam(&image::open(at("place/tile_0001.png")).expect("a PNG").into_rgb8(), &[128, 256]);
    assert!(seams < 1.3, "pixels differ {seams:.2} times as much across the borders of windows as beside them");
    std::fs::remove_file(at("drawing.png")).and_then(|()| std::fs::remove_file(at("real.png"))).expect("removed");
    // as before there was a refiner: the tile does not tell of one
    without(&at("shares/tile_0001.png"), "\"refine\":false,");
    let same = json(&run(histoloom().args(["rerun", "--json", "--from"]).arg(at("map")).arg(at("shares/tile_0001.png"))));
    assert_eq!((same["same_pixels"].as_bool(), same["same_file"].as_bool()), (Some(true), Some(false)), "{same}");
    // two steps are too few, which is flagged; a flagged tile lies apart, is listed apart and can be made again all the same
    let manifest: Value = serde_json::from_slice(&std::fs::read(at("apart/manifest.json")).expect("a manifest")).expect("JSON");
    assert_eq!((manifest["tiles"].as_array().map(Vec::len), &manifest["flagged"][0]["image"]), (Some(0), &"flagged/tile_0001.png".into()));
    for out in ["drawn", "anew", "place", "apart/flagged"] {
        let same = json(&run(histoloom().args(["rerun", "--json", "--from"]).arg(at("map")).arg(at(out).join("tile_0001.png"))));
        assert_eq!((same["same_file"].as_bool(), same["same_labels"].as_bool()), (Some(true), Some(true)), "{out}: {same}");
    }
    let kept: Vec<_> = std::fs::read_dir(at("drawn/inputs")).expect("kept").flatten().map(|f| f.path()).collect();
    assert_eq!(kept.len(), 2);
    kept.iter().for_each(|f| std::fs::remove_file(f).expect("removed"));
    let said = refused(histoloom().arg("rerun").arg("--from").arg(at("map")).arg(at("drawn/tile_0001.png")), 3);
    assert!(said.contains("inputs") && said.contains("missing"), "{said}");
    for (more, needle) in [
        (&["--share", "1=half"][..], "`half` is no finite number"),
        (&["--crop", "2"][..], "LABEL=FILE"),
        (&["--preset", "slow"][..], "default, fast"),
        (&["--labels", "drawing.png"][..], "drawing.png"),
        (&["--at", "0,0"][..], "no tissue"),
        (&["--size", "200"][..], "192 or 224"),
        (&["--guidance", "nan"][..], "no finite number"),
        (&["--strength", "0.5"][..], "without `init`"),
        (&["--mix", "1:1:0.5"][..], "with itself"),
        (&["--mix", "1:2:0.5", "--mix", "1:3:0.5"][..], "given twice"),
    ] {
        let out = synth("bad", more).output().expect("the command runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(needle), "{more:?}: {said}");
    }
}

/// Everything in a folder, by name.
fn files_in(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a folder").flatten().map(|e| e.path());
    let deep = |p: PathBuf| if p.is_dir() { files_in(&p) } else { BTreeMap::from([(p.clone(), std::fs::read(&p).expect("a file"))]) };
    entries.flat_map(deep).collect()
}

#[test]
fn classes_are_edited_in_the_order_given_and_taken_back_to_the_last_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    run(histoloom()
        .args(["cluster", "--k", "4", "--device", "cpu", "--roi"])
        .arg(region(dir.path()))
        .arg("--out")
        .arg(at("map"))
        .arg(sample()));
    let original = files_in(&at("map"));
    let edit = |more: &[&str]| {
        let mut c = histoloom();
        c.args(["edit", "--json"]).arg(at("map")).args(more);
        c
    };
    let made =
        json(&run(&mut edit(&["--rename", "1=Stroma", "--merge", "1,2", "--split=1", "--rename", "1=Both", "--recolour", "3=#010203"])));
    let kinds: Vec<&str> =
        made["history"].as_array().expect("a history").iter().filter_map(|e| e.as_object()?.keys().next().map(String::as_str)).collect();
    assert_eq!(kinds, ["rename", "merge", "split", "rename", "recolour"], "{made}");
    assert_eq!((made["map"]["classes"].as_array().map(Vec::len), &made["map"]["classes"][0]["name"]), (Some(4), &"Both".into()), "{made}");
    assert!(std::fs::read_to_string(at("map/classes.csv")).is_ok_and(|t| t.contains("Both")), "the files of the folder follow");

    // tiles are made of the edited map, and what is listed is what was made
    let mut synth = histoloom();
    synth.args(["synth", "--device", "cpu", "-n", "1", "--steps", "2", "--size", "128", "--from"]).arg(at("map"));
    run(synth.arg("--out").arg(at("tiles")));
    let listed = String::from_utf8_lossy(&run(histoloom().args(["edit", "--list"]).arg(at("map"))).stdout).into_owned();
    assert!(listed.contains("2  merge 1, 2") && listed.contains("4  rename 1 to Both"), "{listed}");

    let before = files_in(&at("map"));
    for (more, code, needle) in [
        (&["--split", "77"][..], 2, "there is no class 77"),
        (&["--rename", "1=ok", "--merge", "1,88"][..], 2, "edits[1]"),
        (&["--undo", "6"][..], 2, "the map has 5"),
        (&["--recolour", "1=red"][..], 2, "#rrggbb"),
        (&["--merge", "2"][..], 2, "two or more"),
        (&[][..], 2, "nothing to do"),
    ] {
        let said = refused(&mut edit(more), code);
        assert!(said.contains(needle), "{more:?}: {said}");
    }
    let said = refused(histoloom().args(["edit", "--undo"]).arg(dir.path().join("tiles")).args(["--list"]), 2);
    assert!(said.contains("--undo"), "{said}");
    assert!(refused(histoloom().arg("edit").arg(at("tiles")).arg("--list"), 3).contains("no map.json"));
    assert!(files_in(&at("map")) == before, "what is refused changes nothing");

    let one = json(&run(edit(&["--undo", "--out"]).arg(at("one"))));
    assert_eq!(one["history"].as_array().map(Vec::len), Some(4), "{one}");
    assert!(files_in(&at("map")) == before, "--out leaves the folder itself alone");
    run(&mut edit(&["--undo", "5"]));
    assert!(files_in(&at("map")) == original, "the files are those of before the first edit");
}

/// Mean difference of neighbours across columns and rows `at`, over that 8 and 16 px beside them (the grid of the autoencoder is 8 px).
fn seam(rgb: &image::RgbImage, at: &[u32]) -> f64 {
    let step = |x: u32| {
        let pairs = (0..rgb.height()).flat_map(|y| {
            let across = rgb.get_pixel(x - 1, y).0.into_iter().zip(rgb.get_pixel(x, y).0);
            across.chain(rgb.get_pixel(y, x - 1).0.into_iter().zip(rgb.get_pixel(y, x).0))
        });
        pairs.map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>()
    };
    let beside = |x: u32| [x - 16, x - 8, x + 8, x + 16].into_iter().map(step).sum::<f64>() / 4.0;
    at.iter().map(|x| step(*x)).sum::<f64>() / at.iter().map(|x| beside(*x)).sum::<f64>()
}

#[test]
fn the_doctor_finds_everything_here() {
    let found = json(&run(histoloom().args(["doctor", "--json"])));
    assert_eq!(found["doctor"]["ok"], true, "{found}");
    assert_eq!(found["doctor"]["weights"].as_array().map(Vec::len), Some(4));
    let told = run(histoloom().arg("doctor")).stdout;
    assert!(
        String::from_utf8_lossy(&told).contains("ops: gamut, macenko, nuclei, reinhard, seams, sharpness, smooth, watermark"),
        "the ops that ship are named"
    );
    let told = String::from_utf8_lossy(&told);
    let abi = found["library"]["build"]["abi"].as_str().expect("a version");
    let path = found["doctor"]["library"]["path"].as_str().expect("where the library lies");
    assert!(path.ends_with("libhistoloom.so") && Path::new(path).is_file(), "{path}");
    assert!(told.contains("libhistoloom.so (") && told.contains(&format!(", ABI {abi})")), "{told}");
    assert!(told.contains("atlas: ") && told.contains("tissue types"), "{told}");
    let said = refused(histoloom().args(["doctor", "--models", "/nowhere"]), 1);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_doctor_tells_of_a_calibration_and_an_atlas_that_are_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let from = Path::new("../models/weights");
    let mut manifest: Value = serde_json::from_str(&std::fs::read_to_string(from.join("manifest.json")).expect("a file")).expect("JSON");
    let models = manifest["models"].as_array_mut().expect("a list");
    models.retain(|m| m["kind"] != "calibration" && m["kind"] != "atlas");
    for file in models.iter().filter_map(|m| m["file"].as_str()) {
        std::fs::copy(from.join(file), dir.path().join(file)).expect("a copy");
    }
    std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).expect("a file");
    let out = histoloom().args(["doctor", "--json", "--models"]).arg(dir.path()).output().expect("the command");
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let found = json(&out);
    for what in ["calibration: none, so every tile counts as flagged", "atlas: "] {
        let missing = found["missing"].as_array().into_iter().flatten().filter_map(|m| m.as_str());
        let line = missing.clone().find(|m| m.starts_with(what)).unwrap_or_else(|| panic!("no {what:?} in {found}"));
        assert!(line.contains("restore the models folder"), "{line}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_what_to_try() {
    let dir = tempfile::tempdir().expect("a folder");
    let slide = |name: &str| dir.path().join(name);
    let texture = |x: u32, y: u32| ((x / 7 * 31 + y / 5 * 17) % 60) as u8;
    tiled_tiff(&slide("glass.tif"), 700, 600, |_, _| [243, 243, 242]);
    tiled_tiff(&slide("dapi.tif"), 700, 600, |x, y| [0, 0, 20 + 3 * texture(x, y)]);
    tiled_tiff(&slide("pink.tif"), 700, 600, |x, y| [230 - texture(x, y), 150 - texture(x, y), 190]);
    std::fs::write(slide("text.svs"), "no slide").expect("writable");
    let cluster = |file: &str, more: &[&str]| {
        let mut c = histoloom();
        c.args(["cluster", "--out"]).arg(dir.path().join("out")).arg(slide(file)).args(more);
        c
    };
    for (file, more, code, needle) in [
        ("pink.tif", &[][..], 3, "--mpp"),
        ("glass.tif", &["--mpp", "0.5"][..], 3, "no tissue"),
        ("dapi.tif", &["--mpp", "0.5"][..], 3, "H&E"),
        ("text.svs", &[][..], 3, "text.svs"),
        ("missing.svs", &[][..], 3, "check the path"),
        ("pink.tif", &["--mpp", "-1"][..], 2, "--mpp -1"),
        ("pink.tif", &["--mpp", "0.5", "--k", "1"][..], 2, "from 2 to 100"),
        ("pink.tif", &["--mpp", "0.5", "--device", "gpu:77"][..], 4, "the device cpu"),
        ("pink.tif", &["--mpp", "0.5", "--roi", "nowhere.json"][..], 3, "nowhere.json"),
        ("pink.tif", &["dapi.tif", "--roi", "a.json"][..], 2, "--roi belongs to one slide"),
        ("pink.tif", &["dapi.tif", "--annotations", "a.json"][..], 2, "--annotations belongs to one slide"),
    ] {
        let said = refused(&mut cluster(file, more), code);
        assert!(said.contains(needle), "{file} {more:?}: {said}");
        assert!(!dir.path().join("out/map.json").exists(), "{file} {more:?} left a map");
    }
    let said = refused(histoloom().args(["synth", "--from"]).arg(slide("nowhere")).arg("--out").arg(slide("out")), 3);
    assert!(said.contains("nowhere"), "{said}");
    let answer = json(&histoloom().args(["cluster", "--json"]).output().expect("the command runs"));
    assert_eq!(answer["error"]["kind"], "usage");
    let answer = cluster("pink.tif", &["--json"]).output().expect("the command runs");
    assert_eq!((json(&answer)["ok"].as_bool(), json(&answer)["error"]["exit_code"].as_i64()), (Some(false), Some(3)));
}

#[test]
fn a_published_checkpoint_is_imported_and_another_file_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("c16");
    let checkpoint = root().join("models/tests/data/htd_tiny.ckpt");
    let import = |file: &Path| {
        let mut c = histoloom();
        c.args(["models", "import"]).arg(file).arg("--out").arg(&out);
        c
    };
    let said = refused(&mut import(&dir.path().join("nowhere.ckpt")), 3);
    assert!(said.contains("nowhere.ckpt"), "{said}");
    let evil = dir.path().join("evil.ckpt");
    std::fs::write(&evil, b"\x80\x02cos\nsystem\n.").expect("writable");
    let said = refused(&mut import(&evil), 3);
    assert!(said.contains("evil.ckpt") && said.contains("save_file") && !out.exists(), "{said}");
    let made = json(&run(import(&checkpoint).arg("--json")));
    assert_eq!((made["imported"]["classes"].as_u64(), made["ok"].as_bool()), (Some(2), Some(true)), "{made}");
    assert!(made["files"].as_array().is_some_and(|f| f.iter().all(|f| Path::new(f.as_str().unwrap_or("")).is_file())), "{made}");
    let said = refused(&mut import(&checkpoint), 1);
    assert!(said.contains("new or empty"), "{said}");
    let another = dir.path().join("again");
    let told = run(histoloom().args(["models", "import"]).arg(&checkpoint).arg("--out").arg(&another));
    assert!(String::from_utf8_lossy(&told.stdout).contains("licence: as the source states; ask its authors"));

    // and it makes tiles of a map with as many classes, repeatably
    let at = |name: &str| dir.path().join(name);
    run(histoloom()
        .args(["cluster", "--k", "2", "--device", "cpu", "--roi"])
        .arg(region(dir.path()))
        .arg("--out")
        .arg(at("map"))
        .arg(sample()));
    let synth = |more: &[&str]| {
        let mut c = histoloom();
        c.args(["synth", "--device", "cpu", "-n", "1", "--steps", "5", "--keep-flagged", "--from"]).arg(at("map"));
        c.arg("--out").arg(at("tiles")).args(more);
        c.arg("--model").arg(&out);
        c
    };
    run(&mut synth(&["--preset", "paper"]));
    let tile = at("tiles/tile_0001.png");
    let said = refused(histoloom().arg("rerun").arg("--from").arg(at("map")).arg(&tile), 3);
    assert!(said.contains("imported model") && said.contains("--model"), "{said}");
    let same = json(&run(histoloom().args(["rerun", "--json", "--from"]).arg(at("map")).arg("--model").arg(&out).arg(&tile)));
    assert_eq!(same["same_file"], true, "{same}");
    assert!(refused(&mut synth(&[]), 2).contains("preset paper"));
    assert!(refused(&mut synth(&["--preset", "paper", "--guidance", "2"]), 2).contains("`guidance`"));
}

/// A vision transformer of the user's finds the classes; tiles are still conditioned on and judged by the default encoder's bank.
#[test]
fn an_encoder_of_the_users_finds_the_classes_and_tiles_are_made_of_its_map() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    small_vit(&at("mine.safetensors"));
    run(histoloom().args(["models", "import"]).arg(at("mine.safetensors")).arg("--out").arg(at("mine")));
    let listed = String::from_utf8_lossy(&run(histoloom().args(["models", "list"]).arg(at("mine"))).stdout).into_owned();
    assert!(listed.contains("he_denoiser") && listed.contains("mine ") && listed.contains("licence: as the source states"), "{listed}");
    assert!(refused(histoloom().args(["models", "list"]).arg(at("nowhere")), 3).contains("no imported model"));
    std::fs::create_dir(at("broken")).expect("a folder");
    std::fs::write(at("broken").join("manifest.json"), "{\"models\": [").expect("a file");
    let told = refused(histoloom().args(["models", "list"]).arg(at("broken")), 3);
    assert!(told.contains("manifest.json") && !told.contains("map.json"), "{told}");
    let cluster = |encoder: &str| {
        let mut c = histoloom();
        c.args(["cluster", "--json", "--k", "auto", "--device", "cpu", "--roi"]).arg(region(dir.path())).arg("--encoder").arg(at(encoder));
        c.arg("--out").arg(at("map")).arg(sample());
        c
    };
    assert!(refused(&mut cluster("nowhere"), 3).contains("no imported encoder"));
    let out = run(&mut cluster("mine"));
    assert!(String::from_utf8_lossy(&out.stderr).contains("encoder: mine (licence: as the source states"), "said loudly");
    let made = json(&out);
    assert_eq!((made["k"]["chosen_by"].as_str(), &made["k"]["value"]), (Some("readings"), &made["k"]["best"]), "{made}");
    assert!(made["k"]["why"].as_str().is_some_and(|w| w.contains("silhouette")), "{made}");
    let p = &made["provenance"];
    assert_eq!((p["encoder"]["id"].as_str(), p["encoder"]["stride_px"].as_u64()), (Some("mine"), Some(14)), "{p}");
    assert_eq!(
        (p["bank_encoder"]["id"].as_str(), p["bank_encoder"]["licence"].as_str()),
        (Some("efficientnet_lite0"), Some("Apache-2.0")),
        "{p}"
    );
    let written: Value = serde_json::from_slice(&std::fs::read(at("map/map.json")).expect("map.json")).expect("JSON");
    assert!(!written.to_string().contains(&dir.path().display().to_string()), "no folder is written");
    assert_eq!(written["bank"]["channels"], p["bank_encoder"]["channels"]);
    run(histoloom()
        .args(["synth", "--device", "cpu", "-n", "1", "--steps", "2", "--size", "128", "--keep-flagged", "--from"])
        .arg(at("map"))
        .arg("--out")
        .arg(at("tiles")));
    let flags: Value = serde_json::from_slice(&std::fs::read(at("tiles/tile_0001_flags.json")).expect("flags")).expect("JSON");
    assert!(flags["scores"]["s1_off_manifold"].as_array().is_some_and(|s| s.iter().any(Value::is_number)), "judged by the bank: {flags}");
    let said = refused(histoloom().args(["cluster", "--k", "many", "--out"]).arg(at("x")).arg(sample()), 2);
    assert!(said.contains("auto"), "{said}");
}

/// The distances themselves are figures, not promises; that they are made, ordered and written is tested.
#[test]
fn a_model_is_evaluated_against_the_real_tissue_of_a_slide() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    run(histoloom()
        .args(["cluster", "--k", "2", "--device", "cpu", "--roi"])
        .arg(region(dir.path()))
        .arg("--out")
        .arg(at("map"))
        .arg(sample()));
    std::fs::write(at("quick.toml"), "steps = 2\n").expect("written");
    let eval = |n: &str, out: &str| {
        let mut c = histoloom();
        c.args(["eval", "--device", "cpu", "--json", "-n", n, "--preset"]).arg(at("quick.toml"));
        c.arg(sample()).arg("--from").arg(at("map")).arg("--other").arg(at("map")).arg("--out").arg(at(out));
        c
    };
    assert!(refused(&mut eval("8", "eval"), 2).contains("from 10"), "before any tile is made");
    let found = json(&run(&mut eval("10", "eval")));
    let lines = found["report"]["lines"].as_array().expect("lines");
    assert_eq!((lines.len(), found["report"]["patches"].as_u64()), (6, Some(40)), "{found}");
    assert!(lines.iter().all(|l| l["frechet"].as_f64().is_some_and(f64::is_finite)), "{found}");
    assert!(at("eval/eval.png").is_file() && at("eval/eval.json").is_file());
    let alone = json(&run(eval("10", "alone").arg("--no-ablations")));
    assert_eq!(alone["report"]["lines"], serde_json::json!([lines[0]]), "the same tiles, none beside them");
}

#[test]
fn ops_are_listed_checked_tried_and_measured() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let listed = json(&run(histoloom().args(["ops", "list", "--json"])));
    let names: Vec<&str> = listed["ops"].as_array().into_iter().flatten().filter_map(|op| op["name"].as_str()).collect();
    assert_eq!(names, ["gamut", "macenko", "nuclei", "reinhard", "seams", "sharpness", "smooth", "watermark"]);
    let module = root().join("wasm-ops/ops/smooth/smooth.wasm");
    let checked = json(&run(histoloom().args(["ops", "check", "--json"]).arg(&module)));
    assert_eq!((&checked["ok"], &checked["name"], &checked["op_abi"]), (&true.into(), &"smooth".into(), &1.into()));
    assert!(refused(histoloom().args(["ops", "check"]).arg(root().join("README.md")), 3).contains("no WebAssembly module"));
    assert!(refused(histoloom().args(["ops", "check"]).arg(at("none.wasm")), 3).contains("cannot read the op"));

    image::RgbImage::from_fn(96, 64, |x, y| image::Rgb([200 - (x % 7) as u8 * 9, 120, 170 - (y % 5) as u8 * 9]))
        .save(at("tile.png"))
        .expect("a PNG");
    let stair = |x: u32, y: u32| if x / 16 > y / 16 { 2 } else { 1 };
    image::GrayImage::from_fn(96, 64, |x, y| image::Luma([stair(x, y)])).save(at("labels.png")).expect("a PNG");
    let ops_run = |op: &Path, rest: &[&str]| {
        let mut c = histoloom();
        c.args(["ops", "run", "--json"]).arg(op).arg("--tile").arg(at("tile.png")).arg("--labels").arg(at("labels.png")).args(rest);
        c
    };
    let out = at("out");
    let tried = json(&run(ops_run(&module, &["--params", r#"{"radius": 4}"#, "--out"]).arg(&out)));
    assert_eq!(
        (&tried["ops"][0]["params"]["radius"], &tried["synthetic"]),
        (&4.into(), &Value::Null),
        "a picture that does not say is not called synthetic"
    );
    let labels = image::open(out.join("labels.png")).expect("a PNG").into_luma8();
    let moved = labels.enumerate_pixels().filter(|(x, y, p)| p.0[0] != stair(*x, *y)).count();
    assert!(moved > 0 && tried["ops"][0]["changed_labels"] == moved);
    let said = refused(&mut ops_run(&module, &["--params", r#"{"radius": 99}"#]), 2);
    assert!(said.contains("`smooth.radius`") && said.contains("from 1 to 32"), "{said}");
    assert!(refused(&mut ops_run(Path::new("blur"), &[]), 2).contains("there is no op `blur`"));
    let measured = json(&run(histoloom().args(["ops", "bench", "--json", "-n", "2"])));
    assert!(
        measured["ops"].as_array().is_some_and(|ops| ops.len() == 8 && ops.iter().all(|op| op["median_ms"].as_f64() > Some(0.0))),
        "{measured}"
    );
}

/// The command passes on only what was given, so its help must state the library's defaults.
#[test]
fn help_states_the_defaults_of_the_library() {
    for (command, schema) in [("cluster", params::schema::<Cluster>()), ("synth", params::schema::<Synth>())] {
        let out = run(histoloom().args([command, "--help"]));
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let mut checked = 0;
        for (name, field) in [
            ("k", "k"),
            ("seed", "seed"),
            ("n", "n"),
            ("first", "first"),
            ("steps", "steps"),
            ("guidance", "guidance"),
            ("sampler", "sampler"),
            ("size", "size_px"),
            ("ops", "ops"),
            ("device", "device"),
        ] {
            let flag = if name.len() == 1 && name != "k" { format!("-{name} ") } else { format!("--{name} ") };
            let Some(entry) = text.split_once(&flag).map(|(_, rest)| rest) else { continue };
            let stated = entry.split_once("[default: ").and_then(|(_, d)| d.split_once(']')).map(|(d, _)| d);
            let default = &schema["properties"][field]["default"];
            let default = default.as_array().and_then(|a| a.first()).unwrap_or(default);
            assert_eq!(stated, Some(default.as_str().map_or_else(|| default.to_string(), str::to_owned)).as_deref(), "{command} {name}");
            checked += 1;
        }
        assert!(checked >= 3, "{text}");
    }
}
