//! What can be wrong with a video.

/// Why a video could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {}
