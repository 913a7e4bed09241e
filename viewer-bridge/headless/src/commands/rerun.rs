//! `histoloom rerun`: a tile made again from the parameters in its PNG, and compared. Pixels and labels must be equal; the file is
//! equal too unless another device was asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::synth::calibration;
use super::{Given, make_out, opened};
use crate::callbacks::Viewer;
use crate::cli::{Common, Rerun};
use crate::error::{Failure, Kind, Result};
use crate::report::Report;
use crate::{pixels, run};

/// Runs it; ends with 1 where the tile is not the same.
pub fn run(common: &Common, options: &Rerun, report: &Arc<Report>) -> Result<u8> {
    let shown = options.file.display();
    if !options.file.is_file() {
        return Err(Failure::input(format!("`{shown}` is not a file; give a tile's PNG")));
    }
    // where it really is, and what it holds, before anything is written
    let file = options.file.canonicalize().map_err(|e| Failure::input(format!("cannot read `{shown}`: {e}; check the path")))?;
    let old = Old::read(&file)?;
    let (library, models) = opened(common)?;
    let said = library.inspect(&file)?;
    let provenance = &said["histoloom"];
    let Value::Object(parameters) = &provenance["parameters"] else {
        return Err(Failure::input(format!(
            "`{shown}` does not carry a tile's parameters; give the tile itself, not its labels or a sheet"
        )));
    };
    let map = find_map(&file, options.from.as_deref())?;
    let scratch = tempfile::tempdir().map_err(|e| Failure::other(format!("cannot make a temporary folder: {e}; set TMPDIR")))?;
    let out = options.out.as_deref().unwrap_or(scratch.path());
    make_out(out)?;
    refuse_own_folder(&file, out)?;
    let mut given = Given(parameters.clone().into_iter().filter(|(_, v)| !v.is_null()).collect());
    // tiles made before there was a refiner do not tell of one
    given.0.entry("refine").or_insert(false.into());
    // its values are told one by one; a file named here would be somebody else's
    if given.0.get("preset").and_then(Value::as_str).is_some_and(|p| !["default", "fast", "paper"].contains(&p)) {
        given.0.remove("preset");
    }
    match (given.0.get("model").and_then(Value::as_str), &options.model) {
        (None, _) => {}
        (Some(_), Some(dir)) => given.put_dir("model", dir)?,
        (Some(_), None) => return Err(Failure::input(format!("`{shown}` was made by an imported model; give its folder with --model"))),
    }
    inputs(&mut given.0, file.parent().unwrap_or(Path::new(".")))?;
    given.put("n", Some(1));
    given.put("first", provenance["index"].as_u64());
    given.put("keep_flagged", Some(true));
    options.calibration.as_deref().map_or(Ok(()), |path| given.put_dir("calibration", &calibration(path)))?;
    given.put_dir("from", &map)?;
    given.put_dir("out_dir", out)?;
    options.ops_dir.as_ref().map_or(Ok(()), |dir| given.put_dir("ops_dir", dir))?;
    given.put_place(&options.place);
    let context = library.context(&models, None, 0, Viewer::new(None, report.clone()))?;
    let summary = run::job(&context, "synth", 0, &given.value(), report)?;
    let name = made(&summary).ok_or_else(|| Failure::other("the library made no tile; please report it with the tile"))?;
    let found = Found::compare(&old, &name)?;
    let same = found.pixels && found.labels != Some(false);
    let mut lines = vec![found.told().to_owned()];
    if !same {
        lines.extend(reasons(provenance, &library.inspect(&name)?["histoloom"]));
    }
    if options.out.is_some() {
        lines.push(format!("the new tile is {}", name.display()));
    }
    let made = options.out.as_ref().map(|_| name.display().to_string());
    let value = json!({
        "command": "rerun",
        "ok": same,
        "same_file": found.file,
        "same_pixels": found.pixels,
        "same_labels": found.labels,
        "made": made,
        "seed": parameters.get("seed"),
        "device": summary["device"],
        "told": lines,
    });
    report.outcome(&lines, &value);
    Ok(if same { 0 } else { Kind::Other.code() })
}

/// Files of the run are named relative to the tile's folder, where the data set keeps them: points the parameters there.
fn inputs(given: &mut serde_json::Map<String, Value>, beside: &Path) -> Result<()> {
    let mut point = |value: &mut Value| match value.as_str() {
        Some(name) if !kept(name) => {
            let why = format!("the tile names `{name}`, which no data set of ours holds; its text was edited");
            Err(Failure::input(why))
        }
        Some(name) => {
            // a flagged tile lies one folder deeper than the files of its data set
            let path = [beside.join(name), beside.join("..").join(name)].into_iter().find(|p| p.is_file()).unwrap_or(beside.join(name));
            if !path.is_file() {
                let why = format!("`{}` is missing: the tile was made with it; put it back from the data set", path.display());
                return Err(Failure::input(why));
            }
            *value = path.display().to_string().into();
            Ok(())
        }
        None => Ok(()),
    };
    for key in ["labels", "regions", "init", "mask"] {
        given.get_mut(key).map_or(Ok(()), &mut point)?;
    }
    let crops = given.get_mut("crops").and_then(Value::as_object_mut);
    crops.into_iter().flat_map(|c| c.values_mut()).filter_map(Value::as_array_mut).flatten().try_for_each(point)
}

