//! The evaluation: real tiles, tiles of every variant at the same places, distances, times, a sheet.

use std::time::Instant;

use image::RgbImage;
use serde::Serialize;

use super::frechet::{Features, distance};
use super::{PATCH_PX, Variant, fidelity, variant};
use crate::condition::layout::Source;
use crate::condition::{Place, Places};
use crate::diffuse::refine;
use crate::flags::{Judge, Rendering, features};
use crate::params::{self, Eval};
use crate::semantic_map::SemanticMap;
use crate::synth::{Inputs, Nets, fingerprint, run_with};
use crate::{Encoder, Error, Job, Result, TileSource, export};

/// Tiles shown on the sheet.
const SHOWN: usize = 8;

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What the condition held.
    pub variant: &'static str,
    /// Frechet distance to the real tiles.
    pub frechet: f64,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Tiles a variant.
    pub tiles: u32,
    /// Seed of places, crops and noise.
    pub seed: u64,
    /// Preset of the tiles.
    pub preset: String,
    /// The map, as provenance of tiles names it.
    pub map_sha256: String,
    /// The map of the other slide, if there was one.
    pub other_map_sha256: Option<String>,
    /// Where the networks ran.
    pub device: Option<String>,
    /// Rows of a distance: squares of 128 px.
    pub patches: usize,
    /// Features of a row.
    pub channels: usize,
    /// Encoder of the features.
    pub encoder_sha256: String,
    /// Denoiser that was evaluated.
    pub denoiser_sha256: String,
    /// Distance between two halves of the real tiles: no set of tiles can be expected below it.
    pub real_floor: f64,
    /// Distance of the real tiles, sent through the autoencoder and back, to themselves: what no denoiser can better.
    pub decoded: f64,
    /// One line a variant.
    pub lines: Vec<Line>,
    /// Of the refiner, where the preset asks for one.
    pub refiner_sha256: Option<String>,
    /// Autoencoder on the real tiles: mean PSNR in dB and SSIM.
    pub autoencoder_psnr_db: f64,
    /// See above.
    pub autoencoder_ssim: f64,
    /// Milliseconds a denoising step of one tile, everything around it shared out (median over tiles).
    pub ms_a_step: f64,
    /// Milliseconds a tile from plan to flags (median).
    pub ms_a_tile: f64,
}

/// Real and synthetic tiles of one place.
struct Set {
    features: Features,
    shown: Vec<RgbImage>,
}

impl Set {
    fn new(channels: usize) -> Self {
        Self { features: Features { channels, data: Vec::new() }, shown: Vec::new() }
    }

    fn add(&mut self, encoder: &dyn Encoder, rgb: RgbImage) -> Result<()> {
        let f = features(encoder, &rgb)?;
        let k = (PATCH_PX / encoder.stride_px().max(1)) as usize;
        for r in (0..f.height).step_by(k) {
            for c in (0..f.width).step_by(k) {
                let part = f.cut(r, c, k.min(f.height - r), k.min(f.width - c))?;
                let mean = |ch: usize| part.plane(ch).iter().map(|v| f64::from(*v)).sum::<f64>() / part.area() as f64;
                self.features.data.extend((0..f.channels).map(mean));
            }
        }
        if self.shown.len() < SHOWN {
            self.shown.push(rgb);
        }
        Ok(())
    }
}

