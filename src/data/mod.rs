//! Annotation records to host batches; knows no model.

mod answers;
mod batch;
mod benchmark;
mod benchmark_files;
mod compress;
mod dataset;
mod epoch_dataset;
pub mod import;
mod inspect;
pub mod loader;
mod media;
mod order_files;
mod record;
pub mod shapes;
mod split;
mod subtitles;
mod tempcompass_videos;
mod usable_videos;
pub mod webdataset;

pub use answers::{AnswerRule, read_answers, write_answers};
pub use batch::{HostBatch, VideoTextBatch, class_of};
pub use benchmark::{Benchmark, BenchmarkTask, Protocol};
pub use benchmark_files::{BenchmarkFiles, LocatedFiles};
pub use compress::{CompressReport, Progress, compress_folder};
pub use dataset::{ClipSettings, VideoDataset};
pub use epoch_dataset::{EpochDataset, Unreadable};
pub use inspect::{InspectOptions, InspectReport, inspect};
pub use loader::{
    BatchResult, Collate, Loader, LoaderMode, LoaderOptions, LoaderPosition, TextCollate, UnreadableLimit,
};
pub use media::{MediaFolder, MediaMatch};
pub use record::{Choice, Item, ItemResult, Record};
pub use split::{Split, SplitSize, hold_out, published, published_file};
pub use subtitles::{Cue, Subtitles, is_subtitle_name, read_subtitles, subtitles_beside};
pub use tempcompass_videos::{TempcompassReport, make_tempcompass};
