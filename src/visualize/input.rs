//! Inputs: a clip from a file as the model takes it, and a text as ids.

use crate::Result;
use crate::config::ModelConfig;
use crate::text::Tokenizer;
use std::path::Path;
use svitt_video::{ClipRequest, FrameSampling, ReaderOptions, Transform, read_clip};

/// A clip and which frames of the file it has.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipPixels {
    /// Normalised, `[frames, 3, size, size]`.
    pub pixels: Vec<f32>,
    /// Frame numbers in the file.
    pub indices: Vec<usize>,
}

/// The middle frames of the video at `path`, as evaluation takes them.
///
/// # Errors
/// It cannot be read.
pub fn load_clip(path: &Path, config: &ModelConfig) -> Result<ClipPixels> {
    let request = ClipRequest::new(config.video.frames, FrameSampling::Middle);
    let clip = read_clip(path, &request, || 0.0, &ReaderOptions::default())?;
    let transform = Transform::new(config.video.image_size);
    let pixels = transform.apply(&clip.frames, &transform.whole(&clip.frames));
    Ok(ClipPixels { pixels, indices: clip.indices })
}

/// The ids of `text`, without padding.
pub fn encode_text(tokenizer: &Tokenizer, config: &ModelConfig, text: &str) -> Vec<i64> {
    tokenizer.encode(text, config.text.max_positions.min(64)).tokens().to_vec()
}
