//! Configuration: model sizes, sparsity, curriculum, presets.

mod curriculum;
mod design;
mod ensemble;
mod model;
mod precision;
mod presets;
mod ranges;
mod sparsity;

pub use curriculum::{Curriculum, PUBLISHED_SHARPNESS, Stage, StepsOrEpochs, TableGrowth};
pub use design::{Family, FrameAttention, PixelScale, Pooling, Positions, TemporalConfig};
pub use ensemble::ClipEnsemble;
pub use model::{ModelConfig, NamedModel, TextConfig, VideoConfig};
pub use precision::Precision;
pub(crate) use presets::toml_problem;
pub use presets::{ExpectedScores, LossWeights, ModelChoice, ModelSize, PretrainPreset};
pub(crate) use ranges::duration as check_duration;
pub use sparsity::{CrossSparsity, NodeSparsity, Selection, Sparsity, check_keep_rate, parse_edges};
pub use svitt_ops::sparse::{BlockChoice, Compat, EdgeSparsity};
pub use svitt_ops::tokens::{TokenOrder, kept_tokens};
