//! WebM and Matroska (RFC 9559): the first video track and where its blocks lie.

use std::fs::File;
use std::path::Path;

use super::ebml::{EbmlReader, Element, unsigned};
use super::track::{Codec, ColourSpace, DisplayedFrame, Orientation, Sample, Track};
use super::{h264, vp9};
use crate::error::{Result, VideoError};

mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const INFO: u32 = 0x1549_A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const CODEC: u32 = 0x86;
    pub const CODEC_PRIVATE: u32 = 0x63A2;
    pub const DEFAULT_DURATION: u32 = 0x23_E383;
    pub const ENCODINGS: u32 = 0x6D80;
    pub const VIDEO: u32 = 0xE0;
    pub const COLOUR: u32 = 0x55B0;
    pub const MATRIX: u32 = 0x55B1;
    pub const RANGE: u32 = 0x55B9;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const GROUP: u32 = 0xA0;
    pub const BLOCK: u32 = 0xA1;
    pub const REFERENCE: u32 = 0xFB;
}

/// What the header says of the first video track.
#[derive(Default)]
struct Header {
    number: u64,
    codec: String,
    private: Vec<u8>,
    /// Nanoseconds.
    frame_duration: u64,
    /// Compressed or encrypted blocks.
    encoded: bool,
    matrix: Option<u8>,
    full_range: bool,
}

/// Reads the first video track of the file.
pub(super) fn open(path: &Path, file: &File, length: u64) -> Result<Track> {
    let io = |error: std::io::Error| VideoError::corrupt(path, error.to_string());
    let mut walker = EbmlReader::new(file.try_clone().map_err(io)?, length).map_err(io)?;
    let mut scan = MatroskaScan {
        walker: &mut walker,
        header: None,
        tracks: false,
        scale: 1_000_000,
        blocks: BlockList::default(),
    };
    scan.run();
    let MatroskaScan { header, tracks, scale, blocks, .. } = scan;
    let Some(header) = header else {
        return Err(match tracks {
            true => VideoError::NoVideoStream { path: path.to_path_buf() },
            false => VideoError::corrupt(path, "the Matroska file has no track list"),
        });
    };
    let codec = header.known_codec().ok_or_else(|| VideoError::unsupported(path, header.format()))?;
    Ok(blocks.into_track(codec, &header, scale))
}

/// The codec of the first video track, for a person: `VP8 in WebM`. `None` if it is decoded here or unknowable.
pub(super) fn foreign_format(file: &File, length: u64) -> Option<String> {
    let mut walker = EbmlReader::new(file.try_clone().ok()?, length).ok()?;
    let mut scan =
        MatroskaScan { walker: &mut walker, header: None, tracks: false, scale: 0, blocks: BlockList::default() };
    scan.head();
    scan.header.filter(|header| header.known_codec().is_none()).map(|header| header.format())
}

impl Header {
    fn known_codec(&self) -> Option<Codec> {
        match self.codec.as_str() {
            _ if self.encoded => None,
            "V_VP9" => Some(Codec::Vp9),
            "V_MPEG4/ISO/AVC" => h264::codec_of(&self.private),
            _ => None,
        }
    }

    fn format(&self) -> String {
        let (codec, container) = match self.codec.as_str() {
            "V_VP8" => ("VP8", "WebM"),
            "V_AV1" => ("AV1", "Matroska"),
            "V_MPEGH/ISO/HEVC" => ("HEVC", "Matroska"),
            "V_VP9" | "V_MPEG4/ISO/AVC" => ("compressed or encrypted video", "Matroska"),
            other => (other, "Matroska"),
        };
        format!("{codec} in {container}")
    }
}

/// Blocks of the track as they are found.
#[derive(Default)]
struct BlockList {
    samples: Vec<Sample>,
    /// Whether each sample puts a picture on screen.
    shows: Vec<bool>,
    truncated: bool,
}

struct MatroskaScan<'a> {
    walker: &'a mut EbmlReader,
    header: Option<Header>,
    /// A track list was found.
    tracks: bool,
    /// Nanoseconds per unit.
    scale: u64,
    blocks: BlockList,
}

