use std::sync::Arc;
use std::sync::atomic::Ordering;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use super::fakes::{Colors, Follow, PINK, PURPLE, Pooling, map};
use super::*;
use crate::ops::{Op, OpFlag, OpInput, OpOutput, Step};
use crate::semantic_map::SemanticMap;
use crate::{Denoiser, Error, Job, Result, condition, params};

fn parameters(text: &str) -> params::Synth {
    params::Synth { refine: false, ..params::parse(text).unwrap() }
}

fn make(map: &SemanticMap, net: &dyn Denoiser, batch: usize, ops: &[Arc<dyn Op>], p: &params::Synth) -> Result<Vec<SyntheticTile>> {
    let mut tiles = Vec::new();
    let nets = Nets::new(&Pooling, net, &Colors).on("cpu (test)").batched(batch);
    let steps = ops.iter().map(|op| Step::new(op.clone(), "")).collect::<Result<Vec<_>>>()?;
    run(map, &nets, &steps, p, &Job::new(), &mut |t| {
        tiles.push(t);
        Ok(())
    })?;
    Ok(tiles)
}

fn same(a: &SyntheticTile, b: &SyntheticTile) -> bool {
    // bits, as NaN (not judged) differs from itself
    let scores = |t: &SyntheticTile| t.flags.scores.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let all = |t: &SyntheticTile| (t.index, t.rgb.clone(), t.labels.clone(), t.crops.clone(), t.flags.flags.clone(), t.provenance.clone());
    all(a) == all(b) && scores(a) == scores(b)
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_batch() {
    for sampler in ["euler", "heun", "dpmpp2m"] {
        let p = parameters(&format!(r#"{{"n": 5, "steps": 4, "seed": 3, "sampler": "{sampler}"}}"#));
        let one = make(&map(), &Follow::default(), 1, &[], &p).unwrap();
        assert_eq!(one.len(), 5);
        for batch in [2, 4, 5] {
            let other = make(&map(), &Follow::default(), batch, &[], &p).unwrap();
            assert!(one.iter().zip(&other).all(|(a, b)| same(a, b)), "{sampler}, batch {batch}");
        }
        assert!(one.windows(2).all(|w| w[0].rgb != w[1].rgb));
        let seed = params::Synth { seed: 4, ..p };
        assert!(make(&map(), &Follow::default(), 2, &[], &seed).unwrap().iter().zip(&one).all(|(a, b)| a.rgb != b.rgb));
    }
}

#[test]
fn a_refined_tile_depends_on_no_batch_is_made_again_and_counts_its_steps() {
    let made = |text: &str, batch: usize| {
        let p: params::Synth = params::parse(text).unwrap();
        let (net, refiner, job, mut tiles) = (Follow::default(), Follow::default(), Job::new(), Vec::new());
        let nets = Nets::new(&Pooling, &net, &Colors).refined(Some(&refiner)).batched(batch);
        run(&map(), &nets, &[], &p, &job, &mut |t| {
            tiles.push(t);
            Ok(())
        })
        .unwrap();
        let progress = job.progress();
        assert_eq!(progress.done, progress.total, "{text}");
        (tiles, refiner.calls.load(Ordering::SeqCst))
    };
    let text = r#"{"n": 3, "steps": 2, "seed": 3, "anchor": 0.5}"#;
    let ((one, _), (all, calls)) = (made(text, 1), made(text, 3));
    assert!(one.iter().zip(&all).all(|(a, b)| same(a, b)) && calls == 2);
    let again = made(&all[2].provenance["parameters"].to_string(), 1).0;
    assert!(same(&again[0], &all[2]) && all[2].provenance["models"]["refiner"]["sha256"] == "follow");
    let (plain, calls) = made(r#"{"n": 1, "steps": 2, "seed": 3, "refine": false}"#, 1);
    assert!(calls == 0 && plain[0].rgb != all[0].rgb && plain[0].provenance["models"]["refiner"].is_null());
    let net = Follow::default();
    let nets = Nets::new(&Pooling, &net, &Colors);
    let e = run(&map(), &nets, &[], &params::parse("{}").unwrap(), &Job::new(), &mut |_| Ok(())).unwrap_err();
    assert!(e.to_string().contains("refiner"), "{e}");
}

#[test]
fn a_tile_is_made_again_alone_from_its_provenance() {
    let p = parameters(r#"{"n": 4, "steps": 3, "out_dir": "/home/someone/out", "from": "/home/someone/map"}"#);
    let all = make(&map(), &Follow::default(), 4, &[], &p).unwrap();
    for tile in &all {
        let again = parameters(&tile.provenance["parameters"].to_string());
        assert_eq!((again.first, again.n, &again.out_dir, &again.from), (tile.index, 1, &None, &None));
        let again = make(&map(), &Follow::default(), 1, &[], &again).unwrap();
        assert!(same(&again[0], tile));
    }
}

#[test]
fn provenance_names_everything_that_made_the_tile_and_no_folder() {
    let p = parameters(r#"{"n": 1, "steps": 2, "out_dir": "/home/someone/out"}"#);
    let tile = make(&map(), &Follow::default(), 1, &[Arc::new(Invert { fails: false, size: 256 })], &p).unwrap().remove(0);
    let v = &tile.provenance;
    assert_eq!(v["synthetic"], json!(true));
    assert_eq!(v["map"]["sha256"], json!(fingerprint(&map())));
    assert_eq!(v["map"]["hashes"], json!({"slide.id_sha256": "abc"}));
    assert_eq!(v["models"]["encoder"], json!({"id": "colors", "sha256": "colors-sha"}));
    assert_eq!((&v["models"]["codec"]["sha256"], &v["models"]["denoiser"]["sha256"]), (&json!("pooling"), &json!("follow")));
    assert_eq!((&v["device"], &v["parameters"]["seed"], &v["calibration_sha256"]), (&json!("cpu (test)"), &json!(1), &Value::Null));
    assert_eq!(v["ops"][0]["sha256"], json!("00ff"));
    let crops = v["crops"].as_array().unwrap();
    assert!(crops.len() >= 2 && crops.iter().all(|c| c["x"].is_number() && c["class"].is_number() && c["phase"].is_array()));
    assert!(!v.to_string().contains("/home"), "{v}");
    let mut other = map();
    other.bank.rows[0] += 1.0;
    assert_ne!(fingerprint(&other), fingerprint(&map()));
}

#[test]
fn other_seeds_are_looked_at_when_asked_for_and_change_no_pixel() {
    let one = make(&map(), &Follow::default(), 2, &[], &parameters(r#"{"n": 2, "steps": 3, "seed": 4}"#)).unwrap();
    let three = make(&map(), &Follow::default(), 2, &[], &parameters(r#"{"n": 2, "steps": 3, "seed": 4, "seeds": 3}"#)).unwrap();
    let s4 = crate::flags::score::index::SEEDS_DISAGREE;
    for (a, b) in one.iter().zip(&three) {
        assert_eq!((&a.rgb, &a.labels), (&b.rgb, &b.labels));
        assert!(a.flags.scores.plane(s4).iter().all(|v| v.is_nan()));
        let judged: Vec<f32> = b.flags.scores.plane(s4).iter().copied().filter(|v| v.is_finite()).collect();
        assert!(judged.len() > 16 && judged.iter().all(|v| (0.0..=3f32.ln() + 1e-6).contains(v)), "{judged:?}");
    }
}

#[test]
fn tiles_follow_their_labels_and_only_uncalibrated_is_flagged_on_good_ones() {
    let p = parameters(r#"{"n": 6, "steps": 12, "seed": 2, "guidance": 1}"#);
    let (mut right, mut all, mut off) = (0, 0, 0);
    for tile in make(&map(), &Follow::default(), 4, &[], &p).unwrap() {
        for (pixel, label) in tile.rgb.pixels().zip(&tile.labels).filter(|(_, l)| **l != 0) {
            let d = |c: [u8; 3]| pixel.0.iter().zip(c).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum::<i32>();
            all += 1;
            right += usize::from((d(PINK) < d(PURPLE)) == (*label == 1));
        }
        let codes: Vec<&str> = tile.flags.flags.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, ["UNCALIBRATED"], "{:?}", tile.flags.flags);
        off += tile.flags.scores.plane(0).iter().filter(|v| **v > 1.0).count();
        assert_eq!((tile.flags.scores.channels, tile.flags.scores.height, tile.flags.names.len()), (11, 8, 11));
        let judged = tile.flags.scores.plane(0).iter().filter(|v| v.is_finite()).count();
        assert!(judged > 32, "glass alone is not judged: {judged} of 64");
        assert!(tile.crops.len() <= 4 && !tile.crops.is_empty());
    }
    assert!(right > all * 97 / 100, "{right} of {all} pixels have the colour of their class");
    assert!(off < 6 * 64 / 4, "{off} of 384 cells are off the manifold");
}

#[test]
fn a_cancelled_run_stops_within_one_step_and_gives_no_tile() {
    let job = Arc::new(Job::new());
    let net = Follow { stop: Some((7, job.clone())), ..Follow::default() };
    let nets = Nets::new(&Pooling, &net, &Colors);
    let e = run(&map(), &nets, &[], &parameters(r#"{"steps": 500}"#), &job, &mut |_| panic!("no tile")).unwrap_err();
    assert!(matches!(e, Error::Cancelled));
    assert_eq!(net.calls.load(Ordering::SeqCst), 7);
}

#[test]
fn progress_ends_at_its_total_and_a_refusing_sink_ends_the_run() {
    let (job, net) = (Job::new(), Follow::default());
    let nets = Nets::new(&Pooling, &net, &Colors);
    let p = parameters(r#"{"n": 5, "steps": 3}"#);
    run(&map(), &nets, &[], &p, &job, &mut |_| Ok(())).unwrap();
    let seen = job.progress();
    assert_eq!((seen.stage, seen.done, seen.total), ("making tiles", 15, 15));
    assert_eq!(job.partial().unwrap().dimensions(), (256, 256));
    let mut given = 0;
    let e = run(&map(), &nets, &[], &p, &job, &mut |_| {
        given += 1;
        Err(Error::internal("disk full"))
    });
    assert!(e.unwrap_err().to_string().contains("disk full") && given == 1);
}

#[test]
fn latents_that_are_not_finite_withhold_their_tile_only() {
    let p = parameters(r#"{"n": 24, "steps": 2, "guidance": 1}"#);
    let net = Follow { broken_on_pure: true, ..Follow::default() };
    let tiles = make(&map(), &net, 4, &[], &p).unwrap();
    let (mut bad, mut good) = (0, 0);
    for t in &tiles {
        let pure = t.labels.iter().all(|l| *l == t.labels[0]);
        let flagged = t.flags.flags.iter().any(|f| f.code == "S6_NON_FINITE");
        assert_eq!(flagged, t.provenance["withheld"] == json!(true));
        if flagged {
            assert!(pure && t.rgb.pixels().all(|p| p.0 == [128; 3]) && t.flags.scores.height == 8);
        }
        *(if flagged { &mut bad } else { &mut good }) += 1;
    }
    assert!(bad > 0 && good > 0, "{bad} withheld, {good} made");
}

/// Inverts the colours, or fails.
struct Invert {
    fails: bool,
    size: u32,
}

impl Op for Invert {
    fn name(&self) -> &str {
        "invert"
    }
    fn version(&self) -> u32 {
        1
    }
    fn sha256(&self) -> &str {
        "00ff"
    }
    fn run(&self, input: &OpInput<'_>) -> Result<OpOutput> {
        if self.fails {
            return Err(Error::OpLimit { op: "invert".into(), why: "out of\nfuel".into() });
        }
        assert_eq!((input.labels.len(), input.scores.channels), (256 * 256, 11));
        let invert = |x: u32, y: u32| input.rgb.get_pixel(x.min(255), y.min(255)).0.map(|v| 255 - v);
        let flag = |cell| OpFlag { code: "odd one!".into(), reason: "line\nbreak".into(), cell };
        let mut flags = vec![flag(Some((7, 7))), flag(Some((8, 0))), flag(None)];
        flags.extend((0..1000).map(|_| flag(None)));
        let metrics = vec![("mean".into(), 0.5), ("nan".into(), f64::NAN)];
        Ok(OpOutput { labels: None, rgb: Some(RgbImage::from_fn(self.size, self.size, |x, y| Rgb(invert(x, y)))), flags, metrics })
    }
}

#[test]
fn a_failing_op_is_flagged_and_noted_and_the_tile_is_kept() {
    let p = parameters(r#"{"n": 1, "steps": 2}"#);
    let plain = make(&map(), &Follow::default(), 1, &[], &p).unwrap().remove(0);
    for (fails, size, why) in [(true, 256, "out of fuel"), (false, 128, "128 x 128")] {
        let tile = make(&map(), &Follow::default(), 1, &[Arc::new(Invert { fails, size })], &p).unwrap().remove(0);
        assert_eq!(tile.rgb, plain.rgb);
        let f = tile.flags.flags.iter().find(|f| f.code == "OP_FAILED").unwrap();
        assert!(f.reason.contains(why), "{}", f.reason);
        assert_eq!(tile.provenance["ops"][0]["outcome"], json!("failed"));
        assert!(tile.provenance["notes"][0].as_str().unwrap().contains("invert failed"));
    }
}

#[test]
fn what_ops_change_is_recorded_and_flags_describe_the_changed_pixels() {
    let p = parameters(r#"{"n": 1, "steps": 2}"#);
    let plain = make(&map(), &Follow::default(), 1, &[], &p).unwrap().remove(0);
    let invert: Arc<dyn Op> = Arc::new(Invert { fails: false, size: 256 });
    let tile = make(&map(), &Follow::default(), 1, std::slice::from_ref(&invert), &p).unwrap().remove(0);
    assert_eq!(tile.rgb.get_pixel(3, 4).0, plain.rgb.get_pixel(3, 4).0.map(|v| 255 - v));
    let v = &tile.provenance["ops"][0];
    assert_eq!((&v["outcome"], &v["changed_pixels"], &v["metrics"]), (&json!("ok"), &json!(65536), &json!({"mean": 0.5})));
    let of = |code: &str| tile.flags.flags.iter().filter(|f| f.code == code).collect::<Vec<_>>();
    assert!(!of("S6_STAIN").is_empty(), "inverted tissue is green");
    let own = of("ODD_ONE_");
    assert_eq!(own.len(), 256, "flags are capped");
    assert_eq!((own[0].cell, own[1].cell, own[0].reason.as_str()), (Some((7, 7)), None, "line break"));
    let twice = make(&map(), &Follow::default(), 1, &[invert.clone(), invert], &p).unwrap().remove(0);
    assert_eq!(twice.rgb, plain.rgb);
    assert_eq!(twice.provenance["ops"].as_array().unwrap().len(), 2);
}

/// Moves a boundary, and tells what it sees of the real crops.
struct Relabel(u8);

impl Op for Relabel {
    fn name(&self) -> &str {
        "relabel"
    }
    fn version(&self) -> u32 {
        1
    }
    fn sha256(&self) -> &str {
        "00ff"
    }
    fn run(&self, input: &OpInput<'_>) -> Result<OpOutput> {
        let seen = &input.seen;
        assert!((seen.mpp - 0.5).abs() < 1e-6 && seen.seams.is_empty());
        assert_eq!(seen.spread.map(|s| (s.channels, s.height, s.width)), Some((1, 32, 32)));
        assert!(seen.classes.iter().all(|c| input.labels.contains(&c.label) && (1..=2).contains(&c.crops) && c.area_mm2 > 0.0));
        let mut labels = input.labels.to_vec();
        labels[..256 * 128].fill(self.0);
        let metrics = seen.classes.iter().map(|c| (format!("h{}", c.label), f64::from(c.haematoxylin))).collect();
        Ok(OpOutput { rgb: None, labels: Some(labels), flags: Vec::new(), metrics })
    }
}

#[test]
fn labels_that_ops_rewrite_are_delivered_scored_and_recorded() {
    let p = parameters(r#"{"n": 8, "steps": 2, "ops": [{"name": "relabel", "params": {"by": 1}}]}"#);
    let plain = make(&map(), &Follow::default(), 4, &[], &p).unwrap();
    let tiles = make(&map(), &Follow::default(), 4, &[Arc::new(Relabel(0))], &p).unwrap();
    for (t, before) in tiles.iter().zip(&plain) {
        let moved = before.labels[..256 * 128].iter().filter(|l| **l != 0).count();
        assert!(
            t.rgb == before.rgb && t.labels[..256 * 128].iter().all(|l| *l == 0) && t.labels[256 * 128..] == before.labels[256 * 128..]
        );
        assert_eq!(t.provenance["ops"][0]["changed_labels"], json!(moved));
        assert!(t.flags.scores.plane(0)[..4 * 8].iter().all(|v| v.is_nan()), "background is not judged");
        assert_eq!(t.provenance["parameters"]["ops"], json!([{"name": "relabel", "params": {"by": 1}}]));
    }
    assert!(plain.iter().any(|t| t.flags.scores.plane(0)[..4 * 8].iter().any(|v| !v.is_nan())));
    let seen: Vec<_> = tiles.iter().filter_map(|t| t.provenance["ops"][0]["metrics"]["h2"].as_f64()).collect();
    assert!(seen.iter().all(|h| *h > 0.2), "purple is haematoxylin: {seen:?}");
    let tile = make(&map(), &Follow::default(), 4, &[Arc::new(Relabel(9))], &p).unwrap().remove(0);
    assert_eq!(tile.labels, plain[0].labels);
    let told = tile.flags.flags.iter().find(|f| f.code == "OP_FAILED").unwrap();
    assert!(told.reason.contains("the label 9, which the tile does not have"), "{}", told.reason);
}

#[test]
fn classes_without_a_crop_are_left_to_the_model_and_said_so() {
    let mut m = map();
    m.crops.retain(|c| c.class == 1);
    let p = parameters(r#"{"n": 12, "steps": 2}"#);
    let tiles = make(&m, &Follow::default(), 4, &[], &p).unwrap();
    let t = tiles.iter().find(|t| t.labels.contains(&2)).unwrap();
    assert_eq!(t.provenance["classes_without_crop"], json!([2]));
    assert!(t.provenance["notes"].to_string().contains("class 2 has no crop"));
    assert!(t.crops.iter().all(|c| c.class == 1));
}

#[test]
fn networks_and_maps_that_do_not_fit_are_refused_before_any_work() {
    struct Small;
    impl Denoiser for Small {
        fn sha256(&self) -> &str {
            ""
        }
        fn channels(&self) -> usize {
            4
        }
        fn condition_channels(&self) -> usize {
            condition::CHANNELS
        }
        fn velocity(&self, _: &[crate::Planes], _: &[crate::Planes], _: f32, _: f32) -> Result<Vec<crate::Planes>> {
            unreachable!()
        }
    }
    let p = parameters("");
    let e = make(&map(), &Small, 1, &[], &p).unwrap_err().to_string();
    assert!(e.contains("denoiser") && e.contains("4 latent channels"), "{e}");
    let net = Follow::default();
    for (bad, needle) in [
        (SemanticMap { rows: 61, ..map() }, "labels"),
        (SemanticMap { mpp: f64::NAN, ..map() }, "scale"),
        (SemanticMap { cell_px: 1e-9, ..map() }, "cells of the map"),
        (SemanticMap { labels: vec![0; 4800], ..map() }, "no tissue"),
    ] {
        let e = make(&bad, &net, 1, &[], &p).unwrap_err().to_string();
        assert!(e.contains(needle), "{needle}: {e}");
    }
    let e = make(&map(), &net, 1, &[], &params::Synth { n: u32::MAX, ..p.clone() }).unwrap_err();
    assert!(matches!(e, Error::Limit { .. }), "{e}");
    let e = make(&map(), &net, 1, &[], &params::Synth { size_px: 250, ..p }).unwrap_err().to_string();
    assert!(e.contains("multiple of 32"), "{e}");
    assert_eq!(net.calls.load(Ordering::SeqCst), 0);
}
