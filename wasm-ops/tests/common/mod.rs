//! Tiles and modules for the tests.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use histoloom_core::ops::{OpInput, OpOutput, RealClass, Seen};
use histoloom_core::{Op, Planes, Result};
use histoloom_wasm_ops::{Limits, SandboxedOp};
use image::{Rgb, RgbImage};

/// A tile with everything an op sees.
pub struct Tile {
    pub rgb: RgbImage,
    pub labels: Vec<u8>,
    pub scores: Planes,
    pub mpp: f32,
    pub spread: Planes,
    pub classes: Vec<RealClass>,
    pub seams: Vec<u32>,
}

impl Tile {
    /// One colour, all labels 1, one score plane that counts up.
    pub fn plain(width: u32, height: u32, color: [u8; 3]) -> Self {
        Self::of(RgbImage::from_pixel(width, height, Rgb(color)))
    }

    pub fn of(rgb: RgbImage) -> Self {
        let (w, h) = rgb.dimensions();
        let (rows, columns) = (h.div_ceil(32) as usize, w.div_ceil(32) as usize);
        let data = (0..rows * columns).map(|i| i as f32).collect();
        let scores = Planes::new(1, rows, columns, data).unwrap();
        let spread = Planes::zeros(1, h.div_ceil(8) as usize, w.div_ceil(8) as usize);
        Self { labels: vec![1; (w * h) as usize], scores, rgb, mpp: 0.5, spread, classes: Vec::new(), seams: Vec::new() }
    }

    pub fn seen(&self) -> Seen<'_> {
        Seen { mpp: self.mpp, spread: Some(&self.spread), classes: &self.classes, seams: &self.seams }
    }

    /// Coloured noise from a small generator, of every hue and brightness.
    pub fn noise(width: u32, height: u32, seed: u32) -> Self {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 16) as u8
        };
        let mut tile = Self::of(RgbImage::from_fn(width, height, |_, _| Rgb([next(), next(), next()])));
        tile.labels.iter_mut().for_each(|l| *l = next() % 3);
        tile
    }

    pub fn run(&self, op: &dyn Op, params: &str) -> Result<OpOutput> {
        self.run_until(op, params, Arc::default())
    }

    pub fn run_until(&self, op: &dyn Op, params: &str, cancelled: Arc<AtomicBool>) -> Result<OpOutput> {
        op.run(&OpInput { rgb: &self.rgb, labels: &self.labels, scores: &self.scores, seen: self.seen(), params, cancelled })
    }
}

/// Limits that end a test soon.
pub fn short() -> Limits {
    Limits { deadline: Duration::from_millis(200), ..Limits::default() }
}

pub const MANIFEST: &str = r#"(@custom "histoloom.op" "{\"name\": \"test\", \"version\": 1, \"summary\": \"t\", \"params\": []}")"#;
pub const MEMORY: &str = r#"(memory (export "memory") 32)"#;
pub const IMPORTS: &str = r#"(import "histoloom" "flag" (func $flag (param i32 i32 i32 i32 i32 i32)))
    (import "histoloom" "metric" (func $metric (param i32 i32 f64)))"#;
pub const ABI: &str = r#"(func (export "hl_op_abi") (result i32) i32.const 1)"#;
pub const ALLOC: &str = r#"(func (export "hl_op_alloc") (param i32) (result i32) i32.const 65536)"#;

/// A whole op around the body of `hl_op_run`, whose parameter is local 0, with further fields (`more`) after its functions.
pub fn wat(body: &str, more: &str) -> String {
    format!(
        r#"(module {MANIFEST} {IMPORTS} {MEMORY} {ABI} {ALLOC} (func $run (export "hl_op_run") (param i32) (result i32) {body}) {more})"#
    )
}

pub fn bytes(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

pub fn load(wat: &str) -> Result<SandboxedOp> {
    SandboxedOp::load("test.wasm", &bytes(wat))
}

/// An op that must pass the prescan.
pub fn op(body: &str, more: &str) -> SandboxedOp {
    load(&wat(body, more)).unwrap().with_limits(short())
}

/// A data segment at `at`.
pub fn text(at: usize, text: &[u8]) -> String {
    let mut s = String::new();
    text.iter().for_each(|b| write!(s, "\\{b:02x}").unwrap());
    format!("(data (i32.const {at}) \"{s}\")")
}
