//! Cleaning of cell masks: islands and holes that are too small to be tissue or glass.

use std::collections::VecDeque;

/// Turns connected groups (4 neighbours) over that are too small: first islands of `true` of fewer than `island` cells, then holes of
/// `false` of fewer than `hole`.
pub fn clean(mask: &mut [bool], columns: usize, island: usize, hole: usize) {
    for (value, least) in [(true, island), (false, hole)] {
        for group in small_groups(mask, columns, least, |v| v == value) {
            group.iter().for_each(|&i| mask[i as usize] = !value);
        }
    }
}

/// The connected groups (4 neighbours of one value) of fewer than `least` cells whose value `take` accepts, in order of their first
/// cell. Larger ones are passed over without being held.
pub(crate) fn small_groups<T: Copy + PartialEq>(cells: &[T], columns: usize, least: usize, take: impl Fn(T) -> bool) -> Vec<Vec<u32>> {
    let (mut out, mut flood) = (Vec::new(), Flood::new(columns, cells.len()));
    for start in (0..cells.len()).filter(|i| take(cells[*i])) {
        let (mut group, mut size) = (Vec::new(), 0);
        flood.from(
            start,
            |i, j| cells[i] == cells[j],
            |i| {
                size += 1;
                if size < least {
                    group.push(i);
                }
            },
        );
        if (1..least).contains(&size) {
            out.push(group);
        }
    }
    out
}

/// The connected groups (4 neighbours) of cells that are `true`, in order of their first cell.
pub(crate) fn groups(cells: &[bool], columns: usize) -> Vec<Vec<u32>> {
    let (mut out, mut flood) = (Vec::new(), Flood::new(columns, cells.len()));
    for start in (0..cells.len()).filter(|i| cells[*i]) {
        let mut group = Vec::new();
        flood.from(start, |_, j| cells[j], |i| group.push(i));
        out.push(group);
    }
    out.retain(|group| !group.is_empty());
    out
}

/// Visits connected cells, each once.
struct Flood {
    columns: usize,
    seen: Vec<bool>,
    front: VecDeque<u32>,
}

impl Flood {
    fn new(columns: usize, cells: usize) -> Self {
        Self { columns, seen: vec![false; cells], front: VecDeque::new() }
    }

    /// Calls `each` for the cells connected with `start` that were not visited before; neighbours are joined where `same`.
    fn from(&mut self, start: usize, same: impl Fn(usize, usize) -> bool, mut each: impl FnMut(u32)) {
        if std::mem::replace(&mut self.seen[start], true) {
            return;
        }
        self.front.push_back(start as u32);
        while let Some(i) = self.front.pop_front() {
            each(i);
            for j in neighbours4(i as usize, self.columns, self.seen.len()) {
                if !self.seen[j] && same(i as usize, j) {
                    self.seen[j] = true;
                    self.front.push_back(j as u32);
                }
            }
        }
    }
}

/// The up to four neighbours of a cell.
pub(crate) fn neighbours4(i: usize, columns: usize, cells: usize) -> impl Iterator<Item = usize> {
    let column = i % columns;
    [
        (i >= columns).then(|| i - columns),
        (column > 0).then(|| i - 1),
        (column + 1 < columns).then(|| i + 1),
        (i + columns < cells).then(|| i + columns),
    ]
    .into_iter()
    .flatten()
}

/// The cells of the square of `2 radius + 1` cells a side around a cell, itself included, inside the grid, in order.
pub(crate) fn around(i: usize, radius: usize, columns: usize, cells: usize) -> impl Iterator<Item = usize> {
    let (row, column, rows) = (i / columns, i % columns, cells / columns);
    let span = move |at: usize, end: usize| at.saturating_sub(radius)..(at + radius + 1).min(end);
    span(row, rows).flat_map(move |r| span(column, columns).map(move |c| r * columns + c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_islands_and_holes_vanish_and_large_ones_stay() {
        let picture = ["..........", ".####..#..", ".#.##.....", ".####.....", "..........", "####......", "#..#......", "####......"];
        let mut mask: Vec<bool> = picture.concat().chars().map(|c| c == '#').collect();
        clean(&mut mask, 10, 2, 2);
        let got: String = mask.iter().map(|m| if *m { '#' } else { '.' }).collect();
        let want = ["..........", ".####.....", ".####.....", ".####.....", "..........", "####......", "#..#......", "####......"];
        assert_eq!(got, want.concat());
    }
}
