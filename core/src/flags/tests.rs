use image::{Rgb, RgbImage, imageops};

use super::calibration::Ranks;
use super::calibration::tests::calibration;
use super::duplicates::{Duplicates, Index, Indexed, Own};
use super::score::index::*;
use super::*;
use crate::cluster::{Centroids, Hierarchy};
use crate::semantic_map::tissue::CELLS;
use crate::semantic_map::{Bank, SemanticMap, TissueCell, TissueTile, Tree};
use crate::synth::fakes::{Colors, PINK, PURPLE, Pooling, map, tissue};
use crate::{Encoder, Error, Job, LatentCodec, Planes};

fn of<'a>(rgb: &'a RgbImage, labels: &'a [u8]) -> Scored<'a> {
    Scored { rgb, labels, unstable: None, disagree: None, crops: &[], own: None, generated: false }
}

fn scored(m: &SemanticMap, rgb: &RgbImage, labels: &[u8]) -> TileFlags {
    Scorer::new(m, &Colors, None, Judge::default(), &Job::new()).unwrap().score(&of(rgb, labels), &Job::new()).unwrap()
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
    let f = scored(&m, &rgb, &labels);
    assert_eq!(codes(&f), ["UNCALIBRATED"]);
    assert!(!f.calibrated() && f.fused.is_none());
    assert!(f.scores.plane(MAP_DISAGREES).iter().all(|v| *v < 0.0) && f.scores.plane(STAIN).iter().all(|v| *v == 0.0));
    let off = f.scores.plane(OFF_MANIFOLD).iter().filter(|v| **v > 1.0).count();
    assert!(off <= 16, "about 5 % of real cells lie above the 95th percentile: {off} of 64");
    assert!(f.scores.plane(SEEDS_DISAGREE).iter().all(|v| v.is_nan()), "what nobody measured is not good");
}

#[test]
fn a_swapped_class_raises_s1_and_s2_there_and_nowhere_else() {
    let m = map();
    let (rgb, mut labels) = halves();
    for i in (0..256 * 256).filter(|i| i % 256 < 96 && i / 256 < 96) {
        labels[i] = 2;
    }
    let f = scored(&m, &rgb, &labels);
    for (i, (s1, s2)) in f.scores.plane(OFF_MANIFOLD).iter().zip(f.scores.plane(MAP_DISAGREES)).enumerate() {
        let swapped = i % 8 < 3 && i / 8 < 3;
        assert_eq!(*s2 > 0.5, swapped, "cell {i}: S2 {s2}");
        assert_eq!(*s1 > 8.0, swapped, "cell {i}: S1 {s1}");
    }
}

#[test]
fn prototypes_are_the_leaves_of_the_map_where_they_are_of_this_encoder() {
    let (rgb, labels) = halves();
    let plain = map();
    let means = scored(&plain, &rgb, &labels);
    let mut m = map();
    let leaf = |c: [u8; 3]| [c.map(f32::from).to_vec(), vec![0.0; 13]].concat();
    let leaves = Centroids { channels: 16, data: [leaf(PINK), leaf(PURPLE)].concat() };
    // one leaf a class, but the second is called class 1 too: everything is class 1 then
    m.tree = Some(Tree {
        hierarchy: Hierarchy::of_leaves(leaves, vec![100, 100], 200.0 * 25.0),
        leaves: m.labels.iter().map(|l| u8::from(*l > 0)).collect(),
        readings: Vec::new(),
    });
    m.provenance = serde_json::json!({"encoder": {"sha256": Colors.sha256()}, "parameters": {"normalise": "none"}});
    let mixed = scored(&m, &rgb, &labels);
    assert_ne!(mixed.scores.plane(MAP_DISAGREES)[0].to_bits(), means.scores.plane(MAP_DISAGREES)[0].to_bits());
    let tree = m.tree.as_mut().unwrap();
    tree.leaves = m.labels.clone();
    let own = scored(&m, &rgb, &labels);
    assert!(own.scores.plane(MAP_DISAGREES).iter().all(|v| *v < 0.0));
    m.provenance = serde_json::json!({"encoder": {"sha256": "another"}});
    assert_eq!(scored(&m, &rgb, &labels).scores.plane(MAP_DISAGREES)[9].to_bits(), means.scores.plane(MAP_DISAGREES)[9].to_bits());
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
    let f = scored(&m, &rgb, &labels);
    let stained: Vec<_> = f.flags.iter().filter(|f| f.code == "S6_STAIN").collect();
    assert_eq!(stained.iter().map(|f| f.cell).collect::<Vec<_>>(), [Some((3, 2))]);
    assert!(stained[0].score > Some(0.5) && f.scores.plane(OFF_MANIFOLD)[0].is_nan() && f.scores.plane(MAP_DISAGREES)[0].is_nan());
}

