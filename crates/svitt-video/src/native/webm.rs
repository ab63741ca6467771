//! WebM and Matroska (RFC 9559): the first video track and where its blocks lie.

use std::fs::File;
use std::path::Path;

use super::ebml::{EbmlReader, Element, unsigned};
use super::joined::{Joined, Piece};
use super::order::presentation;
use super::track::{Codec, ColourSpace, Orientation, Sample, Track};
use super::webm_ids as id;
use super::{Layout, h264, vp9};
use crate::error::{Result, VideoError};
use crate::frames::MOST_FRAMES;
use crate::joined::MOST_PARTS;

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
    /// The picture is turned when it is shown.
    turned: bool,
}

/// Reads the first video track of the file, and of every further file that was joined to it.
pub(super) fn open(path: &Path, file: &File, length: u64) -> Result<Track> {
    let io = |error: std::io::Error| VideoError::corrupt(path, error.to_string());
    let mut scan = MatroskaScan::new(EbmlReader::new(file.try_clone().map_err(io)?, length).map_err(io)?);
    scan.run();
    if scan.found.iter().any(|found| found.blocks.samples.len() > MOST_FRAMES) {
        return Err(VideoError::too_large(path, format!("it has more than {MOST_FRAMES} frames")));
    }
    let mut joined = Joined::default();
    (joined.truncated, joined.damaged) = (scan.truncated, scan.damaged);
    for Found { header, scale, blocks, .. } in scan.found {
        let codec = header.known_codec().ok_or_else(|| VideoError::unsupported(path, header.format()))?;
        if header.turned {
            return Err(VideoError::unsupported(path, "turned pictures in Matroska"));
        }
        if blocks.laced.is_some() {
            return Err(VideoError::unsupported(path, "several frames in one block of Matroska"));
        }
        let unordered = || VideoError::unsupported(path, super::UNORDERED);
        if !joined.add(blocks.into_piece(codec, &header, scale, file).ok_or_else(unordered)?) {
            return Err(VideoError::unsupported(path, super::CHANGING));
        }
    }
    joined.into_track().ok_or_else(|| match scan.tracks {
        true => VideoError::NoVideoStream { path: path.to_path_buf() },
        false => VideoError::corrupt(path, "the Matroska file has no track list"),
    })
}

/// The codec of the first video track, for a person: `VP8 in WebM`. `None` if it is decoded here or unknowable.
pub(super) fn foreign_format(file: &File, length: u64) -> Option<String> {
    let mut scan = MatroskaScan::new(EbmlReader::new(file.try_clone().ok()?, length).ok()?);
    scan.head();
    scan.header.filter(|header| header.known_codec().is_none()).map(|header| header.format())
}

