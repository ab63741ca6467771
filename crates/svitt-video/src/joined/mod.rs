//! Where further files begin in a joined file, for containers that say so by the first bytes of each.
//!
//! The `ffmpeg` program stops at the second header of some of these, takes it for damage, or goes on with the decoder
//! and the streams of the first file, which loses every frame of another codec; each file alone is read well. mp4 and
//! Matroska are walked by the built-in reader; in GIF and in streams of H.264 and HEVC the program reads on by itself.

mod mpeg;
mod pieces;
mod ts;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use self::mpeg::kind_changes;
use self::pieces::by_pieces;
use self::ts::program_changes;

/// Files that are told apart in one.
pub(super) const MOST_PARTS: usize = 1000;

/// The first bytes of every file of a format.
struct Magic {
    demuxer: &'static str,
    /// Fixed bytes and where they lie; the first ones at the start.
    marks: &'static [(usize, &'static [u8])],
}

const MAGIC: [Magic; 8] = [
    Magic {
        demuxer: "asf",
        marks: &[(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c])],
    },
    Magic { demuxer: "flv", marks: &[(0, b"FLV\x01"), (5, &[0, 0, 0, 9, 0, 0, 0, 0])] },
    Magic { demuxer: "ivf", marks: &[(0, b"DKIF\0\0\x20\0")] },
    Magic { demuxer: "nut", marks: &[(0, b"nut/multimedia container\0")] },
    Magic { demuxer: "yuv4mpegpipe", marks: &[(0, b"YUV4MPEG2 ")] },
    // The later chunks of a large AVI are `AVIX`.
    Magic { demuxer: "avi", marks: &[(0, b"RIFF"), (8, b"AVI LIST"), (20, b"hdrlavih")] },
    // A header partition (SMPTE 377M, section 6.2).
    Magic { demuxer: "mxf", marks: &[(0, &[6, 0x0e, 0x2b, 0x34, 2, 5, 1, 1, 0x0d, 1, 2, 1, 1, 2])] },
    // A page that begins a stream (RFC 3533, section 6).
    Magic { demuxer: "ogg", marks: &[(0, b"OggS\0"), (5, &[2])] },
];

impl Magic {
    fn length(&self) -> usize {
        self.marks.iter().map(|(place, bytes)| place + bytes.len()).max().unwrap_or(0)
    }

    fn begins(&self, data: &[u8]) -> bool {
        self.marks.iter().all(|(place, bytes)| data.get(*place..).is_some_and(|rest| rest.starts_with(bytes)))
    }
}

/// The first bytes of the files in a joined file that `demuxer` reads, in order; one for most.
pub(super) fn origins(file: &mut File, demuxer: &str) -> Vec<u64> {
    let mut found = match MAGIC.iter().find(|magic| magic.demuxer == demuxer) {
        Some(magic) => places(file, magic),
        None if demuxer == "mpegts" => program_changes(file),
        None if matches!(demuxer, "mpeg" | "mpegvideo") => kind_changes(file),
        None => Vec::new(),
    };
    if demuxer == "ogg" {
        found = chained(file, &found);
    }
    if found.first() != Some(&0) {
        found.insert(0, 0);
    }
    found
}

/// Where the first bytes of a file of this format lie.
fn places(file: &mut File, magic: &Magic) -> Vec<u64> {
    let first = magic.marks[0].1[0];
    find(file, 0, magic.length(), MOST_PARTS, |bytes| bytes[0] == first && magic.begins(bytes))
}

/// The places, from byte `from` on and at most `most`, where `accept` likes the `look` bytes that lie there.
pub(super) fn find(file: &mut File, from: u64, look: usize, most: usize, accept: impl Fn(&[u8]) -> bool) -> Vec<u64> {
    let mut found = Vec::new();
    by_pieces(file, from, |window, start| {
        let searched = window.len().saturating_sub(look - 1);
        let hits = (0..searched).filter(|place| accept(&window[*place..place + look]));
        found.extend(hits.map(|place| start + place as u64).take(most - found.len()));
        (found.len() < most).then_some(searched)
    });
    found
}

/// Those of the pages that begin streams of Ogg which begin a file: its streams begin one right after the other.
fn chained(file: &mut File, pages: &[u64]) -> Vec<u64> {
    let mut end = None;
    let mut first = Vec::new();
    for page in pages {
        if end != Some(*page) {
            first.push(*page);
        }
        end = page_end(file, *page);
    }
    first
}

/// The first byte after a page of Ogg: 27 bytes, the sizes of its segments, and these.
fn page_end(file: &mut File, page: u64) -> Option<u64> {
    let mut header = [0; 27 + 255];
    file.seek(SeekFrom::Start(page)).ok()?;
    let filled = file.by_ref().take(header.len() as u64).read(&mut header).ok()?;
    let sizes = header[..filled].get(27..27 + usize::from(header[26]))?;
    Some(page + 27 + sizes.len() as u64 + sizes.iter().map(|size| u64::from(*size)).sum::<u64>())
}

#[cfg(test)]
mod tests {
    use super::pieces::PIECE;
    use super::*;
    use std::io::Write;

    #[test]
    fn headers_are_found_across_pieces() {
        let flv = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";
        for gap in [0, 9, PIECE - 26, PIECE - 20, PIECE - 14, 2 * PIECE] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&[&flv[..], &vec![b'F'; gap], flv, b"FLV\x01 not a header"].concat()).unwrap();
            assert_eq!(origins(&mut file, "flv"), [0, 13 + gap as u64], "{gap}");
            assert_eq!(origins(&mut file, "mov"), [0]);
        }
    }

    #[test]
    fn streams_of_ogg_that_begin_together_are_one_file() {
        let page = |kind: u8, size: u8| [&b"OggS\0"[..], &[kind], &[7; 20], &[1, size], &vec![9; size.into()]].concat();
        let one = [page(2, 30), page(2, 42), page(0, 200)].concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[&one[..], &page(2, 11), &page(4, 5), &one].concat()).unwrap();
        assert_eq!(origins(&mut file, "ogg"), [0, 356, 428], "pages of 58, 70 and 228 bytes, then of 39 and 33");
    }

    #[test]
    fn later_chunks_of_one_avi_are_no_further_files() {
        let chunk = |kind: &[u8]| [&b"RIFF\x30\0\0\0"[..], kind, b"LIST\x30\0\0\0hdrlavih", &[0; 9]].concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[chunk(b"AVI "), chunk(b"AVIX"), chunk(b"AVI ")].concat()).unwrap();
        assert_eq!(origins(&mut file, "avi"), [0, 74]);
    }
}
