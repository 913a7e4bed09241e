//! Viewers in Qt: the small one, played by its script under a virtual display and held against its pictures, and ASAP's plugin in a program
//! that plays ASAP. `./x test` installs what they need from Debian.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a test says what it expected, and what it measured")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use histoloom_tests::{library_dir, root, run, sample, tiled_tiff};

/// Where the programs are, built once.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = root().join("viewer-bridge/asap");
        let build = source.join("build");
        run(Command::new("cmake").arg("-DCMAKE_BUILD_TYPE=Debug").arg("-S").arg(source).arg("-B").arg(&build));
        run(Command::new("cmake").arg("--build").arg(&build).args(["--parallel", "2", "--target", "all", "widgets-test"]));
        build
    })
}

/// A program of theirs on a display of its own, the first free one from a number that each test has to itself, with no settings of a user.
fn displayed(first: &str, program: &str, dir: &Path) -> Command {
    let mut c = Command::new("xvfb-run");
    c.args(["-a", "-n", first, "-s", "-screen 0 1400x1000x24"]).arg(built().join(program));
    c.env("XDG_CONFIG_HOME", dir.join("config"))
        .env("HISTOLOOM_LIBRARY", library_dir().join("libhistoloom.so"))
        .env("HISTOLOOM_MODELS", root().join("models/weights"));
    c
}

/// What checks pictures, with numpy and Pillow.
fn check_pictures() -> Command {
    let mut c = Command::new(if Path::new("/usr/bin/python3").is_file() { "/usr/bin/python3" } else { "python3" });
    c.arg("-B").arg(root().join("viewer-bridge/asap/tests/check_pictures.py"));
    c
}

/// What was measured on the way, for `cargo test --test viewer -- --nocapture`.
fn figures(out: &Output) {
    eprint!("{}", String::from_utf8_lossy(&out.stdout));
}

/// The doctor's text, reads that fail and come back, and how long a step takes, without the library.
#[test]
fn the_widgets_keep_what_they_promise_each_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let slide = dir.path().join("slide.svs");
    std::fs::copy(sample(), &slide).expect("a copy");
    run(displayed("170", "widgets-test", dir.path()).arg(&slide));
}

/// Clicks on Cluster and Synthesise show every colour of the legend, an overlay on the tissue's edge at two zooms, and a gallery; an atlas is
/// applied to what is in view alone, a map is made of a region that the mouse drew; reports open; settings are kept; tiles are exported once.
#[test]
fn a_viewer_in_qt_draws_the_overlay_on_the_tissue() {
    let dir = tempfile::tempdir().expect("a folder");
    run(displayed("110", "histoloom-viewer", dir.path()).args(["--device", "cpu", "--script"]).arg(dir.path()).arg(sample()));
    figures(&run(check_pictures().arg(dir.path())));
}

/// No library, no models and no tissue are told apart.
#[test]
fn a_viewer_in_qt_says_what_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let glass = dir.path().join("glass.tif");
    tiled_tiff(&glass, 1024, 1024, |_, _| [245; 3]);
    let said = |option: &str, value: &str| {
        let mut c = displayed("130", "histoloom-viewer", dir.path());
        let out =
            c.args(["--device", "cpu", option, value, "--script"]).arg(dir.path().join("script")).arg(&glass).output().expect("it starts");
        assert!(!out.status.success(), "{option} {value}: {out:?}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    for (option, value, promised) in [
        ("--library", "/none/libhistoloom.so", "Histoloom library not found"),
        ("--models", "/none", "Models missing"),
        ("--threads", "1", "No tissue found"),
    ] {
        let text = said(option, value);
        assert!(text.contains(promised), "{promised}: {text}");
    }
}

/// Loaded, told of a slide, clicked and told of its end as by ASAP: menu, dock and overlay are there, the overlay lies on the tissue in the
/// colours of the legend, the map lies beside the slide; annotations in ASAP's XML become tiles in one go; a slide that is not in colour is
/// refused aloud; what runs ends with its slide.
#[test]
fn the_plugin_for_asap_reads_its_slide_and_leaves_the_map_beside_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let slide = dir.path().join("slide.svs");
    std::fs::copy(sample(), &slide).expect("a copy");
    run(displayed("150", "plugin/plugin-test", dir.path()).arg(built().join("plugin/libHistoloomPlugin.so")).arg(&slide).arg(dir.path()));
    let map = dir.path().join("slide_likelihood_map.tif");
    assert!(std::fs::read(&map).expect("the map").starts_with(b"II\x2b\0"), "a BigTIFF");
    figures(&run(check_pictures().arg(dir.path()).arg(&map)));
}
