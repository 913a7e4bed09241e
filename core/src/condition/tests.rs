use image::{Rgb, RgbImage};

use super::*;
use crate::Planes;
use crate::semantic_map::{Bank, Class, Crop, SemanticMap};

/// A map of 60 x 80 cells of 16 px: glass left, class 1 in the middle, class 2 right of a diagonal; crops at the given corners.
fn map(crops: &[(u8, i64, i64)]) -> SemanticMap {
    let (rows, columns) = (60, 80);
    let label = |r: usize, c: usize| if c < 20 { 0 } else { 1 + u8::from(c > 30 + r / 2) };
    let labels: Vec<u8> = (0..rows * columns).map(|i| label(i / columns, i % columns)).collect();
    let class = |id: u8| Class { id, name: format!("class {id}"), color: [id; 3], cells: 1, area_um2: 64.0, share: 0.5 };
    let crop = |&(class, x, y): &(u8, i64, i64)| Crop { class, x, y, rgb: RgbImage::from_pixel(128, 128, Rgb([class; 3])) };
    SemanticMap {
        rows,
        columns,
        labels,
        cell_px: 32.0, // 0.25 um/px at level 0: a cell of 8 um is 16 px at the working 0.5 um/px
        mpp: 0.25,
        work_mpp: 0.5,
        classes: vec![class(1), class(2)],
        crops: crops.iter().map(crop).collect(),
        tree: None,
        history: None,
        atlas: None,
        bank: Bank::default(),
        artefacts: None,
        tissue: Vec::new(),
        thumbnail: RgbImage::new(8, 8),
        provenance: serde_json::json!({}),
    }
}

#[test]
fn the_crop_field_is_that_of_the_reference() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/condition_field.json")).unwrap();
    let labels: Vec<u8> = golden["labels"].as_array().unwrap().iter().flat_map(|r| r.as_str().unwrap().bytes().map(|b| b - b'0')).collect();
    let number = |v: &serde_json::Value| v.as_u64().unwrap() as usize;
    let crops: Vec<_> = golden["crops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let (class, slot, side) = (number(&c[0]), number(&c[1]), number(&c[2]));
            let mut p = Planes::zeros(LATENT, side, side);
            for (i, v) in p.data.iter_mut().enumerate() {
                let (channel, y, x) = (i / (side * side), i / side % side, i % side);
                *v = (10000 * class + 1000 * slot + 100 * (channel % 8) + 10 * y + x) as f32;
            }
            (class as u8, p, (number(&c[3][0]), number(&c[3][1])))
        })
        .collect();
    let texture = |class: u8| [1, 3].contains(&class).then(|| (0..TEXTURE).map(|i| 2.0 * (10.0 * f32::from(class) + i as f32)).collect());
    let measures = |class: u8| {
        let k = f32::from(class);
        [2, 3].contains(&class).then_some(Measures { haematoxylin: k, eosin: k + 1.0, nuclei: k + 2.0 })
    };
    let pair = |class: u8| crops.chunks(2).find(|p| p[0].0 == class).map(|p| [(&p[0].1, p[0].2), (&p[1].1, p[1].2)]);
    let laid: Vec<_> =
        (1..=3).map(|class| Laid { class, crops: pair(class), texture: texture(class), measures: measures(class) }).collect();
    let built = build(&labels, 8, 8, &laid).unwrap();
    let want: Vec<f32> =
        golden["planes"].as_array().unwrap().iter().flat_map(|p| p.as_array().unwrap()).map(|v| number(v) as f32).collect();
    assert_eq!((built.channels, built.data.len()), (CHANNELS, want.len()));
    assert_eq!(built.data, want);
    assert!(unconditional(8, 8).data.iter().all(|v| *v == 0.0));
}

#[test]
fn latent_labels_are_those_of_the_cells_and_pixel_labels_agree_with_them() {
    let m = map(&[]);
    let place = Places::new(&m, 256).unwrap().choose(3, 0);
    assert_eq!((place.cells, place.side_px), (16.0, 512.0));
    let (latents, pixels) = (window_labels(&m, &place, 32), window_labels(&m, &place, 256));
    let mut equal = 0;
    for (i, l) in latents.iter().enumerate() {
        let (r, c) = (i / 32, i % 32);
        assert_eq!(*l, m.labels[(place.row as usize + r / 2) * m.columns + place.column as usize + c / 2]);
        let block: Vec<u8> = (0..64).map(|k| pixels[(8 * r + k / 8) * 256 + 8 * c + k % 8]).collect();
        let same = block.iter().filter(|p| *p == l).count();
        assert!(same > 32, "cell ({r}, {c}): {same} of 64 pixels agree");
        equal += same;
    }
    let classes = |labels: &[u8]| labels.iter().copied().collect::<std::collections::BTreeSet<u8>>();
    for tile in 0..100 {
        let place = Places::new(&m, 256).unwrap().choose(4, tile);
        assert_eq!(classes(&window_labels(&m, &place, 32)), classes(&window_labels(&m, &place, 256)));
    }
    assert!(equal > 256 * 256 * 97 / 100, "{equal} of {} pixels agree", 256 * 256);
}

