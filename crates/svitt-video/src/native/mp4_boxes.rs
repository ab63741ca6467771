//! Iterates over the boxes of an ISO file (ISO/IEC 14496-12 §4.2), leniently: iteration ends at the first broken box.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::bits::Bytes;
use crate::joined::{MOST_PARTS, find};
use crate::sniff::is_known_box;

/// Largest header box that is read into memory: the most frames that are read need 110 MB.
const MOST_BYTES: u64 = 128 << 20;

/// Most boxes of a file: a fragment for every frame of ten hours at 30 frames per second makes two million.
const MOST_BOXES: usize = 4 << 20;

/// Boxes that lie in `moov` or `moof`: found elsewhere, they are those of a file that a box before ran over.
const INNER: [&[u8; 4]; 20] = [
    b"mvhd", b"trak", b"mvex", b"trex", b"tkhd", b"mdia", b"mdhd", b"hdlr", b"minf", b"stbl", b"stsd", b"stts",
    b"stsc", b"stsz", b"stco", b"edts", b"mfhd", b"traf", b"tfhd", b"trun",
];

/// A box of the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopLevel {
    pub kind: [u8; 4],
    /// First byte of the header.
    pub start: u64,
    /// First byte of the content.
    pub content: u64,
    /// First byte after the box.
    pub end: u64,
    /// The next file begins before its end.
    pub cut: bool,
}

/// The boxes of a file that hold samples (those of fragments left out) or say what they are, in order, and the last one,
/// whatever it is; that may claim more bytes than the file has.
///
/// Where another file was joined to one that was cut, or that other bytes follow, the walk goes on at its beginning.
pub(super) fn top_level(file: &File, length: u64) -> std::io::Result<Vec<TopLevel>> {
    let mut reader = BufReader::with_capacity(4096, file);
    let mut boxes: Vec<TopLevel> = Vec::new();
    let (mut start, mut at) = (0u64, None);
    // Where the second box of the file that is walked begins.
    let mut second = None;
    let mut searches = 0;
    for _ in 0..MOST_BOXES {
        if start + 8 > length {
            return Ok(boxes);
        }
        let found = read_header(&mut reader, &mut at, start, length)?;
        let strange = !found.is_some_and(|found| found.end <= length && found.belongs_here());
        searches += usize::from(strange);
        // Boxes of the file that was cut may have run over the beginning of the next.
        let next = second
            .filter(|_| strange && searches < MOST_PARTS)
            .map(|second| next_file(file, second))
            .transpose()?
            .flatten();
        if let Some(next) = next {
            boxes.retain(|one| one.start < next);
            boxes.iter_mut().for_each(|one| one.end_before(next));
        }
        if let Some(mut found) = found.filter(|found| next.is_none_or(|next| found.content <= next)) {
            next.into_iter().for_each(|next| found.end_before(next));
            push(&mut boxes, found);
        }
        match (next, found) {
            (Some(next), _) => (start, second, at) = (next, Some(next + 8), None),
            (None, Some(found)) if found.end <= length => {
                start = found.end;
                if found.kind == *b"ftyp" || second.is_none() {
                    second = Some(found.end);
                }
                // The search moved the file's position.
                at = at.filter(|_| !strange);
            }
            _ => return Ok(boxes),
        }
    }
    Err(too_large("the file has more boxes than a video has"))
}

/// The box that begins at byte `start`; `at` is where the reader stands, if that is known.
fn read_header(
    reader: &mut BufReader<&File>,
    at: &mut Option<u64>,
    start: u64,
    length: u64,
) -> std::io::Result<Option<TopLevel>> {
    match at {
        Some(place) => reader.seek_relative(start as i64 - *place as i64)?,
        None => drop(reader.seek(SeekFrom::Start(start))?),
    }
    let mut header = [0u8; 16];
    let filled = (length - start).min(16) as usize;
    reader.read_exact(&mut header[..filled])?;
    *at = Some(start + filled as u64);
    Ok(TopLevel::of(&header[..filled], start, length))
}

