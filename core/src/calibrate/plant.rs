//! One slide: real tiles, ordinary tiles and tiles with faults, scored. In: the open slide, its map, the networks and worn ones, an
//! index. Out: a [`Table`], and every tile through a sink.

use image::RgbImage;

use super::faults::{Drawn, Fault, difference};
use super::{ORDINARY, PLANTED, REAL, RENDERED, SIZE_PX, Sample, Table, held, indexed};
use crate::condition::Place;
use crate::condition::layout::Source;
use crate::flags::duplicates::{Duplicates, Index, Own};
use crate::flags::score::index::{SEEDS_DISAGREE, UNSTABLE};
use crate::flags::{CELL_PX, Judge, Rendering, Scored, Scorer, calibration};
use crate::rng::Stream;
use crate::semantic_map::SemanticMap;
use crate::slide::Mpp;
use crate::synth::{Inputs, Nets, fingerprint, run_with};
use crate::tiles::Glass;
use crate::{Denoiser, Error, Job, Result, TileSource, condition, eval, params};

/// Least share of pixels whose class differs between two tiles that are shuffled or averaged.
const DIFFERENT: f64 = 0.5;
/// Pixels by which a copy is moved at most.
const MOVED: f64 = 12.0;
/// Unit of an index that is made here.
const SCALE: f32 = 0.125;
/// Lane of the dice.
const LANE: u32 = 0x0FA0;

/// The networks and the worn ones.
#[derive(Clone, Copy)]
pub struct Networks<'a> {
    /// As they are used.
    pub nets: Nets<'a>,
    /// The denoiser with disturbed weights.
    pub worn: &'a dyn Denoiser,
    /// The refiner with disturbed weights.
    pub worn_refiner: &'a dyn Denoiser,
}

/// Sees every tile.
pub type Sink<'a> = dyn FnMut(&Sample, &RgbImage, &[u8]) -> Result<()> + 'a;

/// A tile of the model with what is needed to score it again.
struct Made {
    drawn: Drawn,
    crops: Vec<usize>,
    unstable: Vec<f32>,
    disagree: Option<Vec<f32>>,
}

/// Scores a slide's tiles. `index` holds training pictures and the SHA-256 of their file; the slide itself is added where it is not among them.
pub fn plant(
    source: &dyn TileSource,
    map: &SemanticMap,
    networks: &Networks<'_>,
    index: Option<(Index, String)>,
    p: &params::Plant,
    job: &Job,
    sink: &mut Sink<'_>,
) -> Result<Table> {
    eval::belongs(source, map)?;
    if !CELL_PX.is_multiple_of(networks.nets.encoder.stride_px().max(1) as usize) {
        return Err(Error::internal("cells of 32 px are no whole number of the encoder's"));
    }
    let (id, encoder) = (source.info().id_sha256(), networks.nets.encoder);
    let empty = || Index { encoder_sha256: encoder.sha256().into(), channels: encoder.channels(), scale: SCALE, pictures: Vec::new() };
    let index_sha256 = index.as_ref().map(|(_, sha256)| sha256.clone());
    let mut index = index.map_or_else(empty, |(index, _)| index);
    if !index.pictures.iter().any(|i| i.id_sha256 == id) {
        let picture = indexed(source, Mpp::new(map.mpp)?, &Glass::of(&map.thumbnail), encoder, index.scale, job)?;
        index.pictures.push(picture);
    }
    let duplicates = Duplicates::new(index, encoder)
        .ok_or_else(|| Error::parameter("models", "the index of training pictures is of another encoder", "use files of one release"))?;
    let black = held::places(map, SIZE_PX, true, p.seed)?;
    if black.len() < 8 {
        let why = format!("only {} tiles of 256 px with tissue can be held out", black.len());
        return Err(Error::parameter("from", why, "use a slide with more tissue"));
    }
    let white = held::without(map, &black[..black.len().min(p.real as usize)], source, encoder, p.seed, job)?;
    let rendering = Rendering::of(&white, encoder, networks.nets.codec, job)?;
    let judge = Judge { duplicates: Some(&duplicates), rendering: Some(&rendering), ..Judge::default() };
    // of tiles that are made here only S3 is kept, the rest is scored below
    let nets = networks.nets.judged(Judge { rendering: Some(&rendering), ..Judge::default() });
    let networks = &Networks { nets, ..*networks };
    let mut field = Field {
        source,
        map: &white,
        networks,
        p,
        job,
        scorer: Scorer::new(&white, encoder, None, judge, job)?,
        id: &id,
        samples: Vec::new(),
        sink,
    };
    field.real_tiles(&black)?;
    let made = field.ordinary(&black)?;
    for fault in Fault::ALL {
        field.faults(fault, &made, &black)?;
    }
    Ok(Table {
        format: PLANTED.into(),
        version: calibration::VERSION,
        slide_id_sha256: id.clone(),
        map_sha256: fingerprint(map),
        atlas: map.classes_of().map(str::to_owned),
        networks: networks.nets.hashes(true),
        index_sha256,
        seed: p.seed,
        preset: p.preset.clone(),
        asked: [p.n, p.real, p.ordinary],
        seeds: p.seeds,
        samples: field.samples,
    })
}

