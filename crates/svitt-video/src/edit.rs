//! Videos made of others: cut, faster or slower, one after the other or one above the other, by the `ffmpeg` program.

use super::encode::{encode, find, read_back};
use super::error::{Result, VideoError};
use super::ffmpeg::{add_input, file_name};
use super::partial::PartialFile;
use super::sniff::demuxer_of;
use super::{ReaderOptions, VideoReader};
use std::path::{Path, PathBuf};

/// A part of a video at some speed.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// The file.
    pub source: PathBuf,
    /// Seconds where it begins and ends; none for all of it.
    pub span: Option<[f64; 2]>,
    /// How many times faster it is shown.
    pub speed: f64,
}

impl Piece {
    /// All of `source` as it is.
    pub fn whole(source: &Path) -> Self {
        Self { source: source.to_path_buf(), span: None, speed: 1.0 }
    }
}

/// How pieces become a video; the second one takes the size of the first.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrangement {
    /// One piece.
    Alone(Piece),
    /// One after the other.
    InTurn([Piece; 2]),
    /// The first above the second, as long as the shorter of them.
    Stacked([Piece; 2]),
}

/// Writes `arrangement` as the H.264 file `target`, without sound.
///
/// # Errors
/// There is no `ffmpeg` program, a source that is no video, or the program fails.
pub fn arrange(arrangement: &Arrangement, target: &Path) -> Result<()> {
    let pieces = match arrangement {
        Arrangement::Alone(piece) => std::slice::from_ref(piece),
        Arrangement::InTurn(pieces) | Arrangement::Stacked(pieces) => &pieces[..],
    };
    let program = find(target, "writing H.264")?;
    let part = PartialFile::beside(target, ".mp4")?;
    let mut command = program.command("error");
    command.args(super::encode::ALIVE);
    let mut shapes = Vec::new();
    for piece in pieces {
        shapes.push(Shape::of(piece)?);
        add_input(&mut command, &file_name(&piece.source), demuxer_of(&piece.source)?);
    }
    command.arg("-filter_complex").arg(filter(arrangement, pieces, &shapes)).args(["-map", "[out]"]);
    command.args(["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"]).arg(file_name(part.path()));
    encode(command, [target; 2])?;
    read_back(part.path())?;
    part.complete(target)
}

/// What decides how two pieces fit together.
struct Shape {
    width: usize,
    height: usize,
    fps: f64,
    /// Seconds of the piece as it is shown.
    seconds: f64,
}

impl Shape {
    fn of(piece: &Piece) -> Result<Self> {
        let mut reader = VideoReader::open(&piece.source, &ReaderOptions::default())?;
        // The size of a turned video is known once a frame was read.
        reader.get_frames(&[0])?;
        let whole = reader.duration();
        let seconds = piece.span.map_or(whole, |[start, end]| end.min(whole) - start) / piece.speed;
        if seconds.is_nan() || seconds <= 0.0 {
            let span = piece.span.map_or("all of it".into(), |[start, end]| format!("{start} to {end} s"));
            return Err(VideoError::corrupt(&piece.source, format!("nothing is left of {span} of {whole:.2} s")));
        }
        Ok(Self { width: reader.width(), height: reader.height(), fps: reader.fps(), seconds })
    }
}

