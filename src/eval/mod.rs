//! Protocols, metrics and reports.

pub mod metrics;
