//! Where sparsity pays: dense and sparse models of three clip lengths on `shapes-long`, at equal operations and at equal
//! seconds.
//!
//! Every mode's learning rate is chosen first, with a seed that no row has. Then every row gets the same budget after
//! the common start: a share at each shorter length on the way, the rest at its own.

mod figures;
mod modes;
mod plan;
mod rows;
mod run;
mod speeds;
mod trainings;

pub use plan::LongPlan;
pub use run::ablate;
