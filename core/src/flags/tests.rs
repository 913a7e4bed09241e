use image::{Rgb, RgbImage};

use super::*;
use crate::semantic_map::{Bank, SemanticMap};
use crate::synth::fakes::{Colors, PINK, PURPLE, map, tissue};
use crate::{Encoder, Planes};

fn spread(v: f32) -> Planes {
    Planes::new(1, 32, 32, vec![v; 1024]).unwrap()
}

fn codes(flags: &TileFlags) -> Vec<&str> {
    flags.flags.iter().map(|f| f.code.as_str()).collect()
}

/// Left half pink tissue asked for as class 1, right half purple as class 2.
fn halves() -> (RgbImage, Vec<u8>) {
    let (a, b) = (tissue(PINK, 256, 5), tissue(PURPLE, 256, 6));
    let rgb = RgbImage::from_fn(256, 256, |x, y| *(if x < 128 { &a } else { &b }).get_pixel(x, y));
    (rgb, (0..256 * 256).map(|i| 1 + u8::from(i % 256 >= 128)).collect())
}

#[test]
fn inverse_realism_is_the_published_formula() {
    // 12 embeddings on a line: the radii to the 5th neighbour are 5 4 3 3 ... 3 4 5, the median 3, so 2..=9 keep spheres of 3
    let bank = Bank { channels: 1, classes: vec![1; 12], rows: (0u8..12).map(f32::from).collect() };
    let m = Manifold::new(&bank).unwrap();
    let s1 = |x: f32| m.inverse_realism(1, &[x]).unwrap().0;
    for (x, want) in [(5.0, 0.0), (12.0, 1.0), (15.0, 2.0), (-4.0, 2.0), (5.5, 1.0 / 6.0)] {
        assert!((s1(x) - want).abs() < 1e-5, "{x}: {} instead of {want}", s1(x));
    }
    // leaving itself out, a row's own score is 1/3 inside, 2/3 at 0 and 11: the 95th percentile of 12 is the largest
    assert!((m.inverse_realism(1, &[0.0]).unwrap().1 - 2.0 / 3.0).abs() < 1e-5);
    assert!(m.inverse_realism(2, &[0.0]).is_none(), "a class the bank does not hold");
    let few = Bank { channels: 1, classes: vec![1; 11], rows: vec![0.0; 11] };
    assert!(Manifold::new(&few).unwrap().inverse_realism(1, &[0.0]).is_none(), "too few rows");
    assert!(Manifold::new(&Bank::default()).is_none());
    let nan = Bank { channels: 1, classes: vec![1; 12], rows: vec![f32::NAN; 12] };
    assert!(Manifold::new(&nan).is_none());
}

#[test]
fn good_tissue_is_uncalibrated_and_nothing_else() {
    let m = map();
    let (rgb, labels) = halves();
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &spread(0.0)).unwrap();
    let off = codes(&f).iter().filter(|c| **c == "S1_OFF_MANIFOLD").count();
    assert!(off <= 16, "about 5 % of real cells lie above the 95th percentile: {off} of 64");
    assert!(codes(&f).iter().all(|c| ["UNCALIBRATED", "S1_OFF_MANIFOLD"].contains(c)), "{:?}", codes(&f));
    assert!(!f.calibrated && f.scores.plane(1).iter().all(|v| *v == 0.0) && f.scores.plane(4).iter().all(|v| *v == 0.0));
}

#[test]
fn a_swapped_class_raises_s1_and_s2_there_and_nowhere_else() {
    let m = map();
    let (rgb, mut labels) = halves();
    for i in (0..256 * 256).filter(|i| i % 256 < 64 && i / 256 < 64) {
        labels[i] = 2;
    }
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &spread(0.0)).unwrap();
    for (i, (s1, s2)) in f.scores.plane(0).iter().zip(f.scores.plane(1)).enumerate() {
        let swapped = i % 8 < 2 && i / 8 < 2;
        assert_eq!(*s2 > 0.5, swapped, "cell {i}: S2 {s2}");
        assert_eq!(*s1 > 8.0, swapped, "cell {i}: S1 {s1}");
    }
    let cells: Vec<_> = f.flags.iter().filter(|f| f.score > Some(8.0)).map(|f| f.cell.unwrap()).collect();
    assert_eq!(cells, [(0, 0), (0, 1), (1, 0), (1, 1)]);
}

#[test]
fn a_wrong_stain_is_flagged_in_its_cell_and_glass_is_not() {
    let m = map();
    let (mut rgb, mut labels) = halves();
    for i in 0..32 * 32 {
        rgb.put_pixel(64 + i % 32, 96 + i / 32, Rgb([40, 160, 60])); // green
        rgb.put_pixel(i % 32, i / 32, Rgb([250, 250, 250])); // glass
        labels[(i / 32 * 256 + i % 32) as usize] = 0;
    }
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &spread(0.0)).unwrap();
    let stained: Vec<_> = f.flags.iter().filter(|f| f.code == "S6_STAIN").collect();
    assert_eq!(stained.iter().map(|f| f.cell).collect::<Vec<_>>(), [Some((3, 2))]);
    assert!(stained[0].score > Some(0.5) && f.scores.plane(0)[0].is_nan() && f.scores.plane(1)[0].is_nan());
}

