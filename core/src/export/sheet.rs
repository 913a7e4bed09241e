//! The contact sheet: one row a tile with map, crops, tile and flags side by side, labelled, and the word SYNTHETIC on it.
//! In: tiles of one run and their map. Out: a picture. Cannot fail; at most [`ROWS`] tiles are shown.

use image::{Rgb, RgbImage, imageops};

use super::page::told;
use super::picture::{FAINT, INK, PAPER, colors, core_of, mixed};
use super::tile_files::{FLAG_CELL_PX, flag_raster};
use super::{text, tile_name};
use crate::semantic_map::SemanticMap;
use crate::synth::SyntheticTile;

/// Most tiles on a sheet.
pub(super) const ROWS: usize = 16;
/// Largest side of a panel; larger tiles are shown smaller.
const PANEL_PX: u32 = 512;
const HEAD_PX: u32 = 60;
const CAPTION_PX: u32 = 28;
const GAP_PX: u32 = 10;
pub(super) const WARNING: [u8; 3] = [178, 24, 43];
/// What all tiles of a run share of their provenance.
const SHARED: [(&str, &str); 8] = [
    ("software", "/software/version"),
    ("steps", "/parameters/steps"),
    ("guidance", "/parameters/guidance"),
    ("denoiser SHA-256", "/models/denoiser/sha256"),
    ("codec SHA-256", "/models/codec/sha256"),
    ("map SHA-256", "/map/sha256"),
    ("slide (id hashed)", "/map/hashes/slide.id_sha256"),
    ("calibration SHA-256", "/calibration_sha256"),
];

/// Pictures side by side: a titled column a set, a row a place. The first column is real tissue, the others are synthetic.
pub fn columns(sets: &[(&str, Vec<RgbImage>)]) -> RgbImage {
    let pictures = || sets.iter().flat_map(|(_, p)| p);
    let (w, h) = (pictures().map(RgbImage::width).max().unwrap_or(1), pictures().map(RgbImage::height).max().unwrap_or(1));
    let rows = sets.iter().map(|(_, p)| p.len()).max().unwrap_or(0) as u32;
    let mut out = RgbImage::from_pixel(GAP_PX + sets.len() as u32 * (w + GAP_PX), HEAD_PX + rows * (h + GAP_PX), Rgb(PAPER));
    text::draw(&mut out, GAP_PX, 10, 2, WARNING, "SYNTHETIC but for the first column");
    for (j, (title, pictures)) in sets.iter().enumerate() {
        let x = GAP_PX + j as u32 * (w + GAP_PX);
        text::draw(&mut out, x, HEAD_PX - 18, 1, INK, &text::fitted(title, 1, w));
        for (i, p) in pictures.iter().enumerate() {
            imageops::replace(&mut out, p, i64::from(x), i64::from(HEAD_PX + i as u32 * (h + GAP_PX)));
        }
    }
    out
}

/// Map | crops | tile | flags for the first tiles.
pub fn contact_sheet(tiles: &[SyntheticTile], map: &SemanticMap) -> RgbImage {
    let tiles = &tiles[..tiles.len().min(ROWS)];
    let side = tiles.iter().map(|t| t.rgb.width().max(t.rgb.height())).max().unwrap_or(256).clamp(128, PANEL_PX);
    let step = side + GAP_PX;
    let width = GAP_PX + 4 * step;
    let bottom = HEAD_PX + tiles.len() as u32 * (side + CAPTION_PX);
    let told = tiles.first().map_or(Vec::new(), |t| told(&t.provenance, &SHARED));
    let mut out = RgbImage::from_pixel(width, bottom + told.len() as u32 * text::LINE_PX + GAP_PX, Rgb(PAPER));
    text::draw(&mut out, GAP_PX, 10, 2, WARNING, "SYNTHETIC - not real tissue");
    for (i, title) in ["map asked for", "crops shown to the model", "tile", "flags"].into_iter().enumerate() {
        text::draw(&mut out, GAP_PX + i as u32 * step, HEAD_PX - 18, 1, INK, &text::fitted(title, 1, side));
    }
    for (i, tile) in tiles.iter().enumerate() {
        let y = HEAD_PX + i as u32 * (side + CAPTION_PX);
        for (j, panel) in panels(tile, map, side).iter().enumerate() {
            imageops::replace(&mut out, panel, i64::from(GAP_PX + j as u32 * step), i64::from(y));
        }
        for (j, caption) in captions(tile, map).iter().enumerate() {
            let color = if j == 2 { WARNING } else { FAINT };
            text::draw(&mut out, GAP_PX + j as u32 * step, y + side + 6, 1, color, &text::fitted(caption, 1, side));
        }
    }
    text::lines(&mut out, GAP_PX, bottom, FAINT, &told);
    out
}

/// Map, crops, tile and flags of one tile, each at most `side` pixels wide.
pub(super) fn panels(tile: &SyntheticTile, map: &SemanticMap, side: u32) -> [RgbImage; 4] {
    [asked(tile, map), crops(tile, map, side), tile.rgb.clone(), flags(tile)].map(|panel| smaller(&panel, side))
}

