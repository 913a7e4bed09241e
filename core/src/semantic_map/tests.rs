//! The whole pipeline on a drawn slide with an encoder simple enough to reason about.

use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Rgb, RgbImage};

use super::*;
use crate::params::Cluster;
use crate::slide::{Mpp, Region, SlideInfo};
use crate::{Encoder, Error, Job, Planes, Result, TileSource};

pub(super) const GLASS: [u8; 3] = [241, 238, 242];
const DARK: [u8; 3] = [110, 70, 150];
const PINK: [u8; 3] = [225, 140, 185];

/// A drawn slide: glass around three tissues side by side: dotted purple, striped pink (upright above, flat below), plain pink.
pub(super) struct Drawn {
    pub(super) info: SlideInfo,
    paint: fn(i64, i64) -> [u8; 3],
    pub(super) reads: AtomicUsize,
}

pub(super) fn three_tissues(x: i64, y: i64) -> [u8; 3] {
    if !(96..1184).contains(&x) || !(96..864).contains(&y) {
        return GLASS;
    }
    let (checks, fibres) = ((x % 8 < 4) ^ (y % 8 < 4), if y < 480 { x % 8 < 4 } else { y % 8 < 4 });
    match (x, checks, fibres) {
        (..448, true, _) => [70, 40, 120],
        (..448, false, _) => DARK,
        (448..832, _, true) => [240, 205, 225],
        (448..832, _, false) => [205, 90, 150],
        _ => PINK,
    }
}

pub(super) fn slide(paint: fn(i64, i64) -> [u8; 3]) -> Drawn {
    let info = SlideInfo {
        name: "drawn".into(),
        id: "/home/someone/drawn.svs".into(),
        width_px: 1280,
        height_px: 960,
        downsamples: vec![1.0],
        mpp: Some(Mpp::new(0.5).unwrap()),
        origin_px: (0, 0),
    };
    Drawn { info, paint, reads: AtomicUsize::new(0) }
}

impl TileSource for Drawn {
    fn info(&self) -> &SlideInfo {
        &self.info
    }

    fn read(&self, region: &Region) -> Result<RgbImage> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let at = |from: i64, i: u32| from + (f64::from(i) * region.downsample) as i64;
        Ok(RgbImage::from_fn(region.width_px, region.height_px, |x, y| Rgb((self.paint)(at(region.x, x), at(region.y, y)))))
    }
}

/// Mean colour, contrast, and (as real encoders do) a feature of the direction of edges, by far the strongest.
pub(super) struct Simple;

impl Encoder for Simple {
    fn id(&self) -> &str {
        "simple"
    }

    fn sha256(&self) -> &str {
        "00"
    }

    fn channels(&self) -> usize {
        5
    }

    fn stride_px(&self) -> u32 {
        16
    }

    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        Ok(windows.iter().map(|w| features(w, 16)).collect())
    }
}

/// The features of cells of `side` px.
pub(super) fn features(picture: &RgbImage, side: usize) -> Planes {
    let (rows, columns) = (picture.height() as usize / side, picture.width() as usize / side);
    let (inner, n) = (side - 1, ((side - 1) * (side - 1)) as f32);
    let mut out = Planes::zeros(5, rows, columns);
    for cell in 0..rows * columns {
        let (x0, y0) = (cell % columns * side, cell / columns * side);
        let at = |x: usize, y: usize| picture.get_pixel((x0 + x) as u32, (y0 + y) as u32).0.map(f32::from);
        let mut f = [0.0f32; 5];
        for i in 0..inner * inner {
            let (x, y) = (i % inner, i / inner);
            let (here, right, below) = (at(x, y), at(x + 1, y), at(x, y + 1));
            (0..3).for_each(|c| f[c] += here[c] / n / 40.0);
            let (dx, dy) = ((right[1] - here[1]).abs(), (below[1] - here[1]).abs());
            f[3] += (dx + dy) / n / 10.0;
            f[4] += (dx - dy) / n;
        }
        f.iter().enumerate().for_each(|(c, v)| out.data[c * rows * columns + cell] = *v);
    }
    out
}

