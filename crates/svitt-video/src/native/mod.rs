//! The built-in reader: H.264 in mp4, mov, m4v and mkv, VP9 in webm, mkv and mp4; no C, no other program.
//!
//! Only the samples between a key frame and the wanted picture are read and decoded, and of those only the ones that
//! other pictures refer to.

mod bits;
mod ebml;
mod h264;
mod mp4;
mod mp4_boxes;
mod mp4_edit;
mod mp4_fragment;
mod mp4_table;
mod picture;
mod sps;
mod track;
mod vp9;
mod webm;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use self::picture::{Picture, YuvCoefficients};
use self::track::{Codec, Sample, Track};
use super::error::{Result, VideoError};
use super::frames::Frames;
use super::sniff::Container;
use crate::caught::caught;

/// Largest sample that is read: a raw 4K picture has 12 MB.
const MOST_SAMPLE_BYTES: usize = 64 << 20;

/// Largest picture that is decoded: the largest of any H.264 level.
const MOST_PIXELS: usize = 139_264 * 256;

/// Words of decoder messages that mean a coding tool it lacks; its other refusals mean damage.
const LACKING: [&str; 5] = ["interlace", "explicit B", "FMO", "SP/SI", "4:2:0"];

/// A video that is decoded here.
pub(super) struct NativeVideo {
    path: PathBuf,
    file: File,
    track: Track,
    /// Stored size, before rotation.
    width: usize,
    height: usize,
    gains: YuvCoefficients,
    /// The sample that did not decode.
    failed: Option<usize>,
}

/// One of the decoders, and the sample it expects next.
struct Decoding {
    decoder: Decoder,
    next: usize,
}

enum Decoder {
    H264(Box<h264::H264>),
    Vp9(Box<vp9::Vp9>),
}

