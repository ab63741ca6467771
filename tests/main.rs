//! Tests that need the whole crate, in one binary: every test binary costs a minute of linking and code generation.

mod browser;
#[cfg(unix)]
mod docs;
mod environment;
mod families;
mod golden;
mod pages;
mod parity;
mod resume;
mod search;
mod source;
mod workshop;
