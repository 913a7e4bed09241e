//! Promises of samples and atlases, on rows drawn for the purpose.

use std::collections::BTreeMap;

use super::*;
use crate::Job;
use crate::cluster::Rows;

const CHANNELS: usize = 3;

fn encoder() -> EncoderOf {
    EncoderOf { id: "simple".into(), sha256: "00".into(), channels: CHANNELS, stride_px: 16 }
}

/// Rows of `counts[i]` cells around the i-th corner.
fn tissue(counts: &[usize], seed: u64) -> Vec<f32> {
    let of: Vec<usize> = counts.iter().enumerate().flat_map(|(i, n)| std::iter::repeat_n(i, *n)).collect();
    let noise = crate::rng::noise(seed, 0, 0, of.len() * CHANNELS);
    let corner = |i: usize, c: usize| if of[i] >> c & 1 == 1 { 12.0 } else { 0.0 };
    (0..of.len() * CHANNELS).map(|v| corner(v / CHANNELS, v % CHANNELS) + noise[v]).collect()
}

/// A sample of the slide `name`, at most `most` rows.
fn sampled(name: u8, counts: &[usize], most: usize) -> Sample {
    let data = tissue(counts, u64::from(name));
    let rows = Rows { data: &data, channels: CHANNELS };
    let cells: Vec<u32> = (0..rows.len() as u32).map(|i| 2 * i + 5).collect();
    let slide = SampledSlide { id_sha256: format!("{name:02x}").repeat(32), work_mpp: 0.5, ..Default::default() };
    sample(rows, &cells, (encoder(), slide), 7, most, &Job::new()).unwrap()
}

fn union(samples: &[&Sample], most: usize) -> Sample {
    samples[1..].iter().fold(samples[0].clone(), |all, s| all.union(s, most).unwrap())
}

#[test]
fn any_order_and_grouping_of_slides_gives_the_same_sample_and_the_same_atlas() {
    // more rows than are kept, so that the bound is at work in every step
    let slides: Vec<Sample> = (1..=5).map(|i| sampled(i, &[150 * usize::from(i), 90, 7], 400)).collect();
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|i| &slides[i]);
    let all = union(&[a, b, c, d, e], 500);
    assert_eq!((all.kept.len(), all.slides.len()), (500, 5));
    let grouped = [
        union(&[e, d, c, b, a], 500),
        union(&[c, a, e, b, d], 500),
        union(&[&union(&[d, b], 500), &union(&[&union(&[e, a], 500), c], 500)], 500),
        union(&[&all, c, &union(&[a, b], 500)], 500),
    ];
    let atlas = fit(&all, 0, 1, "CC0", &Job::new()).unwrap();
    for other in grouped {
        assert_eq!(other, all);
        assert_eq!(fit(&other, 0, 1, "CC0", &Job::new()).unwrap(), atlas);
    }
    assert_eq!(merged([e, a, d, c, b].into_iter().map(|s| Ok(s.clone()))).unwrap(), union(&[a, b, c, d, e], usize::MAX));
}

#[test]
fn a_sample_is_bounded_and_rare_tissue_stays_in_it() {
    let s = sampled(1, &[6000, 3000, 120], 512);
    assert_eq!((s.kept.len(), s.slides[0].cells, s.slides[0].rows), (512, 9120, 512));
    let rare = (0..s.kept.len()).filter(|i| s.rows().row(*i)[1] > 6.0).count();
    assert!(rare > 2 * 512 * 120 / 9120, "{rare} of 512 where chance gives 7");
    assert_eq!(sampled(1, &[200, 100], 512).kept.len(), 300, "a slide with fewer cells gives them all");
}

