//! Mutations: flipped bits; lost, doubled or moved pieces; inserted structure.

use super::extreme::extreme;
use sha2::{Digest, Sha256};
use svitt_ops::rng::Rng;

/// The dictionary of a file type, so that mutations get past the first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dictionary {
    /// JSON, CSV, TOML.
    Text,
    /// Boxes, headers, pickles.
    Binary,
    /// Records of an index, whose checksums can be mended.
    Segment,
    /// Members of a tar file, whose checksums can be mended.
    Tar,
}

const TEXT: [&[u8]; 24] = [
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b"=",
    b"\n",
    b"\0",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"nan",
    b"inf",
    b"1e308",
    b"-1e999",
    b"999999999999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"\xff\xfe",
    b"\\u",
    b"..",
];
const BINARY: [&[u8]; 10] = [
    &[0xff; 8],
    &[0; 8],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0, 0, 0, 1],
    &[0x7f],
    &[0x80],
    b"moov",
    b"trak",
    &[0x1a, 0x45, 0xdf, 0xa3],
];
/// Formats keep their structure at the front (headers) or at the end (zip directories, `moov`).
const STRUCTURE: usize = 4096;

/// Damages `bytes` in one to four places; every third file claims something it does not hold instead, once or twice, and
/// is otherwise whole, so that the claim is believed.
pub fn mutate(bytes: &mut Vec<u8>, vocabulary: Dictionary, rng: &mut Rng) {
    if rng.chance(0.35) {
        return (0..1 + rng.below(2)).for_each(|_| extreme(bytes, vocabulary, rng));
    }
    let pieces: &[&[u8]] = if vocabulary == Dictionary::Text { &TEXT } else { &BINARY };
    for _ in 0..1 + rng.below(4) {
        let at = place(bytes.len(), rng);
        let until = (at + rng.below(48)).min(bytes.len());
        let piece = pieces[rng.below(pieces.len())];
        match rng.below(8) {
            0 if rng.chance(0.5) => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => drop(bytes.splice(at..at, piece.iter().copied())),
            3 => drop(bytes.splice(at..(at + piece.len()).min(bytes.len()), piece.iter().copied())),
            4 => {
                let copy = bytes[at..until].to_vec();
                let to = place(bytes.len(), rng);
                drop(bytes.splice(to..to, copy));
            }
            5 if vocabulary == Dictionary::Text => {
                drop(bytes.splice(at..at, std::iter::repeat_n(b"[{"[rng.below(2)], 3000)))
            }
            6 => bytes[at..until].fill(rng.bits() as u8),
            _ => bytes[at..until].iter_mut().take(3).for_each(|byte| *byte ^= 1 << rng.below(8)),
        }
    }
}

fn place(length: usize, rng: &mut Rng) -> usize {
    match rng.below(3) {
        0 => rng.below(length + 1),
        1 => rng.below(length.min(STRUCTURE) + 1),
        _ => length - rng.below(length.min(STRUCTURE) + 1),
    }
}

/// Recomputes the checksums of an index segment's records as far as their lengths are valid: magic (8 bytes), then
/// length (4), checksum (8), content per record.
pub fn fix_checksums(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).and_then(|length| <[u8; 4]>::try_from(length).ok()) {
        let (from, until) = (at + 12, at + 12 + u32::from_le_bytes(length) as usize);
        let Some(content) = bytes.get(from..until) else { return };
        let digest = Sha256::digest(content);
        bytes[at + 4..from].copy_from_slice(&digest[..8]);
        at = until;
    }
}
