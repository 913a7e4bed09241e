//! The pages that runs leave to look at: whole, without a network, in a browser. `./x test` installs Chromium from Debian.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use histoloom_tests::{histoloom, run, sample};

/// What a browser without a network shows of a page.
fn screenshot(page: &Path, dir: &Path) -> image::RgbImage {
    let picture = dir.join("screenshot.png");
    let mut c = Command::new("chromium");
    c.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        "--window-size=1240,3000",
    ]);
    c.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--no-first-run", "--disable-dev-shm-usage"]);
    c.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    c.arg(format!("--screenshot={}", picture.display())).arg(format!("file://{}", page.display()));
    run(&mut c);
    image::open(&picture).expect("a screenshot").into_rgb8()
}

/// How often each colour stands in a picture.
fn colors(picture: &image::RgbImage) -> BTreeMap<[u8; 3], usize> {
    let mut out = BTreeMap::new();
    picture.pixels().for_each(|p| *out.entry(p.0).or_default() += 1);
    out
}

/// No address but those of pictures inside.
fn stands_alone(page: &str) {
    let sources: BTreeSet<&str> = page.match_indices("src=\"").filter_map(|(at, _)| page.get(at + 5..at + 16)).collect();
    assert_eq!(sources, BTreeSet::from(["data:image/"]));
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "nothing is fetched or run");
}

#[test]
fn pages_of_a_map_and_of_tiles_open_alone_and_show_their_classes() {
    let dir = tempfile::tempdir().expect("a folder");
    let (map, tiles) = (dir.path().join("map"), dir.path().join("tiles"));
    run(histoloom().args(["cluster", "--device", "cpu", "--k", "4", "--out"]).arg(&map).arg(sample()));
    run(histoloom()
        .args(["synth", "--device", "cpu", "-n", "1", "--size", "128", "--steps", "2", "--out"])
        .arg(&tiles)
        .arg("--from")
        .arg(&map));
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(map.join("map.json")).expect("map.json")).expect("JSON");
    let legend = || told["classes"].as_array().expect("classes").iter();
    for folder in [&map, &tiles] {
        let page = folder.join("report.html");
        let text = std::fs::read_to_string(&page).expect("a page");
        stands_alone(&text);
        assert!(legend().all(|c| text.contains(c["name"].as_str().expect("a name"))), "every class is named");
        let shown = colors(&screenshot(&page, dir.path()));
        for class in legend() {
            let color: [u8; 3] = serde_json::from_value(class["color"].clone()).expect("a colour");
            assert!(shown.get(&color).is_some_and(|n| *n > 150), "{class} in {}", page.display());
        }
        assert!(shown.len() > 2000, "{} colours: pictures of tissue have thousands", shown.len());
        std::fs::remove_dir_all(dir.path().join("profile")).expect("removed");
    }
    let seed = std::fs::read_to_string(tiles.join("report.html")).expect("a page");
    assert!(seed.contains("seed 1") && seed.contains("SYNTHETIC") && seed.contains("never verified"));
    let sheet = colors(&image::open(map.join("report.png")).expect("a sheet").into_rgb8());
    assert!(legend().all(|c| sheet.contains_key(&serde_json::from_value::<[u8; 3]>(c["color"].clone()).expect("a colour"))));
}
