//! EBML, the tags that Matroska and WebM are made of (RFC 8794): ids, sizes and a buffered walk over a file.

use crate::joined::find;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// A tag and its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub id: u32,
    /// First byte.
    pub tag: u64,
    /// First byte of the content.
    pub start: u64,
    /// First byte after it; the end of the file where the size is unknown (live recordings).
    pub end: u64,
    /// The tag claims more bytes than the file has.
    pub cut: bool,
    /// The tag does not say how long it is.
    pub endless: bool,
}

/// Tags that are walked in one file, and inside one tag whose content is listed: a tag takes two bytes, and a file of
/// nothing but empty ones must not take long. Ten hours of video and sound have ten million.
const MOST_TAGS: usize = 24 << 20;
const MOST_CHILDREN: usize = 4096;

/// Walks a file tag by tag.
pub(super) struct EbmlReader {
    reader: BufReader<File>,
    position: u64,
    length: u64,
    tags: usize,
}

impl EbmlReader {
    pub fn new(file: File, length: u64) -> std::io::Result<Self> {
        let mut reader = BufReader::with_capacity(4096, file);
        reader.seek(SeekFrom::Start(0))?;
        Ok(Self { reader, position: 0, length, tags: 0 })
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the whole file was walked.
    pub fn at_end(&self) -> bool {
        self.position >= self.length
    }

    /// The next tag at the current position; `None` at the end of the file or where it is no EBML.
    pub fn next(&mut self) -> Option<Element> {
        self.tags += 1;
        if self.tags > MOST_TAGS {
            return None;
        }
        let tag = self.position;
        let id = self.number(4, false)? as u32;
        let size = self.number(8, true)?;
        let start = self.position;
        let unknown = size == u64::MAX;
        let claimed = if unknown { self.length } else { start.saturating_add(size) };
        let (end, cut) = (claimed.min(self.length), !unknown && claimed > self.length);
        Some(Element { id, tag, start, end, cut, endless: unknown })
    }

    /// A variable-length number of up to `most` bytes, its length marker removed if asked for.
    /// All ones mean "unknown", here `u64::MAX`.
    fn number(&mut self, most: u32, strip: bool) -> Option<u64> {
        let mut bytes = [0u8; 8];
        self.fill(&mut bytes[..1])?;
        let first = bytes[0];
        let length = first.leading_zeros() + 1;
        if length > most {
            return None;
        }
        let mask = if strip { 0xffu8.checked_shr(length).unwrap_or(0) } else { 0xff };
        self.fill(&mut bytes[1..length as usize])?;
        let value =
            bytes[1..length as usize].iter().fold(u64::from(first & mask), |value, byte| value << 8 | u64::from(*byte));
        let unknown = strip && value == (1u64 << (7 * length)) - 1;
        Some(if unknown { u64::MAX } else { value })
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        if self.position.checked_add(count as u64)? > self.length {
            return None;
        }
        let mut data = vec![0; count];
        self.fill(&mut data)?;
        Some(data)
    }

    fn fill(&mut self, data: &mut [u8]) -> Option<()> {
        if self.position.checked_add(data.len() as u64)? > self.length {
            return None;
        }
        self.reader.read_exact(data).ok()?;
        self.position += data.len() as u64;
        Some(())
    }

    /// Goes to byte `position`, within the buffer if it can.
    pub fn go(&mut self, position: u64) -> Option<()> {
        self.reader.seek_relative(position as i64 - self.position as i64).ok()?;
        self.position = position;
        Some(())
    }

    /// The next header of Matroska or WebM from byte `from` on.
    pub fn find_header(&mut self, from: u64) -> Option<u64> {
        let mut file = self.reader.get_ref().try_clone().ok()?;
        let names = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        let header = |bytes: &[u8]| {
            bytes[0] == 0x1a
                && bytes[..4] == [0x1a, 0x45, 0xdf, 0xa3]
                && (names(bytes, b"matroska") || names(bytes, b"webm"))
        };
        let found = find(&mut file, from, 64, 1, header).first().copied();
        // Both handles have one position.
        self.reader.seek(SeekFrom::Start(self.position)).ok()?;
        found
    }

    /// The content of a tag, at most 16 MB of it.
    pub fn content(&mut self, element: &Element) -> Option<Vec<u8>> {
        self.go(element.start)?;
        self.bytes(usize::try_from(element.end - element.start).ok().filter(|size| *size <= 16 << 20)?)
    }

    /// The tags inside `parent`; more than any writer makes are left out.
    pub fn children(&mut self, parent: &Element) -> Vec<Element> {
        let mut found = Vec::new();
        let mut next = parent.start;
        while next < parent.end && found.len() < MOST_CHILDREN {
            let element = self.go(next).and_then(|()| self.next());
            let Some(element) = element else { break };
            next = element.end;
            found.push(element);
        }
        found
    }
}

/// An unsigned number of up to eight bytes.
pub(super) fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}
