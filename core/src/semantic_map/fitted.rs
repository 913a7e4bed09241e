//! The hierarchy of a slide and its readings, kept with its rows: another number of classes is another cut of the same hierarchy. In:
//! the rows it is fitted on. Out: the hierarchy, from the cache where these very rows were fitted with this seed before.

use sha2::{Digest, Sha256};

use crate::cache::{Cache, Kind};
use crate::cluster::choice::{self, Reading};
use crate::cluster::{Centroids, Hierarchy, Join, Rows};
use crate::{Job, Result, limits};

/// Changes whenever the way from rows to a hierarchy or to its readings does.
const METHOD: &str = concat!("hierarchy 3, ", env!("CARGO_PKG_VERSION"));

/// Fits a hierarchy with at least `k` leaves and takes its readings.
pub fn fitted(rows: Rows<'_>, k: usize, seed: u64, cache: &Cache, job: &Job) -> Result<(Hierarchy, Vec<Reading>)> {
    let hash = hash(rows, Hierarchy::leaves(rows.len(), k), seed);
    let number = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let kept = cache.get(Kind::Hierarchy, number)?;
    let known = kept.as_deref().and_then(|content| content.strip_prefix(hash.as_slice())).and_then(unpack);
    if let Some(known) = known.filter(|(h, _)| h.leaves.k() >= k && h.leaves.channels == rows.channels) {
        return Ok(known);
    }
    let hierarchy = Hierarchy::fit(rows, k, seed, job)?;
    let readings = choice::readings(rows, &hierarchy, seed, job)?;
    if cache.kept() {
        cache.put(Kind::Hierarchy, number, &[hash.as_slice(), &pack(&hierarchy, &readings)].concat())?;
    }
    Ok((hierarchy, readings))
}

/// Everything that the hierarchy depends on.
fn hash(rows: Rows<'_>, leaves: usize, seed: u64) -> Vec<u8> {
    let mut all = Sha256::new_with_prefix(METHOD);
    [leaves as u64, seed, rows.channels as u64].iter().for_each(|v| all.update(v.to_le_bytes()));
    for part in rows.data.chunks(1 << 14) {
        all.update(part.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    }
    all.finalize().to_vec()
}

fn pack(h: &Hierarchy, readings: &[Reading]) -> Vec<u8> {
    let mut out = Vec::new();
    [h.leaves.channels, h.leaves.k(), h.joins.len(), readings.len()].iter().for_each(|n| out.extend((*n as u64).to_le_bytes()));
    h.leaves.data.iter().for_each(|v| out.extend(v.to_le_bytes()));
    h.counts.iter().for_each(|n| out.extend(n.to_le_bytes()));
    out.extend(h.inertia.to_le_bytes());
    for join in &h.joins {
        out.extend([join.into, join.from]);
        out.extend(join.cost.to_le_bytes());
    }
    for r in readings {
        out.extend((r.k as u64).to_le_bytes());
        [r.inertia, r.silhouette, r.stability].iter().for_each(|v| out.extend(v.to_le_bytes()));
    }
    out
}

/// What [`pack`] wrote; none where the bytes end too early or too late, or say what no hierarchy is.
fn unpack(bytes: &[u8]) -> Option<(Hierarchy, Vec<Reading>)> {
    let mut from = From(bytes);
    let [channels, k, joins, readings] = [from.count()?, from.count()?, from.count()?, from.count()?];
    let data = (0..channels.checked_mul(k)?).map(|_| Some(f32::from_le_bytes(from.take()?))).collect::<Option<_>>()?;
    let counts = (0..k).map(|_| Some(u64::from_le_bytes(from.take()?))).collect::<Option<_>>()?;
    let inertia = from.number()?;
    let join = |from: &mut From<'_>| {
        let [into, of] = from.take()?;
        Some(Join { into, from: of, cost: from.number()? })
    };
    let joins = (0..joins).map(|_| join(&mut from)).collect::<Option<_>>()?;
    let reading = |from: &mut From<'_>| {
        Some(Reading { k: from.count()?, inertia: from.number()?, silhouette: from.number()?, stability: from.number()? })
    };
    let readings = (0..readings).map(|_| reading(&mut from)).collect::<Option<Vec<_>>>()?;
    let hierarchy = Hierarchy { leaves: Centroids { channels, data }, counts, joins, inertia };
    (from.0.is_empty() && is_sound(&hierarchy, &readings)).then_some((hierarchy, readings))
}