/// A panel no larger than its place.
fn smaller(panel: &RgbImage, side: u32) -> RgbImage {
    if panel.width().max(panel.height()) <= side {
        return panel.clone();
    }
    imageops::resize(panel, side, side, imageops::FilterType::Triangle)
}

/// The requested map in legend colours; background is light grey.
fn asked(tile: &SyntheticTile, map: &SemanticMap) -> RgbImage {
    let colors = colors(map);
    let width = tile.rgb.width().max(1);
    RgbImage::from_fn(tile.rgb.width(), tile.rgb.height(), |x, y| {
        let label = tile.labels.get((y * width + x) as usize).copied().unwrap_or(0);
        Rgb(colors[label as usize].unwrap_or([232, 232, 232]))
    })
}

/// The crops in a grid, framed in the colour of their class.
fn crops(tile: &SyntheticTile, map: &SemanticMap, side: u32) -> RgbImage {
    let colors = colors(map);
    let mut out = RgbImage::from_pixel(side, side, Rgb([244, 244, 244]));
    let across = (1..).find(|n| n * n >= tile.crops.len().max(4)).unwrap_or(2) as u32;
    let cell = side / across;
    for (i, crop) in tile.crops.iter().enumerate() {
        let (x, y) = (i as u32 % across * cell, i as u32 / across * cell);
        let shown = imageops::resize(&core_of(crop), cell, cell, imageops::FilterType::CatmullRom);
        imageops::replace(&mut out, &shown, i64::from(x), i64::from(y));
        text::frame(&mut out, x, y, cell, cell, 4, colors[crop.class as usize].unwrap_or(INK));
    }
    out
}

/// The tile in grey; cells darken to orange with their share of the worst score in the tile, flagged cells have a red frame.
fn flags(tile: &SyntheticTile) -> RgbImage {
    let (columns, rows, raster) = flag_raster(tile);
    let (width, height) = tile.rgb.dimensions();
    let luma = |p: &Rgb<u8>| (0.299 * f32::from(p.0[0]) + 0.587 * f32::from(p.0[1]) + 0.114 * f32::from(p.0[2])) as u8;
    let scores = &tile.flags.scores;
    let first = (scores.channels > 0 && scores.area() == raster.len()).then(|| scores.plane(0));
    let worst = first.into_iter().flatten().copied().filter(|v| v.is_finite()).fold(f32::MIN_POSITIVE, f32::max);
    let mut out = RgbImage::from_fn(width, height, |x, y| {
        let grey = luma(tile.rgb.get_pixel(x, y));
        let cell = (y / FLAG_CELL_PX * columns + x / FLAG_CELL_PX) as usize;
        let score = first.and_then(|plane| plane.get(cell)).map_or(0.0, |v| if v.is_finite() { (v / worst).clamp(0.0, 1.0) } else { 0.0 });
        mixed(Rgb([grey; 3]), [230, 97, 1], 0.6 * score * score)
    });
    for row in 0..rows {
        for column in (0..columns).filter(|c| raster[(row * columns + c) as usize] != 0) {
            text::frame(&mut out, column * FLAG_CELL_PX, row * FLAG_CELL_PX, FLAG_CELL_PX, FLAG_CELL_PX, 2, WARNING);
        }
    }
    out
}

/// `S1` of `S1_OFF_MANIFOLD`; there is little room, and the JSON has the rest.
fn short(code: &str) -> &str {
    let numbered = code.strip_prefix('S').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if numbered { code.split('_').next().unwrap_or(code) } else { code }
}

fn captions(tile: &SyntheticTile, map: &SemanticMap) -> [String; 4] {
    let mut present = tile.labels.clone();
    present.sort_unstable();
    present.dedup();
    let names: Vec<&str> = map.classes.iter().filter(|c| present.contains(&c.id)).map(|c| c.name.as_str()).collect();
    let mut codes: Vec<&str> = tile.flags.flags.iter().map(|f| short(&f.code)).collect();
    codes.sort_unstable();
    codes.dedup();
    let seed = tile.provenance.pointer("/parameters/seed").map_or(String::new(), |s| format!(" seed {s}"));
    let flags = if codes.is_empty() { "not flagged".to_owned() } else { codes.join(" ") };
    [names.join(", "), format!("{} crops", tile.crops.len()), format!("SYNTHETIC {}{seed}", tile_name(tile.index)), flags]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{map, tile};
    use super::*;

    /// Rows of the picture below `y` that hold ink.
    fn inked(picture: &RgbImage, y: u32) -> usize {
        (y..picture.height()).filter(|y| (0..picture.width()).any(|x| picture.get_pixel(x, *y).0 != PAPER)).count()
    }

    #[test]
    fn the_sheet_of_tiles_ends_with_what_they_share_of_their_provenance() {
        let (mut bare, mut known) = (tile(0), tile(0));
        bare.provenance = json!({});
        known.provenance =
            json!({"software": {"version": "1"}, "map": {"hashes": {"slide.id_sha256": "00ff"}}, "calibration_sha256": null});
        let [bare, known] = [bare, known].map(|t| contact_sheet(&[t], &map()));
        assert_eq!(known.height(), bare.height() + 2 * text::LINE_PX);
        assert!(inked(&known, bare.height() - GAP_PX) > text::LETTER_PX as usize, "two lines of letters");
    }
}
