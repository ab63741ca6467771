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
mod media;
mod record;
pub mod shapes;
mod sources;
mod split;
mod usable;
pub mod webdataset;

pub use answers::{AnswerRule, read_answers, write_answers};
pub use batch::{HostBatch, VideoTextBatch};
pub use benchmark::{Benchmark, Protocol, Task};
pub use compress::{CompressReport, Progress, compress_folder};
pub use dataset::{ClipSettings, VideoDataset};
pub use epoch::{EpochDataset, Unreadable};
pub use inspect::{InspectOptions, InspectReport, inspect};
pub use loader::{BatchResult, Collate, Cursor, Loader, LoaderMode, LoaderOptions, TextCollate, UnreadableLimit};
pub use media::{Found, MediaFolder};
pub use record::{Item, ItemResult, Record};
pub use sources::{Files, Located};
pub use split::{Counts, Split, hold_out, published};
