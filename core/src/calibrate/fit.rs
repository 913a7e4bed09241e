//! Ranks, threshold and what they are worth. In: tables of slides to calibrate on and of slides to test on. Out: a [`Calibration`] with
//! its [`Report`]. Fails where tables do not belong together or hold too little.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Fault, ORDINARY, PLANTED, REAL, RENDERED, Sample, Table};
use crate::flags::calibration::{self, Calibration, Ranks};
use crate::flags::score::Among;
use crate::flags::{SCORES, bound};
use crate::{Error, Result};

/// Fewest real tiles (as scanned and rendered together) and ordinary tiles that a score is ranked among.
const REFERENCE: usize = 60;
/// Fewest faults of every kind (design: 40).
const OF_A_KIND: usize = 40;
/// Share of real tiles that lie nearer to another picture than a memorised tile may.
const MEMORISED: f64 = 0.01;

/// How many tiles of a kind were flagged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Tiles.
    pub n: usize,
    /// Flagged ones.
    pub flagged: usize,
    /// Share.
    pub share: f64,
    /// Which score had the largest rank, of those that a score flagged.
    pub by: BTreeMap<String, usize>,
}

/// One kind of fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KindReport {
    /// Its name; `all` for all together.
    pub kind: String,
    /// Number on the slides calibrated on.
    pub calibrated: usize,
    /// Missed there.
    pub calibrated_missed: usize,
    /// Number on the other slides.
    pub tested: usize,
    /// Missed there.
    pub missed: usize,
    /// Upper end of the one-sided 95 % Clopper-Pearson interval of the share missed.
    pub upper: f64,
    /// Which score had the largest rank, of the tiles tested; `s6` where one that always flags did.
    pub caught_by: BTreeMap<String, usize>,
}

/// What one score tells of each kind of fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// Name of the score.
    pub score: String,
    /// What it is ranked among.
    pub among: String,
    /// Area under the ROC curve of each kind against that, all slides; 0.5 = nothing.
    pub area: BTreeMap<String, f64>,
}

/// How near tiles of the model come to training pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Distance below which 1 % of real tiles come to anything but themselves (root mean square of embeddings).
    pub real_quantile: f32,
    /// Ordinary tiles measured.
    pub n: usize,
    /// Share of them that come nearer.
    pub share: f64,
    /// The same of planted copies: what the measure sees of true ones.
    pub copies_share: f64,
}

/// How many faults of one slide were missed, and how many of its real tiles flagged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlideReport {
    /// The slide, hashed.
    pub slide: String,
    /// Faults planted on it.
    pub tested: usize,
    /// Missed ones.
    pub missed: usize,
    /// Its real tiles.
    pub real: Rate,
}

/// What a calibration is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Slides calibrated on, hashed.
    pub slides: Vec<String>,
    /// Slides tested on, hashed.
    pub tested_on: Vec<String>,
    /// One line a kind of fault, then all.
    pub kinds: Vec<KindReport>,
    /// The same by slide tested on.
    pub by_slide: Vec<SlideReport>,
    /// Flagged real tiles of the slides tested on.
    pub real: Rate,
    /// The same through the autoencoder.
    pub rendered: Rate,
    /// Flagged tiles of the model with nothing planted, of the slides tested on.
    pub ordinary: Rate,
    /// The three on the slides calibrated on.
    pub calibrated: [Rate; 3],
    /// Of each score.
    pub scores: Vec<Roc>,
    /// Memorisation; none without an index.
    pub memory: Option<Memory>,
    /// What the bound means.
    pub meaning: String,
}

/// Flags that need no calibration and look at pixels.
const HARD: [&str; 3] = ["S6_SATURATED", "S6_STAIN", "S6_NON_FINITE"];

