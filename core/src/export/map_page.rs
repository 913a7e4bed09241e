//! What a map shows, on one page and on one sheet. In: a map. Out: `report.html` and `report.png`: thumbnail, map, classes with their
//! exemplars, table, the readings for k, provenance. Fails where a picture cannot be encoded.

use image::{Rgb, RgbImage, imageops};
use serde_json::Value;

use super::page::{Field, Page, Shown, told};
use super::picture::{FAINT, INK, PAPER, area, core_of};
use super::{legend, overlay, png_text, readings_chart, scrubbed, text};
use crate::Result;
use crate::semantic_map::{SemanticMap, WithoutCells};

/// Longest side of thumbnail and map on the sheet, and width of each on the page, in pixels.
const SHOWN_PX: u32 = 560;
/// Exemplars of a class on the page.
const EXEMPLARS: usize = 6;
/// Side of an exemplar on the page, in pixels.
const EXEMPLAR_PX: u32 = 96;
/// What stands for the colour of a class without cells.
const NO_COLOR: [u8; 3] = [217, 217, 217];
const GAP_PX: u32 = 12;
const HEAD_PX: u32 = 56;
/// Names of what people ask for first, and where it stands in the provenance.
const FIRST_ASKED: [(&str, &str); 12] = [
    ("software", "/software/version"),
    ("seed", "/seed"),
    ("classes", "/classes"),
    ("encoder", "/encoder/id"),
    ("encoder SHA-256", "/encoder/sha256"),
    ("atlas", "/atlas/id_sha256"),
    ("annotations SHA-256", "/annotations/file_sha256"),
    ("slide (id hashed)", "/slide/id_sha256"),
    ("slide width in px", "/slide/width_px"),
    ("slide height in px", "/slide/height_px"),
    ("micrometres a pixel", "/slide/mpp"),
    ("worked at micrometres a pixel", "/work_mpp"),
];

/// A picture and its PNG file.
pub(super) struct Picture {
    rgb: RgbImage,
    pub png: Vec<u8>,
}

/// The pictures of a map, made once for their own files, the page and the sheet.
pub(super) struct Pictures {
    pub thumbnail_png: Vec<u8>,
    pub overlay: Picture,
    pub legend: Picture,
    /// What speaks for each number of classes; none where nothing was read.
    pub chart: Option<Picture>,
}

impl Pictures {
    /// With `marks` in the files of those that are made of labels.
    pub fn of(map: &SemanticMap, marks: &[(&str, String)]) -> Result<Self> {
        let picture = |rgb: RgbImage| Ok(Picture { png: png(&rgb, marks)?, rgb });
        let (thumbnail_png, (overlay, (legend, chart))) = rayon::join(
            || png(&map.thumbnail, &[]),
            || {
                let small = || rayon::join(|| picture(legend(map)), || chart(map).map(picture).transpose());
                rayon::join(|| picture(overlay(map)), small)
            },
        );
        Ok(Self { thumbnail_png: thumbnail_png?, overlay: overlay?, legend: legend?, chart: chart? })
    }
}

/// A picture as a PNG file.
pub(super) fn png(picture: &RgbImage, texts: &[(&str, String)]) -> Result<Vec<u8>> {
    png_text::encode(picture.width(), picture.height(), png_text::Pixels::Rgb(picture.as_raw()), texts)
}

/// The page.
pub(super) fn map_page(map: &SemanticMap, shown: &Pictures) -> Result<String> {
    let mut page = Page::new("Tissue map");
    page.warning(told_of(map));
    map.annotation_notes().iter().for_each(|note| page.warning(note));
    page.pictures(
        &[
            Shown { png: &shown.thumbnail_png, caption: "slide", alt: "the slide, small" },
            Shown { png: &shown.overlay.png, caption: "map", alt: "the slide in grey under the colours of its classes" },
        ],
        Some(SHOWN_PX),
    );
    page.heading("Classes");
    page.table(&heads(map), &rows(map));
    let left_out: Vec<String> = map
        .left_out()
        .iter()
        .map(|l| format!("left unlabelled: {}, {} ({:.2} % of the tissue)", l.reason, area(l.area_um2), 100.0 * l.share))
        .collect();
    page.list(&left_out);
    page.heading("Exemplars");
    for class in &map.classes {
        let crops: Vec<Vec<u8>> =
            map.crops.iter().filter(|c| c.class == class.id).take(EXEMPLARS).map(|c| png(&core_of(c), &[])).collect::<Result<_>>()?;
        let alts: Vec<String> = (1..=crops.len()).map(|n| format!("exemplar {n} of {}", class.name)).collect();
        let pictures: Vec<Shown<'_>> = crops.iter().zip(&alts).map(|(png, alt)| Shown { png, caption: "", alt }).collect();
        page.subheading(&format!("{} ({:.1} % of the tissue)", class.name, 100.0 * class.share));
        if pictures.is_empty() {
            page.text("No place of it is large enough for an exemplar.");
        } else {
            page.pictures(&pictures, Some(EXEMPLAR_PX));
        }
    }
    if let Some(chart) = &shown.chart {
        page.heading("What speaks for each number of classes");
        let caption = "inertia, silhouette and stability over k";
        page.pictures(&[Shown { png: &chart.png, caption, alt: "chart of inertia, silhouette and stability over k" }], None);
    }
    page.heading("Provenance");
    page.list(&first_asked(&map.provenance));
    page.folded("everything, as in map.json", &scrubbed(&map.provenance));
    Ok(page.finish())
}

