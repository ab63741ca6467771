//! Records become host batches; knows no model.

mod batch;
mod record;
pub mod shapes;

pub use batch::{HostBatch, VideoTextBatch};
pub use record::{Item, ItemResult, Record};
