//! A made-up map with every part that a map can have, for readers that need one.

use histoloom_core::atlas::Assigned;
use histoloom_core::cluster::choice::Reading;
use histoloom_core::cluster::{Centroids, Hierarchy};
use histoloom_core::semantic_map::edit::{Edit, History};
use histoloom_core::semantic_map::{Bank, Class, Crop, SemanticMap, Tree};
use image::{Rgb, RgbImage};
use serde_json::json;

/// Cells a side.
const SIDE: usize = 32;

fn class(id: u8, name: &str, color: [u8; 3]) -> Class {
    Class { id, name: name.into(), color, cells: 480, area_um2: 30_720.0, share: 0.5 }
}

/// Two classes side by side below a row of background.
pub fn map() -> SemanticMap {
    let labels: Vec<u8> = (0..SIDE * SIDE).map(|i| if i < 2 * SIDE { 0 } else { 1 + u8::from(i % SIDE >= SIDE / 2) }).collect();
    let leaves = Centroids { channels: 2, data: vec![0.0, 0.0, 1.0, 0.0, 4.0, 1.0] };
    let crop = |class: u8| Crop { class, x: 16, y: 16, rgb: RgbImage::from_pixel(96, 96, Rgb([200, 100 + class, 180])) };
    let classes = vec![class(1, "stroma", [0, 114, 178]), class(2, "tumour", [230, 159, 0])];
    SemanticMap {
        rows: SIDE,
        columns: SIDE,
        cell_px: 16.0,
        mpp: 0.5,
        work_mpp: 0.5,
        crops: vec![crop(1), crop(2)],
        bank: Bank { channels: 2, classes: vec![1, 1, 2], rows: vec![0.0, 0.1, 0.9, 0.0, 4.0, 1.0] },
        tree: Some(Tree {
            hierarchy: Hierarchy::of_leaves(leaves, vec![3, 2, 1], 9.0),
            leaves: labels.iter().map(|l| if *l == 0 { 0 } else { 2 * l - 1 }).collect(),
            readings: vec![Reading { k: 2, inertia: 0.5, silhouette: 0.5, stability: 0.5 }],
        }),
        history: Some(History {
            edits: vec![Edit::Rename { label: 1, name: "stroma".into() }],
            labels: labels.clone(),
            classes: classes.clone(),
            crops: vec![1, 2],
            bank: vec![1, 1, 2],
        }),
        atlas: Some(Assigned { id_sha256: "0a".repeat(32), distance: labels.iter().map(|l| 90 * l).collect() }),
        artefacts: Some(labels.iter().map(|l| u8::from(*l == 0)).collect()),
        tissue: Vec::new(),
        thumbnail: RgbImage::from_pixel(SIDE as u32, SIDE as u32, Rgb([240, 230, 240])),
        provenance: json!({"parameters": {"k": 2, "seed": 1}}),
        classes,
        labels,
    }
}

/// Whether every label is background or a class of the map.
pub fn has(map: &SemanticMap, labels: &[u8]) -> bool {
    labels.iter().all(|l| *l == 0 || map.classes.iter().any(|c| c.id == *l))
}
