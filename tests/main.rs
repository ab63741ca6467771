//! Tests that need the whole crate, in one binary: every test binary costs a minute of linking and code generation.

mod browser;
mod command_line;
#[cfg(unix)]
mod docs;
#[cfg(unix)]
mod driven_browser;
mod environment;
mod families;
mod golden;
mod html_pages;
mod manifests;
#[cfg(all(feature = "mpi", target_os = "linux"))]
mod mpi;
mod order;
mod project;
mod resume;
mod search;
mod search_results;
#[cfg(all(unix, feature = "serve"))]
mod serve;
mod skipped;
mod source_rules;
mod text_weights;
