//! Pictures of a map for the eye. In: a map. Out: the overlay on the thumbnail, and the legend with exemplar crops.
//! Cannot fail: what is missing (a crop, a name that is too long) leaves its place empty or is cut.

use image::{Rgb, RgbImage, imageops};

use super::text::{self, LETTER_PX};
use crate::semantic_map::{Crop, SemanticMap};

pub(super) const PAPER: [u8; 3] = [255, 255, 255];
pub(super) const INK: [u8; 3] = [34, 34, 34];
pub(super) const FAINT: [u8; 3] = [120, 120, 120];
/// Share of the legend colour in the overlay: the tissue must stay readable beneath.
const OPACITY: f32 = 0.45;
/// The scale bar is at most this share of the overlay's width, and left out of overlays narrower than this.
const BAR_SHARE: f64 = 0.2;
const BAR_LEAST_PX: u32 = 320;
/// Crops shown a class in the legend.
const EXEMPLARS: usize = 4;
/// Side of an exemplar in the legend, in pixels.
const EXEMPLAR_PX: u32 = 112;
/// Side of most crops without their margin, in pixels at the working resolution.
const SHOWN_PX: u32 = 96;
/// Distance between the strokes over artefacts, in pixels.
const HATCH_PX: usize = 6;
/// Margin of a crop that belongs to the autoencoder, in pixels.
const MARGIN_PX: u32 = 16;

/// Legend colour by label; background has none.
pub(super) fn colors(map: &SemanticMap) -> [Option<[u8; 3]>; 256] {
    let mut out = [None; 256];
    for class in &map.classes {
        out[class.id as usize] = Some(class.color);
    }
    out
}

/// The thumbnail with its tissue in grey under half-transparent legend colours, so that the stain does not change them, with thin dark
/// borders between regions; artefacts are hatched. As large as the thumbnail, with a scale bar where there is room.
pub fn overlay(map: &SemanticMap) -> RgbImage {
    let colors = colors(map);
    let mut out = map.thumbnail.clone();
    let (width, height) = out.dimensions();
    let (cells_x, cells_y) = extent(map);
    let column: Vec<usize> = (0..width).map(|x| cell(x, width, cells_x)).collect();
    let row: Vec<usize> = (0..height).map(|y| cell(y, height, cells_y)).collect();
    // the strip beside the last whole cell is background
    let label = |x: usize, y: usize| {
        if column[x] < map.columns { map.labels.get(row[y] * map.columns + column[x]).copied().unwrap_or(0) } else { 0 }
    };
    let artefact = |x: usize, y: usize| {
        map.artefacts
            .as_ref()
            .and_then(|a| a.get(row[y] * map.columns + column[x]))
            .is_some_and(|code| *code != 0 && column[x] < map.columns)
    };
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let (x, y) = (x as usize, y as usize);
        let here = label(x, y);
        let right = if x + 1 < column.len() { label(x + 1, y) } else { here };
        let below = if y + 1 < row.len() { label(x, y + 1) } else { here };
        let border = here != right || here != below;
        *pixel = match colors[here as usize] {
            _ if border => mixed(*pixel, INK, 0.7),
            Some(color) => mixed(grey(*pixel), color, OPACITY),
            None if (x + y) % HATCH_PX == 0 && artefact(x, y) => mixed(*pixel, INK, 0.8),
            None => *pixel,
        };
    }
    if width >= BAR_LEAST_PX && height >= BAR_LEAST_PX {
        scale_bar(&mut out, cells_x * map.cell_px * map.mpp / f64::from(width));
    }
    out
}

/// Without its colour.
pub(super) fn grey(pixel: Rgb<u8>) -> Rgb<u8> {
    let [r, g, b] = pixel.0.map(u32::from);
    Rgb([((r + 2 * g + b) / 4) as u8; 3])
}

/// A bar of a round length in the lower left corner.
fn scale_bar(out: &mut RgbImage, um_a_px: f64) {
    let (width, height) = out.dimensions();
    let longest = f64::from(width) * BAR_SHARE * um_a_px;
    let power = 10f64.powf(longest.log10().floor());
    let um = [5.0, 2.0, 1.0].map(|n| n * power).into_iter().find(|um| *um <= longest).unwrap_or(power);
    let said = if um >= 1000.0 { format!("{} mm", um / 1000.0) } else { format!("{um} um") };
    let (bar, top) = ((um / um_a_px).round() as u32, height - 34);
    text::fill(out, 8, top, bar.max(LETTER_PX * said.len() as u32) + 8, 26, PAPER);
    text::draw(out, 12, top + 4, 1, INK, &said);
    text::fill(out, 12, top + 16, bar, 5, INK);
}

/// How many cells the thumbnail spans: the slide rarely ends with a whole cell. The slide's size is in the provenance; without
/// it the map's own extent is near enough for a picture.
pub(super) fn extent(map: &SemanticMap) -> (f64, f64) {
    let side = |key: &str, cells: usize| {
        let px = map.provenance.pointer(&format!("/slide/{key}")).and_then(serde_json::Value::as_f64);
        let spanned = px.map(|px| px / map.cell_px).filter(|n| n.is_finite() && (n - cells as f64).abs() <= 1.0);
        spanned.unwrap_or(cells as f64)
    };
    (side("width_px", map.columns), side("height_px", map.rows))
}