/// A tile's largest rank and the score that has it; infinite where a flag that needs no calibration saw its pixels. What was not scored
/// counts as not caught here: it is no merit of a score, though such a tile is flagged.
pub fn caught(c: &Calibration, s: &Sample) -> (f32, String) {
    if let Some(code) = s.hard.iter().find(|code| HARD.contains(&code.as_str())) {
        return (f32::INFINITY, code.to_lowercase());
    }
    let scores = s.scores();
    if let Some((i, _)) = SCORES.iter().enumerate().find(|(i, score)| score.limit().is_some_and(|limit| scores[*i] >= limit)) {
        return (f32::INFINITY, SCORES[i].name.into());
    }
    c.fused(&scores).map_or((0.0, "not scored".into()), |(rank, i)| (rank, SCORES[i].name.into()))
}

/// Whether a user would see a flag on the tile.
fn flagged(c: &Calibration, s: &Sample) -> bool {
    let ranked = |i: usize| c.ranks.iter().any(|r| r.name == SCORES[i].name);
    // only sampling has S3, and real tissue is not sampled
    let blind = |s: &Sample| calibration::unjudged(ranked, &s.scores()).any(|score| score.among != Among::Ordinary);
    !s.hard.is_empty() || caught(c, s).0 >= c.tau || blind(s)
}

/// Calibrates on some slides, tests on others.
pub fn fit(tables: &[Table], tests: &[Table], alpha: f64, software: &str) -> Result<Calibration> {
    let first = check(tables, tests)?;
    let ranks = references(tables)?;
    let atlases = vec![first.atlas.clone()];
    let mut out = Calibration {
        format: calibration::FORMAT.into(),
        version: calibration::VERSION,
        software: software.into(),
        networks: first.networks.clone(),
        atlases,
        index_sha256: first.index_sha256.clone(),
        seeds: first.seeds,
        alpha,
        confidence: bound::CONFIDENCE,
        n: 0,
        k: 0,
        tau: f32::MAX,
        ranks,
        report: serde_json::Value::Null,
    };
    threshold(&mut out, tables)?;
    let report = report(&out, tables, tests);
    out.report = serde_json::to_value(report).map_err(|e| Error::internal(e.to_string()))?;
    Ok(out)
}

fn wrong(why: impl Into<String>) -> Error {
    Error::parameter("calibrate", why.into(), "give folders that `flags plant` made with one set of models, each slide once")
}

/// Tables of one set of networks, every slide once.
fn check<'a>(tables: &'a [Table], tests: &[Table]) -> Result<&'a Table> {
    let first = tables.first().ok_or_else(|| wrong("there is no slide to calibrate on"))?;
    let mut seen = BTreeSet::new();
    if first.index_sha256.is_none() {
        return Err(wrong("the tables were made without an index of training pictures, so copies would not be looked for"));
    }
    for t in tables.iter().chain(tests) {
        if t.format != PLANTED || t.version != calibration::VERSION {
            return Err(wrong("a table is of another version"));
        }
        if t.networks != first.networks || t.index_sha256 != first.index_sha256 || t.preset != first.preset {
            return Err(wrong("the tables were made with different networks, indices or presets"));
        }
        if t.seeds != first.seeds && tables.iter().any(|o| std::ptr::eq(o, t)) {
            return Err(wrong("S4 was measured with different numbers of seeds"));
        }
        if t.atlas != first.atlas {
            return Err(wrong("maps of an atlas and maps with classes of their own need a calibration each"));
        }
        if !seen.insert(&t.slide_id_sha256) {
            return Err(wrong("a slide is given twice"));
        }
    }
    if let Some(both) = tests.iter().find(|t| tables.iter().any(|o| o.slide_id_sha256 == t.slide_id_sha256)) {
        let id = both.slide_id_sha256.get(..12).unwrap_or_default();
        return Err(wrong(format!("slide {id}... is on both sides: a test on it would say nothing")));
    }
    Ok(first)
}

fn of<'a>(tables: &'a [Table], kinds: &'a [&str]) -> impl Iterator<Item = &'a Sample> {
    tables.iter().flat_map(|t| &t.samples).filter(move |s| kinds.contains(&s.kind.as_str()))
}