/// The program's description of `arrangement`. H.264 takes even sides only.
fn filter(arrangement: &Arrangement, pieces: &[Piece], shapes: &[Shape]) -> String {
    let [width, height] = [shapes[0].width, shapes[0].height].map(|side| (side / 2 * 2).max(2));
    let fps = shapes.iter().map(|shape| shape.fps).fold(1.0, f64::max);
    let shorter = shapes.iter().map(|shape| shape.seconds).fold(f64::INFINITY, f64::min);
    let limit = match arrangement {
        Arrangement::Stacked(_) => format!(",trim=end={shorter}"),
        Arrangement::Alone(_) | Arrangement::InTurn(_) => String::new(),
    };
    let chain = |(number, piece): (usize, &Piece)| {
        let span = piece.span.map_or(String::new(), |[start, end]| format!("trim=start={start}:end={end},"));
        let speed = piece.speed;
        let shown = format!("{span}setpts=(PTS-STARTPTS)/{speed},fps={fps}{limit}");
        format!("[{number}:V:0]{shown},scale={width}:{height},setsar=1[p{number}];")
    };
    let chains: String = pieces.iter().enumerate().map(chain).collect();
    let joined = match arrangement {
        Arrangement::Alone(_) => "[p0]null",
        Arrangement::InTurn(_) => "[p0][p1]concat=n=2:v=1:a=0",
        Arrangement::Stacked(_) => "[p0][p1]vstack=inputs=2",
    };
    format!("{chains}{joined}[out]")
}

#[cfg(test)]
mod tests {
    use super::super::encode::write_rgb;
    use super::*;

    /// Two seconds of 12 frames each, of a grey level that grows from `first`.
    fn clip(path: &Path, first: u8, [width, height]: [usize; 2]) {
        let rgb: Vec<u8> = (0..24u8).flat_map(|frame| vec![first + 3 * frame; width * height * 3]).collect();
        write_rgb(path, &rgb, [width, height], 12.0).unwrap();
    }

    /// Seconds, width, height, and the mean level of the first and the last frame.
    fn facts(path: &Path) -> (f64, usize, usize, [f64; 2]) {
        let mut reader = VideoReader::open(path, &ReaderOptions::default()).unwrap();
        let (duration, last) = (reader.duration(), reader.len() - 1);
        let frames = reader.get_frames(&[0, last]).unwrap();
        (duration, frames.width, frames.height, [0, 1].map(|at| frames.mean_rgb(at)[0]))
    }

    #[test]
    fn pieces_are_cut_sped_up_joined_and_stacked() {
        if !super::super::ffmpeg_available() {
            return crate::skipped::skipped("ffmpeg");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let (one, other) = (path("one.mp4"), path("other.mp4"));
        clip(&one, 20, [36, 20]);
        clip(&other, 140, [24, 24]);
        let piece = |span, speed| Piece { span, speed, ..Piece::whole(&one) };
        let near = |found: f64, expected: f64, what: &str| assert!((found - expected).abs() < 6.0, "{what}: {found}");
        let make = |arrangement: &Arrangement| {
            arrange(arrangement, &path("made.mp4")).unwrap();
            facts(&path("made.mp4"))
        };
        let (seconds, width, height, levels) = make(&Arrangement::Alone(piece(Some([0.5, 1.5]), 1.0)));
        assert_eq!(((12.0 * seconds).round(), width, height), (12.0, 36, 20));
        near(levels[0], 38.0, "half a second is six frames");
        let (seconds, .., levels) = make(&Arrangement::Alone(piece(None, 4.0)));
        assert_eq!((12.0 * seconds).round(), 6.0, "four times as fast");
        assert!(levels[1] > 76.0, "up to the end: {levels:?}");
        let (seconds, width, height, levels) = make(&Arrangement::InTurn([piece(None, 1.0), Piece::whole(&other)]));
        assert_eq!(((12.0 * seconds).round(), width, height), (48.0, 36, 20));
        near(levels[0], 20.0, "first the one");
        near(levels[1], 209.0, "then the other");
        let (seconds, width, height, levels) = make(&Arrangement::Stacked([piece(None, 2.0), Piece::whole(&other)]));
        assert_eq!(((12.0 * seconds).round(), width, height), (12.0, 36, 40), "as long as the shorter");
        near(levels[0], 80.0, "both halves");
        assert!(arrange(&Arrangement::Alone(piece(Some([5.0, 6.0]), 1.0)), &path("none.mp4")).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing temporary stays behind");
    }
}