#[test]
fn a_window_of_a_coarser_slide_covers_the_same_micrometres() {
    let m = SemanticMap { mpp: 1.0, work_mpp: 1.0, cell_px: 16.0, ..map(&[]) };
    let place = Places::new(&m, 128).unwrap().choose(1, 0);
    assert_eq!((place.cells, place.side_px), (8.0, 128.0));
    let m = SemanticMap { mpp: 0.2527, work_mpp: 0.5, cell_px: 8.0 / 0.2527, ..map(&[]) };
    assert_eq!(Places::new(&m, 256).unwrap().choose(1, 0).cells, 16.0, "whatever the rounding of the scale");
}

#[test]
fn places_hold_tissue_prefer_mixtures_and_depend_on_seed_and_tile_only() {
    let m = map(&[(1, 0, 0), (2, 0, 0)]);
    let places = Places::new(&m, 256).unwrap();
    let all: Vec<Place> = (0..200).map(|i| places.choose(9, i)).collect();
    assert!(all.iter().all(|p| p.tissue >= 0.6 && p.row >= 0 && p.column >= 0 && p.row <= 44 && p.column <= 64));
    let mixed = all.iter().filter(|p| p.entropy > 0.3).count();
    assert!(mixed > 120, "{mixed} of 200 are mixed");
    assert!(mixed < 200, "pure regions stay possible");
    assert_eq!(places.choose(9, 7), all[7]);
    assert_ne!(places.choose(10, 7), all[7]);
}

#[test]
fn a_map_smaller_than_the_window_is_centred_and_one_without_tissue_is_refused() {
    let mut m = map(&[]);
    (m.rows, m.columns, m.labels) = (6, 4, vec![1; 24]);
    let p = Places::new(&m, 256).unwrap().choose(1, 0);
    assert_eq!((p.row, p.column), (-5, -6));
    let labels = window_labels(&m, &p, 32);
    assert_eq!((labels[0], labels[16 * 32 + 16]), (0, 1));
    m.labels.fill(0);
    assert!(Places::new(&m, 256).err().unwrap().to_string().contains("no tissue"));
}

#[test]
fn crops_are_two_lie_outside_the_window_and_are_missed_where_there_are_none() {
    // level 0: the window covers 512 px, a crop 256 px
    let m = map(&[(1, 640, 0), (1, 1500, 900), (1, 2000, 1600), (2, 1100, 300), (2, 2300, 1600)]);
    let place = Place { row: 0, column: 22, cells: 16.0, x: 704.0, y: 0.0, side_px: 512.0, tissue: 1.0, entropy: 0.5, known: 1.0 };
    let mut seen = std::collections::BTreeSet::new();
    for tile in 0..64 {
        let c = choose_crops(&m, Some(&place), &[0, 1, 2, 3], &OwnCrops::new(), 5, tile);
        assert_eq!(c, choose_crops(&m, Some(&place), &[0, 1, 2, 3], &OwnCrops::new(), 5, tile));
        assert_eq!(c.unknown, [3]);
        let (one, two) = (c.known[0], c.known[1]);
        assert_eq!((one.0, two.0), (1, 2));
        assert!(one.1[0].index != one.1[1].index && one.1.iter().all(|c| [1, 2].contains(&c.index)), "{one:?}");
        assert!(two.1[0] == two.1[1] && two.1[0].index == 4, "{two:?}");
        assert!(one.1.iter().all(|c| c.phase.0 < 24 && c.phase.1 < 24));
        assert_eq!(choose_crops(&m, Some(&place), &[2], &OwnCrops::new(), 5, tile).known, [two], "a class does not depend on the others");
        seen.insert((one.1[0].index, one.1[0].phase));
    }
    assert!(seen.len() > 32);
}
