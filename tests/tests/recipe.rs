//! The recipe for many slides as people run it: its steps by hand in two split orders, and as Slurm arrays on a stand-in for `sbatch`.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use histoloom_tests::{histoloom, library_dir, root, run, tiled_tiff};
use serde_json::Value;

/// A slide of two tissues: dense purple dots, pink stripes; `share` of its width is the first.
fn slide(path: &Path, share: u32) {
    tiled_tiff(path, 640, 448, |x, y| match (x, y) {
        _ if !(48..592).contains(&x) || !(48..400).contains(&y) => [243, 242, 243],
        _ if x < 48 + 544 * share / 10 => {
            let near = |v: u32, period: u32| (v + 7 * (x / 16 + y / 16)) % period < 7;
            if near(x, 11) && near(y, 12) { [88, 48, 140] } else { [196, 150, 205] }
        }
        _ => [235, 165 + ((x / 9 + y / 40) % 5 * 9) as u8, 200 + ((x * 3 + y) % 7) as u8],
    });
}

fn slides(dir: &Path) -> Vec<PathBuf> {
    let named = |(i, share): (usize, u32)| {
        let path = dir.join(format!("slide {i}.tif"));
        slide(&path, share);
        path
    };
    [3, 5, 7].into_iter().enumerate().map(named).collect()
}

fn json(out: &Output) -> Value {
    serde_json::from_slice(&out.stdout).expect("one JSON object on standard output")
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| unreachable!("{}: {e}", path.display()))
}

#[test]
fn any_split_of_the_work_gives_the_same_atlas_and_labels_are_shared() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let slides = slides(dir.path());
    let place = ["--mpp", "0.5", "--device", "cpu"];
    for (i, slide) in slides.iter().enumerate() {
        run(histoloom().args(["atlas", "sample"]).args(place).arg(slide).arg("--out").arg(at(&format!("samples/{i}.sample"))));
    }
    let sample = |i: usize| at(&format!("samples/{i}.sample"));
    let fit = |samples: &[PathBuf], out: &str| {
        run(histoloom().args(["atlas", "fit", "--k", "2", "--licence", "CC0"]).args(samples).arg("--out").arg(at(out)));
        bytes(&at(out))
    };
    let all = fit(&[sample(0), sample(1), sample(2)], "all.json");
    run(histoloom().args(["atlas", "merge"]).args([sample(2), sample(0)]).arg("--out").arg(at("part.sample")));
    assert_eq!(fit(&[sample(1), at("part.sample")], "parts.json"), all, "other parts in another order");
    assert_eq!(fit(&[at("samples")], "folder.json"), all, "a folder of samples");

    let named = json(&run(histoloom().args(["--json", "atlas", "name", "--set", "1=Dots", "--color", "2=#102030"]).arg(at("all.json"))));
    assert_eq!(named["atlas"]["classes"][0]["name"], "Dots", "{named}");
    let shown = run(histoloom().args(["atlas", "show", "--k", "2"]).arg(at("all.json")));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("3 slide(s)") && shown.contains("Dots") && shown.contains("CC0"), "{shown}");
    let label = |slide: &Path, i: usize| {
        let map = at(&format!("map{i}"));
        let atlas = at("all.json");
        let said = json(&run(histoloom()
            .args(["--json", "cluster", "--k", "0"])
            .args(place)
            .arg("--atlas")
            .arg(atlas)
            .arg(slide)
            .arg("--out")
            .arg(&map)));
        assert!(map.join("unknown.png").is_file() && said["map"]["unknown_share"].is_number(), "{said}");
        let labels = image::open(map.join("labels.png")).expect("a PNG").into_luma8();
        let place = |x: u32| labels.get_pixel(x / 16, 14).0[0];
        (place(120), place(520))
    };
    let found: Vec<(u8, u8)> = slides.iter().enumerate().map(|(i, s)| label(s, i)).collect();
    assert!(found.iter().all(|f| *f == found[0]) && found[0].0 != found[0].1, "labels mean the same on every slide: {found:?}");
    let said = run(histoloom().args(["inspect"]).arg(at("map0")));
    assert!(!String::from_utf8_lossy(&said.stdout).contains("all.json"), "a map holds no path of the atlas");
}

#[test]
fn what_is_no_atlas_is_refused_with_what_to_try() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("text.sample"), "no sample").expect("writable");
    std::fs::write(at("text.json"), "{}").expect("writable");
    slide(&at("slide.tif"), 5);
    for (arguments, needle) in [
        (&["atlas", "fit", "text.sample", "--out", "a.json"][..], "it is no sample"),
        (&["atlas", "fit", "nowhere", "--out", "a.json"][..], "nowhere"),
        (&["atlas", "fit", ".", "--k", "1", "--out", "a.json"][..], "use 2 or more"),
        (&["atlas", "name", "text.json", "--set", "1=x"][..], "its format"),
        (&["atlas", "name", "text.json", "--set", "1"][..], "LABEL=TEXT"),
        (&["atlas", "name", "text.json"][..], "nothing is to be changed"),
        (&["cluster", "slide.tif", "--mpp", "0.5", "--atlas", "text.json", "--out", "map"][..], "atlas fit"),
        (&["cluster", "slide.tif", "--mpp", "0.5", "--atlas", "nowhere.json", "--out", "map"][..], "nowhere.json"),
    ] {
        let out = histoloom().current_dir(dir.path()).args(arguments).output().expect("the command runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(needle), "{arguments:?}: {said}");
        assert!(!at("a.json").exists() && !at("map/map.json").exists(), "{arguments:?}");
    }
}

