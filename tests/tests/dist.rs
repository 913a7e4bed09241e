//! The archive for users: a folder that works wherever it lies, for C projects that find it with CMake or pkg-config, for the command, for
//! Python.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::path::{Path, PathBuf};
use std::process::Command;

use histoloom_tests::{library_dir, root, run, sample};

/// Clusters a picture in memory with the weights that came with the library.
const PROJECT: &str = r#"
#include <histoloom.h>
#include <stdio.h>

static int64_t read_region(void *user, const hl_region *r, uint8_t *dst, uint64_t cap) {
    (void)user;
    if (cap < (uint64_t)r->stride_bytes * r->height_px) return -1;
    for (uint32_t y = 0; y < r->height_px; y++)
        for (uint32_t x = 0; x < r->width_px; x++) {
            uint8_t *p = dst + (size_t)y * r->stride_bytes + 4 * x;
            const int left = r->x_px + x * r->downsample < 128, dot = (x / 5 + y / 7) % 3 == 0;
            p[0] = left ? 235 : dot ? 90 : 190;
            p[1] = left ? 165 + (x + y) % 20 : dot ? 50 : 150;
            p[2] = left ? 200 : dot ? 140 : 205;
            p[3] = 255;
        }
    return (int64_t)r->stride_bytes * r->height_px;
}

int main(void) {
    hl_host host = {sizeof host, HL_ABI_VERSION, NULL, 1, 0, read_region, NULL, NULL};
    hl_config config = {sizeof config, 1, NULL, "cpu", &host};
    hl_slide_desc d = {sizeof d, HL_PIXEL_RGBA8, 256, 256, NULL, 0, 0xFFFFFF, 0.5, 0.5, 0, 0, "p", "p", 0};
    hl_context context = 0;
    hl_slide slide = 0;
    hl_job job = 0;
    hl_result map = 0;
    char text[4096] = "";
    uint64_t needed = 0;
    if (hl_context_create(&config, &context) == HL_OK && hl_slide_open(context, &d, &slide) == HL_OK &&
        hl_job_start(context, slide, "cluster", "{\"k\": 2}", 0, &job) == HL_OK && hl_job_wait(job, HL_FOREVER) == HL_OK &&
        hl_job_result(job, &map) == HL_OK && hl_result_csv(map, "classes", text, sizeof text, &needed) == HL_OK)
        fputs(text, stdout);
    else if (job == 0 || hl_job_error(job, text, sizeof text, &needed) != HL_OK || text[0] == '\0')
        hl_last_error(text, sizeof text, &needed);
    if (map == 0) fputs(text, stderr);
    hl_context_release(context);
    return map == 0;
}
"#;

const CMAKE: &str = "cmake_minimum_required(VERSION 3.16)
project(p LANGUAGES C)
find_package(histoloom 0.1 REQUIRED)
if(NOT EXISTS \"${histoloom_MODELS_DIR}/manifest.json\")
  message(FATAL_ERROR \"no weights in ${histoloom_MODELS_DIR}\")
endif()
add_executable(p p.c)
target_link_libraries(p PRIVATE histoloom::histoloom)
";

/// Packs what was built for the tests and moves it.
fn packed(dir: &Path) -> PathBuf {
    let (first, then) = (dir.join("packed"), dir.join("moved-here"));
    let from = library_dir();
    let built = if from.join("histoloom").is_file() { from } else { from.join("..") };
    run(Command::new(root().join("x")).arg("pack").arg(&first).arg(&built));
    std::fs::rename(&first, &then).expect("moved");
    then
}

fn classes(out: &std::process::Output) -> usize {
    String::from_utf8_lossy(&out.stdout).lines().filter(|l| l.starts_with("1,") || l.starts_with("2,")).count()
}

#[test]
fn projects_that_have_only_the_archive_build_and_run() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = packed(dir.path());
    let library = place.join("lib/libhistoloom.so");

    let out = run(Command::new("readelf").arg("-d").arg(&library));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let needed = |l: &str| l.contains("(NEEDED)").then(|| l.rsplit('[').next().map(|n| n.trim_end_matches(']').to_owned())).flatten();
    for name in text.lines().filter_map(needed) {
        assert!(["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"].contains(&name.as_str()), "{name}");
    }
    let licences = std::fs::read_to_string(place.join("share/doc/histoloom/THIRD-PARTY.txt")).expect("licences");
    assert!(licences.contains("wasmtime ") && licences.contains("==== burn-core") && licences.contains("Permission is hereby granted"));

    let jar = run(Command::new("jar").arg("tf").arg(place.join("share/histoloom/qupath/histoloom-qupath.jar")));
    let text = String::from_utf8_lossy(&jar.stdout);
    assert!(text.contains("META-INF/services/qupath.lib.gui.extensions.QuPathExtension") && !text.contains(".so"), "{text}");
    let asap = place.join("share/histoloom/asap");
    assert!(asap.join("CMakeLists.txt").is_file() && asap.join("../../../include/histoloom.hpp").is_file());

    let project = dir.path().join("project");
    std::fs::create_dir(&project).expect("a folder");
    std::fs::write(project.join("p.c"), PROJECT).expect("written");
    std::fs::write(project.join("CMakeLists.txt"), CMAKE).expect("written");
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", place.display());
    run(Command::new("cmake").args(["-S", ".", "-B", "build", &prefix]).current_dir(&project));
    run(Command::new("cmake").args(["--build", "build"]).current_dir(&project));
    assert_eq!(classes(&run(&mut Command::new(project.join("build/p")))), 2);

    let mut c = Command::new("sh");
    c.args(["-c", "cc -std=c99 p.c -o q $(pkg-config --cflags --libs histoloom)"]);
    run(c.env("PKG_CONFIG_PATH", place.join("lib/pkgconfig")).current_dir(&project));
    assert_eq!(classes(&run(Command::new(project.join("q")).env("LD_LIBRARY_PATH", place.join("lib")))), 2);

    let mut command = Command::new(place.join("bin/histoloom"));
    command.env_remove("HISTOLOOM_LIBRARY").env_remove("HISTOLOOM_MODELS");
    run(command.args(["cluster", "--device", "cpu", "--k", "2", "--out"]).arg(dir.path().join("map")).arg(sample()));
    assert!(dir.path().join("map/overlay.png").is_file());
}
