//! The slide through OpenSlide. In: a path. Out: its description, and RGBA pixels of any region at any downsample.
//!
//! Only the pyramid is read, never the label, macro or thumbnail pictures: they may show a patient's name. Units: positions in
//! level-0 pixels. Fails with a message that names the file and says what to try.

use std::path::Path;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use openslide_rs::{Address, OpenSlide, Region, Size};

use crate::error::{Failure, Result};

/// Side of the largest piece of a level held in memory at once, in pixels (64 MB as RGBA).
const PIECE_PX: f64 = 4096.0;
/// Taps of the Lanczos filter to each side, in target pixels. The training tiles were resampled with the same filter.
const LANCZOS_TAPS: f64 = 3.0;
/// Slide resolutions that can be true, um/px; a TIFF's default of 72 dpi (353 um/px) is not.
const PLAUSIBLE_MPP: std::ops::RangeInclusive<f64> = 0.02..=20.0;

/// An open slide.
pub struct Slide {
    reader: OpenSlide,
    /// Width and height at level 0.
    pub size_px: (u32, u32),
    /// Downsample of each level, the first being 1.
    pub downsamples: Vec<f64>,
    /// Micrometres per level-0 pixel, x and y, if the file tells.
    pub mpp: Option<(f64, f64)>,
    /// Identifies the content; the file's name would not.
    pub id: String,
    /// What OpenSlide calls the format.
    pub vendor: String,
}

/// A region: corner in level-0 pixels, size in pixels after downsampling.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Level-0 pixels a pixel read.
    pub downsample: f64,
    /// Width of the picture.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
}

impl Slide {
    /// Opens a slide file.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let meta = std::fs::metadata(path).map_err(|e| Failure::input(format!("cannot read `{shown}`: {e}; check the path")))?;
        if meta.is_dir() {
            return Err(Failure::input(format!("`{shown}` is a folder; give the slide file itself")));
        }
        if !meta.is_file() {
            return Err(Failure::input(format!("`{shown}` is not a regular file; give a slide file")));
        }
        std::fs::File::open(path).map_err(|e| Failure::input(format!("cannot read `{shown}`: {e}; check its permissions")))?;
        let reader = OpenSlide::new(path).map_err(|e| Failure::input(open_error(path, &e)))?;
        let level0 = reader.level_dimensions(0).map_err(|e| Failure::input(open_error(path, &e)))?;
        if level0.w == 0 || level0.h == 0 {
            return Err(Failure::input(format!("`{shown}` has no pixels; give another slide")));
        }
        let property = |name: &str| reader.property_value(name).ok().filter(|v| !v.is_empty());
        let vendor = property("openslide.vendor").unwrap_or_default();
        let mpp = mpp(&vendor, &property);
        let id = property("openslide.quickhash-1").unwrap_or_else(|| format!("{vendor}:{}x{}:{}", level0.w, level0.h, meta.len()));
        Ok(Self { size_px: (level0.w, level0.h), downsamples: reader.all_level_downsamples().to_vec(), mpp, id, vendor, reader })
    }

    /// Exactly `width * height` RGBA pixels; outside the slide they are white. Safe to call from several threads.
    pub fn read(&self, wanted: &Wanted) -> std::result::Result<Vec<u8>, String> {
        let (width, height) = (wanted.width as usize, wanted.height as usize);
        if !(wanted.downsample > 0.0 && wanted.downsample.is_finite() && wanted.x.is_finite() && wanted.y.is_finite()) {
            return Err(format!("a region that is no region: {wanted:?}"));
        }
        let level = self.level_for(wanted.downsample);
        let scale = wanted.downsample / self.downsamples[level];
        let mut out = vec![255; width * height * 4];
        // in blocks, so that a thumbnail of a slide with one level does not need that level in memory
        let block = ((PIECE_PX / scale) as usize).clamp(16, PIECE_PX as usize);
        for top in (0..height).step_by(block) {
            for left in (0..width).step_by(block) {
                let (w, h) = (block.min(width - left), block.min(height - top));
                let x = (wanted.x + left as f64 * wanted.downsample) / self.downsamples[level];
                let y = (wanted.y + top as f64 * wanted.downsample) / self.downsamples[level];
                let pixels = self.block(level, x, y, scale, (w, h))?;
                for row in 0..h {
                    let to = ((top + row) * width + left) * 4;
                    out[to..to + w * 4].copy_from_slice(&pixels[row * w * 4..(row + 1) * w * 4]);
                }
            }
        }
        Ok(out)
    }

    /// The coarsest level that is at least as fine as asked for; a thousandth coarser counts as equal.
    fn level_for(&self, downsample: f64) -> usize {
        self.downsamples.iter().rposition(|d| *d <= downsample * 1.001).unwrap_or(0)
    }

    /// `size` pixels from (x, y) of a level, each `scale` level pixels wide.
    fn block(&self, level: usize, x: f64, y: f64, scale: f64, size: (usize, usize)) -> std::result::Result<Vec<u8>, String> {
        let near = |v: f64| (v - v.round()).abs() < 1e-3;
        if (scale - 1.0).abs() < 1e-3 && near(x) && near(y) {
            return self.level_pixels(level, x.round() as i64, y.round() as i64, size.0, size.1);
        }
        let margin = LANCZOS_TAPS * scale.max(1.0) + 1.0;
        let (x0, y0) = ((x - margin).floor(), (y - margin).floor());
        let (w, h) = ((x + size.0 as f64 * scale + margin).ceil() - x0, (y + size.1 as f64 * scale + margin).ceil() - y0);
        let source = self.level_pixels(level, x0 as i64, y0 as i64, w as usize, h as usize)?;
        let failed = |e: &dyn std::fmt::Display| format!("resampling failed: {e}");
        let source = Image::from_vec_u8(w as u32, h as u32, source, PixelType::U8x4).map_err(|e| failed(&e))?;
        let mut target = Image::new(size.0 as u32, size.1 as u32, PixelType::U8x4);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false).crop(
            x - x0,
            y - y0,
            size.0 as f64 * scale,
            size.1 as f64 * scale,
        );
        Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
        Ok(target.into_vec())
    }

    /// Pixels of a level, white where the slide has none.
    fn level_pixels(&self, level: usize, x: i64, y: i64, width: usize, height: usize) -> std::result::Result<Vec<u8>, String> {
        let mut out = vec![255; width * height * 4];
        let size = self.reader.level_dimensions(level as u32).map_err(|e| e.to_string())?;
        let (x0, y0) = (x.max(0), y.max(0));
        let (x1, y1) = ((x + width as i64).min(i64::from(size.w)), (y + height as i64).min(i64::from(size.h)));
        if x0 >= x1 || y0 >= y1 {
            return Ok(out);
        }
        let level0 = |v: i64| (v as f64 * self.downsamples[level]).round() as u32;
        let (w, h) = ((x1 - x0) as usize, (y1 - y0) as usize);
        let region =
            Region { address: Address { x: level0(x0), y: level0(y0) }, level: level as u32, size: Size { w: w as u32, h: h as u32 } };
        let bgra = self.reader.read_region(&region).map_err(|e| format!("OpenSlide: {e}"))?;
        for row in 0..h {
            let to = (((y0 - y) as usize + row) * width + (x0 - x) as usize) * 4;
            let from = &bgra[row * w * 4..(row + 1) * w * 4];
            for (to, from) in out[to..to + w * 4].as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
                // colours are premultiplied: what is not covered is white
                let white = 255 - from[3];
                *to = [from[2].saturating_add(white), from[1].saturating_add(white), from[0].saturating_add(white), 255];
            }
        }
        Ok(out)
    }
}

