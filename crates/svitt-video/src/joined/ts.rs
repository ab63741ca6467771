//! Where the video of an MPEG transport stream (ISO/IEC 13818-1) becomes another one: another codec, another PID, or
//! MPEG-2 of another size.
//!
//! The `ffmpeg` program keeps the decoder and the stream that it found first, and loses the frames after the change; its
//! decoder of MPEG-2 loses the picture that it holds back when the size changes.

use std::fs::File;

use super::MOST_PARTS;
use super::mpeg::Kind;
use super::pieces::by_pieces;

const SYNC: u8 = 0x47;

/// Bytes of a packet.
const PACKET: usize = 188;

/// Bytes from one packet to the next: with nothing between them, with a time (m2ts), or with a checksum.
const STRIDES: [usize; 3] = [PACKET, 192, 204];

/// Stream types that are videos (table 2-34, and those that ATSC and SMPTE registered).
const VIDEO: [u8; 11] = [0x01, 0x02, 0x10, 0x1b, 0x20, 0x24, 0x33, 0x42, 0xd1, 0xd2, 0xea];

/// Type and PID of each video of the program.
type Videos = Vec<(u8, u16)>;

/// The tables of the first program as they come.
#[derive(Default)]
struct Program {
    /// The last table of programs.
    listed: u64,
    /// The PID of the program's own table.
    map: Option<u16>,
    videos: Videos,
    /// Nothing of the first video came since the last table of programs.
    fresh: bool,
    /// The first video, where that is MPEG-1 or MPEG-2.
    kind: Option<Kind>,
}

/// The packets from which on the first program has other videos than before.
pub(super) fn program_changes(file: &mut File) -> Vec<u64> {
    let mut found = Vec::new();
    let (mut program, mut stride) = (Program::default(), PACKET);
    by_pieces(file, 0, |window, start| {
        let mut at = 0;
        // A packet is one that another follows: single bytes of this value are everywhere.
        while let Some(after) = window.get(at + STRIDES[2]).map(|_| &window[at..]) {
            let follows = |stride: &usize| after[0] == SYNC && after[*stride] == SYNC;
            let Some(next) = [stride].iter().chain(&STRIDES).copied().find(follows) else {
                at += 1;
                continue;
            };
            found.extend(program.packet(&after[..PACKET], start + at as u64));
            (at, stride) = (at + next, next);
        }
        (found.len() < MOST_PARTS).then_some(at)
    });
    found
}

impl Program {
    /// Takes the packet at byte `start`; says where other videos begin if it announces them.
    fn packet(&mut self, packet: &[u8], start: u64) -> Option<u64> {
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        if self.videos.first().is_some_and(|(_, video)| *video == pid) {
            return self.video(packet);
        }
        if pid != 0 && self.map != Some(pid) {
            return None;
        }
        let section = section(packet)?;
        match (pid, section[0]) {
            (0, 0) => {
                (self.listed, self.fresh) = (start, true);
                // Program 0 is the network's table.
                let mut programs = section.get(8..section.len() - 4)?.chunks_exact(4);
                let first = programs.find(|program| program[..2] != [0, 0])?;
                self.map = Some(u16::from_be_bytes([first[2], first[3]]) & 0x1fff);
                None
            }
            (_, 2) => {
                let videos = videos(section)?;
                if videos.is_empty() || videos == self.videos {
                    return None;
                }
                let first = std::mem::replace(&mut self.videos, videos).is_empty();
                self.kind = None;
                (!first).then_some(self.listed)
            }
            _ => None,
        }
    }

    /// Takes a packet of the first video. Its size may change anywhere, but a file can be cut only before the tables.
    fn video(&mut self, packet: &[u8]) -> Option<u64> {
        let fresh = std::mem::take(&mut self.fresh);
        if packet[1] & 0x40 == 0 || self.videos[0].0 > 2 {
            return None;
        }
        let header = packet.windows(8).find(|bytes| bytes.starts_with(&[0, 0, 1, 0xb3]))?;
        let kind = Kind::of_sequence(&header[4..])?;
        let before = self.kind.replace(kind);
        (fresh && before.is_some_and(|before| before != kind)).then_some(self.listed)
    }
}

