//! Handles: numbers that name objects of the library. In: a number from the host. Out: the object, or `HL_E_HANDLE`.
//!
//! A handle holds a slot (20 bits), a kind (4 bits) and a 40-bit stamp that is never used twice, so stale, forged and doubly
//! released handles, and handles of another kind, are told from living ones.

use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::host::Slide;
use crate::jobs::Job;
use crate::results::ResultData;
use crate::types::{HL_E_HANDLE, HL_E_LIMIT};

const SLOT_BITS: u32 = 20;
const KIND_BITS: u32 = 4;
const STAMP: u64 = (1 << 40) - 1;

/// What a handle can name.
#[derive(Clone)]
pub enum Object {
    /// A library instance.
    Context,
    /// An open slide.
    Slide(Arc<Slide>),
    /// A job.
    Job(Arc<Job>),
    /// A result.
    Result(Arc<ResultData>),
}

/// The kinds, as numbers inside the handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `hl_context`
    Context = 1,
    /// `hl_slide`
    Slide = 2,
    /// `hl_job`
    Job = 3,
    /// `hl_result`
    Result = 4,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Context => "hl_context",
            Self::Slide => "hl_slide",
            Self::Job => "hl_job",
            Self::Result => "hl_result",
        }
    }
}

struct Entry {
    handle: u64,
    owner: Arc<Context>,
    object: Object,
}

struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    made: u64,
    key: u64,
}

static TABLE: LazyLock<Mutex<Table>> = LazyLock::new(|| {
    let key = std::hash::RandomState::new().hash_one("handles") & STAMP;
    Mutex::new(Table { slots: Vec::new(), free: Vec::new(), made: 0, key })
});

impl Table {
    /// A stamp never given before: an odd factor and an exclusive or are one-to-one on 40 bits.
    fn stamp(&mut self) -> u64 {
        loop {
            self.made += 1;
            let stamp = (self.made.wrapping_mul(0x9E_3779_B97F) ^ self.key) & STAMP;
            if stamp != 0 {
                return stamp;
            }
        }
    }

    fn find(&self, handle: u64) -> Option<&Entry> {
        let slot = (handle & ((1 << SLOT_BITS) - 1)) as usize;
        self.slots.get(slot)?.as_ref().filter(|e| e.handle == handle)
    }
}

impl Object {
    fn kind(&self) -> Kind {
        match self {
            Self::Context => Kind::Context,
            Self::Slide(_) => Kind::Slide,
            Self::Job(_) => Kind::Job,
            Self::Result(_) => Kind::Result,
        }
    }
}

/// Names an object that belongs to a context.
pub fn insert(owner: &Arc<Context>, object: Object) -> Result<u64> {
    let mut table = TABLE.lock();
    if owner.is_released() {
        return Err(Failure::new(HL_E_HANDLE, "the context was released just now"));
    }
    let slot = match table.free.pop() {
        Some(slot) => slot,
        None if table.slots.len() < 1 << SLOT_BITS => {
            table.slots.push(None);
            table.slots.len() as u32 - 1
        }
        None => return Err(Failure::new(HL_E_LIMIT, "too many handles are alive; release results and jobs that are done with")),
    };
    let handle = (table.stamp() << (SLOT_BITS + KIND_BITS)) | ((object.kind() as u64) << SLOT_BITS) | u64::from(slot);
    table.slots[slot as usize] = Some(Entry { handle, owner: owner.clone(), object });
    Ok(handle)
}

/// The object and its context.
pub fn get(handle: u64, kind: Kind) -> Result<(Arc<Context>, Object)> {
    let table = TABLE.lock();
    match table.find(handle) {
        Some(e) if e.object.kind() == kind => Ok((e.owner.clone(), e.object.clone())),
        Some(e) => Err(Failure::new(HL_E_HANDLE, format!("{handle:#x} is a {}, not a {}", e.object.kind().name(), kind.name()))),
        None => Err(Failure::new(HL_E_HANDLE, format!("{handle:#x} is not a living {}; was it released already?", kind.name()))),
    }
}

/// Takes a name away; the object comes back so that it is dropped outside the table's lock.
pub fn remove(handle: u64, kind: Kind) -> Result<(Arc<Context>, Object)> {
    let found = get(handle, kind)?;
    let mut table = TABLE.lock();
    let slot = (handle & ((1 << SLOT_BITS) - 1)) as usize;
    match table.slots.get_mut(slot) {
        Some(entry) if entry.as_ref().is_some_and(|e| e.handle == handle) => *entry = None,
        _ => return Err(Failure::new(HL_E_HANDLE, format!("{handle:#x} was released by another thread just now"))),
    }
    table.free.push(slot as u32);
    if matches!(found.1, Object::Context) {
        found.0.set_released(); // under the table's lock: nothing of this context is named after it
    }
    Ok(found)
}

/// Takes away the names of everything that belongs to a context.
pub fn remove_owned(owner: &Arc<Context>) -> Vec<Object> {
    let mut table = TABLE.lock();
    let mut out = Vec::new();
    for slot in 0..table.slots.len() {
        if table.slots[slot].as_ref().is_some_and(|e| Arc::ptr_eq(&e.owner, owner)) {
            out.extend(table.slots[slot].take().map(|e| e.object));
            table.free.push(slot as u32);
        }
    }
    out
}
