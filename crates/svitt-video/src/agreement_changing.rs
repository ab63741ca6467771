//! Joined files whose parts differ in size, codec, stream or clock: every frame of every part counts, at the size of
//! the first, and nothing of it is called damaged.

use super::agreement::{Bench, decoded};
use super::*;

const FIRST: &str = "-f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 24";
const OTHER: &str = "-f lavfi -i testsrc=size=160x96:rate=25,format=yuv420p -frames:v 18";
const X264: &str = "-c:v libx264 -preset veryfast -bf 2 -g 12";
const X265: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=none";
const FRAGMENTS: &str = "-c:v libx264 -bf 2 -g 12 -movflags +frag_keyframe+empty_moov+default_base_moof";
const VP9: &str = "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime";

/// Names, and options between the source and the name; `a.` is small, `b.` is large.
const PARTS: [(&str, &str); 33] = [
    ("a.mp4", X264),
    ("b.mp4", X264),
    ("b.hevc.mp4", X265),
    ("a.fragments.mp4", FRAGMENTS),
    ("b.fragments.mp4", FRAGMENTS),
    ("a.mkv", X264),
    ("b.hevc.mkv", X265),
    ("a.vp8.webm", "-c:v libvpx -cpu-used 5"),
    ("a.vp9.webm", VP9),
    ("b.vp9.webm", VP9),
    ("a.ts", X264),
    ("b.ts", X264),
    ("a.mpeg2.ts", "-c:v mpeg2video -bf 2"),
    ("b.mpeg2.ts", "-c:v mpeg2video -bf 2"),
    ("b.hevc.ts", X265),
    ("a.pid.ts", "-c:v libx264 -mpegts_start_pid 0x200"),
    ("b.mpeg2.m2ts", "-c:v mpeg2video"),
    ("a.m2ts", X264),
    ("a.ogv", "-c:v libtheora"),
    ("b.ogv", "-c:v libtheora"),
    ("a.mpeg4.avi", "-c:v mpeg4 -bf 2"),
    ("b.mjpeg.avi", "-c:v mjpeg -pix_fmt yuvj420p"),
    ("a.mpg", "-c:v mpeg2video -bf 2"),
    ("b.mpg", "-c:v mpeg2video -bf 2"),
    ("a.mpeg1.mpg", "-c:v mpeg1video"),
    ("b.h264.mpg", "-c:v libx264 -f vob"),
    ("a.m2v", "-c:v mpeg2video -bf 2"),
    ("b.m2v", "-c:v mpeg2video -bf 2"),
    ("a.flv", "-c:v flv"),
    ("b.h264.flv", X264),
    ("a.wmv", "-c:v wmv2"),
    ("b.wmv", "-c:v wmv1"),
    ("b.h264", X264),
];

const JOINED: [(&str, &[&str]); 22] = [
    ("sizes.mp4", &["a.mp4", "b.mp4", "a.mp4"]),
    ("sizes.fragments.mp4", &["a.fragments.mp4", "b.fragments.mp4"]),
    ("mixed.mp4", &["a.mp4", "b.fragments.mp4"]),
    ("codecs.mp4", &["a.mp4", "b.hevc.mp4", "a.mp4"]),
    ("codecs.mkv", &["a.mkv", "b.hevc.mkv"]),
    ("codecs.webm", &["a.vp8.webm", "b.vp9.webm", "a.vp9.webm"]),
    ("sizes.webm", &["a.vp9.webm", "b.vp9.webm"]),
    ("sizes.ts", &["a.ts", "b.ts"]),
    ("codecs.ts", &["a.ts", "a.mpeg2.ts", "b.hevc.ts"]),
    ("codecs2.ts", &["a.mpeg2.ts", "b.ts"]),
    ("sizes2.ts", &["a.mpeg2.ts", "b.mpeg2.ts"]),
    ("pids.ts", &["a.ts", "a.pid.ts"]),
    ("codecs.m2ts", &["a.m2ts", "b.mpeg2.m2ts"]),
    ("chained.ogv", &["a.ogv", "a.ogv"]),
    ("sizes.ogv", &["a.ogv", "b.ogv"]),
    ("codecs.avi", &["a.mpeg4.avi", "b.mjpeg.avi"]),
    ("sizes.mpg", &["a.mpg", "b.mpg", "a.mpg"]),
    ("codecs.mpg", &["a.mpg", "a.mpeg1.mpg", "b.h264.mpg"]),
    ("sizes.m2v", &["a.m2v", "b.m2v"]),
    ("codecs.flv", &["a.flv", "b.h264.flv"]),
    ("codecs.wmv", &["a.wmv", "b.wmv"]),
    ("sound-first.ogv", &["sound.ogg", "a.ogv"]),
];

