//! Planes of numbers: embeddings, latents and conditions, `[c, h, w]` in row-major order.

use crate::{Error, Result, memory};

/// A `[channels, height, width]` block of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Number of planes.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels * height * width` values.
    pub data: Vec<f32>,
}

impl Planes {
    /// All zero.
    pub fn zeros(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, data: memory::many(0.0, channels * height * width) }
    }

    /// From values in `[c, h, w]` order; an error if their number is off.
    pub fn new(channels: usize, height: usize, width: usize, data: Vec<f32>) -> Result<Self> {
        if data.len() != channels * height * width {
            return Err(Error::internal(format!("{} values for {channels} x {height} x {width} planes", data.len())));
        }
        Ok(Self { channels, height, width, data })
    }

    /// Number of values in one plane.
    pub fn area(&self) -> usize {
        self.height * self.width
    }

    /// One plane.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let area = self.area();
        &self.data[channel * area..(channel + 1) * area]
    }

    /// One plane, to be written.
    pub fn plane_mut(&mut self, channel: usize) -> &mut [f32] {
        let area = self.area();
        &mut self.data[channel * area..(channel + 1) * area]
    }

    /// The value at a channel, row and column.
    pub fn at(&self, channel: usize, row: usize, column: usize) -> f32 {
        self.data[(channel * self.height + row) * self.width + column]
    }

    /// Writes a smaller block with as many channels so that its corner is at (`row`, `column`); it must lie inside.
    pub fn put(&mut self, part: &Self, row: usize, column: usize) {
        for c in 0..part.channels {
            for r in 0..part.height {
                let at = (c * self.height + row + r) * self.width + column;
                let from = (c * part.height + r) * part.width;
                self.data[at..at + part.width].copy_from_slice(&part.data[from..from + part.width]);
            }
        }
    }

    /// The rectangle of `height x width` whose corner is at (`row`, `column`); it must lie inside.
    pub fn cut(&self, row: usize, column: usize, height: usize, width: usize) -> Result<Self> {
        if row + height > self.height || column + width > self.width {
            return Err(Error::internal(format!("cut {height} x {width} at ({row}, {column}) from {} x {}", self.height, self.width)));
        }
        let mut out = Self::zeros(self.channels, height, width);
        for c in 0..self.channels {
            for r in 0..height {
                let from = (c * self.height + row + r) * self.width + column;
                let to = (c * height + r) * width;
                out.data[to..to + width].copy_from_slice(&self.data[from..from + width]);
            }
        }
        Ok(out)
    }
}
