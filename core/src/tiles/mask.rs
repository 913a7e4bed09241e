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
    let mut seen = vec![false; cells.len()];
    let (mut out, mut front) = (Vec::new(), VecDeque::new());
    for start in 0..cells.len() {
        if seen[start] || !take(cells[start]) {
            continue;
        }
        seen[start] = true;
        front.push_back(start as u32);
        let mut group = Vec::with_capacity(least);
        let mut size = 0;
        while let Some(i) = front.pop_front() {
            size += 1;
            if size < least {
                group.push(i);
            }
            for j in neighbours4(i as usize, columns, cells.len()) {
                if !seen[j] && cells[i as usize] == cells[j] {
                    seen[j] = true;
                    front.push_back(j as u32);
                }
            }
        }
        if size < least {
            out.push(group);
        }
    }
    out
}

/// The connected groups (4 neighbours) of cells accepted by `take`, neighbours joined where `same`; in order of their first cell.
pub(crate) fn groups<T: Copy>(cells: &[T], columns: usize, same: impl Fn(T, T) -> bool, take: impl Fn(T) -> bool) -> Vec<Vec<usize>> {
    let mut seen = vec![false; cells.len()];
    let mut out = Vec::new();
    for start in 0..cells.len() {
        if seen[start] || !take(cells[start]) {
            continue;
        }
        seen[start] = true;
        let mut group = vec![start];
        let mut next = 0;
        while let Some(&i) = group.get(next) {
            next += 1;
            for j in neighbours4(i, columns, cells.len()) {
                if !seen[j] && same(cells[i], cells[j]) {
                    seen[j] = true;
                    group.push(j);
                }
            }
        }
        out.push(group);
    }
    out
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