/// Whether a name is one that a data set gives to the files it keeps: nothing outside the tile's folder is ever read.
fn kept(name: &str) -> bool {
    let Some((stem, ending)) = name.strip_prefix("inputs/").map(|n| n.split_once('.').unwrap_or((n, ""))) else { return false };
    stem.len() == 16 && stem.bytes().all(|b| b.is_ascii_hexdigit()) && ending.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The new tile has the old one's name: it must not be written over it.
fn refuse_own_folder(file: &Path, out: &Path) -> Result<()> {
    let own = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (own.canonicalize(), out.canonicalize()) {
        (Ok(own), Ok(out)) if own == out => {
            let why = format!("--out `{}` holds the tile itself, which would be overwritten; choose another folder", out.display());
            Err(Failure::new(Kind::Usage, why))
        }
        _ => Ok(()),
    }
}

/// The map's folder: as given, or where `./x demo` and most people put it.
fn find_map(file: &Path, given: Option<&Path>) -> Result<PathBuf> {
    let beside = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let places = given
        .map_or_else(|| ["../map", "map", "..", ".", "../../map", "../.."].map(|p| beside.join(p)).to_vec(), |dir| vec![dir.to_path_buf()]);
    places.into_iter().find(|p| p.join("map.json").is_file()).ok_or_else(|| {
        let shown = given.map_or_else(|| format!("beside `{}`", file.display()), |dir| format!("in `{}`", dir.display()));
        Failure::input(format!("there is no map {shown} (no map.json); give the folder the tile was made from with --from"))
    })
}

/// The tile's file among those that were written.
fn made(summary: &Value) -> Option<PathBuf> {
    let files = summary["files"].as_array()?.iter().filter_map(|f| f.as_str()).map(PathBuf::from);
    let tile = |p: &PathBuf| {
        let stem = p.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        stem.strip_prefix("tile_").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit())) && p.extension().is_some_and(|e| e == "png")
    };
    files.into_iter().find(tile)
}

/// The tile as it was.
struct Old {
    bytes: Vec<u8>,
    pixels: (u32, u32, Vec<u8>),
    labels: Option<(u32, u32, Vec<u8>)>,
}

impl Old {
    fn read(file: &Path) -> Result<Self> {
        let labels = labels_of(file);
        let labels = if labels.is_file() { Some(pixels::decode(&labels)?) } else { None };
        Ok(Self { bytes: pixels::file(file)?, pixels: pixels::decode(file)?, labels })
    }
}

/// What the comparison found.
struct Found {
    file: bool,
    pixels: bool,
    /// None where the old tile's labels are not there any more.
    labels: Option<bool>,
}

impl Found {
    fn compare(old: &Old, new: &Path) -> Result<Self> {
        let labels = old.labels.as_ref().map(|l| Ok(*l == pixels::decode(&labels_of(new))?)).transpose()?;
        Ok(Self { file: old.bytes == pixels::file(new)?, pixels: old.pixels == pixels::decode(new)?, labels })
    }

    fn told(&self) -> &'static str {
        match (self.file, self.pixels, self.labels) {
            (_, false, _) => "NOT the same: pixels differ",
            (_, true, Some(false)) => "NOT the same: the pixels are equal, the labels differ",
            (true, true, Some(true)) => "the same, byte for byte",
            (true, true, None) => "the same, byte for byte (its labels were not there to compare)",
            (false, true, _) => "the same pixels; the texts in the file differ (another device or version)",
        }
    }
}

fn labels_of(tile: &Path) -> PathBuf {
    let stem = tile.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    tile.with_file_name(format!("{stem}_labels.png"))
}

/// What differs between the two provenances and can explain it.
fn reasons(old: &Value, new: &Value) -> Vec<String> {
    let places = [
        "/map/sha256",
        "/models/codec/sha256",
        "/models/denoiser/sha256",
        "/models/refiner/sha256",
        "/models/encoder/sha256",
        "/software/version",
        "/device",
        "/ops",
        "/calibration_sha256",
    ];
    let differs = |at: &&str| old.pointer(at) != new.pointer(at);
    let told = |at: &str| format!("  {} was {}, is {}", &at[1..], text(old.pointer(at)), text(new.pointer(at)));
    places.iter().filter(|at| differs(at)).map(|at| told(at)).collect()
}

fn text(value: Option<&Value>) -> String {
    value.map_or("not told".into(), |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tile_is_found_among_its_files() {
        let summary = json!({"files": ["o/tile_0003_labels.png", "o/tile_0003_flags.json", "o/tile_0003.png", "o/contact_sheet.png"]});
        assert_eq!(made(&summary), Some(PathBuf::from("o/tile_0003.png")));
        assert_eq!(labels_of(Path::new("o/tile_0003.png")), Path::new("o/tile_0003_labels.png"));
    }

    #[test]
    fn reasons_name_what_changed() {
        let (old, new) = (json!({"device": "cpu", "map": {"sha256": "a"}}), json!({"device": "gpu", "map": {"sha256": "a"}}));
        assert_eq!(reasons(&old, &new), ["  device was cpu, is gpu"]);
    }
}
