//! The C ABI as C hosts meet it: header, exports, and two programs of `viewer-bridge/c` built and run against the library.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expected")]

use std::path::{Path, PathBuf};
use std::process::Command;

use histoloom::types::HL_ABI_VERSION;
use histoloom_tests::{library_dir, root, run};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// Builds a host of `viewer-bridge/c` or `cpp` into a folder.
fn build(source: &str, dir: &Path, target: &str, flags: &str) -> PathBuf {
    let (lib, out) = (format!("LIB={}", library_dir().display()), format!("OUT={}", dir.display()));
    let binary = dir.join(target);
    let make = ["-s".into(), lib, out, flags.into(), binary.display().to_string()];
    run(Command::new("make").current_dir(root().join("viewer-bridge").join(source)).args(make));
    binary
}

#[test]
fn the_header_and_the_layouts_compile_alone_as_c99_c11_and_cpp17() {
    let include = format!("-I{}", root().join("plugin-abi/include").display());
    for (compiler, language, standard) in [("cc", "c", "-std=c99"), ("cc", "c", "-std=c11"), ("c++", "c++", "-std=c++17")] {
        for source in [root().join("plugin-abi/include/histoloom.h"), root().join("viewer-bridge/c/layout.c")] {
            let mut c = Command::new(compiler);
            run(c.args(["-x", language, standard, &include, "-fsyntax-only"]).args(STRICT).arg(source));
        }
    }
    let wrapper = root().join("plugin-abi/include/histoloom.hpp");
    run(Command::new("c++").args(["-x", "c++", "-std=c++17", &include, "-fsyntax-only"]).args(STRICT).arg(wrapper));
}

/// What the library exports must be what the list says: a function is added on purpose or not at all.
#[test]
fn nothing_but_the_listed_functions_is_exported() {
    let out = run(Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library_dir().join("libhistoloom.so")));
    let text = String::from_utf8(out.stdout).expect("names");
    let mut found: Vec<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
    found.sort_unstable();
    let new = found.join("\n") + "\n";
    let path = root().join("plugin-abi/include/exports.txt");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, &new).expect("writable");
    }
    assert_eq!(new, std::fs::read_to_string(&path).expect("exports.txt"), "run with UPDATE_GOLDENS=1 and read the diff");
    let foreign: Vec<_> = found.iter().filter(|n| !n.starts_with("hl_")).collect();
    assert!(foreign.is_empty(), "exports without the prefix: {foreign:?}");
    let header = std::fs::read_to_string(root().join("plugin-abi/include/histoloom.h")).expect("the header");
    for name in found.iter().filter(|n| !n.starts_with("hl_selftest")) {
        assert!(header.contains(&format!(" {name}(")) || header.contains(&format!("*{name}(")), "{name} is not in the header");
    }
}

/// Threads and thread-local destructors outlive dlclose, so the code must stay.
#[test]
fn the_library_stays_mapped_and_loads_without_openslide() {
    let library = library_dir().join("libhistoloom.so");
    let out = run(Command::new("readelf").arg("-d").arg(&library));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("NODELETE"), "{text}");
    assert!(!text.contains("openslide") && !text.contains("libvulkan"), "a hard need of a system library:\n{text}");
}

#[test]
fn a_host_that_breaks_every_rule_gets_codes_and_lives() {
    let dir = tempfile::tempdir().expect("a folder");
    let host = build("c", dir.path(), "contract", "CFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined");
    // Leaks of the library's statics are not the host's; everything else the sanitizer sees is.
    let out = run(Command::new(host).env("ASAN_OPTIONS", "detect_leaks=0").env("RUST_BACKTRACE", "0"));
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(said.ends_with("every promise held\n"), "{said}");
    assert!(errors.is_empty(), "the library wrote to stderr:\n{errors}");
}

