//! Fitting. In: a [`Sample`]. Out: an [`Atlas`]. Fails if cancelled, or with too little tissue for two classes.

use serde_json::json;

use super::{Atlas, Leaf, Sample};
use crate::cluster::{Hierarchy, Rows, choice};
use crate::{Error, Job, Result};

/// Share of a leaf's own rows that lie within its radius. The rest of the sample's tissue is at the margin of what the atlas knows.
const WITHIN: f64 = 0.99;
/// See [`radii`].
const LEAST_SPREAD: f64 = 0.01;

/// Fits an atlas; `k` is the number of classes of a map that leaves it to the atlas, 0 = as the readings have it.
pub fn fit(sample: &Sample, k: usize, seed: u64, licence: &str, job: &Job) -> Result<Atlas> {
    job.stage("sorting into classes", 0);
    let rows = sample.rows();
    if rows.len() < 2 {
        return Err(Error::parameter("samples", "there is hardly a row in them", "sample slides with more tissue"));
    }
    let mut hierarchy = Hierarchy::fit(rows, k.max(2), seed, job)?;
    // as it is written and read back
    hierarchy.inertia = f64::from(hierarchy.inertia as f32);
    let chosen = if k == 0 { choice::best(&choice::readings(rows, &hierarchy, seed, job)?).unwrap_or(2) } else { k };
    job.check()?;
    let leaves = radii(rows, &hierarchy).into_iter().map(|radius| Leaf { radius, name: None, color: None }).collect();
    let seen = sample.slides.iter().fold(0u64, |sum, s| sum.saturating_add(s.cells));
    Ok(Atlas {
        encoder: sample.encoder.clone(),
        mpp: median(sample.slides.iter().map(|s| s.work_mpp).collect()),
        normalisation: sample.normalisation.clone(),
        k: chosen,
        hierarchy,
        leaves,
        provenance: json!({
            "software": { "name": "histoloom", "version": env!("CARGO_PKG_VERSION") },
            "seed": seed,
            "sample_seed": sample.seed,
            "cells": seen,
            "rows": rows.len(),
            "slides": sample.slides.iter().map(|s| &s.id_sha256).collect::<Vec<_>>(),
        }),
        licence: licence.into(),
    })
}

/// The distance within which [`WITHIN`] of each leaf's rows lie, but no less than the median of these over all leaves: leaves of few
/// rows say little about how far their tissue reaches. Nor less than [`LEAST_SPREAD`] of the spread of all rows, for tissue that is
/// drawn and not real.
fn radii(rows: Rows<'_>, hierarchy: &Hierarchy) -> Vec<f32> {
    let mut of: Vec<Vec<f32>> = vec![Vec::new(); hierarchy.leaves.k()];
    for i in 0..rows.len() {
        let (leaf, distance2) = hierarchy.leaves.nearest(rows.row(i));
        of[leaf].push(distance2.sqrt());
    }
    let own: Vec<f32> = of.into_iter().map(|distances| quantile(distances, WITHIN)).collect();
    let spread = (hierarchy.inertias().first().unwrap_or(&0.0) / rows.len() as f64).sqrt();
    let least = median(own.clone()).max((LEAST_SPREAD * spread) as f32).max(f32::MIN_POSITIVE);
    own.into_iter().map(|r| r.max(least)).collect()
}

fn median(values: Vec<f32>) -> f32 {
    quantile(values, 0.5)
}

/// The value at a share of the sorted values; 0 of none.
fn quantile(mut values: Vec<f32>, share: f64) -> f32 {
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(at, f32::total_cmp).1 }
}
