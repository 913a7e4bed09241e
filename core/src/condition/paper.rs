//! The condition of the published HTD networks (design/method.md section 1): for each class a plane that is 1 inside the class, and
//! the RGB of a crop, 0 outside the crop's rectangle. The reference is `condition` in models/reference/htd.py.
//!
//! In: labels of a tile, one a pixel, and a crop a class. Out: planes `[c, h, w]`, c being what the [`Variant`] says. A crop is laid
//! inside its region, in the largest rectangle that fits, and cut to it where it is larger; a class without one, and a class that is
//! not in the tile, have no crop. Fails where labels or crops do not fit the variant.
//!
//! ```
//! use histoloom_core::condition::paper::{Variant, build};
//! let (pink, blue) = (image::RgbImage::from_pixel(9, 9, image::Rgb([255, 0, 255])), image::RgbImage::new(9, 9));
//! let variant = Variant { classes: 2, background: false };
//! let c = build(variant, &[1, 1, 2, 0], 2, 2, &[Some(&pink), Some(&blue)])?;
//! assert_eq!((c.channels, c.plane(0), c.plane(2)), (8, &[1.0, 1.0, 0.0, 0.0][..], &[-1.0, -1.0, 0.0, 0.0][..]));
//! # Ok::<(), histoloom_core::Error>(())
//! ```

use image::RgbImage;

use crate::{Error, Planes, Result, limits};

/// Planes a class takes: one for its shape, three for its crop.
const PLANES: usize = 4;

/// Which planes a condition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Classes with a shape and a crop.
    pub classes: usize,
    /// Whether a plane of the background (label 0) comes first.
    pub background: bool,
}

impl Variant {
    /// The variant with this many planes: 4 n is n classes (Camelyon16: 8), 4 n + 1 adds the background (PANDA: 9); none other.
    pub fn from_channels(channels: usize) -> Option<Self> {
        let (classes, rest) = (channels / PLANES, channels % PLANES);
        (1..=limits::CLASSES).contains(&classes).then_some(())?;
        (rest <= 1).then_some(Self { classes, background: rest == 1 })
    }

    /// Planes of a condition.
    pub fn channels(self) -> usize {
        PLANES * self.classes + usize::from(self.background)
    }
}

/// The condition `[c, h, w]` of `labels` (row-major, 0 = background, class i has label i + 1) with `crops[i]` shown in class i.
pub fn build(variant: Variant, labels: &[u8], h: usize, w: usize, crops: &[Option<&RgbImage>]) -> Result<Planes> {
    if labels.len() != h * w || crops.len() != variant.classes {
        let (l, c) = (labels.len(), crops.len());
        return Err(Error::internal(format!("{l} labels and {c} crops for {h} x {w} pixels of {} classes", variant.classes)));
    }
    if let Some(label) = labels.iter().find(|l| usize::from(**l) > variant.classes) {
        let hint = "map the classes of the tile to those of the network, or use the default model";
        return Err(Error::parameter("from", format!("class {label} for a network of {} classes", variant.classes), hint));
    }
    let mut out = Planes::zeros(variant.channels(), h, w);
    let first = usize::from(variant.background);
    if variant.background {
        mark(out.plane_mut(0), labels, 0);
    }
    for (i, crop) in crops.iter().enumerate() {
        let (at, label) = (first + PLANES * i, i as u8 + 1);
        mark(out.plane_mut(at), labels, label);
        if let (Some(crop), Some(place)) = (crop, largest_rectangle(labels, w, label)) {
            lay(&mut out, at + 1, crop, place);
        }
    }
    Ok(out)
}

