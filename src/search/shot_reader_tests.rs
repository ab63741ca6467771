use super::super::{Moments, Spans, read_span};
use super::*;
use crate::search::clip_reader::DecodeSeconds;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use svitt_video::{Frames, ReaderKind, ReaderOptions, ffmpeg_available};

type Clips = Vec<([f64; 2], Vec<f32>)>;

/// Sources of `ffmpeg` that differ from each other, 160 × 96 at 25 frames a second.
const SOURCES: [&str; 4] = [
    "testsrc2=size=160x96:rate=25",
    "mandelbrot=size=160x96:rate=25",
    "smptebars=size=160x96:rate=25",
    "color=navy:size=160x96:rate=25,drawbox=w=80:c=white:t=fill",
];

/// A video of shots: the number of the source and of its frames each. False where the program lacks the encoder.
fn make(path: &Path, shots: &[(usize, usize)], options: &str) -> bool {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for (source, _) in shots {
        command.args(["-f", "lavfi", "-i", SOURCES[*source]]);
    }
    let trimmed =
        shots.iter().enumerate().map(|(n, (_, frames))| format!("[{n}]format=yuv420p,trim=end_frame={frames}[v{n}];"));
    let joined: String = (0..shots.len()).map(|n| format!("[v{n}]")).collect();
    let graph = format!("{}{joined}concat=n={}[out]", trimmed.collect::<String>(), shots.len());
    command.args(["-filter_complex", &graph, "-map", "[out]"]).args(options.split_whitespace()).arg(path);
    command.output().unwrap().status.success()
}

fn raw(frames: &Frames) -> Vec<f32> {
    frames.data.iter().map(|&byte| f32::from(byte)).collect()
}

/// The clips of a file, as its readers give them to `read`.
fn collect(read: impl FnOnce(&ClipSink)) -> Clips {
    let (found, spent) = (Mutex::new(Vec::new()), DecodeSeconds::default());
    let take = |span, pixels| {
        found.lock().unwrap().push((span, pixels));
        true
    };
    let again = || found.lock().unwrap().clear();
    read(&ClipSink { prepare: &raw, take: &take, again: &again, reader: &ReaderOptions::default(), spent: &spent });
    found.into_inner().unwrap()
}

fn clips(path: &Path, windows: &ClipWindows) -> Clips {
    collect(|sink| each_shot_clip(path, windows, 1, sink).unwrap())
}

/// The same by `workers` threads.
fn clips_on_threads(path: &Path, windows: &ClipWindows, workers: usize) -> Clips {
    collect(|sink| {
        let mut reader = VideoReader::open(path, &ReaderOptions::default()).unwrap();
        let source = FrameSource::of(&mut reader, windows);
        assert!(source.parts.len() > 1, "there is something to share");
        read_on_threads(path, &reader, windows, &source, Decoding::Parts(workers), sink).unwrap();
    })
}

/// Frames at which clips begin, of a video of 25 frames a second.
fn begins(clips: &Clips) -> Vec<usize> {
    clips.iter().map(|(span, _)| (span[0] * 25.0).round() as usize).collect()
}

/// Every clip shows what reading its span alone shows: re-ranking looks at the same frames.
fn assert_read_again(path: &Path, windows: &ClipWindows, clips: &Clips) {
    for (span, pixels) in clips {
        let mut reader = VideoReader::open(path, &ReaderOptions::default()).unwrap();
        let alone = read_span(&mut reader, *span, windows.frames(), windows.choice()).unwrap().unwrap();
        assert!(raw(&alone) == *pixels, "{} {span:?}", path.display());
    }
}

fn windows(seconds: f64, moments: Moments) -> ClipWindows {
    ClipWindows::new(seconds, 0.5, 3).unwrap().by(Spans::Shots).at(moments)
}

const X264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 37";

#[test]
fn shots_of_every_kind_of_file_are_clips_whatever_threads_there_are() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    // 339 frames: more than are all kept.
    let shots = [(0, 41), (1, 53), (2, 67), (3, 29), (0, 103), (2, 46)];
    let mut made = 0;
    for (name, options) in [
        ("a.mp4", X264),
        ("a.mkv", "-c:v libx264 -bf 0 -g 50"),
        ("a.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -g 40"),
        ("a.avi", "-c:v mpeg4 -bf 2 -g 30"),
        ("a.ts", "-c:v libx264 -g 30"),
    ] {
        let path = dir.path().join(name);
        if !make(&path, &shots, options) {
            crate::skipped::skipped("an encoder that this ffmpeg lacks, for one kind of file");
            continue;
        }
        made += 1;
        let windows = windows(2.0, Moments::Exact);
        let all = clips(&path, &windows);
        // Shots of up to 2.5 s are one clip; 103 frames are [190, 240], [215, 265] and what is left.
        assert_eq!(begins(&all), [0, 41, 94, 119, 161, 190, 215, 240, 293], "{name}");
        assert!((all[8].0[1] - 339.0 / 25.0).abs() < 2e-3, "{name}: {:?}", all[8].0);
        assert_read_again(&path, &windows, &all);
        if name.ends_with("mp4") || name.ends_with("webm") {
            for workers in [2, 3] {
                assert!(clips_on_threads(&path, &windows, workers) == all, "{name} by {workers} threads");
            }
        }
    }
    assert!(made >= 3);
}

