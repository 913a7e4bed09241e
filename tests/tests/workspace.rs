//! The shape of the workspace, held against `cargo metadata`.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};
use histoloom_tests::{root, run};

/// Direct normal dependencies of each workspace crate among the crates that matter.
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    let m = MetadataCommand::new().manifest_path("../Cargo.toml").no_deps().exec().expect("cargo metadata");
    m.packages
        .iter()
        .map(|p| {
            let deps = p.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal).map(|d| d.name.clone());
            (p.name.to_string(), deps.collect())
        })
        .collect()
}

#[test]
fn rooms_depend_only_on_the_rooms_the_table_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("histoloom-core", &[][..]),
        ("histoloom-models", &["histoloom-core"][..]),
        ("histoloom-wasm-ops", &["histoloom-core"][..]),
        ("histoloom-op", &[][..]),
        ("histoloom", &["histoloom-core", "histoloom-models", "histoloom-wasm-ops"][..]),
        ("histoloom-headless", &[][..]),
        ("histoloom-validate", &[][..]),
        ("histoloom-fuzz", &["histoloom", "histoloom-core", "histoloom-models", "histoloom-wasm-ops"][..]),
        ("histoloom-tests", &["histoloom", "histoloom-core", "histoloom-models", "histoloom-wasm-ops"][..]),
    ]);
    let found = direct();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), allowed.keys().copied().collect::<Vec<_>>());
    for (name, deps) in &found {
        for d in deps.iter().filter(|d| d.starts_with("histoloom")) {
            assert!(allowed[name.as_str()].contains(&d.as_str()), "{name} must not depend on {d}");
        }
    }
}

#[test]
fn heavy_and_system_crates_stay_in_their_rooms() {
    for (name, deps) in direct() {
        for d in deps {
            let homes: &[&str] = match d.as_str() {
                "burn" | "burn-wgpu" | "wgpu" => &["histoloom-models"],
                "wasmtime" => &["histoloom-wasm-ops"],
                "openslide-rs" | "indicatif" => &["histoloom-headless"],
                "clap" => &["histoloom-headless", "histoloom-validate"],
                "libc" => &["histoloom", "histoloom-validate"],
                "libfuzzer-sys" | "wasm-smith" => &["histoloom-fuzz"],
                _ => continue,
            };
            assert!(homes.contains(&name.as_str()), "{d} belongs to {homes:?}, not to {name}");
        }
    }
}

/// What is really built for the three desktops: `cargo metadata` also lists optional crates that no feature asks for.
#[test]
fn no_crate_in_the_whole_tree_is_a_network_client_or_server() {
    let banned =
        ["reqwest", "hyper", "ureq", "curl", "tokio", "async-std", "native-tls", "rustls", "socket2", "mio", "quinn", "tungstenite"];
    for target in ["x86_64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "aarch64-apple-darwin"] {
        let arguments = ["tree", "--locked", "--workspace", "--edges", "normal,build", "--prefix", "none", "--target", target];
        let out = run(Command::new(env!("CARGO")).args(arguments).current_dir(root()));
        let text = String::from_utf8(out.stdout).expect("names");
        let names: BTreeSet<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
        assert!(names.contains("wgpu") && names.contains("wasmtime"), "{target}: {text}");
        let found: Vec<_> = banned.iter().filter(|b| names.contains(*b)).collect();
        assert!(found.is_empty(), "network crates in the tree of {target}: {found:?}");
    }
}
