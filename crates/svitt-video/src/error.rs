//! What can be wrong with a video; every message names the file and a remedy.

use std::path::{Path, PathBuf};

/// Shorthand for a result with [`VideoError`].
pub(crate) type Result<T> = std::result::Result<T, VideoError>;

/// Why a video could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The format needs the `ffmpeg` program, which is missing. An error of the machine, not of the file: a loader must
    /// not replace the item silently.
    #[error("{}", missing_tool(path, format, looked_at))]
    MissingTool {
        /// The video.
        path: PathBuf,
        /// Its format, such as `MPEG-4 in AVI`.
        format: String,
        /// Where the program was looked for.
        looked_at: String,
    },
    /// There is no `ffmpeg` program to write videos with.
    #[error(
        "ffmpeg: this program is needed to write videos and was not found (looked at {looked_at}); \
         install it (apt-get install ffmpeg, brew install ffmpeg) or set SVITT_FFMPEG to its path"
    )]
    NoFfmpeg {
        /// Where the program was looked for.
        looked_at: String,
    },
    /// A picture cannot be written.
    #[error("cannot write {}: {problem}; check the disk and the folder's permissions", path.display())]
    NotWritten {
        /// The picture.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// There is no such file, or it may not be opened.
    #[error("cannot read {}: {problem}; check the path and its permissions", path.display())]
    NotFound {
        /// The video.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The file is a container without a video track.
    #[error("cannot read {}: it has no video stream (audio only?); leave it out of the data set", path.display())]
    NoVideoStream {
        /// The video.
        path: PathBuf,
    },
    /// The video track holds no frames.
    #[error("cannot read {}: its video stream holds zero frames; leave it out or fetch it again", path.display())]
    Empty {
        /// The video.
        path: PathBuf,
    },
    /// The native reader does not know this format, or uses of it.
    #[error("cannot read {}: the built-in reader does not decode {format}; use the reader `auto` or `ffmpeg`", path.display())]
    Unsupported {
        /// The video.
        path: PathBuf,
        /// Codec and container, such as `HEVC in MP4`.
        format: String,
    },
    /// The file does not decode.
    #[error("cannot read {}: it does not decode ({detail}); fetch it again or leave it out", path.display())]
    Corrupt {
        /// The video.
        path: PathBuf,
        /// What the decoder said.
        detail: String,
    },
    /// The `ffmpeg` program did not come to an end.
    #[error("cannot read {}: ffmpeg did not finish within {seconds} s; the file is probably damaged, leave it out", path.display())]
    Timeout {
        /// The video.
        path: PathBuf,
        /// How long it was given.
        seconds: u64,
    },
    /// The wanted part of the video does not exist.
    #[error("cannot read {}: no frame lies between {start} s and {end} s (the video has {duration} s); correct `start` and `end`", path.display())]
    Window {
        /// The video.
        path: PathBuf,
        /// Seconds at which the part begins.
        start: String,
        /// Seconds at which the part ends.
        end: String,
        /// Seconds the video lasts.
        duration: String,
    },
}

impl VideoError {
    /// True for errors of the machine, which no other file avoids.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::MissingTool { .. })
    }

    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), detail: detail.into() }
    }

    pub(crate) fn unsupported(path: &Path, format: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), format: format.into() }
    }

    pub(crate) fn not_written(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::NotWritten { path: path.to_path_buf(), problem: problem.to_string() }
    }

    pub(crate) fn io(path: &Path, source: &std::io::Error) -> Self {
        Self::NotFound { path: path.to_path_buf(), problem: source.to_string() }
    }
}

fn missing_tool(path: &Path, format: &str, looked_at: &str) -> String {
    format!(
        "cannot read {}: {format} needs the `ffmpeg` program, which was not found\n  \
         looked at: {looked_at}\n  \
         fix:  apt-get install -y --no-install-recommends ffmpeg        (macOS: brew install ffmpeg)\n  \
         or:   export SVITT_FFMPEG=PATH-TO-FFMPEG                       (version 5.1 or newer)\n  \
         H.264 .mp4/.mov and VP9 .webm files are read without it.",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_program_is_explained_in_five_lines() {
        let error = VideoError::MissingTool {
            path: "DATA/didemo/x.avi".into(),
            format: "MPEG-4 in AVI".into(),
            looked_at: "$SVITT_FFMPEG (not set), then `ffmpeg` on PATH".into(),
        };
        let expected = "\
cannot read DATA/didemo/x.avi: MPEG-4 in AVI needs the `ffmpeg` program, which was not found
  looked at: $SVITT_FFMPEG (not set), then `ffmpeg` on PATH
  fix:  apt-get install -y --no-install-recommends ffmpeg        (macOS: brew install ffmpeg)
  or:   export SVITT_FFMPEG=PATH-TO-FFMPEG                       (version 5.1 or newer)
  H.264 .mp4/.mov and VP9 .webm files are read without it.";
        assert_eq!(error.to_string(), expected);
        assert!(error.is_configuration());
    }
}
