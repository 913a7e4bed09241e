//! What jobs made, kept until the host has fetched it. In: maps and tiles of the pipeline. Out: rasters and JSON as C hosts take them.
//! Labels: one byte a cell or pixel, 0 = background. Overlay: RGBA, one pixel a cell, background transparent.

use std::sync::Arc;

use histoloom_core::cluster::choice;
use histoloom_core::export::{self, View};
use histoloom_core::memory::filled;
use histoloom_core::params;
use histoloom_core::semantic_map::SemanticMap;
use histoloom_core::synth::SyntheticTile;
use serde_json::{Value, json};

use crate::args::Buffer;
use crate::failure::{Failure, Result};
use crate::types::{
    HL_E_ARGUMENT, HL_E_INTERNAL, HL_E_LIMIT, HL_E_UNSUPPORTED, HL_PIXEL_BGRA8, HL_PIXEL_BGRA8_PRE, HL_PIXEL_RGBA8, HL_PIXEL_RGBA8_PRE,
    hl_region,
};

/// A job's result.
pub struct ResultData {
    /// The map made, or the one the tiles were made from; import, atlas and op jobs have none.
    pub map: Option<Arc<SemanticMap>>,
    /// Tiles of a synth or op job that are kept in memory.
    pub tiles: Vec<SyntheticTile>,
    /// What `hl_result_json` says.
    pub summary: Value,
}

/// Longest side of a region that is asked for at once.
const VIEW_SIDE_PX: u32 = 1 << 15;
/// Most pixels of one.
const VIEW_PIXELS: u64 = 1 << 26;
/// Opacity of a class in the overlay.
const OVERLAY_ALPHA: u8 = 255;

impl ResultData {
    /// The map.
    pub fn map(&self) -> Result<&Arc<SemanticMap>> {
        self.map
            .as_ref()
            .ok_or_else(|| Failure::new(HL_E_ARGUMENT, "the result of an import, atlas or op job holds no map; pass that of a cluster job"))
    }

    /// Columns, rows and one RGBA pixel a cell in legend colours.
    pub fn overlay(&self) -> Result<(u32, u32, Vec<u8>)> {
        let map = self.map()?;
        let mut colors = [[0u8; 4]; 256];
        for class in &map.classes {
            let [r, g, b] = class.color;
            colors[usize::from(class.id)] = [r, g, b, OVERLAY_ALPHA];
        }
        colors[0] = [0; 4];
        let rgba = map.labels.iter().flat_map(|l| colors[usize::from(*l)]).collect();
        Ok((map.columns as u32, map.rows as u32, rgba))
    }

    /// The map's labels in a region.
    pub fn labels_in(&self, region: &hl_region, to: &Buffer) -> Result<()> {
        self.drawn(region, 1, to, View::labels)
    }

    /// The overlay in a region, in its pixel format.
    pub fn overlay_in(&self, region: &hl_region, to: &Buffer) -> Result<()> {
        let (blue_first, premultiplied) = match region.pixel_format {
            HL_PIXEL_RGBA8 => (false, false),
            HL_PIXEL_BGRA8 => (true, false),
            HL_PIXEL_RGBA8_PRE => (false, true),
            HL_PIXEL_BGRA8_PRE => (true, true),
            other => return Err(Failure::new(HL_E_UNSUPPORTED, format!("hl_region.pixel_format {other} is unknown; use an HL_PIXEL_*"))),
        };
        self.drawn(region, 4, to, |view, map, out, stride| {
            view.overlay(map, out, stride);
            for p in out.chunks_exact_mut(stride).flat_map(|row| row[..4 * region.width_px as usize].chunks_exact_mut(4)) {
                if premultiplied {
                    let a = u16::from(p[3]);
                    p[..3].iter_mut().for_each(|c| *c = ((u16::from(*c) * a + 127) / 255) as u8);
                }
                if blue_first {
                    p.swap(0, 2);
                }
            }
        })
    }

    /// A region of so many bytes a pixel into the host's buffer; nothing is drawn where only the size is asked for, or it does not fit.
    fn drawn(&self, region: &hl_region, pixel: usize, to: &Buffer, draw: impl FnOnce(&View, &SemanticMap, &mut [u8], usize)) -> Result<()> {
        let (view, map, stride) = (view_of(region)?, self.map()?, stride_of(region, pixel)?);
        let size = stride * region.height_px as usize;
        if to.asks_size() {
            return to.tell(size);
        }
        to.check(size)?;
        let mut out = filled(0, size, "a region")?;
        draw(&view, map, &mut out, stride);
        to.fill(&out)
    }

    /// A table of the map as CSV.
    pub fn table(&self, name: &str) -> Result<String> {
        let map = self.map()?;
        match (name, &map.tree) {
            ("classes", _) => Ok(export::classes_csv(map)),
            ("k", Some(tree)) => Ok(export::readings_csv(&tree.readings)),
            ("k", None) => Err(Failure::argument("table", "is \"k\", but the map was labelled without a hierarchy of its own")),
            _ => Err(Failure::argument("table", "is unknown; there are \"classes\" and \"k\"")),
        }
    }

    /// One kept tile.
    pub fn tile(&self, i: u32) -> Result<&SyntheticTile> {
        self.tiles.get(i as usize).ok_or_else(|| {
            let kept = self.tiles.len();
            Failure::new(HL_E_ARGUMENT, format!("tile {i} was asked for, the result keeps {kept}; see \"kept\" in hl_result_json"))
        })
    }

