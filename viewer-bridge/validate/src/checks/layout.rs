//! What a binding checks first: functions, version, sizes, names of codes, schemas.

use std::ffi::CStr;

use libloading::Library;
use serde_json::Value;

use crate::bench::Bench;
use crate::ffi::{ABI, Api, CODES, SIZES, text_of};
use crate::session::Session;

/// Tells the version as a note.
pub fn about(s: &Session) {
    if let Some(b) = Bench::new(s) {
        s.note(b.info()["version"].as_str().unwrap_or_default());
    }
}

/// Everything that needs no context.
pub fn symbols(s: &Session) {
    s.at("loading the library");
    // SAFETY: the file the user wants validated, in a child process.
    match unsafe { Library::new(s.cli.subject()) } {
        Err(e) => return s.broken(&format!("the library cannot be loaded: {e}")),
        Ok(library) => {
            // SAFETY: the address is not used.
            let is_there = |name: &&&str| unsafe { library.get::<*const ()>(**name) }.is_ok();
            let missing: Vec<&str> = Api::NAMES.iter().filter(|name| !is_there(name)).copied().collect();
            if !missing.is_empty() {
                return s.broken(&format!("functions are not exported: {}", missing.join(", ")));
            }
        }
    }
    let Some(b) = Bench::new(s) else { return };
    s.at("versions and sizes");
    let abi = (b.api.hl_abi_version)();
    let fits = abi >> 16 == ABI >> 16 && abi >= ABI;
    s.promise(fits, || format!("hl_abi_version is {}.{}, this validator knows {}.{}", abi >> 16, abi & 0xFFFF, ABI >> 16, ABI & 0xFFFF));
    for (id, own, name) in SIZES {
        let size = (b.api.hl_sizeof)(id) as usize;
        let right = if abi == ABI { size == own } else { size >= own };
        s.promise(right, || format!("hl_sizeof({id}) of {name} is {size}, the header says {own}"));
    }
    let unknown = s.dice(0).any() as u32 | 1 << 16;
    for id in [0, u32::MAX, unknown] {
        s.promise((b.api.hl_sizeof)(id) == 0, || format!("hl_sizeof({id:#x}) of no struct is not 0"));
    }
    names(&b);
    documents(&b, abi);
}

fn names(b: &Bench) {
    let name_of = |code: i32| {
        let name = (b.api.hl_error_name)(code);
        // SAFETY: not NULL; the header promises a static text that ends with NUL.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    };
    for (i, want) in CODES.iter().enumerate() {
        let got = name_of(-(i as i32));
        b.promise(got.as_deref() == Some(want), || format!("hl_error_name(-{i}) is {got:?}, not {want}"));
    }
    for code in [1, i32::MAX, i32::MIN, -9999] {
        b.promise(name_of(code).is_some(), || format!("hl_error_name({code}) is NULL"));
    }
}

fn documents(b: &Bench, abi: u32) {
    b.at("hl_build_info_json and the schemas");
    let info = b.info();
    let named = info["abi"] == format!("{}.{}", abi >> 16, abi & 0xFFFF) && info["version"].is_string();
    b.promise(named, || format!("hl_build_info_json does not tell version and abi: {info}"));
    for kind in ["cluster", "edit", "synth"] {
        b.promise(kinds(&info).iter().any(|k| k == kind), || format!("hl_build_info_json lists no job kind {kind}"));
    }
    for kind in kinds(&info) {
        let schema = schema(b, &kind);
        b.promise(schema["properties"].is_object(), || format!("hl_params_schema_json of {kind} has no properties"));
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let told = field["description"].as_str().is_some_and(|d| !d.is_empty()) && !field["type"].is_null();
            b.promise(told, || format!("the schema of {kind} says no type or no sentence for `{name}`"));
            b.promise(allows(field, &field["default"]), || format!("the default of `{name}` of {kind} is not what its schema allows"));
        }
    }
}

/// The job kinds the library lists.
pub fn kinds(info: &Value) -> Vec<String> {
    info["kinds"].as_array().into_iter().flatten().filter_map(|k| k.as_str().map(str::to_owned)).collect()
}

/// A kind's schema.
pub fn schema(b: &Bench, kind: &str) -> Value {
    let kind = std::ffi::CString::new(kind).unwrap_or_default();
    let text = text_of(|d, c, n| (b.api.hl_params_schema_json)(kind.as_ptr(), d, c, n)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The JSON types a field may have.
pub fn types(field: &Value) -> Vec<&str> {
    match &field["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// Whether a field's schema allows a value.
pub fn allows(field: &Value, value: &Value) -> bool {
    let typed = types(field).into_iter().any(|t| match t {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => value.is_null(),
    });
    let least = field["minimum"].as_f64().zip(value.as_f64()).is_none_or(|(least, v)| v >= least);
    let most = field["maximum"].as_f64().zip(value.as_f64()).is_none_or(|(most, v)| v <= most);
    let listed = field["enum"].as_array().is_none_or(|all| all.contains(value) || value.is_null());
    typed && least && most && listed
}
