//! What the command and the library do to the machine around them: no socket of the internet, and a disk that fills up or a process that is
//! killed leaves the old map or the new one, whole.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use histoloom_tests::{histoloom, region, root, run, sample};

/// Fillings of the disk, and moments of a kill.
const POINTS: u64 = 25;

/// The shim of `src/shim.c` as a library.
fn shim(dir: &Path) -> PathBuf {
    let out = dir.join("shim.so");
    run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&out).arg(root().join("tests/src/shim.c")).arg("-ldl"));
    out
}

fn shimmed<'a>(c: &'a mut Command, shim: &Path, log: &Path) -> &'a mut Command {
    c.env("LD_PRELOAD", shim).env("SHIM_LOG", log)
}

fn map(dir: &Path) -> PathBuf {
    let out = dir.join("map");
    run(histoloom().args(["cluster", "--device", "cpu", "--k", "3", "--roi"]).arg(region(dir)).arg("--out").arg(&out).arg(sample()));
    out
}

/// Every file below a folder, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    out
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in files(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

/// An edit of a map's own folder.
fn renaming(map: &Path) -> Command {
    let mut c = histoloom();
    c.args(["-q", "edit", "--rename", "1=Another name"]).arg(map);
    c
}

/// Classes and edits of a map, as a reader finds them.
fn listed(map: &Path) -> Vec<u8> {
    run(histoloom().args(["--json", "edit", "--list"]).arg(map)).stdout
}

#[test]
fn no_socket_of_the_internet_is_ever_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (shim, log) = (shim(dir.path()), dir.path().join("log"));
    // the shim does see one
    let mut bash = Command::new("bash");
    let tried = shimmed(bash.args(["-c", "exec 3<>/dev/tcp/127.0.0.1/9"]), &shim, &log).stderr(Stdio::null()).status().unwrap();
    assert!(!tried.success() && fs::read_to_string(&log).unwrap().contains("inet socket"));
    fs::remove_file(&log).unwrap();

    let out = |name: &str| dir.path().join(name);
    let mut c = histoloom();
    run(shimmed(c.args(["cluster", "--device", "cpu", "--k", "3", "--roi"]).arg(region(dir.path())), &shim, &log)
        .arg("--out")
        .arg(out("map"))
        .arg(sample()));
    let mut c = histoloom();
    run(shimmed(c.args(["synth", "--device", "cpu", "-n", "1", "--size", "128", "--steps", "2", "--from"]), &shim, &log)
        .arg(out("map"))
        .arg("--out")
        .arg(out("tiles")));
    let mut c = histoloom();
    shimmed(c.arg("doctor"), &shim, &log).stdout(Stdio::null()).status().unwrap(); // adapters, models, ops
    let seen = fs::read_to_string(&log).unwrap();
    assert!(seen.matches("written").count() == 3 && !seen.contains("inet"), "{seen}");
}

#[test]
fn a_disk_that_fills_up_leaves_the_old_map_whole_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (shim, log, old, work) = (shim(dir.path()), dir.path().join("log"), map(dir.path()), dir.path().join("work"));
    copied(&old, &work);
    run(shimmed(&mut renaming(&work), &shim, &log));
    let said = fs::read_to_string(&log).unwrap();
    let total: u64 = said.trim().strip_prefix("written ").and_then(|n| n.parse().ok()).unwrap();
    assert!(total > 10_000, "{said}");
    for point in 0..POINTS {
        fs::remove_dir_all(&work).unwrap();
        copied(&old, &work);
        let before = files(&work);
        let room = total * point / POINTS;
        let out = shimmed(&mut renaming(&work), &shim, &log).env("FULL_AFTER", room.to_string()).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.code().is_some_and(|c| c != 0) && error.contains("No space left"),
            "{room} of {total}: {:?} {error}",
            out.status
        );
        assert!(files(&work) == before, "the map changed or something was left with {room} of {total} bytes of room");
    }
    let out = shimmed(&mut renaming(&work), &shim, &log).env("FULL_AFTER", total.to_string()).output().unwrap();
    assert!(out.status.success(), "with room enough it works: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_old_map_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (old, work) = (map(dir.path()), dir.path().join("work"));
    copied(&old, &work);
    let list_old = listed(&work);
    let start = std::time::Instant::now();
    run(&mut renaming(&work));
    let (whole, list_new) = (start.elapsed(), listed(&work));
    assert!(list_old != list_new);
    let mut seen = [0, 0];
    for point in 0..2 * POINTS {
        fs::remove_dir_all(&work).unwrap();
        copied(&old, &work);
        let mut child = renaming(&work).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(0.6 + 0.5 * point as f64 / (2 * POINTS) as f64)); // files are written towards the end
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
        let now = listed(&work);
        assert!(now == list_old || now == list_new, "killed at point {point}: {}", String::from_utf8_lossy(&now));
        seen[usize::from(now == list_new)] += 1;
    }
    eprintln!("killed {} times: {} times the old map, {} times the new one", 2 * POINTS, seen[0], seen[1]);
    run(&mut renaming(&work));
    let hidden =
        fs::read_dir(&work).unwrap().flatten().filter(|e| e.file_type().unwrap().is_dir() && e.file_name().as_encoded_bytes()[0] == b'.');
    assert_eq!(hidden.count(), 0, "the next run works and clears up");
}