/// Everything that stays over a slide.
struct Field<'a, 'b> {
    source: &'a dyn TileSource,
    map: &'a SemanticMap,
    networks: &'a Networks<'a>,
    p: &'a params::Plant,
    job: &'a Job,
    scorer: Scorer<'a>,
    id: &'a str,
    samples: Vec<Sample>,
    sink: &'a mut Sink<'b>,
}

impl Field<'_, '_> {
    fn dice(&self, fault: Fault, i: u32) -> Stream {
        Stream::new(self.p.seed, i, LANE + fault as u32)
    }

    /// Scores a tile and hands it on.
    fn take(&mut self, kind: &str, index: u32, tile: &Scored<'_>) -> Result<()> {
        let mut flags = self.scorer.score(tile, self.job)?;
        for crop in tile.crops.iter().filter(|_| kind != REAL && kind != RENDERED) {
            flags.flags.extend(self.scorer.crop(*crop)?);
        }
        let scores = flags.tile_scores.map(|s| s.map(|v| Some(v).filter(|v| v.is_finite())).to_vec()).unwrap_or_default();
        let mut hard: Vec<String> = flags.flags.iter().map(|f| f.code.clone()).filter(|c| c != "UNCALIBRATED").collect();
        hard.sort_unstable();
        hard.dedup();
        let sample = Sample { kind: kind.into(), index, scores, hard, nearest: flags.nearest };
        (self.sink)(&sample, tile.rgb, tile.labels)?;
        self.samples.push(sample);
        self.job.advance(1);
        self.job.check()
    }

    /// The real tissue of a place, moved by some pixels.
    fn real_at(&self, place: &Place, moved: (f64, f64)) -> Result<Drawn> {
        let px = self.map.work_mpp / self.map.mpp;
        let place = Place { x: place.x + moved.0 * px, y: place.y + moved.1 * px, ..*place };
        Ok(Drawn { rgb: place.read(self.source, SIZE_PX)?, labels: condition::window_labels(self.map, &place, SIZE_PX as usize) })
    }

    fn real_tiles(&mut self, black: &[Place]) -> Result<()> {
        self.job.stage("looking at real tiles", 2 * u64::from(self.p.real));
        for (i, place) in (0..self.p.real).zip(black) {
            let d = self.real_at(place, (0.0, 0.0))?;
            let crops = self.crops_for(place, &d.labels);
            let cell = CELL_PX as f64 * self.map.work_mpp / self.map.mpp;
            let at = |px: f64| (px / cell).round() as i64;
            let cells = i64::from(SIZE_PX) / CELL_PX as i64;
            let own = Some(Own { id_sha256: self.id, row: at(place.y), column: at(place.x), cells });
            let scored = |rgb, generated| Scored { rgb, labels: &d.labels, unstable: None, disagree: None, crops: &crops, own, generated };
            self.take(REAL, i, &scored(&d.rgb, false))?;
            self.take(RENDERED, i, &scored(&self.rendered(&d.rgb)?, true))?;
        }
        Ok(())
    }