/// The section that begins in this packet, with its checksum, if it is whole, valid now, and right.
fn section(packet: &[u8]) -> Option<&[u8]> {
    let (begins, has_field, has_payload) = (packet[1] & 0x40 != 0, packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
    if !begins || !has_payload {
        return None;
    }
    let payload = packet.get(if has_field { 5 + usize::from(packet[4]) } else { 4 }..)?;
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(u16::from_be_bytes([*section.get(1)?, *section.get(2)?]) & 0xfff);
    let section = section.get(..3 + length).filter(|section| section.len() >= 16)?;
    (section[5] & 1 == 1 && checksum(section) == 0).then_some(section)
}

/// The videos in a program's table.
fn videos(section: &[u8]) -> Option<Videos> {
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*section.get(at)?, *section.get(at + 1)?]) & 0xfff));
    let mut at = 12 + length(10)?;
    let mut videos = Vec::new();
    while at + 5 <= section.len() - 4 {
        if VIDEO.contains(&section[at]) {
            videos.push((section[at], u16::from_be_bytes([section[at + 1], section[at + 2]]) & 0x1fff));
        }
        at += 5 + length(at + 3)?;
    }
    Some(videos)
}

/// CRC-32 of MPEG-2 (annex A): 0 over a section that is right, its own checksum included.
fn checksum(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |sum, byte| {
        let next = |sum: u32| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
        (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| next(sum))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A packet of a table that begins with `head`, its length and checksum put in.
    fn table(pid: u16, id: u8, content: &[u8]) -> Vec<u8> {
        let mut section = vec![id, 0xb0, content.len() as u8 + 9, 0, 1, 0xc1, 0, 0];
        section.extend_from_slice(content);
        let sum = checksum(&section);
        section.extend_from_slice(&sum.to_be_bytes());
        let [high, low] = pid.to_be_bytes();
        let mut packet = [&[SYNC, 0x40 | high, low, 0x10, 0][..], &section].concat();
        packet.resize(PACKET, 0xff);
        packet
    }

    /// The two tables of a program with a video of this type and PID, and a sound.
    fn tables(map: u16, kind: u8, pid: u8) -> Vec<u8> {
        let programs = [0, 0, 0xe0, 0x10, 0, 1, 0xe0 | (map >> 8) as u8, map as u8];
        let streams = [0xe1, pid, 0xf0, 0, 0x0f, 0xe1, 9, 0xf0, 2, 7, 7, kind, 0xe1, pid, 0xf0, 0];
        [table(0, 0, &programs), table(map, 2, &streams)].concat()
    }

    #[test]
    fn another_codec_or_another_pid_is_another_video() {
        let other = [&[SYNC, 1, 0, 0x10][..], &[9; 184]].concat();
        let mut damaged = tables(32, 2, 0);
        damaged[PACKET + 18] ^= 4;
        let sized = |width: u8| {
            let mut packet = [&[SYNC, 0x41, 0, 0x10, 0, 0, 1, 0xb3, width, 0x20, 0x40, 0x13][..], &[9; 176]].concat();
            packet.truncate(PACKET);
            packet
        };
        let cases: [(&[&[u8]], &[u64]); 8] = [
            (&[&tables(32, 27, 0), &other, &tables(32, 27, 0), &other], &[]),
            (&[&tables(32, 27, 0), &other, &tables(32, 2, 0), &tables(32, 2, 0), &other], &[3]),
            (&[&tables(32, 27, 0), &other, &tables(33, 27, 0), &other, &tables(33, 27, 1)], &[6]),
            (&[&other, &tables(32, 27, 0), &damaged, &tables(32, 27, 0)], &[]),
            (&[&other, &tables(32, 27, 0), &tables(32, 2, 0), &tables(32, 27, 0)], &[3, 5]),
            (&[&tables(32, 27, 0), &other, &tables(32, 36, 0)], &[3]),
            (&[&tables(32, 2, 0), &sized(5), &tables(32, 2, 0), &sized(5), &tables(32, 2, 0), &sized(6)], &[6]),
            (&[&tables(32, 2, 0), &sized(5), &sized(6), &tables(32, 2, 0), &sized(6)], &[]),
        ];
        for (number, (parts, expected)) in cases.into_iter().enumerate() {
            for gap in [0, 4, 16] {
                let packets = [parts.concat(), other.repeat(2)].concat();
                let spaced: Vec<u8> =
                    packets.chunks(PACKET).flat_map(|packet| [&vec![0; gap][..], packet].concat()).collect();
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&spaced).unwrap();
                let starts = expected.iter().map(|n| n * (PACKET + gap) as u64 + gap as u64);
                assert_eq!(program_changes(&mut file), starts.collect::<Vec<_>>(), "case {number}, {gap} between");
            }
        }
    }
}
