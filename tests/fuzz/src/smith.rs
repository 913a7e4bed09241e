//! Modules from the dice that pass the prescan: with the exports of an op that ships, its imports, and a manifest. The two functions
//! that come before the run are put in place of the random ones, which would end most runs before they begin.

use histoloom_core::rng::Stream;
use histoloom_wasm_ops::abi::VERSION;
use histoloom_wasm_ops::manifest::SECTION;
use histoloom_wasm_ops::registry::SHIPPED;
use libfuzzer_sys::arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use wasmparser::{Parser, Payload};

/// Bytes of the dice that a module is made of.
const DICE_BYTES: usize = 2048;
/// Where the tile lies in the op's memory.
const TILE_AT: u8 = 16;
const MANIFEST: &[u8] =
    br#"{"name": "smith", "version": 1, "params": [{"name": "p", "min": 0, "max": 9, "default": 3, "doc": "A number"}]}"#;

/// A module; the same for the same seed.
pub fn module(seed: u32) -> Option<Vec<u8>> {
    let mut stream = Stream::new(seed.into(), 0, 0);
    let dice: Vec<u8> = (0..DICE_BYTES).map(|_| stream.word() as u8).collect();
    let whole = Module::new(config(), &mut Unstructured::new(&dice)).ok()?.to_bytes();
    Some([with_bodies(&whole)?, custom_section()].concat())
}

/// A small op.
fn config() -> Config {
    let (_, shipped) = SHIPPED[0];
    Config {
        exports: Some(shipped.to_vec()),
        available_imports: Some(shipped.to_vec()),
        allow_start_export: false,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        multi_value_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        max_data_segments: 4,
        max_element_segments: 4,
        max_elements: 8,
        max_funcs: 8,
        max_globals: 8,
        max_instructions: 80,
        max_memory32_bytes: 4 << 20,
        max_table_elements: 100,
        max_types: 8,
        ..Config::default()
    }
}

/// The module with known bodies of the functions that tell the version and give room.
fn with_bodies(wasm: &[u8]) -> Option<Vec<u8>> {
    let (mut imported, mut fixed, mut code, mut bodies) = (0, Vec::new(), None, Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::ImportSection(reader) => imported = reader.into_imports().count() as u32,
            Payload::ExportSection(reader) => {
                for export in reader.into_iter().flatten() {
                    match export.name {
                        "hl_op_abi" => fixed.push((export.index, VERSION as u8)),
                        "hl_op_alloc" => fixed.push((export.index, TILE_AT)),
                        _ => {}
                    }
                }
            }
            Payload::CodeSectionStart { range, .. } => code = Some(range),
            Payload::CodeSectionEntry(body) => {
                let index = imported + bodies.len() as u32;
                let value = fixed.iter().find(|(of, _)| *of == index).map(|(_, value)| *value);
                bodies.push(value.map_or_else(|| wasm[body.range()].to_vec(), |value| vec![0, 0x41, value, 0x0b])); // i32.const, end
            }
            _ => {}
        }
    }
    let code = code?;
    let content = [leb(bodies.len()), bodies.into_iter().flat_map(|body| [leb(body.len()), body].concat()).collect()].concat();
    // the section's number and length stand before its content
    let start = code.start - leb(code.len()).len() - 1;
    Some([&wasm[..start], &[10], &leb(content.len()), &content, &wasm[code.end..]].concat())
}

fn custom_section() -> Vec<u8> {
    let content = [&leb(SECTION.len()), SECTION.as_bytes(), MANIFEST].concat();
    [vec![0], leb(content.len()), content].concat()
}

/// An unsigned number as WebAssembly writes it.
fn leb(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n > 127 {
        out.push(n as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
    out
}
