//! The bank: what each class looks like to the encoder that tiles are conditioned on and judged by. In: labels on that encoder's grid.
//! Out: up to 48 rows a class, each the mean of the embeddings (not smoothed) under a square of 32 px that lies wholly in the class.
//! Where another encoder finds the classes, its labels are carried over to this grid first.

use crate::Result;
use crate::embed::Embedding;
use crate::rng::Stream;
use crate::tiles::Grid;

use super::Bank;

/// Side of a square in pixels at the working resolution.
const SIDE_PX: u32 = 32;
/// Rows a class.
const ROWS: usize = 48;

/// A square of cells that makes one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Square {
    class: u8,
    row: usize,
    column: usize,
}

/// Cells across a square.
fn side(grid: &Grid) -> usize {
    (SIDE_PX / grid.stride_px).max(1) as usize
}

fn cells(grid: &Grid, square: &Square) -> impl Iterator<Item = usize> {
    let (n, first, columns) = (side(grid), square.row * grid.columns + square.column, grid.columns);
    (0..n * n).map(move |i| first + i / n * columns + i % n)
}

/// Squares that lie wholly in a class, up to 48 a class, drawn by `seed`.
pub fn squares(grid: &Grid, labels: &[u8], seed: u64) -> Vec<Square> {
    let n = side(grid);
    let mut all: Vec<Vec<Square>> = vec![Vec::new(); 256];
    for row in (0..(grid.rows + 1).saturating_sub(n)).step_by(n) {
        for column in (0..(grid.columns + 1).saturating_sub(n)).step_by(n) {
            let square = Square { class: labels[row * grid.columns + column], row, column };
            if square.class > 0 && cells(grid, &square).all(|i| labels[i] == square.class) {
                all[usize::from(square.class)].push(square);
            }
        }
    }
    (0..=u8::MAX).zip(&all).flat_map(|(class, of)| draw(of, ROWS, seed, u32::from(class))).collect()
}

/// The cells under the squares: all that has to be embedded.
pub fn mask(grid: &Grid, squares: &[Square]) -> Vec<bool> {
    let mut out = vec![false; grid.cells()];
    squares.iter().flat_map(|s| cells(grid, s)).for_each(|i| out[i] = true);
    out
}

/// The rows. Fails where the embeddings cannot be read.
pub fn bank(embedding: &Embedding<'_>, squares: &[Square]) -> Result<Bank> {
    let (grid, channels) = (&embedding.grid, embedding.channels);
    let under: Vec<u32> = squares.iter().flat_map(|s| cells(grid, s)).map(|cell| cell as u32).collect();
    let own = embedding.gather(&under)?;
    let n = side(grid) * side(grid);
    let rows = own.chunks_exact((n * channels).max(1)).flat_map(|rows| {
        let mut sum = vec![0.0f32; channels];
        rows.chunks_exact(channels).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
        sum.into_iter().map(move |s| s / n as f32)
    });
    Ok(Bank { channels, classes: squares.iter().map(|s| s.class).collect(), rows: rows.collect() })
}

/// The labels of one grid on another over the same slide: a cell has a label where all cells under it share it, else 0.
pub fn carried(labels: &[u8], from: &Grid, to: &Grid) -> Vec<u8> {
    let under = |i: usize, cells: usize| {
        let at = |edge: usize| edge as f64 * to.cell_px() / from.cell_px();
        let first = (at(i) + 1e-6).floor() as usize;
        first..((at(i + 1) - 1e-6).ceil() as usize).min(cells)
    };
    let columns: Vec<_> = (0..to.columns).map(|c| under(c, from.columns)).collect();
    let label = |r: usize, c: usize| {
        let mut all = under(r, from.rows).flat_map(|y| columns[c].clone().map(move |x| labels[y * from.columns + x]));
        let first = all.next().unwrap_or(0);
        if all.all(|l| l == first) { first } else { 0 }
    };
    (0..to.cells()).map(|i| label(i / to.columns, i % to.columns)).collect()
}

/// `n` of `from` without repetition, in the order drawn (Fisher-Yates).
fn draw<T: Copy>(from: &[T], n: usize, seed: u64, lane: u32) -> Vec<T> {
    let mut random = Stream::new(seed, u32::MAX - 1, lane);
    let mut pool = from.to_vec();
    let n = n.min(pool.len());
    for i in 0..n {
        let j = i + random.below(pool.len() - i);
        pool.swap(i, j);
    }
    pool.truncate(n);
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_nothing_and_depend_on_the_seed() {
        let all: Vec<u32> = (0..100).collect();
        let a = draw(&all, 48, 1, 1);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 48);
        assert_ne!(a, draw(&all, 48, 2, 1));
        assert_eq!(a, draw(&all, 48, 1, 1));
    }

    #[test]
    fn a_label_is_carried_over_only_where_nothing_else_lies_under_the_cell() {
        let grid = |stride_px: u32, cells: usize| Grid { rows: cells, columns: cells, stride_px, downsample: 2.0 };
        let (from, to) = (grid(14, 16), grid(16, 14));
        let labels: Vec<u8> = (0..256).map(|i| if i % 16 < 8 { 1 } else { 2 }).collect();
        let carried = carried(&labels, &from, &to);
        // the border lies at 112 px, which is the border of cells 6 and 7 of 16 px
        assert!((0..196).all(|i| carried[i] == if i % 14 < 7 { 1 } else { 2 }));
        let moved: Vec<u8> = (0..256).map(|i| if i % 16 < 9 { 1 } else { 2 }).collect();
        let carried = super::carried(&moved, &from, &to);
        assert!((0..196).all(|i| carried[i] == [1, 0, 2][(i % 14).clamp(6, 8) - 6]), "cell 7 spans 112 to 128, the border lies at 126");
        assert_eq!(super::carried(&labels, &from, &from), labels);
    }
}
