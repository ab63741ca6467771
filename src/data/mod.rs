//! Annotation records to host batches; knows no model.

mod answers;
mod batch;
mod benchmark;
mod compress;
mod dataset;
mod epoch;
pub mod import;
mod inspect;
pub mod loader;
pub mod manifest;
mod media;
mod record;
pub mod shapes;
mod sources;
mod split;
mod usable;
pub mod webdataset;

pub use answers::{AnswerRule, read_answers, write_answers};
pub use batch::{HostBatch, VideoTextBatch};
pub use benchmark::{Benchmark, Protocol, BenchmarkTask};
pub use compress::{CompressReport, FailedVideo, Progress, compress_folder};
pub use dataset::{ClipSettings, VideoDataset};
pub use epoch::{EpochDataset, Unreadable};
pub use inspect::{InspectOptions, InspectReport, inspect};
pub use loader::{BatchResult, Collate, LoaderPosition, Loader, LoaderMode, LoaderOptions, TextCollate, UnreadableLimit};
pub use manifest::{Manifest, ManifestFormat, ManifestOptions};
pub use media::{MediaMatch, MediaFolder};
pub use record::{Item, ItemResult, Record};
pub use sources::{BenchmarkFiles, LocatedFiles};
pub use split::{SplitSize, Split, hold_out, published};
