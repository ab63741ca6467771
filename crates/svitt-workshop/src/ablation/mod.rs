//! The paper's ablations on the `shapes` benchmark, and its claim at equal cost on `shapes-long`, as resumable grids of
//! cells.
//!
//! An [`AblationPlan`] or a [`LongPlan`] says how models of three clip lengths are trained; [`TrainingSpec`]s are its
//! models, each from the weights of another; a [`Cell`] is a trained model measured under its own sparsity or, at test time, under another. Every cell
//! is one JSON file, and a second run goes on with those that are not there.

mod cell;
mod figures;
mod grid;
mod long;
mod measurement;
mod paper;
mod plan;
mod run;
mod summary;
mod tables;
mod training;

pub use cell::{Cell, TestTimeSparsity};
pub use long::LongPlan;
pub use measurement::Measurement;
pub use plan::{AblationPlan, Budgets, Matching};
pub use run::{AblationOptions, Plan, ablate};
pub use summary::{AblationSummary, Spread, SummaryRow, TableSummary};
pub use tables::{TableSpec, tables};
pub use training::TrainingSpec;
