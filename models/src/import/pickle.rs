//! Pickles as data. In: the bytes of a checkpoint's `data.pkl`. Out: the tensors of its state dict, as places in named storages.
//!
//! A pickle is a program for a small stack machine that may call any Python function. This reader knows the instructions that
//! `torch.save` writes (protocol 2) and two functions, both of which only describe data: `torch._utils._rebuild_tensor_v2` and
//! `collections.OrderedDict`. Any other name is refused by name; nothing is ever called. Containers may refer to themselves; nothing
//! walks them but two lookups, so neither cycles nor depth matter. Values, stack and memo are bounded.

use std::collections::BTreeMap;

use super::source::number;

/// Largest pickle accepted, in bytes; those of checkpoints have about 1 MB.
pub const PICKLE_BYTES: u64 = 8 << 20;
/// Most values, entries of the stack or of the memo; checkpoints need some 50 000.
const VALUES: usize = 500_000;
/// Longest name of a tensor or storage, in bytes: names are copied, and may be recalled by two bytes.
const NAME_BYTES: usize = 500;
/// Most axes of a tensor.
const AXES: usize = 8;
/// Deepest nesting of open containers.
const DEPTH: usize = 100;

/// What a storage holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 64-bit floats.
    F64,
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
}

impl Type {
    /// Size of a value.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A tensor as the pickle describes it; sizes in values of its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Type of the storage.
    pub dtype: Type,
    /// The storage's name.
    pub storage: String,
    /// Values of the storage.
    pub length: u64,
    /// First value.
    pub offset: u64,
    /// Extents.
    pub shape: Vec<u64>,
    /// Steps of each axis.
    pub stride: Vec<u64>,
}

/// Why a pickle is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no pickle that torch.save writes.
    Damaged(String),
    /// It holds more than tensors.
    Foreign(String),
}

type Result<T> = std::result::Result<T, Refused>;

fn damaged<T>(why: impl Into<String>) -> Result<T> {
    Err(Refused::Damaged(why.into()))
}

fn foreign<T>(what: impl std::fmt::Display) -> Result<T> {
    Err(Refused::Foreign(format!("it holds more than tensors: {what}")))
}

/// Index of a value.
type Id = usize;

#[derive(Clone, Copy)]
enum Name {
    Rebuild,
    OrderedDict,
    Storage(Type),
}

enum Value {
    /// None, booleans and floats: metadata that nothing looks at.
    Nothing,
    Integer(i64),
    Text(String),
    List,
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Named(Name),
    Storage {
        dtype: Type,
        key: String,
        length: u64,
    },
    Tensor(Box<Described>),
}

/// The names that may occur.
fn known(module: &str, name: &str) -> Option<Name> {
    Some(match (module, name) {
        ("torch._utils", "_rebuild_tensor_v2") => Name::Rebuild,
        ("collections", "OrderedDict") => Name::OrderedDict,
        ("torch", "DoubleStorage") => Name::Storage(Type::F64),
        ("torch", "FloatStorage") => Name::Storage(Type::F32),
        ("torch", "HalfStorage") => Name::Storage(Type::F16),
        ("torch", "BFloat16Storage") => Name::Storage(Type::Bf16),
        ("torch", "LongStorage") => Name::Storage(Type::I64),
        ("torch", "IntStorage") => Name::Storage(Type::I32),
        _ => return None,
    })
}

/// Entries of the outermost dictionary under which programs keep a network's tensors; of a teacher and its student the teacher's.
const KEPT_AS: [&str; 3] = ["state_dict", "teacher", "model"];