/// The same on one picture.
pub(super) fn map_sheet(map: &SemanticMap, shown: &Pictures) -> RgbImage {
    let [left, right] = [fitted(&map.thumbnail), fitted(&shown.overlay.rgb)];
    let beside = left.width() + GAP_PX + right.width();
    let below = [Some(&shown.legend.rgb), shown.chart.as_ref().map(|c| &c.rgb)];
    let width = below.iter().flatten().map(|p| p.width()).max().unwrap_or(0).max(beside) + 2 * GAP_PX;
    let pictures = left.height().max(right.height());
    let told = first_asked(&map.provenance);
    let foot = told.len() as u32 * text::LINE_PX;
    let height = HEAD_PX + pictures + below.iter().flatten().map(|p| p.height() + GAP_PX).sum::<u32>() + foot + 3 * GAP_PX;
    let mut out = RgbImage::from_pixel(width, height, Rgb(PAPER));
    text::draw(&mut out, GAP_PX, 10, 2, INK, "Tissue map");
    text::draw(&mut out, GAP_PX, 36, 1, FAINT, &text::fitted(told_of(map), 1, width - 2 * GAP_PX));
    imageops::replace(&mut out, &left, i64::from(GAP_PX), i64::from(HEAD_PX));
    imageops::replace(&mut out, &right, i64::from(2 * GAP_PX + left.width()), i64::from(HEAD_PX));
    let mut y = HEAD_PX + pictures + GAP_PX;
    for picture in below.into_iter().flatten() {
        imageops::replace(&mut out, picture, i64::from(GAP_PX), i64::from(y));
        y += picture.height() + GAP_PX;
    }
    text::lines(&mut out, GAP_PX, y, FAINT, &told);
    out
}

/// How its classes came about.
fn told_of(map: &SemanticMap) -> &'static str {
    match (map.is_annotated(), map.is_pseudo_semantic()) {
        (false, _) => "Classes were found by clustering, not by a pathologist: names are the user's or numbers, areas are of this map.",
        (true, true) => "Classes are those of an annotation file that holds pseudo-semantic classes; areas are of this map, tissue alone.",
        (true, false) => "Classes are those of annotations that were made by hand; areas are of this map, tissue alone.",
    }
}

/// A picture no larger than its place.
fn fitted(picture: &RgbImage) -> RgbImage {
    let (w, h) = picture.dimensions();
    let scale = (f64::from(SHOWN_PX) / f64::from(w.max(h).max(1))).min(1.0);
    let side = |px: u32| ((f64::from(px) * scale).round() as u32).max(1);
    imageops::resize(picture, side(w), side(h), imageops::FilterType::Triangle)
}

fn chart(map: &SemanticMap) -> Option<RgbImage> {
    let tree = map.tree.as_ref().filter(|t| !t.readings.is_empty())?;
    let k = map.provenance["k"].as_u64().unwrap_or(map.classes.len() as u64) as usize;
    Some(readings_chart(&tree.readings, k))
}

fn heads(map: &SemanticMap) -> Vec<&'static str> {
    let all = ["colour", "label", "class", "area", "share of the tissue", "unlike the atlas"];
    all[..if map.atlas.is_some() { 6 } else { 5 }].to_vec()
}

fn rows(map: &SemanticMap) -> Vec<Vec<Field>> {
    let row = |c: &crate::semantic_map::Class| {
        let mut row = vec![
            Field::Swatch(c.color),
            Field::Number(c.id.to_string()),
            Field::Text(c.name.clone()),
            Field::Number(area(c.area_um2)),
            Field::Number(format!("{:.1} %", 100.0 * c.share)),
        ];
        if let Some(atlas) = &map.atlas {
            let unlike = atlas.unknown_of(|cell| map.labels.get(cell) == Some(&c.id));
            row.push(Field::Number(format!("{:.0} %", 100.0 * unlike)));
        }
        row
    };
    map.classes.iter().map(row).chain(map.without_cells().into_iter().map(without_cells)).collect()
}

/// A class in grey, with the reason why no cell has it.
fn without_cells(class: WithoutCells) -> Vec<Field> {
    let [no_label, none] = [String::new(), "no cells".to_owned()].map(Field::Faint);
    vec![Field::Swatch(NO_COLOR), no_label, Field::Faint(class.name), none, Field::Faint(class.reason.unwrap_or_default())]
}

/// The provenance that people ask for first.
fn first_asked(provenance: &Value) -> Vec<String> {
    let mut out = told(provenance, &FIRST_ASKED);
    if provenance.pointer("/parameters/roi").is_some_and(|roi| !roi.is_null()) {
        out.push("only inside a region of interest".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::map;
    use super::*;

    #[test]
    fn the_sheet_of_a_map_ends_with_its_provenance() {
        let sheet = |provenance: Value| {
            let map = SemanticMap { provenance, ..map() };
            map_sheet(&map, &Pictures::of(&map, &[]).unwrap())
        };
        let (bare, known) = (sheet(json!({})), sheet(json!({"seed": 7, "software": {"version": "1"}, "parameters": {"roi": [[]]}})));
        assert_eq!(known.height(), bare.height() + 3 * text::LINE_PX);
        let inked = |y: u32| (0..known.width()).any(|x| known.get_pixel(x, y).0 != PAPER);
        assert!((bare.height() - 2 * GAP_PX..known.height()).filter(|y| inked(*y)).count() > 2 * text::LETTER_PX as usize);
    }
}