/// Sets 1 wherever the label is `label`.
fn mark(plane: &mut [f32], labels: &[u8], label: u8) {
    plane.iter_mut().zip(labels).for_each(|(p, l)| *p = f32::from(u8::from(*l == label)));
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Upper row.
    pub row: usize,
    /// Left column.
    pub column: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Rectangle {
    /// What decides between rectangles: area; among equals the uppermost, leftmost, tallest.
    fn rank(self) -> (usize, std::cmp::Reverse<(usize, usize)>, usize) {
        (self.height * self.width, std::cmp::Reverse((self.row, self.column)), self.height)
    }
}

/// The largest rectangle wholly of `label` in a map of `w` columns, or none where the label is absent. Takes linear time: over each
/// row the heights of the columns above it are kept, and a stack of rising ones.
pub fn largest_rectangle(labels: &[u8], w: usize, label: u8) -> Option<Rectangle> {
    let mut heights = vec![0usize; w];
    let mut best: Option<Rectangle> = None;
    for (row, line) in labels.chunks_exact(w.max(1)).enumerate() {
        heights.iter_mut().zip(line).for_each(|(h, l)| *h = if *l == label { *h + 1 } else { 0 });
        let mut rising: Vec<(usize, usize)> = Vec::new(); // (first column, height)
        for (column, height) in heights.iter().copied().chain([0]).enumerate() {
            let mut from = column;
            while let Some((first, tall)) = rising.pop_if(|(_, tall)| *tall >= height) {
                from = first;
                let found = Rectangle { row: row + 1 - tall, column: first, height: tall, width: column - first };
                if tall > 0 && best.is_none_or(|b| found.rank() > b.rank()) {
                    best = Some(found);
                }
            }
            rising.push((from, height));
        }
    }
    best
}

/// Lays the middle of a crop over the middle of a rectangle, in [-1, 1].
fn lay(out: &mut Planes, first: usize, crop: &RgbImage, place: Rectangle) {
    let (ch, cw) = (crop.height() as usize, crop.width() as usize);
    let (h, w) = (place.height.min(ch), place.width.min(cw));
    let (y, x) = ((ch - h) / 2, (cw - w) / 2);
    let (row, column) = (place.row + (place.height - h) / 2, place.column + (place.width - w) / 2);
    let columns = out.width;
    for k in 0..3 {
        let plane = out.plane_mut(first + k);
        for r in 0..h {
            let to = plane.iter_mut().skip((row + r) * columns + column).take(w);
            let from = crop.as_raw().iter().skip(((y + r) * cw + x) * 3 + k).step_by(3);
            to.zip(from).for_each(|(to, v)| *to = f32::from(*v) / 127.5 - 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn the_variant_follows_from_the_number_of_planes() {
        for (channels, classes, background) in [(8, 2, false), (9, 2, true), (4, 1, false), (401, 100, true)] {
            let v = Variant::from_channels(channels).unwrap();
            assert_eq!((v.classes, v.background, v.channels()), (classes, background, channels));
        }
        for channels in [0, 1, 3, 6, 7, 404, usize::MAX] {
            assert_eq!(Variant::from_channels(channels), None, "{channels}");
        }
    }

    /// Every rectangle tried.
    fn slow(labels: &[u8], w: usize, label: u8) -> Option<Rectangle> {
        let h = labels.len() / w;
        let mut best: Option<Rectangle> = None;
        for (row, column) in (0..h).flat_map(|r| (0..w).map(move |c| (r, c))) {
            for (height, width) in (1..=h - row).flat_map(|a| (1..=w - column).map(move |b| (a, b))) {
                let r = Rectangle { row, column, height, width };
                let full = (row..row + height).all(|y| labels[y * w + column..][..width].iter().all(|l| *l == label));
                if full && best.is_none_or(|b| r.rank() > b.rank()) {
                    best = Some(r);
                }
            }
        }
        best
    }

    #[test]
    fn the_largest_rectangle_is_that_of_trying_all() {
        let mut stream = Stream::new(3, 0, 0);
        for (w, h, rare) in [(1, 1, 2), (7, 5, 2), (9, 9, 4), (12, 6, 9), (5, 11, 3)] {
            for _ in 0..40 {
                let labels: Vec<u8> = (0..w * h).map(|_| u8::from(stream.below(rare) > 0)).collect();
                assert_eq!(largest_rectangle(&labels, w, 1), slow(&labels, w, 1), "{w} x {h}: {labels:?}");
            }
        }
        assert_eq!(largest_rectangle(&[], 0, 1), None);
    }

    #[test]
    fn a_crop_never_leaves_its_region_even_where_the_centroid_does() {
        let n = 64usize;
        let ring = |i: usize| {
            let (dy, dx) = ((i / n) as f64 - 31.5, (i % n) as f64 - 31.5);
            u8::from((15.0..30.0).contains(&dy.hypot(dx)))
        };
        let labels: Vec<u8> = (0..n * n).map(ring).collect();
        let crop = RgbImage::from_pixel(50, 50, image::Rgb([255, 128, 0]));
        let c = build(Variant { classes: 1, background: true }, &labels, n, n, &[Some(&crop)]).unwrap();
        let shown: Vec<usize> = (0..n * n).filter(|i| c.plane(2)[*i] != 0.0).collect();
        assert!(shown.len() > 200 && shown.iter().all(|i| labels[*i] == 1), "{} pixels", shown.len());
        assert!(c.plane(0).iter().zip(c.plane(1)).all(|(b, r)| b + r == 1.0));
    }

    #[test]
    fn what_does_not_fit_the_variant_is_refused() {
        let two = Variant { classes: 2, background: false };
        assert!(build(two, &[3, 0], 1, 2, &[None, None]).unwrap_err().to_string().contains("class 3 for a network of 2 classes"));
        assert!(build(two, &[1, 0], 1, 2, &[None]).is_err() && build(two, &[1], 1, 2, &[None, None]).is_err());
        assert!(build(two, &[0, 2], 1, 2, &[None, None]).is_ok_and(|c| c.plane(4) == [0.0, 1.0]));
    }
}
