//! All other formats, through the `ffmpeg` program.

mod index;
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::index::FrameIndex;
use self::program::ProcessOutput;
pub use self::program::ffmpeg_available;
pub(super) use self::program::{FfmpegProgram, input, run};
use super::error::{Result, VideoError};
use super::frames::Frames;

/// A video that the `ffmpeg` program decodes.
pub(super) struct FfmpegVideo {
    path: PathBuf,
    program: FfmpegProgram,
    limit: Duration,
    index: FrameIndex,
    /// The container can be sought by time and all its packets have one.
    seekable: bool,
    /// ffmpeg's messages while it listed the frames.
    complaint: Option<String>,
}

impl FfmpegVideo {
    /// Lists the frames of the file.
    ///
    /// In mp4, mov, webm and mkv (`seekable`) that is done without decoding. In avi, mpg and ts, where seeking loses
    /// frames and packets are not frames, and in files that are damaged, frames are counted by decoding all of them.
    pub fn open(path: &Path, format: &str, seekable: bool, limit: Duration) -> Result<Self> {
        let program = FfmpegProgram::find().map_err(|looked_at| VideoError::MissingTool {
            path: path.to_path_buf(),
            format: format.to_owned(),
            looked_at,
        })?;
        let index = FrameIndex::default();
        let mut video = Self { path: path.to_path_buf(), program, limit, index, seekable, complaint: None };
        let mut complaint = String::new();
        if seekable {
            (video.index, complaint) = video.list(&["-c", "copy"])?;
        }
        video.seekable &= video.index.timed && complaint.is_empty() && !video.index.times.is_empty();
        if !video.seekable {
            let [mode, passthrough] = video.program.passthrough();
            let [base, value] = video.program.file_time_base();
            (video.index, complaint) = video.list(&[mode, passthrough, base, value])?;
        }
        if video.index.times.is_empty() {
            return Err(video.why_nothing(&complaint));
        }
        video.complaint = last_line(&complaint);
        Ok(video)
    }

    /// Frames there are.
    pub fn len(&self) -> usize {
        self.index.times.len()
    }

    /// Width and height; rotation is known only once a frame was decoded.
    pub fn size(&self) -> (usize, usize) {
        self.index.size
    }

    /// When each frame is shown, in seconds.
    pub fn times(&self) -> Vec<f64> {
        self.index.times.clone()
    }

    /// How long the last frame is shown, in seconds.
    pub fn last_duration(&self) -> f64 {
        self.index.last_duration
    }

