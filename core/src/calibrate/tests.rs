//! A slide of fakes is planted, and made-up scores are calibrated on.

use serde_json::json;

use super::*;
use crate::eval::tests::slide;
use crate::flags::SCORES;
use crate::flags::duplicates::Index;
use crate::flags::score::index::{CROP_COPY, GRAINY, MAP_DISAGREES, NEAR_DUPLICATE, OFF_MANIFOLD, SEEDS_DISAGREE, SOFT};
use crate::rng::Stream;
use crate::synth::Nets;
use crate::synth::fakes::{Colors, Follow, Pooling, map};
use crate::{Job, params};

fn planted(seed: u64) -> (Table, usize) {
    let (denoiser, slide) = (Follow::default(), slide());
    let nets = Nets::new(&Pooling, &denoiser, &Colors).refined(Some(&denoiser));
    let networks = Networks { nets, worn: &denoiser, worn_refiner: &denoiser };
    let p: params::Plant = params::parse(&json!({"from": "x", "n": 2, "real": 8, "ordinary": 8, "seed": seed}).to_string()).unwrap();
    let mut seen = 0;
    // embeddings of the fakes are colours, up to 255
    let index = Index { encoder_sha256: "colors-sha".into(), channels: 16, scale: 2.0, pictures: Vec::new() };
    let table = plant(&slide, &map(), &networks, Some((index, "i".into())), &p, &Job::new(), &mut |sample, rgb, labels| {
        assert_eq!((rgb.width(), labels.len()), (SIZE_PX, (SIZE_PX * SIZE_PX) as usize), "{}", sample.file());
        seen += 1;
        Ok(())
    });
    (table.unwrap(), seen)
}

#[test]
fn a_slide_is_planted_with_every_fault_and_the_same_seed_plants_the_same() {
    let (table, seen) = planted(1);
    assert_eq!(table.samples.len(), seen);
    let of = |kind: &str| table.samples.iter().filter(|s| s.kind == kind).collect::<Vec<_>>();
    for (kind, n) in [(REAL, 8), (RENDERED, 8), (ORDINARY, 8)] {
        assert_eq!(of(kind).len(), n, "{kind}");
    }
    Fault::ALL.iter().for_each(|f| assert_eq!(of(f.name()).len(), 2, "{}", f.name()));
    let s3 = |kind: &str| of(kind).iter().map(|s| s.scores[2].is_some()).collect::<Vec<_>>();
    assert!(s3(REAL).iter().all(|v| !v) && s3(ORDINARY).iter().all(|v| *v), "nothing is sampled for real tissue");
    // a copy of the slide is found on it, a real tile does not count as its own copy
    let copies: Vec<f32> = of("jittered_copy").iter().filter_map(|s| s.nearest).collect();
    assert!(copies.len() == 2 && copies.iter().all(|d| *d < 4.0), "{copies:?}");
    assert!(of(REAL).iter().all(|s| s.nearest.is_some()), "the rest of the slide counts");
    assert_eq!(planted(1).0, table);
    assert_ne!(planted(2).0.samples, table.samples);
}

/// A table with real tiles of S1 about 1, faults `far` above them, and ordinary tiles between.
fn table(id: &str, far: f32, faults: u32) -> Table {
    let mut dice = Stream::new(far.to_bits().into(), id.len() as u32, u32::from(id.as_bytes()[0]));
    let mut samples = Vec::new();
    let mut add = |kind: &str, n: u32, level: f32| {
        for index in 0..n {
            let mut scores = vec![None; SCORES.len()];
            scores[OFF_MANIFOLD] = Some(level + dice.uniform() as f32);
            scores[MAP_DISAGREES] = Some(dice.uniform() as f32);
            (scores[CROP_COPY], scores[NEAR_DUPLICATE]) = (Some(0.5), Some(0.1));
            (scores[SOFT], scores[GRAINY]) = (Some(0.2), Some(-0.2));
            samples.push(Sample { kind: kind.into(), index, scores, hard: Vec::new(), nearest: Some(level + dice.uniform() as f32) });
        }
    };
    add(REAL, 50, 1.0);
    add(RENDERED, 50, 1.0);
    add(ORDINARY, 70, 1.2);
    Fault::ALL.iter().for_each(|f| add(f.name(), faults, 1.0 + far));
    Table {
        format: PLANTED.into(),
        version: calibration::VERSION,
        slide_id_sha256: id.into(),
        map_sha256: "m".into(),
        atlas: None,
        networks: calibration::Networks {
            codec_sha256: "c".into(),
            denoiser_sha256: "d".into(),
            refiner_sha256: Some("r".into()),
            encoder_sha256: "e".into(),
        },
        index_sha256: Some("i".into()),
        seed: 1,
        preset: "default".into(),
        asked: [faults, 50, 70],
        seeds: 1,
        samples,
    }
}

