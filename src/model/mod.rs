//! The three encoders and their heads.

mod block;
pub mod init;
pub mod layers;
mod patch;
mod trace;
mod video;

pub use block::VideoLayer;
pub use patch::PatchEmbedding;
pub use trace::{Pruned, Trace};
pub use video::{GraphSource, VideoDraws, VideoEncoder, VideoOutput};
