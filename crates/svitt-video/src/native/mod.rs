//! The built-in reader: H.264 in mp4, mov, m4v and mkv, VP9 in webm, mkv and mp4; no C, no other program.
//!
//! Only the samples between a key frame and the wanted picture are read and decoded, and of those only the ones that
//! other pictures refer to.

mod bits;
mod ebml;
mod h264;
mod joined;
mod mp4;
mod mp4_boxes;
mod mp4_edit;
mod mp4_files;
mod mp4_fragment;
mod mp4_table;
mod order;
mod picture;
mod sps;
mod stream;
mod track;
mod vp9;
mod webm;
mod webm_ids;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use self::picture::{Picture, YuvCoefficients};
pub use self::stream::NativePicture;
use self::track::{Codec, Orientation, Part, Sample, Track};
use super::error::{Result, VideoError};
use super::frames::{Frames, check_memory};
use super::sniff::{Container, open_regular};
use crate::caught::caught;

/// Largest sample that is read: a raw 4K picture has 12 MB.
const MOST_SAMPLE_BYTES: usize = 64 << 20;

/// Cuts before failing samples after which the rest is looked through once, from the start.
const MOST_CUTS: usize = 3;

/// What is not decoded here: joined files of different kinds, or pictures that change their size.
pub(super) const CHANGING: &str = "pictures that change their size or codec within the video";

/// What is not decoded here: H.264 whose frames are reordered while their times are equal or start again.
const UNORDERED: &str = "H.264 whose times do not tell the order of its frames";

/// What is not decoded here: H.264 that was cut so that its first pictures cannot be decoded.
pub(super) const NO_KEY: &str = "H.264 that does not begin with a key frame";

/// Words of decoder messages that mean a coding tool it lacks; its other refusals mean damage.
const LACKING: [&str; 5] = ["interlace", "explicit B", "FMO", "SP/SI", "4:2:0"];

/// A video that is decoded here.
pub(super) struct NativeVideo {
    path: PathBuf,
    file: File,
    container: Container,
    track: Track,
    /// Stored size, before rotation.
    width: usize,
    height: usize,
    gains: YuvCoefficients,
    /// The sample that did not decode.
    failed: Option<usize>,
    /// How often the video was cut before a sample that did not decode.
    cuts: usize,
    /// The decoder as the last call left it: calls for one run of frames after the other decode every sample once.
    decoding: Option<Decoding>,
}

/// One of the decoders, the part of the file it is for, and the sample it expects next.
struct Decoding {
    decoder: Decoder,
    part: usize,
    next: usize,
}

enum Decoder {
    H264(Box<h264::H264>),
    Vp9(Box<vp9::Vp9>),
}

impl Decoder {
    /// The picture that a sample puts on screen, if it does.
    fn decode(&mut self, sample: &[u8]) -> std::result::Result<Option<Picture>, String> {
        match self {
            Self::H264(decoder) => decoder.decode(sample),
            Self::Vp9(decoder) => decoder.decode(sample),
        }
    }
}