/// Evaluates a model on a slide with its map. The sheet has a column a set, real tiles first.
pub fn run(
    source: &dyn TileSource,
    map: &SemanticMap,
    other: Option<&SemanticMap>,
    nets: &Nets<'_>,
    p: &Eval,
    job: &Job,
) -> Result<(Report, RgbImage)> {
    let synth = p.tiles()?;
    // flags are not looked at here, so what the autoencoder does to tissue need not be found out for every tile
    let unknown = Rendering::default();
    let nets = &nets.judged(Judge { rendering: Some(&unknown), ..Judge::default() });
    let steps = nets.refiner_of(&synth)?.map_or(synth.steps as usize, |_| refine::steps(synth.steps as usize, 1.0));
    belongs(source, map)?;
    let places = Places::new(map, synth.size_px)?;
    let places: Vec<Place> = (0..p.n).map(|i| places.choose(p.seed, i)).collect();
    job.stage("looking at real tiles", u64::from(p.n));
    let set = || Set::new(nets.encoder.channels());
    let (mut real, mut decoded, mut quality) = (set(), set(), Vec::new());
    for place in &places {
        job.check()?;
        let rgb = place.read(source, synth.size_px)?;
        let again = nets.codec.decode(&nets.codec.encode(std::slice::from_ref(&rgb))?)?;
        let again = again.into_iter().next().ok_or_else(|| Error::internal("the codec decoded nothing"))?;
        quality.push((fidelity::psnr(&rgb, &again), fidelity::ssim(&rgb, &again)));
        decoded.add(nets.encoder, again)?;
        real.add(nets.encoder, rgb)?;
        job.advance(1);
    }
    let (even, odd) = halves(&real.features, places.len());
    let real_floor = distance(&even, &odd)?;
    let (mut lines, mut sets, mut times) = (Vec::new(), vec![("real", real.shown.clone())], Vec::new());
    let made = if p.ablations { &Variant::ALL[..] } else { &[Variant::Elsewhere] };
    for v in made.iter().copied() {
        let Some(shown) = v.map(map, other)? else { continue };
        job.stage(v.name(), u64::from(p.n) * steps as u64);
        let mut set = set();
        for (i, place) in places.iter().enumerate() {
            let began = Instant::now();
            let one = params::Synth { n: 1, first: i as u32, at: Some([place.x, place.y]), ..synth.clone() };
            let rgb = tile(source, &shown, nets, v, &one, place, job)?;
            if v == Variant::Elsewhere {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
            set.add(nets.encoder, rgb)?;
        }
        lines.push(Line { variant: v.name(), frechet: distance(&real.features, &set.features)? });
        sets.push((v.name(), set.shown));
    }
    let mean = |f: fn(&(f64, f64)) -> f64| quality.iter().map(f).sum::<f64>() / quality.len().max(1) as f64;
    let ms_a_tile = median(times);
    let report = Report {
        tiles: p.n,
        seed: p.seed,
        preset: synth.preset.clone(),
        map_sha256: fingerprint(map),
        other_map_sha256: other.map(fingerprint),
        device: nets.device.map(Into::into),
        patches: real.features.rows(),
        channels: real.features.channels,
        encoder_sha256: nets.encoder.sha256().into(),
        denoiser_sha256: nets.denoiser.sha256().into(),
        refiner_sha256: nets.refiner_of(&synth)?.map(|r| r.sha256().into()),
        real_floor,
        decoded: distance(&real.features, &decoded.features)?,
        lines,
        autoencoder_psnr_db: mean(|q| q.0),
        autoencoder_ssim: mean(|q| q.1),
        ms_a_step: ms_a_tile / steps.max(1) as f64,
        ms_a_tile,
    };
    Ok((report, export::columns(&sets)))
}

/// An error where the map cannot be that of the slide.
pub(crate) fn belongs(source: &dyn TileSource, map: &SemanticMap) -> Result<()> {
    let (info, px) = (source.info(), map.cell_px);
    let covers = |cells: usize, size: u64| ((cells as f64 - 1.0) * px..=(cells as f64 + 1.0) * px).contains(&(size as f64));
    let scale = info.mpp.is_none_or(|m| (m.get() / map.mpp - 1.0).abs() < 0.01);
    if covers(map.columns, info.width_px) && covers(map.rows, info.height_px) && scale {
        return Ok(());
    }
    if !scale {
        let said = info.mpp.map_or(map.mpp, crate::slide::Mpp::get);
        let of = format!("the map was made at {} um/px, the slide says {said}", map.mpp);
        return Err(Error::parameter("from", of, "give this slide's map, made without `mpp` or with the slide's own"));
    }
    let of = format!(
        "the slide has {} x {} px, the map covers {:.0} x {:.0}",
        info.width_px,
        info.height_px,
        map.columns as f64 * px,
        map.rows as f64 * px
    );
    Err(Error::parameter("from", format!("the map is another slide's: {of}"), "give the folder of this slide's map"))
}

/// One tile of a variant.
fn tile(
    source: &dyn TileSource,
    map: &SemanticMap,
    nets: &Nets<'_>,
    v: Variant,
    p: &params::Synth,
    place: &Place,
    job: &Job,
) -> Result<RgbImage> {
    let p = params::Synth { guidance: if v == Variant::Unconditional { 0.0 } else { p.guidance }, ..p.clone() };
    let mut inputs = Inputs::read(&p, map)?;
    inputs.source = Some(Source::At([place.x, place.y]));
    if v == Variant::InPlace {
        let side = p.size_px as usize;
        let labels = crate::condition::window_labels(map, place, side);
        (inputs.crops, inputs.own) = variant::in_place(source, map, place, &labels, side)?;
    }
    let mut out = None;
    run_with(map, nets, &[], inputs, job, &mut |tile| {
        out = Some(tile.rgb);
        Ok(())
    })?;
    out.ok_or_else(|| Error::internal("no tile was made"))
}

/// Rows of the even and of the odd tiles.
fn halves(all: &Features, tiles: usize) -> (Features, Features) {
    let row = all.data.len() / tiles.max(1);
    let of = |odd: usize| Features {
        channels: all.channels,
        data: all.data.chunks(row.max(1)).enumerate().filter(|(i, _)| i % 2 == odd).flat_map(|(_, r)| r.iter().copied()).collect(),
    };
    (of(0), of(1))
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}
