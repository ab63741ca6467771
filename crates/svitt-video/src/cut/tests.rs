use super::*;
use crate::ffmpeg_available;
use crate::skipped::skipped;
use std::path::PathBuf;

/// Six seconds at 25 frames a second with a tone, a key frame every second, B-frames between; every frame is seven grey
/// levels brighter than the one before, up to 210 of them.
fn movie(dir: &Path, name: &str, codecs: &[&str]) -> PathBuf {
    let path = dir.join(name);
    let mut command = FfmpegProgram::find().unwrap().command("error");
    command.args([
        "-f",
        "lavfi",
        "-i",
        "nullsrc=size=64x48:rate=25:duration=6,geq=lum=16+mod(7*N\\,210):cb=128:cr=128",
    ]);
    command.args(["-f", "lavfi", "-i", "sine=frequency=440:duration=6", "-g", "25", "-y"]).args(codecs);
    assert!(command.arg(&path).status().unwrap().success());
    path
}

const H264: [&str; 8] = ["-c:v", "libx264", "-keyint_min", "25", "-sc_threshold", "0", "-c:a", "aac"];

fn settings() -> CutSettings {
    CutSettings { stall: Duration::from_secs(60), ..CutSettings::default() }
}

/// Mean difference of frame `place` of the cut `part` and frame `frame` of `source`, grey levels.
fn difference(part: &Path, place: usize, source: &Path, frame: usize) -> f64 {
    let read = |path: &Path, frame| {
        VideoReader::open(path, &ReaderOptions::default()).unwrap().get_frames(&[frame]).unwrap().data
    };
    let (a, b) = (read(part, place), read(source, frame));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

/// Seconds of sound of a file.
fn sound(path: &Path) -> f64 {
    let mut command = FfmpegProgram::find().unwrap().command("error");
    command.arg("-i").arg(path).args(["-map", "0:a:0", "-f", "s16le", "-ar", "1000", "-ac", "1", "-"]);
    command.output().unwrap().stdout.len() as f64 / 2000.0
}

#[test]
fn a_span_at_a_key_frame_is_copied_and_another_is_encoded() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let source = movie(dir.path(), "a 'b'.mp4", &H264);
    let target = dir.path().join("clip.mp4");
    let cases = [([2.0, 4.0], true, 2.0, 50), ([2.2, 4.0], true, 2.0, 50), ([2.6, 4.0], false, 2.6, 35)];
    for (span, copied, start, frames) in cases {
        let found = cut(&source, &target, span, &settings()).unwrap();
        assert_eq!(found.encoded.is_none(), copied, "{span:?}");
        assert!((found.start - start).abs() < 1e-6 && (found.end - 4.0).abs() < 1e-6, "{found:?}");
        assert!((found.after_key_frame.unwrap() - (span[0] - 2.0)).abs() < 1e-6);
        assert_eq!(found.frames, frames, "{found:?}");
        let reader = VideoReader::open(&target, &ReaderOptions::default()).unwrap();
        assert_eq!(reader.len(), found.frames);
        assert!((reader.duration() - frames as f64 / 25.0).abs() < 0.17, "{} s", reader.duration());
        let first = (start * 25.0).round() as usize;
        let same = difference(&target, 0, &source, first);
        let after = difference(&target, 0, &source, first + 1);
        assert!(same < if copied { 1e-9 } else { 3.0 } && same < after, "{span:?}: {same} {after}");
        assert!((sound(&target) - frames as f64 / 25.0).abs() < 0.2, "{span:?}: {} s of sound", sound(&target));
    }
    let never = CutSettings { copy_within: None, ..settings() };
    let exact = cut(&source, &target, [2.0, 4.0], &never).unwrap();
    assert_eq!((exact.encoded, exact.frames), (Some(WhyEncoded::Asked), 50));
    let still = cut(&source, &target, [2.6, 2.6], &settings()).unwrap();
    assert!(
        still.end > 5.9 && still.encoded == Some(WhyEncoded::Far),
        "a span without length goes on to the end: {still:?}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing temporary stays behind");
}

#[test]
fn other_containers_are_cut_at_the_right_frame() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let avi = movie(dir.path(), "a.avi", &["-c:v", "mpeg4", "-c:a", "mp3"]);
    let ts = movie(dir.path(), "b.ts", &H264);
    let mkv = movie(dir.path(), "c.mkv", &H264);
    for source in [&avi, &ts, &mkv] {
        // AVI shows its first frame twice as long: frames are counted by their times.
        let reader = VideoReader::open(source, &ReaderOptions::default()).unwrap();
        let frames = window(reader.times(), Some(1.6), Some(3.0)).unwrap();
        for target in ["t.mp4", "t.mkv"].map(|name| dir.path().join(name)) {
            let found = cut(source, &target, [1.6, 3.0], &settings()).unwrap();
            assert!(found.encoded.is_some() && found.frames.abs_diff(35) <= 1, "{}: {found:?}", source.display());
            let [same, after] = [0, 1].map(|frame| difference(&target, 0, source, frames.start + frame));
            assert!(same < 3.0 && same < after, "{}: {same} {after}", source.display());
            assert!((sound(&target) - 1.4).abs() < 0.2, "{}: {} s", source.display(), sound(&target));
        }
    }
    // H.264 does not go into webm as it is.
    let webm = dir.path().join("t.webm");
    let found = cut(&mkv, &webm, [2.0, 2.4], &settings()).unwrap();
    assert!(found.encoded == Some(WhyEncoded::NotCopied) && found.frames == 10, "{found:?}");
}