/// Adds a box; the one before it goes if it says nothing of samples.
fn push(boxes: &mut Vec<TopLevel>, found: TopLevel) {
    let samples_of_fragment = boxes.len() > 1 && boxes[boxes.len() - 2].kind == *b"moof";
    boxes.pop_if(|last| match &last.kind {
        b"moov" | b"moof" | b"ftyp" => false,
        b"mdat" => samples_of_fragment,
        _ => true,
    });
    boxes.push(found);
}

impl TopLevel {
    /// The box that begins at byte `start` with these bytes, in a file of `length` bytes.
    fn of(header: &[u8], start: u64, length: u64) -> Option<Self> {
        let (kind, header_size, size) = header_of(header)?;
        if size == 0 && !is_known_box(&kind) {
            return None;
        }
        let end = if size == 0 { length } else { start.saturating_add(size) };
        Some(Self { kind, start, content: start + header_size, end, cut: false })
    }

    /// The next file begins here.
    fn end_before(&mut self, next: u64) {
        self.cut |= self.end > next;
        self.end = self.end.min(next);
    }

    /// Its kind is a name, and not one of boxes that lie in others.
    fn belongs_here(&self) -> bool {
        let is_name = self.kind.iter().all(|byte| *byte == 0xa9 || (0x20..0x7f).contains(byte));
        is_name && !INNER.contains(&&self.kind)
    }
}

/// The next `ftyp` box from byte `from` on, of 16 to 255 bytes.
fn next_file(file: &File, from: u64) -> std::io::Result<Option<u64>> {
    let mut file = file.try_clone()?;
    let is_ftyp = |bytes: &[u8]| bytes[4..8] == *b"ftyp" && bytes[..3] == [0, 0, 0] && bytes[3] >= 16;
    Ok(find(&mut file, from, 16, 1, is_ftyp).first().copied())
}

fn too_large(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::FileTooLarge, what)
}

/// Kind, header bytes and total bytes; 0 total bytes mean "to the end".
fn header_of(data: &[u8]) -> Option<([u8; 4], u64, u64)> {
    let mut bytes = Bytes(data);
    let size = u64::from(bytes.u32()?);
    let kind = bytes.take(4)?.try_into().ok()?;
    let (header, size) = if size == 1 { (16, bytes.number(8)?) } else { (8, size) };
    (size == 0 || size >= header).then_some((kind, header, size))
}

/// The content of a box, as far as the file holds it.
pub(super) fn content(file: &mut File, which: &TopLevel, length: u64) -> std::io::Result<Vec<u8>> {
    let size = which.end.min(length).saturating_sub(which.content);
    if size > MOST_BYTES {
        return Err(too_large("a header box of the file is larger than 128 MB"));
    }
    let mut data = vec![0; size as usize];
    file.seek(SeekFrom::Start(which.content))?;
    file.read_exact(&mut data)?;
    Ok(data)
}

/// The boxes inside `data`.
pub(super) fn children(data: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (kind, header, size) = header_of(rest)?;
        let size = if size == 0 { rest.len() } else { usize::try_from(size).ok()? };
        let inner = rest.get(header as usize..size)?;
        rest = &rest[size..];
        Some((kind, inner))
    })
}

/// The first box `kind` inside `data`.
pub(super) fn child<'a>(data: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(data).find(|(found, _)| found == kind).map(|(_, inner)| inner)
}

/// The box at the end of a chain of names.
pub(super) fn descend<'a>(data: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(data, |inner, kind| child(inner, kind))
}

/// Content of a box that begins with one byte of version and three of flags.
pub(super) fn versioned(data: &[u8]) -> Option<(u8, u32, Bytes<'_>)> {
    let mut bytes = Bytes(data);
    let word = bytes.u32()?;
    Some(((word >> 24) as u8, word & 0xff_ffff, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_nest_and_broken_ones_end_the_walk() {
        let inner = [0, 0, 0, 10, b'a', b'b', b'c', b'd', 7, 9];
        let mut data = vec![0, 0, 0, 18, b'm', b'o', b'o', b'v'];
        data.extend_from_slice(&inner);
        data.extend_from_slice(&[0, 0, 0, 3, b'b', b'a', b'd', b'!']);
        assert_eq!(descend(&data, &[b"moov", b"abcd"]), Some(&[7u8, 9][..]));
        assert_eq!(children(&data).count(), 1);
        assert_eq!(child(&data, b"none"), None);
    }
}
