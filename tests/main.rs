//! Tests that need the whole crate, in one binary: every test binary costs a minute of linking and code generation.

mod golden;
mod parity;
mod resume;
mod source;
