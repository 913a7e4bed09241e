//! Where the library itself lies, and the weights that came with it. Out: the folder of weights for hosts that name none. Fails where
//! there is none, telling where it looked.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::types::HL_E_WEIGHTS;

/// From the library's folder to the weights: an installation, a folder with both, a build in the source tree.
const PLACES: [&str; 5] =
    ["../share/histoloom/models", "models", "../../models/weights", "../../../models/weights", "../../../../models/weights"];

/// The folder of weights that came with this library.
pub fn models() -> Result<PathBuf> {
    let library = own_file().and_then(|f| f.canonicalize().ok());
    let folder = library.as_deref().and_then(Path::parent);
    let places: Vec<PathBuf> = folder.into_iter().flat_map(|f| PLACES.map(|p| f.join(p))).collect();
    let found = places.iter().find(|p| p.join("manifest.json").is_file());
    found.cloned().ok_or_else(|| {
        let looked = match places.as_slice() {
            [] => "it cannot tell where it lies".to_owned(),
            _ => format!("looked in {}", places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")),
        };
        let why = format!("hl_config.models_dir is NULL and no weights came with the library ({looked}); name their folder");
        Failure::new(HL_E_WEIGHTS, why)
    })
}

/// The file that holds this code: the shared library, or the program it is linked into. Linux tells its whole path, whatever path it was
/// loaded by and wherever the process has gone since.
pub fn own_file() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let here = models as *const () as usize;
    let holds = |line: &&str| {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).unwrap_or_default();
        let number = |text| usize::from_str_radix(text, 16).unwrap_or_default();
        (number(start)..number(end)).contains(&here)
    };
    let path = maps.lines().find(holds).and_then(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    path.filter(|p| p.is_file()).or_else(told)
}

/// What the loader calls it, which may be relative.
#[cfg(unix)]
fn told() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is one of this code, and `info` is ours and large enough.
    let found = unsafe { libc::dladdr(models as *const () as *const libc::c_void, info.as_mut_ptr()) } != 0;
    // SAFETY: zero bytes are a value of it, and so is what dladdr wrote.
    let name = unsafe { info.assume_init() }.dli_fname;
    if !found || name.is_null() {
        return None;
    }
    // SAFETY: not NULL; the loader's text ends with NUL and stays while the library is mapped.
    let name = unsafe { std::ffi::CStr::from_ptr(name) };
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())))
}

/// Not known on this system: hosts name the folder.
#[cfg(not(unix))]
fn told() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_weights_of_the_source_tree_are_found_from_a_build_in_it() {
        let found = super::models().expect("weights");
        assert!(found.join("manifest.json").is_file() && found.canonicalize().is_ok_and(|p| p.ends_with("models/weights")), "{found:?}");
    }
}
