//! Tests over the whole workspace live in `tests/`; this crate has no code of its own.
