//! The three encoders and their heads.

mod attention;
mod block;
mod fusion;
mod heads;
pub mod init;
pub mod layers;
mod patch;
mod pretrain;
mod svitt;
mod text;
mod trace;
mod video;

pub use attention::{BertAttention, Source};
pub use block::VideoLayer;
pub use fusion::{FusionOutput, FusionRun, VideoTokens};
pub use heads::{MlmHead, unit_rows};
pub use patch::PatchEmbedding;
pub use pretrain::{Losses, MaskedText, MatchingOutput, Objective, Pairs, PretrainDraws, PretrainOutput};
pub use svitt::{EncodedText, EncodedVideo, Svitt};
pub use text::{Bert, BertEmbeddings, BertLayer};
pub use trace::{Pruned, Trace};
pub use video::{GraphSource, VideoDraws, VideoEncoder, VideoOutput};
