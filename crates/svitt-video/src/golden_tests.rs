//! Committed clips compared with the frames ffmpeg 5.1.9 decoded, and with the installed ffmpeg if there is one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::sampling::below;
use super::*;

#[derive(Deserialize)]
struct Expected {
    width: usize,
    height: usize,
    frames: Vec<ExpectedFrame>,
}

#[derive(Deserialize)]
struct ExpectedFrame {
    pts_s: Option<f64>,
    mean_rgb: [f64; 3],
    fnv: String,
}

/// Clips that the built-in reader leaves to the program.
const FOREIGN: [(&str, &str); 2] = [("mpeg4.avi", "MPEG-4 in AVI"), ("vp8.webm", "VP8 in WebM")];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

fn options(kind: ReaderKind) -> ReaderOptions {
    ReaderOptions { kind, ..ReaderOptions::default() }
}

fn fnv(data: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", data.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Every frame of a clip: bytes, means, times and size.
fn assert_matches(name: &str, expected: &Expected, kind: ReaderKind) {
    let mut reader = VideoReader::open(&fixture(name), &options(kind)).unwrap();
    assert_eq!(reader.len(), expected.frames.len(), "{name}: frames");
    let all: Vec<usize> = (0..reader.len()).collect();
    let frames = reader.get_frames(&all).unwrap();
    assert_eq!((frames.width, frames.height), (expected.width, expected.height), "{name}: size");
    assert_eq!((reader.width(), reader.height()), (expected.width, expected.height), "{name}: size of the reader");
    for (i, frame) in expected.frames.iter().enumerate() {
        assert_eq!(fnv(frames.frame(i)), frame.fnv, "{name}: bytes of frame {i}");
        let means = frames.mean_rgb(i);
        assert!(means.iter().zip(frame.mean_rgb).all(|(a, b)| (a - b).abs() < 1e-3), "{name}: means of frame {i}");
        let late = frame.pts_s.map_or(0.0, |time| (time - reader.times()[i]).abs());
        assert!(late < 1e-5, "{name}: frame {i} is {late} s off");
    }
}

#[test]
fn the_built_in_reader_returns_the_bytes_of_ffmpeg() {
    let native = expected().into_iter().filter(|(name, _)| FOREIGN.iter().all(|(foreign, _)| foreign != name));
    let checked = native.map(|(name, expected)| assert_matches(&name, &expected, ReaderKind::Native)).count();
    assert_eq!(checked, 9);
}

#[test]
fn the_ffmpeg_program_returns_the_same_bytes() {
    if !ffmpeg_available() {
        crate::skipped::skipped("ffmpeg");
    }
    for (name, expected) in expected() {
        if ffmpeg_available() {
            assert_matches(&name, &expected, ReaderKind::Ffmpeg);
        } else {
            let error = VideoReader::open(&fixture(&name), &options(ReaderKind::Ffmpeg)).err().unwrap();
            assert!(error.is_configuration(), "{error}");
        }
    }
}

#[test]
fn any_frames_in_any_order_are_the_frames_of_the_whole() {
    if !ffmpeg_available() {
        crate::skipped::skipped("ffmpeg for two of its clips");
    }
    for (name, expected) in expected() {
        if FOREIGN.iter().any(|(foreign, _)| *foreign == name) && !ffmpeg_available() {
            continue;
        }
        let last = expected.frames.len() - 1;
        let wanted = [last, 1, last / 2, 1, last];
        let mut reader = VideoReader::open(&fixture(&name), &options(ReaderKind::Auto)).unwrap();
        let frames = reader.get_frames(&wanted).unwrap();
        assert_eq!(frames.count, 5);
        for (place, index) in wanted.into_iter().enumerate() {
            assert_eq!(fnv(frames.frame(place)), expected.frames[index].fnv, "{name}: frame {index}");
        }
        assert!(reader.get_frames(&[last + 1]).is_err(), "{name}: past the end");
    }
}

#[test]
fn foreign_formats_are_told_before_anything_is_decoded() {
    for (name, format) in FOREIGN {
        assert_eq!(needs_ffmpeg(&fixture(name)).unwrap().as_deref(), Some(format));
        let error = VideoReader::open(&fixture(name), &options(ReaderKind::Native)).err().unwrap();
        assert!(error.to_string().contains(format), "{error}");
    }
    assert_eq!(needs_ffmpeg(&fixture("bframes.mp4")).unwrap(), None);
    assert_eq!(needs_ffmpeg(&fixture("vp9.webm")).unwrap(), None);
}

#[test]
fn unreadable_files_are_told_apart_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        VideoReader::open(&path, &options(ReaderKind::Auto)).err().unwrap()
    };
    let bframes = std::fs::read(fixture("bframes.mp4")).unwrap();
    let error = VideoReader::open(&fixture("audio-only.mp4"), &options(ReaderKind::Auto)).err().unwrap();
    assert!(matches!(error, VideoError::NoVideoStream { .. }) && error.to_string().contains("audio-only.mp4"));
    assert!(matches!(write("empty.mp4", b""), VideoError::Corrupt { .. }));
    assert!(matches!(write("page.mp4", b"<html>not found</html>"), VideoError::Corrupt { .. }));
    assert!(matches!(write("headless.mp4", &bframes[..2000]), VideoError::Corrupt { .. }), "`moov` is at the end");
    let missing = VideoReader::open(&folder.path().join("none.mp4"), &options(ReaderKind::Auto)).err().unwrap();
    assert!(matches!(missing, VideoError::NotFound { .. }) && missing.to_string().contains("none.mp4"));
}