pub(super) fn cell(pixel: u32, pixels: u32, cells: f64) -> usize {
    ((f64::from(pixel) + 0.5) / f64::from(pixels) * cells) as usize
}

pub(super) fn mixed(a: Rgb<u8>, b: [u8; 3], share: f32) -> Rgb<u8> {
    let mix = |x: u8, y: u8| (f32::from(x) * (1.0 - share) + f32::from(y) * share).round() as u8;
    Rgb([mix(a.0[0], b[0]), mix(a.0[1], b[1]), mix(a.0[2], b[2])])
}

/// One row a class: swatch, name, share of the tissue, area, exemplar crops (without their margin); below, what has no label and why.
pub fn legend(map: &SemanticMap) -> RgbImage {
    let (text_px, row_px) = (340, EXEMPLAR_PX + 12);
    let width = 72 + text_px + EXEMPLARS as u32 * (EXEMPLAR_PX + 8) + 8;
    let head = 56;
    let why = |reason: Option<String>| reason.map_or_else(String::new, |why| format!(", {why}"));
    let without_cells = map.without_cells().into_iter().map(|c| format!("{}: no cells{}", c.name, why(c.reason)));
    let left_out = map
        .left_out()
        .into_iter()
        .map(|l| format!("left unlabelled: {}, {} ({:.2} % of the tissue)", l.reason, area(l.area_um2), l.share * 100.0));
    let told: Vec<String> = without_cells.chain(left_out).collect();
    let foot = head + map.classes.len() as u32 * row_px;
    let mut out = RgbImage::from_pixel(width, foot + told.len() as u32 * 16 + 8, Rgb(PAPER));
    for (i, line) in (0u32..).zip(&told) {
        text::draw(&mut out, 12, foot + i * 16, 1, FAINT, &text::fitted(line, 1, width - 24));
    }
    text::draw(&mut out, 12, 10, 2, INK, "Tissue classes");
    let crops_um = f64::from(SHOWN_PX) * map.work_mpp;
    let found = match (map.is_annotated(), map.is_pseudo_semantic()) {
        (false, _) => "found by clustering, not by a pathologist",
        (true, true) => "of an annotation file with pseudo-semantic classes",
        (true, false) => "as they were annotated",
    };
    let line = format!("{found}; crops are {crops_um:.0} um wide as a rule");
    text::draw(&mut out, 12, 34, 1, FAINT, &line);
    for (i, class) in map.classes.iter().enumerate() {
        let y = head + i as u32 * row_px;
        text::fill(&mut out, 12, y, 48, EXEMPLAR_PX, class.color);
        text::frame(&mut out, 12, y, 48, EXEMPLAR_PX, 1, INK);
        let scale = if class.name.chars().count() as u32 * LETTER_PX * 2 > text_px { 1 } else { 2 };
        text::draw(&mut out, 72, y + 16, scale, INK, &text::fitted(&class.name, scale, text_px));
        text::draw(&mut out, 72, y + 46, 2, INK, &format!("{:.1} %", class.share * 100.0));
        text::draw(&mut out, 72, y + 76, 1, FAINT, &format!("{}   label {}", area(class.area_um2), class.id));
        if let Some(unlike) = map.atlas.as_ref().map(|atlas| atlas.unknown_of(|cell| map.labels.get(cell) == Some(&class.id))) {
            text::draw(&mut out, 72, y + 92, 1, FAINT, &format!("{:.0} % of it unlike the atlas", unlike * 100.0));
        }
        for (j, crop) in map.crops.iter().filter(|c| c.class == class.id).take(EXEMPLARS).enumerate() {
            let shown = imageops::resize(&core_of(crop), EXEMPLAR_PX, EXEMPLAR_PX, imageops::FilterType::CatmullRom);
            let x = 72 + text_px + j as u32 * (EXEMPLAR_PX + 8);
            imageops::replace(&mut out, &shown, i64::from(x), i64::from(y));
        }
    }
    out
}

/// A crop without its margin.
pub(super) fn core_of(crop: &Crop) -> RgbImage {
    let (width, height) = crop.rgb.dimensions();
    if width <= 2 * MARGIN_PX || height <= 2 * MARGIN_PX {
        return crop.rgb.clone();
    }
    imageops::crop_imm(&crop.rgb, MARGIN_PX, MARGIN_PX, width - 2 * MARGIN_PX, height - 2 * MARGIN_PX).to_image()
}

/// An area for the eye: three digits that count.
pub(super) fn area(um2: f64) -> String {
    match um2 {
        1e5.. => format!("{:.3} mm2", um2 / 1e6),
        1e4.. => format!("{:.4} mm2", um2 / 1e6),
        100.0.. => format!("{um2:.0} um2"),
        10.0.. => format!("{um2:.1} um2"),
        _ => format!("{um2:.2} um2"),
    }
}