/// The files that were joined into this one; none if it is broken.
pub(super) fn layout(file: &File, length: u64) -> Vec<Layout> {
    let walker = file.try_clone().and_then(|file| EbmlReader::new(file, length));
    let Ok(walker) = walker else { return Vec::new() };
    let mut scan = MatroskaScan::new(walker);
    scan.run();
    if scan.damaged {
        return Vec::new();
    }
    scan.found.into_iter().map(Found::into_layout).collect()
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

/// BlockList of the track as they are found.
#[derive(Default)]
struct BlockList {
    samples: Vec<Sample>,
    /// Whether each sample puts a picture on screen.
    shows: Vec<bool>,
    /// The first sample that is several in one block.
    laced: Option<usize>,
}

/// The video track of one of the files that were joined.
struct Found {
    /// Its first byte.
    origin: u64,
    header: Header,
    /// Nanoseconds per unit of time.
    scale: u64,
    blocks: BlockList,
}

impl Found {
    /// Where the file begins, and which blocks of a VP8 or VP9 track hold pictures that are only referred to.
    fn into_layout(self) -> Layout {
        let known = matches!(self.header.codec.as_str(), "V_VP8" | "V_VP9") && self.blocks.laced.is_none();
        let hidden = known.then(|| self.blocks.shows.iter().map(|shows| !shows).collect());
        Layout { origin: self.origin, hidden }
    }
}

struct MatroskaScan {
    walker: EbmlReader,
    /// First byte of the current file.
    origin: u64,
    /// The video track of the current file.
    header: Option<Header>,
    /// A track list was found.
    tracks: bool,
    /// Nanoseconds per unit of time, in the current file.
    scale: u64,
    blocks: BlockList,
    /// Files that are done with.
    found: Vec<Found>,
    /// Where the segment of the current file ends, where it says so.
    segment_end: u64,
    /// The next header that was searched for: its place, or nothing.
    next_header: Option<Option<u64>>,
    /// How often it was searched for.
    searches: usize,
    /// The file ends before its last tag does.
    truncated: bool,
    /// The walk ended before the file did.
    damaged: bool,
}

impl MatroskaScan {
    fn new(walker: EbmlReader) -> Self {
        let (header, blocks, found) = (None, BlockList::default(), Vec::new());
        Self {
            walker,
            origin: 0,
            header,
            tracks: false,
            scale: 1_000_000,
            blocks,
            found,
            segment_end: 0,
            next_header: None,
            searches: 0,
            truncated: false,
            damaged: false,
        }
    }

    /// Everything up to the first cluster; returns that cluster.
    fn head(&mut self) -> Option<Element> {
        let first = self.walker.next().filter(|element| element.id == id::EBML)?;
        self.segment_head(&first)
    }

    /// Everything from the EBML header `first` up to the first cluster.
    fn segment_head(&mut self, first: &Element) -> Option<Element> {
        self.walker.go(first.end)?;
        let segment = self.walker.next().filter(|element| element.id == id::SEGMENT)?;
        self.truncated |= segment.cut;
        self.segment_end = segment.end;
        self.walker.go(segment.start)?;
        loop {
            let element = self.walker.next()?;
            if !self.makes_sense(&element) {
                return Some(element);
            }
            match element.id {
                id::CLUSTER | id::EBML => return Some(element),
                id::INFO => self.info(&element),
                id::TRACKS => self.track_list(&element),
                _ => {}
            }
            self.walker.go(element.end)?;
        }
    }

    fn run(&mut self) {
        let mut next = self.head();
        // Where the next element begins.
        let mut at = 0;
        // Clusters of unknown size end where the next one begins, so their blocks are walked in one flat loop.
        let mut time = 0i64;
        loop {
            let after = match next {
                // Another file was joined to this one: its clock, its track list and its numbers begin anew.
                Some(element) if element.id == id::EBML => Some(element.tag),
                Some(element) if self.makes_sense(&element) => None,
                None if at >= self.walker.length() => None,
                _ => self.next_file(),
            };
            if let Some(header) = after {
                self.close_before(header);
                (self.origin, at) = (header, header);
                let first = self.walker.go(header).and_then(|()| self.walker.next());
                next = first.and_then(|first| self.segment_head(&first));
                continue;
            }
            let Some(element) = next else { break };
            at = self.take(&element, &mut time);
            if self.blocks.samples.len() > MOST_FRAMES || self.walker.go(at).is_none() {
                break;
            }
            next = self.walker.next();
        }
        self.damaged = !self.walker.at_end() && !self.truncated;
        self.close();
    }

    /// Takes what an element says; returns where the next one begins.
    fn take(&mut self, element: &Element, time: &mut i64) -> u64 {
        match element.id {
            id::CLUSTER => return element.start,
            id::TIMESTAMP => *time = self.walker.content(element).map_or(*time, |content| unsigned(&content) as i64),
            id::SIMPLE_BLOCK => self.block(element, *time, None),
            id::GROUP => self.group(element, *time),
            id::INFO => self.info(element),
            id::TRACKS => self.track_list(element),
            _ => {}
        }
        element.end
    }

    /// Whether this is an element that belongs here, or one that another follows which does. A cluster may be cut or
    /// endless: what is in it is looked at one by one.
    fn makes_sense(&mut self, element: &Element) -> bool {
        match element.id {
            id::CLUSTER => return true,
            // The second of a file is that of the next file, which an element of this one ran over.
            id::TRACKS if self.header.is_some() => return false,
            _ => {}
        }
        let follows = |walker: &mut EbmlReader| {
            walker.go(element.end).and_then(|()| walker.next()).is_some_and(|next| id::is_known(next.id))
        };
        !element.cut && !element.endless && (id::is_known(element.id) || follows(&mut self.walker))
    }

    /// The header of the next file, which elements of the current one may have run over: that was cut, or other bytes
    /// follow it.
    fn next_file(&mut self) -> Option<u64> {
        let from = self.origin + 4;
        if self.next_header.is_none_or(|known| known.is_some_and(|place| place < from)) {
            self.searches += 1;
            if self.searches > MOST_PARTS {
                return None;
            }
            self.next_header = Some(self.walker.find_header(from));
        }
        self.next_header.flatten()
    }

    /// Ends the current file, which the next one follows at byte `end`.
    fn close_before(&mut self, end: u64) {
        let held = |sample: &&Sample| sample.offset + sample.size as u64 <= end;
        let whole = self.blocks.samples.iter().take_while(held).count();
        self.truncated |= whole < self.blocks.samples.len() || self.segment_end > end;
        self.blocks.samples.truncate(whole);
        self.blocks.shows.truncate(whole);
        self.blocks.laced = self.blocks.laced.filter(|laced| *laced < whole);
        self.segment_end = 0;
        if whole == 0 {
            self.header = None;
        }
        self.close();
    }

    /// Ends the current file. Of several, one without blocks holds nothing.
    fn close(&mut self) {
        let (blocks, scale) = (std::mem::take(&mut self.blocks), std::mem::replace(&mut self.scale, 1_000_000));
        let header = self.header.take().filter(|_| self.found.is_empty() || !blocks.samples.is_empty());
        self.found.extend(header.map(|header| Found { origin: self.origin, header, scale, blocks }));
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
        let parents = self.walker.children(video).into_iter();
        for parent in parents.filter(|element| matches!(element.id, id::COLOUR | id::PROJECTION)) {
            for element in self.walker.children(&parent) {
                let content = self.walker.content(&element).unwrap_or_default();
                let value = unsigned(&content);
                match element.id {
                    id::MATRIX => header.matrix = u8::try_from(value).ok(),
                    id::RANGE => header.full_range = value == 2,
                    // Floating point: nothing but zero is all zeros, the sign left out.
                    pose if id::POSES.contains(&pose) => header.turned |= unsigned(&content) << 1 != 0,
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

    /// Notes a block: track number, 16-bit time, flags, then the sample.
    fn block(&mut self, block: &Element, time: i64, key: Option<bool>) {
        self.truncated |= block.cut;
        let Some(header) = &self.header else { return };
        let wanted = header.number;
        let head_size = (block.end - block.start).min(24) as usize;
        let Some(head) = self.walker.go(block.start).and_then(|()| self.walker.bytes(head_size)) else { return };
        let width = head.first().map_or(9, |first| first.leading_zeros() as usize + 1);
        let (Some(number), Some(fixed)) = (head.get(..width), head.get(width..width + 3)) else { return };
        let marker = 1u64.checked_shl(7 * width as u32).unwrap_or(0);
        if block.cut || unsigned(number) & !marker != wanted {
            return;
        }
        self.blocks.laced = self.blocks.laced.or((fixed[2] & 6 != 0).then_some(self.blocks.samples.len()));
        let sample = &head[width + 3..];
        let offset = block.start + width as u64 + 3;
        let is_vp9 = header.codec == "V_VP9";
        if sample.is_empty() {
            return;
        }
        // Bit 4 of the first byte of a VP8 frame says that it is shown (RFC 6386, section 9.1).
        let hidden = match header.codec.as_str() {
            "V_VP9" => vp9::FrameHeader::parse(sample).is_some_and(|head| !head.shown),
            "V_VP8" => sample[0] & 0x10 == 0,
            _ => false,
        };
        let last = if hidden { self.walker.go(block.end - 1).and_then(|()| self.walker.bytes(1)) } else { None };
        let shows = !hidden || (is_vp9 && last.is_some_and(|last| vp9::ends_superframe(last[0])));
        let container_key = key.unwrap_or(fixed[2] & 0x80 != 0);
        let key = if is_vp9 { vp9::FrameHeader::parse(sample).is_some_and(|head| head.key) } else { container_key };
        let time = time.saturating_add(i64::from(i16::from_be_bytes([fixed[0], fixed[1]])));
        self.blocks.samples.push(Sample { offset, size: (block.end - offset) as usize, time, key });
        self.blocks.shows.push(shows);
    }
}

impl BlockList {
    /// The track, or `None` where times do not tell the order of its pictures.
    fn into_piece(self, codec: Codec, header: &Header, scale: u64, file: &File) -> Option<Piece> {
        let samples = &self.samples;
        let shown = match &codec {
            Codec::Vp9 => presentation(samples, Some(&self.shows), false, |_| false),
            Codec::H264 { length_bytes, .. } => presentation(samples, Some(&self.shows), true, |place| {
                h264::starts_in(file, samples[place], *length_bytes)
            }),
        }?;
        let span = shown.last().map_or(0, |last| last.time.saturating_sub(shown[0].time));
        let mean_gap = span / (shown.len() as i64 - 1).max(1);
        let last_duration = match header.frame_duration {
            0 => mean_gap,
            nanoseconds => (nanoseconds as f64 / scale as f64).round() as i64,
        };
        let colour = ColourSpace { matrix: header.matrix.unwrap_or(2), full_range: header.full_range };
        let (orientation, unit) = (Orientation::UPRIGHT, scale as f64 * 1e-9);
        Some(Piece { codec, orientation, colour, samples: self.samples, shown, unit, last_duration })
    }
}
