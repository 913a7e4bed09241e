//! A bounded sample of the tissue of slides. In: the rows of a slide. Out: [`Sample`]s, and their union.
//!
//! Priority sampling (Duffield, Lund & Thorup, J ACM 2007;54(6):32; its sibling is Efraimidis & Spirakis, Inf Process Lett
//! 2006;97:181-5): row i of weight w gets the rank u / w with u uniform in [0, 1), and the rows of least rank are kept. u depends on
//! seed, slide and cell alone, so the kept rows of a union are those of the union of what its parts kept: merging is associative,
//! commutative and idempotent, and needs memory for the rows kept.
//!
//! Weights are 1 / sqrt(n), n the rows of the slide's own quick cluster that the row is in: a tissue four times as frequent is
//! sampled twice as often, so that rare tissues stay. Ranks are exact in IEEE arithmetic, the same on every machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EncoderOf, MPP_TOLERANCE};
use crate::cluster::{Rows, quick};
use crate::rng::Stream;
use crate::{Error, Job, Result, limits};

/// Quick clusters of a slide.
const QUICK: usize = 32;

/// A slide of a sample.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampledSlide {
    /// SHA-256 of the host's identifier, hex.
    pub id_sha256: String,
    /// Resolution its pixels were read at, um/px.
    pub work_mpp: f32,
    /// Cells that could have been taken.
    pub cells: u64,
    /// Rows taken from it at first.
    pub rows: u64,
    /// SHA-256 of these rows with their ranks, hex: a slide sampled in two ways is found out.
    pub rows_sha256: String,
}

/// Where a row comes from, and its rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Index into the slides.
    pub slide: u32,
    /// Cell of the slide's grid.
    pub cell: u32,
    /// Rows of the least rank stay.
    pub rank: f64,
}

/// Rows of one or many slides.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The encoder the rows come from.
    pub encoder: EncoderOf,
    /// Stain normalisation of the pixels.
    pub normalisation: String,
    /// Seed of the ranks.
    pub seed: u64,
    /// In order of their ids.
    pub slides: Vec<SampledSlide>,
    /// In order of slide and cell.
    pub kept: Vec<Kept>,
    /// `kept.len() * channels` values.
    pub data: Vec<f32>,
}

impl Sample {
    /// The rows.
    pub fn rows(&self) -> Rows<'_> {
        Rows { data: &self.data, channels: self.encoder.channels }
    }
}

/// At most `most` rows of a slide; `slide` comes with its counts and hash filled in. `cells` are in ascending order.
pub fn sample(rows: Rows<'_>, cells: &[u32], of: (EncoderOf, SampledSlide), seed: u64, most: usize, job: &Job) -> Result<Sample> {
    let (encoder, mut slide) = of;
    let clusters = quick(rows, QUICK, seed, job)?;
    let mut size = vec![0u32; clusters.k()];
    let of: Vec<usize> = clusters.of(rows);
    of.iter().for_each(|c| size[*c] += 1);
    let key = slide_key(&slide.id_sha256) ^ seed;
    let rank = |(cell, cluster): (&u32, &usize)| Stream::new(key, *cell, 0).uniform() * f64::from(size[*cluster]).sqrt();
    let kept: Vec<Kept> = cells.iter().zip(&of).map(|pair| Kept { slide: 0, cell: *pair.0, rank: rank(pair) }).collect();
    slide.cells = kept.len() as u64;
    let mut out = Sample { encoder, normalisation: super::NOT_NORMALISED.into(), seed, slides: Vec::new(), kept, data: rows.data.to_vec() };
    out.bound(most);
    slide.rows = out.kept.len() as u64;
    slide.rows_sha256 = out.hash();
    out.slides.push(slide);
    Ok(out)
}

