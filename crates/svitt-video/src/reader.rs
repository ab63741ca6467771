//! One video file: how many frames, when each is shown, and their pixels.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Result, VideoError};
use super::ffmpeg::{FfmpegVideo, Source, ffmpeg_available};
use super::frames::{Frames, check_memory};
use super::holes::written_end;
use super::joined::origins;
use super::native::{self, NativeVideo};
use super::sniff::{Container, open_regular};

/// Which decoder to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReaderKind {
    /// The built-in one for what it knows, the `ffmpeg` program for the rest; both return the same bytes.
    #[default]
    Auto,
    /// The built-in one only.
    Native,
    /// The `ffmpeg` program only.
    Ffmpeg,
}

impl std::str::FromStr for ReaderKind {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let kinds = [("auto", Self::Auto), ("native", Self::Native), ("ffmpeg", Self::Ffmpeg)];
        let found = kinds.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| kind).ok_or_else(|| "use auto, native or ffmpeg".to_owned())
    }
}

/// How videos are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Which decoder to use.
    pub kind: ReaderKind,
    /// How long the `ffmpeg` program may make no progress: some damaged files keep decoders busy for ever, while a long
    /// and healthy one takes as long as it takes.
    pub timeout: Duration,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { kind: ReaderKind::Auto, timeout: Duration::from_secs(60) }
    }
}

/// An open video.
pub struct VideoReader {
    path: PathBuf,
    options: ReaderOptions,
    backend: ReaderBackend,
    times: Vec<f64>,
    key_frames: Vec<usize>,
    warnings: Vec<String>,
    /// The `ffmpeg` program does not decode all of it in one run.
    in_blocks: bool,
}

enum ReaderBackend {
    Native(NativeVideo),
    Ffmpeg(FfmpegVideo),
}

impl VideoReader {
    /// Opens `path` and lists its frames.
    ///
    /// # Errors
    /// Every [`VideoError`] but [`VideoError::Window`]; [`VideoError::MissingTool`] only where the format needs the
    /// `ffmpeg` program and there is none.
    pub fn open(path: &Path, options: &ReaderOptions) -> Result<Self> {
        let mut warnings = Vec::new();
        let backend = match options.kind {
            ReaderKind::Native => ReaderBackend::Native(NativeVideo::open(path)?),
            ReaderKind::Ffmpeg => ReaderBackend::Ffmpeg(open_ffmpeg(path, "the reader `ffmpeg`", true, options)?),
            ReaderKind::Auto => open_either(path, options)?,
        };
        match &backend {
            ReaderBackend::Native(video) if video.damaged() => {
                warnings.push(damaged(path, "its structure", video.len()))
            }
            ReaderBackend::Native(video) if video.truncated() => warnings.push(cut_short(path, video.len())),
            ReaderBackend::Ffmpeg(video) => {
                warnings = warnings_of(path, video);
            }
            ReaderBackend::Native(_) => {}
        }
        let mut reader = Self {
            path: path.to_path_buf(),
            options: options.clone(),
            backend,
            times: Vec::new(),
            key_frames: Vec::new(),
            warnings,
            in_blocks: false,
        };
        reader.refresh();
        Ok(reader)
    }

    /// Frames of the video: what `ffmpeg -map 0:V:0 -fps_mode passthrough` puts out, and
    /// every part of a joined file.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no frame; never true of a reader that opened.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// When each frame is shown, in seconds, in the order of presentation. Never going back: where the clock of the file
    /// starts again, its times are continued.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The frames that decode without others, ascending, as the container tells them; empty where it does not.
    pub fn key_frames(&self) -> &[usize] {
        &self.key_frames
    }

    /// Seconds from the first frame to the end of the last.
    pub fn duration(&self) -> f64 {
        let last = match &self.backend {
            ReaderBackend::Native(video) => video.last_duration(),
            ReaderBackend::Ffmpeg(video) => video.last_duration(),
        };
        match (self.times.first(), self.times.last()) {
            (Some(first), Some(end)) => end - first + last,
            _ => 0.0,
        }
    }

    /// Average frames per second.
    pub fn fps(&self) -> f64 {
        let duration = self.duration();
        if duration > 0.0 { self.len() as f64 / duration } else { 0.0 }
    }

    /// Pixels per row as shown. Where `ffmpeg` reads a turned video, that is known once a frame was read.
    pub fn width(&self) -> usize {
        self.size().0
    }