impl MatroskaScan<'_> {
    /// Everything up to the first cluster; returns that cluster.
    fn head(&mut self) -> Option<Element> {
        let first = self.walker.next().filter(|element| element.id == id::EBML)?;
        self.walker.go(first.end)?;
        let segment = self.walker.next().filter(|element| element.id == id::SEGMENT)?;
        self.blocks.truncated = segment.cut;
        self.walker.go(segment.start)?;
        loop {
            let element = self.walker.next()?;
            match element.id {
                id::CLUSTER => return Some(element),
                id::INFO => self.info(&element),
                id::TRACKS => self.track_list(&element),
                _ => {}
            }
            self.walker.go(element.end)?;
        }
    }

    fn run(&mut self) {
        let Some(mut cluster) = self.head() else { return };
        // Clusters of unknown size end where the next one begins, so their blocks are walked in one flat loop.
        let mut time = 0i64;
        loop {
            let mut next = match cluster.id {
                id::CLUSTER | id::GROUP => cluster.start,
                _ => cluster.end,
            };
            match cluster.id {
                id::TIMESTAMP => {
                    time = self.walker.content(&cluster).map_or(time, |content| unsigned(&content) as i64);
                }
                id::SIMPLE_BLOCK => self.block(&cluster, time, None),
                id::GROUP => {
                    self.group(&cluster, time);
                    next = cluster.end;
                }
                _ => {}
            }
            if self.walker.go(next).is_none() {
                return;
            }
            match self.walker.next() {
                Some(element) => cluster = element,
                None => return,
            }
        }
    }

    fn info(&mut self, info: &Element) {
        for element in self.walker.children(info).into_iter().filter(|element| element.id == id::TIMESTAMP_SCALE) {
            self.scale = self.walker.content(&element).map_or(self.scale, |content| unsigned(&content)).max(1);
        }
    }

    fn track_list(&mut self, tracks: &Element) {
        self.tracks = true;
        for element in self.walker.children(tracks).into_iter().filter(|element| element.id == id::TRACK) {
            if self.header.is_none() {
                self.header = self.track(&element);
            }
        }
    }

    /// The header of a track, if it is a video track.
    fn track(&mut self, track: &Element) -> Option<Header> {
        let mut header = Header::default();
        let mut kind = 0;
        for element in self.walker.children(track) {
            if element.id == id::VIDEO {
                self.video(&element, &mut header);
                continue;
            }
            let content = self.walker.content(&element).unwrap_or_default();
            match element.id {
                id::TRACK_NUMBER => header.number = unsigned(&content),
                id::TRACK_TYPE => kind = unsigned(&content),
                id::CODEC => header.codec = String::from_utf8_lossy(&content).trim_end_matches('\0').to_owned(),
                id::CODEC_PRIVATE => header.private = content,
                id::DEFAULT_DURATION => header.frame_duration = unsigned(&content),
                id::ENCODINGS => header.encoded = true,
                _ => {}
            }
        }
        (kind == 1).then_some(header)
    }

    fn video(&mut self, video: &Element, header: &mut Header) {
        for colour in self.walker.children(video).into_iter().filter(|element| element.id == id::COLOUR) {
            for element in self.walker.children(&colour) {
                let value = self.walker.content(&element).map_or(0, |content| unsigned(&content));
                match element.id {
                    id::MATRIX => header.matrix = u8::try_from(value).ok(),
                    id::RANGE => header.full_range = value == 2,
                    _ => {}
                }
            }
        }
    }

    fn group(&mut self, group: &Element, time: i64) {
        let children = self.walker.children(group);
        let key = !children.iter().any(|element| element.id == id::REFERENCE);
        for block in children.iter().filter(|element| element.id == id::BLOCK) {
            self.block(block, time, Some(key));
        }
    }

    /// Notes a block: track number, 16-bit time, flags, then the sample (lacing is not used for video).
    fn block(&mut self, block: &Element, time: i64, key: Option<bool>) {
        self.blocks.truncated |= block.cut;
        let Some(header) = &self.header else { return };
        let wanted = header.number;
        let head_size = (block.end - block.start).min(24) as usize;
        let Some(head) = self.walker.go(block.start).and_then(|()| self.walker.bytes(head_size)) else { return };
        let width = head.first().map_or(9, |first| first.leading_zeros() as usize + 1);
        let (Some(number), Some(fixed)) = (head.get(..width), head.get(width..width + 3)) else { return };
        let marker = 1u64.checked_shl(7 * width as u32).unwrap_or(0);
        if block.cut || unsigned(number) & !marker != wanted || fixed[2] & 6 != 0 {
            return;
        }
        let sample = &head[width + 3..];
        let offset = block.start + width as u64 + 3;
        let is_vp9 = header.codec == "V_VP9";
        if sample.is_empty() {
            return;
        }
        let hidden = is_vp9 && vp9::FrameHeader::parse(sample).is_some_and(|head| !head.shown);
        let last = if hidden { self.walker.go(block.end - 1).and_then(|()| self.walker.bytes(1)) } else { None };
        let shows = !hidden || last.is_some_and(|last| vp9::ends_superframe(last[0]));
        let container_key = key.unwrap_or(fixed[2] & 0x80 != 0);
        let key = if is_vp9 { vp9::FrameHeader::parse(sample).is_some_and(|head| head.key) } else { container_key };
        let time = time.saturating_add(i64::from(i16::from_be_bytes([fixed[0], fixed[1]])));
        self.blocks.samples.push(Sample { offset, size: (block.end - offset) as usize, time, key });
        self.blocks.shows.push(shows);
    }
}

impl BlockList {
    fn into_track(self, codec: Codec, header: &Header, scale: u64) -> Track {
        let on_screen = self.samples.iter().zip(&self.shows).enumerate().filter(|(_, (_, shows))| **shows);
        let mut shown: Vec<DisplayedFrame> =
            on_screen.map(|(sample, (block, _))| DisplayedFrame { sample, time: block.time }).collect();
        shown.sort_by_key(|shown| shown.time);
        let span = shown.last().map_or(0, |last| last.time.saturating_sub(shown[0].time));
        let mean_gap = span / (shown.len() as i64 - 1).max(1);
        let last_duration = match header.frame_duration {
            0 => mean_gap,
            nanoseconds => (nanoseconds as f64 / scale as f64).round() as i64,
        };
        Track {
            codec,
            samples: self.samples,
            shown,
            unit: scale as f64 * 1e-9,
            last_duration,
            orientation: Orientation::UPRIGHT,
            colour: ColourSpace { matrix: header.matrix.unwrap_or(2), full_range: header.full_range },
            truncated: self.truncated,
        }
    }
}
