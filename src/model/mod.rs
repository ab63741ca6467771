//! The three encoders and their heads.

mod answer_ranking;
mod bert;
mod bert_attention;
#[cfg(test)]
mod chosen_blocks_tests;
mod draws;
mod dropout;
mod feature_gather;
mod fusion;
mod heads;
pub mod init;
pub mod layers;
mod patch_embedding;
pub mod positions;
#[cfg(all(test, feature = "flex"))]
mod precision_tests;
mod pretrain;
mod prune;
mod readout;
mod svitt;
mod temporal;
mod trace;
mod video;
mod video_layer;
mod vqa;

pub use answer_ranking::{AnswerList, RankedAnswers};
pub use bert::{Bert, BertEmbeddings, BertLayer};
pub use bert_attention::{AttentionSource, BertAttention};
pub use draws::{GraphSource, VideoDraws};
pub use dropout::reseed_dropout;
pub use feature_gather::FeatureGather;
pub use fusion::{FusionOptions, FusionOutput, VideoTokens};
pub use heads::{MlmHead, unit_rows};
pub use patch_embedding::PatchEmbedding;
pub use pretrain::{Losses, MaskedText, MatchingOutput, Objective, Pairs, PretrainDraws, PretrainOutput};
pub use svitt::{EncodedText, EncodedVideo, Svitt};
pub use temporal::TemporalEncoder;
pub use trace::{Pruned, Trace};
pub use video::{VideoEncoder, VideoOutput};
pub use video_layer::VideoLayer;
pub use vqa::{QuestionStates, SvittQa, TokenBatch, WeightedAnswers, decoder_config};
