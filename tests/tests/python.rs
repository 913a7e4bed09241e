//! The Python package as users install it: by pip from the archive, after which nothing but the installed folder is there; its functions, and
//! its widget in napari. `./x test` installs what they need.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "a test says what it expected, and what it measured")]

use std::path::{Path, PathBuf};
use std::process::Command;

use histoloom_tests::{library_dir, root, run, sample};

/// The Python that Debian's packages are for.
fn python() -> &'static str {
    if Path::new("/usr/bin/python3").is_file() { "/usr/bin/python3" } else { "python3" }
}

/// Packs what was built for the tests, installs the package from there without a network, and takes the archive away again.
fn installed(dir: &Path) -> PathBuf {
    let (archive, site) = (dir.join("archive"), dir.join("site"));
    let from = library_dir();
    let built = if from.join("histoloom").is_file() { from } else { from.join("..") };
    run(Command::new(root().join("x")).arg("pack").arg(&archive).arg(&built));
    let mut pip = Command::new(python());
    pip.args(["-m", "pip", "install", "-q", "--no-build-isolation", "--no-index", "--no-deps", "--target"]).arg(&site);
    run(pip.arg(archive.join("share/histoloom/python")).current_dir(dir));
    for made in ["build", "histoloom.egg-info"] {
        assert!(!archive.join("share/histoloom/python").join(made).exists(), "the archive stays as it is");
    }
    std::fs::remove_dir_all(&archive).expect("removed");
    for part in ["libhistoloom.so", "models/manifest.json", "licences/THIRD-PARTY.txt", "napari.yaml", "py.typed"] {
        assert!(site.join("histoloom").join(part).is_file(), "{part}");
    }
    site
}

/// A script of the package's tests, in a folder where no source lies, with packages from `paths` alone.
fn script(dir: &Path, program: &[&str], name: &str, paths: &[&Path]) -> Command {
    let mut c = Command::new(program.first().expect("a program"));
    c.args(program.iter().skip(1)).arg(root().join("viewer-bridge/python/tests").join(name)).arg(sample()).current_dir(dir);
    c.env("PYTHONPATH", std::env::join_paths(paths).expect("no colons")).env("PYTHONDONTWRITEBYTECODE", "1");
    c.env_remove("HISTOLOOM_LIBRARY").env_remove("HISTOLOOM_MODELS").env_remove("HISTOLOOM_DEVICE");
    c
}

/// One test, so that the archive is packed and installed once. napari is left out only where `./x test` could not install it.
#[test]
fn what_pip_installs_from_the_archive_works_without_it_alone_and_in_napari() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = installed(dir.path());
    let version = run(Command::new(python())
        .args(["-c", "from importlib.metadata import version; print(version('histoloom'))"])
        .env("PYTHONPATH", &site));
    assert_eq!(
        String::from_utf8_lossy(&version.stdout).trim(),
        env!("CARGO_PKG_VERSION"),
        "pyproject.toml tells the version of the workspace"
    );
    run(&mut script(dir.path(), &[python()], "test_api.py", &[&site]));

    let napari = root().join("target/napari");
    if !napari.is_dir() {
        eprintln!("NAPARI IS NOT INSTALLED (target/napari): its widget is not tested");
        return;
    }
    let mut c = script(dir.path(), &["xvfb-run", "-a", python()], "test_napari.py", &[&site, &napari]);
    let said = run(c.arg(dir.path()).env("QT_QPA_PLATFORM", "xcb").env("LIBGL_ALWAYS_SOFTWARE", "1").env("HOME", dir.path()));
    eprint!("{}", String::from_utf8_lossy(&said.stdout)); // how long the window waited, for `cargo test --test python -- --nocapture`
    let picture = image::open(dir.path().join("window.png")).expect("a picture of the window").into_rgb8();
    for color in [[230_u8, 159, 0], [86, 180, 233], [0, 158, 115]] {
        assert!(picture.pixels().any(|p| p.0 == color), "the legend shows {color:?}");
    }
}