#[test]
fn stain_limits_come_from_the_crops_or_are_those_of_h_and_e() {
    let m = map();
    let own = StainLimits::of(&m);
    assert!(own.from_crops && own.density < 1.0);
    let none = StainLimits::of(&SemanticMap { crops: Vec::new(), ..map() });
    assert_eq!(none, StainLimits::HE);
    // Ruifrok and Johnston's pure stains lie inside, methyl green and pure blue outside
    let stain = |od: [f32; 3]| Stain { density: 0.4, shares: od.map(|v| v / od.iter().sum::<f32>()) };
    for inside in [[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.4, 0.8, 0.25]] {
        assert_eq!(none.outside(&stain(inside)), 0.0, "{inside:?}");
    }
    for outside in [[0.98, 0.144, 0.133], [0.1, 0.1, 0.9]] {
        assert!(none.outside(&stain(outside)) > 0.0, "{outside:?}");
    }
    assert!(none.outside(&Stain { density: 2.0, ..stain([0.65, 0.7, 0.29]) }) > 0.0, "ink");
}

#[test]
fn saturated_tissue_is_flagged() {
    let m = map();
    let (mut rgb, labels) = halves();
    for (i, p) in rgb.pixels_mut().enumerate() {
        if i % 10 == 0 {
            p.0[0] = 255;
        }
    }
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &spread(0.0)).unwrap();
    let flag = f.flags.iter().find(|f| f.code == "S6_SATURATED").unwrap();
    assert!((flag.score.unwrap() - 0.1).abs() < 0.001 && flag.threshold == Some(f64::from(0.05f32)), "{flag:?}");
    assert!(f.scores.plane(3).iter().all(|v| (v - 0.1).abs() < 0.02));
}

#[test]
fn a_crop_that_looks_like_another_class_is_a_bad_request() {
    let mut m = map();
    m.crops[2].rgb = tissue(PURPLE, 96, 3); // declared class 1
    let mut s = Scorer::new(&m, &Colors);
    assert_eq!(s.crop(0).unwrap(), None);
    let flag = s.crop(2).unwrap().unwrap();
    assert_eq!((flag.code.as_str(), flag.reason.as_str()), ("S6_BAD_CROP", "A crop shown as stroma looks more like tumour."));
    assert_eq!(s.crop(2).unwrap(), Some(flag));
}

#[test]
fn without_a_bank_of_this_encoder_it_says_that_nothing_was_judged() {
    let (rgb, labels) = halves();
    for bank in [Bank::default(), Bank { channels: 2, classes: vec![1; 20], rows: vec![0.0; 40] }] {
        let m = SemanticMap { bank, ..map() };
        let mut s = Scorer::new(&m, &Colors);
        let f = s.score(&rgb, &labels, &spread(0.0)).unwrap();
        assert_eq!(codes(&f), ["UNCALIBRATED", "NOT_SCORED"]);
        assert_eq!(s.crop(0).unwrap(), None);
    }
    let mut m = map();
    m.bank.classes.truncate(64 + 3);
    m.bank.rows.truncate(m.bank.channels * (64 + 3));
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &spread(0.0)).unwrap();
    assert!(f.flags.iter().any(|f| f.code == "NOT_SCORED" && f.reason.contains("tumour")));
}

#[test]
fn instability_is_a_logarithm_by_cell() {
    let m = map();
    let (rgb, labels) = halves();
    let mut s = spread(0.0);
    s.plane_mut(0)[5 * 32 + 9] = 16.0; // cell (1, 2), one of its 16 latents
    let f = Scorer::new(&m, &Colors).score(&rgb, &labels, &s).unwrap();
    assert!(f.scores.plane(2)[8 + 2].abs() < 1e-6 && f.scores.plane(2)[0] < -18.0);
    assert!(withheld(256).scores.height == 8 && codes(&withheld(128)) == ["UNCALIBRATED", "S6_NON_FINITE"]);
    assert!(withheld(128).scores.data.iter().all(|v| v.is_nan()), "nothing was judged");
}

#[test]
fn features_do_not_depend_on_the_direction_of_texture_and_cells_take_the_majority() {
    let rgb = tissue(PINK, 128, 1);
    let turned = image::imageops::rotate90(&rgb);
    let (a, b) = (features(&Colors, &rgb).unwrap(), features(&Colors, &turned).unwrap());
    assert_eq!((a.height, a.width, a.channels), (8, 8, Colors.channels()));
    assert!((0..64).all(|i| (a.at(1, i / 8, i % 8) - b.at(1, i % 8, 7 - i / 8)).abs() < 1e-4));
    assert!(a.plane(0).iter().zip(Colors.embed(&[rgb]).unwrap()[0].plane(0)).all(|(a, b)| (a - b).abs() < 1e-4));
    let labels: Vec<u8> = (0..64 * 64).map(|i| if i % 64 < 40 { 3 } else { 7 }).collect();
    let cells = cell_labels(&labels, 64, 32);
    assert_eq!(cells, [(3, 1.0), (7, 0.75), (3, 1.0), (7, 0.75)].map(|(class, purity)| CellLabel { class, purity }));
}
