//! The threshold above which a tile is flagged, and what it promises. In: scores of a tile. Out: flags.
//!
//! Every score is ranked among real tiles (or ordinary tiles of the model, [`Among`]); the largest rank is held against one threshold tau.
//! A rank is the share of the reference below the score; beyond the largest reference value it goes on growing, by one for each distance
//! between that value and the median, so that tau can lie there. From the ranks of n known faults tau is the k-th smallest, k the
//! [`order_statistic`](super::bound::order_statistic): with 95 % confidence no more than a share alpha of faults **like those planted**
//! lies below it. It says nothing of other faults.
//!
//! Fail closed: a calibration is used only with exactly the networks, the kind of map and the index it was made with.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::score::{SCORES, Score, TileScores};
use super::{Flag, bound};
use crate::Planes;
use crate::semantic_map::ANNOTATED;

/// What stands under `format`.
pub const FORMAT: &str = "histoloom-calibration";
/// Raised when scores, ranks or faults change.
pub const VERSION: u32 = 3;
/// Fewest faults a calibration may be made from.
pub const FEWEST: usize = 300;
/// Most faults.
const MOST: usize = 10_000;
/// A rank that no threshold may reach: that of everything beyond any reference.
pub(crate) const BEYOND: f32 = 1e6;

/// Hashes of the networks, hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// Autoencoder.
    pub codec_sha256: String,
    /// Denoiser.
    pub denoiser_sha256: String,
    /// Refiner, where one takes the last steps.
    pub refiner_sha256: Option<String>,
    /// Encoder.
    pub encoder_sha256: String,
}

/// The reference of one score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    /// Name of the score.
    pub name: String,
    /// Its reference in ascending order.
    pub values: Vec<f32>,
}

/// A calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Software that made it.
    pub software: String,
    /// Networks it holds for.
    pub networks: Networks,
    /// What the classes of the maps are that it holds for: atlases, [`ANNOTATED`]; null = a slide's own.
    pub atlases: Vec<Option<String>>,
    /// Index of training pictures it holds for, null = none.
    pub index_sha256: Option<String>,
    /// Seeds behind the reference of S4; 1 = it has none.
    pub seeds: u32,
    /// Largest share of faults that may be missed.
    pub alpha: f64,
    /// Confidence of the bound.
    pub confidence: f64,
    /// Faults it was made from.
    pub n: usize,
    /// How many of them lie below the threshold or at it.
    pub k: usize,
    /// The threshold.
    pub tau: f32,
    /// References of the scores that are ranked.
    pub ranks: Vec<Ranks>,
    /// What was found when it was made: see [`calibrate`](crate::calibrate).
    pub report: Value,
}

impl Calibration {
    /// Why it cannot be used with these networks, this atlas and this index, if it cannot.
    pub fn refusal(&self, networks: &Networks, atlas: Option<&str>, index: Option<&str>) -> Option<String> {
        let of = |mine: &str, theirs: &str, what: &str| (mine != theirs).then(|| format!("it was made for another {what}"));
        let (mine, theirs) = (&self.networks, networks);
        if self.format != FORMAT || self.version != VERSION {
            return Some("it is of another version".into());
        }
        if !(self.alpha > 0.0 && self.alpha <= 0.5 && self.confidence == bound::CONFIDENCE) || self.n > MOST {
            return Some("its bound is none that this version gives".into());
        }
        let most = bound::order_statistic(self.n, self.alpha);
        if self.n < FEWEST || self.k == 0 || self.k > most || !(self.tau > 0.0 && self.tau < BEYOND) {
            return Some(format!("{} faults with {} below the threshold give no bound", self.n, self.k));
        }
        if self.ranks.iter().any(|r| r.values.is_empty() || r.values.iter().any(|v| !v.is_finite()) || !r.values.is_sorted()) {
            return Some("its references are damaged".into());
        }
        let count = |name: &str| self.ranks.iter().filter(|r| r.name == name).count();
        let known = SCORES.iter().filter(|s| count(s.name) == 1).count();
        if known != self.ranks.len() || SCORES.iter().any(|s| s.needed() && s.ranked() && count(s.name) == 0) {
            return Some("it lacks the reference of a score, or has one twice".into());
        }
        of(&mine.encoder_sha256, &theirs.encoder_sha256, "encoder")
            .or_else(|| of(&mine.codec_sha256, &theirs.codec_sha256, "autoencoder"))
            .or_else(|| of(&mine.denoiser_sha256, &theirs.denoiser_sha256, "denoiser"))
            .or_else(|| (mine.refiner_sha256 != theirs.refiner_sha256).then(|| "it was made with another refiner, or with none".into()))
            .or_else(|| (self.index_sha256.as_deref() != index).then(|| "the index of training pictures is missing or another".into()))
            .or_else(|| {
                let known = self.atlases.iter().any(|a| a.as_deref() == atlas);
                (!known).then(|| match atlas {
                    None => "it was made for maps of an atlas".into(),
                    Some(ANNOTATED) => "it was not made for maps of annotations".into(),
                    Some(_) => "it was not made for maps of this atlas".into(),
                })
            })
    }

