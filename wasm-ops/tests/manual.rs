//! OPS.md, followed line by line: the files of "Write your first op in ten minutes" are written as they stand there, its commands run where
//! their tools are. The text format always goes, for it needs no tool but ours.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]

#[path = "common/mod.rs"]
mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Tile;
use histoloom_core::ops::OpOutput;
use histoloom_wasm_ops::{SandboxedOp, registry};

const MANUAL: &str = include_str!("../OPS.md");

/// Language and text of each fenced block of the section.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let section = MANUAL.split("## Write your first op in ten minutes").nth(1).unwrap().split("\n## ").next().unwrap();
    let fenced = section.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

fn not_checked(what: &str) {
    // past the capture of the test harness: this is to be seen
    std::io::stderr().write_all(format!("NOT CHECKED: {what}\n").as_bytes()).unwrap();
}

/// A folder as the section wants it.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    for part in ["", "src"] {
        std::fs::create_dir_all(dir.path().join("guest").join(part)).unwrap();
        for entry in std::fs::read_dir(guest.join(part)).unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            std::fs::copy(entry.path(), dir.path().join("guest").join(part).join(entry.file_name())).unwrap();
        }
    }
    Tile::plain(96, 64, [240, 235, 238]).rgb.save(dir.path().join("tile.png")).unwrap();
    dir
}

/// What the op says of a bright tile and of a dark one.
fn tried(wasm: &Path) -> [OpOutput; 2] {
    let op = SandboxedOp::load("bright.wasm", &std::fs::read(wasm).unwrap()).unwrap();
    [Tile::plain(96, 64, [240, 235, 238]), Tile::plain(33, 20, [200, 90, 180])].map(|tile| tile.run(&op, "").unwrap())
}

/// Whether a command's program, and what it needs besides, is there.
fn there(command: &str) -> bool {
    let answers = |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success());
    let tool = command.split(' ').next().unwrap();
    let target = Path::new("/usr/lib/rustlib/wasm32-unknown-unknown").is_dir();
    answers(tool) && answers("wasm-ld-16") && (tool != "/usr/bin/rustc" || target)
}

/// The command and the library of this build, where they were built.
fn histoloom() -> Option<(PathBuf, PathBuf)> {
    let debug = std::env::current_exe().ok()?.parent()?.parent()?.to_path_buf();
    let found = (debug.join("histoloom"), debug.join("libhistoloom.so"));
    (found.0.is_file() && found.1.is_file()).then_some(found)
}

#[test]
fn the_first_op_of_the_manual_is_written_built_and_tried_as_it_says() {
    let dir = folder();
    let wasm = dir.path().join("bright.wasm");
    let mut built = Vec::new();
    for (language, text) in blocks() {
        if language != "sh" {
            let name = format!("bright.{}", if language == "rust" { "rs" } else { language });
            let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/examples").join(&name);
            assert!(std::fs::read_to_string(&kept).unwrap() == text, "guest/examples/{name} is not what OPS.md says");
            std::fs::write(dir.path().join(name), text).unwrap();
            continue;
        }
        for command in text.lines() {
            if command.contains("--example wat2wasm") {
                assert!(command.ends_with(" -- bright.wat bright.wasm"));
                // what that program does
                std::fs::write(&wasm, wat::parse_file(dir.path().join("bright.wat")).unwrap()).unwrap();
                built.push(("WebAssembly text", tried(&wasm)));
            } else if command.starts_with("histoloom ") {
                host(dir.path(), &wasm, command);
            } else if there(command) {
                let out = Command::new("sh").current_dir(dir.path()).args(["-c", command]).output().unwrap();
                assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
                if command.contains("-o bright.wasm") {
                    built.push((command.split(' ').next().unwrap(), tried(&wasm)));
                }
            } else {
                not_checked(&format!("no tool for: {command}"));
            }
        }
    }
    for (how, [bright, dark]) in &built {
        println!("built: {how}");
        assert!(bright.flags.len() == 1 && bright.flags[0].code == "TOO_BRIGHT" && dark.flags.is_empty(), "{how}");
        let first = &built[0].1;
        assert_eq!((&bright.flags, &bright.metrics, &dark.metrics), (&first[0].flags, &first[0].metrics, &first[1].metrics), "{how}");
    }
}

/// A command of the host: by the command itself where it was built, and by what is behind it always.
fn host(dir: &Path, wasm: &Path, command: &str) {
    let told = registry::check(wasm).unwrap();
    assert_eq!((&told["name"], &told["op_abi"]), (&"bright".into(), &1.into()));
    let Some((program, library)) = histoloom() else {
        return not_checked(&format!("`histoloom` and its library are not built beside this test, so not run as a command: {command}"));
    };
    let line = command.replacen("histoloom", &program.display().to_string(), 1);
    let out = Command::new("sh").current_dir(dir).args(["-c", &line]).env("HISTOLOOM_LIBRARY", library).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&out.stderr));
    let want = if command.contains("check") { "fine: " } else { "mean_grey = 237.666" };
    assert!(said.contains(want), "{command}: {said}");
    assert_eq!(said.contains("TOO_BRIGHT"), command.contains(" run "), "{command}: {said}");
    if command.contains("--out tried") {
        assert!(["picture.png", "labels.png", "ops.json"].iter().all(|f| dir.join("tried").join(f).is_file()));
    }
}

/// What the manual says of the ops that ship is what they say of themselves.
#[test]
fn the_manual_names_every_op_parameter_and_default() {
    let list = histoloom_wasm_ops::Registry::shipped().unwrap().list_json();
    for op in list["ops"].as_array().unwrap() {
        let name = op["name"].as_str().unwrap();
        let row = MANUAL.lines().find(|l| l.starts_with(&format!("| `{name}` |"))).unwrap_or_else(|| panic!("no row of {name}"));
        for (param, p) in op["params"]["properties"].as_object().unwrap() {
            let default = p["default"].as_f64().unwrap();
            let shown = row.split(&format!("`{param}` ")).nth(1).unwrap_or_else(|| panic!("{name}: no {param}"));
            let shown: f64 = shown.split([',', ':', ' ', '(', ';']).next().unwrap().parse().unwrap();
            assert!((shown - default).abs() <= 5e-3 * default.abs(), "{name}.{param}: {shown}, not {default}");
        }
    }
}
