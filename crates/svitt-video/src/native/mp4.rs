//! mp4, mov and m4v: from `moov` and `moof` boxes to a [`Track`].

use std::fs::File;
use std::path::Path;

use super::bits::Bytes;
use super::mp4_boxes::{TopLevel, child, children, content, descend, top_level, versioned};
use super::mp4_edit::{Edit, edited, edits, unedited};
use super::mp4_fragment::{FragmentDefaults, FragmentSamples};
use super::track::{Codec, ColourSpace, Orientation, Track};
use super::{h264, mp4_table};
use crate::error::{Result, VideoError};

/// Reads the first video track of the file.
pub(super) fn open(path: &Path, file: &mut File, length: u64) -> Result<Track> {
    let io = |error: std::io::Error| VideoError::corrupt(path, error.to_string());
    let boxes = top_level(file, length).map_err(io)?;
    let Some(place) = boxes.iter().find(|found| found.kind == *b"moov") else {
        return Err(VideoError::corrupt(path, "the mp4 file has no `moov` box"));
    };
    let moov = content(file, place, length).map_err(io)?;
    let broken = || VideoError::corrupt(path, "the `moov` box of the mp4 file is broken");
    let traks = children(&moov).filter(|(kind, _)| kind == b"trak").map(|(_, trak)| trak);
    let Some(trak) = traks.into_iter().find(|trak| is_video(trak)) else {
        let whole = place.end <= length;
        return Err(if whole { VideoError::NoVideoStream { path: path.to_path_buf() } } else { broken() });
    };
    let entry = SampleEntry::of(trak).ok_or_else(broken)?;
    let codec = entry.codec().ok_or_else(|| VideoError::unsupported(path, entry.format()))?;
    let Some(orientation) = orientation(trak) else {
        return Err(VideoError::unsupported(path, "a picture turned by an odd angle in MP4"));
    };
    let mut samples = Samples::of(trak, &moov, length).ok_or_else(broken)?;
    for moof in boxes.iter().filter(|found| found.kind == *b"moof") {
        let data = content(file, moof, length).map_err(io)?;
        samples.fragmented = true;
        if samples.collector.add(&data, moof.start).is_none() {
            break;
        }
    }
    let mut track = samples.into_track(codec, orientation, entry.colour());
    track.truncated = cut_short(&boxes, length);
    track.cut_at(length);
    Ok(track)
}

/// The codec of the first video track as text, such as `HEVC in MP4`. `None` if it is decoded here or unknown.
pub(super) fn foreign_format(file: &mut File, length: u64) -> Option<String> {
    let boxes = top_level(file, length).ok()?;
    let moov = content(file, boxes.iter().find(|found| found.kind == *b"moov")?, length).ok()?;
    let trak = children(&moov).find(|(kind, trak)| kind == b"trak" && is_video(trak))?.1;
    let entry = SampleEntry::of(trak)?;
    entry.codec().is_none().then(|| entry.format())
}

fn cut_short(boxes: &[TopLevel], length: u64) -> bool {
    boxes.last().is_some_and(|last| last.end > length)
}

fn is_video(trak: &[u8]) -> bool {
    descend(trak, &[b"mdia", b"hdlr"]).and_then(|hdlr| hdlr.get(8..12)) == Some(b"vide")
}

/// The first sample description of a track (§12.1.3).
struct SampleEntry<'a> {
    kind: [u8; 4],
    boxes: &'a [u8],
}