#[test]
fn samples_that_do_not_belong_together_are_refused() {
    let a = sampled(1, &[100], 50);
    let refused = |b: &Sample| a.union(b, 500).unwrap_err().to_string();
    assert!(refused(&Sample { seed: 8, ..sampled(2, &[100], 50) }).contains("the seed"));
    let other = EncoderOf { sha256: "ff".into(), ..encoder() };
    assert!(refused(&Sample { encoder: other, ..sampled(2, &[100], 50) }).contains("the encoder"));
    assert!(refused(&sampled(1, &[100], 60)).contains("in two ways"));
    let at = |name: u8, work_mpp: f32| {
        let mut s = sampled(name, &[100], 50);
        s.slides[0].work_mpp = work_mpp;
        s
    };
    assert!(refused(&at(2, 1.0)).contains("0.50 and with 1.00 um/px"));
    // both are what scanners call 20x; the limit holds for all slides together, whatever the order
    let (fine, coarse, beyond) = (at(2, 0.46), at(3, 0.545), at(4, 0.57));
    assert!(fine.union(&coarse, 500).is_ok() && a.union(&beyond, 500).is_ok());
    assert!(a.union(&fine, 500).unwrap().union(&beyond, 500).is_err() && a.union(&beyond, 500).unwrap().union(&fine, 500).is_err());
    assert!(merged(std::iter::empty()).unwrap_err().to_string().contains("samples"));
}

#[test]
fn what_the_atlas_was_fitted_on_is_known_and_other_tissue_is_not() {
    let s = sampled(1, &[900, 900, 0, 900], 4096);
    let atlas = fit(&s, 3, 1, "", &Job::new()).unwrap();
    let unknown = |rows: Rows<'_>| {
        let beyond = |i: &usize| {
            let (leaf, d2) = atlas.hierarchy.leaves.nearest(rows.row(*i));
            atlas.hundredths(leaf, d2) > BOUND
        };
        (0..rows.len()).filter(beyond).count() as f64 / rows.len() as f64
    };
    let again = tissue(&[900, 900, 0, 900], 77);
    let other = tissue(&[0, 0, 0, 0, 500], 78);
    assert!(unknown(s.rows()) < 0.02);
    assert!(unknown(Rows { data: &again, channels: CHANNELS }) < 0.1, "fresh rows of the same tissue");
    assert!(unknown(Rows { data: &other, channels: CHANNELS }) > 0.99);
}

#[test]
fn names_hold_at_every_cut_and_colours_stay_with_their_label() {
    let atlas = fit(&sampled(1, &[900, 700, 500, 300], 4096), 4, 1, "", &Job::new()).unwrap();
    let id = atlas.id_sha256();
    let names = BTreeMap::from([(1, " Stroma ".to_owned()), (3, "Fat, white".to_owned())]);
    let named = atlas.renamed(4, &names, &BTreeMap::from([(2, "#102030".to_owned())])).unwrap();
    let four = named.legend(4).unwrap();
    let texts: Vec<&str> = four.iter().map(|c| c.0.as_str()).collect();
    assert_eq!(texts, ["Stroma", "Tissue 2", "Fat, white", "Tissue 4"]);
    assert_eq!(four[1].1, [16, 32, 48]);
    let ten = named.legend(10).unwrap();
    assert_eq!((ten[1].1, named.legend(2).unwrap()[1].1), ([16, 32, 48], [16, 32, 48]));
    let (four, cut) = (named.cut(4).unwrap(), named.cut(10).unwrap());
    for (leaf, label) in cut.iter().enumerate() {
        let (parent, name) = (texts[usize::from(four[leaf]) - 1], ten[usize::from(*label) - 1].0.as_str());
        if parent.starts_with("Tissue") {
            assert_eq!(name, format!("Tissue {label}"));
        } else {
            assert_eq!((name, *label), (parent, four[leaf]), "parts of one name are one class");
        }
    }
    let joined = named.renamed(4, &BTreeMap::from([(4, "Stroma".to_owned())]), &BTreeMap::new()).unwrap();
    let of = |label: u8| named.hierarchy.cut(4).unwrap().into_iter().map(move |l| l == label);
    let labels = joined.cut(4).unwrap();
    assert!(of(4).zip(&labels).all(|(part, label)| !part || *label == 1) && !labels.contains(&4));
    let apart = joined.renamed(4, &BTreeMap::from([(4, "Muscle".to_owned())]), &BTreeMap::new()).unwrap();
    assert!(of(4).zip(&apart.cut(4).unwrap()).all(|(part, label)| part == (*label == 4)));
    assert_eq!(named.id_sha256(), id, "names do not change what labels mean");
    for (k, name, color, needle) in [(4, "x", "#12", "#rrggbb"), (4, "", "#102030", "a name has"), (2, "x", "#102030", "no class 3")] {
        let e = atlas.renamed(k, &BTreeMap::from([(3, name.into())]), &BTreeMap::from([(1, color.into())])).unwrap_err().to_string();
        assert!(e.contains(needle), "{e}");
    }
}
