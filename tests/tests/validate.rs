//! The validator of the C ABI: what it says of this library, of libraries that break one promise each, and of hosts.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expected")]

use std::path::{Path, PathBuf};
use std::process::Command;

use histoloom_tests::{library_dir, root, run};
use serde_json::Value;

/// Replaces one function of the library that it is linked to; the others are the library's own.
const BROKEN: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <histoloom.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef CRASHES
int32_t hl_job_cancel(hl_job job) { (void)job; abort(); }
#elif defined HANGS
int32_t hl_job_cancel(hl_job job) { for (;;) sleep((unsigned)(job % 2 + 1)); }
#elif defined EXITS
int32_t hl_job_cancel(hl_job job) { (void)job; exit(0); }
#elif defined SIZES
uint32_t hl_sizeof(uint32_t id) { return id == HL_SIZEOF_REGION ? 60 : 0; }
#elif defined BEYOND
int32_t hl_build_info_json(char *dst, uint64_t cap, uint64_t *needed) {
    int32_t (*real)(char *, uint64_t, uint64_t *) = (int32_t (*)(char *, uint64_t, uint64_t *))dlsym(RTLD_NEXT, "hl_build_info_json");
    const int32_t code = real(dst, cap, needed);
    if (code == HL_OK && cap > 0) dst[cap] = 1;
    return code;
}
#elif defined PRINTS
int32_t hl_context_release(hl_context context) {
    int32_t (*real)(hl_context) = (int32_t (*)(hl_context))dlsym(RTLD_NEXT, "hl_context_release");
    fputs("released\n", stderr);
    return real(context);
}
#elif defined LOCALE
__attribute__((constructor)) static void begin(void) { setlocale(LC_ALL, "C.UTF-8"); }
#endif
"#;

/// What breaks, the check that must find it, its status, and what must be told.
const BREAKS: [(&str, &str, &str, &str); 7] = [
    ("CRASHES", "cancel", "crashed", "SIGABRT in: "),
    ("HANGS", "cancel", "hung", "killed after "),
    ("EXITS", "cancel", "failed", "the process was ended"),
    ("SIZES", "symbols", "failed", "hl_sizeof(4) of hl_region is 60, the header says 64"),
    ("BEYOND", "buffers", "failed", "hl_build_info_json wrote outside its buffer"),
    ("PRINTS", "nulls", "failed", "something was written to stderr: released"),
    ("LOCALE", "manners", "failed", "changed the locale"),
];

/// The validator, which must have been built (`cargo build --workspace`).
fn validator() -> Command {
    let dir = library_dir();
    let found = [dir.join("histoloom-validate"), dir.join("../histoloom-validate")].into_iter().find(|c| c.is_file());
    Command::new(found.expect("target/*/histoloom-validate: run `cargo build --workspace` first"))
}

/// Its exit code and its document.
fn told(c: &mut Command) -> (Option<i32>, Value) {
    let out = c.arg("--json").output().expect("a run");
    let document = serde_json::from_slice(&out.stdout);
    (out.status.code(), document.unwrap_or_else(|e| panic!("{c:?}: {e}\n{}", String::from_utf8_lossy(&out.stderr))))
}

/// Name, level, status and messages of each check.
fn checks(document: &Value) -> Vec<(String, u64, String, String)> {
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let of = |c: &Value| (text(&c["name"]), c["level"].as_u64().expect("a level"), text(&c["status"]), c["messages"].to_string());
    document["checks"].as_array().expect("checks").iter().map(of).collect()
}

/// Compiles C into a shared object.
fn shared(dir: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, out) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    std::fs::write(&file, source).expect("written");
    let mut c = Command::new("cc");
    c.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", &format!("-I{}", root().join("plugin-abi/include").display())]);
    run(c.arg(file).arg("-o").arg(&out).args(flags));
    out
}

#[test]
fn this_library_keeps_every_promise_at_the_highest_strictness() {
    let models = root().join("models/weights");
    let (code, all) = told(validator().arg(library_dir().join("libhistoloom.so")).args(["--strictness", "10", "--models"]).arg(models));
    let bad: Vec<_> = checks(&all).into_iter().filter(|(_, _, status, _)| status != "passed").collect();
    assert!(code == Some(0) && bad.is_empty(), "{bad:#?}");
    assert_eq!((&all["version"], &all["counts"]["failed"]), (&env!("CARGO_PKG_VERSION").into(), &0.into()));
}

