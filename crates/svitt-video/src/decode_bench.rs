//! Decoding speed of the built-in reader and of ffmpeg, one thread each, on the same frames.

use super::clip::{ClipRequest, read_clip};
use super::error::{Result, VideoError};
use super::ffmpeg::{FfmpegProgram, add_input, file_name};
use super::frames::{Frames, MOST_BYTES};
use super::reader::{ReaderKind, ReaderOptions, VideoReader};
use super::sampling::FrameSampling;
use super::sniff::{Container, open_regular};
use serde::Serialize;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

/// Frames decoded at once where a whole video is, if the memory allows: 60 frames of 1080p are 370 MB.
const CHUNK: usize = 60;

/// Seconds of one file; medians of the repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecodeSpeed {
    /// The file.
    pub media: String,
    /// Pixels per row and rows.
    pub size: [usize; 2],
    /// Frames of the file.
    pub frames_total: usize,
    /// Seconds to open the file and have the middle frames of a clip as RGB.
    pub clip_s: f64,
    /// The same by `ffmpeg -threads 1`, from its start to its end.
    pub ffmpeg_clip_s: f64,
    /// Seconds to have every frame of the file as RGB.
    pub whole_s: f64,
    /// The same by `ffmpeg -threads 1`.
    pub ffmpeg_whole_s: f64,
}

impl DecodeSpeed {
    /// Times clips of `frames` middle frames and the whole of `path`; `None` where the built-in reader does not read it.
    ///
    /// # Errors
    /// A file that cannot be read, or no `ffmpeg` program.
    pub fn measure(path: &Path, frames: usize, repeats: usize) -> Result<Option<Self>> {
        let program = FfmpegProgram::find().map_err(|looked_at| VideoError::MissingTool {
            path: path.to_path_buf(),
            format: "the comparison".to_owned(),
            looked_at,
        })?;
        let options = ReaderOptions { kind: ReaderKind::Native, ..ReaderOptions::default() };
        let request = ClipRequest::new(frames, FrameSampling::Middle);
        let clip = || read_clip(path, &request, || 0.0, &options);
        let first = match clip() {
            Ok(first) => first,
            Err(VideoError::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (Frames { width, height, .. }, total) = (first.frames, first.reader.len());
        let mut chosen = first.indices.clone();
        chosen.dedup();
        let select = chosen.iter().map(|index| format!("eq(n\\,{index})")).collect::<Vec<_>>().join("+");
        Ok(Some(Self {
            media: path.display().to_string(),
            size: [width, height],
            frames_total: total,
            clip_s: median(repeats, &mut || clip().map(drop))?,
            ffmpeg_clip_s: median(repeats, &mut || run(&program, path, Some(&select), chosen.len()))?,
            whole_s: median(repeats, &mut || whole(path, &options))?,
            ffmpeg_whole_s: median(repeats, &mut || run(&program, path, None, total))?,
        }))
    }
}

fn whole(path: &Path, options: &ReaderOptions) -> Result<()> {
    let mut reader = VideoReader::open(path, options)?;
    let all: Vec<usize> = (0..reader.len()).collect();
    let most = (MOST_BYTES / (reader.width() * reader.height() * 3).max(1)).clamp(1, CHUNK);
    all.chunks(most).try_for_each(|indices| reader.get_frames(indices).map(drop))
}

/// Lets the program decode the frames that `select` names, or all, to RGB and write them nowhere. After the last wanted
/// frame it stops.
fn run(program: &FfmpegProgram, path: &Path, select: Option<&str>, count: usize) -> Result<()> {
    let mut file = open_regular(path)?;
    let demuxer = Container::of(&mut file).and_then(Container::demuxer).unwrap_or("mov");
    let mut command = program.decoding("error");
    add_input(&mut command, &file_name(path), demuxer);
    command.args(["-map", "0:V:0", "-filter_threads", "1"]);
    if let Some(select) = select {
        command.arg("-vf").arg(format!("select='{select}'"));
    }
    command.args(program.passthrough()).args(["-frames:v", &count.to_string()]);
    command.args(["-pix_fmt", "rgb24", "-c:v", "rawvideo", "-f", "null", "-"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(VideoError::corrupt(path, format!("ffmpeg ended with {status}"))),
        Err(error) => Err(VideoError::io(path, error)),
    }
}

fn median(repeats: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut seconds = Vec::new();
    for _ in 0..repeats.max(1) {
        let started = Instant::now();
        work()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::super::ffmpeg_available;
    use super::*;

    #[test]
    fn both_decoders_are_timed_and_other_formats_are_passed_over() {
        let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        if !ffmpeg_available() {
            let message = DecodeSpeed::measure(&file("vfr.mp4"), 4, 1).unwrap_err().to_string();
            assert!(message.contains("ffmpeg"), "{message}");
            return crate::skipped::skipped("ffmpeg");
        }
        let speed = DecodeSpeed::measure(&file("vfr.mp4"), 4, 1).unwrap().unwrap();
        assert!(speed.clip_s > 0.0 && speed.ffmpeg_clip_s > 0.0 && speed.whole_s > 0.0 && speed.ffmpeg_whole_s > 0.0);
        assert!(speed.frames_total > 4, "{speed:?}");
        assert!(DecodeSpeed::measure(Path::new("nowhere.mp4"), 4, 1).is_err());
    }
}
