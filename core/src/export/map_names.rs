//! The names that files of a map's folder have, and whether a folder may become one. In: a folder, a name. Out: yes or no, and an error
//! that names the files of the user's that a map would be written over.

use std::fs;
use std::path::Path;

use super::staged::found;
use super::tissue_file::TISSUE;
use super::{files, sidecar};
use crate::{Error, Result};

/// The sidecar, which vouches for the others and is moved last.
pub(super) const SIDECAR: &str = "map.json";
/// Largest sidecar read, in bytes.
pub(super) const SIDECAR_BYTES: usize = 64 << 20;
/// Held locked by the run that writes. It stays, empty, and tells that the folder is a map's.
pub(super) const LOCK: &str = ".histoloom-lock";
/// The folder of crops inside a map's folder.
pub(super) const CROPS: &str = "crops";
/// The file with one leaf a cell, counted from 1; 0 = background.
pub(super) const LEAVES: &str = "leaves.png";
/// The file with the labels before the first edit.
pub(super) const BEFORE: &str = "labels_before.png";
/// The file with distances to the atlas in hundredths of its bound, one grey value a cell, 0 = background.
pub(super) const DISTANCE: &str = "distance.png";
/// The picture of what the atlas does not know.
pub(super) const UNKNOWN: &str = "unknown.png";
/// Codes of the artefacts, a cell a pixel.
pub(super) const ARTEFACTS: &str = "artefacts.png";
/// All that people look at first, on one page and on one sheet.
pub(super) const REPORT: [&str; 2] = ["report.html", "report.png"];
/// What speaks for each number of classes.
pub(super) const CHOICE: [&str; 2] = ["k_choice.png", "k_choice.csv"];

/// All but the crops.
const NAMES: [&str; 21] = [
    "labels.png",
    "thumbnail.png",
    "overlay.png",
    "legend.png",
    "map.geojson",
    "map.asap.xml",
    "classes.csv",
    "labels_likelihood_map.tif",
    "labels.ome.tif",
    "bank.f32",
    TISSUE,
    CHOICE[0],
    CHOICE[1],
    REPORT[0],
    REPORT[1],
    LEAVES,
    BEFORE,
    UNKNOWN,
    DISTANCE,
    ARTEFACTS,
    SIDECAR,
];
/// Most names told in an error.
const TOLD: usize = 4;

/// `class_03_1.png`: the class, then a number within the class.
pub(super) fn crop_name(class: u8, number: u32) -> String {
    format!("class_{class:02}_{number}.png")
}

/// Whether a file below a map's folder, in `crops` or right inside, can be the map's.
pub(super) fn is_of_a_map(below: &str, name: &str) -> bool {
    match below {
        CROPS => is_crop(name),
        _ => NAMES.contains(&name),
    }
}

fn is_crop(name: &str) -> bool {
    let numbers = name.strip_prefix("class_").and_then(|n| n.strip_suffix(".png")).and_then(|n| n.split_once('_'));
    let parsed = numbers.and_then(|(class, number)| Some((class.parse().ok()?, number.parse().ok()?)));
    parsed.is_some_and(|(class, number)| crop_name(class, number) == name)
}

/// An error where a folder is no map's but holds files under the names of one: they would be written over.
pub fn check_map(dir: &Path) -> Result<()> {
    if fs::symlink_metadata(dir.join(LOCK)).is_ok() || holds_a_map(dir) {
        return Ok(());
    }
    let mut theirs: Vec<String> = names(dir, "").chain(names(dir, CROPS).map(|n| format!("{CROPS}/{n}"))).collect();
    if theirs.is_empty() {
        return Ok(());
    }
    theirs.sort();
    let others = theirs.len().saturating_sub(TOLD);
    theirs.truncate(TOLD);
    let more = if others > 0 { format!(" and {others} more") } else { String::new() };
    let why = format!("it is no map's folder, and a map would be written over {}{more} in it", theirs.join(", "));
    Err(Error::file("cannot write into", dir, why, "choose another folder, or move these files away"))
}

/// The files in a folder that have names of a map's.
fn names(dir: &Path, below: &'static str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(dir.join(below)).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).filter(move |name| is_of_a_map(below, name))
}

/// Whether there is a sidecar of ours, whole or not.
pub(super) fn holds_a_map(dir: &Path) -> bool {
    let format = sidecar::FORMAT.as_bytes();
    files::read(&found(dir, SIDECAR), SIDECAR_BYTES, "").is_ok_and(|text| text.windows(format.len()).any(|w| w == format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_map_are_told_from_others() {
        for (below, name) in [("", "labels.png"), ("", SIDECAR), (CROPS, "class_03_1.png"), (CROPS, "class_100_12.png")] {
            assert!(is_of_a_map(below, name), "{name}");
        }
        for (below, name) in
            [("", "class_03_1.png"), ("", "notes.txt"), (CROPS, SIDECAR), (CROPS, "class_3_1.png"), (CROPS, "class_03_1_old.png")]
        {
            assert!(!is_of_a_map(below, name), "{name}");
        }
    }

    #[test]
    fn a_folder_with_files_of_the_users_under_our_names_is_refused_naming_them() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put("notes.txt", "");
        fs::create_dir(dir.path().join(CROPS)).unwrap();
        put("crops/mine.png", "");
        assert!(check_map(dir.path()).is_ok() && check_map(&dir.path().join("none")).is_ok());
        ["labels.png", "overlay.png", SIDECAR, "unknown.png", "crops/class_01_1.png"].iter().for_each(|n| put(n, "mine"));
        let e = check_map(dir.path()).unwrap_err().to_string();
        assert!(e.contains("crops/class_01_1.png, labels.png, map.json, overlay.png and 1 more"), "{e}");
        put(SIDECAR, "{\"format\": \"histoloom-map\", half of it");
        assert!(check_map(dir.path()).is_ok(), "a map of ours may be made again");
        fs::remove_file(dir.path().join(SIDECAR)).unwrap();
        put(LOCK, "");
        assert!(check_map(dir.path()).is_ok(), "one without its sidecar too");
    }
}
