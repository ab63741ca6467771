//! Files that claim more than they hold: huge lengths, counts, sizes and clocks; deep lists; long fields; numbers
//! without bounds; NaN, infinite and nearly infinite weights. A byte at random seldom makes one of them.

use super::mutate::Dictionary;
use svitt_ops::rng::Rng;

/// Numbers that are written where a text has one.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "3e38",
    "1e308",
    "1e999",
    "1e18",
    "1e-300",
    "1000000000",
    "4294967295",
    "1000000000000",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999999",
];

/// Lengths, counts and clocks that are written where a binary file has one.
const COUNTS: [u64; 12] = [
    0,
    1,
    0xff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    1 << 34,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 7,
    u64::MAX,
];

/// Weights that no training ends with.
const WEIGHTS: [f32; 4] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38];

/// Bytes of a long field, and lists in one another; a file may not cost more than hundreds of times its own length.
const LONG: usize = 2 << 20;
const DEEP: usize = 100_000;

/// How far behind its name a box or an element keeps its counts.
const NEAR: usize = 96;

/// Makes one claim in `bytes`.
pub(super) fn extreme(bytes: &mut Vec<u8>, dictionary: Dictionary, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    match dictionary {
        Dictionary::Text => text(bytes, rng),
        Dictionary::Tar => octal(bytes, rng),
        Dictionary::Segment => count(bytes, rng),
        Dictionary::Binary if rng.chance(0.2) => weights(bytes, rng),
        Dictionary::Binary => count(bytes, rng),
    }
}

fn text(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(bytes.len());
    match rng.below(12) {
        0 => drop(bytes.splice(at..at, std::iter::repeat_n(b"[{("[rng.below(3)], DEEP))),
        1 => drop(bytes.splice(at..at, std::iter::repeat_n(b"a \n,\""[rng.below(5)], LONG))),
        2 => {
            let until = (at + 1 + rng.below(64)).min(bytes.len());
            let piece = bytes[at..until].to_vec();
            drop(bytes.splice(at..at, piece.iter().copied().cycle().take(LONG)));
        }
        _ => number(bytes, at, rng),
    }
}

/// Replaces the next number after `at`, or the first one where there is none.
fn number(bytes: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let from = (at..bytes.len()).chain(0..at).find(|place| bytes[*place].is_ascii_digit());
    let Some(from) = from else { return };
    let part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE_".contains(byte);
    let start = from - bytes[..from].iter().rev().take_while(|byte| part(byte)).count();
    let end = from + bytes[from..].iter().take_while(|byte| part(byte)).count();
    drop(bytes.splice(start..end, NUMBERS[rng.below(NUMBERS.len())].bytes()));
}

/// Writes a count behind a four-letter name, where boxes and chunks keep theirs, or anywhere; 4 or 8 bytes, in either
/// order.
fn count(bytes: &mut [u8], rng: &mut Rng) {
    let from = rng.below(bytes.len());
    let is_name = |place: &usize| {
        bytes.get(*place..place + 4).is_some_and(|name| name.iter().all(|byte| byte.is_ascii_lowercase()))
    };
    let named = (from..bytes.len()).chain(0..from).take(1 << 16).find(is_name);
    let at = match named {
        Some(name) if rng.chance(0.7) => name + 4 + 4 * rng.below(NEAR / 4),
        // The size before the name.
        Some(name) if rng.chance(0.3) => name.saturating_sub(4),
        _ => from,
    };
    let value = COUNTS[rng.below(COUNTS.len())];
    let (wide, big) = (rng.chance(0.3), rng.chance(0.7));
    let written: Vec<u8> = match (wide, big) {
        (true, true) => value.to_be_bytes().to_vec(),
        (true, false) => value.to_le_bytes().to_vec(),
        (false, true) => (value as u32).to_be_bytes().to_vec(),
        (false, false) => (value as u32).to_le_bytes().to_vec(),
    };
    bytes.iter_mut().skip(at).zip(written).for_each(|(byte, new)| *byte = new);
}

/// Writes a weight over up to a thousand floats; tensors begin at multiples of their width.
fn weights(bytes: &mut [u8], rng: &mut Rng) {
    let at = rng.below(bytes.len()) & !3;
    let value = WEIGHTS[rng.below(WEIGHTS.len())].to_le_bytes();
    bytes[at..].chunks_exact_mut(4).take(1 + rng.below(1000)).for_each(|float| float.copy_from_slice(&value));
}

/// Replaces the size in a header of a tar file: octal, or binary behind a set bit.
fn octal(bytes: &mut [u8], rng: &mut Rng) {
    const SIZE: std::ops::Range<usize> = 124..136;
    let header = rng.below(bytes.len().div_ceil(512)) * 512;
    let Some(size) = bytes.get_mut(header + SIZE.start..header + SIZE.end) else { return };
    if rng.chance(0.3) {
        size.fill(0);
        size[0] = 0x80;
        size[4..].copy_from_slice(&COUNTS[rng.below(COUNTS.len())].to_be_bytes());
    } else {
        size.copy_from_slice(format!("{:011o}\0", COUNTS[rng.below(COUNTS.len())].min((1 << 33) - 1)).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_a_text_is_replaced_whole() {
        for seed in 0..20 {
            let mut bytes = b"rate = -2.5e-3\n".to_vec();
            number(&mut bytes, seed % 15, &mut Rng::new(seed as u64, &[]));
            let text = String::from_utf8(bytes).unwrap();
            let value = text.strip_prefix("rate = ").and_then(|rest| rest.strip_suffix('\n'));
            assert!(value.is_some_and(|value| NUMBERS.contains(&value)), "{text:?}");
        }
    }

    #[test]
    fn claims_keep_the_length_of_binary_files_and_bound_that_of_texts() {
        for seed in 0..200 {
            let rng = &mut Rng::new(seed, &[1]);
            let mut bytes = (0..2048).map(|at| b"stsz1234\0\0\0\x07"[at % 12]).collect::<Vec<u8>>();
            let before = bytes.clone();
            for dictionary in [Dictionary::Binary, Dictionary::Segment, Dictionary::Tar] {
                extreme(&mut bytes, dictionary, rng);
                assert_eq!(bytes.len(), 2048);
            }
            assert_ne!(bytes, before, "seed {seed}");
            extreme(&mut bytes, Dictionary::Text, rng);
            assert!(bytes.len() <= 2048 + LONG);
        }
    }
}