#[test]
fn parts_of_other_sizes_and_codecs_are_read_to_the_last_frame() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let mut bench = Bench::new();
    let mut missing = 0;
    for (name, options) in PARTS {
        let source = if name.starts_with('a') { FIRST } else { OTHER };
        missing += usize::from(!bench.make(source, options, name));
    }
    missing += usize::from(!bench.make("-f lavfi -i sine=duration=0.3", "-c:a libvorbis", "sound.ogg"));
    for (name, parts) in JOINED {
        if !parts.iter().all(|part| bench.path(part).exists()) {
            continue;
        }
        let read = |part: &&str| std::fs::read(bench.path(part)).unwrap();
        std::fs::write(bench.path(name), parts.iter().map(read).collect::<Vec<_>>().concat()).unwrap();
        let size = |part: &&str| part.starts_with('b').then_some("96x64");
        let expected = parts.iter().flat_map(|part| decoded(&bench.path(part), size(part))).collect();
        bench.check(name, &expected);
        let reader = VideoReader::open(&bench.path(name), &ReaderOptions::default()).unwrap();
        assert!(reader.warnings().is_empty(), "{name}: {:?}", reader.warnings());
    }
    if missing > 0 {
        crate::skipped::skipped("encoders that this ffmpeg lacks, for some of its files");
    }
    assert!(bench.checked() + 3 * missing >= JOINED.len(), "{} files, {missing} parts missing", bench.checked());
}

/// A part that no decoder knows is named with its frames; the others are read.
#[test]
fn a_part_that_does_not_decode_is_named() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let bench = Bench::new();
    for (source, name) in [(FIRST, "a.mkv"), (OTHER, "b.mkv")] {
        if !bench.make(source, "-c:v libx264", name) {
            return crate::skipped::skipped("libx264");
        }
    }
    let mut broken = std::fs::read(bench.path("b.mkv")).unwrap();
    let codec = broken.windows(15).position(|window| window == b"V_MPEG4/ISO/AVC").unwrap();
    broken[codec..codec + 15].copy_from_slice(b"V_MPEG4/ISO/XYZ");
    let whole = std::fs::read(bench.path("a.mkv")).unwrap();
    std::fs::write(bench.path("joined.mkv"), [&whole[..], &broken, &whole].concat()).unwrap();
    let mut reader = VideoReader::open(&bench.path("joined.mkv"), &ReaderOptions::default()).unwrap();
    assert_eq!(reader.len(), 48);
    assert_eq!(reader.get_frames(&[0, 47]).unwrap().count, 2);
    let [warning] = reader.warnings() else { panic!("{:?}", reader.warnings()) };
    assert!(warning.contains("part 2 of 3, with 18 packets of video, after 0.92 s"), "{warning}");
}

/// Pictures that refer to some from before the cut are left out by every decoder: that is no damage.
#[test]
fn a_file_cut_at_an_open_group_is_not_called_damaged() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let bench = Bench::new();
    let open = "-c:v libx264 -bf 3 -g 15 -x264-params open-gop=1:keyint=15";
    if !bench.make("-f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 60", open, "open.mkv") {
        return crate::skipped::skipped("libx264");
    }
    for (name, before, after) in [("a.mp4", "-ss 0.8", ""), ("b.mkv", "", "-ss 0.3"), ("c.flv", "", "-ss 0.7")] {
        assert!(bench.make(&format!("{before} -i open.mkv"), &format!("{after} -c copy"), name));
        let expected = decoded(&bench.path(name), None);
        let clip = read_clip(
            &bench.path(name),
            &ClipRequest::new(4, FrameSampling::Middle),
            || 0.0,
            &ReaderOptions::default(),
        );
        let clip = clip.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(clip.reader.len(), expected.len(), "{name}");
        assert!(clip.indices.iter().enumerate().all(|(n, i)| clip.frames.frame(n) == expected[*i]), "{name}");
        assert!(clip.reader.warnings().is_empty(), "{name}: {:?}", clip.reader.warnings());
    }
}

/// Whatever is left of a first file, and whatever lies between it and the second, the second is read as a whole.
#[test]
fn what_follows_a_cut_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let native = ReaderOptions { kind: ReaderKind::Native, ..ReaderOptions::default() };
    let read = |bytes: &[u8]| {
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        VideoReader::open(&path, &native)
    };
    let mut cuts = 0;
    for name in ["vp9.webm", "h264.mkv", "fragmented.mp4", "edit-list.mp4", "bframes.mp4"] {
        let whole = std::fs::read(fixtures.join(name)).unwrap();
        let frames = read(&whole).unwrap().len();
        for between in [&b""[..], &[0; 700], b"<html>404 not found</html>"] {
            let joined = read(&[&whole[..], between, &whole].concat()).unwrap();
            assert_eq!(joined.len(), 2 * frames, "{name}, {} bytes between", between.len());
            assert!(joined.warnings().is_empty(), "{name}: {:?}", joined.warnings());
        }
        for cut in (whole.len() / 40 + 40..whole.len()).step_by(whole.len() / 23) {
            let alone = read(&whole[..cut]).map_or(0, |reader| reader.len());
            let joined = read(&[&whole[..cut], &whole].concat()).unwrap_or_else(|error| panic!("{cut}: {error}"));
            assert_eq!(joined.len(), alone + frames, "{name}: {cut} of {} bytes", whole.len());
            let told = !joined.warnings().is_empty();
            assert!(told || alone == frames || cut < 300, "{name}: {cut} bytes are cut silently");
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts}");
}