    /// Two crops of each class in a tile, from elsewhere, as a tile of the model would be shown.
    fn crops_for(&self, place: &Place, labels: &[u8]) -> Vec<usize> {
        let mut present = labels.to_vec();
        present.sort_unstable();
        present.dedup();
        let of = |class: &u8| condition::available(self.map, Some(place), *class).into_iter().take(2);
        present.iter().filter(|c| **c != 0).flat_map(of).collect()
    }

    /// A picture through the autoencoder and back.
    fn rendered(&self, rgb: &RgbImage) -> Result<RgbImage> {
        let codec = self.networks.nets.codec;
        let again = codec.decode(&codec.encode(std::slice::from_ref(rgb))?)?;
        again.into_iter().next().ok_or_else(|| Error::internal("the codec decoded nothing"))
    }

    /// A tile of some networks at a place.
    fn tile(&self, nets: &Nets<'_>, p: &params::Synth, place: &Place) -> Result<Made> {
        let mut inputs = Inputs::read(p, self.map)?;
        inputs.source = Some(Source::At([place.x, place.y]));
        let mut out = None;
        run_with(self.map, nets, &[], inputs, self.job, &mut |tile| {
            let crops = tile.crops.iter().filter_map(|c| self.map.crops.iter().position(|o| o == c)).collect();
            let unstable = tile.flags.scores.plane(UNSTABLE).to_vec();
            let disagree = (p.seeds > 1).then(|| tile.flags.scores.plane(SEEDS_DISAGREE).to_vec());
            out = Some(Made { drawn: Drawn { rgb: tile.rgb, labels: tile.labels }, crops, unstable, disagree });
            Ok(())
        })?;
        out.ok_or_else(|| Error::internal("no tile was made"))
    }

    fn ordinary(&mut self, black: &[Place]) -> Result<Vec<Made>> {
        let p = self.p.tiles()?;
        self.job.stage("making ordinary tiles", 0);
        let mut all = Vec::new();
        for i in 0..self.p.ordinary {
            let one = params::Synth { first: i, seeds: self.p.seeds, ..p.clone() };
            let made = self.tile(&self.networks.nets, &one, &black[i as usize % black.len()])?;
            let disagree = made.disagree.as_deref().map(|s4| (s4, self.p.seeds));
            self.take(ORDINARY, i, &Scored { disagree, ..scored(&made, &made.drawn) })?;
            all.push(made);
        }
        Ok(all)
    }