fn kinds_of(among: Among) -> &'static [&'static str] {
    match among {
        Among::Real => &[REAL, RENDERED],
        Among::Ordinary => &[ORDINARY],
        Among::Limit(_) | Among::Nothing => &[],
    }
}

/// What each score is ranked among; scores that nothing was measured for have none.
fn references(tables: &[Table]) -> Result<Vec<Ranks>> {
    let mut out = Vec::new();
    for (i, score) in SCORES.iter().enumerate().filter(|(_, s)| s.ranked()) {
        let mut values: Vec<f32> = of(tables, kinds_of(score.among)).map(|s| s.scores()[i]).filter(|v| v.is_finite()).collect();
        values.sort_by(f32::total_cmp);
        if values.len() < REFERENCE {
            if values.is_empty() {
                continue;
            }
            return Err(wrong(format!("{} tiles to rank {} among; {REFERENCE} are needed", values.len(), score.name)));
        }
        out.push(Ranks { name: score.name.into(), values });
    }
    Ok(out)
}

/// The threshold: the bound's order statistic of all faults together. The bound holds for all kinds together; each kind is reported.
fn threshold(c: &mut Calibration, tables: &[Table]) -> Result<()> {
    let of_kinds = |kinds: &[&str]| {
        let mut ranks: Vec<f32> = of(tables, kinds).map(|s| caught(c, s).0).collect();
        ranks.sort_by(f32::total_cmp);
        ranks
    };
    let names = Fault::ALL.map(Fault::name);
    let all = of_kinds(&names);
    let k = bound::order_statistic(all.len(), c.alpha);
    if all.len() < calibration::FEWEST || k == 0 {
        return Err(wrong(format!("{} faults are too few; {} give a bound", all.len(), calibration::FEWEST)));
    }
    let tau = all[k - 1];
    for name in names {
        let own = of_kinds(&[name]);
        if own.len() < OF_A_KIND {
            return Err(wrong(format!("{} faults `{name}` are too few; plant {OF_A_KIND} of every kind", own.len())));
        }
    }
    if tau >= calibration::BEYOND {
        return Err(wrong("every fault is caught without a score, so no threshold follows"));
    }
    (c.n, c.k, c.tau) = (all.len(), all.iter().filter(|r| **r <= tau).count().clamp(1, k), tau);
    Ok(())
}

fn rate(c: &Calibration, tables: &[Table], kind: &str) -> Rate {
    let (n, flagged) = (of(tables, &[kind]).count(), of(tables, &[kind]).filter(|s| flagged(c, s)).count());
    Rate { n, flagged, share: flagged as f64 / n.max(1) as f64, by: caught_by(c, tables, &[kind]) }
}

fn caught_by(c: &Calibration, tables: &[Table], kinds: &[&str]) -> BTreeMap<String, usize> {
    let mut by = BTreeMap::new();
    of(tables, kinds).map(|s| caught(c, s)).filter(|(rank, _)| *rank >= c.tau).for_each(|(_, score)| *by.entry(score).or_default() += 1);
    by
}

fn kind(c: &Calibration, name: &str, kinds: &[&str], tables: &[Table], tests: &[Table]) -> KindReport {
    let missed = |tables| of(tables, kinds).filter(|s| caught(c, s).0 < c.tau).count();
    let tested = of(tests, kinds).count();
    KindReport {
        kind: name.into(),
        calibrated: of(tables, kinds).count(),
        calibrated_missed: missed(tables),
        tested,
        missed: missed(tests),
        upper: bound::upper(missed(tests), tested),
        caught_by: caught_by(c, tests, kinds),
    }
}

