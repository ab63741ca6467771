//! Tests that need the whole crate, in one binary: every test binary costs a minute of linking and code generation.

mod browser;
#[cfg(unix)]
mod docs;
mod environment;
mod golden;
mod pages;
mod resume;
mod search;
mod source;
mod support;