#[test]
fn a_c_host_runs_cluster_and_synth_on_a_real_slide() {
    let dir = tempfile::tempdir().expect("a folder");
    let host = build("c", dir.path(), "cluster_and_synth", "CFLAGS=-O2 -g");
    let out = dir.path().join("out");
    let said = run(Command::new(&host)
        .args([root().join("models/weights"), histoloom_tests::sample(), out.clone()])
        .arg(r#""k": 4, "roi": [[[600, 900], [1500, 900], [1500, 1800], [600, 1800]]]"#)
        .arg(r#""n": 2, "steps": 3, "size_px": 128, "seed": 5, "keep_flagged": true"#));
    let lines: Vec<serde_json::Value> =
        String::from_utf8_lossy(&said.stdout).lines().map(|l| serde_json::from_str(l).expect("a summary a line")).collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert_eq!(lines[0]["map"]["classes"].as_array().map(Vec::len), Some(4));
    assert_eq!(lines[1]["kept"], 2);
    for summary in &lines {
        let device = summary["device"]["name"].as_str().is_some_and(|n| !n.is_empty());
        assert!(device || summary["kind"] == "edit", "the device is said loudly: {summary}");
        for file in summary["files"].as_array().expect("files") {
            assert!(Path::new(file.as_str().expect("a path")).is_file(), "{file}");
        }
    }
    let [merged, of_merged, parted] = [&lines[3], &lines[4], &lines[5]];
    assert_eq!(merged["map"]["classes"].as_array().map(Vec::len), Some(3), "{merged}");
    assert_eq!((&merged["map"]["classes"][0]["name"], &merged["history"][0]), (&"Both".into(), &serde_json::json!({"merge": [1, 2]})));
    assert_eq!(of_merged["map"], merged["map"], "tiles are made of the map as it was edited");
    assert_eq!((&parted["map"], parted["history"].as_array().map(Vec::len)), (&lines[0]["map"], Some(0)), "undone");
    for name in ["map.json", "labels.png", "overlay.png", "bank.f32", "tissue.f32"] {
        let of = |dir: &str| std::fs::read(out.join(dir).join(name)).expect("a file of a map");
        assert!(of("map") == of("parted") && (matches!(name, "bank.f32" | "tissue.f32") || of("map") != of("merged")), "{name}");
    }
    let progress = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(progress.contains("items/s") && progress.contains("ETA"), "{progress}");
    // An op and a GPU were in use, and the host found its signals as they had been.
    let doctor = progress.lines().find_map(|l| l.strip_prefix("doctor: ")).expect("what the doctor says");
    let doctor: serde_json::Value = serde_json::from_str(doctor).expect("JSON");
    let gpu = ["software", "gpu"].iter().any(|kind| doctor["device"]["kind"] == *kind);
    assert!(gpu || std::env::var_os("HISTOLOOM_WITHOUT_GPU").is_some(), "no GPU was in use: {doctor}");
    for name in
        ["map/overlay.png", "map/labels.png", "map/map.geojson", "tiles/tile_0001.png", "tiles/contact_sheet.png", "edited/manifest.json"]
    {
        assert!(out.join(name).is_file(), "{name} is missing");
    }
    let edited = ["edited/tile_0001.png", "edited/flagged/tile_0001.png"].map(|name| out.join(name).is_file());
    assert_ne!(edited[0], edited[1], "a tile lies in one of the two folders");
    let tile = image::open(out.join("tiles/tile_0001.png")).expect("a PNG").into_rgb8();
    assert_eq!(tile.dimensions(), (128, 128));
}

/// One read at a time, no resolution told, the map drawn tile by tile: the wrapper for C++ in a small viewer.
#[test]
fn a_viewer_in_cpp_draws_the_map_by_regions_and_gets_a_tile() {
    let dir = tempfile::tempdir().expect("a folder");
    let viewer = build("cpp", dir.path(), "small_viewer", "CXXFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined");
    let mut c = Command::new(&viewer);
    let said =
        run(c.args([root().join("models/weights"), histoloom_tests::sample(), dir.path().into()]).env("ASAN_OPTIONS", "detect_leaks=0"));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 6 && lines[0].starts_with("label,name,color") && lines[4].starts_with("4,"), "{text}");
    let tile: serde_json::Value = serde_json::from_str(lines[5]).expect("the tile's JSON");
    assert_eq!((&tile["synthetic"], &tile["width_px"]), (&true.into(), &128.into()));
    let drawn = std::fs::read(dir.path().join("overlay.ppm")).expect("a picture");
    let header = b"\n555 741\n255\n";
    let at = drawn.windows(header.len()).position(|w| w == header).expect("of a quarter of the slide's size") + header.len();
    assert_eq!(drawn.len() - at, 3 * 555 * 741);
}

/// The manual names every function, and its host is built as it stands and finds classes in a picture.
#[test]
fn the_manual_is_whole_and_its_host_works() {
    let manual = std::fs::read_to_string(root().join("plugin-abi/docs/ABI.md")).expect("the manual");
    let exports = std::fs::read_to_string(root().join("plugin-abi/include/exports.txt")).expect("exports.txt");
    for name in exports.lines().filter(|n| !n.starts_with("hl_selftest")) {
        assert!(manual.contains(&format!("`{name}`")), "{name} is not in ABI.md");
    }
    let header = std::fs::read_to_string(root().join("plugin-abi/include/histoloom.h")).expect("the header");
    let named = manual.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|w| w.starts_with("hl_") && w.len() > 3);
    named.for_each(|w| assert!(header.contains(w) || w.ends_with("_tile_"), "ABI.md names {w}, which the header does not have"));

    let dir = tempfile::tempdir().expect("a folder");
    let host = manual.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a host");
    std::fs::write(dir.path().join("host.c"), host).expect("written");
    // glass, a tissue with nuclei and one of stripes
    let mut picture = b"P6\n448 320\n255\n".to_vec();
    for (x, y) in (0..320u32).flat_map(|y| (0..448u32).map(move |x| (x, y))) {
        let nucleus = (x + 7 * (y / 16)) % 11 < 7 && (y + 7 * (x / 16)) % 12 < 7;
        picture.extend(match x {
            0..64 => [243, 242, 243],
            64..256 if nucleus => [88, 48, 140],
            64..256 => [196, 150, 205],
            _ => [235, 165 + ((x / 9 + y / 40) % 5 * 9) as u8, 200 + ((x * 3 + y) % 7) as u8],
        });
    }
    std::fs::write(dir.path().join("tissue.ppm"), picture).expect("written");
    let binary = dir.path().join("host");
    let lib = library_dir();
    let mut c = Command::new("cc");
    c.args(["-std=c99", "-O1", &format!("-I{}", root().join("plugin-abi/include").display())]).args(STRICT);
    c.arg(dir.path().join("host.c")).arg("-o").arg(&binary);
    run(c.args([format!("-L{}", lib.display()), "-lhistoloom".into(), format!("-Wl,-rpath,{}", lib.display())]));
    let said = run(Command::new(&binary).args([root().join("models/weights"), dir.path().join("tissue.ppm")]));
    let summary: serde_json::Value = serde_json::from_slice(&said.stdout).expect("a summary");
    assert_eq!(summary["map"]["classes"].as_array().map(Vec::len), Some(3), "{summary}");
}

/// Folders of the headers that hosts were built with.
fn released() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("plugin-abi/abi")).expect("a folder");
    folder.map(|e| e.expect("an entry").path()).filter(|p| p.is_dir()).collect()
}