    /// The reference of a score.
    fn reference(&self, score: usize) -> Option<&[f32]> {
        self.ranks.iter().find(|r| r.name == SCORES[score].name).map(|r| r.values.as_slice())
    }

    /// The rank of a score, none where it has no reference or was not judged.
    pub fn rank(&self, score: usize, value: f32) -> Option<f32> {
        rank(self.reference(score)?, value)
    }

    /// The largest rank of a tile's scores and which score has it.
    pub fn fused(&self, scores: &TileScores) -> Option<(f32, usize)> {
        fused(|score, value| self.rank(score, value), scores)
    }

    /// The smallest value of a score whose rank reaches tau.
    pub fn threshold(&self, score: usize) -> Option<f32> {
        let values = self.reference(score)?;
        let (last, median) = (*values.last()?, values[values.len() / 2]);
        Some(if self.tau > 1.0 {
            last + (self.tau - 1.0) * (last - median).max(f32::MIN_POSITIVE)
        } else {
            let needed = |i: &usize| (*i as f32 / values.len() as f32) >= self.tau;
            values[(0..=values.len()).find(needed).unwrap_or(values.len()).clamp(1, values.len()) - 1]
        })
    }

    /// The flags of a tile: one for each score whose rank reaches tau, and one for each of its cells that are as bad; `NOT_SCORED` where
    /// a score that the bound rests on judged nothing.
    pub fn flags(&self, scores: &TileScores, planes: &Planes) -> Vec<Flag> {
        let mut out = Vec::new();
        let missing: Vec<&str> = unjudged(|i| self.reference(i).is_some(), scores).map(|s| s.name).collect();
        if !missing.is_empty() {
            let reason = format!("Not everything could be judged ({}), so the bound does not hold for this tile.", missing.join(", "));
            out.push(Flag::tile("NOT_SCORED", reason));
        }
        for (i, score) in SCORES.iter().enumerate() {
            let (Some(rank), Some(threshold)) = (self.rank(i, scores[i]), self.threshold(i)) else { continue };
            if rank < self.tau {
                continue;
            }
            out.push(Flag::tile(score.code, score.reason).against(scores[i], threshold));
            let as_bad = |v: &f32| if self.tau > 1.0 { *v >= threshold } else { *v > threshold };
            let cells = planes.plane(i).iter().enumerate().filter(|(_, v)| as_bad(v));
            let of_lattice = i == super::score::index::LATTICE; // one number a window: every cell of it would be framed
            out.extend(
                cells.filter(|_| !of_lattice).map(|(cell, v)| {
                    Flag::tile(score.code, score.reason).against(*v, threshold).at(cell / planes.width, cell % planes.width)
                }),
            );
        }
        out
    }
}

/// The rank of a value among references in ascending order; none where it was not judged.
pub fn rank(values: &[f32], value: f32) -> Option<f32> {
    let last = *values.last().filter(|_| !value.is_nan())?;
    if value <= last {
        return Some(values.partition_point(|v| *v < value) as f32 / values.len() as f32);
    }
    let median = values[values.len() / 2];
    Some((1.0 + (value - last) / (last - median).max(f32::MIN_POSITIVE)).min(BEYOND))
}

/// Scores that have a reference or a limit, are needed and judged nothing.
pub fn unjudged<'a>(ranked: impl Fn(usize) -> bool + 'a, scores: &'a TileScores) -> impl Iterator<Item = &'static Score> + 'a {
    SCORES.iter().enumerate().filter(move |(i, s)| s.needed() && (!s.ranked() || ranked(*i)) && scores[*i].is_nan()).map(|(_, s)| s)
}

