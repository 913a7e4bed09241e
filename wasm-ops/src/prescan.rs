//! Reads a module before anything is compiled. In: bytes nobody has vouched for. Out: [`Scanned`], the manifest inside. Fails: a
//! sentence that says what the module holds that an op may not. The bounds keep the compiler's time and memory small: it cannot be
//! interrupted.

use wasmparser::{
    CompositeInnerType, Encoding, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TypeRef, ValType, Validator,
    WasmFeatures,
};

use crate::sandbox::{MEMORY_BYTES, TABLE_ELEMENTS};
use crate::{abi, manifest};

/// Largest module.
pub const MODULE_BYTES: usize = 1 << 20;
/// Most functions.
pub const FUNCTIONS: u32 = 2_000;
/// Largest function body in bytes.
pub const BODY_BYTES: usize = 64 << 10;
/// Deepest nesting of blocks.
pub const NESTING: u32 = 200;
/// Most local variables of a function, parameters not counted.
pub const LOCALS: u32 = 2_000;
/// Most parameters of a function.
pub const PARAMETERS: usize = 64;
/// Most blocks, branches and branch targets of a function. They are what makes register allocation slow (measured: 3 500 `if` in
/// one body compile in 1 s), honest ops have some hundred.
pub const BRANCHES: usize = 4_000;
/// Most of them in a module.
pub const BRANCHES_IN_ALL: usize = 20_000;
const PAGE_BYTES: u64 = 65_536;

/// What the language of ops is: WebAssembly 1.0, bulk memory, 128-bit SIMD; nothing that depends on the machine, no threads.
pub const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::FLOATS);

/// A module that passed.
#[derive(Clone, Debug)]
pub struct Scanned {
    /// Text of the custom section [`manifest::SECTION`].
    pub manifest: String,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    types: Vec<FuncType>,
    functions: Vec<u32>,
    exports: Vec<(String, ExternalKind, u32)>,
    memory: bool,
    branches: usize,
    manifest: Option<String>,
}

/// Looks through a module; `Err` is a sentence for the user.
pub fn scan(wasm: &[u8]) -> Result<Scanned, String> {
    bound("the module's size in bytes", wasm.len(), MODULE_BYTES)?;
    if !wasm.starts_with(b"\0asm") {
        return Err("it is no WebAssembly module; give the binary .wasm file".into());
    }
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(wasm) {
        seen.payload(payload.map_err(|e| damaged(&e))?)?;
    }
    Validator::new_with_features(FEATURES)
        .validate_all(wasm)
        .map_err(|e| format!("it is not valid in the language of ops (see OPS.md): {}", e.message()))?;
    seen.check_exports()?;
    let section = manifest::SECTION;
    Ok(Scanned { manifest: seen.manifest.ok_or_else(|| format!("it has no custom section `{section}`; see OPS.md for what goes there"))? })
}

fn damaged(e: &wasmparser::BinaryReaderError) -> String {
    format!("the module is damaged at byte {}: {}", e.offset(), e.message())
}

fn bound(what: &str, value: usize, limit: usize) -> Result<(), String> {
    if value > limit { Err(format!("{what} is {value}, the limit is {limit}")) } else { Ok(()) }
}

