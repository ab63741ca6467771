//! The paper's ablations on the `shapes` benchmark, as one resumable grid of cells.
//!
//! A [`AblationPlan`] says how models of three clip lengths are trained; [`TrainingSpec`]s are its models, each from the weights of
//! another; a [`Cell`] is a trained model measured under its own sparsity or, at test time, under another. Every cell
//! is one JSON file, and a second run goes on with those that are not there.

mod cell;
mod figures;
mod grid;
mod measurement;
mod plan;
mod summary;
mod tables;
mod training;

pub use cell::{Cell, TestTimeSparsity};
pub use grid::{AblationOptions, ablate};
pub use measurement::Measurement;
pub use plan::{AblationPlan, Budgets};
pub use summary::{AblationSummary, Spread, SummaryRow, TableSummary};
pub use tables::{TableSpec, tables};
pub use training::TrainingSpec;