    /// Pixels per column as shown; see [`VideoReader::width`].
    pub fn height(&self) -> usize {
        self.size().1
    }

    fn size(&self) -> (usize, usize) {
        match &self.backend {
            ReaderBackend::Native(video) => video.size(),
            ReaderBackend::Ffmpeg(video) => video.size(),
        }
    }

    /// `native` or `ffmpeg`.
    pub fn decoder(&self) -> &'static str {
        match self.backend {
            ReaderBackend::Native(_) => "native",
            ReaderBackend::Ffmpeg(_) => "ffmpeg",
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn options(&self) -> &ReaderOptions {
        &self.options
    }

    /// The video, where the `ffmpeg` program reads it and may decode all of it in one run.
    pub(crate) fn foreign(&mut self) -> Option<&mut FfmpegVideo> {
        let in_blocks = self.in_blocks;
        if let ReaderBackend::Ffmpeg(video) = &mut self.backend { Some(video).filter(|_| !in_blocks) } else { None }
    }

    /// Decodes it in several runs from now on.
    pub(crate) fn refuse_one_run(&mut self) {
        self.in_blocks = true;
    }

    pub(crate) fn native(&mut self) -> Option<&mut NativeVideo> {
        if let ReaderBackend::Native(video) = &mut self.backend { Some(video) } else { None }
    }

    /// What a person should know although the video was read: it is cut short, or damaged.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The frames at `indices`, in that order, repeats allowed.
    ///
    /// If the video turns out to be damaged, another decoder or the part before the damage is used: then
    /// [`VideoReader::len`] changes, a warning is added, and indices past the new end mean the last frame.
    ///
    /// # Errors
    /// [`VideoError::Corrupt`], [`VideoError::Timeout`], [`VideoError::MissingTool`], [`VideoError::Unsupported`], or
    /// [`VideoError::TooLarge`] if the frames take more than 512 MB together.
    pub fn get_frames(&mut self, indices: &[usize]) -> Result<Frames> {
        if let Some(frames) = self.frames_or_changed(indices)? {
            return Ok(frames);
        }
        loop {
            let last = self.len().saturating_sub(1);
            let wanted: Vec<usize> = indices.iter().map(|index| (*index).min(last)).collect();
            if let Some(frames) = self.frames_or_changed(&wanted)? {
                return Ok(frames);
            }
        }
    }

    /// As [`VideoReader::get_frames`], but `None` after a change of the decoder or of the part that is used: the caller
    /// may want other frames then, and decoding these would be in vain.
    pub(crate) fn frames_or_changed(&mut self, indices: &[usize]) -> Result<Option<Frames>> {
        if let Some(index) = indices.iter().find(|index| **index >= self.len()) {
            let detail = format!("frame {index} of {} was asked for", self.len());
            return Err(VideoError::corrupt(&self.path, detail));
        }
        check_memory(&self.path, indices.len(), self.width(), self.height())?;
        let mut distinct = indices.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let read = match &mut self.backend {
            ReaderBackend::Native(video) => video.frames(&distinct),
            ReaderBackend::Ffmpeg(video) => video.frames(&distinct),
        };
        match read {
            Ok(frames) => Ok(Some(spread(frames, &distinct, indices))),
            Err(error) => self.recover(error).map(|()| None),
        }
    }

    /// Makes the best of a failed decode, or gives the error back. The decoder changes once, and the built-in one cuts
    /// the video a bounded number of times.
    pub(crate) fn recover(&mut self, error: VideoError) -> Result<()> {
        let video = match &mut self.backend {
            ReaderBackend::Native(video) => video,
            ReaderBackend::Ffmpeg(video) => {
                // Fewer frames came out than the packets promised.
                if !matches!(error, VideoError::Corrupt { .. }) || !video.count_by_decoding()? {
                    return Err(error);
                }
                self.warnings = warnings_of(&self.path, video);
                self.refresh();
                return Ok(());
            }
        };
        let (unsupported, corrupt) = match &error {
            VideoError::Unsupported { format, .. } => (Some(format.clone()), None),
            VideoError::Corrupt { detail, .. } => (None, Some(detail.clone())),
            _ => return Err(error),
        };
        let mut other = None;
        if self.options.kind == ReaderKind::Auto && (unsupported.is_some() || ffmpeg_available()) {
            let format = unsupported.as_deref().unwrap_or("a damaged file");
            let sound = unsupported.is_some() && ![native::CHANGING, native::NO_KEY].contains(&format);
            match open_ffmpeg(&self.path, format, sound, &self.options) {
                Ok(video) => other = Some(video),
                // What the program refuses as a whole may still decode up to the damage.
                Err(refused) if unsupported.is_some() => return Err(refused),
                Err(_) => {}
            }
        }
        // One warning a file, however often it had to be cut.
        if let Some(other) = other {
            self.warnings = warnings_of(&self.path, &other);
            self.backend = ReaderBackend::Ffmpeg(other);
        } else if let Some(what) = corrupt.filter(|_| video.cut_before_failure()) {
            self.warnings = vec![damaged(&self.path, &what, video.len())];
        } else {
            return Err(error);
        }
        self.refresh();
        Ok(())
    }

    fn refresh(&mut self) {
        (self.times, self.key_frames) = match &self.backend {
            ReaderBackend::Native(video) => (video.times(), video.key_frames()),
            ReaderBackend::Ffmpeg(video) => (video.times(), video.key_frames()),
        };
    }
}

/// The built-in reader, or the `ffmpeg` program after any error of it that another reader may not share.
fn open_either(path: &Path, options: &ReaderOptions) -> Result<ReaderBackend> {
    let error = match NativeVideo::open(path) {
        Ok(video) if video.damaged() && ffmpeg_available() => {
            let other = open_ffmpeg(path, "a damaged file", false, options).ok();
            let more = other.filter(|other| other.len() > video.len());
            return Ok(more.map_or(ReaderBackend::Native(video), ReaderBackend::Ffmpeg));
        }
        Ok(video) => return Ok(ReaderBackend::Native(video)),
        Err(error) => error,
    };
    match &error {
        VideoError::Unsupported { format, .. } => open_ffmpeg(path, format, true, options).map(ReaderBackend::Ffmpeg),
        VideoError::Corrupt { .. } | VideoError::Empty { .. } if ffmpeg_available() => {
            open_ffmpeg(path, "a damaged file", false, options).map(ReaderBackend::Ffmpeg)
        }
        _ => Err(error),
    }
}

/// `sound`: the file showed no sign of damage, so its packets may be taken for its frames.
fn open_ffmpeg(path: &Path, format: &str, sound: bool, options: &ReaderOptions) -> Result<FfmpegVideo> {
    let mut file = open_regular(path)?;
    // The program opens nothing whose first bytes are not those of a known container: it would follow playlists.
    let Some(container) = Container::of(&mut file) else { return Err(native::no_video(path, &file)) };
    let Some(demuxer) = container.demuxer() else {
        return Err(VideoError::Unreadable { path: path.to_path_buf(), format: container.format(&mut file) });
    };
    let seekable = sound && matches!(container, Container::Mp4 | Container::Matroska);
    let layout = match container {
        Container::Other(_) => {
            let part = |origin| native::Layout { origin, hidden: None };
            origins(&mut file, demuxer).into_iter().map(part).collect()
        }
        known => native::layout(known, &mut file),
    };
    let end = written_end(&file);
    FfmpegVideo::open(&Source { path, demuxer, format, seekable, layout, end }, options.timeout)
}

/// Frames at `distinct` indices copied to where `wanted` has them.
fn spread(frames: Frames, distinct: &[usize], wanted: &[usize]) -> Frames {
    if distinct == wanted {
        return frames;
    }
    let places = wanted.iter().map(|index| distinct.binary_search(index).unwrap_or(0));
    let data = places.flat_map(|place| frames.frame(place)).copied().collect();
    Frames { count: wanted.len(), data, ..frames }
}

/// What `ffmpeg` complained of, and what of a joined file is not used.
fn warnings_of(path: &Path, video: &FfmpegVideo) -> Vec<String> {
    let what = video.complaint().map(|what| damaged(path, what, video.len()));
    let left_out = video.left_out().iter().map(|part| format!("{}: left out: {part}", path.display()));
    what.into_iter().chain(left_out).collect()
}

fn cut_short(path: &Path, frames: usize) -> String {
    format!("{}: the file is cut short; {frames} frames are whole and are used", path.display())
}

fn damaged(path: &Path, what: &str, frames: usize) -> String {
    format!("{}: the file is damaged ({}); {frames} frames decode and are used", path.display(), what.trim())
}