impl Seen {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::Version { encoding: Encoding::Component, .. } => Err("it is a component; ops are core modules".into()),
            Payload::StartSection { .. } => Err("it has a start function; ops run only when called".into()),
            Payload::TypeSection(reader) => self.types(reader),
            Payload::ImportSection(reader) => self.imports(reader),
            Payload::FunctionSection(reader) => {
                bound("the number of functions", reader.count() as usize, FUNCTIONS as usize)?;
                for index in reader {
                    self.functions.push(index.map_err(|e| damaged(&e))?);
                }
                Ok(())
            }
            Payload::TableSection(reader) => {
                for table in reader {
                    let initial = table.map_err(|e| damaged(&e))?.ty.initial;
                    bound("the number of table elements", usize::try_from(initial).unwrap_or(usize::MAX), TABLE_ELEMENTS)?;
                }
                Ok(())
            }
            Payload::MemorySection(reader) => {
                for memory in reader {
                    let pages = memory.map_err(|e| damaged(&e))?.initial;
                    let bytes = usize::try_from(pages.saturating_mul(PAGE_BYTES)).unwrap_or(usize::MAX);
                    bound("its memory in bytes", bytes, MEMORY_BYTES)?;
                    self.memory = true;
                }
                Ok(())
            }
            Payload::GlobalSection(reader) => bound("the number of globals", reader.count() as usize, FUNCTIONS as usize),
            Payload::ElementSection(reader) => bound("the number of element segments", reader.count() as usize, FUNCTIONS as usize),
            Payload::DataSection(reader) => bound("the number of data segments", reader.count() as usize, FUNCTIONS as usize),
            Payload::ExportSection(reader) => self.exports(reader),
            Payload::CodeSectionStart { count, .. } => bound("the number of functions", count as usize, FUNCTIONS as usize),
            Payload::CodeSectionEntry(body) => {
                self.branches += check_body(&body)?;
                bound("the number of blocks and branches", self.branches, BRANCHES_IN_ALL)
            }
            Payload::CustomSection(c) if c.name() == manifest::SECTION => self.manifest(c.data()),
            _ => Ok(()),
        }
    }

    fn types(&mut self, reader: wasmparser::TypeSectionReader<'_>) -> Result<(), String> {
        bound("the number of function types", reader.count() as usize, FUNCTIONS as usize)?;
        for group in reader {
            for ty in group.map_err(|e| damaged(&e))?.into_types() {
                let CompositeInnerType::Func(f) = ty.composite_type.inner else {
                    return Err("it declares a type that is no function type; build it without the GC proposal".into());
                };
                bound("the number of parameters of a function", f.params().len(), PARAMETERS)?;
                bound("the number of results of a function", f.results().len(), 1)?;
                self.types.push(f);
            }
        }
        Ok(())
    }

    /// Only the functions of [`abi::IMPORTS`], each with its type.
    fn imports(&mut self, reader: wasmparser::ImportSectionReader<'_>) -> Result<(), String> {
        for import in reader.into_imports() {
            let import = import.map_err(|e| damaged(&e))?;
            let (module, name) = (plain(import.module), plain(import.name));
            let known = abi::IMPORTS.iter().find(|i| import.module == abi::MODULE && import.name == i.name);
            let Some(known) = known else {
                let wasi =
                    if import.module.starts_with("wasi") { " (ops have no files, clock or network: build without WASI)" } else { "" };
                return Err(format!("it imports `{module}.{name}`, which ops do not get{wasi}; see OPS.md for the list"));
            };
            let TypeRef::Func(index) = import.ty else {
                return Err(format!("it imports `{module}.{name}` as something other than a function"));
            };
            if !self.has_type(index, known.parameters, known.result) {
                return Err(format!("it imports `{module}.{name}` with another type than the one in OPS.md"));
            }
            self.functions.push(index);
            bound("the number of imports", self.functions.len(), abi::IMPORTS.len() * 4)?;
        }
        Ok(())
    }

    fn exports(&mut self, reader: wasmparser::ExportSectionReader<'_>) -> Result<(), String> {
        bound("the number of exports", reader.count() as usize, FUNCTIONS as usize)?;
        for export in reader {
            let export = export.map_err(|e| damaged(&e))?;
            self.exports.push((export.name.to_owned(), export.kind, export.index));
        }
        Ok(())
    }

    fn manifest(&mut self, data: &[u8]) -> Result<(), String> {
        bound("the manifest's size in bytes", data.len(), manifest::BYTES)?;
        let text = std::str::from_utf8(data).map_err(|_| "its manifest is not UTF-8".to_string())?;
        if self.manifest.replace(text.trim_end_matches('\0').to_owned()).is_some() {
            return Err("it has two manifests".into());
        }
        Ok(())
    }

    fn has_type(&self, index: u32, parameters: &[ValType], result: Option<ValType>) -> bool {
        self.types.get(index as usize).is_some_and(|t| t.params() == parameters && t.results() == result.as_slice())
    }

    fn check_exports(&self) -> Result<(), String> {
        let find = |name: &str, kind: ExternalKind| self.exports.iter().find(|(n, k, _)| n == name && *k == kind).map(|e| e.2);
        if !self.memory || find("memory", ExternalKind::Memory).is_none() {
            return Err("it does not export its `memory`; see OPS.md".into());
        }
        for want in abi::EXPORTS {
            let index = find(want.name, ExternalKind::Func)
                .ok_or_else(|| format!("it does not export the function `{}`; see OPS.md", want.name))?;
            let ty = self.functions.get(index as usize).copied();
            if !ty.is_some_and(|t| self.has_type(t, want.parameters, want.result)) {
                return Err(format!("its export `{}` has another type than the one in OPS.md", want.name));
            }
        }
        Ok(())
    }
}

/// Bounds of one function body: bytes, locals, nesting, branches. Returns the number of blocks, branches and branch targets.
fn check_body(body: &FunctionBody<'_>) -> Result<usize, String> {
    bound("the size of a function body in bytes", body.range().len(), BODY_BYTES)?;
    let mut locals = 0u32;
    for group in body.get_locals_reader().map_err(|e| damaged(&e))? {
        locals = locals.saturating_add(group.map_err(|e| damaged(&e))?.0);
    }
    bound("the number of locals of a function", locals as usize, LOCALS as usize)?;
    let (mut depth, mut branches) = (0u32, 0usize);
    for operator in body.get_operators_reader().map_err(|e| damaged(&e))? {
        match operator.map_err(|e| damaged(&e))? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                depth += 1;
                branches += 1;
                bound("the nesting of blocks", depth as usize, NESTING as usize)?;
            }
            Operator::End => depth = depth.saturating_sub(1),
            Operator::Br { .. } | Operator::BrIf { .. } | Operator::Else => branches += 1,
            Operator::BrTable { targets } => branches += targets.len() as usize,
            _ => {}
        }
        bound("the number of blocks and branches of a function", branches, BRANCHES)?;
    }
    Ok(branches)
}

/// A name out of a module, safe to show.
fn plain(name: &str) -> String {
    abi::sanitise(name, 64)
}
