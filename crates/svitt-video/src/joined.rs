//! Where further files begin in a joined file, for containers that say so by the first bytes of each.
//!
//! The `ffmpeg` program stops at the second header of these, or takes it for damage. In transport and program streams,
//! AVI, Ogg, GIF and MXF it reads on by itself; mp4 and Matroska are walked by the built-in reader.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes that are searched at once.
const PIECE: usize = 1 << 20;

/// Files that are told apart in one.
const MOST_PARTS: usize = 1000;

/// The first bytes of every file of a format.
struct Magic {
    demuxer: &'static str,
    bytes: &'static [u8],
    /// Where more fixed bytes follow, and these.
    rest: (usize, &'static [u8]),
}

const MAGIC: [Magic; 5] = [
    Magic {
        demuxer: "asf",
        bytes: &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11, 0xa6, 0xd9, 0, 0xaa, 0, 0x62, 0xce, 0x6c],
        rest: (16, &[]),
    },
    Magic { demuxer: "flv", bytes: b"FLV\x01", rest: (5, &[0, 0, 0, 9, 0, 0, 0, 0]) },
    Magic { demuxer: "ivf", bytes: b"DKIF\0\0\x20\0", rest: (8, &[]) },
    Magic { demuxer: "nut", bytes: b"nut/multimedia container\0", rest: (25, &[]) },
    Magic { demuxer: "yuv4mpegpipe", bytes: b"YUV4MPEG2 ", rest: (10, &[]) },
];

impl Magic {
    fn length(&self) -> usize {
        self.rest.0 + self.rest.1.len()
    }

    fn begins(&self, data: &[u8]) -> bool {
        data.starts_with(self.bytes) && data.get(self.rest.0..).is_some_and(|rest| rest.starts_with(self.rest.1))
    }
}

/// The first bytes of the files in a joined file that `demuxer` reads, in order; one for most.
pub(super) fn origins(file: &mut File, demuxer: &str) -> Vec<u64> {
    let mut found = vec![0];
    let Some(magic) = MAGIC.iter().find(|magic| magic.demuxer == demuxer) else { return found };
    if file.seek(SeekFrom::Start(0)).is_err() {
        return found;
    }
    let (mut window, mut start) = (Vec::new(), 0u64);
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut window);
        if !read.is_ok_and(|count| count > 0) || found.len() > MOST_PARTS {
            return found;
        }
        let first = magic.bytes[0];
        let searched = window.len().saturating_sub(magic.length() - 1);
        let hits = (0..searched).filter(|place| window[*place] == first && magic.begins(&window[*place..]));
        found.extend(hits.map(|place| start + place as u64).filter(|place| *place > 0));
        window.drain(..searched);
        start += searched as u64;
    }
}

#[cfg(test)]
mod tests {
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
}
