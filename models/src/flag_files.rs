//! What flags are held against: the calibration and the index of training pictures that the manifest lists. In: the models folder. Out:
//! both, or why there is none. Never fails: without them tiles are `UNCALIBRATED`.

use std::path::Path;

use histoloom_core::flags::duplicates::Duplicates;
use histoloom_core::flags::{Calibration, Networks};
use histoloom_core::{Encoder, Error, Result, export};

use crate::weights;

/// The calibration's id in the manifest.
const CALIBRATION: &str = "he_calibration";
/// The index's id in the manifest.
const INDEX: &str = "he_training_index";

/// Calibration and index of a models folder.
pub struct FlagFiles {
    calibration: std::result::Result<(Calibration, String), String>,
    index: std::result::Result<(Duplicates, String), String>,
}

impl FlagFiles {
    /// Opens both; `calibration` stands in for the manifest's where the user names one.
    pub fn open(dir: &Path, calibration: Option<&Path>, encoder: &dyn Encoder) -> Self {
        let calibration = match calibration {
            Some(path) => export::read_calibration(path),
            None => listed(dir, CALIBRATION, export::read_calibration),
        };
        let index = listed(dir, INDEX, export::read_index).and_then(|(index, sha256)| {
            let ready =
                Duplicates::new(index, encoder).ok_or_else(|| weights::refused(INDEX, "it is of another encoder", weights::REINSTALL))?;
            Ok((ready, sha256))
        });
        Self { calibration: calibration.map_err(|e| e.to_string()), index: index.map_err(|e| e.to_string()) }
    }

    /// The index and the SHA-256 of its file.
    pub fn index(&self) -> Option<(&Duplicates, &str)> {
        self.index.as_ref().ok().map(|(index, sha256)| (index, sha256.as_str()))
    }

    /// The calibration and the SHA-256 of its file, if it is made for these networks and maps of this atlas; else why not.
    pub fn calibration(&self, networks: &Networks, atlas: Option<&str>) -> std::result::Result<(&Calibration, &str), String> {
        let (calibration, sha256) = self.calibration.as_ref().map_err(Clone::clone)?;
        match calibration.refusal(networks, atlas, self.index().map(|(_, sha256)| sha256)) {
            None => Ok((calibration, sha256)),
            Some(why) => Err(why),
        }
    }

    /// What is there, for `doctor`: SHA-256 or why not.
    pub fn told(&self) -> [(&'static str, std::result::Result<&str, &str>); 2] {
        [
            ("calibration", self.calibration.as_ref().map(|(_, s)| s.as_str()).map_err(String::as_str)),
            ("training index", self.index.as_ref().map(|(_, s)| s.as_str()).map_err(String::as_str)),
        ]
    }
}

/// A file of the manifest by a reader that gives its SHA-256 too, which must be the manifest's.
fn listed<T>(dir: &Path, id: &str, open: impl FnOnce(&Path) -> Result<(T, String)>) -> Result<(T, String)> {
    let entry = weights::manifest(dir)?.models.into_iter().find(|m| m.id == id);
    let entry = entry.ok_or_else(|| Error::parameter("models", format!("the models folder has no {id}"), weights::REINSTALL))?;
    let (value, sha256) = open(&weights::beside(dir, &entry.file)?)?;
    if sha256 != entry.sha256 {
        return Err(weights::refused(
            &entry.file,
            format!("its sha-256 is {sha256}, the manifest says {}", entry.sha256),
            weights::REINSTALL,
        ));
    }
    Ok((value, sha256))
}