#[test]
fn seeds_that_disagree_flag_where_the_reference_is_of_as_many() {
    let (m, (rgb, labels)) = (map(), halves());
    let s4 = Ranks { name: SCORES[SEEDS_DISAGREE].name.into(), values: vec![0.1, 0.2, 0.3] };
    let c = Calibration { seeds: 4, ranks: vec![s4], ..calibration(1.5) };
    let scorer = Scorer::new(&m, &Colors, None, Judge { calibration: Some((&c, "c")), ..Judge::default() }, &Job::new()).unwrap();
    let flagged = |seeds: u32, entropy: f32| {
        let flags = scorer.score(&Scored { disagree: Some((&[entropy; 64], seeds)), ..of(&rgb, &labels) }, &Job::new()).unwrap();
        assert_eq!(flags.scores.plane(SEEDS_DISAGREE)[0], entropy, "told all the same");
        codes(&flags).contains(&"S4_SEEDS_DISAGREE")
    };
    assert!(flagged(4, 1.0) && !flagged(4, 0.2) && !flagged(3, 1.0));
}

#[test]
fn stains_are_known_from_the_slide_or_those_of_h_and_e() {
    let none = StainLimits::of(&SemanticMap { tissue: Vec::new(), crops: Vec::new(), ..map() });
    assert!(none.known.is_empty());
    // Ruifrok and Johnston's pure stains lie inside, methyl green and pure blue outside
    let stain = |od: [f32; 3]| Stain { density: 0.4, shares: od.map(|v| v / od.iter().sum::<f32>()) };
    for inside in [[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.4, 0.8, 0.25]] {
        assert_eq!(none.outside(&stain(inside)), 0.0, "{inside:?}");
    }
    for outside in [[0.98, 0.144, 0.133], [0.1, 0.1, 0.9]] {
        assert!(none.outside(&stain(outside)) > 0.0, "{outside:?}");
    }
    assert!(none.outside(&Stain { density: 2.0, ..stain([0.65, 0.7, 0.29]) }) > 0.0, "ink");
    // what the slide holds is known, another colour of H&E is not
    let own = StainLimits::of(&map());
    assert!(!own.known.is_empty() && own.known.iter().all(|s| own.outside(s) == 0.0));
    assert!(own.outside(&stain([0.072, 0.990, 0.105])) > 0.0);
    // tiles that differ by more than even ones do are allowed more, up to twice as much
    let apart = |by: f32| {
        let even = stain([0.3, 0.5, 0.2]).shares;
        let of = |tile: u8| {
            let by = by * f32::from(tile);
            let stain = Stain { density: 0.4, shares: [even[0] + by, even[1] - by, even[2]] };
            TissueTile { row: 0, column: 0, cells: vec![TissueCell { stain, clipped: 0.0, fineness: 0.0 }; CELLS] }
        };
        StainLimits::of(&SemanticMap { tissue: (0..4).map(of).collect(), crops: Vec::new(), ..map() }).near
    };
    assert_eq!((apart(0.0), apart(0.005), apart(0.1)), (0.03, 0.03, 0.06));
    assert!((apart(0.01) - 3.0 * 0.01 * 2f32.sqrt()).abs() < 1e-4, "{}", apart(0.01));
    // a scan that clips a little everywhere may, one that clips a lot stays flagged
    let clipping = |share: f32| {
        let mut m = map();
        m.tissue.iter_mut().flat_map(|tile| &mut tile.cells).for_each(|c| c.clipped = share);
        StainLimits::of(&m).saturation
    };
    assert!(clipping(0.0) == 0.05 && (clipping(0.05) - 0.1).abs() < 1e-5 && clipping(0.4) == 0.3);
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
    let f = scored(&m, &rgb, &labels);
    let flag = f.flags.iter().find(|f| f.code == "S6_SATURATED").unwrap();
    assert!((flag.score.unwrap() - 0.1).abs() < 0.001 && flag.threshold == Some(f64::from(0.05f32)), "{flag:?}");
    assert!(f.scores.plane(SATURATION).iter().all(|v| (v - 0.1).abs() < 0.02));
}