/// Hosts built with a released header work with this library, which the comparison of the headers and of what is exported confirms.
#[test]
fn hosts_built_with_a_released_header_work_with_this_library() {
    let new = root().join("plugin-abi/include/histoloom.h");
    assert!(!released().is_empty());
    for old in released() {
        let mut diff = Command::new(root().join("plugin-abi/abi/abi-diff"));
        run(diff.args([&old.join("histoloom.h"), &new, &old.join("exports.txt"), &library_dir().join("libhistoloom.so")]));
        let dir = tempfile::tempdir().expect("a folder");
        let host = build("c", dir.path(), "contract", &format!("ABI=-I{}", old.display()));
        let said = run(&mut Command::new(host)).stdout;
        assert!(String::from_utf8_lossy(&said).ends_with("every promise held\n"), "{}", old.display());
    }
}

/// What the comparison must find, and what it must let through: each a change of the header and the words that tell it.
#[test]
fn a_change_that_breaks_old_hosts_is_found() {
    let header = std::fs::read_to_string(root().join("plugin-abi/include/histoloom.h")).expect("the header");
    let version = |v: u32| format!("#define HL_ABI_VERSION {v}");
    let (now, newer, foreign) = (version(HL_ABI_VERSION), version(HL_ABI_VERSION + 1), version(HL_ABI_VERSION + (1 << 16)));
    let minor = (now.as_str(), newer.as_str());
    let cases: [(&[(&str, &str)], &str); 15] = [
        (&[], ""),
        (&[("int32_t hl_job_cancel(hl_job job);", "")], "hl_job_cancel"),
        (&[("hl_job_wait(hl_job job, uint32_t timeout_ms)", "hl_job_wait(hl_job job, uint64_t timeout_ms)")], "gone or changed"),
        (&[("  double items_per_s;", "  float items_per_s;"), minor], "gone or changed"),
        (&[("typedef struct hl_progress {", "typedef struct hl_progress {\n  uint64_t first;"), minor], "gone or changed"),
        (&[("} hl_host;", "} __attribute__((aligned(64))) hl_host;"), minor], "gone or changed: typedef struct hl_host"),
        (&[("} hl_progress;", "} hl_progress[2];"), minor], "gone or changed: typedef struct hl_progress"),
        (
            &[("typedef struct hl_region {", "#pragma pack(push, 1)\ntypedef struct hl_region {"), minor],
            "gone or changed: typedef struct hl_region",
        ),
        (&[("  char stage[40];", "  char stage[48];"), minor], "gone or changed: typedef struct hl_progress"),
        (&[("int64_t (*hl_read_region_fn)", "int32_t (*hl_read_region_fn)"), minor], "gone or changed: typedef int64_t"),
        (&[("#define HL_E_STATE -9", "#define HL_E_STATE -90")], "HL_E_STATE -9"),
        (&[(&now, &foreign)], "the major version"),
        (
            &[("uint32_t hl_abi_version(void);", "uint32_t hl_abi_version(void);\nint32_t hl_new(void);")],
            "same minor version: int32_t hl_new",
        ),
        (&[("  char stage[40];", "  char stage[40];\n  uint64_t more;")], "same minor version: typedef struct hl_progress"),
        (
            &[
                ("  char stage[40];", "  char stage[40];\n  uint64_t more;"),
                minor,
                ("#define HL_OK 0", "#define HL_OK 0\n#define HL_NEW 1"),
            ],
            "",
        ),
    ];
    let dir = tempfile::tempdir().expect("a folder");
    let (old, new) = (dir.path().join("old.h"), dir.path().join("new.h"));
    std::fs::write(&old, &header).expect("writable");
    for (changes, words) in cases {
        let changed = changes.iter().fold(header.clone(), |h, (from, to)| {
            assert!(h.contains(from), "{from}");
            h.replace(from, to)
        });
        std::fs::write(&new, changed).expect("writable");
        let out = Command::new(root().join("plugin-abi/abi/abi-diff")).args([&old, &new]).output().expect("a script");
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(i32::from(!words.is_empty())), "{changes:?}\n{said}");
        assert!(said.contains(words), "{changes:?}: not said: {words}\n{said}");
    }
}
