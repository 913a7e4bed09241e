//! What the user brings to a run besides the map. In: parameters that name files. Out: pictures and drawings, read once and checked,
//! and the files themselves, so that a data set can keep them and a tile be made again. Errors name the parameter and the remedy.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::{RgbImage, imageops};

use crate::annotations;
use crate::condition::layout::annotated::Annotations;
use crate::condition::layout::drawn::{Drawing, Grey, grey_png};
use crate::condition::layout::shares::Shares;
use crate::condition::layout::{self, Source};
use crate::condition::{OwnCrops, shown_side};
use crate::export::{read_file, sha256};
use crate::semantic_map::{Crop, SemanticMap};
use crate::{Error, Result, limits, params};

/// Largest picture or annotation file, in bytes.
const FILE_BYTES: usize = 64 << 20;
/// Largest crop that is shown, in pixels; of larger pictures the middle is taken.
const CROP_PX: u32 = 128;
/// The tile side where none is given.
const DEFAULT_PX: u32 = 256;
/// Smallest: 64 px and the autoencoder's margin.
const LEAST_CROP_PX: u32 = 96;

/// A file the user named, as a data set keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// `inputs/` and the beginning of its SHA-256, with its ending.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The picture a tile begins from.
pub(super) struct Init {
    pub(super) rgb: RgbImage,
    /// One value a pixel, 255 = made anew; none where everything is, as far as the strength goes.
    pub(super) mask: Option<Vec<u8>>,
}

/// Everything read.
pub(crate) struct Inputs {
    /// None where the layout is that of the picture to begin from.
    pub(crate) source: Option<Source>,
    pub(super) annotations: Option<Annotations>,
    /// Crops that come behind the map's own.
    pub(crate) crops: Vec<Crop>,
    pub(crate) own: OwnCrops,
    /// Their names in the data set, in order; empty for crops that came from no file.
    pub(super) crop_files: Vec<String>,
    /// What the user should be told.
    pub(super) notes: Vec<String>,
    pub(super) init: Option<Init>,
    pub(super) files: Arc<Vec<InputFile>>,
    /// The parameters as provenance tells them: files by their name in the data set.
    pub(super) told: params::Synth,
    /// Tile side in pixels.
    pub(super) size_px: u32,
}

/// Reads files and remembers them.
#[derive(Default)]
struct Reader {
    files: BTreeMap<String, Vec<u8>>,
}

impl Reader {
    /// The bytes of a file, and its name in the data set.
    fn read(&mut self, path: &str) -> Result<(Vec<u8>, String)> {
        let path = Path::new(path);
        let bytes = read_file(path, FILE_BYTES, "check the path")?;
        let ending = path.extension().map_or_else(String::new, |e| format!(".{}", e.to_string_lossy().to_lowercase()));
        let name = format!("inputs/{}{ending}", sha256(&bytes).get(..16).unwrap_or_default());
        self.files.insert(name.clone(), bytes.clone());
        Ok((bytes, name))
    }
}

impl Inputs {
    /// Reads what the parameters name, for a map.
    pub(crate) fn read(p: &params::Synth, map: &SemanticMap) -> Result<Self> {
        let mut reader = Reader::default();
        let mut told = p.clone();
        let mut size_px = p.size_px;
        let source = match (&p.labels, &p.shares, p.at) {
            (Some(path), ..) => {
                let (bytes, name) = reader.read(path)?;
                told.labels = Some(name);
                let drawing = Drawing::read(&bytes, map)?;
                check_drawn(p.size_px, drawing.side_px)?;
                size_px = drawing.side_px;
                Some(Source::Drawn(drawing))
            }
            (_, Some(shares), _) => Some(Source::Shares(Shares::new(shares.iter().map(|(l, s)| (*l, *s)), map)?)),
            (_, _, Some(at)) => Some(Source::At(at)),
            _ if p.init.is_some() && p.regions.is_none() => None,
            _ => Some(Source::Anywhere),
        };
        told.size_px = size_px;
        told.model = p.model.as_ref().map(|_| "imported".into()); // which one it is, its hash tells
        if p.preset.to_lowercase().ends_with(".toml") {
            told.preset = "default".into(); // its values are told one by one, and a path is nobody's business
        }
        let annotations = p.regions.as_ref().map(|path| {
            let (bytes, name) = reader.read(path)?;
            told.regions = Some(name);
            Annotations::read(annotations::text("regions", &bytes)?, map)
        });
        let annotations = annotations.transpose()?;
        let (crops, crop_files, own) = own_crops(p, map, &mut reader, &mut told)?;
        let notes = annotations.iter().flat_map(|a: &Annotations| a.notes()).collect();
        let init = init(p, size_px, &mut reader, &mut told)?;
        check_labels(p, map)?;
        let files = reader.files.into_iter().map(|(name, bytes)| InputFile { name, bytes }).collect();
        Ok(Self { source, annotations, crops, own, crop_files, notes, init, files: Arc::new(files), told, size_px })
    }
}

/// An error where a size was asked for that the drawing does not have.
fn check_drawn(asked_px: u32, drawn_px: u32) -> Result<()> {
    if [drawn_px, DEFAULT_PX].contains(&asked_px) {
        return Ok(());
    }
    let why = format!("{asked_px} is asked for, the drawing is {drawn_px} x {drawn_px} px");
    Err(Error::parameter("size_px", why, "leave it out: the tile is as large as the drawing"))
}

