//! Configuration: model sizes, sparsity, curriculum, presets.

mod curriculum;
mod ensemble;
mod model;
mod precision;
mod presets;
mod sparsity;

pub use curriculum::{Curriculum, Span, Stage, TableGrowth};
pub use ensemble::ClipEnsemble;
pub use model::{ModelConfig, TextConfig, VideoConfig};
pub use precision::Precision;
pub use presets::{Expected, LossWeights, ModelChoice, ModelSize, Preset};
pub use sparsity::{CrossSparsity, NodeSparsity, Selection, Sparsity, check_keep_rate};
pub use svitt_ops::sparse::{Compat, EdgeSparsity};
pub use svitt_ops::tokens::{TokenOrder, kept_tokens};
