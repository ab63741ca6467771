//! Files that `ffmpeg` makes here, in many containers, codecs, cuts, clocks and turns, against what it decodes of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// 24 frames of 96 × 64 at 25 per second.
const SOURCE: &str = "-f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 24";
/// Another picture, 18 frames of the same size and rate.
const OTHER: &str = "-f lavfi -i testsrc=size=96x64:rate=25,format=yuv420p -frames:v 18";
const X264: &str = "-c:v libx264 -preset veryfast -bf 3 -g 12";
const X265: &str = "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=12:bframes=3";
const VP9: &str = "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -g 12";
const VP8: &str = "-c:v libvpx -cpu-used 5 -deadline good -auto-alt-ref 1 -lag-in-frames 16";
const MPEG2: &str = "-c:v mpeg2video -bf 2 -g 12";

/// Names, and options between the source and the name.
const CODED: [(&str, &str); 43] = [
    ("h264.mp4", X264),
    ("h264.mov", X264),
    ("h264.mkv", X264),
    ("h264.ts", X264),
    ("h264.m2ts", X264),
    ("h264.flv", X264),
    ("h264.avi", X264),
    ("h264.h264", X264),
    ("open.mp4", "-c:v libx264 -bf 3 -g 12 -x264-params open-gop=1"),
    ("open.mkv", "-c:v libx264 -bf 3 -g 12 -x264-params open-gop=1"),
    ("open.ts", "-c:v libx264 -bf 3 -g 12 -x264-params open-gop=1"),
    ("interlaced.mp4", "-c:v libx264 -flags +ildct+ilme -x264-params tff=1"),
    ("444.mp4", "-c:v libx264 -pix_fmt yuv444p"),
    ("10bit.mkv", "-c:v libx264 -pix_fmt yuv420p10le"),
    ("fragments.mp4", "-c:v libx264 -bf 2 -g 12 -movflags +frag_keyframe+empty_moov+default_base_moof"),
    ("every.mp4", "-c:v libx264 -bf 0 -movflags +frag_every_frame+empty_moov"),
    ("fast.mp4", "-c:v libx264 -g 12 -movflags +faststart"),
    ("hevc.mp4", X265),
    ("hevc.mkv", X265),
    ("hevc.ts", X265),
    ("vp9.webm", VP9),
    ("vp9.mp4", VP9),
    ("vp9.ivf", VP9),
    ("vp9-hidden.webm", "-c:v libvpx-vp9 -cpu-used 5 -deadline good -auto-alt-ref 1 -lag-in-frames 16"),
    ("live.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -live 1"),
    ("vp8.webm", VP8),
    ("av1.mp4", "-frames:v 10 -c:v libaom-av1 -cpu-used 8"),
    ("mpeg4.avi", "-c:v mpeg4 -bf 2 -g 12"),
    ("mpeg4.mp4", "-c:v mpeg4 -bf 2 -g 12"),
    ("mpeg2.mpg", MPEG2),
    ("mpeg2.vob", MPEG2),
    ("mpeg2.ts", MPEG2),
    ("mpeg2.mkv", MPEG2),
    ("mpeg2.m2v", MPEG2),
    ("mjpeg.mov", "-c:v mjpeg"),
    ("theora.ogv", "-c:v libtheora"),
    ("wmv2.wmv", "-c:v wmv2"),
    ("gif.gif", "-frames:v 12"),
    ("late.mkv", "-c:v libx264 -output_ts_offset 7"),
    ("wrap.ts", "-c:v libx264 -g 12 -output_ts_offset 95442.9"),
    ("wrap.mpg", "-c:v mpeg2video -output_ts_offset 95442.9"),
    ("vfr.mkv", "-vf select='not(mod(n,3))+not(mod(n,7))' -fps_mode vfr -c:v libx264"),
    ("jump.mkv", "-vf setpts=PTS+gt(N\\,9)*50/TB -fps_mode passthrough -c:v libx264"),
];