    /// All tiles of one fault.
    fn faults(&mut self, fault: Fault, made: &[Made], black: &[Place]) -> Result<()> {
        self.job.stage(fault.name(), u64::from(self.p.n));
        let p = self.p.tiles()?;
        let classes: Vec<u8> = self.map.classes.iter().map(|c| c.id).collect();
        for i in 0..self.p.n {
            let mut dice = self.dice(fault, i);
            // the same tile does not carry the same number of every fault
            let at = (i as usize + fault as usize * 5) % made.len();
            let base = &made[at];
            let place = &black[at % black.len()];
            let other = || self.other(made, at);
            let drawn = match fault {
                // the next tile where this one holds no square of tissue
                Fault::ClassSwap => {
                    let from = |k: usize| &made[(at + k) % made.len()];
                    let swapped = (0..made.len()).map(from).find_map(|m| Some((m, m.drawn.swapped(&classes, &mut dice)?)));
                    if let Some((base, drawn)) = swapped {
                        self.take(fault.name(), i, &scored(base, &drawn))?;
                    }
                    continue;
                }
                Fault::Shuffled => other().map(|o| Drawn { rgb: base.drawn.rgb.clone(), labels: o.drawn.labels.clone() }),
                Fault::Averaged => other().map(|o| self.averaged(base, o)).transpose()?,
                Fault::Truncated => {
                    let steps = 2 + i % 4;
                    let one = params::Synth { first: self.p.ordinary + i, steps, refine: false, ..p.clone() };
                    let made = self.tile(&self.networks.nets, &one, place)?;
                    self.take(fault.name(), i, &scored(&made, &made.drawn))?;
                    continue;
                }
                Fault::Worn => {
                    let one = params::Synth { first: self.p.ordinary + i, ..p.clone() };
                    let nets = Nets { denoiser: self.networks.worn, ..self.networks.nets }.refined(Some(self.networks.worn_refiner));
                    let made = self.tile(&nets, &one, place)?;
                    self.take(fault.name(), i, &scored(&made, &made.drawn))?;
                    continue;
                }
                Fault::Magnified => Some(base.drawn.magnified()),
                Fault::Shrunk => Some(base.drawn.shrunk()),
                Fault::Checkerboard => Some(base.drawn.chequered(&mut dice)),
                Fault::Blurred => Some(base.drawn.blurred(&mut dice)),
                Fault::Stained => Some(base.drawn.stained(&mut dice)),
                Fault::Pasted => self.pasted(base, &mut dice),
                Fault::Copied => {
                    let mut moved = || (2.0 * dice.uniform() - 1.0) * MOVED;
                    let moved = (moved(), moved());
                    let copy = self.real_at(&black[i as usize % black.len()], moved)?.jittered(&mut dice);
                    Some(Drawn { rgb: self.rendered(&copy.rgb)?, labels: copy.labels })
                }
            };
            match drawn {
                Some(drawn) => self.take(fault.name(), i, &scored(base, &drawn))?,
                None => self.job.note(format!("{} {i} could not be planted: the slide offers nothing else", fault.name())),
            }
        }
        Ok(())
    }

    /// The next tile whose map differs from that of tile `at` over most of it.
    fn other<'m>(&self, made: &'m [Made], at: usize) -> Option<&'m Made> {
        let of = |k: usize| &made[(at + k) % made.len()];
        (1..made.len()).map(of).find(|o| difference(&o.drawn.labels, &made[at].drawn.labels) > DIFFERENT)
    }

    /// Decoded from the mean of two tiles' latents; the map is the first one's.
    fn averaged(&self, a: &Made, b: &Made) -> Result<Drawn> {
        let codec = self.networks.nets.codec;
        let mut z = codec.encode(std::slice::from_ref(&a.drawn.rgb))?;
        let other = codec.encode(std::slice::from_ref(&b.drawn.rgb))?;
        for (z, o) in z.iter_mut().zip(&other) {
            z.data.iter_mut().zip(&o.data).for_each(|(a, b)| *a = 0.5 * (*a + b));
        }
        let rgb = codec.decode(&z)?.pop().ok_or_else(|| Error::internal("the codec decoded nothing"))?;
        Ok(Drawn { rgb, labels: a.drawn.labels.clone() })
    }

    /// One of the crops that the tile was shown, pasted in.
    fn pasted(&self, base: &Made, dice: &mut Stream) -> Option<Drawn> {
        let index = *base.crops.get(dice.below(base.crops.len()))?;
        Some(base.drawn.pasted(&self.map.crops.get(index)?.rgb, dice))
    }
}

fn scored<'m>(made: &'m Made, drawn: &'m Drawn) -> Scored<'m> {
    Scored {
        rgb: &drawn.rgb,
        labels: &drawn.labels,
        unstable: Some(&made.unstable),
        disagree: None,
        crops: &made.crops,
        own: None,
        generated: true,
    }
}
