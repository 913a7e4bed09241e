//! A module that nobody vouches for: looked through, compiled and run twice on a small tile with small limits.

use std::sync::LazyLock;
use std::time::Duration;

use histoloom_core::ops::{Op, OpInput, OpOutput, Seen};
use histoloom_core::{Error, Planes, Result};
use histoloom_wasm_ops::abi::{CELL_PX, FLAGS, METRICS, NAME_BYTES, REASON_BYTES, sanitise};
use histoloom_wasm_ops::{Limits, SandboxedOp};
use image::{Rgb, RgbImage};

const LIMITS: Limits = Limits {
    deadline: Duration::from_millis(100),
    fuel: 200_000,
    fuel_per_pixel: 0,
    memory_bytes: 8 << 20,
    compile: Duration::from_secs(5),
};
/// Sides of the tile: one cell of the flag raster and a part of another.
const SIDES_PX: (u32, u32) = (40, 33);

static TILE: LazyLock<RgbImage> =
    LazyLock::new(|| RgbImage::from_fn(SIDES_PX.0, SIDES_PX.1, |x, y| Rgb([200 + x as u8, (x * y) as u8, 180 - y as u8])));

/// The bytes are the module.
pub fn op(data: &[u8]) {
    let op = match SandboxedOp::load("fuzz.wasm", data) {
        Ok(op) => op.with_limits(LIMITS),
        Err(e) => return assert!(matches!(e, Error::Op { .. }), "{e}"),
    };
    let m = op.manifest();
    assert!(m.resolve("{}").is_ok_and(|p| p.len() == m.params.len()) && m.summary == sanitise(&m.summary, 240), "{m:?}");
    let (first, second) = (run(&op), run(&op));
    for outcome in [&first, &second] {
        match outcome {
            Ok(out) => check(out),
            Err(Error::Op { why, .. }) => assert!(!why.contains("the compiler itself failed"), "{why}"),
            Err(e) => assert!(matches!(e, Error::OpLimit { .. }), "{e}"),
        }
    }
    if let (Ok(a), Ok(b)) = (first, second) {
        assert!(
            a.rgb == b.rgb && a.labels == b.labels && a.flags == b.flags && a.metrics == b.metrics,
            "the same tile gave {a:?} and {b:?}"
        );
    }
}

fn run(op: &SandboxedOp) -> Result<OpOutput> {
    let (rows, columns) = (SIDES_PX.1.div_ceil(CELL_PX) as usize, SIDES_PX.0.div_ceil(CELL_PX) as usize);
    let labels: Vec<u8> = (0..SIDES_PX.0 * SIDES_PX.1).map(|i| (i % 3) as u8).collect();
    let scores = Planes::zeros(1, rows, columns);
    op.run(&OpInput {
        rgb: &TILE,
        labels: &labels,
        scores: &scores,
        seen: Seen::default(),
        params: "",
        cancelled: std::sync::Arc::default(),
    })
}

/// What the contract promises to whoever shows or writes it.
fn check(out: &OpOutput) {
    assert!(out.rgb.as_ref().is_none_or(|rgb| rgb.dimensions() == SIDES_PX));
    assert!(out.labels.as_ref().is_none_or(|l| l.len() == (SIDES_PX.0 * SIDES_PX.1) as usize && l.iter().all(|l| *l < 3)));
    assert!(out.flags.len() <= FLAGS + 1 && out.metrics.len() <= METRICS);
    for f in &out.flags {
        assert!(
            (1..=NAME_BYTES).contains(&f.code.len()) && f.code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        );
        assert!(f.reason.chars().count() <= REASON_BYTES && f.reason == sanitise(&f.reason, REASON_BYTES), "{f:?}");
        assert!(f.cell.is_none_or(|(r, c)| r < SIDES_PX.1.div_ceil(CELL_PX) && c < SIDES_PX.0.div_ceil(CELL_PX)), "{f:?}");
    }
    assert!(out.metrics.iter().all(|(name, v)| (1..=NAME_BYTES).contains(&name.len()) && v.is_finite()), "{:?}", out.metrics);
}
