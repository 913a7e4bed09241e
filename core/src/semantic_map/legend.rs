//! Classes in a fixed order with names, colours and areas.

use super::{Class, palette::palette};
use crate::tiles::{Glass, Grid, haematoxylin};

/// Renumbers `labels` so that class 1 has the most haematoxylin (nuclei) and the last the least, without gaps, and describes the
/// classes. Classes that lost all their cells vanish.
pub fn legend(labels: &mut [u8], grid: &Grid, mpp: f64, color: &[[u8; 3]], glass: &Glass) -> Vec<Class> {
    let mut stats = vec![(0.0f64, 0u64); 256];
    for (label, rgb) in labels.iter().zip(color).filter(|(l, _)| **l != 0) {
        let s = &mut stats[usize::from(*label)];
        s.0 += f64::from(haematoxylin(glass.od(*rgb)));
        s.1 += 1;
    }
    let mut order: Vec<usize> = (1..256).filter(|i| stats[*i].1 > 0).collect();
    let mean = |i: usize| stats[i].0 / stats[i].1 as f64;
    order.sort_by(|a, b| mean(*b).total_cmp(&mean(*a)));
    let mut new = [0u8; 256];
    (1u8..).zip(&order).for_each(|(id, old)| new[*old] = id);
    labels.iter_mut().for_each(|l| *l = new[usize::from(*l)]);
    let total: u64 = order.iter().map(|i| stats[*i].1).sum();
    let cell_um2 = (grid.cell_px() * mpp).powi(2);
    let class = |((id, old), color): ((u8, &usize), [u8; 3])| {
        let cells = stats[*old].1;
        Class { id, name: format!("Tissue {id}"), color, cells, area_um2: cells as f64 * cell_um2, share: cells as f64 / total as f64 }
    };
    (1u8..).zip(&order).zip(palette(order.len())).map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_go_from_blue_to_pink_and_shares_add_up() {
        let grid = Grid { rows: 1, columns: 6, stride_px: 16, downsample: 2.0 };
        let (pink, blue, white) = ([230, 120, 180], [110, 80, 160], [240, 240, 240]);
        let mut labels = [2, 2, 2, 9, 9, 0];
        let classes = legend(&mut labels, &grid, 0.25, &[pink, pink, pink, blue, blue, white], &Glass([240.0; 3]));
        assert_eq!(labels, [2, 2, 2, 1, 1, 0]);
        assert_eq!(classes.iter().map(|c| (c.id, c.cells, c.name.as_str())).collect::<Vec<_>>(), [(1, 2, "Tissue 1"), (2, 3, "Tissue 2")]);
        assert!((classes[0].area_um2 - 128.0).abs() < 1e-9);
        assert!((classes.iter().map(|c| c.share).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
