//! Files. In: finished [`SemanticMap`](crate::semantic_map::SemanticMap)s and
//! [`SyntheticTile`](crate::synth::SyntheticTile)s. Out: pictures, GeoJSON, sidecars, and the same map read back bit for bit.
//!
//! | writes | files |
//! |---|---|
//! | [`write_map`] | `overlay.png labels.png leaves.png thumbnail.png legend.png classes.csv k_choice.png k_choice.csv crops/class_03_1.png bank.f32 tissue.f32 map.json` |
//! | | to look at: `report.html report.png` |
//! | | `artefacts.png` where something was left unlabelled |
//! | | for QuPath `map.geojson labels.ome.tif`, for ASAP `map.asap.xml labels_likelihood_map.tif` |
//! | | where an atlas labelled it `unknown.png distance.png` |
//! | [`write_atlas`], [`write_sample`] | one file each |
//! | [`write_tile`] | `tile_0001.png tile_0001_labels.png tile_0001_flags.png tile_0001_flags.json` |
//! | [`DataSet`] | the tiles, `inputs/`, `contact_sheet.png`, `report.html`, `manifest.json` |
//! | [`write_report`] | `eval.json eval.png` |
//!
//! Every file is written beside its place and renamed, so that a reader sees the old file or the whole new one. `map.json` comes
//! last and holds the SHA-256 of what belongs to it: a folder caught half-way is told from a whole one. A map that is written over
//! another is made beside it first, so that one of the two is whole at every moment; one run at a time writes a map's folder ([`Held`]),
//! in which the empty `.histoloom-lock` stays, and a folder with files of the user's under a map's names is refused ([`check_map`]). No
//! path and no text of the slide is written ([`scrubbed`]). Everything synthetic says so in a text chunk that programs can read.
//!
//! Units: geometry in level-0 pixels, areas in square micrometres. Fails with [`Error::File`](crate::Error::File), naming the
//! file and what to try, or [`Error::Limit`](crate::Error::Limit) before anything large is allocated.

mod asap;
mod atlas_files;
mod calibration_files;
mod calibration_sheet;
mod chart;
mod classes_csv;
mod contours;
mod cut_open;
mod dataset;
mod files;
mod geojson;
mod held;
mod index_file;
mod label_tiff;
mod map_files;
mod map_names;
mod map_page;
mod op_files;
mod page;
mod picture;
mod png_text;
mod privacy;
mod report;
mod sample_file;
mod sheet;
mod sidecar;
mod staged;
#[cfg(test)]
mod tests;
mod text;
mod tiff_pyramid;
mod tile_files;
mod tiles_page;
mod tissue_file;
mod tree_files;
mod unknown;
mod view;
#[cfg(test)]
mod viewer_tests;
mod xml;

pub use atlas_files::{atlas_summary, read_atlas, write_atlas};
pub use calibration_files::{PlantedDir, read_calibration, read_table, write_calibration};
pub use calibration_sheet::{Shown, calibration_sheet};
pub use chart::{readings_chart, readings_csv};
pub use classes_csv::classes_csv;
pub use contours::{Polygon, contours};
pub use dataset::DataSet;
pub use files::{check_folder, read as read_file, read_text, sha256};
pub use geojson::geojson;
pub use held::Held;
pub use index_file::{read_index, write_index};
pub use map_files::{has_views, read_map, write_map};
pub use map_names::check_map;
pub use op_files::write_processed;
pub use picture::{legend, overlay};
pub use privacy::scrubbed;
pub use report::{check_report, write_report};
pub use sample_file::{read_sample, sample_files, write_sample};
pub use sheet::{columns, contact_sheet};
pub use tile_files::{inspect, tile_name, write_tile};
pub use unknown::unknown;
pub use view::View;