/// Why a file did not open, in words a user can act on.
fn open_error(path: &Path, error: &openslide_rs::errors::OpenSlideError) -> String {
    use openslide_rs::errors::OpenSlideError as E;
    let (shown, version) = (path.display(), OpenSlide::version().unwrap_or_default());
    let dicom = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("dcm"));
    match error {
        E::UnsupportedFile(_) if dicom && version.starts_with('3') => {
            format!(
                "`{shown}`: OpenSlide {version} cannot open DICOM slides; install OpenSlide 4, or convert the slide to a pyramidal TIFF"
            )
        }
        E::UnsupportedFile(_) => {
            format!(
                "`{shown}` is no slide that OpenSlide {version} knows, or it is damaged; give an SVS, NDPI, MRXS, SCN or pyramidal TIFF file"
            )
        }
        other => format!("`{shown}` cannot be opened: {other}; the file may be damaged, copy it again"),
    }
}

/// The resolution a slide tells, x and y. Never guessed: OpenSlide's value, else the resolution tags of a generic TIFF, which
/// OpenSlide before version 4 shows but does not use.
fn mpp(vendor: &str, property: &dyn Fn(&str) -> Option<String>) -> Option<(f64, f64)> {
    let number = |name: &str| property(name).and_then(|v| v.trim().parse::<f64>().ok()).filter(|v| v.is_finite() && *v > 0.0);
    let told = number("openslide.mpp-x").zip(number("openslide.mpp-y"));
    let tags = || {
        let unit_um = match property("tiff.ResolutionUnit").as_deref() {
            Some("centimeter") => 10_000.0,
            Some("inch") => 25_400.0,
            _ => return None,
        };
        let per = |name: &str| number(name).map(|v| unit_um / v);
        (vendor == "generic-tiff").then(|| per("tiff.XResolution").zip(per("tiff.YResolution"))).flatten()
    };
    told.or_else(tags).filter(|(x, y)| PLAUSIBLE_MPP.contains(x) && PLAUSIBLE_MPP.contains(y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpp_is_told_or_none() {
        let with = |pairs: &[(&str, &str)], vendor: &str| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
            mpp(vendor, &|name: &str| pairs.iter().find(|p| p.0 == name).map(|p| p.1.clone()))
        };
        let tags = |x: &'static str, unit: &'static str| [("tiff.XResolution", x), ("tiff.YResolution", x), ("tiff.ResolutionUnit", unit)];
        assert_eq!(with(&[("openslide.mpp-x", "0.25"), ("openslide.mpp-y", "0.26")], "aperio"), Some((0.25, 0.26)));
        assert_eq!(with(&tags("40000", "centimeter"), "generic-tiff"), Some((0.25, 0.25)));
        assert_eq!(with(&tags("50800", "inch"), "generic-tiff"), Some((0.5, 0.5)));
        assert_eq!(with(&tags("72", "inch"), "generic-tiff"), None, "a default of editors is no resolution");
        assert_eq!(with(&tags("40000", "none"), "generic-tiff"), None);
        assert_eq!(with(&tags("40000", "centimeter"), "aperio"), None, "vendor formats say it elsewhere or not at all");
        assert_eq!(with(&[], "aperio"), None);
    }

    /// The slide that ships with the project: 2220 x 2967 px, one level, 0.499 um/px.
    fn sample() -> Slide {
        Slide::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/CMU-1-Small-Region.svs")).unwrap()
    }

    fn region(slide: &Slide, x: f64, y: f64, downsample: f64, width: u32, height: u32) -> Vec<u8> {
        slide.read(&Wanted { x, y, downsample, width, height }).unwrap()
    }

    #[test]
    fn the_sample_slide_tells_what_it_is() {
        let slide = sample();
        assert_eq!((slide.size_px, slide.mpp, slide.downsamples.len()), ((2220, 2967), Some((0.499, 0.499)), 1));
        assert_eq!(slide.vendor, "aperio");
        assert!(!slide.id.is_empty());
    }

    #[test]
    fn a_region_does_not_depend_on_how_it_is_cut() {
        let slide = sample();
        let whole = region(&slide, 300.0, 700.0, 2.75, 64, 32);
        let right = region(&slide, 300.0 + 20.0 * 2.75, 700.0 + 4.0 * 2.75, 2.75, 44, 28);
        for row in 0..28 {
            for byte in 0..44 * 4 {
                let (a, b) = (whole[((row + 4) * 64 + 20) * 4 + byte], right[row * 44 * 4 + byte]);
                assert!(a.abs_diff(b) <= 1, "row {row}, byte {byte}: {a} and {b}");
            }
        }
    }

    #[test]
    fn downsampling_keeps_the_mean_and_unsampled_pixels_are_the_slide_s_own() {
        let slide = sample();
        let fine = region(&slide, 512.0, 512.0, 1.0, 256, 256);
        assert_eq!(region(&slide, 520.0, 530.0, 1.0, 8, 1), fine[(18 * 256 + 8) * 4..(18 * 256 + 16) * 4]);
        let coarse = region(&slide, 512.0, 512.0, 4.0, 64, 64);
        let mean = |v: &[u8]| v.iter().map(|b| f64::from(*b)).sum::<f64>() / v.len() as f64;
        assert!((mean(&fine) - mean(&coarse)).abs() < 0.3, "{} and {}", mean(&fine), mean(&coarse));
    }

    #[test]
    fn outside_the_slide_is_white() {
        let slide = sample();
        assert!(region(&slide, -100.0, -100.0, 1.0, 50, 50).iter().all(|b| *b == 255));
        assert!(region(&slide, 5000.0, 5000.0, 3.0, 50, 50).iter().all(|b| *b == 255));
        let corner = region(&slide, -10.0, -10.0, 1.0, 20, 20);
        assert!(corner[..4 * 20 * 10].iter().all(|b| *b == 255) && corner[4 * (20 * 15 + 15)..4 * (20 * 15 + 16)] != [255; 4]);
    }

    #[test]
    fn what_is_no_slide_is_refused_at_once_with_what_to_try() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/CMU-1-Small-Region.svs")).unwrap();
        let mut loops = whole.clone();
        let first = u32::from_le_bytes(loops[4..8].try_into().unwrap()) as usize;
        let entries = usize::from(u16::from_le_bytes(loops[first..first + 2].try_into().unwrap()));
        let next = first + 2 + 12 * entries;
        loops[next..next + 4].copy_from_slice(&(first as u32).to_le_bytes());
        let cases: [(&str, &[u8]); 5] = [
            ("empty.svs", b""),
            ("text.svs", b"hello"),
            ("cut.svs", &whole[..whole.len() / 2]),
            ("head.svs", &whole[..300]),
            ("loop.svs", &loops),
        ];
        for (name, bytes) in cases {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let since = std::time::Instant::now();
            let opened = Slide::open(&path);
            let read = opened.as_ref().ok().map(|s| s.read(&Wanted { x: 0.0, y: 0.0, downsample: 4.0, width: 64, height: 64 }));
            assert!(since.elapsed().as_secs_f64() < 2.0, "{name} took {:?}", since.elapsed());
            match opened {
                Err(e) => assert!(e.message.contains(name) && e.message.contains(';'), "{e}"),
                // OpenSlide may stop at the second directory and read the first, which is whole
                Ok(_) => assert!(name == "loop.svs" && read.is_some_and(|r| r.is_ok()), "{name} was opened"),
            }
        }
        for (path, needle) in [(dir.path().join("none.svs"), "check the path"), (dir.path().to_path_buf(), "is a folder")] {
            assert!(Slide::open(&path).err().unwrap().message.contains(needle));
        }
    }
}