pub(super) fn params(text: &str) -> Cluster {
    crate::params::parse(text).unwrap()
}

pub(super) fn map(paint: fn(i64, i64) -> [u8; 3], text: &str) -> Result<SemanticMap> {
    run(&slide(paint), &Simple, &params(text), &Job::new())
}

pub(super) fn label(map: &SemanticMap, x: usize, y: usize) -> u8 {
    map.labels[y / 16 * map.columns + x / 16]
}

#[test]
fn three_tissues_become_three_classes_and_glass_stays_zero() {
    let m = map(three_tissues, r#"{"k": 3}"#).unwrap();
    assert_eq!((m.rows, m.columns, m.cell_px, m.work_mpp), (60, 80, 16.0, 0.5));
    assert_eq!(m.classes.len(), 3);
    let wrong = (0..60 * 80).filter(|i| {
        let (x, y) = ((i % 80 * 16 + 8) as i64, (i / 80 * 16 + 8) as i64);
        let want = if three_tissues(x, y) == GLASS {
            0
        } else {
            label(
                &m,
                if x < 448 {
                    300
                } else if x < 832 {
                    600
                } else {
                    1000
                },
                300,
            )
        };
        m.labels[*i] != want
    });
    assert_eq!(wrong.count(), 0);
    assert!((m.classes.iter().map(|c| c.area_um2).sum::<f64>() - 1088.0 * 768.0 / 4.0).abs() < 1.0);
}

#[test]
fn another_k_keeps_the_labels_of_what_it_does_not_split() {
    let (three, four) = (map(three_tissues, r#"{"k": 3}"#).unwrap(), map(three_tissues, r#"{"k": 4}"#).unwrap());
    let tree = three.tree.as_ref().unwrap();
    assert_eq!(tree, four.tree.as_ref().unwrap(), "one hierarchy, cut elsewhere");
    assert!(three.labels.iter().zip(&tree.leaves).all(|(label, leaf)| (*label == 0) == (*leaf == 0)));
    let kept = [(300, 300), (640, 300), (1000, 300)].into_iter().filter(|(x, y)| label(&three, *x, *y) == label(&four, *x, *y)).count();
    assert!(kept >= 2, "at most one class was split");
    for class in four.classes.iter().filter(|c| c.id <= 3) {
        assert_eq!(three.classes.iter().find(|t| t.id == class.id).unwrap().color, class.color);
    }
}

#[test]
fn zero_classes_lets_the_readings_choose_and_says_so() {
    let job = Job::new();
    let m = run(&slide(three_tissues), &Simple, &params(r#"{"k": 0}"#), &job).unwrap();
    let tree = m.tree.as_ref().unwrap();
    let k = crate::cluster::choice::best(&tree.readings).unwrap();
    assert_eq!(m.provenance["k"].as_u64(), Some(k as u64));
    assert!(m.classes.len() <= k && job.notes().iter().any(|n| n.contains(&format!("{k} classes were chosen"))), "{:?}", job.notes());
    assert!(crate::params::parse::<Cluster>(r#"{"k": 1}"#).unwrap_err().to_string().contains("`k`"));
}

#[test]
fn the_direction_of_fibres_makes_no_class() {
    let m = map(three_tissues, r#"{"k": 3}"#).unwrap();
    assert_eq!(label(&m, 640, 200), label(&m, 640, 700));
}

#[test]
fn normalised_stain_keeps_crops_and_bank_raw_and_one_stain_is_told() {
    let job = Job::new();
    let m = run(&slide(three_tissues), &Simple, &params(r#"{"k": 3, "normalise": "macenko"}"#), &job).unwrap();
    assert_eq!(m.provenance["normalisation"]["method"], "macenko", "{:?}", job.notes());
    assert!(m.crops.iter().all(|c| c.rgb.get_pixel(5, 9).0 == three_tissues(c.x + 5, c.y + 9)));
    let raw = map(three_tissues, r#"{"k": 3}"#).unwrap();
    let values = |m: &SemanticMap| {
        let mut rows: Vec<Vec<u32>> = m.bank.rows.chunks(5).map(|r| r.iter().map(|v| v.to_bits()).collect()).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    };
    assert!(values(&m).iter().filter(|r| values(&raw).contains(r)).count() > 0, "what the encoder says of raw pixels");
    // one stain in two amounts
    let one: fn(i64, i64) -> [u8; 3] = |x, y| match three_tissues(x, y) {
        GLASS => GLASS,
        PINK => PINK,
        _ => PINK.map(|c| (u32::from(c) * u32::from(c) / 255) as u8),
    };
    let job = Job::new();
    let m = run(&slide(one), &Simple, &params(r#"{"k": 2, "normalise": "macenko"}"#), &job).unwrap();
    assert!(m.provenance["normalisation"].is_null() && job.notes().iter().any(|n| n.contains("not normalised")), "{:?}", job.notes());
}

#[test]
fn every_thread_count_gives_the_same_map() {
    let one = map(three_tissues, r#"{"k": 5, "threads": 1}"#).unwrap();
    for text in [r#"{"k": 5, "threads": 2}"#, r#"{"k": 5, "threads": 7}"#] {
        assert!(one == map(three_tissues, text).unwrap(), "{text}");
    }
}

#[test]
fn a_map_without_resolution_asks_for_it() {
    let mut s = slide(three_tissues);
    s.info.mpp = None;
    let e = run(&s, &Simple, &params(""), &Job::new()).unwrap_err();
    assert!(matches!(e, Error::Slide { .. }) && e.to_string().contains("`mpp`"), "{e}");
    assert_eq!(s.reads.into_inner(), 0, "nothing is read before that is known");
    s = slide(three_tissues);
    s.info.mpp = None;
    assert_eq!(run(&s, &Simple, &params(r#"{"k": 3, "mpp": 0.25}"#), &Job::new()).unwrap().cell_px, 32.0);
}

#[test]
fn glass_alone_is_no_tissue() {
    for paint in [(|_, _| GLASS) as fn(i64, i64) -> [u8; 3], |x, _| if x < 500 { [255; 3] } else { [238, 238, 238] }] {
        let e = map(paint, "").unwrap_err().to_string();
        assert!(e.contains("no tissue"), "{e}");
    }
}

#[test]
fn tissue_below_the_least_region_is_told_as_that() {
    let e = map(three_tissues, r#"{"k": 2, "min_region_um2": 1e9}"#).unwrap_err().to_string();
    assert!(e.contains("smaller than the least region") && e.contains("min_region_um2"), "{e}");
}

#[test]
fn other_stains_need_force() {
    let fluorescence: fn(i64, i64) -> [u8; 3] = |x, y| if (x / 64 + y / 64) % 3 == 0 { [20, 30, 160] } else { [4, 4, 9] };
    let brown: fn(i64, i64) -> [u8; 3] = |x, y| if three_tissues(x, y) == GLASS { GLASS } else { [150, 100 + (x / 300) as u8, 60] };
    for paint in [fluorescence, brown] {
        let e = map(paint, "").unwrap_err().to_string();
        assert!(e.contains("H&E") && e.contains("`force`"), "{e}");
    }
    let job = Job::new();
    let m = run(&slide(brown), &Simple, &params(r#"{"k": 2, "force": true}"#), &job).unwrap();
    assert!(!m.classes.is_empty() && job.notes()[0].contains("'Go on with any stain' is switched on"));
}

#[test]
fn a_region_of_interest_bounds_the_map_and_the_reading() {
    let text = r#"{"k": 2, "roi": [[[100, 100], [420, 100], [420, 420], [100, 420]], [[900, 500], [1100, 500], [1100, 700], [900, 700]]]}"#;
    let m = map(three_tissues, text).unwrap();
    let inside =
        |x: usize, y: usize| ((100..420).contains(&x) && (100..420).contains(&y)) || ((900..1100).contains(&x) && (500..700).contains(&y));
    assert!((0..60 * 80).all(|i| (m.labels[i] != 0) == inside(i % 80 * 16 + 8, i / 80 * 16 + 8)));
    assert_ne!(label(&m, 300, 300), label(&m, 1000, 600));
    let e = map(three_tissues, r#"{"roi": [[[0, 0], [60, 0], [60, 60]]]}"#).unwrap_err().to_string();
    assert!(e.contains("`roi`") && e.contains("no tissue"), "{e}");
}

#[test]
fn a_cancelled_job_stops_between_batches() {
    struct Cancelling<'a>(&'a Job, AtomicUsize);
    impl Encoder for Cancelling<'_> {
        fn id(&self) -> &str {
            "cancelling"
        }
        fn sha256(&self) -> &str {
            "00"
        }
        fn channels(&self) -> usize {
            5
        }
        fn stride_px(&self) -> u32 {
            16
        }
        fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
            self.0.cancel();
            self.1.fetch_add(1, Ordering::SeqCst);
            Simple.embed(windows)
        }
    }
    let job = Job::new();
    let encoder = Cancelling(&job, AtomicUsize::new(0));
    assert!(matches!(run(&slide(three_tissues), &encoder, &params(""), &job), Err(Error::Cancelled)));
    assert_eq!(encoder.1.into_inner(), 1);
}

#[test]
fn crops_show_their_class_and_the_bank_holds_its_embeddings() {
    let m = map(three_tissues, r#"{"k": 3, "crops_per_class": 4}"#).unwrap();
    for class in 1..=3 {
        let crops: Vec<&Crop> = m.crops.iter().filter(|c| c.class == class).collect();
        assert_eq!(crops.len(), 4);
        for c in crops {
            assert_eq!(c.rgb.dimensions(), (128, 128));
            assert_eq!(c.rgb.get_pixel(5, 9).0, three_tissues(c.x + 5, c.y + 9));
            let inside = (0..36).filter(|i| label(&m, c.x as usize + 16 + i % 6 * 16, c.y as usize + 16 + i / 6 * 16) == class).count();
            assert!(inside as f64 >= 0.8 * 36.0);
        }
        assert_eq!(m.bank.classes.iter().filter(|c| **c == class).count(), 48);
    }
    assert_eq!((m.bank.channels, m.bank.rows.len()), (5, m.bank.classes.len() * 5));
}

#[test]
fn a_class_without_room_for_a_large_crop_gives_a_small_one() {
    let grid = crate::tiles::Grid { rows: 60, columns: 80, stride_px: 16, downsample: 1.0 };
    let labels: Vec<u8> = (0..60 * 80).map(|i| if (20..24).contains(&(i / 80)) { 1 } else { 2 }).collect();
    let cache = crate::cache::Cache::memory();
    let embedding = crate::embed::Embedding::new(grid, 1, &cache);
    let features = features::Features { embedding: &embedding, depth: &[4; 60 * 80] };
    let labelled = exemplars::Labelled { grid: &grid, labels: &labels, features: &features, classes: vec![1, 2, 3] };
    let crops = labelled.crops(&slide(three_tissues), 8, &Job::new()).unwrap();
    let sides = |class: u8| crops.iter().filter(|c| c.class == class).map(|c| c.rgb.width()).collect::<Vec<_>>();
    assert_eq!(sides(1), [96; 8]);
    assert_eq!(sides(2), [128; 8]);
    assert!(sides(3).is_empty());
}

#[test]
fn provenance_is_complete_and_names_neither_slide_nor_folder() {
    let m = map(three_tissues, r#"{"k": 3, "seed": 77, "out_dir": "/home/someone/out"}"#).unwrap();
    let p = &m.provenance;
    assert_eq!((p["seed"].as_u64(), p["encoder"]["id"].as_str(), p["parameters"]["k"].as_u64()), (Some(77), Some("simple"), Some(3)));
    assert_eq!(p["slide"]["id_sha256"].as_str().map(str::len), Some(64));
    assert!(!p.to_string().contains("someone"));
}

#[test]
fn a_host_that_returns_the_wrong_size_and_an_encoder_that_returns_nan_are_named() {
    struct Short(Drawn);
    impl TileSource for Short {
        fn info(&self) -> &SlideInfo {
            &self.0.info
        }
        fn read(&self, region: &Region) -> Result<RgbImage> {
            self.0.read(&Region { width_px: region.width_px - 1, ..*region })
        }
    }
    let e = run(&Short(slide(three_tissues)), &Simple, &params(""), &Job::new()).unwrap_err();
    assert!(matches!(e, Error::Host { .. }), "{e}");
    struct Nan;
    impl Encoder for Nan {
        fn id(&self) -> &str {
            "nan"
        }
        fn sha256(&self) -> &str {
            "00"
        }
        fn channels(&self) -> usize {
            1
        }
        fn stride_px(&self) -> u32 {
            16
        }
        fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
            windows.iter().map(|_| Planes::new(1, 36, 36, vec![f32::NAN; 36 * 36])).collect()
        }
    }
    let e = run(&slide(three_tissues), &Nan, &params(""), &Job::new()).unwrap_err().to_string();
    assert!(e.contains("finite") && e.contains("cpu"), "{e}");
}

#[test]
fn partial_pictures_and_stages_reach_the_host() {
    let job = Job::new();
    let m = run(&slide(three_tissues), &Simple, &params(r#"{"k": 3}"#), &job).unwrap();
    let picture = job.partial().unwrap();
    assert_eq!(picture.dimensions(), (80, 60));
    assert_eq!(picture.get_pixel(300 / 16, 300 / 16).0[..3], m.classes.iter().find(|c| c.id == label(&m, 300, 300)).unwrap().color);
    assert_eq!(picture.get_pixel(0, 0).0, [0; 4]);
    assert_eq!(job.progress().stage, "measuring the tissue");
    let cells = || m.tissue.iter().flat_map(|tile| &tile.cells);
    assert!(cells().count() == 64 * m.tissue.len() && cells().filter(|c| c.stain.is_stained()).count() > 32);
}

/// `Simple` that counts its windows and gives up after some.
struct Tired(AtomicUsize, usize);

impl Encoder for Tired {
    fn id(&self) -> &str {
        "simple"
    }
    fn sha256(&self) -> &str {
        "00"
    }
    fn channels(&self) -> usize {
        5
    }
    fn stride_px(&self) -> u32 {
        16
    }
    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        if self.0.fetch_add(windows.len(), Ordering::SeqCst) >= self.1 {
            return Err(Error::internal("tired"));
        }
        Simple.embed(windows)
    }
}

#[test]
fn a_run_that_was_given_up_goes_on_from_its_cache_and_ends_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let text = |k: u8| format!(r#"{{"k": {k}, "cache_dir": "{}"}}"#, dir.path().display());
    let run = |encoder: &Tired, k: u8, job: &Job| run(&slide(three_tissues), encoder, &params(&text(k)), job);
    // two windows at once, each in both orientations
    assert!(run(&Tired(AtomicUsize::new(0), 4), 3, &Job::new()).is_err());
    let (job, encoder) = (Job::new(), Tired(AtomicUsize::new(0), 100));
    let resumed = run(&encoder, 3, &job).unwrap();
    assert!(job.notes().iter().any(|n| n == "2 windows are taken from the cache"), "{:?}", job.notes());
    assert_eq!(encoder.0.into_inner(), 2 * 4);
    let whole = map(three_tissues, r#"{"k": 3}"#).unwrap();
    assert!(resumed == whole, "and the provenance does not tell the folder");
    let again = run(&Tired(AtomicUsize::new(0), 0), 5, &Job::new()).unwrap();
    assert!(again == map(three_tissues, r#"{"k": 5}"#).unwrap(), "another k needs no encoder");
    // another slide, resolution or region of interest
    let mut other = slide(three_tissues);
    other.paint = |x, y| if x < 700 { three_tissues(x, y) } else { GLASS };
    let tired = Tired(AtomicUsize::new(0), 0);
    assert!(super::run(&other, &tired, &params(&text(3)), &Job::new()).is_err(), "rows of another slide are not taken");
    let roi = format!(r#"{{"k": 2, "roi": [[[100, 100], [600, 100], [600, 600], [100, 600]]], "cache_dir": "{}"}}"#, dir.path().display());
    assert!(super::run(&slide(three_tissues), &tired, &params(&roi), &Job::new()).is_ok(), "a region of interest needs nothing new");
}

/// What was published last when the encoder was called for the last time.
struct Watching<'a>(&'a Job, std::sync::Mutex<Option<image::RgbaImage>>);

impl Encoder for Watching<'_> {
    fn id(&self) -> &str {
        "simple"
    }
    fn sha256(&self) -> &str {
        "00"
    }
    fn channels(&self) -> usize {
        5
    }
    fn stride_px(&self) -> u32 {
        16
    }
    fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
        *self.1.lock().unwrap() = self.0.partial();
        Simple.embed(windows)
    }
}

#[test]
fn a_first_map_of_the_whole_slide_comes_before_it_is_all_read_and_a_viewport_changes_nothing_but_the_order() {
    let job = Job::new();
    let encoder = Watching(&job, std::sync::Mutex::new(None));
    let m = run(&slide(three_tissues), &encoder, &params(r#"{"k": 3, "viewport": [900, 600, 300, 300]}"#), &job).unwrap();
    assert!(m == map(three_tissues, r#"{"k": 3}"#).unwrap());
    let picture = encoder.1.into_inner().unwrap().unwrap();
    let color = |x: u32, y: u32| &picture.get_pixel(x / 16, y / 16).0[..3];
    let (left, middle, right) = (color(300, 300), color(640, 300), color(1000, 300));
    assert!(left != middle && middle != right && left != right);
    let wrong = (0..60 * 80u32).filter(|i| {
        let (x, y) = (i % 80 * 16 + 8, i / 80 * 16 + 8);
        let glass = three_tissues(x.into(), y.into()) == GLASS;
        color(x, y)
            != if glass {
                &[0; 3]
            } else if x < 448 {
                left
            } else if x < 832 {
                middle
            } else {
                right
            }
    });
    assert!(wrong.count() < 60 * 80 / 20, "almost the final map, embedded or guessed");
    assert!(crate::params::parse::<Cluster>(r#"{"viewport": [0, 0, 0, 5]}"#).unwrap_err().to_string().contains("`viewport`"));
}

#[test]
fn a_map_counts_as_made_already_for_its_slide_and_parameters_alone() {
    let made = |text: &str, s: &Drawn, m: &SemanticMap| made_already(m, s, Encoders::both(&Simple), &params(text)).unwrap();
    let m = map(three_tissues, r#"{"k": 3, "seed": 5, "threads": 2}"#).unwrap();
    assert!(made(r#"{"k": 3, "seed": 5, "out_dir": "/x", "cache_dir": "/y", "skip_done": true}"#, &slide(three_tissues), &m));
    assert!(!made(r#"{"k": 4, "seed": 5}"#, &slide(three_tissues), &m) && !made(r#"{"k": 3}"#, &slide(three_tissues), &m));
    assert!(!made(r#"{"k": 3, "seed": 5}"#, &slide(|x, y| three_tissues(x + 200, y)), &m), "another picture under the same name");
}