    /// A tile's flags, scores and provenance.
    pub fn tile_json(&self, i: u32) -> Result<String> {
        let tile = self.tile(i)?;
        let s = &tile.flags.scores;
        let scores: serde_json::Map<String, Value> =
            tile.flags.names.iter().take(s.channels).enumerate().map(|(c, name)| (name.clone(), json!(s.plane(c)))).collect();
        let value = json!({
            "synthetic": tile.provenance.get("synthetic").unwrap_or(&Value::Bool(true)),
            "index": tile.index,
            "width_px": tile.rgb.width(),
            "height_px": tile.rgb.height(),
            "calibrated": tile.flags.calibrated(),
            "flags": tile.flags.flags,
            "score_rows": s.height,
            "score_columns": s.width,
            "scores": scores,
            "provenance": tile.provenance,
        });
        text(&value)
    }
}

/// The region as the map is drawn, if it can be.
fn view_of(r: &hl_region) -> Result<View> {
    let bad = |why: String| Err(Failure::argument("region", &why));
    if !(r.downsample.is_finite() && r.downsample > 0.0) {
        return bad(format!("has a downsample of {}; give level-0 pixels per pixel, above 0", r.downsample));
    }
    if (r.z, r.t, r.reserved) != (0, 0, 0) {
        return Err(Failure::new(HL_E_UNSUPPORTED, "hl_region.z, t and reserved must be 0 in this version".to_owned()));
    }
    let pixels = u64::from(r.width_px) * u64::from(r.height_px);
    if pixels == 0 {
        return bad(format!("is empty: {} x {} pixels", r.width_px, r.height_px));
    }
    let limit = |why: String| Err(Failure::new(HL_E_LIMIT, format!("hl_region {why}; draw in tiles")));
    if r.width_px.max(r.height_px) > VIEW_SIDE_PX || pixels > VIEW_PIXELS {
        return limit(format!("asks for {} x {} pixels, the limit is {VIEW_SIDE_PX} a side and {VIEW_PIXELS}", r.width_px, r.height_px));
    }
    if u64::from(r.stride_bytes) * u64::from(r.height_px) > 16 * VIEW_PIXELS {
        return limit(format!("has a stride of {} bytes; {} bytes are the limit of a picture", r.stride_bytes, 16 * VIEW_PIXELS));
    }
    Ok(View { x_px: r.x_px, y_px: r.y_px, downsample: r.downsample, width_px: r.width_px, height_px: r.height_px })
}

/// Bytes from one row to the next; 0 means without gaps.
fn stride_of(r: &hl_region, pixel: usize) -> Result<usize> {
    let row = pixel * r.width_px as usize;
    match r.stride_bytes as usize {
        0 => Ok(row),
        stride if stride >= row => Ok(stride),
        stride => Err(Failure::argument("region", &format!("has a stride of {stride} bytes, a row has {row}; 0 means no gap"))),
    }
}

/// A value as text.
pub fn text(value: &Value) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Failure::new(HL_E_INTERNAL, format!("cannot write JSON: {e}")))
}

/// The map's part of a summary.
pub fn map_summary(map: &SemanticMap) -> Value {
    json!({
        "rows": map.rows,
        "columns": map.columns,
        "cell_px": map.cell_px,
        "mpp": map.mpp,
        "work_mpp": map.work_mpp,
        "classes": map.classes,
        "annotated": map.is_annotated(),
        "crops": map.crops.len(),
        "unknown_share": map.atlas.as_ref().map(histoloom_core::atlas::Assigned::unknown_share),
        "left_out": map.left_out(),
        "without_cells": map.without_cells(),
        "background_cells": map.labels.iter().filter(|l| **l == 0).count(),
    })
}

/// Which number of classes a map was cut into, and why.
pub fn k_summary(map: &SemanticMap, asked: usize) -> Value {
    let k = map.provenance["k"].as_u64().map_or(map.classes.len(), |k| k as usize);
    let readings = map.tree.as_ref().map_or(&[][..], |t| &t.readings);
    let of = readings.iter().find(|r| r.k == k);
    let read = of.map_or_else(String::new, |r| format!("; silhouette {:.3}, stability {:.3}", r.silhouette, r.stability));
    let (least, most) = (choice::AUTO.start(), choice::AUTO.end());
    let best = choice::best(readings);
    let (by, why) = match (map.atlas.is_some(), asked == params::AUTO) {
        _ if map.is_annotated() => ("annotations", "the classes that were annotated, and other tissue".to_owned()),
        (true, true) => ("atlas", "that of the atlas".to_owned()),
        (true, false) => ("parameter", "as asked, a cut of the atlas".to_owned()),
        (false, true) => {
            ("readings", format!("chosen from {least} to {most}: the largest (silhouette + 1) x stability{read} (k_choice.png)"))
        }
        (false, false) => (
            "parameter",
            format!("as asked{read}{}", best.filter(|b| *b != k).map_or_else(String::new, |b| format!("; auto would take {b}"))),
        ),
    };
    json!({"value": k, "chosen_by": by, "best": best, "reading": of, "why": why})
}

/// The line of a summary that a tile gets.
pub fn tile_summary(tile: &SyntheticTile, kept: bool) -> Value {
    let reasons = tile.flags.reasons();
    json!({
        "index": tile.index,
        "width_px": tile.rgb.width(),
        "height_px": tile.rgb.height(),
        "flags": tile.flags.flags.len(),
        "flag_codes": reasons.keys().collect::<Vec<_>>(),
        "flag_reasons": reasons,
        "calibrated": tile.flags.calibrated(),
        "kept": kept,
    })
}