    /// What ffmpeg complained of, if it did.
    pub fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref()
    }

    /// Decodes the frames `wanted`, ascending and distinct, to RGB.
    pub fn frames(&mut self, wanted: &[usize]) -> Result<Frames> {
        let seeking: usize = wanted.iter().filter_map(|&index| self.index.cost.get(index)).sum();
        let forward = wanted.last().map_or(0, |last| last + 1);
        let mut pictures = Vec::new();
        // 60 packets are about what opening the file once more costs.
        if self.seekable && seeking + 60 * wanted.len() < forward + 60 {
            pictures = self.pictures(self.seek_command(wanted))?;
        }
        if pictures.len() != wanted.len() {
            pictures = self.pictures(self.forward_command(wanted))?;
        }
        if pictures.len() != wanted.len() {
            let detail = format!("ffmpeg returned {} of {} frames", pictures.len(), wanted.len());
            return Err(VideoError::corrupt(&self.path, detail));
        }
        let frames = assemble(pictures).ok_or_else(|| VideoError::corrupt(&self.path, "frames of different sizes"))?;
        self.index.size = (frames.width, frames.height);
        Ok(frames)
    }

    /// Runs a listing with these output options: the index and ffmpeg's complaints.
    fn list(&self, options: &[&str]) -> Result<(FrameIndex, String)> {
        let mut command = self.program.command();
        command.arg("-copyts").arg("-i").arg(input(&self.path));
        command.args(["-map", "0:v:0"]).args(options).args(["-f", "framecrc", "-"]);
        let outcome = self.run(command)?;
        Ok((FrameIndex::parse(&String::from_utf8_lossy(&outcome.stdout)), outcome.stderr))
    }

    /// One input per frame, each sought a little before its time.
    fn seek_command(&self, wanted: &[usize]) -> Command {
        let mut command = self.program.command();
        let gap = self.index.times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.02, f64::min);
        for &index in wanted {
            let time = self.index.times.get(index).copied().unwrap_or(0.0);
            if index > 0 {
                command.args(["-seek_timestamp", "1", "-ss", &format!("{:.6}", time - gap / 2.0)]);
            }
            command.arg("-i").arg(input(&self.path));
        }
        let streams = (0..wanted.len()).map(|i| format!("[{i}:v:0]trim=end_frame=1,setpts=PTS-STARTPTS[v{i}];"));
        let joined: String = (0..wanted.len()).map(|i| format!("[v{i}]")).collect();
        let graph = format!("{}{joined}concat=n={}[out]", streams.collect::<String>(), wanted.len());
        command.args(["-filter_complex", &graph, "-map", "[out]"]);
        command
    }

    /// All frames from the first to the last wanted one, the others dropped.
    fn forward_command(&self, wanted: &[usize]) -> Command {
        let mut command = self.program.command();
        command.arg("-i").arg(input(&self.path)).args(["-map", "0:v:0"]);
        command.args(["-vf", &format!("select={}", any_of(wanted)), "-frames:v", &wanted.len().to_string()]);
        command
    }

    /// Runs a decoding command and splits what it writes.
    fn pictures(&self, mut command: Command) -> Result<Vec<Ppm>> {
        command.args(self.program.passthrough());
        command.args(["-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"]);
        let outcome = self.run(command)?;
        Ok(Ppm::split(outcome.stdout))
    }

    fn run(&self, command: Command) -> Result<ProcessOutput> {
        let outcome = run(command, self.limit).map_err(|error| VideoError::corrupt(&self.path, error.to_string()))?;
        outcome.ok_or_else(|| VideoError::Timeout { path: self.path.clone(), seconds: self.limit.as_secs() })
    }

    fn why_nothing(&self, complaint: &str) -> VideoError {
        if complaint.contains("matches no streams") {
            return VideoError::NoVideoStream { path: self.path.clone() };
        }
        match last_line(complaint) {
            None => VideoError::Empty { path: self.path.clone() },
            Some(line) => VideoError::corrupt(&self.path, format!("ffmpeg says: {line}")),
        }
    }
}

/// An expression that is true of these frame numbers; balanced, because ffmpeg refuses sums nested 100 deep.
fn any_of(numbers: &[usize]) -> String {
    match numbers {
        [] => "0".to_owned(),
        [first, .., last] if last - first + 1 == numbers.len() => format!("between(n\\,{first}\\,{last})"),
        [only] => format!("eq(n\\,{only})"),
        _ => {
            let (left, right) = numbers.split_at(numbers.len() / 2);
            format!("({}+{})", any_of(left), any_of(right))
        }
    }
}

/// The last line of a complaint without the `[demuxer @ address] ` before it, which changes from run to run.
fn last_line(complaint: &str) -> Option<String> {
    let line = complaint.lines().next_back()?.trim();
    let words = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, words)| words);
    Some(words.trim().to_owned())
}

/// A picture in the portable pixmap format.
struct Ppm {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Ppm {
    /// The pictures of a stream; what does not parse ends it.
    fn split(stream: Vec<u8>) -> Vec<Self> {
        let mut rest = stream.as_slice();
        std::iter::from_fn(|| Self::next(&mut rest)).collect()
    }

    /// `P6 WIDTH HEIGHT 255`, one white space, pixels.
    fn next(stream: &mut &[u8]) -> Option<Self> {
        let mut fields = [0usize; 3];
        let mut rest = stream.strip_prefix(b"P6")?;
        for field in &mut fields {
            rest = rest.trim_ascii_start();
            let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
            *field = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
            rest = &rest[digits..];
        }
        let [width, height, 255] = fields else { return None };
        let size = width.checked_mul(height)?.checked_mul(3)?;
        let pixels = rest.get(1..)?.get(..size)?.to_vec();
        *stream = &rest[1 + size..];
        Some(Self { width, height, pixels })
    }
}

fn assemble(pictures: Vec<Ppm>) -> Option<Frames> {
    let (width, height) = pictures.first().map_or((0, 0), |first| (first.width, first.height));
    let same = pictures.iter().all(|picture| (picture.width, picture.height) == (width, height));
    let count = pictures.len();
    let data = pictures.into_iter().map(|picture| picture.pixels).collect::<Vec<_>>().concat();
    same.then_some(Frames { count, height, width, data })
}
