//! Classes in the order of their labels with names, colours and areas.

use super::{Class, palette::palette};

/// The classes that have cells, `cell_um` wide. A label always has the same colour.
pub fn legend(labels: &[u8], cell_um: f64) -> Vec<Class> {
    let most = labels.iter().copied().max().unwrap_or(0);
    let new = |(id, color): (u8, [u8; 3])| Class { id, name: format!("Tissue {id}"), color, cells: 0, area_um2: 0.0, share: 0.0 };
    let mut classes: Vec<Class> = (1u8..).zip(palette(usize::from(most))).map(new).collect();
    described(&mut classes, labels, cell_um);
    classes
}

/// Sets cells, areas and shares of classes; those without a cell are taken out.
pub fn described(classes: &mut Vec<Class>, labels: &[u8], cell_um: f64) {
    let mut cells = [0u64; 256];
    labels.iter().for_each(|l| cells[usize::from(*l)] += 1);
    let total: u64 = cells[1..].iter().sum();
    for class in classes.iter_mut() {
        class.cells = cells[usize::from(class.id)];
        class.area_um2 = class.cells as f64 * cell_um * cell_um;
        class.share = class.cells as f64 / total.max(1) as f64;
    }
    classes.retain(|c| c.cells > 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_label_and_colour_and_shares_add_up() {
        let classes = legend(&[2, 2, 2, 9, 9, 0], 8.0);
        assert_eq!(classes.iter().map(|c| (c.id, c.cells, c.name.as_str())).collect::<Vec<_>>(), [(2, 3, "Tissue 2"), (9, 2, "Tissue 9")]);
        assert_eq!((classes[0].color, classes[1].color), (palette(2)[1], palette(9)[8]));
        assert!((classes[1].area_um2 - 128.0).abs() < 1e-9);
        assert!((classes.iter().map(|c| c.share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(legend(&[0, 0], 8.0).is_empty());
    }
}
