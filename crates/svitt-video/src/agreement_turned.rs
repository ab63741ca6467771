//! Turned and mirrored pictures, in every way that containers can say it, against what `ffmpeg` shows.

use std::path::Path;

use super::agreement::Bench;
use super::*;

/// A copy of `roll.mkv`, turned about one axis by another angle.
fn turned(element: u16, degrees: f32) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases/roll.mkv");
    let mut bytes = std::fs::read(path).unwrap();
    let roll = [&[0x76, 0x75, 0x84][..], &90f32.to_be_bytes()].concat();
    let at = bytes.windows(roll.len()).position(|window| window == roll).unwrap();
    bytes[at..at + 2].copy_from_slice(&element.to_be_bytes());
    bytes[at + 3..at + 7].copy_from_slice(&degrees.to_be_bytes());
    bytes
}

#[test]
fn matroska_turned_by_any_angle_is_read_as_ffmpeg_decodes_it() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let [yaw, pitch, roll] = [0x7673, 0x7674, 0x7675];
    let mut bench = Bench::new();
    let angles = [
        (roll, 180.0, (320, 240)),
        (roll, -90.0, (240, 320)),
        (roll, 270.0, (240, 320)),
        (roll, -180.0, (320, 240)),
        (roll, -270.0, (240, 320)),
        (roll, 450.0, (240, 320)),
        (roll, 45.0, (320, 240)),
        (roll, 1.5, (320, 240)),
        (roll, f32::NAN, (320, 240)),
        (yaw, 45.0, (320, 240)),
        (roll, 0.0, (320, 240)),
        (roll, -0.0, (320, 240)),
        (yaw, 180.0, (320, 240)),
        (pitch, 180.0, (320, 240)),
    ];
    for (number, (element, degrees, size)) in angles.into_iter().enumerate() {
        let name = format!("turned-{number}.mkv");
        std::fs::write(bench.path(&name), turned(element, degrees)).unwrap();
        bench.check_alone(&name);
        let mut reader = VideoReader::open(&bench.path(&name), &ReaderOptions::default()).unwrap();
        let frames = reader.get_frames(&[7]).unwrap();
        assert_eq!((frames.width, frames.height), size, "{element:x} {degrees}");
    }
}

/// A copy of an mp4 with another matrix in its track header (`tkhd`) or its movie header (`mvhd`).
fn with_matrix(mut bytes: Vec<u8>, header: &[u8; 4], matrix: [i32; 4]) -> Vec<u8> {
    let at = bytes.windows(4).position(|window| window == header).unwrap() + if header == b"tkhd" { 44 } else { 40 };
    let [a, b, c, d] = matrix;
    for (place, value) in [a, b, 0, c, d].into_iter().enumerate() {
        bytes[at + 4 * place..at + 4 * place + 4].copy_from_slice(&value.to_be_bytes());
    }
    bytes
}

#[test]
fn mp4_turned_or_mirrored_is_read_as_ffmpeg_decodes_it() {
    if !ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let mut bench = Bench::new();
    let source = "-f lavfi -i testsrc2=size=96x64:rate=25 -frames:v 9";
    if !bench.make(source, "-c:v libx264 -bf 2", "plain.mp4") {
        return crate::skipped::skipped("libx264");
    }
    let plain = std::fs::read(bench.path("plain.mp4")).unwrap();
    const ONE: i32 = 1 << 16;
    let (small, half) = (ONE / 100, 46_341);
    let upright = [ONE, 0, 0, ONE];
    let quarter = [0, ONE, -ONE, 0];
    let cases = [
        ([-ONE, 0, 0, ONE], upright, true),
        ([ONE, 0, 0, -ONE], upright, true),
        ([-ONE, 0, 0, -ONE], upright, true),
        (quarter, upright, true),
        ([0, -ONE, ONE, 0], upright, true),
        ([0, ONE, ONE, 0], upright, true),
        ([0, -ONE, -ONE, 0], upright, true),
        ([0, 2 * ONE, -2 * ONE, 0], upright, true),
        ([0; 4], upright, true),
        (upright, quarter, true),
        (quarter, quarter, true),
        ([-ONE, 0, 0, ONE], quarter, true),
        (upright, [-ONE, 0, 0, -ONE], true),
        ([half, half, -half, half], upright, false),
        (upright, [half, half, -half, half], false),
        ([ONE, small, -small, ONE], upright, false),
    ];
    for (number, (track, movie, native)) in cases.into_iter().enumerate() {
        let name = format!("turned-{number}.mp4");
        let bytes = with_matrix(with_matrix(plain.clone(), b"tkhd", track), b"mvhd", movie);
        std::fs::write(bench.path(&name), bytes).unwrap();
        bench.check_alone(&name);
        let reader = VideoReader::open(&bench.path(&name), &ReaderOptions::default()).unwrap();
        assert_eq!(reader.decoder() == "native", native, "{track:?} {movie:?}");
    }
}
