//! The label pyramid for ASAP and OpenSlide, read by the OpenSlide that the command links.
#![allow(clippy::expect_used, reason = "a test says what it expected")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use histoloom_core::export::write_map;
use histoloom_core::semantic_map::{Bank, Class, SemanticMap};
use libloading::{Library, Symbol};

/// OpenSlide, loaded as a viewer loads it: this crate links none.
struct OpenSlide(Library);

/// An open picture.
struct Picture<'a> {
    library: &'a OpenSlide,
    handle: *mut c_void,
}

impl OpenSlide {
    fn load() -> Self {
        // SAFETY: OpenSlide's initialisers have no preconditions
        let found = ["libopenslide.so", "libopenslide.so.1", "libopenslide.so.0"].into_iter().find_map(|n| unsafe { Library::new(n) }.ok());
        Self(found.expect("OpenSlide: install libopenslide-dev"))
    }

    fn open(&self, path: &Path) -> Picture<'_> {
        let path = CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        // SAFETY: the signature is that of openslide.h, the path outlives the call
        let handle = unsafe { self.function::<unsafe extern "C" fn(*const c_char) -> *mut c_void>(b"openslide_open")(path.as_ptr()) };
        assert!(!handle.is_null(), "OpenSlide does not know the file");
        let picture = Picture { library: self, handle };
        assert_eq!(picture.error(), None);
        picture
    }

    /// A function of OpenSlide.
    fn function<T>(&self, name: &[u8]) -> Symbol<'_, T> {
        // SAFETY: each caller gives the signature of openslide.h
        unsafe { self.0.get(name) }.expect("a function of OpenSlide")
    }
}

impl Picture<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: the handle is open; the text belongs to it and is copied at once
        unsafe { text(self.library.function::<unsafe extern "C" fn(*mut c_void) -> *const c_char>(b"openslide_get_error")(self.handle)) }
    }

    fn property(&self, name: &str) -> Option<String> {
        type Get = unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_char;
        let name = CString::new(name).expect("no NUL");
        // SAFETY: as above
        unsafe { text(self.library.function::<Get>(b"openslide_get_property_value")(self.handle, name.as_ptr())) }
    }

    fn levels(&self) -> i32 {
        // SAFETY: the handle is open
        unsafe { self.library.function::<unsafe extern "C" fn(*mut c_void) -> i32>(b"openslide_get_level_count")(self.handle) }
    }

    fn size(&self, level: i32) -> (i64, i64) {
        type Size = unsafe extern "C" fn(*mut c_void, i32, *mut i64, *mut i64);
        let (mut width, mut height) = (0, 0);
        // SAFETY: the handle is open, both places can be written
        unsafe { self.library.function::<Size>(b"openslide_get_level_dimensions")(self.handle, level, &raw mut width, &raw mut height) };
        (width, height)
    }

    /// The grey values of a whole level.
    fn grey(&self, level: i32) -> Vec<u8> {
        type Read = unsafe extern "C" fn(*mut c_void, *mut u32, i64, i64, i32, i64, i64);
        let (width, height) = self.size(level);
        let mut argb = vec![0u32; (width * height) as usize];
        // SAFETY: the handle is open, there is room for every pixel asked for
        unsafe { self.library.function::<Read>(b"openslide_read_region")(self.handle, argb.as_mut_ptr(), 0, 0, level, width, height) };
        assert_eq!(self.error(), None);
        for pixel in &argb {
            let [b, g, r, a] = pixel.to_le_bytes();
            assert!(a == 255 && r == g && g == b, "{pixel:08x} is not grey");
        }
        argb.into_iter().map(|pixel| pixel as u8).collect()
    }
}

impl Drop for Picture<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used again
        unsafe { self.library.function::<unsafe extern "C" fn(*mut c_void)>(b"openslide_close")(self.handle) };
    }
}

/// A copy of a C string that may be missing.
///
/// # Safety
/// The pointer is NULL or a C string.
unsafe fn text(from: *const c_char) -> Option<String> {
    // SAFETY: promised by the caller
    (!from.is_null()).then(|| unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned())
}

fn map() -> SemanticMap {
    let (rows, columns, cell_px) = (700, 1500, 32.0);
    let labels: Vec<u8> = (0..rows * columns).map(|i| ((i % columns / 130 + i / columns / 90) % 5) as u8).collect();
    let class = |id: u8| Class { id, name: format!("class {id}"), color: [id * 40, 90, 200], cells: 1, area_um2: 1.0, share: 0.25 };
    SemanticMap {
        rows,
        columns,
        labels,
        cell_px,
        mpp: 0.25,
        work_mpp: 0.5,
        classes: (1..=4).map(class).collect(),
        crops: Vec::new(),
        bank: Bank::default(),
        tree: None,
        history: None,
        atlas: None,
        artefacts: None,
        tissue: Vec::new(),
        thumbnail: image::RgbImage::new(150, 70),
        provenance: serde_json::json!({"slide": {"width_px": 48_009, "height_px": 22_391}}),
    }
}

#[test]
fn openslide_reads_every_level_of_the_label_pyramid_label_by_label() {
    let dir = tempfile::tempdir().expect("a folder");
    let map = map();
    write_map(dir.path(), &map).expect("written");
    let library = OpenSlide::load();
    let picture = library.open(&dir.path().join("labels_likelihood_map.tif"));
    assert_eq!(picture.property("openslide.vendor").as_deref(), Some("generic-tiff"));
    assert_eq!(picture.property("tiff.ResolutionUnit").as_deref(), Some("centimeter"));
    let resolution: f64 = picture.property("tiff.XResolution").expect("a resolution").parse().expect("a number");
    assert!((resolution - 10_000.0 / (map.cell_px * map.mpp)).abs() < 1e-3, "{resolution} pixels per centimetre");
    let about = picture.property("tiff.ImageDescription").expect("a description");
    assert!(about.contains("pseudo-semantic class") && about.contains("32 level-0 pixels"), "{about}");
    // the last row of cells is not whole on the slide: 22391 px hold 699 pixels of 32
    let (width, height) = (1500, 699);
    assert_eq!((picture.levels(), picture.size(0)), (3, (width, height)));
    for level in 0..3 {
        let (w, h) = picture.size(level);
        assert_eq!((w, h), ((width + (1 << level) - 1) >> level, (height + (1 << level) - 1) >> level));
        for (i, grey) in picture.grey(level).into_iter().enumerate() {
            let at = |v: i64, most: i64| ((v << level) + (1 << level) / 2).min(most - 1) as usize;
            let (x, y) = (at(i as i64 % w, width), at(i as i64 / w, height));
            assert_eq!(grey, map.labels[y * map.columns + x], "level {level}, pixel {i}");
        }
    }
}
