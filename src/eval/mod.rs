//! Protocols, metrics and reports.