impl NativeVideo {
    /// Reads the headers of the file.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| VideoError::io(path, &error))?;
        let length = file.metadata().map_err(|error| VideoError::io(path, &error))?.len();
        let track = match Container::of(&mut file) {
            Some(Container::Mp4) => mp4::open(path, &mut file, length)?,
            Some(Container::Matroska) => webm::open(path, &file, length)?,
            Some(other) => return Err(VideoError::unsupported(path, other.format(&mut file))),
            None if length == 0 => return Err(VideoError::corrupt(path, "the file has 0 bytes")),
            None => return Err(VideoError::corrupt(path, "its first bytes are those of no video format")),
        };
        if track.shown.is_empty() {
            return Err(VideoError::Empty { path: path.to_path_buf() });
        }
        let mut video = Self {
            path: path.to_path_buf(),
            file,
            width: 0,
            height: 0,
            gains: YuvCoefficients::unspecified(),
            track,
            failed: None,
        };
        video.read_format()?;
        Ok(video)
    }

    /// Frames there are.
    pub fn len(&self) -> usize {
        self.track.shown.len()
    }

    /// Width and height as shown.
    pub fn size(&self) -> (usize, usize) {
        match self.track.orientation.transposes() {
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

    /// Decodes the frames `wanted`, ascending and distinct, to RGB.
    pub fn frames(&mut self, wanted: &[usize]) -> Result<Frames> {
        // Decoders parse untrusted bytes: a panic on one bad video must not end a run.
        let outcome = caught(|| self.decode(wanted));
        outcome.unwrap_or_else(|_| Err(VideoError::corrupt(&self.path, "the decoder gave up on the video stream")))
    }

    /// Drops everything from the sample that did not decode; false if nothing would be left.
    pub fn cut_before_failure(&mut self) -> bool {
        let Some(failed) = self.failed.take() else { return false };
        self.track.truncate(failed);
        self.track.truncated = true;
        !self.track.shown.is_empty()
    }

    fn decode(&mut self, wanted: &[usize]) -> Result<Frames> {
        let (width, height) = self.size();
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
        let mut decoding: Option<Decoding> = None;
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
        Ok(frames)
    }

    /// Decodes on to `sample`, from the nearest key frame or from where the decoder stands, whichever is later.
    fn picture(&mut self, sample: usize, decoding: &mut Option<Decoding>) -> Result<Picture> {
        let start = self.key_before(sample)?;
        if decoding.as_ref().is_none_or(|decoding| decoding.next > sample || decoding.next < start) {
            *decoding = Some(Decoding { decoder: self.decoder()?, next: start });
        }
        let Some(Decoding { decoder, next }) = decoding else { return Err(self.corrupt("no decoder")) };
        loop {
            let data = self.read(self.sample(*next)?)?;
            let wanted = *next == sample;
            *next += 1;
            if !wanted && self.is_disposable(&data) {
                continue;
            }
            let decoded = match decoder {
                Decoder::H264(decoder) => decoder.decode(&data),
                Decoder::Vp9(decoder) => decoder.decode(&data),
            };
            match decoded {
                Ok(Some(picture)) if wanted => return Ok(picture),
                Ok(None) if wanted => return Err(self.failure(sample, "it yields no picture")),
                Ok(_) => {}
                Err(detail) => return Err(self.failure(*next - 1, &detail)),
            }
        }
    }

    /// The last sample up to this one that can be decoded with nothing before it.
    fn key_before(&mut self, sample: usize) -> Result<usize> {
        let mut candidate = sample;
        loop {
            if self.sample(candidate)?.key && self.starts_anew(candidate)? {
                return Ok(candidate);
            }
            candidate = candidate.checked_sub(1).ok_or_else(|| self.corrupt("no key frame to start from"))?;
        }
    }

    fn starts_anew(&mut self, sample: usize) -> Result<bool> {
        match self.track.codec {
            Codec::Vp9 => Ok(true),
            Codec::H264 { length_bytes, .. } => {
                // Key samples of open groups begin with pictures that refer to the group before.
                let data = self.read(self.sample(sample)?)?;
                Ok(h264::starts_anew(&data, length_bytes))
            }
        }
    }

    fn is_disposable(&self, data: &[u8]) -> bool {
        match self.track.codec {
            Codec::Vp9 => false,
            Codec::H264 { length_bytes, .. } => h264::is_disposable(data, length_bytes),
        }
    }

    fn decoder(&self) -> Result<Decoder> {
        Ok(match &self.track.codec {
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

    /// Size and colour from the bitstream, which go before what the container says.
    fn read_format(&mut self) -> Result<()> {
        let first = self.read(self.sample(0)?)?;
        let container = self.track.colour;
        let format = match &self.track.codec {
            Codec::Vp9 => vp9::FrameHeader::parse(&first).and_then(|head| head.format),
            Codec::H264 { parameter_sets, length_bytes } => {
                let stored = parameter_sets.iter().map(Vec::as_slice);
                let sps = h264::find_sps(stored.chain(h264::nals(&first, *length_bytes)));
                let usable = sps.filter(|sps| (sps.chroma_format, sps.bit_depth, sps.interlaced) == (1, 8, false));
                usable.map(|sps| (sps.width, sps.height, sps.colour(container)))
            }
        };
        let convertible =
            format.and_then(|(width, height, colour)| Some((width, height, YuvCoefficients::new(colour)?)));
        let Some((width, height, gains)) = convertible.filter(|(width, height, _)| *width > 0 && *height > 0) else {
            return Err(VideoError::unsupported(&self.path, "this profile of its codec (8-bit 4:2:0 frames only)"));
        };
        if width.saturating_mul(height) > MOST_PIXELS {
            return Err(VideoError::unsupported(&self.path, format!("pictures of {width} x {height}")));
        }
        // swscale upsamples chroma differently for an odd number of rows (differences up to 160 levels at edges).
        if height % 2 == 1 {
            return Err(VideoError::unsupported(&self.path, "pictures with an odd number of rows"));
        }
        (self.width, self.height, self.gains) = (width, height, gains);
        Ok(())
    }

    fn convert(&self, picture: &Picture, out: &mut [u8]) -> Result<()> {
        if (picture.width, picture.height) != (self.width, self.height) {
            return Err(VideoError::unsupported(&self.path, "a picture size that changes within the video"));
        }
        let whole = if self.track.orientation == track::Orientation::UPRIGHT {
            picture.to_rgb(&self.gains, out)
        } else {
            let mut stored = vec![0; out.len()];
            let whole = picture.to_rgb(&self.gains, &mut stored);
            self.track.orientation.turn(self.width, self.height, &stored, out);
            whole
        };
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

    fn corrupt(&self, detail: impl Into<String>) -> VideoError {
        VideoError::corrupt(&self.path, detail)
    }
}

/// Codec and container of an mp4 or Matroska file that is not decoded here; `None` if it is, or if it is unknowable.
pub(super) fn foreign_format(container: Container, file: &mut File) -> Option<String> {
    let length = file.metadata().ok()?.len();
    match container {
        Container::Mp4 => mp4::foreign_format(file, length),
        Container::Matroska => webm::foreign_format(file, length),
        Container::Other(_) => None,
    }
}