#[test]
fn s4_has_a_reference_where_it_was_measured() {
    let mut a = Table { seeds: 4, ..table("a", 2.0, 40) };
    a.samples.iter_mut().filter(|s| s.kind == ORDINARY).for_each(|s| s.scores[SEEDS_DISAGREE] = Some(s.index as f32));
    let c = fit(&[a], &[table("b", 2.0, 40)], 0.05, "test").unwrap();
    let s4 = c.ranks.iter().find(|r| r.name == "s4_seeds_disagree").unwrap();
    assert_eq!((c.seeds, s4.values.len(), s4.values[69]), (4, 70, 69.0));
}

#[test]
fn faults_that_stand_out_are_caught_within_the_bound_and_real_tiles_are_not_flagged() {
    let c = fit(&[table("a", 2.0, 40)], &[table("b", 2.0, 40)], 0.05, "test").unwrap();
    let r: Report = serde_json::from_value(c.report.clone()).unwrap();
    let all = r.kinds.last().unwrap();
    assert_eq!((all.kind.as_str(), all.calibrated, all.tested), ("all", 480, 480));
    assert!(all.upper <= 0.08 && c.tau > 1.0, "{all:?}, tau {}", c.tau);
    assert_eq!((r.real.flagged, r.rendered.flagged, r.real.n), (0, 0, 50));
    assert!(c.ranks.iter().all(|r| r.values.len() == 100) && c.ranks.len() == 2, "nothing is ranked that was not measured");
    let area = &r.scores.iter().find(|s| s.score == "s1_off_manifold").unwrap().area["blur"];
    assert!(*area > 0.999, "{area}");
    let nothing = r.scores.iter().find(|s| s.score == "s2_map_disagrees").unwrap().area["blur"];
    assert!((nothing - 0.5).abs() < 0.12, "{nothing}");
    assert!(r.memory.unwrap().share < 0.1);
}

#[test]
fn faults_that_do_not_stand_out_cost_false_flags_and_never_the_bound() {
    let c = fit(&[table("a", 0.0, 40)], &[table("b", 0.0, 40)], 0.05, "test").unwrap();
    let r: Report = serde_json::from_value(c.report.clone()).unwrap();
    assert!(r.kinds.last().unwrap().missed <= 48 && r.real.share > 0.8, "{:?}", r.real);
    // a larger share may be missed: the threshold never falls
    let taus: Vec<f32> =
        [0.02, 0.05, 0.1, 0.3].iter().map(|a| fit(&[table("a", 0.3, 60)], &[table("b", 0.3, 9)], *a, "").unwrap().tau).collect();
    assert!(taus.windows(2).all(|w| w[0] <= w[1]), "{taus:?}");
}

#[test]
fn flags_that_need_no_calibration_count_as_caught() {
    let mut t = table("b", 0.0, 40);
    t.samples.iter_mut().filter(|s| s.kind == "foreign_stain").for_each(|s| s.hard.push("S6_STAIN".into()));
    let c = fit(&[table("a", 2.0, 40)], &[t], 0.05, "test").unwrap();
    let r: Report = serde_json::from_value(c.report).unwrap();
    let of = |kind: &str| r.kinds.iter().find(|k| k.kind == kind).unwrap();
    assert_eq!((of("foreign_stain").missed, of("foreign_stain").caught_by["s6_stain"]), (0, 40));
    assert!(of("blur").missed > 20);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let (a, b) = (table("a", 2.0, 40), table("b", 2.0, 40));
    let refused = |tables: &[Table], tests: &[Table], why: &str| {
        let e = fit(tables, tests, 0.05, "").unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
    };
    refused(&[], std::slice::from_ref(&b), "no slide");
    refused(&[table("a", 2.0, 20)], std::slice::from_ref(&b), "too few");
    refused(std::slice::from_ref(&a), std::slice::from_ref(&a), "twice");
    refused(std::slice::from_ref(&a), &[Table { atlas: Some("x".into()), ..b.clone() }], "a calibration each");
    refused(&[Table { index_sha256: None, ..a.clone() }], std::slice::from_ref(&b), "copies would not be looked for");
    let few = |t: &Table| Table { samples: t.samples.iter().filter(|s| s.kind != "blur" || s.index < 39).cloned().collect(), ..t.clone() };
    refused(&[few(&table("a", 2.0, 40))], std::slice::from_ref(&b), "40 of every kind");
    let mut seen = table("a", 2.0, 40);
    seen.samples.iter_mut().for_each(|s| s.hard.push("S6_STAIN".into()));
    refused(&[seen], std::slice::from_ref(&b), "no threshold");
    refused(std::slice::from_ref(&a), &[Table { index_sha256: None, ..b.clone() }], "different");
    refused(&[a.clone(), Table { seeds: 4, ..table("c", 2.0, 40) }], std::slice::from_ref(&b), "numbers of seeds");
    refused(std::slice::from_ref(&a), &[Table { version: 9, ..b.clone() }], "version");
    let few = Table { samples: a.samples.iter().filter(|s| s.kind != REAL || s.index < 5).cloned().collect(), ..a.clone() };
    refused(&[few], std::slice::from_ref(&b), "60 are needed");
}
