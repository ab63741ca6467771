//! mp4, mov and m4v: from `moov` and `moof` boxes to a [`Track`].

use std::fs::File;
use std::path::Path;

use super::bits::Bytes;
use super::joined::{Joined, Piece};
use super::mp4_boxes::{child, children, content, descend, top_level, versioned};
use super::mp4_edit::{Edit, edited, edits};
use super::mp4_files::{OneFile, files};
use super::mp4_fragment::{FragmentDefaults, FragmentSamples};
use super::order::presentation;
use super::track::{Codec, ColourSpace, DisplayedFrame, Orientation, Track};
use super::{Layout, h264, mp4_table};
use crate::error::{Result, VideoError};
use crate::sniff::is_known_box;

/// Reads the first video track of the file, and of every further file that was joined to it.
pub(super) fn open(path: &Path, file: &mut File, length: u64) -> Result<Track> {
    let io = |error| VideoError::unread(path, &error);
    let boxes = top_level(file, length).map_err(io)?;
    let mut joined = Joined::default();
    let files = files(file, &boxes, length);
    joined.damaged = files.more;
    let mut failed = None;
    for one in &files.list {
        match piece(path, file, length, one) {
            Ok(mut piece) => {
                joined.truncated |= piece.cut_at(one.end);
                if !joined.add(piece) {
                    return Err(VideoError::unsupported(path, super::CHANGING));
                }
            }
            Err(error) if files.list.len() == 1 || matches!(error, VideoError::Unsupported { .. }) => {
                return Err(error);
            }
            Err(error) => {
                // Another reader may find more.
                joined.damaged |= !matches!(error, VideoError::NoVideoStream { .. });
                failed = Some(error);
            }
        }
    }
    // Other bytes after the last box of a whole file are no box that was cut.
    joined.truncated |= boxes.last().is_some_and(|last| last.end > length && is_known_box(&last.kind));
    joined.truncated |= boxes.iter().any(|one| one.cut && matches!(&one.kind, b"moov" | b"moof"));
    let track = joined.into_track();
    track.ok_or_else(|| failed.unwrap_or_else(|| VideoError::corrupt(path, "the mp4 file has no `moov` box")))
}

/// The codec of the first video track, for a person: `HEVC in MP4`. `None` if it is decoded here or unknowable.
pub(super) fn foreign_format(file: &mut File, length: u64) -> Option<String> {
    let boxes = top_level(file, length).ok()?;
    let moov = content(file, boxes.iter().find(|found| found.kind == *b"moov")?, length).ok()?;
    let entry = SampleEntry::of(video_track(&moov)?)?;
    entry.codec().is_none().then(|| entry.format())
}

/// The files that were joined into this one; none if it is broken.
pub(super) fn layout(file: &mut File, length: u64) -> Vec<Layout> {
    let boxes = top_level(file, length).unwrap_or_default();
    files(file, &boxes, length).list.iter().map(|one| Layout { origin: one.origin, hidden: None }).collect()
}

/// The track of one file.
fn piece(path: &Path, file: &mut File, length: u64, one: &OneFile) -> Result<Piece> {
    let io = |error| VideoError::unread(path, &error);
    let moov = content(file, one.moov, length).map_err(io)?;
    let broken = || VideoError::corrupt(path, "the `moov` box of the mp4 file is broken");
    let Some(trak) = video_track(&moov) else {
        let whole = one.moov.end <= length && !one.moov.cut;
        return Err(if whole { VideoError::NoVideoStream { path: path.to_path_buf() } } else { broken() });
    };
    let entry = SampleEntry::of(trak).ok_or_else(broken)?;
    let codec = entry.codec().ok_or_else(|| VideoError::unsupported(path, entry.format()))?;
    let Some(orientation) = orientation(trak, &moov) else {
        return Err(VideoError::unsupported(path, "a picture turned by an odd angle in MP4"));
    };
    let mut samples = Samples::of(trak, &moov, length, one.origin).ok_or_else(broken)?;
    for moof in &one.moofs {
        let data = content(file, moof, length).map_err(io)?;
        samples.fragmented = true;
        if samples.collector.add(&data, moof.start).is_none() {
            break;
        }
    }
    if samples.collector.other_descriptions {
        return Err(VideoError::unsupported(path, "several sample descriptions in one track of MP4"));
    }
    let shown = samples.shown(&codec, file).ok_or_else(|| VideoError::unsupported(path, super::UNORDERED))?;
    let unit = 1.0 / samples.track_scale;
    let FragmentSamples { samples, last_duration, .. } = samples.collector;
    Ok(Piece { codec, orientation, colour: entry.colour(), samples, shown, unit, last_duration })
}

