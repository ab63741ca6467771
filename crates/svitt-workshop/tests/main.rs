//! The workshop's tests, in one binary: every test binary costs a minute of linking and code generation.

mod docs;
mod parity;