/// Tensors by name: those of the first entry of [`KEPT_AS`] where there is one, else those of the outermost dictionary.
pub fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Described>> {
    let mut machine = Machine { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    let root = machine.run()?;
    let Value::Dict(outer) = machine.value(root)? else { return damaged("its outermost value is no dictionary") };
    let named = |k: Id, name: &str| matches!(machine.values.get(k), Some(Value::Text(t)) if t == name);
    let kept = |name: &&str| {
        outer.iter().find_map(|(k, v)| match machine.values.get(*v) {
            Some(Value::Dict(pairs)) if named(*k, name) => Some(pairs),
            _ => None,
        })
    };
    let pairs = KEPT_AS.iter().find_map(kept).unwrap_or(outer);
    let mut out = BTreeMap::new();
    for (k, v) in pairs {
        if let (Value::Text(name), Value::Tensor(t)) = (machine.value(*k)?, machine.value(*v)?) {
            if name.len() > NAME_BYTES {
                return damaged(format!("a tensor's name has {} bytes, the limit is {NAME_BYTES}", name.len()));
            }
            out.insert(name.clone(), (**t).clone());
        }
    }
    Ok(out)
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
}

impl<'a> Machine<'a> {
    /// Runs to the end; the value left comes back.
    fn run(&mut self) -> Result<Id> {
        loop {
            let [op] = self.take::<1>()?;
            if op == b'.' {
                return self.pop();
            }
            self.step(op)?;
            if self.values.len().max(self.stack.len()).max(self.memo.len()) > VALUES || self.marks.len() > DEPTH {
                return damaged(format!("more than {VALUES} values, or nested deeper than {DEPTH}"));
            }
        }
    }

    fn step(&mut self, op: u8) -> Result<()> {
        match op {
            0x80 => self.protocol(),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'N' | 0x88 | 0x89 => self.push(Value::Nothing),
            b'G' => self.take::<8>().and_then(|_| self.push(Value::Nothing)),
            b'K' => self.take::<1>().and_then(|[b]| self.push(Value::Integer(b.into()))),
            b'M' => self.take().and_then(|b| self.push(Value::Integer(u16::from_le_bytes(b).into()))),
            b'J' => self.take().and_then(|b| self.push(Value::Integer(i32::from_le_bytes(b).into()))),
            0x8a => self.long(),
            b'X' => self.text(),
            b']' => self.push(Value::List),
            b'}' => self.push(Value::Dict(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => self.tuple(usize::from(op - 0x84)),
            b't' => self.marked().and_then(|items| self.push(Value::Tuple(items))),
            b'q' => self.take::<1>().and_then(|[b]| self.remember(b.into())),
            b'r' => self.take().and_then(|b| self.remember(u32::from_le_bytes(b).into())),
            b'h' => self.take::<1>().and_then(|[b]| self.recall(b.into())),
            b'j' => self.take().and_then(|b| self.recall(u32::from_le_bytes(b).into())),
            b'a' => self.pop().map(drop),
            b'e' => self.marked().map(drop),
            b's' => self.pop().and_then(|v| self.pop().and_then(|k| self.insert(&[k, v]))),
            b'u' => self.marked().and_then(|items| self.insert(&items)),
            b'c' => self.global(),
            b'Q' => self.storage(),
            b'R' => self.reduce(),
            b'b' => self.build(),
            _ => foreign(format!("instruction 0x{op:02x}, which torch.save does not write for tensors")),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((first, rest)) = self.rest.split_first_chunk() else { return damaged("it ends too early") };
        self.rest = rest;
        Ok(*first)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// The last value above the last mark.
    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(id) if self.stack.len() >= floor => Ok(id),
            _ => damaged("an instruction has no operand"),
        }
    }

    /// All values above the last mark, which goes.
    fn marked(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => damaged("an instruction has no mark"),
        }
    }

    fn value(&self, id: Id) -> Result<&Value> {
        self.values.get(id).ok_or_else(|| Refused::Damaged("a value is missing".into()))
    }

    fn protocol(&mut self) -> Result<()> {
        match self.take::<1>()? {
            [2] => Ok(()),
            [n] => foreign(format!("pickle protocol {n}, torch.save writes 2")),
        }
    }

    /// An integer of some bytes; one beyond 64 bits is metadata that nothing looks at.
    fn long(&mut self) -> Result<()> {
        let [size] = self.take::<1>()?;
        let bytes = self.bytes(usize::from(size))?;
        let fill = if bytes.last().is_some_and(|b| *b > 127) { 0xFF } else { 0 };
        let mut whole = [fill; 8];
        whole.iter_mut().zip(bytes).for_each(|(to, b)| *to = *b);
        self.push(if size > 8 { Value::Nothing } else { Value::Integer(i64::from_le_bytes(whole)) })
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((first, rest)) = self.rest.split_at_checked(count) else { return damaged("it ends too early") };
        self.rest = rest;
        Ok(first)
    }

    fn text(&mut self) -> Result<()> {
        let count = u32::from_le_bytes(self.take()?);
        let bytes = self.bytes(count as usize)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => self.push(Value::Text(text.into())),
            Err(_) => damaged("a text is not UTF-8"),
        }
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn remember(&mut self, place: u64) -> Result<()> {
        match self.stack.last() {
            Some(id) => self.memo.insert(place, *id),
            None => return damaged("nothing to remember"),
        };
        Ok(())
    }

    fn recall(&mut self, place: u64) -> Result<()> {
        match self.memo.get(&place) {
            Some(id) => self.stack.push(*id),
            None => return damaged("a value is recalled that was never remembered"),
        }
        Ok(())
    }

    /// Adds keys and values to the dictionary on the stack.
    fn insert(&mut self, items: &[Id]) -> Result<()> {
        let top = self.stack.last().and_then(|id| self.values.get_mut(*id));
        let (Some(Value::Dict(pairs)), (items, [])) = (top, items.as_chunks()) else {
            return damaged("entries are added to what is no dictionary");
        };
        pairs.extend(items.iter().map(|[k, v]| (*k, *v)));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.rest.iter().position(|b| *b == b'\n');
        let Some(end) = end else { return damaged("it ends too early") };
        let line = self.bytes(end)?;
        self.take::<1>()?;
        std::str::from_utf8(line).or_else(|_| damaged("a name is not UTF-8"))
    }

    fn global(&mut self) -> Result<()> {
        let (module, name) = (self.line()?, self.line()?);
        match known(module, name) {
            Some(known) => self.push(Value::Named(known)),
            None => {
                let full: String = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(100).collect();
                foreign(format!("it names `{full}`, which was not called"))
            }
        }
    }

    /// ("storage", type, key, device, length) becomes a storage.
    fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let Value::Tuple(parts) = self.value(id)? else { return damaged("a storage is not named by a tuple") };
        let [tag, dtype, key, _, length] = parts[..] else { return damaged("a storage's name has not 5 parts") };
        let found = (self.value(tag)?, self.value(dtype)?, self.value(key)?, self.value(length)?);
        let (Value::Text(tag), Value::Named(Name::Storage(dtype)), Value::Text(key), Value::Integer(length)) = found else {
            return damaged("a storage's name has parts of other types");
        };
        let Some(length) = u64::try_from(*length).ok().filter(|_| tag == "storage" && key.len() <= NAME_BYTES) else {
            return damaged("a storage's name is not one of torch.save's");
        };
        let (dtype, key) = (*dtype, key.clone());
        self.push(Value::Storage { dtype, key, length })
    }

    /// Describes what one of the two known functions would make.
    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = self.value(arguments)? else { return damaged("arguments are no tuple") };
        let made = match self.value(function)? {
            Value::Named(Name::OrderedDict) if arguments.is_empty() => Value::Dict(Vec::new()),
            Value::Named(Name::Rebuild) => Value::Tensor(Box::new(self.described(arguments)?)),
            _ => return foreign("it calls what is no known function"),
        };
        self.push(made)
    }

    /// A tensor from (storage, offset, shape, stride, ...).
    fn described(&self, arguments: &[Id]) -> Result<Described> {
        let [storage, offset, shape, stride, ..] = arguments[..] else { return damaged("a tensor has too few arguments") };
        let (Value::Storage { dtype, key, length }, Value::Integer(offset)) = (self.value(storage)?, self.value(offset)?) else {
            return damaged("a tensor has no storage or no offset");
        };
        let Ok(offset) = u64::try_from(*offset) else { return damaged("a tensor begins before its storage") };
        let (shape, stride) = (self.sizes(shape)?, self.sizes(stride)?);
        Ok(Described { dtype: *dtype, storage: key.clone(), length: *length, offset, shape, stride })
    }

    fn sizes(&self, id: Id) -> Result<Vec<u64>> {
        let Value::Tuple(parts) = self.value(id)? else { return damaged("a shape is no tuple") };
        if parts.len() > AXES {
            return damaged(format!("a tensor has {} axes, the limit is {AXES}", parts.len()));
        }
        let size = |id: &Id| match self.value(*id)? {
            Value::Integer(n) => u64::try_from(*n).or_else(|_| damaged("a shape has a negative extent")),
            _ => damaged("a shape holds what is no integer"),
        };
        parts.iter().map(size).collect()
    }

    /// Attributes of an ordered dictionary (torch keeps versions there) are dropped; nothing else may have any.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.stack.last().and_then(|id| self.values.get(*id)) {
            Some(Value::Dict(_)) => Ok(()),
            _ => foreign("it sets attributes of an object"),
        }
    }
}

/// Whether a file begins as one that torch.save wrote before version 1.6: a pickle outside of any zip.
pub fn is_bare(head: &[u8]) -> bool {
    number(head, 0, 1) == Some(0x80) && number(head, 1, 1).is_some_and(|n| n <= 5)
}
