use super::*;
use crate::agreement::Bench;
use crate::reader::ReaderOptions;

/// A minute of moving pictures, at 25 frames a second.
const SOURCE: &str = "-f lavfi -i testsrc2=size=128x96:rate=25 -frames:v 1600";

/// Frames of a video as they are streamed: number, luma, and the pictures that were asked for as RGB.
type Streamed = Vec<(usize, SmallLuma, Option<crate::Frames>)>;

fn streamed(read: impl FnOnce(&mut dyn FnMut(StreamedFrame) -> bool) -> Result<bool>) -> (bool, Streamed) {
    let mut frames = Vec::new();
    let read = read(&mut |frame| {
        frames.push((frame.index, frame.luma, frame.picture.map(|picture| picture.to_frames().unwrap())));
        true
    });
    (read.unwrap(), frames)
}

#[test]
fn the_program_and_the_built_in_decoder_stream_the_same_bytes() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let bench = Bench::new();
    let mut made = 0;
    for (name, options) in [
        ("plain.mp4", "-c:v libx264 -preset veryfast -bf 3 -g 50"),
        ("open.mkv", "-c:v libx264 -preset veryfast -bf 3 -g 50 -x264-params open-gop=1"),
        ("odd.mp4", "-vf scale=854:478 -frames:v 1510 -c:v libx264 -preset ultrafast -g 250"),
        ("full.mp4", "-c:v libx264 -preset veryfast -color_range pc -colorspace bt709"),
        ("vfr.mp4", "-vf select='mod(n,5)-1' -fps_mode vfr -frames:v 1520 -c:v libx264 -preset veryfast"),
    ] {
        let source = if name == "vfr.mp4" { SOURCE.replace("1600", "2000") } else { SOURCE.to_owned() };
        if !bench.make(source.trim_end_matches(" -frames:v 2000"), options, name) {
            continue;
        }
        made += 1;
        let open = || VideoReader::open(&bench.path(name), &ReaderOptions::default()).unwrap();
        let mut reader = open();
        assert!(reader.suits_one_pass(), "{name}: {} frames by {}", reader.len(), reader.decoder());
        let count = reader.len();
        let (ours, expected) = streamed(|take| reader.stream(0..count, 40, take));
        let (theirs, found) = streamed(|take| open().stream_in_one_pass(40, 2, take));
        assert!(ours && theirs, "{name}");
        assert!(found == expected, "{name}");
        let wanted = [3, 4, 5, 700, 1001, count - 1];
        let mut pictures = Vec::new();
        let read = open().frames_in_one_pass(&wanted, 2, &mut |number, picture| {
            pictures.push((number, picture.to_frames().unwrap()));
            true
        });
        assert!(read.unwrap());
        let expected = open().get_frames(&wanted).unwrap();
        let expected: Vec<_> =
            wanted.iter().enumerate().map(|(place, &number)| (number, expected.one(place))).collect();
        assert!(pictures == expected, "{name}: single frames");
    }
    if made < 5 {
        crate::skipped::skipped("encoders that this ffmpeg lacks, for some of its files");
    }
}

#[test]
fn short_damaged_and_turned_videos() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let bench = Bench::new();
    if !bench.make(SOURCE, "-c:v libx264 -preset veryfast -bf 2 -g 50", "a.mp4") {
        return crate::skipped::skipped("libx264");
    }
    let open = |name: &str| VideoReader::open(&bench.path(name), &ReaderOptions::default()).unwrap();
    // Turned when it is shown: the program leaves that to us.
    assert!(bench.make("-i a.mp4", "-c copy -metadata:s:v rotate=90", "turned.mp4"));
    let mut reader = open("turned.mp4");
    assert_eq!((reader.width(), reader.suits_one_pass()), (96, true));
    let expected = reader.get_frames(&[900]).unwrap();
    let mut pictures = Vec::new();
    let read = reader.frames_in_one_pass(&[900], 1, &mut |_, picture| {
        pictures.push(picture.to_frames().unwrap());
        true
    });
    assert!(read.unwrap() && pictures == [expected]);
    // Bytes that are no H.264: the program complains, and what it shows instead is not taken.
    let mut bytes = std::fs::read(bench.path("a.mp4")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0xa5);
    std::fs::write(bench.path("damaged.mp4"), bytes).unwrap();
    let mut reader = open("damaged.mp4");
    assert!(reader.suits_one_pass(), "nobody knows yet");
    assert!(!streamed(|take| reader.stream_in_one_pass(10, 2, take)).0);
    // A reader that was asked for decodes.
    let native = ReaderOptions { kind: ReaderKind::Native, ..ReaderOptions::default() };
    assert!(!VideoReader::open(&bench.path("a.mp4"), &native).unwrap().suits_one_pass());
    assert!(bench.make("-t 10 -i a.mp4", "-c copy", "short.mp4") && !open("short.mp4").suits_one_pass());
    // Who wants no more gets no more.
    let mut count = 0;
    let left = open("a.mp4").stream_in_one_pass(10, 1, &mut |_| {
        count += 1;
        count < 30
    });
    assert!(left.is_ok() && count == 30);
}
