//! The ops that ship as native Rust: those written in Rust as they stand, those written in C as plain ports. What their modules are held
//! against, in output and in time.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::time::{Duration, Instant};

use histoloom_core::ops::OpFlag;
use histoloom_op::{Class, Host, Room};
use image::RgbImage;

use super::common::Tile;
use super::ports;

#[path = "../../ops/macenko/macenko.rs"]
#[allow(missing_docs, clippy::all, clippy::explicit_iter_loop, clippy::cloned_instead_of_copied, reason = "in the words of Rust 1.63")]
pub mod macenko;
#[path = "../../ops/nuclei/nuclei.rs"]
#[allow(missing_docs, clippy::all, clippy::explicit_iter_loop, reason = "in the words of Rust 1.63")]
pub mod nuclei;
#[path = "../../ops/reinhard/reinhard.rs"]
#[allow(missing_docs, clippy::all, clippy::explicit_iter_loop, reason = "in the words of Rust 1.63")]
pub mod reinhard;
#[path = "../../ops/seams/seams.rs"]
#[allow(missing_docs, clippy::all, clippy::explicit_iter_loop, reason = "in the words of Rust 1.63")]
pub mod seams;
#[path = "../../ops/smooth/smooth.rs"]
#[allow(missing_docs, clippy::all, clippy::explicit_iter_loop, reason = "in the words of Rust 1.63")]
pub mod smooth;

/// What an op said.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    pub flags: Vec<OpFlag>,
    pub metrics: Vec<(String, f64)>,
}

impl Host for Heard {
    fn flag(&mut self, code: &str, reason: &str, cell: Option<(usize, usize)>) {
        self.flags.push(OpFlag { code: code.into(), reason: reason.into(), cell: cell.map(|(r, c)| (r as u32, c as u32)) });
    }

    fn metric(&mut self, name: &str, value: f64) {
        match self.metrics.iter_mut().find(|m| m.0 == name) {
            Some(m) => m.1 = value,
            None => self.metrics.push((name.into(), value)),
        }
    }
}

/// Buffers that are used again, as a native program would.
pub struct Native {
    pub rgb: Vec<u8>,
    pub labels: Vec<u8>,
    room: Vec<u64>,
    classes: Vec<Class>,
}

impl Native {
    pub fn new(tile: &Tile) -> Self {
        let classes = tile.classes.iter().map(|c| Class {
            label: c.label.into(),
            crops: c.crops,
            haematoxylin: c.haematoxylin,
            eosin: c.eosin,
            nuclei: c.nuclei,
            counted: c.counted,
            area_mm2: c.area_mm2,
            reserved: 0,
        });
        Self { rgb: Vec::new(), labels: Vec::new(), room: vec![0; 6 << 20], classes: classes.collect() }
    }

    /// Runs an op; the result is what its module would return.
    pub fn run(&mut self, name: &str, tile: &Tile, params: &[f64], heard: &mut Heard) -> i32 {
        self.timed(name, tile, params, heard).0
    }

    /// The same, and how long the op itself took, without the copy of the tile.
    pub fn timed(&mut self, name: &str, tile: &Tile, params: &[f64], heard: &mut Heard) -> (i32, Duration) {
        self.rgb.clone_from(tile.rgb.as_raw());
        self.labels.clone_from(&tile.labels);
        let mut t = histoloom_op::Tile {
            width: tile.rgb.width() as usize,
            height: tile.rgb.height() as usize,
            rgb: &mut self.rgb,
            labels: &mut self.labels,
            scores: &tile.scores.data,
            score_shape: [tile.scores.channels, tile.scores.height, tile.scores.width],
            params,
            cell_px: 32,
            mpp: tile.mpp,
            spread: &tile.spread.data,
            spread_shape: [tile.spread.height, tile.spread.width],
            classes: &self.classes,
            seams: &tile.seams,
            room: Room::new(&mut self.room),
        };
        let began = Instant::now();
        let code = match name {
            "gamut" => ports::gamut(&mut t, heard),
            "macenko" => macenko::run(&mut t, heard),
            "nuclei" => nuclei::run(&mut t, heard),
            "reinhard" => reinhard::run(&mut t, heard),
            "seams" => seams::run(&mut t, heard),
            "sharpness" => ports::sharpness(&mut t, heard),
            "smooth" => smooth::run(&mut t, heard),
            "watermark" => ports::watermark(&mut t, heard),
            _ => panic!("no op {name}"),
        };
        (code, began.elapsed())
    }

    pub fn picture(&self, tile: &Tile) -> RgbImage {
        RgbImage::from_raw(tile.rgb.width(), tile.rgb.height(), self.rgb.clone()).unwrap()
    }
}