/// The first 64 bits of a slide's hashed id.
fn slide_key(id_sha256: &str) -> u64 {
    id_sha256.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

/// The union of samples, at most [`limits::ATLAS_ROWS`] rows of it. Read one after the other, so memory holds two at most.
pub fn merged(samples: impl Iterator<Item = Result<Sample>>) -> Result<Sample> {
    let mut all: Option<Sample> = None;
    for sample in samples {
        let sample = sample?;
        all = Some(match all {
            None => sample,
            Some(so_far) => so_far.union(&sample, limits::ATLAS_ROWS)?,
        });
    }
    all.ok_or_else(|| Error::parameter("samples", "there is none", "give files made by `atlas sample`"))
}

impl Sample {
    /// The union of two samples, at most `most` rows.
    pub fn union(&self, other: &Self, most: usize) -> Result<Self> {
        self.check_alike(other)?;
        let mut slides: BTreeMap<&str, &SampledSlide> = self.slides.iter().map(|s| (s.id_sha256.as_str(), s)).collect();
        for slide in &other.slides {
            if let Some(same) = slides.insert(&slide.id_sha256, slide).filter(|same| *same != slide) {
                let why = format!("slide {}... was sampled twice, in two ways", same.id_sha256.get(..12).unwrap_or_default());
                return Err(Error::parameter("samples", why, "leave one of its samples out"));
            }
        }
        let place: BTreeMap<&str, u32> = slides.keys().copied().zip(0..).collect();
        let renumbered = |s: &Self| -> Vec<Kept> {
            let place = |k: &Kept| s.slides.get(k.slide as usize).and_then(|slide| place.get(slide.id_sha256.as_str())).copied();
            s.kept.iter().map(|k| Kept { slide: place(k).unwrap_or(u32::MAX), ..*k }).collect()
        };
        let (left, right) = (renumbered(self), renumbered(other));
        let mut order: Vec<(Kept, &[f32])> = left.into_iter().enumerate().map(|(i, k)| (k, self.rows().row(i))).collect();
        order.extend(right.into_iter().enumerate().map(|(i, k)| (k, other.rows().row(i))));
        order.sort_by_key(|(k, _)| (k.slide, k.cell));
        order.dedup_by_key(|(k, _)| (k.slide, k.cell));
        let mut out = Self {
            encoder: self.encoder.clone(),
            normalisation: self.normalisation.clone(),
            seed: self.seed,
            kept: order.iter().map(|(k, _)| *k).collect(),
            data: order.iter().flat_map(|(_, row)| row.iter().copied()).collect(),
            slides: slides.into_values().cloned().collect(),
        };
        out.bound(most);
        Ok(out)
    }

    /// Keeps the `most` rows of least rank, in their order.
    fn bound(&mut self, most: usize) {
        if self.kept.len() <= most {
            return;
        }
        let by_rank = |a: &Kept, b: &Kept| a.rank.total_cmp(&b.rank).then((a.slide, a.cell).cmp(&(b.slide, b.cell)));
        let mut ranked = self.kept.clone();
        let (_, first_out, _) = ranked.select_nth_unstable_by(most, by_rank);
        let first_out = *first_out;
        let stays: Vec<bool> = self.kept.iter().map(|k| by_rank(k, &first_out).is_lt()).collect();
        let channels = self.encoder.channels.max(1);
        self.data = self.data.chunks_exact(channels).zip(&stays).filter(|(_, s)| **s).flat_map(|(row, _)| row.iter().copied()).collect();
        let mut stays = stays.into_iter();
        self.kept.retain(|_| stays.next().unwrap_or(false));
    }

    /// An error naming what keeps two samples apart.
    fn check_alike(&self, other: &Self) -> Result<()> {
        let differ = |what: &str, a: &dyn std::fmt::Display, b: &dyn std::fmt::Display| {
            let why = format!("{what} differs between samples: {a} and {b}");
            Err(Error::parameter("samples", why, "sample all slides in the same way"))
        };
        match () {
            () if self.encoder != other.encoder => differ("the encoder", &self.encoder.told(), &other.encoder.told()),
            () if self.normalisation != other.normalisation => differ("the normalisation", &self.normalisation, &other.normalisation),
            () if self.seed != other.seed => differ("the seed", &self.seed, &other.seed),
            () => self.check_scale(other),
        }
    }

    /// An error where no atlas could know all slides: there is no resolution that each of theirs is within [`MPP_TOLERANCE`] of.
    fn check_scale(&self, other: &Self) -> Result<()> {
        let all = || self.slides.iter().chain(&other.slides).map(|s| f64::from(s.work_mpp));
        let (finest, coarsest) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        if coarsest / finest <= (1.0 + MPP_TOLERANCE) / (1.0 - MPP_TOLERANCE) {
            return Ok(());
        }
        let why = format!("slides looked at with {finest:.2} and with {coarsest:.2} um/px show another size of tissue");
        Err(Error::parameter("samples", why, "fit an atlas for each resolution"))
    }

    /// Of cells, ranks and rows, hex.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (kept, row) in self.kept.iter().zip(self.data.chunks_exact(self.encoder.channels.max(1))) {
            hash.update(kept.cell.to_le_bytes());
            hash.update(kept.rank.to_le_bytes());
            row.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}
