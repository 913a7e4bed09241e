#![no_std]
use histoloom_op::{op, Host, Tile, UNCHANGED};

op! {
    manifest: r#"{"name": "bright", "version": 1, "summary": "Flags tiles that are nearly white", "params": [{"name": "limit",
        "min": 0, "max": 255, "default": 230, "doc": "Mean grey value above which a tile is flagged"}]}"#,
    run: run
}

pub fn run(tile: &mut Tile<'_>, host: &mut impl Host) -> i32 {
    let sum: u64 = tile.rgb.iter().map(|v| u64::from(*v)).sum();
    let mean = sum as f64 / tile.rgb.len() as f64;
    host.metric("mean_grey", mean);
    if mean > tile.params[0] {
        host.flag("TOO_BRIGHT", "This tile is nearly white: it may show glass instead of tissue", None);
    }
    UNCHANGED
}
