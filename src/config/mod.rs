//! Every size, rate and layer list: what a model is, how sparse it is, how a run grows it.

mod curriculum;
mod design;
mod ensemble;
mod model;
mod precision;
mod presets;
mod sparsity;

pub use curriculum::{Curriculum, Span, Stage, TableGrowth};
pub use design::{Family, FrameAttention, PixelScale, Pooling, Positions, TemporalConfig};
pub use ensemble::ClipEnsemble;
pub use model::{Compat, ModelConfig, TextConfig, VideoConfig};
pub use precision::Precision;
pub use presets::{Expected, LossWeights, ModelChoice, ModelSize, Preset};
pub use sparsity::{
    CrossSparsity, EdgeSparsity, NodeSparsity, Selection, Sparsity, TokenOrder, check_keep_rate, kept_tokens,
};