fn report(c: &Calibration, tables: &[Table], tests: &[Table]) -> Report {
    let names = Fault::ALL.map(Fault::name);
    let mut kinds: Vec<KindReport> = names.iter().map(|n| kind(c, n, &[n], tables, tests)).collect();
    let all = kind(c, "all", &names, tables, tests);
    kinds.push(all.clone());
    let ids = |tables: &[Table]| tables.iter().map(|t| t.slide_id_sha256.clone()).collect();
    let everything: Vec<Table> = tables.iter().chain(tests).cloned().collect();
    let by_slide = tests.iter().map(|t| {
        let one = std::slice::from_ref(t);
        let k = kind(c, "all", &names, tables, one);
        SlideReport { slide: t.slide_id_sha256.clone(), tested: k.tested, missed: k.missed, real: rate(c, one, REAL) }
    });
    Report {
        by_slide: by_slide.collect(),
        slides: ids(tables),
        tested_on: ids(tests),
        kinds,
        real: rate(c, tests, REAL),
        rendered: rate(c, tests, RENDERED),
        ordinary: rate(c, tests, ORDINARY),
        calibrated: [REAL, RENDERED, ORDINARY].map(|k| rate(c, tables, k)),
        scores: rocs(&everything),
        memory: memory(&everything),
        meaning: meaning(c, tables.len(), tests.len(), all.upper),
    }
}

fn meaning(c: &Calibration, slides: usize, tests: usize, upper: f64) -> String {
    let kept = if upper <= c.alpha { "" } else { " (MORE THAN WAS AIMED AT: do not rely on this calibration)" };
    format!(
        "aimed at: with {:.0} % confidence at most {:.0} % of faults exchangeable with those planted, on tiles of {} slide(s), pass unflagged; found on {} other \
         slide(s): at most {:.1} %{kept}. Tiles of one slide resemble each other, so other slides may differ by more; it says nothing of other faults",
        100.0 * c.confidence,
        100.0 * c.alpha,
        slides,
        tests,
        100.0 * upper
    )
}

fn rocs(tables: &[Table]) -> Vec<Roc> {
    let values = |kinds: &[&str], i: usize| -> Vec<f32> { of(tables, kinds).map(|s| s.scores()[i]).filter(|v| v.is_finite()).collect() };
    let one = |(i, score): (usize, &crate::flags::score::Score)| {
        let (among, reference) = match score.among {
            Among::Ordinary => ("ordinary tiles", &[ORDINARY][..]),
            _ => ("real tiles", &[REAL, RENDERED][..]),
        };
        let reference = values(reference, i);
        let area = Fault::ALL.iter().filter_map(|f| Some((f.name().to_owned(), area(&values(&[f.name()], i), &reference)?))).collect();
        Roc { score: score.name.into(), among: among.into(), area }
    };
    SCORES.iter().enumerate().map(one).filter(|r| !r.area.is_empty()).collect()
}

/// Area under the ROC curve (Mann and Whitney's U over the number of pairs); none without values on either side.
fn area(bad: &[f32], good: &[f32]) -> Option<f64> {
    let wins = |b: &f32| {
        good.iter()
            .map(|g| {
                if b > g {
                    1.0
                } else if b < g {
                    0.0
                } else {
                    0.5
                }
            })
            .sum::<f64>()
    };
    let pairs = (bad.len() * good.len()) as f64;
    (pairs > 0.0).then(|| (1e4 * bad.iter().map(wins).sum::<f64>() / pairs).round() / 1e4)
}

fn memory(tables: &[Table]) -> Option<Memory> {
    let of = |kind: &str| -> Vec<f32> { of(tables, &[kind]).filter_map(|s| s.nearest).collect() };
    let (mut real, ordinary, copies) = (of(REAL), of(ORDINARY), of(Fault::Copied.name()));
    real.sort_by(f32::total_cmp);
    let real_quantile = *real.get(((real.len() as f64 * MEMORISED).ceil() as usize).saturating_sub(1))?;
    let share = |v: &[f32]| v.iter().filter(|d| **d < real_quantile).count() as f64 / v.len().max(1) as f64;
    Some(Memory { real_quantile, n: ordinary.len(), share: share(&ordinary), copies_share: share(&copies) })
}