/// Whether leaves, joins and readings are those of a hierarchy: in range, finite, and every leaf but one joined into another once.
fn is_sound(h: &Hierarchy, readings: &[Reading]) -> bool {
    let k = h.leaves.k();
    let mut alive = vec![true; k];
    let mut joins = |j: &Join| {
        let (into, from) = (usize::from(j.into), usize::from(j.from));
        let both = into != from && [into, from].iter().all(|leaf| alive.get(*leaf) == Some(&true));
        both && std::mem::replace(&mut alive[from], false) && is_amount(j.cost)
    };
    let reads = |r: &Reading| (2..=k).contains(&r.k) && [r.inertia, r.silhouette, r.stability].iter().all(|v| v.is_finite());
    (1..=limits::CLASSES).contains(&k)
        && h.leaves.data.iter().all(|v| v.is_finite())
        && limits::sum_of_counts(h.counts.iter().copied()).is_some()
        && is_amount(h.inertia)
        && h.joins.len() + 1 == k
        && h.joins.iter().all(&mut joins)
        && readings.iter().all(reads)
}

fn is_amount(value: f64) -> bool {
    value >= 0.0 && value.is_finite()
}

/// Bytes that are read from the front.
struct From<'a>(&'a [u8]);

impl From<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.take()?)).ok()
    }

    fn number(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_hierarchy_is_the_one_that_was_fitted_and_serves_these_rows_and_this_seed_alone() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path(), &crate::cache::Key::default(), &Job::new()).unwrap();
        let data = crate::rng::noise(3, 0, 0, 3000);
        let rows = Rows { data: &data, channels: 2 };
        let fit = |rows: Rows<'_>, k: usize, seed: u64| fitted(rows, k, seed, &cache, &Job::new()).unwrap();
        let first = fit(rows, 4, 1);
        assert_eq!(cache.count(Kind::Hierarchy), 1);
        assert!(fit(rows, 9, 1) == first && unpack(&pack(&first.0, &first.1)).unwrap() == first);
        assert_eq!(cache.count(Kind::Hierarchy), 1, "another k is another cut");
        assert!(fit(rows, 4, 2) != first && fit(Rows { data: &data[2..], channels: 2 }, 4, 1) != first);
        assert_eq!(cache.count(Kind::Hierarchy), 3);
        let bytes = pack(&first.0, &first.1);
        assert!((0..bytes.len()).step_by(7).all(|n| unpack(&bytes[..n]).is_none()));
    }

    #[test]
    fn a_forged_hierarchy_is_not_taken() {
        let leaves = Centroids { channels: 1, data: vec![0.0, 1.0, 5.0, 20.0] };
        let sound = Hierarchy::of_leaves(leaves, vec![4, 3, 2, 1], 0.5);
        let reading = Reading { k: 2, inertia: 0.5, silhouette: 0.5, stability: 0.5 };
        type Change = fn(&mut Hierarchy, &mut Reading);
        let taken = |change: Change| {
            let (mut h, mut r) = (sound.clone(), reading);
            change(&mut h, &mut r);
            unpack(&pack(&h, &[r])).is_some()
        };
        assert!(taken(|_, _| ()));
        let forged: [Change; 13] = [
            |h, _| h.leaves.data[2] = f32::NAN,
            |h, _| h.counts[1] = u64::MAX,
            |h, _| h.inertia = f64::INFINITY,
            |h, _| h.joins[0].into = 4,
            |h, _| h.joins[0].from = 200,
            |h, _| h.joins[0].from = h.joins[0].into,
            |h, _| h.joins[2] = h.joins[1],
            |h, _| h.joins[1].cost = f64::NAN,
            |h, _| h.joins[1].cost = -1.0,
            |h, _| h.joins.truncate(2),
            |h, _| h.joins.push(h.joins[0]),
            |_, r| r.k = 5,
            |_, r| r.stability = f64::NAN,
        ];
        forged.iter().enumerate().for_each(|(i, change)| assert!(!taken(*change), "{i}"));
        let none = Hierarchy { leaves: Centroids { channels: 1, data: vec![] }, counts: vec![], joins: vec![], inertia: 0.0 };
        assert!(unpack(&pack(&none, &[])).is_none());
    }
}