#[test]
fn a_cut_file_is_used_as_far_as_it_goes_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let expected = expected();
    // Half of each file. Of the first, ffmpeg 5.1.9 shows 3 frames too; the second it refuses.
    for (name, frames) in [("vp9.webm", 3), ("fragmented.mp4", 5)] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let request = ClipRequest::new(8, FrameSampling::Middle);
        let clip = read_clip(&path, &request, crate::random(0), &options(ReaderKind::Auto)).unwrap();
        assert_eq!((clip.reader.len(), clip.reader.decoder()), (frames, "native"), "{name}");
        assert_eq!(clip.indices[frames - 1..], vec![frames - 1; 9 - frames], "the last frame is repeated");
        assert_eq!(fnv(clip.frames.frame(7)), expected[name].frames[frames - 1].fnv, "{name}");
        assert!(clip.reader.warnings()[0].contains("cut short"), "{:?}", clip.reader.warnings());
    }
}

#[test]
fn damage_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let mut decoded = 0;
    for (name, _) in expected() {
        let bytes = std::fs::read(fixture(&name)).unwrap();
        for round in 0..40 {
            let mut uniform = crate::random(round);
            let mut damaged = bytes.clone();
            for _ in 0..=below(12, &mut uniform) {
                let place = below(damaged.len(), &mut uniform);
                damaged[place] = below(256, &mut uniform) as u8;
            }
            damaged.truncate(damaged.len() - below(damaged.len() / 4, &mut uniform));
            std::fs::write(&path, &damaged).unwrap();
            let request = ClipRequest::new(3, FrameSampling::Rand);
            decoded += usize::from(read_clip(&path, &request, uniform, &options(ReaderKind::Native)).is_ok());
        }
    }
    assert!(decoded > 60, "most of them still yield a clip: {decoded} of 440");
}

#[test]
fn a_part_of_a_video_is_sampled_in_seconds() {
    let request = ClipRequest { start: Some(0.5), end: Some(0.75), ..ClipRequest::new(3, FrameSampling::Middle) };
    let read = |request: &ClipRequest| {
        read_clip(&fixture("bframes.mp4"), request, crate::random(0), &options(ReaderKind::Native))
    };
    assert_eq!(read(&request).unwrap().indices, [6, 7, 8], "12 frames per second");
    let late = ClipRequest { start: Some(4.0), end: None, ..request };
    let error = read(&late).err().unwrap();
    assert!(matches!(error, VideoError::Window { .. }) && error.to_string().contains("1.00 s"), "{error}");
}

#[test]
fn an_inspection_names_frames_times_and_colours() {
    let folder = tempfile::tempdir().unwrap();
    let request = ClipRequest::new(4, FrameSampling::Middle);
    let shown =
        inspect(&fixture("rotated.mov"), &request, || 0.0, Some(folder.path()), &options(ReaderKind::Auto)).unwrap();
    assert_eq!((shown.decoder.as_str(), shown.frames_total), ("native", 12));
    assert_eq!((shown.width, shown.height, shown.duration_s), (48, 64, 1.0));
    assert_eq!(shown.frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), [1, 4, 7, 10]);
    assert!((shown.frames[1].pts_s - 4.0 / 12.0).abs() < 1e-5);
    let picture = std::fs::File::open(folder.path().join("frame-01-4.png")).unwrap();
    let mut decoder = png::Decoder::new(std::io::BufReader::new(picture)).read_info().unwrap();
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
    decoder.next_frame(&mut pixels).unwrap();
    assert_eq!(fnv(&pixels), expected()["rotated.mov"].frames[4].fnv);
}

/// A file read from its start to its end, a few frames at a time, with gaps and backward steps.
#[test]
fn frames_read_in_runs_are_those_read_together() {
    let kinds: &[ReaderKind] = match ffmpeg_available() {
        true => &[ReaderKind::Native, ReaderKind::Ffmpeg],
        false => &[ReaderKind::Native],
    };
    for name in ["bframes.mp4", "h264.mkv", "vp9.webm", "vfr.mp4", "fragmented.mp4", "rotated.mov"] {
        for &kind in kinds {
            let open = || VideoReader::open(&fixture(name), &options(kind)).unwrap();
            let all: Vec<usize> = (0..open().len()).collect();
            let together = open().get_frames(&all).unwrap();
            for (size, step) in [(1, 1), (3, 1), (4, 3)] {
                let mut reader = open();
                let places: Vec<usize> = all.iter().copied().step_by(step).collect();
                for run in places.chunks(size).chain(places.chunks(size).take(1)) {
                    let frames = reader.get_frames(run).unwrap();
                    for (i, &frame) in run.iter().enumerate() {
                        assert!(
                            frames.frame(i) == together.frame(frame),
                            "{name} by {kind:?}: frame {frame} of {run:?}"
                        );
                    }
                }
            }
            let keys = open().key_frames().to_vec();
            assert!(keys.first() == Some(&0) && keys.is_sorted() && keys.len() < all.len(), "{name}: {keys:?}");
        }
    }
}