impl<'a> SampleEntry<'a> {
    fn of(trak: &'a [u8]) -> Option<Self> {
        let stsd = descend(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?;
        let (kind, entry) = children(stsd.get(8..)?).next()?;
        Some(Self { kind, boxes: entry.get(78..).unwrap_or(&[]) })
    }

    fn codec(&self) -> Option<Codec> {
        match &self.kind {
            b"avc1" | b"avc3" => h264::codec_of(child(self.boxes, b"avcC")?),
            b"vp09" => Some(Codec::Vp9),
            _ => None,
        }
    }

    fn format(&self) -> String {
        let codec = match &self.kind {
            b"hvc1" | b"hev1" => "HEVC".to_owned(),
            b"av01" => "AV1".to_owned(),
            b"vp08" => "VP8".to_owned(),
            b"mp4v" => "MPEG-4".to_owned(),
            b"jpeg" | b"mjpa" | b"mjpb" => "Motion JPEG".to_owned(),
            other => format!("`{}` video", String::from_utf8_lossy(other).trim()),
        };
        format!("{codec} in MP4")
    }

    fn colour(&self) -> ColourSpace {
        let parse = |colr: &[u8]| -> Option<ColourSpace> {
            let mut bytes = Bytes(colr);
            let kind = bytes.take(4)?;
            bytes.u32()?;
            let matrix = u8::try_from(bytes.u16()?).ok().filter(|_| kind == b"nclx" || kind == b"nclc")?;
            Some(ColourSpace { matrix, full_range: kind == b"nclx" && bytes.u8()? & 0x80 != 0 })
        };
        child(self.boxes, b"colr").and_then(parse).unwrap_or(ColourSpace::UNSPECIFIED)
    }
}

/// The rotation of the track header; `None` for anything but quarter turns and mirrors.
fn orientation(trak: &[u8]) -> Option<Orientation> {
    let Some((version, _, mut bytes)) = child(trak, b"tkhd").and_then(versioned) else {
        return Some(Orientation::UPRIGHT);
    };
    bytes.take(if version == 1 { 48 } else { 36 })?;
    let mut row = || Some([bytes.i32()?, bytes.i32()?, bytes.i32()?]);
    let ([a, b, _], [c, d, _]) = (row()?, row()?);
    let sign = |value: i32| value.signum() as i8;
    let straight = a != 0 && d != 0 && b | c == 0;
    let quarter = b != 0 && c != 0 && a | d == 0;
    match straight || quarter {
        true => Some(Orientation { a: sign(a), b: sign(b), c: sign(c), d: sign(d) }),
        false => (a | b | c | d == 0).then_some(Orientation::UPRIGHT),
    }
}

/// Samples of a track and how its times are to be read.
struct Samples {
    collector: FragmentSamples,
    edits: Vec<Edit>,
    movie_scale: f64,
    track_scale: f64,
    fragmented: bool,
}

impl Samples {
    fn of(trak: &[u8], moov: &[u8], length: u64) -> Option<Self> {
        let track = track_id(child(trak, b"tkhd")?)?;
        let track_scale = timescale(descend(trak, &[b"mdia", b"mdhd"])?)?;
        let movie_scale = child(moov, b"mvhd").and_then(timescale).unwrap_or(track_scale);
        let stbl = descend(trak, &[b"mdia", b"minf", b"stbl"])?;
        let (samples, last_duration) = mp4_table::samples(stbl, length)?;
        let edits = descend(trak, &[b"edts", b"elst"]).and_then(edits).unwrap_or_default();
        let defaults = FragmentDefaults::of(moov, track);
        let collector = FragmentSamples { track, length, defaults, samples, time: 0, last_duration };
        Some(Self { collector, edits, movie_scale, track_scale, fragmented: false })
    }

    fn into_track(self, codec: Codec, orientation: Orientation, colour: ColourSpace) -> Track {
        let samples = self.collector.samples;
        let shown = if self.edits.is_empty() {
            unedited(&samples, 0)
        } else if self.fragmented {
            // In fragments an edit list only moves the start, for its length is not known when it is written.
            let start = self.edits.iter().find_map(|edit| edit.media_time).unwrap_or(0);
            unedited(&samples, start)
        } else {
            edited(&samples, &self.edits, self.track_scale / self.movie_scale)
        };
        let last_duration = self.collector.last_duration;
        let unit = 1.0 / self.track_scale;
        Track { codec, samples, shown, unit, last_duration, orientation, colour, truncated: false }
    }
}

fn track_id(tkhd: &[u8]) -> Option<u32> {
    let (version, _, mut bytes) = versioned(tkhd)?;
    bytes.take(if version == 1 { 16 } else { 8 })?;
    bytes.u32()
}

/// Units per second of a `mvhd` or `mdhd` box.
fn timescale(header: &[u8]) -> Option<f64> {
    let (version, _, mut bytes) = versioned(header)?;
    bytes.take(if version == 1 { 16 } else { 8 })?;
    let scale = bytes.u32()?;
    (scale > 0).then_some(f64::from(scale))
}