/// More frames than Matroska's clock has ticks: 2000 and 1200 a second in milliseconds.
const FAST: [(&str, &str); 5] = [
    ("fps2000.mkv", "-c:v libx264 -bf 0"),
    ("fps2000-reordered.mkv", "-c:v libx264 -bf 2"),
    ("fps2000.webm", VP9),
    ("fps2000-vp8.webm", VP8),
    ("fps2000-hevc.mkv", X265),
];

/// Second files to join.
const SECOND: [(&str, &str); 5] = [
    ("second.ts", X264),
    ("second.mkv", X264),
    ("second.webm", VP9),
    ("second.mpg", MPEG2),
    ("second.fragments.mp4", "-c:v libx264 -bf 2 -g 12 -movflags +frag_keyframe+empty_moov+default_base_moof"),
];

/// Copies of a file: name, options before it, its name, options after it.
const COPIES: [(&str, &str, &str, &str); 10] = [
    ("turned90.mp4", "", "h264.mp4", "-metadata:s:v rotate=90"),
    ("turned180.mov", "", "h264.mp4", "-metadata:s:v rotate=180"),
    ("turned270-hevc.mov", "", "hevc.mp4", "-metadata:s:v rotate=270"),
    ("turned90.mkv", "", "turned90.mp4", ""),
    ("edit.mp4", "-ss 0.5", "h264.mp4", ""),
    ("edit-hevc.mp4", "-ss 0.5", "hevc.mp4", ""),
    ("edit.mkv", "-ss 0.5", "h264.mkv", ""),
    ("edit.webm", "-ss 0.5", "vp9.webm", ""),
    ("edit.ts", "-ss 0.5", "h264.ts", ""),
    ("remuxed.mkv", "", "h264.ts", ""),
];

/// Joined files and what they are made of: every part counts, whatever the program makes of the whole.
const JOINED: [(&str, &[&str]); 19] = [
    ("joined.ts", &["h264.ts", "second.ts"]),
    ("joined-itself.ts", &["h264.ts", "h264.ts", "h264.ts"]),
    ("joined-mpeg2.ts", &["mpeg2.ts", "mpeg2.ts"]),
    ("joined.m2ts", &["h264.m2ts", "h264.m2ts"]),
    ("joined.mpg", &["mpeg2.mpg", "second.mpg"]),
    ("joined.vob", &["mpeg2.vob", "mpeg2.vob"]),
    ("joined.webm", &["vp9.webm", "second.webm"]),
    ("joined3.webm", &["vp9.webm", "vp9-hidden.webm", "second.webm"]),
    ("joined-live.webm", &["live.webm", "second.webm"]),
    ("joined-vp8.webm", &["vp8.webm", "vp8.webm", "vp8.webm"]),
    ("joined-codecs.webm", &["vp9.webm", "vp8.webm"]),
    ("joined.mkv", &["h264.mkv", "second.mkv", "open.mkv"]),
    ("joined-hevc.mkv", &["hevc.mkv", "hevc.mkv", "hevc.mkv"]),
    ("joined.mp4", &["h264.mp4", "fast.mp4", "h264.mp4"]),
    ("joined-hevc.mp4", &["hevc.mp4", "hevc.mp4"]),
    ("joined-fragments.mp4", &["fragments.mp4", "second.fragments.mp4"]),
    ("joined.flv", &["h264.flv", "h264.flv"]),
    ("joined.wmv", &["wmv2.wmv", "wmv2.wmv"]),
    ("joined.avi", &["mpeg4.avi", "mpeg4.avi"]),
];

/// Files whose first third is missing, and whether their pixels are compared: the program shows whatever lies in its
/// memory where a picture of MPEG-2 refers to one that was cut off.
const TAILS: [(&str, bool); 5] =
    [("h264.ts", true), ("open.ts", true), ("hevc.ts", true), ("mpeg2.mpg", false), ("mpeg2.m2v", false)];