/// The first track that is a video and no row of chapter pictures.
fn video_track(moov: &[u8]) -> Option<&[u8]> {
    let traks = || children(moov).filter(|(kind, _)| kind == b"trak").map(|(_, trak)| trak);
    let chapters: Vec<u32> = traks().flat_map(chapter_tracks).collect();
    let id = |trak| child(trak, b"tkhd").and_then(track_id);
    traks().find(|trak| is_video(trak) && id(*trak).is_none_or(|id| !chapters.contains(&id)))
}

/// Tracks that hold the names or pictures of this track's chapters.
fn chapter_tracks(trak: &[u8]) -> Vec<u32> {
    let words = descend(trak, &[b"tref", b"chap"]).unwrap_or_default();
    words.chunks_exact(4).map(|word| word.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))).collect()
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

/// The rotation of the track header and then of the movie header; `None` for anything but quarter turns and mirrors.
fn orientation(trak: &[u8], moov: &[u8]) -> Option<Orientation> {
    let [a, b, c, d] = matrix(child(trak, b"tkhd"), 36)?;
    let [e, f, g, h] = matrix(child(moov, b"mvhd"), 32)?;
    let times = |x: i64, y: i64, z: i64, w: i64| (x * y + z * w) >> 16;
    let [a, b, c, d] = [times(a, e, b, g), times(a, f, b, h), times(c, e, d, g), times(c, f, d, h)];
    let sign = |value: i64| value.signum() as i8;
    let straight = a != 0 && d != 0 && b | c == 0;
    let quarter = b != 0 && c != 0 && a | d == 0;
    (straight || quarter).then(|| Orientation { a: sign(a), b: sign(b), c: sign(c), d: sign(d) })
}

/// The upper left of the matrix that lies `skipped` bytes into a header (12 more in its long form), in units of 2⁻¹⁶.
/// One of nothing but zeros, or none, turns nothing.
fn matrix(header: Option<&[u8]>, skipped: usize) -> Option<[i64; 4]> {
    const UPRIGHT: [i64; 4] = [1 << 16, 0, 0, 1 << 16];
    let Some((version, _, mut bytes)) = header.and_then(versioned) else { return Some(UPRIGHT) };
    bytes.take(if version == 1 { skipped + 12 } else { skipped })?;
    let mut row = || Some([bytes.i32()?, bytes.i32()?, bytes.i32()?].map(i64::from));
    let ([a, b, _], [c, d, _]) = (row()?, row()?);
    Some(if a | b | c | d == 0 { UPRIGHT } else { [a, b, c, d] })
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
    fn of(trak: &[u8], moov: &[u8], length: u64, origin: u64) -> Option<Self> {
        let track = track_id(child(trak, b"tkhd")?)?;
        let track_scale = timescale(descend(trak, &[b"mdia", b"mdhd"])?)?;
        let movie_scale = child(moov, b"mvhd").and_then(timescale).unwrap_or(track_scale);
        let stbl = descend(trak, &[b"mdia", b"minf", b"stbl"])?;
        let (mut samples, last_duration) = mp4_table::samples(stbl, length)?;
        for sample in samples.iter_mut().filter(|_| origin > 0) {
            sample.offset = sample.offset.checked_add(origin)?;
        }
        let edits = descend(trak, &[b"edts", b"elst"]).and_then(edits).unwrap_or_default();
        let defaults = FragmentDefaults::of(moov, track);
        let mut collector = FragmentSamples::new(track, origin, length, defaults, (samples, last_duration));
        collector.other_descriptions = mp4_table::has_other_descriptions(stbl);
        Some(Self { collector, edits, movie_scale, track_scale, fragmented: false })
    }

    /// The pictures in the order of presentation; `None` where times do not tell it.
    fn shown(&self, codec: &Codec, file: &File) -> Option<Vec<DisplayedFrame>> {
        let samples = &self.collector.samples;
        let mut order = match codec {
            Codec::Vp9 => presentation(samples, None, false, |_| false),
            Codec::H264 { length_bytes, .. } => {
                presentation(samples, None, true, |place| h264::starts_in(file, samples[place], *length_bytes))
            }
        }?;
        if self.edits.is_empty() {
            return Some(order);
        }
        if self.fragmented {
            // In fragments an edit list only moves the start, for its length is not known when it is written.
            let start = self.edits.iter().find_map(|edit| edit.media_time).unwrap_or(0);
            order.iter_mut().for_each(|picture| picture.time = picture.time.saturating_sub(start));
            return Some(order);
        }
        let sorted = order.is_sorted_by_key(|picture| picture.time);
        sorted.then(|| edited(&order, &self.edits, self.track_scale / self.movie_scale))
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