/// Runs an array's tasks one after the other, the last first, and answers with a job id.
const SBATCH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
last= own=()
while [[ "${1:-}" == --* ]]; do
  case "$1" in --array=*) last=${1#--array=1-}; last=${last%\%*} ;; esac
  shift
done
if [ -n "$last" ]; then
  for ((i = last; i > 0; i--)); do SLURM_ARRAY_TASK_ID=$i bash "$@" >&2 || true; done
else
  bash "$@" >&2
fi
echo "42;cluster"
"#;

#[test]
fn slurm_arrays_make_every_map_once_and_go_on_where_they_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let slides = slides(dir.path());
    let list: String = slides.iter().map(|s| format!("{}\n", s.display())).collect();
    std::fs::write(at("slides.txt"), list).expect("writable");
    std::fs::create_dir(at("bin")).expect("a folder");
    std::fs::write(at("bin/sbatch"), SBATCH).expect("writable");
    run(Command::new("chmod").arg("+x").arg(at("bin/sbatch")));
    let submit = |k: &str| {
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
        let command = histoloom();
        run(Command::new("bash")
            .arg(root().join("recipes/slurm.sh"))
            .arg("submit")
            .arg(at("slides.txt"))
            .arg(at("out"))
            .env("PATH", path)
            .env("HISTOLOOM", command.get_program())
            .env("HISTOLOOM_LIBRARY", library_dir().join("libhistoloom.so"))
            .env("MPP", "0.5")
            .env("K", k))
    };
    submit("2");
    let maps = || -> Vec<PathBuf> { std::fs::read_dir(at("out/maps")).expect("maps").map(|f| f.expect("an entry").path()).collect() };
    let named = |i: usize| maps().into_iter().find(|dir| dir.to_string_lossy().ends_with(&format!("-slide {i}.tif")));
    let map = |i: usize| named(i).map(|dir| dir.join("map.json")).expect("a map");
    let when = |path: &Path| path.metadata().and_then(|m| m.modified()).unwrap_or_else(|e| unreachable!("{}: {e}", path.display()));
    let first: Vec<_> = (0..3).map(|i| when(&map(i))).collect();
    let atlas = bytes(&at("out/atlas.json"));
    let kept = || {
        let folder = std::fs::read_dir(at("out/cache")).expect("the cache");
        folder.map(|f| f.and_then(|f| f.metadata()).map_or(0, |m| m.len())).collect::<Vec<u64>>()
    };
    let before = kept();
    assert_eq!(before.len(), 3, "a slide's embeddings are in one file");
    std::fs::remove_file(map(1)).expect("removed");
    let reversed: String = slides.iter().rev().map(|s| format!("{}\n", s.display())).collect();
    std::fs::write(at("slides.txt"), reversed).expect("writable");
    submit("2");
    assert_eq!(maps().len(), 3, "a slide keeps its name wherever it stands in the list");
    assert_eq!((when(&map(0)), when(&map(2))), (first[0], first[2]), "what is there is not made again");
    assert!(map(1).is_file() && bytes(&at("out/atlas.json")) == atlas, "what is missing is");
    assert_eq!(kept(), before, "and nothing is embedded again");
    // samples anew, one after the other by hand: the same atlas
    std::fs::remove_file(at("out/atlas.json")).expect("removed");
    submit("3");
    assert_eq!(bytes(&at("out/atlas.json")), atlas);
    let k = |i: usize| serde_json::from_slice::<Value>(&bytes(&map(i))).expect("JSON")["provenance"]["k"].clone();
    assert!((0..3).all(|i| k(i) == 3), "maps of another number of classes are made again");
}

/// Fails when the default encoder changes: then `models/reference/atlas.py` fits the atlas anew.
#[test]
fn the_shipped_atlas_is_that_of_the_shipped_encoder_and_names_tissue() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = root().join("models/weights/he_atlas.json");
    let manifest: Value = serde_json::from_slice(&bytes(&root().join("models/weights/manifest.json"))).expect("JSON");
    let listed = manifest["models"].as_array().and_then(|m| m.iter().find(|m| m["id"] == "he_atlas")).expect("listed");
    assert_eq!(listed["sha256"], histoloom_core::export::sha256(&bytes(&file)), "the manifest vouches for it");
    let sample = histoloom_tests::sample();
    let roi = dir.path().join("roi.json");
    std::fs::write(&roi, r#"{"type": "Polygon", "coordinates": [[[600, 900], [1500, 900], [1500, 1800], [600, 1800], [600, 900]]]}"#)
        .expect("writable");
    let mut cluster = histoloom();
    cluster.args(["--json", "cluster", "--k", "0", "--atlas", "he", "--device", "cpu", "--roi"]).arg(&roi).arg(&sample);
    let said = json(&run(cluster.arg("--out").arg(dir.path().join("map"))));
    assert!(said["map"]["unknown_share"].as_f64().is_some_and(|share| share < 0.1), "it was fitted on this slide: {said}");
    let shown = json(&run(histoloom().args(["--json", "atlas", "show"]).arg(&file)));
    let names: Vec<&str> = shown["atlas"]["classes"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
    assert!(["Tumour", "Lymphocytes", "Necrosis"].iter().all(|n| names.contains(n)), "{names:?}");
}