#[test]
fn a_crop_that_looks_like_another_class_is_a_bad_request() {
    let mut m = map();
    m.crops[2].rgb = tissue(PURPLE, 96, 3); // declared class 1
    let mut s = Scorer::new(&m, &Colors, None, Judge::default(), &Job::new()).unwrap();
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
        let mut s = Scorer::new(&m, &Colors, None, Judge::default(), &Job::new()).unwrap();
        let f = s.score(&of(&rgb, &labels), &Job::new()).unwrap();
        assert_eq!(codes(&f), ["UNCALIBRATED", "NOT_SCORED"]);
        assert_eq!(s.crop(0).unwrap(), None);
    }
    let mut m = map();
    m.bank.classes.truncate(64 + 3);
    m.bank.rows.truncate(m.bank.channels * (64 + 3));
    let f = scored(&m, &rgb, &labels);
    assert!(f.flags.iter().any(|f| f.code == "NOT_SCORED" && f.reason.contains("tumour")));
}

#[test]
fn instability_is_a_logarithm_by_cell() {
    let m = map();
    let (rgb, labels) = halves();
    let mut spread = Planes::zeros(1, 32, 32);
    spread.plane_mut(0)[5 * 32 + 9] = 16.0; // cell (1, 2), one of its 16 latents
    let s3 = unstable(&spread);
    let tile = Scored { unstable: Some(&s3), ..of(&rgb, &labels) };
    let f = Scorer::new(&m, &Colors, None, Judge::default(), &Job::new()).unwrap().score(&tile, &Job::new()).unwrap();
    assert!(f.scores.plane(UNSTABLE)[8 + 2].abs() < 1e-6 && f.scores.plane(UNSTABLE)[0] < -18.0);
    assert!(withheld(256).scores.height == 8 && codes(&withheld(128)) == ["UNCALIBRATED", "S6_NON_FINITE"]);
    assert!(withheld(128).scores.data.iter().all(|v| v.is_nan()), "nothing was judged");
}

#[test]
fn blur_lies_below_the_slide_s_tissue_noise_above_and_a_lattice_is_seen_for_itself() {
    let m = map();
    let (rgb, labels) = halves();
    let tile = |f: &TileFlags, i: usize| f.tile_scores.unwrap()[i];
    let plain = scored(&m, &rgb, &labels);
    let soft = scored(&m, &imageops::blur(&rgb, 2.0), &labels);
    assert!(tile(&soft, SOFT) > tile(&plain, SOFT) + 2.0, "{} after {}", tile(&soft, SOFT), tile(&plain, SOFT));
    assert!(tile(&soft, GRAINY) < -2.0 && tile(&plain, SOFT) < 2.0 && tile(&plain, GRAINY) < 2.0);
    let with = |of: &dyn Fn(u32, u32) -> i32| {
        RgbImage::from_fn(256, 256, |x, y| Rgb(rgb.get_pixel(x, y).0.map(|v| (i32::from(v) + of(x, y)).clamp(0, 255) as u8)))
    };
    let noisy = scored(&m, &with(&|x, y| (x * 7919 + y * 104_729 + x * y * 31) as i32 % 41 - 20), &labels);
    assert!(tile(&noisy, GRAINY) > tile(&plain, GRAINY) + 1.0);
    let (lattice, none) = (with(&|x, y| if (x / 2 + y / 2) % 2 == 0 { 8 } else { -8 }), tile(&noisy, LATTICE));
    assert!(tile(&scored(&m, &lattice, &labels), LATTICE) > none.max(-3.0), "{none}");
}

#[test]
fn what_the_autoencoder_does_to_any_tissue_is_not_soft_and_the_same_in_a_scan_is() {
    let m = map();
    let (rgb, labels) = halves();
    let rendered = Pooling.decode(&Pooling.encode(&[rgb]).unwrap()).unwrap().remove(0);
    let scorer = Scorer::new(&m, &Colors, Some(&Pooling), Judge::default(), &Job::new()).unwrap();
    let soft = |generated: bool| {
        let flags = scorer.score(&Scored { generated, ..of(&rendered, &labels) }, &Job::new()).unwrap();
        flags.tile_scores.unwrap()[SOFT]
    };
    assert!(soft(true).abs() < 3.0 && soft(false) > 5.0, "{} and {}", soft(true), soft(false));
}

