//! Iterates over the boxes of an ISO file (ISO/IEC 14496-12 §4.2), leniently: iteration ends at the first broken box.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::bits::Bytes;

/// Largest header box that is read into memory: the most frames that are read need 110 MB.
const MOST_BYTES: u64 = 128 << 20;

/// Most boxes of a file: a fragment for every frame of ten hours at 30 frames per second makes two million.
const MOST_BOXES: usize = 4 << 20;

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
}

/// The boxes of a file that hold samples (those of fragments left out) or say what they are, in order, and the last one, whatever it is; that may claim more
/// bytes than the file has.
pub(super) fn top_level(file: &File, length: u64) -> std::io::Result<Vec<TopLevel>> {
    let mut reader = BufReader::with_capacity(4096, file);
    let mut boxes: Vec<TopLevel> = Vec::new();
    let (mut start, mut at) = (0u64, None);
    for _ in 0..MOST_BOXES {
        if start + 8 > length {
            return Ok(boxes);
        }
        match at {
            Some(place) => reader.seek_relative(start as i64 - place as i64)?,
            None => drop(reader.seek(SeekFrom::Start(start))?),
        }
        let mut header = [0u8; 16];
        let filled = (length - start).min(16) as usize;
        reader.read_exact(&mut header[..filled])?;
        at = Some(start + filled as u64);
        let Some((kind, header_size, size)) = header_of(&header[..filled]) else { return Ok(boxes) };
        let end = if size == 0 { length } else { start.saturating_add(size) };
        let samples_of_fragment = boxes.len() > 1 && boxes[boxes.len() - 2].kind == *b"moof";
        boxes.pop_if(|last| match &last.kind {
            b"moov" | b"moof" | b"ftyp" => false,
            b"mdat" => samples_of_fragment,
            _ => true,
        });
        boxes.push(TopLevel { kind, start, content: start + header_size, end });
        if end > length {
            return Ok(boxes);
        }
        start = end;
    }
    Err(too_large("the file has more boxes than a video has"))
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
