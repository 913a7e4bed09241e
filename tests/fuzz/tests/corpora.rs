//! Every input that is kept, through its target.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what it expected, and where it was")]

use std::fs;
use std::path::Path;

use histoloom_fuzz::{TARGETS, target};

/// Bounds of all corpora together, so that the repository stays small.
const BYTES: u64 = 300 << 10;
const FILES: usize = 400;

fn replay(name: &str) {
    let target = target(name).expect("a target");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&dir).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    for file in files {
        println!("{}", file.display()); // shown where it fails
        target(&fs::read(&file).expect("a file"));
    }
}

/// One test a target, so that they run beside each other and a failure names it.
macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_target_is_replayed_and_the_corpora_are_small() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
            let folders = fs::read_dir(corpus).expect("folders").map(|entry| entry.expect("a folder").path());
            let files: Vec<_> = folders.flat_map(|dir| fs::read_dir(dir).expect("a folder")).map(|f| f.expect("a file")).collect();
            let bytes: u64 = files.iter().map(|f| f.metadata().expect("a file").len()).sum();
            assert!(files.len() <= FILES && bytes <= BYTES, "{} files of {bytes} bytes", files.len());
        }
    };
}

replays!(params calls op weights label_png geojson files);
