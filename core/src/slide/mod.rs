//! The open slide as the host describes it. In: the host's description and its read callback, behind [`TileSource`].
//! Out: RGB pixels of any region at any downsample. Units: level-0 pixels for positions, micrometres per pixel (mpp) for scale.

mod mirror;

pub use mirror::read_inside;

use image::RgbImage;
use sha2::{Digest, Sha256};

use crate::{Error, Result, limits};

/// Resolution at which tissue is looked at, in um/px, where the slide is that fine (20x).
pub const WORK_MPP: f64 = 0.5;
/// A pyramid level (level 0 halved any number of times) this close to [`WORK_MPP`] is taken as it is instead of resampled: 0.499 or
/// 0.46 um/px are both what scanners call 20x.
const LEVEL_TOLERANCE: f64 = 0.1;

/// Resolution in micrometres per level-0 pixel, positive and finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Mpp(f64);

impl Mpp {
    /// An mpp within [`limits::MPP`].
    pub fn new(value: f64) -> Result<Self> {
        if limits::MPP.contains(&value) {
            Ok(Self(value))
        } else {
            Err(Error::parameter(
                "mpp",
                format!("{value} um/px is outside {:?}", limits::MPP),
                "give the slide's micrometres per pixel, for instance 0.25 at 40x or 0.5 at 20x",
            ))
        }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What the host says about the slide.
#[derive(Clone, Debug)]
pub struct SlideInfo {
    /// Display name; never a path.
    pub name: String,
    /// The host's identifier of the slide; only its hash is ever written.
    pub id: String,
    /// Width at level 0.
    pub width_px: u64,
    /// Height at level 0.
    pub height_px: u64,
    /// Downsample of each level, the first being 1.
    pub downsamples: Vec<f64>,
    /// Resolution, if the slide tells it. Never guessed.
    pub mpp: Option<Mpp>,
    /// Where the host's (0, 0) lies in the file's level 0 (viewers may crop to bounds), written into provenance.
    pub origin_px: (i64, i64),
}

/// How level-0 pixels relate to the pixels that are worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Micrometres per level-0 pixel.
    pub mpp: f64,
    /// Micrometres per pixel worked on.
    pub work_mpp: f64,
    /// Level-0 pixels per pixel worked on.
    pub downsample: f64,
}

impl Scale {
    /// The scale for a slide of `mpp`: [`WORK_MPP`], or the nearest halving of level 0 within 10 % of it, or level 0 itself if the
    /// slide is coarser.
    pub fn new(mpp: Mpp) -> Self {
        let mpp = mpp.get();
        let halved = mpp * (WORK_MPP / mpp).log2().round().max(0.0).exp2();
        let work_mpp = if (halved / WORK_MPP - 1.0).abs() <= LEVEL_TOLERANCE { halved } else { mpp.max(WORK_MPP) };
        Self { mpp, work_mpp, downsample: work_mpp / mpp }
    }
}

impl SlideInfo {
    /// SHA-256 of the host's identifier, hex: the only form in which a slide is named in any output.
    pub fn id_sha256(&self) -> String {
        Sha256::digest(self.id.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The resolution: what the user gave, else what the slide tells. [`Error::Slide`] naming `mpp` if neither: never guessed.
    pub fn mpp_or(&self, given: Option<f64>) -> Result<Mpp> {
        match given {
            Some(v) => Mpp::new(v),
            None => self.mpp.ok_or_else(|| {
                self.error(
                    "does not tell its resolution",
                    "pass `mpp`, micrometres per pixel at level 0, for instance 0.25 (40x) or 0.5 (20x)",
                )
            }),
        }
    }

    /// Sizes within [`limits::SLIDE_SIDE_PX`] and above zero, or an error.
    pub fn check(&self) -> Result<()> {
        for (field, value) in [("width_px", self.width_px), ("height_px", self.height_px)] {
            if value == 0 {
                return Err(self.error(format!("`{field}` is 0"), "open a slide that has pixels"));
            }
            if value > limits::SLIDE_SIDE_PX {
                return Err(Error::Limit {
                    field: field.into(),
                    value: value.to_string(),
                    limit: limits::SLIDE_SIDE_PX.to_string(),
                    hint: "open a smaller slide".into(),
                });
            }
        }
        Ok(())
    }

    /// An [`Error::Slide`] about this slide.
    pub fn error(&self, why: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Slide { name: self.name.clone(), why: why.into(), hint: hint.into() }
    }
}

/// A region: corner in level-0 pixels, size in pixels after downsampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge, level-0 pixels.
    pub x: i64,
    /// Upper edge, level-0 pixels.
    pub y: i64,
    /// Level-0 pixels per pixel read, at least 1 as a rule.
    pub downsample: f64,
    /// Width of the picture read.
    pub width_px: u32,
    /// Height of the picture read.
    pub height_px: u32,
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "x {} y {} downsample {:.3} size {} x {}", self.x, self.y, self.downsample, self.width_px, self.height_px)
    }
}

/// Where pixels come from: a viewer's open slide behind its callback, or a synthetic slide in tests.
pub trait TileSource: Send + Sync {
    /// The description.
    fn info(&self) -> &SlideInfo;
    /// Exactly `width_px x height_px` pixels; outside the slide they are white.
    fn read(&self, region: &Region) -> Result<RgbImage>;
    /// How many reads may run at once (1 for a host whose reader is not thread-safe).
    fn concurrent_reads(&self) -> usize {
        1
    }
}

/// Reads a region and holds the source to its promise about the size.
pub fn read(source: &dyn TileSource, region: &Region) -> Result<RgbImage> {
    let picture = source.read(region)?;
    if picture.dimensions() != (region.width_px, region.height_px) {
        let (w, h) = picture.dimensions();
        return Err(Error::Host { region: region.to_string(), why: format!("{w} x {h} pixels came back") });
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(mpp: Option<f64>) -> SlideInfo {
        SlideInfo {
            name: "s".into(),
            id: "patient 7".into(),
            width_px: 10,
            height_px: 10,
            downsamples: vec![1.0],
            mpp: mpp.map(Mpp),
            origin_px: (0, 0),
        }
    }

    #[test]
    fn a_level_near_half_a_micron_is_taken_as_it_is() {
        for (mpp, work, downsample) in [
            (0.5, 0.5, 1.0),
            (0.499, 0.499, 1.0),
            (0.2525, 0.505, 2.0),
            (0.125, 0.5, 4.0),
            (1.0, 1.0, 1.0),
            (0.4, 0.5, 1.25),
            (0.65, 0.65, 1.0),
        ] {
            let s = Scale::new(Mpp(mpp));
            assert!((s.work_mpp - work).abs() < 1e-12 && (s.downsample - downsample).abs() < 1e-12, "{mpp}: {s:?}");
        }
    }

    #[test]
    fn the_resolution_is_asked_for_and_never_guessed() {
        let e = info(None).mpp_or(None).unwrap_err().to_string();
        assert!(e.contains("`mpp`") && e.contains("0.25"), "{e}");
        assert_eq!(info(None).mpp_or(Some(0.5)).unwrap().get(), 0.5);
        assert_eq!(info(Some(0.25)).mpp_or(None).unwrap().get(), 0.25);
    }

    #[test]
    fn the_slide_is_named_by_its_hash_only() {
        let hash = info(None).id_sha256();
        assert_eq!(hash.len(), 64);
        assert!(!hash.contains("patient"));
    }
}