/// Files of which five ninths are left.
const HEADS: [&str; 7] = ["h264.ts", "mpeg2.mpg", "vp9.webm", "h264.mkv", "fragments.mp4", "vp8.webm", "mpeg4.avi"];

/// RGB pictures of a video, `[height, width, 3]` each.
pub(super) type Pictures = Vec<Vec<u8>>;

/// A folder of files that were made, and the pictures of each as `ffmpeg` decodes it.
pub(super) struct Bench {
    folder: tempfile::TempDir,
    known: HashMap<String, Pictures>,
    checked: usize,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), known: HashMap::new(), checked: 0 }
    }

    /// Files that were right.
    pub(super) fn checked(&self) -> usize {
        self.checked
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program; false if it lacks an encoder.
    pub(super) fn make(&self, before: &str, after: &str, name: &str) -> bool {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).current_dir(self.folder.path());
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        command.args(words(before)).args(words(after)).arg(name);
        command.output().unwrap().status.success()
    }

    fn reference(&mut self, name: &str) -> Pictures {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let pictures = decoded(&self.path(name), None);
        self.known.insert(name.to_owned(), pictures.clone());
        pictures
    }

    /// Count, indices and pixels of `name` are those of `expected`; where readers could differ, by each of them.
    pub(super) fn check(&mut self, name: &str, expected: &Pictures) {
        let mut kinds = vec![ReaderKind::Auto];
        let path = self.path(name);
        let options = |kind| ReaderOptions { kind, ..ReaderOptions::default() };
        let open = |kind| VideoReader::open(&path, &options(kind)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let subtle = ["joined", "edit", "turned", "open"].iter().any(|start| name.starts_with(start));
        if subtle && open(ReaderKind::Auto).decoder() == "native" {
            kinds.push(ReaderKind::Ffmpeg);
        }
        for kind in kinds {
            let mut reader = open(kind);
            let count = expected.len();
            assert_eq!(reader.len(), count, "{name}: frames by {}", reader.decoder());
            let step = (count / 4).max(1);
            let some: Vec<usize> = (step / 2..count).step_by(step).collect();
            for wanted in [some, (0..count).collect::<Vec<_>>()] {
                let frames = reader.get_frames(&wanted).unwrap_or_else(|error| panic!("{name}: {error}"));
                for (place, &index) in wanted.iter().enumerate() {
                    assert!(frames.frame(place) == expected[index], "{name}: frame {index} by {}", reader.decoder());
                }
            }
            let times = reader.times();
            assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "{name}: times go back: {times:?}");
        }
        self.checked += 1;
    }

    pub(super) fn check_alone(&mut self, name: &str) {
        let expected = self.reference(name);
        assert!(!expected.is_empty(), "{name}: ffmpeg decodes nothing of it");
        self.check(name, &expected);
    }
}

/// Every picture of the first video stream, in the order in which the program puts them out, scaled to `size`.
pub(super) fn decoded(path: &Path, size: Option<&str>) -> Pictures {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-threads", "1", "-i"]).arg(path);
    command.args(["-map", "0:V:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24"]);
    command.args(size.into_iter().flat_map(|size| ["-s", size]));
    command.args(["-c:v", "ppm", "-f", "image2pipe", "-"]);
    let stream = command.output().unwrap().stdout;
    let mut rest = stream.as_slice();
    std::iter::from_fn(|| {
        let header = rest.strip_prefix(b"P6\n")?;
        let line = header.iter().position(|byte| *byte == b'\n')?;
        let (width, height) = std::str::from_utf8(&header[..line]).ok()?.split_once(' ')?;
        let pixels = width.parse::<usize>().ok()? * height.parse::<usize>().ok()? * 3;
        let start = 3 + line + 5; // `P6`, the line of sizes, `255`
        let picture = rest.get(start..start + pixels)?.to_vec();
        rest = &rest[start + pixels..];
        Some(picture)
    })
    .collect()
}

