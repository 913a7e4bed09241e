//! What the manifest lists beside networks: calibrations and the index of training pictures, which flags are held against, and the atlas. In:
//! the models folder. Out: the calibration that fits and the index, or why there is none: without them tiles are `UNCALIBRATED`.

use std::path::Path;

use histoloom_core::atlas::Atlas;
use histoloom_core::flags::duplicates::Duplicates;
use histoloom_core::flags::{Calibration, Networks};
use histoloom_core::{Encoder, Error, Result, export};

use crate::weights::{self, Entry};

/// What the manifest calls the kind of a calibration: one for maps with classes of their own, one for each atlas.
const CALIBRATION: &str = "calibration";
/// And an atlas.
const ATLAS: &str = "atlas";
/// The index's id in the manifest.
const INDEX: &str = "he_training_index";

/// Calibrations and index of a models folder.
pub struct FlagFiles {
    calibrations: Vec<std::result::Result<(Calibration, String), String>>,
    index: std::result::Result<(Duplicates, String), String>,
}

impl FlagFiles {
    /// Opens both; `calibration` stands in for the manifest's where the user names one.
    pub fn open(dir: &Path, calibration: Option<&Path>, encoder: &dyn Encoder) -> Self {
        let calibrations = match calibration {
            Some(path) => vec![export::read_calibration(path)],
            None => match listed(dir, |m| m.kind == CALIBRATION) {
                Ok(entries) if entries.is_empty() => vec![Err(lacking(CALIBRATION))],
                Ok(entries) => entries.iter().map(|e| opened(dir, e, export::read_calibration)).collect(),
                Err(e) => vec![Err(e)],
            },
        };
        let index = listed(dir, |m| m.id == INDEX).and_then(|found| {
            let (index, sha256) = opened(dir, found.first().ok_or_else(|| lacking(INDEX))?, export::read_index)?;
            let ready =
                Duplicates::new(index, encoder).ok_or_else(|| weights::refused(INDEX, "it is of another encoder", weights::REINSTALL))?;
            Ok((ready, sha256))
        });
        // the reason is written beside tiles, where the user's folders have no place
        let folder = calibration.and_then(Path::parent).unwrap_or(dir).join("").display().to_string();
        let calibrations = calibrations.into_iter().map(|c| c.map_err(|e| e.to_string().replace(&folder, ""))).collect();
        Self { calibrations, index: index.map_err(|e| e.to_string()) }
    }

    /// The index and the SHA-256 of its file.
    pub fn index(&self) -> Option<(&Duplicates, &str)> {
        self.index.as_ref().ok().map(|(index, sha256)| (index, sha256.as_str()))
    }

    /// The first calibration that is made for these networks and maps of this atlas, and the SHA-256 of its file; else why there is none.
    pub fn calibration(&self, networks: &Networks, atlas: Option<&str>) -> std::result::Result<(&Calibration, &str), String> {
        let index = self.index().map(|(_, sha256)| sha256);
        let mut reasons = Vec::new();
        for opened in &self.calibrations {
            let why = match opened {
                Ok((c, sha256)) => match c.refusal(networks, atlas, index) {
                    None => return Ok((c, sha256)),
                    Some(why) => why,
                },
                Err(why) => why.clone(),
            };
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        Err(reasons.join("; another: "))
    }

    /// What is there, for `doctor`: SHA-256 or why not.
    pub fn told(&self) -> Vec<(&'static str, std::result::Result<&str, &str>)> {
        let calibrations = self.calibrations.iter().map(|opened| match opened {
            Ok((c, sha256)) => (if c.atlases.contains(&None) { "calibration" } else { "calibration for atlases" }, Ok(sha256.as_str())),
            Err(why) => ("calibration", Err(why.as_str())),
        });
        let index = self.index.as_ref().map(|(_, s)| s.as_str()).map_err(String::as_str);
        calibrations.chain([("training index", index)]).collect()
    }
}

/// The atlas that came with the networks, and the SHA-256 of its file.
pub fn atlas(dir: &Path) -> Result<(Atlas, String)> {
    let found = listed(dir, |m| m.kind == ATLAS)?;
    let with_sum = |path: &Path| {
        let bytes = std::fs::read(path).map_err(|e| weights::refused(ATLAS, e.to_string(), weights::REINSTALL))?;
        Ok((export::read_atlas(path)?, export::sha256(&bytes)))
    };
    opened(dir, found.first().ok_or_else(|| lacking(ATLAS))?, with_sum)
}

/// The entries of the manifest that are wanted.
fn listed(dir: &Path, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>> {
    Ok(weights::manifest(dir)?.models.into_iter().filter(wanted).collect())
}

fn lacking(what: &str) -> Error {
    Error::parameter("models", format!("the models folder has no {what}"), weights::REINSTALL)
}

/// A file of the manifest by a reader that gives its SHA-256 too, which must be the manifest's.
fn opened<T>(dir: &Path, entry: &Entry, open: impl FnOnce(&Path) -> Result<(T, String)>) -> Result<(T, String)> {
    let (value, sha256) = open(&weights::beside(dir, &entry.file)?)?;
    if sha256 != entry.sha256 {
        let why = format!("its sha-256 is {sha256}, the manifest says {}", entry.sha256);
        return Err(weights::refused(&entry.file, why, weights::REINSTALL));
    }
    Ok((value, sha256))
}
