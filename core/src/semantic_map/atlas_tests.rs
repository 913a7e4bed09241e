//! What an atlas promises the maps that are made with it, on drawn slides.

use std::sync::atomic::Ordering;

use super::tests::{Drawn, GLASS, Simple, label, map, params, slide, three_tissues};
use super::*;
use crate::params::Cluster;
use crate::{Encoder, Job, Planes, Result};

/// The tissues of [`three_tissues`] the other way round.
fn mirrored(x: i64, y: i64) -> [u8; 3] {
    three_tissues(1279 - x, y)
}

/// A fourth tissue in the lower half of the slide.
fn a_fourth(x: i64, y: i64) -> [u8; 3] {
    if three_tissues(x, y) != GLASS && y >= 480 { [120, 20, 40] } else { three_tissues(x, y) }
}

fn named_slide(paint: fn(i64, i64) -> [u8; 3], id: &str) -> Drawn {
    let mut drawn = slide(paint);
    drawn.info.id = id.into();
    drawn
}

/// An atlas of slides, in a file.
fn atlas_of(slides: &[&Drawn], dir: &std::path::Path) -> (crate::atlas::Atlas, String) {
    let samples = slides.iter().map(|s| sample(*s, &Simple, &params("{}"), 1 << 16, &Job::new()));
    let atlas = crate::atlas::fit(&crate::atlas::merged(samples).unwrap(), 3, 1, "CC0", &Job::new()).unwrap();
    let path = dir.join("atlas.json");
    crate::export::write_atlas(&path, &atlas).unwrap();
    assert_eq!(crate::export::read_atlas(&path).unwrap(), atlas, "read back bit for bit");
    (atlas, path.display().to_string())
}

fn with_atlas(path: &str, k: usize) -> Cluster {
    params(&serde_json::json!({"atlas": path, "k": k}).to_string())
}

#[test]
fn the_atlas_of_one_slide_labels_it_as_the_slide_itself_does() {
    let dir = tempfile::tempdir().unwrap();
    let (atlas, path) = atlas_of(&[&slide(three_tissues)], dir.path());
    for k in [2, 3, 4] {
        let own = map(three_tissues, &format!(r#"{{"k": {k}}}"#)).unwrap();
        let by_atlas = run(&slide(three_tissues), &Simple, &with_atlas(&path, k), &Job::new()).unwrap();
        assert_eq!((&own.labels, &own.classes), (&by_atlas.labels, &by_atlas.classes), "{k}");
        assert_eq!(own.tree.unwrap().hierarchy.leaves, atlas.hierarchy.leaves);
        assert!(own.atlas.is_none() && by_atlas.atlas.is_some());
    }
}

#[test]
fn labels_mean_the_same_on_every_slide_and_whatever_the_order_of_fitting() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (named_slide(three_tissues, "a"), named_slide(mirrored, "b"));
    let (atlas, path) = atlas_of(&[&a, &b], dir.path());
    let [here, there] = [&a, &b].map(|s| run(s, &Simple, &with_atlas(&path, 0), &Job::new()).unwrap());
    let places = [(300, 300), (640, 300), (1000, 300)];
    let labels = places.map(|(x, y)| (label(&here, x, y), label(&there, 1279 - x, y)));
    assert!(labels.iter().all(|(l, m)| l == m), "{labels:?}");
    assert_eq!(here.classes.len(), 3);
    let (again, path) = atlas_of(&[&b, &a], dir.path());
    assert_eq!(again, atlas);
    let refitted = run(&a, &Simple, &with_atlas(&path, 0), &Job::new()).unwrap();
    let made = |path: &str| made_already(&refitted, &a, Encoders::both(&Simple), &with_atlas(path, 0)).unwrap();
    assert!(made(&path));
    let names = std::collections::BTreeMap::from([(1, "Stroma".to_owned())]);
    crate::export::write_atlas(std::path::Path::new(&path), &again.renamed(3, &names, &Default::default()).unwrap()).unwrap();
    assert!(!made(&path), "another name is another map");
    assert_eq!((refitted.labels, refitted.provenance), (here.labels, here.provenance));
}

#[test]
fn tissue_that_the_atlas_never_saw_is_marked_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_, path) = atlas_of(&[&slide(three_tissues)], dir.path());
    let job = Job::new();
    let m = run(&named_slide(a_fourth, "new"), &Simple, &with_atlas(&path, 3), &job).unwrap();
    let assigned = m.atlas.as_ref().unwrap();
    let distance = |x: usize, y: usize| assigned.distance[y / 16 * m.columns + x / 16];
    assert!(distance(300, 300) <= crate::atlas::BOUND && distance(300, 700) > crate::atlas::BOUND && distance(40, 40) == 0);
    assert!(label(&m, 300, 700) != 0, "it keeps the label of what it is most like");
    let name = |x: usize, y: usize| m.classes.iter().find(|c| c.id == label(&m, x, y)).unwrap().name.clone();
    assert!(name(300, 700).ends_with(" (?)"), "and its name says that this is doubtful: {}", name(300, 700));
    assert!(job.notes().iter().any(|n| n.contains("(?)") && n.contains("unlike anything the atlas knows")), "{:?}", job.notes());
    assert!(assigned.unknown_share() > 0.4 && job.notes().iter().any(|n| n.contains("unknown.png")), "{:?}", job.notes());
    let known = run(&slide(three_tissues), &Simple, &with_atlas(&path, 3), &job).unwrap();
    assert!(known.classes.iter().all(|c| !c.name.contains('?')), "{:?}", known.classes);
    assert!(known.atlas.unwrap().unknown_share() < 0.5 * assigned.unknown_share());
    assert!(m.provenance["atlas"]["id_sha256"].is_string() && m.provenance["parameters"]["atlas"].is_null(), "no path is kept");
}

#[test]
fn an_atlas_that_does_not_fit_is_refused_before_anything_is_read() {
    struct Other;
    impl Encoder for Other {
        fn id(&self) -> &str {
            "other"
        }
        fn sha256(&self) -> &str {
            "11"
        }
        fn channels(&self) -> usize {
            5
        }
        fn stride_px(&self) -> u32 {
            16
        }
        fn embed(&self, windows: &[RgbImage]) -> Result<Vec<Planes>> {
            Simple.embed(windows)
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, path) = atlas_of(&[&slide(three_tissues)], dir.path());
    let refused = |encoder: &dyn Encoder, params: &Cluster| {
        let s = slide(three_tissues);
        let e = run(&s, encoder, params, &Job::new()).unwrap_err().to_string();
        assert_eq!(s.reads.load(Ordering::SeqCst), 0, "{e}");
        e
    };
    assert!(refused(&Other, &with_atlas(&path, 3)).contains("fitted with the encoder simple"));
    assert!(refused(&Simple, &with_atlas(&path, 100)).contains("the leaves of the hierarchy"));
    assert!(refused(&Simple, &with_atlas("/nowhere/atlas.json", 3)).contains("atlas.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, needle) in
        [("histoloom-atlas", "histoloom-other", "its format"), ("\"rows\": ", "\"rows\": 1", "changed by hand"), ("{", "", "not JSON")]
    {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(refused(&Simple, &with_atlas(&path, 3)).contains(needle), "{needle}");
    }
}
