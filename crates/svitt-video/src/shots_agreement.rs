//! Shots of videos joined from real clips: found where they were joined, as by the scene score of `ffmpeg`.

use crate::{ReaderOptions, ShotDetector, ShotRule, VideoReader, ffmpeg_available};
use std::path::Path;
use std::process::Command;

/// Real clips beside the project, each without a cut but for the last, which has one.
const CLIPS: [&str; 4] = [
    "flower_h264_high_960x540.mp4",
    "friday_h264_main_640x480.mp4",
    "stream_h264_baseline_480x360.mp4",
    "nasa_h264_bt709_2video_audio_subs.mp4",
];

/// Which clip, its first frame at 25 a second, and how many frames.
const PIECES: [[usize; 3]; 15] = [
    [0, 0, 43],
    [1, 0, 57],
    [2, 0, 71],
    [3, 0, 112],
    [1, 60, 39],
    [0, 50, 61],
    [3, 175, 90],
    [2, 5, 33],
    [0, 10, 27],
    [1, 100, 29],
    [3, 20, 47],
    [2, 30, 40],
    [1, 20, 13],
    [0, 70, 25],
    [3, 205, 17],
];

/// The clip with a cut of its own, at its frame 202.
const OWN_CUT: (usize, usize) = (3, 202);

fn ffmpeg(arguments: &[&str], filter: (&str, &str), rest: &[&str]) -> String {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(arguments)
        .args([filter.0, filter.1])
        .args(rest)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Joins the pieces, through the filters `look`, as H.264 of this quality; the frames at which they begin.
fn join(folder: &Path, target: &Path, look: &str, quality: &str) -> Vec<usize> {
    let paths: Vec<String> =
        PIECES.iter().map(|[clip, ..]| folder.join(CLIPS[*clip]).to_string_lossy().into_owned()).collect();
    let inputs: Vec<&str> = paths.iter().flat_map(|path| ["-i", path]).collect();
    let (mut graph, mut joined) = (String::new(), String::new());
    for (n, [_, first, frames]) in PIECES.iter().enumerate() {
        let end = first + frames;
        let trim = format!("trim=start_frame={first}:end_frame={end},setpts=PTS-STARTPTS");
        graph += &format!("[{n}:V:0]fps=25,scale=480:270,setsar=1,format=yuv420p,{trim},{look}[v{n}];");
        joined += &format!("[v{n}]");
    }
    graph += &format!("{joined}concat=n={}[out]", PIECES.len());
    let rest = ["-map", "[out]", "-c:v", "libx264", "-preset", "veryfast", "-crf", quality, &target.to_string_lossy()];
    ffmpeg(&inputs, ("-filter_complex", &graph), &rest);
    let mut cuts = Vec::new();
    let mut begin = 0;
    for [clip, first, frames] in PIECES {
        cuts.push(begin);
        let (with, own) = OWN_CUT;
        cuts.extend((clip == with && (first + 1..first + frames).contains(&own)).then(|| begin + own - first));
        begin += frames;
    }
    cuts.split_off(1)
}

/// The frames that `ffmpeg` gives a scene score above .3.
fn scenes(path: &Path) -> Vec<usize> {
    let input = path.to_string_lossy().into_owned();
    let told = ffmpeg(&["-i", &input], ("-vf", "select='gt(scene,0.3)',metadata=print:file=-"), &["-f", "null", "-"]);
    let times = told.lines().filter_map(|line| line.split("pts_time:").nth(1));
    times.map(|time| (time.trim().parse::<f64>().unwrap() * 25.0).round() as usize).collect()
}

fn cuts(path: &Path) -> Vec<usize> {
    let mut reader = VideoReader::open(path, &ReaderOptions::default()).unwrap();
    let (mut detector, mut found) = (ShotDetector::new(ShotRule::EVERY_PICTURE), Vec::new());
    let range = 0..reader.len();
    let read = reader.stream(range, usize::MAX, &mut |frame| {
        found.extend(detector.push(frame.luma));
        true
    });
    assert!(read.unwrap());
    found.extend(std::iter::from_fn(|| detector.finish()));
    found
}

#[test]
fn shots_of_real_clips_are_where_they_were_joined() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/clips");
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    if !CLIPS.iter().all(|name| folder.join(name).exists()) {
        return crate::skipped::skipped("../shared/clips");
    }
    let dir = tempfile::tempdir().unwrap();
    // As they are and coarse; dark and flat, where the program's threshold finds two of them; under a camera that rolls
    // by 86 degrees a second.
    for (look, quality, theirs_missed) in
        [("null", "38", 0), ("eq=brightness=-0.15:contrast=0.35", "26", 13), ("rotate=a=0.06*n:c=gray", "26", 1)]
    {
        let path = dir.path().join("joined.mp4");
        let joined = join(&folder, &path, look, quality);
        assert_eq!(cuts(&path), joined, "{look}");
        let theirs = scenes(&path);
        let missed = joined.iter().filter(|cut| !theirs.contains(cut)).count();
        assert!(missed <= theirs_missed, "{look}: {theirs:?} by the scene score");
    }
}
