//! Fine-tuning on a benchmark: retrieval or question answering from a pretraining checkpoint, the best weights chosen
//! on a validation split, never on the test split.
//!
//! Training itself is a stage like any other ([`super::train_stage`]); what differs is the data, the losses
//! (contrastive and matching, or weighted answers; no masked words) and that validation picks what is kept.

mod clip_questions;
mod data;
mod preset;
mod report;
mod run;
mod step;
mod validation;

pub use clip_questions::{QuestionBatch, TokenizedQuestions};
pub use data::{FinetuneData, FinetuneOptions};
pub use preset::FinetunePreset;
pub use report::{FinetuneReport, ValidationReport};
pub use run::{finetune, follow_finetuning};
pub use validation::ValidationTask;
