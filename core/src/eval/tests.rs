use image::{Rgb, RgbImage};

use super::*;
use crate::rng::Stream;
use crate::semantic_map::SemanticMap;
use crate::slide::{Region, SlideInfo};
use crate::synth::Nets;
use crate::synth::fakes::{Colors, Follow, PINK, PURPLE, Pooling, map};
use crate::{Job, Result, TileSource, params};

/// The slide of the made-up map: its colours with noise by pixel.
pub(crate) struct Slide {
    map: SemanticMap,
    info: SlideInfo,
}

impl TileSource for Slide {
    fn info(&self) -> &SlideInfo {
        &self.info
    }
    fn read(&self, r: &Region) -> Result<RgbImage> {
        let mut s = Stream::new(5, r.x as u32, r.y as u32);
        Ok(RgbImage::from_fn(r.width_px, r.height_px, |x, y| {
            let at = |from: i64, i: u32| ((from as f64 + f64::from(i) * r.downsample) / self.map.cell_px) as usize;
            let (row, column) = (at(r.y, y), at(r.x, x));
            let label = if row < self.map.rows && column < self.map.columns { self.map.labels[row * self.map.columns + column] } else { 0 };
            let color = [[244, 244, 244], PINK, PURPLE][usize::from(label)];
            Rgb(color.map(|v| v - s.below(9) as u8))
        }))
    }
}

pub(crate) fn slide() -> Slide {
    let info = SlideInfo {
        name: "made up".into(),
        id: String::new(),
        width_px: 2560,
        height_px: 1920,
        downsamples: vec![1.0],
        mpp: None,
        origin_px: (0, 0),
    };
    Slide { map: map(), info }
}

fn evaluated(other: Option<&SemanticMap>) -> Report {
    let s = slide();
    let net = Follow::default();
    // the made-up network does not saturate, so guidance would carry it past every colour
    let dir = tempfile::tempdir().unwrap();
    let preset = dir.path().join("plain.toml");
    std::fs::write(&preset, "steps = 4\nguidance = 1.0\nrefine = true\n").unwrap();
    let p: params::Eval = params::parse(&serde_json::json!({"from": "x", "n": 10, "preset": preset}).to_string()).unwrap();
    run(&s, &s.map, other, &Nets::new(&Pooling, &net, &Colors).refined(Some(&net)), &p, &Job::new()).unwrap().0
}

#[test]
fn what_the_condition_holds_shows_in_the_distances() {
    let r = evaluated(None);
    assert_eq!((r.tiles, r.patches, r.channels, r.lines.len()), (10, 40, 16, 5));
    let of = |v: Variant| r.lines.iter().find(|l| l.variant == v.name()).map(|l| l.frechet).unwrap();
    let (here, none) = (of(Variant::Elsewhere), of(Variant::Unconditional));
    // a distance of sets hardly sees that two classes changed places, but it sees everything else
    assert!(here < none / 20.0 && of(Variant::InPlace) < none / 20.0 && of(Variant::MapOnly) > none / 20.0, "{r:?}");
    assert!(of(Variant::Shuffled) > here, "{r:?}");
    assert!(
        r.real_floor.is_finite() && (0.0..r.lines[0].frechet).contains(&r.decoded) && r.autoencoder_psnr_db > 25.0 && r.ms_a_tile > 0.0
    );
}

#[test]
fn crops_of_another_slide_are_matched_by_their_embeddings() {
    let mut other = map();
    // the other slide numbers the same tissues the other way round
    let swap = |c: u8| if c == 0 { 0 } else { 3 - c };
    other.crops.iter_mut().for_each(|c| c.class = swap(c.class));
    other.bank.classes.iter_mut().for_each(|c| *c = swap(*c));
    let r = evaluated(Some(&other));
    let of = |v: Variant| r.lines.iter().find(|l| l.variant == v.name()).map(|l| l.frechet).unwrap();
    assert!((of(Variant::OtherSlide) / of(Variant::Elsewhere) - 1.0).abs() < 0.5, "{r:?}");
}
