//! `histoloom cluster` with a cache and over several slides: killed and resumed, cut anew, skipped, and going on past a bad slide.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use histoloom_tests::{histoloom, region, run, sample, tiled_tiff};
use serde_json::Value;

fn same(a: &Path, b: &Path) {
    for name in ["labels.png", "overlay.png", "bank.f32", "tissue.f32", "map.json", "map.geojson", "labels.ome.tif", "k_choice.csv"] {
        let read = |dir: &Path| std::fs::read(dir.join(name)).expect("a file of the map");
        assert!(read(a) == read(b), "{name} of {} and {}", a.display(), b.display());
    }
}

#[test]
fn a_killed_run_goes_on_from_its_cache_and_another_k_is_cut_from_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (at, roi) = (|name: &str| dir.path().join(name), region(dir.path()));
    let cluster = |k: &str, out: &str, more: &[&str]| {
        let mut c = histoloom();
        c.args(["cluster", "--device", "cpu", "--k", k, "--roi"]).arg(&roi).arg("--out").arg(at(out)).arg(sample()).args(more);
        c
    };
    run(&mut cluster("4", "whole", &[]));
    let cache = at("cache");
    let cached = ["--cache", cache.to_str().expect("UTF-8")];
    // killed as soon as there are rows in the cache, then at the end of a longer time
    let rows = || std::fs::read_dir(&cache).into_iter().flatten().flatten().filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum::<u64>();
    let mut child = cluster("4", "resumed", &cached).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    while rows() < 40_000 && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().expect("ended");
    let out = run(&mut cluster("4", "resumed", &cached));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("taken from the cache"), "{said}");
    same(&at("whole"), &at("resumed"));
    // a viewport, another k and other threads change nothing else
    run(&mut cluster("4", "viewport", &["--viewport", "600,1200,300,300", "--threads", "1"]));
    same(&at("whole"), &at("viewport"));
    run(&mut cluster("5", "five", &[]));
    run(&mut cluster("5", "cut", &cached));
    same(&at("five"), &at("cut"));
    // where a map is already there it stays
    let before = std::fs::metadata(at("cut/map.json")).and_then(|m| m.modified()).expect("a time");
    run(&mut cluster("5", "cut", &["--skip-done"]));
    assert_eq!(std::fs::metadata(at("cut/map.json")).and_then(|m| m.modified()).expect("a time"), before);
    run(&mut cluster("4", "cut", &["--skip-done", cached[0], cached[1]]));
    same(&at("whole"), &at("cut"));
}

#[test]
fn a_folder_of_slides_is_mapped_past_a_bad_one_and_done_ones_are_skipped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (slides, out) = (dir.path().join("slides"), dir.path().join("out"));
    std::fs::create_dir(&slides).expect("made");
    let tissue = |shift: u32| {
        move |x: u32, y: u32| {
            let spot = ((x / 7 * 31 + y / 5 * 17 + shift) % 60) as u8;
            if x < 60 {
                [243, 243, 242]
            } else if x < 400 {
                [230 - spot, 150 - spot, 190]
            } else {
                [130 - spot, 80 - spot, 150]
            }
        }
    };
    tiled_tiff(&slides.join("a.tif"), 700, 600, tissue(0));
    std::fs::write(slides.join("b.svs"), "no slide").expect("written");
    tiled_tiff(&slides.join("c.tif"), 700, 600, tissue(9));
    let batch = |k: &str| -> Command {
        let mut c = histoloom();
        c.args(["cluster", "--device", "cpu", "--mpp", "0.5", "--json", "--k", k, "--out"]).arg(&out).arg(&slides);
        c
    };
    let statuses = |c: &mut Command| -> Vec<String> {
        let done = c.output().expect("run");
        let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        assert_eq!((done.status.code(), said["ok"].as_bool()), (Some(1), Some(false)), "{said}");
        said["slides"].as_array().expect("slides").iter().map(|s| s["status"].as_str().expect("a status").to_owned()).collect()
    };
    assert_eq!(statuses(&mut batch("2")), ["made", "failed", "made"]);
    assert!(out.join("a/map.json").is_file() && out.join("c/map.json").is_file() && !out.join("b").exists());
    let csv = std::fs::read_to_string(out.join("summary.csv")).expect("a summary");
    assert!(csv.lines().count() == 4 && csv.contains("b.svs"), "{csv}");
    assert_eq!(statuses(&mut batch("2")), ["skipped", "failed", "skipped"]);
    assert_eq!(statuses(&mut batch("3")), ["made", "failed", "made"], "other parameters are another map");
    std::fs::remove_file(slides.join("b.svs")).expect("removed");
    let done = run(&mut batch("3"));
    let said: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!((said["ok"].as_bool(), said["slides"].as_array().map(Vec::len)), (Some(true), Some(2)));
}

/// Minutes: `./x deep`. What the program holds besides pixels and rows, weights and activations among it, is that of the small sample.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "minutes; part of ./x deep"]
fn a_pyramid_of_twenty_thousand_pixels_takes_little_more_memory_than_the_sample() {
    let dir = tempfile::tempdir().expect("a folder");
    let large = dir.path().join("large.tif");
    histoloom_tests::pyramid_tiff(&large, 20_480, |x, y| {
        let spot = ((x / 7 * 31 + y / 5 * 17) % 60) as u8;
        let (dx, dy) = (f64::from(x) - 10_240.0, f64::from(y) - 10_240.0);
        match (dx.hypot(dy) < 6300.0, (x / 2600 + y / 1900) % 2) {
            (false, _) => [243, 243, 242],
            (true, 0) => [230 - spot, 150 - spot, 190],
            (true, _) => [130 - spot, 80 - spot, 150],
        }
    });
    let peak_mb = |slide: &Path, name: &str| {
        let mut c = histoloom();
        c.args(["cluster", "--device", "cpu", "--mpp", "0.25", "--out"]).arg(dir.path().join(name)).arg(slide);
        let mut child = c.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        let mut peak_kb = 0u64;
        while child.try_wait().expect("a child").is_none() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
            peak_kb = peak_kb.max(line.trim().trim_end_matches(" kB").parse().unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(child.wait().expect("ended").success(), "{}", slide.display());
        peak_kb >> 10
    };
    let (small, large) = (peak_mb(&sample(), "small"), peak_mb(&large, "large"));
    assert!(large < small + 128, "{small} MB for the sample, {large} MB for 20 480 x 20 480 px");
}