impl NativeVideo {
    /// Reads the headers of the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_regular(path)?;
        let outcome = caught(|| Self::read_headers(path, file));
        outcome.unwrap_or_else(|_| Err(VideoError::corrupt(path, "the reader gave up on its headers")))
    }

    fn read_headers(path: &Path, mut file: File) -> Result<Self> {
        let length = file.metadata().map_err(|error| VideoError::io(path, error))?.len();
        let Some(container) = Container::of(&mut file) else { return Err(no_video(path, &file)) };
        let track = match container {
            Container::Mp4 => mp4::open(path, &mut file, length)?,
            Container::Matroska => webm::open(path, &file, length)?,
            other => return Err(VideoError::unsupported(path, other.format(&mut file))),
        };
        if track.shown.is_empty() {
            return Err(VideoError::Empty { path: path.to_path_buf() });
        }
        let (path, gains) = (path.to_path_buf(), YuvCoefficients::unspecified());
        let (width, height, failed, cuts, decoding) = (0, 0, None, 0, None);
        let mut video = Self { path, file, container, track, width, height, gains, failed, cuts, decoding };
        video.read_formats()?;
        Ok(video)
    }

    /// Frames there are.
    pub fn len(&self) -> usize {
        self.track.shown.len()
    }

    /// The frames that are decoded without others, by the container's word.
    pub fn key_frames(&self) -> Vec<usize> {
        let is_key = |sample: usize| self.track.samples.get(sample).is_some_and(|sample| sample.key);
        let shown = self.track.shown.iter().enumerate();
        shown.filter(|(_, shown)| is_key(shown.sample)).map(|(index, _)| index).collect()
    }

    /// Width and height as shown.
    pub fn size(&self) -> (usize, usize) {
        match self.orientation().transposes() {
            true => (self.height, self.width),
            false => (self.width, self.height),
        }
    }

    /// When each frame is shown, in seconds.
    pub fn times(&self) -> Vec<f64> {
        self.track.shown.iter().map(|shown| shown.time as f64 * self.track.unit).collect()
    }

    /// How long the last frame is shown, in seconds.
    pub fn last_duration(&self) -> f64 {
        self.track.last_duration as f64 * self.track.unit
    }

    /// The file ends before its samples do.
    pub fn truncated(&self) -> bool {
        self.track.truncated
    }

    /// The structure of the file is broken at some point, and what comes after it was not read.
    pub fn damaged(&self) -> bool {
        self.track.damaged
    }

    fn orientation(&self) -> Orientation {
        self.track.parts.first().map_or(Orientation::UPRIGHT, |part| part.orientation)
    }

    /// Decodes the frames `wanted`, ascending and distinct, to RGB.
    pub fn frames(&mut self, wanted: &[usize]) -> Result<Frames> {
        // A decoder is a parser of untrusted bytes; whatever it does, one bad video must not end a run.
        let outcome = caught(|| self.decode(wanted));
        outcome.unwrap_or_else(|_| Err(VideoError::corrupt(&self.path, "the decoder gave up on the video stream")))
    }

    /// Drops everything from the sample that did not decode; false if nothing would be left. After a few of these cuts
    /// the rest is decoded once from the start, so that no file makes their number grow with its own.
    pub fn cut_before_failure(&mut self) -> bool {
        let Some(failed) = self.failed.take() else { return false };
        self.track.truncate(failed);
        self.track.truncated = true;
        self.cuts += 1;
        if self.cuts >= MOST_CUTS {
            let whole = caught(|| self.look_through()).unwrap_or(0);
            self.track.truncate(whole);
        }
        !self.track.shown.is_empty()
    }

    /// The number of samples that decode one after the other from the start.
    fn look_through(&mut self) -> usize {
        let mut decoding: Option<Decoding> = None;
        for sample in 0..self.track.samples.len() {
            let part = self.track.part_of(sample);
            if decoding.as_ref().is_none_or(|decoding| decoding.part != part) {
                let Ok(decoder) = self.decoder(part) else { return sample };
                decoding = Some(Decoding { decoder, part, next: sample });
            }
            let data = self.sample(sample).and_then(|sample| self.read(sample));
            let decoded = match (&mut decoding, data) {
                (Some(Decoding { decoder, .. }), Ok(data)) => decoder.decode(&data),
                _ => return sample,
            };
            match decoded {
                Ok(None) if matches!(self.track.parts[part].codec, Codec::H264 { .. }) => return sample,
                Ok(_) => {}
                Err(_) => return sample,
            }
        }
        self.track.samples.len()
    }

    fn decode(&mut self, wanted: &[usize]) -> Result<Frames> {
        let (width, height) = self.size();
        check_memory(&self.path, wanted.len(), width, height)?;
        let mut frames =
            Frames { count: wanted.len(), height, width, data: vec![0; wanted.len() * width * height * 3] };
        let bytes = frames.frame_bytes();
        // In decoding order, so that the pictures of one group follow from one key frame.
        let mut targets = Vec::with_capacity(wanted.len());
        for (place, &index) in wanted.iter().enumerate() {
            let shown =
                self.track.shown.get(index).ok_or_else(|| self.corrupt("a frame past the end was asked for"))?;
            targets.push((shown.sample, place));
        }
        targets.sort_unstable();
        // Given back below: a decoder that failed is not used again.
        let mut decoding = self.decoding.take();
        let mut last: Option<(usize, usize)> = None;
        for (sample, place) in targets {
            if let Some((_, before)) = last.filter(|(same, _)| *same == sample) {
                frames.data.copy_within(before * bytes..(before + 1) * bytes, place * bytes);
                continue;
            }
            let picture = self.picture(sample, &mut decoding)?;
            self.convert(&picture, &mut frames.data[place * bytes..(place + 1) * bytes])?;
            last = Some((sample, place));
        }
        self.decoding = decoding;
        Ok(frames)
    }

    /// Decodes on to `sample`, from the nearest key frame or from where the decoder stands, whichever is later.
    fn picture(&mut self, sample: usize, decoding: &mut Option<Decoding>) -> Result<Picture> {
        let start = self.key_before(sample)?;
        let part = self.track.part_of(sample);
        let usable = |decoding: &Decoding| decoding.part == part && (start..=sample).contains(&decoding.next);
        if !decoding.as_ref().is_some_and(usable) {
            *decoding = Some(Decoding { decoder: self.decoder(part)?, part, next: start });
        }
        let Some(Decoding { decoder, next, .. }) = decoding else { return Err(self.corrupt("no decoder")) };
        loop {
            let data = self.read(self.sample(*next)?)?;
            let wanted = *next == sample;
            *next += 1;
            if !wanted && self.is_disposable(&data) {
                continue;
            }
            match decoder.decode(&data) {
                Ok(Some(picture)) if wanted => return Ok(picture),
                // Every sample of H.264 is a picture, and later ones may refer to it.
                Ok(None) if wanted || matches!(decoder, Decoder::H264(_)) => {
                    return Err(self.failure(*next - 1, "it yields no picture"));
                }
                Ok(_) => {}
                Err(detail) => return Err(self.failure(*next - 1, &detail)),
            }
        }
    }

    /// The last sample up to this one that can be decoded with nothing before it.
    fn key_before(&mut self, sample: usize) -> Result<usize> {
        let first = self.track.parts.get(self.track.part_of(sample)).map_or(0, |part| part.first);
        for candidate in (first..=sample).rev() {
            if self.sample(candidate)?.key && self.starts_anew(candidate)? {
                return Ok(candidate);
            }
        }
        Err(VideoError::unsupported(&self.path, NO_KEY))
    }

    fn starts_anew(&mut self, sample: usize) -> Result<bool> {
        match self.codec_of(sample) {
            Codec::Vp9 => Ok(true),
            // Key samples of open groups begin with pictures that refer to the group before.
            Codec::H264 { length_bytes, .. } => Ok(h264::starts_in(&self.file, self.sample(sample)?, *length_bytes)),
        }
    }

    fn codec_of(&self, sample: usize) -> &Codec {
        &self.track.parts[self.track.part_of(sample)].codec
    }

    fn is_disposable(&self, data: &[u8]) -> bool {
        match self.track.parts.first().map(|part| &part.codec) {
            Some(Codec::H264 { length_bytes, .. }) => h264::is_disposable(data, *length_bytes),
            _ => false,
        }
    }

    fn decoder(&self, part: usize) -> Result<Decoder> {
        Ok(match &self.track.parts[part].codec {
            Codec::Vp9 => Decoder::Vp9(Box::default()),
            Codec::H264 { parameter_sets, length_bytes } => {
                let decoder = h264::H264::new(parameter_sets, *length_bytes);
                Decoder::H264(Box::new(decoder.map_err(|detail| self.corrupt(detail))?))
            }
        })
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.track.samples.get(index).copied().ok_or_else(|| self.corrupt("a sample past the end was asked for"))
    }

    fn read(&mut self, sample: Sample) -> Result<Vec<u8>> {
        if sample.size > MOST_SAMPLE_BYTES {
            return Err(self.corrupt("a sample of the file is unreasonably large"));
        }
        let mut data = vec![0; sample.size];
        let read = self.file.seek(SeekFrom::Start(sample.offset)).and_then(|_| self.file.read_exact(&mut data));
        read.map_err(|error| self.corrupt(error.to_string()))?;
        Ok(data)
    }

    /// Size and colour of every part.
    fn read_formats(&mut self) -> Result<()> {
        for part in 0..self.track.parts.len() {
            let (width, height, gains) = self.read_format(part)?;
            if part > 0 && (width, height, gains) != (self.width, self.height, self.gains) {
                return Err(VideoError::unsupported(&self.path, CHANGING));
            }
            (self.width, self.height, self.gains) = (width, height, gains);
        }
        Ok(())
    }

    /// Size and colour from the bitstream, which go before what the container says.
    fn read_format(&mut self, part: usize) -> Result<(usize, usize, YuvCoefficients)> {
        let first = self.read(self.sample(self.track.parts[part].first)?)?;
        let Part { codec, colour, .. } = &self.track.parts[part];
        let format = match codec {
            Codec::Vp9 => vp9::FrameHeader::parse(&first).and_then(|head| head.format),
            Codec::H264 { parameter_sets, length_bytes } => {
                let stored = parameter_sets.iter().map(Vec::as_slice);
                let sps = h264::find_sps(stored.chain(h264::nals(&first, *length_bytes)));
                let usable = sps.filter(|sps| (sps.chroma_format, sps.bit_depth, sps.interlaced) == (1, 8, false));
                usable.map(|sps| (sps.width, sps.height, sps.colour(*colour)))
            }
        };
        let convertible =
            format.and_then(|(width, height, colour)| Some((width, height, YuvCoefficients::new(colour)?)));
        let Some((width, height, gains)) = convertible.filter(|(width, height, _)| *width > 0 && *height > 0) else {
            return Err(VideoError::unsupported(&self.path, "this profile of its codec (8-bit 4:2:0 frames only)"));
        };
        check_memory(&self.path, 1, width, height)?;
        // The program spreads chroma differently over an odd number of rows, by up to 160 levels at edges.
        if height % 2 == 1 {
            return Err(VideoError::unsupported(&self.path, "pictures with an odd number of rows"));
        }
        Ok((width, height, gains))
    }

    fn check_size(&self, picture: &Picture) -> Result<()> {
        match (picture.width, picture.height) == (self.width, self.height) {
            true => Ok(()),
            false => Err(VideoError::unsupported(&self.path, CHANGING)),
        }
    }

    fn convert(&self, picture: &Picture, out: &mut [u8]) -> Result<()> {
        self.check_size(picture)?;
        let whole = picture.to_shown_rgb(&self.gains, self.orientation(), out);
        if whole { Ok(()) } else { Err(self.corrupt("a decoded picture is smaller than announced")) }
    }

    /// The error for a sample that does not decode: a coding tool we lack, or damage.
    fn failure(&mut self, sample: usize, detail: &str) -> VideoError {
        if LACKING.iter().any(|tool| detail.contains(tool)) {
            return VideoError::unsupported(&self.path, format!("H.264 with {detail}"));
        }
        self.failed = Some(sample);
        self.corrupt(format!("sample {sample}: {detail}"))
    }

    fn corrupt(&self, detail: impl AsRef<str>) -> VideoError {
        VideoError::corrupt(&self.path, detail)
    }
}

