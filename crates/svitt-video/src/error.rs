//! What can be wrong with a video: errors that name the file and the remedy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shorthand for a result with [`VideoError`].
pub(crate) type Result<T> = std::result::Result<T, VideoError>;

/// Characters of a file's or a program's own words that a message repeats.
const MOST_WORDS: usize = 200;

/// Why a video could not be read.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// There is no such file, it may not be opened, or it is a folder, a pipe or a device.
    #[error("cannot read {}: {problem}; check the path and its permissions", path.display())]
    NotFound {
        /// The video.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// The system's error, where it is one.
        #[source]
        source: Option<Arc<std::io::Error>>,
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
    /// A file cannot be written.
    #[error("cannot write {}: {source}; check the disk and the permissions of its folder", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: Arc<std::io::Error>,
    },
    /// Nothing is written to files with such a name.
    #[error("cannot write {}: its name must end in {endings}; name it so", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
        /// Endings that there are.
        endings: String,
    },
    /// The `ffmpeg` program did not write what it was to write.
    #[error(
        "cannot write {}: ffmpeg failed on {} ({detail}); see that the video plays and that this ffmpeg has the encoders",
        path.display(), video.display()
    )]
    NotEncoded {
        /// The file.
        path: PathBuf,
        /// The video it was to be made of.
        video: PathBuf,
        /// What the program said.
        detail: String,
    },
    /// Somebody asked to stop. Nothing is written to the file.
    #[error("cannot write {}: stopped before it was complete; start again", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
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
    /// Neither the native reader nor the `ffmpeg` program reads this format.
    #[error("cannot read {}: no reader decodes {format}; convert it to mp4 or leave it out", path.display())]
    Unreadable {
        /// The video.
        path: PathBuf,
        /// The format, such as `animated WebP`.
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
    /// Reading the file would take more memory than a video may.
    #[error("cannot read {}: {detail}; make it smaller (fewer pixels) or ask for fewer frames at once", path.display())]
    TooLarge {
        /// The video.
        path: PathBuf,
        /// What is too large, and the limit.
        detail: String,
    },
    /// The `ffmpeg` program made no progress.
    #[error("cannot read {}: ffmpeg made no progress for {seconds} s; the file is probably damaged, leave it out", path.display())]
    Timeout {
        /// The video.
        path: PathBuf,
        /// How long nothing came.
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

    /// The same error of a file that people know by another name: a copy of what lies in an archive.
    pub fn of(mut self, name: &Path) -> Self {
        match &mut self {
            Self::MissingTool { path, .. }
            | Self::NotFound { path, .. }
            | Self::NotWritten { path, .. }
            | Self::Ending { path, .. }
            | Self::NotEncoded { path, .. }
            | Self::Stopped { path }
            | Self::NoVideoStream { path }
            | Self::Empty { path }
            | Self::Unsupported { path, .. }
            | Self::Unreadable { path, .. }
            | Self::Corrupt { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Timeout { path, .. }
            | Self::Window { path, .. } => *path = name.to_path_buf(),
            Self::NoFfmpeg { .. } => {}
        }
        self
    }

    /// What is wrong, without the name of the file.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Corrupt { detail, .. } | Self::TooLarge { detail, .. } => detail.clone(),
            Self::Timeout { seconds, .. } => format!("ffmpeg made no progress for {seconds} s"),
            other => other.to_string(),
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl AsRef<str>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), detail: plain(detail.as_ref()) }
    }

    pub(crate) fn unsupported(path: &Path, format: impl AsRef<str>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), format: plain(format.as_ref()) }
    }

    pub(crate) fn too_large(path: &Path, detail: impl Into<String>) -> Self {
        Self::TooLarge { path: path.to_path_buf(), detail: detail.into() }
    }

    /// Reading on in an open file failed, or a limit was met.
    pub(crate) fn unread(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::FileTooLarge => Self::too_large(path, error.to_string()),
            _ => Self::corrupt(path, error.to_string()),
        }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::NotFound { path: path.to_path_buf(), problem: source.to_string(), source: Some(Arc::new(source)) }
    }

    pub(crate) fn not_written(path: &Path, source: std::io::Error) -> Self {
        Self::NotWritten { path: path.to_path_buf(), source: Arc::new(source) }
    }

    pub(crate) fn not_encoded([video, path]: [&Path; 2], detail: impl AsRef<str>) -> Self {
        let [video, path] = [video, path].map(Path::to_path_buf);
        Self::NotEncoded { path, video, detail: plain(detail.as_ref()) }
    }

    pub(crate) fn no_file(path: &Path, problem: &str) -> Self {
        Self::NotFound { path: path.to_path_buf(), problem: problem.to_owned(), source: None }
    }
}

/// Words that come from a file or another program, fit for a terminal: control characters, which could move its cursor
/// or change its title, are escaped, and the length is limited.
pub(crate) fn plain(words: &str) -> String {
    let mut text = String::new();
    for (place, c) in words.chars().enumerate() {
        if place == MOST_WORDS {
            text.push('…');
            break;
        }
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

fn missing_tool(path: &Path, format: &str, looked_at: &str) -> String {
    format!(
        "cannot read {}: {format} needs the `ffmpeg` program, which was not found or does not answer (looked at \
         {looked_at}); install it (apt-get install ffmpeg, brew install ffmpeg) or name one of version 5.1 or newer in \
         SVITT_FFMPEG; H.264 in mp4 and mov and VP9 in webm are read without it",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    #[test]
    fn the_missing_program_is_explained_on_one_line() {
        let error = VideoError::MissingTool {
            path: "DATA/didemo/x.avi".into(),
            format: "MPEG-4 in AVI".into(),
            looked_at: "$SVITT_FFMPEG (not set), then `ffmpeg` on PATH".into(),
        };
        let text = error.to_string();
        let begin = "cannot read DATA/didemo/x.avi: MPEG-4 in AVI needs the `ffmpeg` program";
        assert!(text.starts_with(begin) && text.contains("looked at $SVITT_FFMPEG (not set), then"), "{text}");
        assert!(!text.contains('\n') && text.contains("install it (apt-get"), "{text}");
        assert!(error.is_configuration());
    }

    #[test]
    fn words_of_a_file_cannot_steer_the_terminal_and_causes_are_kept() {
        let error = VideoError::unsupported(Path::new("a.mkv"), format!("\u{1b}]0;title\u{7}{}", "x".repeat(9000)));
        let text = error.to_string();
        assert!(!text.contains(char::is_control) && text.contains("\\u{1b}]0;title\\u{7}xxx"), "{text}");
        assert!(text.chars().count() < 400, "{text}");
        assert!(error.of(Path::new("b.tar#7+3#a.mkv")).to_string().contains("b.tar#7+3#a.mkv"));
        let cause = VideoError::io(Path::new("a.mkv"), std::io::Error::other("the disk is on fire"));
        assert_eq!(cause.source().unwrap().to_string(), "the disk is on fire");
    }
}
