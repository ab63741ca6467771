//! Checkpoints in and out, under the official key names.
//!
//! | file | what it does |
//! |---|---|
//! | [`archive`], [`pickle`], [`pickle_value`], [`pickle_objects`], [`pth`] | PyTorch files, read without running anything in them |
//! | [`safetensors`] | safetensors files, read lazily and written atomically |
//! | [`tensor`] | where a tensor lies in a mapped file, and its values as `f32` |
//! | [`source`], [`source_kind`], [`beside`] | the named tensors of any of these files, under the official names |
//! | [`schema`], [`infer`] | the keys of a model from its sizes, and its sizes from its keys |
//! | [`spline`], [`position_tables`] | relative position tables between clip lengths and grids |
//! | [`key_matching`], [`report`] | which tensor goes where, and what became of every key |
//! | [`checkpoint`], [`mod@import`], [`hash`] | checkpoint folders: reading, writing, taking over |
//! | `verify` | whether a folder's weights are the ones its description names |
//! | [`keys`], [`mod@load`], [`mod@save`], [`open`] | module parameters under the official keys, in and out |

pub mod archive;
pub mod beside;
pub mod checkpoint;
mod find_checkpoint;
#[cfg(test)]
mod foreign_checkpoints;
pub mod hash;
pub mod import;
pub mod infer;
pub mod key_matching;
pub mod keys;
pub mod load;
pub mod open;
pub mod pickle;
pub mod pickle_objects;
pub mod pickle_value;
pub mod position_tables;
pub mod pth;
#[cfg(test)]
mod refused;
pub mod report;
pub mod safetensors;
pub mod save;
pub mod schema;
pub mod source;
pub mod source_kind;
pub mod spline;
pub mod tensor;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointInfo, CurriculumPosition, VocabularyRef, read_info, write_checkpoint};
pub use find_checkpoint::given_or_newest;
pub use hash::weights_hash;
pub use import::{ImportOptions, ImportSummary, import};
pub use key_matching::MatchOptions;
pub use load::load;
pub use open::{LoadedModel, initialise, open_qa, open_svitt};
pub use report::LoadReport;
pub use save::{ExportedTensors, model_hash, save};
pub use schema::CheckpointPart;
pub use source::WeightSource;
pub use source_kind::SourceKind;
pub use tensor::HostTensor;
