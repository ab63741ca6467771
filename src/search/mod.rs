//! Search in your own videos: a folder is indexed as clips; a text or a video ranks them.
//!
//! [`index_folder`] walks a folder, cuts every video into overlapping clips ([`ClipWindows`]), embeds them with the video
//! encoder and keeps the vectors in a [`crate::index::Index`]. [`Embedder::query`] compares a text's vector with all of
//! them and lets the fusion encoder look at the best; [`similar`] starts from a video instead. [`results_page`] shows
//! what was found with pictures.
//!
//! Re-ranking encodes the best clips anew from their files: what the fusion encoder attends to is a megabyte a clip for
//! the base model (340 tokens of 768 numbers at 8 frames), a thousand times its vector, and only a handful of clips are
//! ever asked for.

mod agreement;
mod calibrate;
mod calibration;
mod clip_ids;
mod clip_reader;
mod clips;
mod composed;
mod decode_pool;
mod embed;
mod embedder;
mod embedding_file;
mod embedding_log;
mod export;
#[cfg(feature = "parquet")]
mod export_parquet;
mod filter;
mod frame_source;
mod imported_ids;
mod indexing;
mod kept_results;
mod lists;
mod moments;
mod narrow;
mod neutral;
mod one_pass_reader;
mod picture;
mod query;
mod results;
mod results_page;
mod search_bench;
mod shot_clips;
mod shot_reader;
mod similar;
mod spans;
mod words;

pub use agreement::ENOUGH_AGREEMENT;
pub use calibrate::{CalibrateOptions, calibrate};
pub use calibration::{Calibration, CalibrationFigures, ErrorRates, Fit};
pub use clip_ids::{clip_id, clips_with_ids, read_ids};
pub use clips::{ClipWindows, FrameChoice, read_span};
pub use composed::{ComposedQuery, QueryPart};
pub use embed::{EmbedOptions, EmbeddingIndex, embed};
pub use embedder::{Embedder, identify, unknown_words};
pub use export::{ExportReport, export};
pub use filter::{FileFilter, day_ns};
pub use indexing::{DecodedBy, IndexOptions, IndexReport, index_folder};
pub use kept_results::{KEPT_RESULTS, KeptResult, keep_results, kept_result};
pub use lists::{ListFormat, ResultList};
pub use moments::Moments;
pub use neutral::NeutralStatistics;
pub use picture::decode_picture;
pub use query::{QueryOptions, QueryResult};
pub use results::{BestPart, SearchResult, damage_warnings, printable};
pub use results_page::results_page;
pub use search_bench::{SearchSpeed, measure_search};
pub use similar::{indexed_vectors, similar};
pub use spans::Spans;
pub use words::WordResult;