#[test]
fn a_pasted_crop_is_found_where_it_lies_and_another_piece_of_the_same_tissue_is_not() {
    let mut m = map();
    // structure that survives half the resolution
    let detailed = |seed: u64| {
        let mut rgb = imageops::blur(&tissue(PINK, 256, seed), 2.0);
        rgb.pixels_mut()
            .for_each(|p| p.0 = [0, 1, 2].map(|c| (7.0 * (f32::from(p.0[c]) - f32::from(PINK[c])) + 120.0).clamp(20.0, 250.0) as u8));
        rgb
    };
    let (tile, crop) = (detailed(1), imageops::crop_imm(&detailed(2), 10, 20, 128, 128).to_image());
    m.crops[0].rgb = crop;
    let labels = vec![1; 256 * 256];
    let score = |rgb: &RgbImage| {
        let s = Scorer::new(&m, &Colors, None, Judge::default(), &Job::new()).unwrap();
        s.score(&Scored { crops: &[0], ..of(rgb, &labels) }, &Job::new()).unwrap()
    };
    let job = Job::new();
    job.cancel();
    let s = Scorer::new(&m, &Colors, None, Judge::default(), &Job::new()).unwrap();
    assert!(matches!(s.score(&Scored { crops: &[0], ..of(&tile, &labels) }, &job), Err(Error::Cancelled)));
    let (clean, mut pasted) = (score(&tile), tile.clone());
    let core = imageops::crop_imm(&m.crops[0].rgb, 16, 16, 96, 96).to_image();
    imageops::replace(&mut pasted, &core, 133, 71);
    let pasted = score(&pasted);
    let of_tile = |f: &TileFlags| f.tile_scores.unwrap()[CROP_COPY];
    assert!(of_tile(&clean) < 0.8 && of_tile(&pasted) > 0.95, "{} {}", of_tile(&clean), of_tile(&pasted));
    let cells: Vec<usize> = (0..64).filter(|i| pasted.scores.plane(CROP_COPY)[*i] > 0.95).collect();
    assert!(!cells.is_empty() && cells.iter().all(|i| (2..=5).contains(&(i / 8)) && (4..=7).contains(&(i % 8))), "{cells:?}");
}

#[test]
fn a_copy_is_nearer_to_its_original_than_to_anything_else_in_any_orientation() {
    let field = |seed: u64| imageops::blur(&tissue(PINK, 512, seed), 6.0);
    let cells = |rgb: &RgbImage| {
        let f = features(&Colors, rgb).unwrap();
        let index = Index { encoder_sha256: Colors.sha256().into(), channels: 16, scale: 2.0, pictures: Vec::new() };
        let row = |i: usize| {
            (0..16)
                .map(|c| index.packed((0..4).map(|n| f.at(c, i / 16 * 2 + n / 2, i % 16 * 2 + n % 2)).sum::<f32>() / 4.0))
                .collect::<Vec<i8>>()
        };
        (0..256).flat_map(row).collect::<Vec<i8>>()
    };
    let picture = |i: u64| Indexed { id_sha256: format!("{i}"), mpp: 0.5, rows: 16, columns: 16, cells: cells(&field(i)) };
    let index = Index { encoder_sha256: Colors.sha256().into(), channels: 16, scale: 2.0, pictures: (0..6).map(picture).collect() };
    let d = Duplicates::new(index.clone(), &Colors).unwrap();
    let nearest = |rgb: &RgbImage, own: Option<Own<'_>>| {
        let found = d.nearest(&features(&Colors, rgb).unwrap(), 16, 0.5, own, &Job::new()).unwrap();
        found.into_iter().map(|(_, _, n)| n).reduce(|a, b| if b.score > a.score { b } else { a }).unwrap()
    };
    let part = imageops::crop_imm(&field(3), 64, 128, 256, 256).to_image();
    let other = imageops::crop_imm(&field(9), 64, 128, 256, 256).to_image();
    let ordinary = nearest(&other, None).score;
    for turned in [part.clone(), imageops::rotate90(&part), imageops::flip_horizontal(&part)] {
        let n = nearest(&turned, None);
        assert!(n.picture == 3 && n.score > ordinary + 0.2, "{n:?} against {ordinary}");
        let own = |row, column| Own { id_sha256: "3", row, column, cells: 8 };
        assert!(nearest(&turned, Some(own(4, 2))).score < n.score - 0.1, "its own place does not count");
        assert_eq!(nearest(&turned, Some(own(40, 40))), n, "the rest of its picture does");
    }
    assert!(Duplicates::new(Index { encoder_sha256: "x".into(), ..index }, &Colors).is_none());
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

#[test]
fn a_code_is_told_once_with_its_first_sentence() {
    let flags = ["b", "a"].map(|reason| Flag::tile("S1", reason)).into_iter().chain([Flag::tile("NOT_SCORED", "c")]).collect();
    let told = TileFlags { flags, ..scored(&map(), &halves().0, &halves().1) };
    assert_eq!(told.reasons().into_iter().collect::<Vec<_>>(), [("NOT_SCORED", "c"), ("S1", "b")]);
}