#[test]
fn every_container_codec_cut_clock_and_turn_is_read_as_ffmpeg_decodes_it() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let mut bench = Bench::new();
    let fast = SOURCE.replace("rate=25", "rate=2000");
    let sets = [(SOURCE, &CODED[..]), (&fast, &FAST[..]), (OTHER, &SECOND[..])];
    let mut missing = 0;
    for (source, files) in sets {
        for (name, options) in files {
            match bench.make(source, options, name) {
                true => bench.check_alone(name),
                false => missing += 1,
            }
        }
    }
    for (name, before, file, after) in COPIES {
        if bench.make(&format!("{before} -i {file}"), &format!("-c copy {after}"), name) {
            bench.check_alone(name);
        }
    }
    for (name, parts) in JOINED {
        if parts.iter().all(|part| bench.path(part).exists()) {
            let read = |part: &&str| std::fs::read(bench.path(part)).unwrap();
            std::fs::write(bench.path(name), parts.iter().map(read).collect::<Vec<_>>().concat()).unwrap();
            let expected: Pictures = parts.iter().flat_map(|part| bench.reference(part)).collect();
            bench.check(name, &expected);
        }
    }
    for (name, pixels) in TAILS {
        let bytes = std::fs::read(bench.path(name)).unwrap();
        let tail = format!("tail-{name}");
        std::fs::write(bench.path(&tail), &bytes[bytes.len() / 3..]).unwrap();
        if pixels {
            bench.check_alone(&tail);
        } else {
            let reader = VideoReader::open(&bench.path(&tail), &ReaderOptions::default()).unwrap();
            assert_eq!(reader.len(), bench.reference(&tail).len(), "{tail}");
            bench.checked += 1;
        }
    }
    for name in HEADS {
        let bytes = std::fs::read(bench.path(name)).unwrap();
        std::fs::write(bench.path(&format!("head-{name}")), &bytes[..bytes.len() * 5 / 9]).unwrap();
        let expected = bench.reference(&format!("head-{name}"));
        bench.check(&format!("head-{name}"), &expected);
    }
    if missing > 0 {
        crate::skipped::skipped("encoders that this ffmpeg lacks, for some of its files");
    }
    assert!(bench.checked + 3 * missing >= 90, "{} files were checked, {missing} could not be made", bench.checked);
}

/// Eight minutes each, listed by decoding where the container asks for that, under a limit of three seconds without
/// progress.
#[test]
fn long_files_are_read_however_short_the_limit_is() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let mut bench = Bench::new();
    let options = ReaderOptions { timeout: std::time::Duration::from_secs(3), ..ReaderOptions::default() };
    for (part, codec, long) in [
        ("h264.mkv", "-c:v libx264 -bf 0 -g 12", "long.ts"),
        ("mpeg2.mkv", "-c:v mpeg2video -bf 0 -g 12", "long2.ts"),
        ("mpeg2.mkv", "-c:v mpeg2video -bf 0 -g 12", "long.mpg"),
        ("mpeg4.mkv", "-c:v mpeg4 -bf 0 -g 12", "long.avi"),
        ("mpeg4.mkv", "-c:v mpeg4 -bf 0 -g 12", "long.mkv"),
        ("h264.mkv", "-c:v libx264 -bf 0 -g 12", "long.flv"),
    ] {
        if !bench.make(SOURCE, codec, part) {
            crate::skipped::skipped("an encoder that this ffmpeg lacks, for a long file");
            continue;
        }
        let pictures = bench.reference(part);
        assert!(bench.make(&format!("-stream_loop 499 -i {part}"), "-c copy", long), "{long}");
        let mut reader = VideoReader::open(&bench.path(long), &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(reader.len(), 500 * pictures.len(), "{long}");
        let wanted = [1_499, 4_499, 7_499, 10_499];
        let frames = reader.get_frames(&wanted).unwrap_or_else(|error| panic!("{error}"));
        for (place, index) in wanted.into_iter().enumerate() {
            assert!(frames.frame(place) == pictures[index % pictures.len()], "{long}: frame {index}");
        }
    }
}