/// The largest rank and the score that has it.
pub fn fused(rank: impl Fn(usize, f32) -> Option<f32>, scores: &TileScores) -> Option<(f32, usize)> {
    let ranked = SCORES.iter().enumerate().filter(|(_, s)| s.ranked()).filter_map(|(i, _)| Some((rank(i, scores[i])?, i)));
    ranked.fold(None, |best: Option<(f32, usize)>, new| if best.is_none_or(|b| new.0 > b.0) { Some(new) } else { best })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::flags::score::index::{MAP_DISAGREES, OFF_MANIFOLD};

    /// References of 1 to 100 for all that is needed.
    pub fn calibration(tau: f32) -> Calibration {
        let of = |score: usize| Ranks { name: SCORES[score].name.into(), values: (1u8..=100).map(f32::from).collect() };
        let sha = |s: &str| s.to_owned();
        Calibration {
            format: FORMAT.into(),
            version: VERSION,
            software: "test".into(),
            networks: Networks {
                codec_sha256: sha("c"),
                denoiser_sha256: sha("d"),
                refiner_sha256: Some(sha("r")),
                encoder_sha256: sha("e"),
            },
            atlases: vec![None, Some(sha("atlas"))],
            index_sha256: Some(sha("index")),
            seeds: 1,
            alpha: 0.05,
            confidence: bound::CONFIDENCE,
            n: 300,
            k: 9,
            tau,
            ranks: (0..SCORES.len()).filter(|i| SCORES[*i].needed() && SCORES[*i].ranked()).map(of).collect(),
            report: json!({}),
        }
    }

    #[test]
    fn ranks_are_shares_and_go_on_beyond_the_largest() {
        let c = calibration(0.9);
        let rank = |v: f32| c.rank(0, v).unwrap();
        assert_eq!((rank(0.0), rank(50.5), rank(100.0)), (0.0, 0.5, 0.99));
        assert!((rank(149.0) - 2.0).abs() < 1e-6, "the median is 51, the largest 100");
        assert_eq!((c.rank(0, f32::NAN), c.rank(3, 1.0)), (None, None), "S4 is measured on request only");
        for tau in [0.5, 0.9, 0.99, 1.0, 1.5] {
            let c = calibration(tau);
            let t = c.threshold(0).unwrap();
            assert!(c.rank(0, t + 0.01).unwrap() >= tau && c.rank(0, t - 0.01).unwrap() < tau, "{tau}: {t}");
        }
    }

    #[test]
    fn a_tile_is_flagged_by_its_worst_score_where_it_is_as_bad() {
        let c = calibration(0.95);
        let mut planes = Planes::zeros(SCORES.len(), 8, 8);
        planes.data.fill(1.0);
        planes.plane_mut(MAP_DISAGREES).fill(10.0);
        planes.plane_mut(MAP_DISAGREES)[8 * 2 + 3] = 97.0;
        planes.plane_mut(OFF_MANIFOLD).fill(94.0);
        let scores = super::super::score::of_tile(&planes);
        assert_eq!(c.fused(&scores), Some((0.96, MAP_DISAGREES)));
        let flags = c.flags(&scores, &planes);
        let told: Vec<_> = flags.iter().map(|f| (f.code.as_str(), f.score, f.threshold, f.cell)).collect();
        let s2 = "S2_MAP_DISAGREES";
        let mut blind = scores;
        blind[OFF_MANIFOLD] = f32::NAN;
        assert_eq!(c.flags(&blind, &planes)[0].code, "NOT_SCORED", "what the bound rests on was not judged");
        assert_eq!(told, [(s2, Some(97.0), Some(95.0), None), (s2, Some(97.0), Some(95.0), Some((2, 3)))]);
    }

    #[test]
    fn anything_that_does_not_belong_together_is_refused() {
        let good = calibration(0.9);
        let refusal = |c: &Calibration, n: &Networks| c.refusal(n, Some("atlas"), Some("index"));
        assert_eq!(refusal(&good, &good.networks), None);
        assert_eq!(good.refusal(&good.networks, None, Some("index")), None);
        assert!(good.refusal(&good.networks, Some("other"), Some("index")).unwrap().contains("atlas"));
        assert!(good.refusal(&good.networks, None, None).unwrap().contains("index"));
        let changes: [fn(&mut Networks); 5] = [
            |n| n.codec_sha256.clear(),
            |n| n.denoiser_sha256.clear(),
            |n| n.refiner_sha256 = None,
            |n| n.refiner_sha256 = Some("x".into()),
            |n| n.encoder_sha256.clear(),
        ];
        for change in changes {
            let mut other = good.networks.clone();
            change(&mut other);
            assert!(refusal(&good, &other).is_some(), "{other:?}");
        }
        let damage: [fn(&mut Calibration); 14] = [
            |c| c.alpha = 2.0,
            |c| c.alpha = f64::NAN,
            |c| c.confidence = 0.5,
            |c| c.n = usize::MAX,
            |c| c.tau = f32::MAX,
            |c| drop(c.ranks.pop()),
            |c| c.ranks[0].name = "s9_new".into(),
            |c| c.n = 299,
            |c| c.k = 0,
            |c| c.k = 10,
            |c| c.tau = f32::NAN,
            |c| c.version = VERSION - 1,
            |c| c.ranks[0].values.clear(),
            |c| c.ranks[1].values[3] = 500.0,
        ];
        for change in damage {
            let mut c = good.clone();
            change(&mut c);
            assert!(refusal(&c, &good.networks).is_some(), "{c:?}");
        }
    }
}
