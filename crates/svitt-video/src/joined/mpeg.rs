//! Where the video of an MPEG program stream or of a bare MPEG-1 or MPEG-2 stream changes its size or its codec.
//!
//! Decoders of MPEG-2 lose the picture they hold back when the size changes; the `ffmpeg` program knows no change of
//! the codec in these streams, which have no list of what is in them.

use std::fs::File;

use super::MOST_PARTS;
use super::pieces::by_pieces;

const PACK: u8 = 0xba;
const SEQUENCE: u8 = 0xb3;

/// Codes of streams other than videos: sound, private data, padding, tables.
const OTHERS: [std::ops::RangeInclusive<u8>; 3] = [0xbb..=0xdf, 0xf0..=0xff, 0xb9..=0xb9];

/// What a decoder must be told anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// MPEG-1 or MPEG-2 of this width and height.
    Mpeg(u16, u16),
    H264,
}

impl Kind {
    /// The kind that a sequence header of MPEG-1 or MPEG-2 announces, by the bytes after its code.
    pub(super) fn of_sequence(header: &[u8]) -> Option<Self> {
        let &[a, b, c, rates] = header.first_chunk()?;
        let size = u32::from_be_bytes([0, a, b, c]);
        let (width, height) = ((size >> 12) as u16, (size & 0xfff) as u16);
        let known = width > 0 && height > 0 && rates & 15 != 0 && rates >> 4 != 0;
        known.then_some(Self::Mpeg(width, height))
    }
}

/// Bytes that are looked at after the first of a start code.
const LOOK: usize = 8;

/// The start codes of a stream as they come.
#[derive(Default)]
struct Codes {
    pack: Option<u64>,
    /// What is read is no video.
    other: bool,
    /// The last start code in a video.
    last: u8,
    kind: Option<Kind>,
}

/// The places from which on the video is of another kind than before.
pub(super) fn kind_changes(file: &mut File) -> Vec<u64> {
    let (mut found, mut codes) = (Vec::new(), Codes::default());
    by_pieces(file, 0, |window, start| {
        let searched = window.len().saturating_sub(LOOK - 1);
        for at in 0..searched {
            if window[at + 2] == 1 && window[at] == 0 && window[at + 1] == 0 {
                found.extend(codes.code(&window[at + 3..at + LOOK], start + at as u64));
            }
        }
        (found.len() < MOST_PARTS).then_some(searched)
    });
    found
}

impl Codes {
    /// Takes a start code at byte `start` and what follows; says where another kind of video begins if it announces it.
    fn code(&mut self, bytes: &[u8], start: u64) -> Option<u64> {
        let code = bytes[0];
        match code {
            PACK => self.pack = Some(start),
            0xe0..=0xef => self.other = false,
            code if OTHERS.iter().any(|codes| codes.contains(&code)) => self.other = true,
            _ => {}
        }
        if self.other || code >= 0xb9 {
            return None;
        }
        // Two parameter sets, one after the other: slices of these numbers are in pictures of 1650 rows only.
        let kind = match (self.last, code) {
            (_, SEQUENCE) => Kind::of_sequence(&bytes[1..]),
            (0x67, 0x68) => Some(Kind::H264),
            _ => None,
        };
        self.last = code;
        let before = self.kind.replace(kind?);
        (before.is_some() && before != kind).then_some(self.pack.unwrap_or(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn other_sizes_and_codecs_begin_at_their_pack() {
        let code = |code: u8, rest: &[u8]| [&[0, 0, 1, code][..], rest, &[9; 7]].concat();
        let (pack, video, sound) = (code(PACK, &[]), code(0xe0, &[]), code(0xc0, &[]));
        let sequence = |width: u8| code(SEQUENCE, &[width, 0x20, 0x40, 0x13]);
        let h264 = [code(0x67, &[]), code(0x68, &[])].concat();
        let cases: [(&[&[u8]], &[u64]); 5] = [
            (&[&pack, &video, &sequence(5), &pack, &video, &sequence(5)], &[]),
            (&[&pack, &video, &sequence(5), &pack, &video, &sequence(6), &sequence(6)], &[37]),
            (&[&pack, &video, &sequence(5), &pack, &sound, &sequence(6)], &[]),
            (&[&pack, &video, &sequence(5), &pack, &video, &h264, &h264, &pack, &video, &sequence(5)], &[37, 103]),
            (&[&sequence(5), &sequence(6), &sequence(6), &sequence(5)], &[15, 45]),
        ];
        for (number, (parts, expected)) in cases.into_iter().enumerate() {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&parts.concat()).unwrap();
            assert_eq!(kind_changes(&mut file), expected, "case {number}");
        }
    }
}
