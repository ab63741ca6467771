//! The three encoders and their heads.

mod attention;
mod block;
mod dropout;
mod fusion;
mod heads;
pub mod init;
pub mod layers;
mod patch;
mod peers;
mod pretrain;
mod rank;
mod svitt;
mod text;
mod trace;
mod video;
mod vqa;

pub use attention::{BertAttention, AttentionSource};
pub use block::VideoLayer;
pub use dropout::reseed_dropout;
pub use fusion::{FusionOutput, FusionOptions, VideoTokens};
pub use heads::{MlmHead, unit_rows};
pub use patch::PatchEmbedding;
pub use peers::FeatureGather;
pub use pretrain::{Losses, MaskedText, MatchingOutput, Objective, Pairs, PretrainDraws, PretrainOutput};
pub use rank::{AnswerList, RankedAnswers};
pub use svitt::{EncodedText, EncodedVideo, Svitt};
pub use text::{Bert, BertEmbeddings, BertLayer};
pub use trace::{Pruned, Trace};
pub use video::{GraphSource, VideoDraws, VideoEncoder, VideoOutput};
pub use vqa::{QuestionStates, SvittQa, TokenBatch, WeightedAnswers, decoder_config};