#[test]
fn key_frames_alone_tell_the_shots_where_encoders_set_them() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    let shots: Vec<(usize, usize)> = (0..12).map(|n| ([0, 1, 2, 3][n % 4], 40 + 3 * n)).collect();
    let cuts: Vec<usize> = (0..12).map(|n| shots[..n].iter().map(|shot| shot.1).sum()).collect();
    let times: Vec<String> = cuts.iter().map(|cut| (*cut as f64 / 25.0).to_string()).collect();
    if !make(&path, &shots, &format!("-c:v libx264 -bf 2 -g 20 -force_key_frames {}", times.join(","))) {
        return crate::skipped::skipped("libx264");
    }
    let windows = windows(10.0, Moments::Keyframes);
    let all = clips(&path, &windows);
    assert_eq!(begins(&all), cuts);
    assert_read_again(&path, &windows, &all);
    assert!(clips_on_threads(&path, &windows, 2) == all);
}

/// Neither short videos nor those without a cut are cut, and a short video shows the frames that it has without shots.
#[test]
fn videos_of_one_shot_are_one_clip_of_the_usual_frames() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
    for name in ["bframes.mp4", "h264.mkv", "vp9.webm", "vfr.mp4", "fragmented.mp4", "rotated.mov"] {
        for moments in [Moments::Exact, Moments::Keyframes] {
            let path: PathBuf = fixtures.join(name);
            let by_shots = clips(&path, &windows(10.0, moments));
            let usual = ClipWindows::new(10.0, 0.5, 3).unwrap().at(moments);
            let usual = collect(|sink| super::super::clip_reader::each_clip(&path, &usual, 1, sink).unwrap());
            assert_eq!(by_shots.len(), 1, "{name}");
            assert!(by_shots == usual, "{name} {moments:?}");
        }
    }
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.mp4");
    if make(&path, &[(0, 1)], "-c:v libx264") {
        let all = clips(&path, &windows(10.0, Moments::Exact));
        assert_eq!((all.len(), all[0].1.len()), (1, 3 * 160 * 96 * 3), "one picture, three times");
    }
}

/// Bytes in the middle that are no H.264: what decodes is used, the same by every number of threads.
#[test]
fn of_a_damaged_video_the_rest_is_used() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    if !make(&path, &[(0, 60), (1, 200), (2, 60)], X264) {
        return crate::skipped::skipped("libx264");
    }
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 3000].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let all = clips(&path, &windows(4.0, Moments::Exact));
    assert_eq!(begins(&all)[..2], [0, 60]);
    let mut reader = VideoReader::open(&path, &ReaderOptions::default()).unwrap();
    let windows = windows(4.0, Moments::Exact);
    let source = FrameSource::of(&mut reader, &windows);
    let broken =
        collect(|sink| assert!(read_on_threads(&path, &reader, &windows, &source, Decoding::Parts(2), sink).is_err()));
    assert!(broken.len() < all.len(), "given up, to be read again by one reader");
}

#[test]
fn few_pictures_are_kept() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    if !make(&path, &[(0, 1500)], "-c:v libx264 -preset ultrafast") {
        return crate::skipped::skipped("libx264");
    }
    let windows = ClipWindows::new(86_400.0, 0.0, 4).unwrap().by(Spans::Shots);
    let all = collect(|sink| {
        let mut reader = VideoReader::open(&path, &ReaderOptions::default()).unwrap();
        let (source, facts) = (FrameSource::of(&mut reader, &windows), Facts::of(&reader));
        let mut shots = ShotReader::new(&facts, &windows, &source, sink);
        // As many as if its pictures had 20 megapixels.
        shots.candidates = Candidates::of(&Timeline { pixels: 20_000_000, ..facts.timeline() });
        let mut most = 0;
        source
            .read(0..source.parts.len(), &mut reader, sink, &mut |frame| {
                let more = shots.take(frame);
                most = most.max(shots.kept.len());
                more
            })
            .unwrap();
        shots.finish().unwrap();
        assert!(most <= 12, "{most}");
    });
    assert_eq!(all.len(), 1);
}

/// Clips of a long H.264 video are the same whoever decodes it, by shots and by windows.
#[test]
fn the_program_and_the_built_in_decoder_make_the_same_clips() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    let shots: Vec<(usize, usize)> = (0..12).map(|n| (n % 4, 100 + 7 * n)).collect();
    if !make(&path, &shots, X264) {
        return crate::skipped::skipped("libx264");
    }
    let by = |kind, windows: &ClipWindows| {
        let (reader, spent) = (ReaderOptions { kind, ..ReaderOptions::default() }, DecodeSeconds::default());
        let clips = collect(|sink| {
            let sink = ClipSink { reader: &reader, spent: &spent, ..*sink };
            super::super::clip_reader::each_clip(&path, windows, 2, &sink).unwrap();
            assert!(spent.seconds().iter().all(|seconds| *seconds > 0.0));
        });
        (clips, spent.videos())
    };
    for windows in [windows(4.0, Moments::Exact), ClipWindows::new(4.0, 0.3, 5).unwrap()] {
        let (program, by_program) = by(ReaderKind::Auto, &windows);
        let (mut own, by_own) = by(ReaderKind::Native, &windows);
        assert_eq!((by_program, by_own), ([0, 1], [1, 0]));
        own.sort_by(|a, b| a.0[0].total_cmp(&b.0[0]));
        assert!(program == own, "{}", windows.name());
    }
}