/// An error where the parameters name a class that the map does not have.
fn check_labels(p: &params::Synth, map: &SemanticMap) -> Result<()> {
    let mixes = p.mix.iter().flatten().flat_map(|(l, m)| [*l, m.with]);
    tissue(map, "mix", mixes)?;
    tissue(map, "measures", p.measures.iter().flatten().map(|(l, _)| *l))?;
    layout::known(map, "inpaint", p.inpaint.iter().flatten().copied())
}

/// An error unless every label is a tissue class of the map; background has neither crops nor stain.
fn tissue(map: &SemanticMap, field: &str, labels: impl IntoIterator<Item = u8> + Clone) -> Result<()> {
    if labels.clone().into_iter().any(|l| l == 0) {
        return Err(Error::parameter(field, "0 is the background, which has no tissue", "name a class of the map"));
    }
    layout::known(map, field, labels)
}

/// The crops the user named: those of files with their names, and indices by class, files counted on from the map's crops.
fn own_crops(
    p: &params::Synth,
    map: &SemanticMap,
    reader: &mut Reader,
    told: &mut params::Synth,
) -> Result<(Vec<Crop>, Vec<String>, OwnCrops)> {
    let (mut crops, mut files, mut own) = (Vec::new(), Vec::new(), OwnCrops::new());
    for (class, wanted) in p.crops.iter().flatten() {
        tissue(map, "crops", [*class])?;
        let field = format!("crops.{class}");
        for (i, crop) in wanted.iter().enumerate() {
            let index = match crop {
                params::Crop::Index(index) => match map.crops.get(*index).map(shown_side) {
                    Some(Some(_)) => *index,
                    _ => return Err(Error::parameter(field, format!("{index} is no crop that can be shown"), crop_list(map, *class))),
                },
                params::Crop::File(path) => {
                    let (bytes, name) = reader.read(path)?;
                    crops.push(Crop { class: *class, x: 0, y: 0, rgb: middle(&field, &rgb_png(&field, &bytes)?)? });
                    files.push(name.clone());
                    let told = told.crops.as_mut().and_then(|c| c.get_mut(class)).and_then(|c| c.get_mut(i));
                    told.into_iter().for_each(|t| *t = params::Crop::File(name.clone()));
                    map.crops.len() + crops.len() - 1
                }
            };
            own.entry(*class).or_default().push(index);
        }
    }
    Ok((crops, files, own))
}

fn crop_list(map: &SemanticMap, class: u8) -> String {
    let all: Vec<String> = map.crops.iter().enumerate().filter(|(_, c)| c.class == class).map(|(i, _)| i.to_string()).collect();
    format!("the map's crops of class {class} are {}", all.join(", "))
}

/// The middle of a picture as a crop: square, a multiple of 16 px.
fn middle(field: &str, rgb: &RgbImage) -> Result<RgbImage> {
    let side = rgb.width().min(rgb.height()).min(CROP_PX) / 16 * 16;
    if side < LEAST_CROP_PX {
        let (w, h) = rgb.dimensions();
        let hint = format!("give at least {LEAST_CROP_PX} x {LEAST_CROP_PX} px at the map's working resolution");
        return Err(Error::parameter(field, format!("a crop of {w} x {h} px is too small"), hint));
    }
    Ok(imageops::crop_imm(rgb, (rgb.width() - side) / 2, (rgb.height() - side) / 2, side, side).to_image())
}

/// Decodes a colour PNG, transparency over white.
pub(crate) fn rgb_png(field: &str, bytes: &[u8]) -> Result<RgbImage> {
    let bad = |why: String| Error::parameter(field, why, "give a PNG of at most 4096 px a side");
    let mut reader = image::ImageReader::with_format(Cursor::new(bytes), image::ImageFormat::Png);
    let mut bounds = image::Limits::default();
    bounds.max_image_width = Some(limits::TILE_PX);
    bounds.max_image_height = Some(limits::TILE_PX);
    reader.limits(bounds);
    let picture = reader.decode().map_err(|e| bad(format!("cannot be read: {e}")))?.into_rgba8();
    let over = |p: &image::Rgba<u8>| {
        let [r, g, b, a] = p.0.map(u32::from);
        image::Rgb([r, g, b].map(|v| ((v * a + 255 * (255 - a) + 127) / 255) as u8))
    };
    Ok(RgbImage::from_fn(picture.width(), picture.height(), |x, y| over(picture.get_pixel(x, y))))
}

/// The picture to begin from, with its mask.
fn init(p: &params::Synth, size_px: u32, reader: &mut Reader, told: &mut params::Synth) -> Result<Option<Init>> {
    let Some(path) = &p.init else { return Ok(None) };
    let size = |field: &str, (w, h): (u32, u32)| {
        if (w, h) == (size_px, size_px) {
            return Ok(());
        }
        let hint = format!("the tile is {size_px} x {size_px} px: cut or scale the picture to it, or set size_px");
        Err(Error::parameter(field, format!("the picture is {w} x {h} px"), hint))
    };
    let (bytes, name) = reader.read(path)?;
    told.init = Some(name);
    let rgb = rgb_png("init", &bytes)?;
    size("init", rgb.dimensions())?;
    let mut mask = None;
    if let Some(path) = &p.mask {
        let (bytes, name) = reader.read(path)?;
        told.mask = Some(name);
        let Grey { width, height, values } = grey_png("mask", &bytes)?;
        size("mask", (width, height))?;
        if values.iter().all(|v| *v == 0) {
            return Err(Error::parameter("mask", "it is 0 everywhere, so nothing would be made anew", "mark what is to be made with 255"));
        }
        mask = Some(values.into_iter().map(|v| if v == 0 { 0 } else { 255 }).collect());
    }
    Ok(Some(Init { rgb, mask }))
}
