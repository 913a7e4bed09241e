//! The shape of the workspace, held against `cargo metadata`.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

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
        ("histoloom", &["histoloom-core", "histoloom-models", "histoloom-wasm-ops"][..]),
        ("histoloom-headless", &[][..]),
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
            let home = match d.as_str() {
                "burn" | "burn-wgpu" | "wgpu" => "histoloom-models",
                "wasmtime" => "histoloom-wasm-ops",
                "openslide-rs" | "clap" | "indicatif" => "histoloom-headless",
                "libc" => "histoloom",
                _ => continue,
            };
            assert_eq!(name, home, "{d} belongs to {home}");
        }
    }
}

#[test]
fn no_crate_in_the_whole_tree_is_a_network_client_or_server() {
    let m = MetadataCommand::new().manifest_path("../Cargo.toml").exec().expect("cargo metadata");
    let used: BTreeSet<_> = m.resolve.expect("resolve").nodes.into_iter().map(|n| n.id).collect();
    let banned =
        ["reqwest", "hyper", "ureq", "curl", "tokio", "async-std", "native-tls", "rustls", "socket2", "mio", "quinn", "tungstenite"];
    let found: Vec<_> =
        m.packages.iter().filter(|p| used.contains(&p.id) && banned.contains(&p.name.as_str())).map(|p| p.name.to_string()).collect();
    assert!(found.is_empty(), "network crates in the tree: {found:?}");
}