/// Seconds to the first loud sample of a file, on the clock of its pictures.
fn first_beep(path: &Path) -> f64 {
    let mut command = FfmpegProgram::find().unwrap().command("error");
    command.arg("-i").arg(path).args(["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"]);
    command.args(["-f", "s16le", "-ar", "8000", "-ac", "1", "-"]);
    let sound = command.output().unwrap().stdout;
    let mut samples = sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.position(|sample| sample.unsigned_abs() > 4000).unwrap() as f64 / 8000.0
}

#[test]
fn sources_whose_clock_starts_later_are_cut_at_the_right_frame_and_sound() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    // A beep at every second but the first, grey levels that tell the frames apart.
    let pictures = "nullsrc=size=64x48:rate=25:duration=6,geq=lum=16+mod(7*N\\,210):cb=128:cr=128";
    let beeps = "aevalsrc=0.5*sin(6283*t)*lt(mod(t\\,1)\\,0.1)*gte(t\\,1):s=44100:d=6";
    let target = dir.path().join("clip.mp4");
    let exact = CutSettings { copy_within: None, ..settings() };
    for (offset, ending) in [("0.08", "mp4"), ("0.25", "mkv"), ("12", "mp4")] {
        let source = dir.path().join(format!("{offset}.{ending}"));
        let mut command = FfmpegProgram::find().unwrap().command("error");
        command.args(["-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", beeps, "-g", "25"]).args(H264);
        command.args(["-output_ts_offset", offset]).arg(&source);
        assert!(command.status().unwrap().success());
        let found = cut(&source, &target, [2.6, 4.2], &exact).unwrap();
        assert_eq!((found.frames, found.encoded), (40, Some(WhyEncoded::Asked)), "{offset}: {found:?}");
        assert_eq!(VideoReader::open(&target, &ReaderOptions::default()).unwrap().len(), 40);
        for (place, frame) in [(0, 65), (39, 104)] {
            let apart = difference(&target, place, &source, frame);
            assert!(apart < 3.0, "{offset}: {apart} from frame {frame}");
        }
        let beep = first_beep(&target);
        assert!((beep - 0.4).abs() < 0.03, "{offset}: the beep comes at {beep} s");
    }
}

#[test]
fn another_picture_than_the_wanted_one_is_found_out() {
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let source = movie(dir.path(), "a.mp4", &H264);
    let reader = VideoReader::open(&source, &ReaderOptions::default()).unwrap();
    let program = FfmpegProgram::find().unwrap();
    let patience = Patience { stall: STALL, stop: Arc::default() };
    let mut cutter = Cutter::new([&source; 2], reader, program, TargetKind::Mp4(".mp4"), patience).unwrap();
    cutter.require_picture(&source, 67, 67).unwrap();
    for other in [65, 66, 68, 70] {
        let message = cutter.require_picture(&source, other, 67).unwrap_err().to_string();
        assert!(message.contains("another frame"), "{message}");
    }
}

#[test]
fn what_cannot_be_cut_leaves_the_target_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [source, target, text] = ["a.mp4", "b.mp4", "b.txt"].map(|name| dir.path().join(name));
    std::fs::write(&source, b"not a video at all").unwrap();
    std::fs::write(&target, b"mine").unwrap();
    assert!(cut(&source, &target, [0.0, 1.0], &settings()).is_err());
    let message = cut(&source, &text, [0.0, 1.0], &settings()).unwrap_err().to_string();
    assert!(message.contains("b.txt") && message.contains("must end in .mp4"), "{message}");
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    if !ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let source = movie(dir.path(), "c.mp4", &H264);
    let message = cut(&source, &target, [7.0, 9.0], &settings()).unwrap_err().to_string();
    assert!(message.contains("no frame lies between 7.00 s and 9.00 s"), "{message}");
    // A program that gets on too slowly is stopped as one that hangs.
    let impatient = CutSettings { copy_within: None, stall: Duration::from_millis(1), ..settings() };
    let stopped = cut(&source, &target, [1.0, 5.0], &impatient).unwrap_err();
    assert!(matches!(stopped, VideoError::Timeout { .. }), "{stopped}");
    let asked = CutSettings { copy_within: None, stop: Arc::new(AtomicBool::new(true)), ..settings() };
    let stopped = cut(&source, &target, [1.0, 5.0], &asked).unwrap_err();
    assert!(matches!(stopped, VideoError::Stopped { .. }), "{stopped}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "nothing temporary stays behind");
    assert_eq!(std::fs::read(&target).unwrap(), b"mine");
}
