//! What a run of tiles made, on one page. In: the tiles that are shown, their map, the manifest's lists. Out: `report.html`: map, crops, tile
//! and flags of each, its seed and what its flags say, and provenance. Fails where a picture cannot be encoded.

use image::RgbImage;
use serde_json::Value;

use super::page::{Field, Page, Shown};
use super::{png_text, scrubbed, sheet, tile_files, tile_name};
use crate::Result;
use crate::flags::TileFlags;
use crate::semantic_map::SemanticMap;
use crate::synth::SyntheticTile;

/// Side of a panel on the page, in pixels.
const PANEL_PX: u32 = 256;
const TITLES: [&str; 4] = ["map asked for", "crops shown to the model", "tile (SYNTHETIC)", "flags"];

/// The page; `tiles` and `flagged` are the manifest's lists, `shown` the tiles whose pictures are at hand.
pub(super) fn tiles_page(shown: &[SyntheticTile], map: &SemanticMap, tiles: &[Value], flagged: &[Value]) -> Result<String> {
    let png = |picture: &RgbImage| {
        png_text::encode(picture.width(), picture.height(), png_text::Pixels::Rgb(picture.as_raw()), &tile_files::marks())
    };
    let mut page = Page::new("Synthetic tiles");
    page.warning("SYNTHETIC: no picture here but the crops is real tissue. A tile without flags is not flagged, never verified.");
    let all = tiles.len() + flagged.len();
    let told = |t: &Value| t["flag_codes"].as_array().is_some_and(|c| !c.is_empty());
    let with_flags = flagged.len() + tiles.iter().filter(|t| told(t)).count();
    page.text(&format!(
        "{all} tile(s), {with_flags} flagged; {} kept apart in the folder flagged. The first {} follow.",
        flagged.len(),
        shown.len()
    ));
    page.table(&["colour", "label", "class"], &map.classes.iter().map(row).collect::<Vec<_>>());
    for tile in shown {
        let seed = tile.provenance.pointer("/parameters/seed").map_or(String::new(), |s| format!(", seed {s}"));
        page.heading(&format!("{}{seed}", tile_name(tile.index)));
        let panels: Vec<Vec<u8>> = sheet::panels(tile, map, PANEL_PX).iter().map(png).collect::<Result<_>>()?;
        let alts = TITLES.map(|title| format!("{}: {title}", tile_name(tile.index)));
        let titled = panels.iter().zip(TITLES).zip(&alts);
        let pictures: Vec<Shown<'_>> = titled.map(|((png, caption), alt)| Shown { png, caption, alt }).collect();
        page.pictures(&pictures, Some(PANEL_PX));
        let flags = sentences(&tile.flags);
        if flags.is_empty() {
            page.text("Not flagged, which is not verified.");
        }
        page.list(&flags);
        page.folded("everything that makes it again", &scrubbed(&tile.provenance));
    }
    Ok(page.finish())
}

fn row(class: &crate::semantic_map::Class) -> Vec<Field> {
    vec![Field::Swatch(class.color), Field::Number(class.id.to_string()), Field::Text(class.name.clone())]
}

/// One sentence a code, with its worst score and how many cells carry it.
fn sentences(told: &TileFlags) -> Vec<String> {
    let one = |(code, reason): (&str, &str)| {
        let of = || told.flags.iter().filter(|f| f.code == code);
        let worst = of().filter_map(|f| Some((f.score?, f.threshold))).max_by(|a, b| a.0.total_cmp(&b.0));
        let score = worst.map_or_else(String::new, |(score, threshold)| {
            threshold.map_or_else(|| format!(" (score {score:.3})"), |t| format!(" (score {score:.3}, threshold {t:.3})"))
        });
        let cells = of().filter(|f| f.cell.is_some()).count();
        let framed = if cells > 0 { format!(" {cells} cell(s) are framed.") } else { String::new() };
        format!("{code}: {reason}{score}{framed}")
    };
    told.reasons().into_iter().map(one).collect()
}