#[test]
fn a_level_leaves_out_what_is_above_it_and_a_seed_repeats_the_run() {
    let library = library_dir().join("libhistoloom.so");
    let (code, first) = told(validator().arg(&library).args(["--strictness", "2"]));
    assert_eq!(code, Some(0));
    for (name, level, status, _) in &checks(&first) {
        assert_eq!(status == "skipped", *level > 2, "{name} of level {level} was {status}");
    }
    let (_, second) = told(validator().arg(&library).args(["--strictness", "2", "--reproduce", &first["seed"].to_string()]));
    assert_eq!((&second["seed"], checks(&second)), (&first["seed"], checks(&first)));
}

#[test]
fn a_broken_promise_a_crash_and_a_hang_are_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let lib = library_dir();
    let (search, own) = (format!("-L{}", lib.display()), format!("-Wl,-rpath,{}", lib.display()));
    for (what, check, status, message) in BREAKS {
        let flags = [&format!("-D{what}"), search.as_str(), "-Wl,--no-as-needed", "-lhistoloom", own.as_str()];
        let library = shared(dir.path(), what, BROKEN, &flags);
        let patience = if what == "HANGS" { "0.05" } else { "1" };
        let (code, document) = told(validator().arg(library).args(["--only", check, "--patience", patience]));
        let found = &checks(&document)[0];
        assert!(code == Some(1) && found.2 == status && found.3.contains(message), "{what}: {document:#}");
    }
}

#[test]
fn a_good_host_and_bad_ones_are_told_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let page = std::fs::read_to_string(root().join("viewer-bridge/validate/src/main.rs")).expect("the validator");
    let comment: Vec<&str> = page.lines().filter_map(|l| l.strip_prefix("//!")).map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
    let comment = comment.join("\n");
    let good = comment.split("```").find(|part| part.starts_with("c\n#include")).and_then(|part| part.strip_prefix("c\n")).expect("a host");
    let returned = "return (int64_t)r->stride_bytes * r->height_px";
    let rows = "(uint64_t)y * r->stride_bytes";
    for (name, from, to, status, check) in [
        ("good", "", "", "passed", "edges"),
        ("short", returned, "return (int64_t)r->width_px * 4 * r->height_px", "failed", "strides"),
        ("tight", rows, "(uint64_t)y * r->width_px * 4", "failed", "strides"),
        ("beyond", returned, "dst[cap] = 1; return (int64_t)r->stride_bytes * r->height_px", "failed", "edges"),
        ("levels", "(void)user;", "(void)user; if (r->downsample > 1.0 && r->downsample < 4.0) return -1;", "failed", "downsamples"),
        ("aborts", "(void)user;", "(void)user; if (r->downsample > 4.0) __builtin_trap();", "crashed", "downsamples"),
        ("path", "\"drawn\"", "\"/home/me/patient.svs\"", "failed", "description"),
    ] {
        assert!(good.contains(from), "{name}: the host of the documentation has no `{from}`");
        let changed = if from.is_empty() { good.to_owned() } else { good.replacen(from, to, 1) };
        let host = shared(dir.path(), name, &changed, &[]);
        let (code, document) = told(validator().arg("--host").arg(host));
        let found = checks(&document);
        let of = found.iter().find(|(n, ..)| n == check).expect("the check");
        assert!(of.2 == status && code == Some(i32::from(status != "passed")), "{name}: {document:#}");
        assert!(name != "good" || found.iter().all(|(_, _, status, _)| status == "passed"), "{document:#}");
    }
}

#[test]
fn the_command_line_lists_checks_and_refuses_what_is_wrong() {
    let listed = run(validator().arg("--list"));
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.lines().count() > 30 && text.contains("  cancel "), "{text}");
    let library = library_dir().join("libhistoloom.so").display().to_string();
    for wrong in [&[][..], &["/no/such/library.so"], &[&library, "--only", "nothing"], &[&library, "--strictness", "11"]] {
        let out = validator().args(wrong).output().expect("a run");
        assert_eq!(out.status.code(), Some(2), "{wrong:?}");
        assert!(out.stdout.is_empty() && !out.stderr.is_empty(), "{wrong:?}");
    }
    let out = run(validator().args([&library, "--only", "tissue"]));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("skipped  tissue") && text.contains("--models"), "{text}");
}