/// Codec and container of an mp4 or Matroska file that is not decoded here; `None` if it is, or if it is unknowable.
pub(super) fn foreign_format(container: Container, file: &mut File) -> Option<String> {
    let length = file.metadata().ok()?.len();
    match container {
        Container::Mp4 => mp4::foreign_format(file, length),
        Container::Matroska => webm::foreign_format(file, length),
        Container::Other(_) | Container::Unreadable(_) => None,
    }
}

/// One of the files that were joined into one.
pub(super) struct Layout {
    /// Its first byte.
    pub origin: u64,
    /// Which packets hold reference pictures that are never shown, where that is known.
    pub hidden: Option<Vec<bool>>,
}

/// The files that were joined into this one, in order; none where that is not known.
pub(super) fn layout(container: Container, file: &mut File) -> Vec<Layout> {
    let Ok(length) = file.metadata().map(|facts| facts.len()) else { return Vec::new() };
    match container {
        Container::Mp4 => mp4::layout(file, length),
        Container::Matroska => webm::layout(file, length),
        Container::Other(_) | Container::Unreadable(_) => Vec::new(),
    }
}

/// The error for a file whose first bytes are those of no video.
pub(super) fn no_video(path: &Path, file: &File) -> VideoError {
    let empty = file.metadata().is_ok_and(|facts| facts.len() == 0);
    VideoError::corrupt(
        path,
        if empty { "the file has 0 bytes" } else { "its first bytes are those of no video format" },
    )
}
