//! Files that were made to do harm: little memory, little time, no other file, one warning.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases").join(name)
}

fn open(path: &Path, kind: ReaderKind) -> std::result::Result<VideoReader, VideoError> {
    VideoReader::open(path, &ReaderOptions { kind, ..ReaderOptions::default() })
}

/// What opening a file of these bytes says, by every reader there is.
fn refusals(name: &str, bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut kinds = vec![ReaderKind::Native];
    if ffmpeg_available() {
        kinds.extend([ReaderKind::Auto, ReaderKind::Ffmpeg]);
    } else {
        crate::skipped::skipped("ffmpeg for two of the readers");
    }
    kinds.into_iter().map(|kind| open(&path, kind).err().expect(name).to_string()).collect()
}

/// Eight frames whose clock says 2³⁴ seconds: every clip of ten seconds would be one of two billion.
#[test]
fn a_clock_that_lasts_for_centuries_is_not_believed() {
    let reader = open(&case("dur34.mp4"), ReaderKind::Native).unwrap();
    assert_eq!(reader.len(), 8);
    assert!(reader.duration() < 60.0, "{} s", reader.duration());
    assert!(reader.fps() > 0.1, "{}", reader.fps());
}

/// One good sample and 99,999 of one byte each.
#[test]
fn many_damaged_samples_are_given_up_together_and_told_once() {
    let started = Instant::now();
    let mut reader = open(&case("f100k.mp4"), ReaderKind::Native).unwrap();
    for wanted in [[12_499, 37_499, 62_499, 87_500], [3, 400, 5000, 60_000]] {
        let wanted = wanted.map(|index: usize| index.min(reader.len() - 1));
        assert_eq!(reader.get_frames(&wanted).unwrap().count, 4);
    }
    assert_eq!(reader.len(), 1);
    assert_eq!(reader.warnings().len(), 1, "{:?}", reader.warnings());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn pictures_too_large_to_hold_are_refused_with_their_size() {
    let side = 15_000u16.to_le_bytes();
    let screen = [&b"GIF89a"[..], &side, &side, &[0x80, 0, 0, 0, 0, 0, 255, 255, 255]].concat();
    let picture = [&[0x2c, 0, 0, 0, 0][..], &side, &side, &[0, 2, 2, 0x44, 1, 0, 0x3b]].concat();
    for refusal in refusals("big.gif", &[screen, picture].concat()).iter().skip(1) {
        assert!(refusal.contains("15000x15000") && refusal.contains("make it smaller"), "{refusal}");
    }
    // 22 frames of 4K would take 522 MB at once.
    let mut reader = open(&case("../bframes.mp4"), ReaderKind::Native).unwrap();
    let most = (512 << 20) / (reader.width() * reader.height() * 3) + 1;
    assert!(matches!(reader.get_frames(&vec![0; most]), Err(VideoError::TooLarge { .. })));
}

/// A playlist would make the program read other files, wherever they lie.
/// Every picture of one pixel makes the program compose the whole canvas.
#[test]
fn a_canvas_that_few_bytes_fill_again_and_again_is_refused() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let head = b"GIF89a\x00\x20\x00\x11\x80\0\0\0\0\0\xff\xff\xff";
    let frame = b"\x21\xf9\x04\x00\x01\x00\x00\x00,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\x00";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    std::fs::write(&path, [&head[..], &frame.repeat(20_000), b";"].concat()).unwrap();
    let apng = folder.path().join("a.png");
    write_animated_png(&apng, 4096, 3000);
    for path in [path, apng] {
        let told = open(&path, ReaderKind::Auto).err().unwrap().to_string();
        assert!(told.contains("that claim") && told.contains("pixels of pictures"), "{told}");
    }
}

/// A canvas of `side` times `side` black pixels, and then `frames` pictures of one pixel.
fn write_animated_png(path: &Path, side: u32, frames: u32) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_animated(1 + frames, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0; (side * side) as usize]).unwrap();
    writer.set_frame_dimension(1, 1).unwrap();
    (0..frames).for_each(|_| writer.write_image_data(&[0xff]).unwrap());
    writer.finish().unwrap();
}

#[test]
fn playlists_are_no_videos_whatever_their_name() {
    let target = case("roll.mkv").canonicalize().unwrap();
    let lists = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n", target.display()),
        format!("ffconcat version 1.0\nfile '{}'\n", target.display()),
        format!("[playlist]\nFile1={}\n", target.display()),
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>".to_owned(),
    ];
    for list in lists {
        for refusal in refusals("a.mp4", list.as_bytes()) {
            assert!(refusal.contains("first bytes"), "{list}: {refusal}");
        }
    }
}

#[test]
fn formats_that_nobody_reads_are_named() {
    let webp = [&b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02"[..], &[0; 40]].concat();
    for refusal in refusals("a.webp", &webp).iter().skip(1) {
        assert!(refusal.contains("animated WebP") && refusal.contains("convert it"), "{refusal}");
    }
}

/// Empty tags of two bytes, boxes of eight: lists of them must not fill the memory or take minutes.
#[test]
fn files_of_nothing_but_headers_end_soon() {
    let started = Instant::now();
    let head = [0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let tracks = [0x16, 0x54, 0xae, 0x6b, 0x10, 0x7f, 0xff, 0xff];
    let empty = [0xec, 0x80].repeat(4 << 20);
    refusals("a.webm", &[&head[..], &empty].concat());
    refusals("b.webm", &[&head[..], &tracks, &empty].concat());
    refusals("a.mp4", &b"\0\0\0\x08free".repeat(1 << 20));
    // Beginnings of files without end, and tables without samples.
    let begin = b"\0\0\0\x10ftypisom\0\0\0\0";
    refusals("b.mp4", &[&begin[..], b"not a box"].concat().repeat(1 << 18));
    refusals("c.mp4", &[&begin[..], &b"\0\0\0\x08moov\0\0\0\x08moof".repeat(1 << 18)].concat());
    refusals("c.webm", &[&head[..5], &b"matroska"[..], &[0x77; 60]].concat().repeat(1 << 16));
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// A download for which room was made and which was not finished: eight gigabytes of zeros, of which none is on the disk.
#[test]
#[cfg(target_os = "linux")]
fn room_that_was_never_written_is_not_read() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["mpeg4.avi", "vp8.webm"] {
        let (source, path) = (case("..").join(name), folder.path().join(name));
        let whole = open(&source, ReaderKind::Auto).unwrap();
        std::fs::copy(source, &path).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(8 << 30).unwrap();
        let started = Instant::now();
        let reader = open(&path, ReaderKind::Auto).unwrap();
        assert_eq!((reader.len(), reader.decoder()), (whole.len(), "ffmpeg"), "{name}");
        assert!(reader.warnings()[0].contains("nothing was ever written after"), "{:?}", reader.warnings());
        assert!(started.elapsed() < Duration::from_secs(10), "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn turned_pictures_and_cover_art_are_what_ffmpeg_makes_of_them() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    for (name, frames, width, height) in [("roll.mkv", 50, 240, 320), ("hevc_cover_udta_first.mp4", 50, 320, 240)] {
        let mut reader = open(&case(name), ReaderKind::Auto).unwrap();
        let read = reader.get_frames(&[0, 30]).unwrap();
        assert_eq!((reader.len(), read.width, read.height), (frames, width, height), "{name}");
    }
}
