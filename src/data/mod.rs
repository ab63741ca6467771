//! Records become host batches; knows no model.

mod answers;
mod batch;
mod benchmark;
pub mod import;
mod inspect;
mod media;
pub mod manifest;
mod record;
pub mod shapes;
mod sources;
mod split;
pub mod webdataset;

pub use answers::{AnswerRule, read_answers, write_answers};
pub use batch::{HostBatch, VideoTextBatch};
pub use benchmark::{Benchmark, Protocol, Task};
pub use inspect::{InspectOptions, InspectReport, inspect};
pub use media::{Found, MediaFolder};
pub use manifest::{Manifest, ManifestFormat, ManifestOptions};
pub use record::{Item, ItemResult, Record};
pub use sources::{Files, Located};
pub use split::{Counts, Split, hold_out, published};
