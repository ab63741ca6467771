//! The frames of one clip, straight from a file.

use std::path::Path;

use super::error::{Result, VideoError};
use super::frames::Frames;
use super::reader::{ReaderOptions, VideoReader};
use super::sampling::{FrameSampling, window};

/// Which frames of a file make a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipRequest {
    /// Frames of the clip.
    pub frames: usize,
    /// How they are chosen.
    pub sampling: FrameSampling,
    /// Seconds after the first frame where the clip begins.
    pub start: Option<f64>,
    /// Seconds after the first frame where the clip ends.
    pub end: Option<f64>,
}

impl ClipRequest {
    /// `frames` frames of the whole video.
    pub fn new(frames: usize, sampling: FrameSampling) -> Self {
        Self { frames, sampling, start: None, end: None }
    }

    /// The indices of the clip in an open video.
    fn indices(&self, reader: &VideoReader, path: &Path, uniform: &mut dyn FnMut() -> f64) -> Result<Vec<usize>> {
        let Some(span) = window(reader.times(), self.start, self.end) else {
            let seconds = |value: f64| format!("{value:.2}");
            return Err(VideoError::Window {
                path: path.to_path_buf(),
                start: seconds(self.start.unwrap_or(0.0)),
                end: self.end.map_or("the end".to_owned(), seconds),
                duration: seconds(reader.duration()),
            });
        };
        let inside = self.sampling.indices(self.frames, span.len(), reader.fps(), uniform);
        Ok(inside.into_iter().map(|index| index + span.start).collect())
    }
}

/// A clip and where it came from.
pub struct DecodedClip {
    /// Frame numbers in the file, ascending; the last one repeated where the file has too few.
    pub indices: Vec<usize>,
    /// Their pixels.
    pub frames: Frames,
    /// The video, still open.
    pub reader: VideoReader,
}

/// Opens `path`, chooses the frames of `request` and decodes them.
///
/// The choice depends on `uniform`, random numbers in `[0, 1)`, and on the number of frames alone. If the file turns out to have fewer frames than it
/// says, they are chosen again from those there are, with the same draws.
///
/// # Errors
/// Any [`VideoError`].
pub fn read_clip(
    path: &Path,
    request: &ClipRequest,
    uniform: impl FnMut() -> f64 + Clone,
    options: &ReaderOptions,
) -> Result<DecodedClip> {
    let mut reader = VideoReader::open(path, options)?;
    loop {
        let indices = request.indices(&reader, path, &mut uniform.clone())?;
        if let Some(frames) = reader.frames_or_changed(&indices)? {
            return Ok(DecodedClip { indices, frames, reader });
        }
    }
}
