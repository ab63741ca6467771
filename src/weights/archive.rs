//! The members of a zip archive, found through its central directory, as ranges of the file's bytes.
//!
//! PyTorch stores its members uncompressed, so nothing is unpacked and a tensor can be read where it lies. A general
//! zip library reserves hundreds of bytes for every member a damaged directory claims; this one allocates in
//! proportion to the directory that is really there.

use std::ops::Range;

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZipMember {
    /// Its path inside the archive.
    pub name: String,
    /// Its bytes inside the archive's.
    pub range: Range<usize>,
}

const END: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const END64: &[u8] = b"PK\x06\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_LENGTH: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;

/// Whether `file` begins like a zip archive.
pub fn is_zip(file: &[u8]) -> bool {
    file.starts_with(LOCAL) || file.starts_with(END)
}

/// Every member of the archive `file`.
///
/// # Errors
/// What is wrong with the archive: truncated, compressed, or pointing outside itself.
pub fn members(file: &[u8]) -> Result<Vec<ZipMember>, String> {
    let directory = directory(file)?;
    let mut rest = file.get(directory).ok_or("its zip directory lies outside the file")?;
    let mut members = Vec::new();
    while rest.starts_with(ENTRY) {
        let (member, length) = entry(file, rest)?;
        members.extend(member);
        rest = rest.get(length..).ok_or("its zip directory is cut off")?;
    }
    Ok(members)
}

/// Where the central directory lies, from the record at the end of the file.
fn directory(file: &[u8]) -> Result<Range<usize>, String> {
    const TRUNCATED: &str = "it has no zip directory at its end, so it is truncated";
    let from = file.len().saturating_sub(END_LENGTH + usize::from(u16::MAX));
    let tail = file.get(from..).unwrap_or_default();
    let end = tail.windows(END.len()).rposition(|bytes| bytes == END).ok_or(TRUNCATED)? + from;
    let (size, start) = (number(file, end + 12, 4)?, number(file, end + 16, 4)?);
    let wide = size == u64::from(u32::MAX) || start == u64::from(u32::MAX);
    let (size, start) = match end.checked_sub(20) {
        Some(locator) if wide && file.get(locator..locator + 4) == Some(LOCATOR) => {
            let end64 = index(number(file, locator + 8, 8)?)?;
            if file.get(end64..end64.saturating_add(4)) != Some(END64) {
                return Err(TRUNCATED.to_string());
            }
            (number(file, end64 + 40, 8)?, number(file, end64 + 48, 8)?)
        }
        _ => (size, start),
    };
    let (size, start) = (index(size)?, index(start)?);
    Ok(start..start.checked_add(size).ok_or(TRUNCATED)?)
}

/// The member that directory entry `entry` describes (none for a folder) and the entry's own length.
fn entry(file: &[u8], entry: &[u8]) -> Result<(Option<ZipMember>, usize), String> {
    let short = |at| number(entry, at, 2).and_then(index);
    let (name_length, extra_length, comment_length) = (short(28)?, short(30)?, short(32)?);
    let name = entry.get(ENTRY_LENGTH..ENTRY_LENGTH + name_length).ok_or("its zip directory is cut off")?;
    let name = String::from_utf8_lossy(name).into_owned();
    let extra_at = ENTRY_LENGTH + name_length;
    let extra = entry.get(extra_at..extra_at + extra_length).ok_or("its zip directory is cut off")?;
    let length = extra_at + extra_length + comment_length;
    if name.ends_with('/') {
        return Ok((None, length));
    }
    let narrow = [number(entry, 24, 4)?, number(entry, 20, 4)?, number(entry, 42, 4)?];
    let [size, stored, local] = widened(extra, narrow)?;
    if short(10)? != 0 || size != stored {
        return Err(format!("its member `{name}` is compressed, which PyTorch does not do"));
    }
    let local = index(local)?;
    let header = file.get(local..local.saturating_add(LOCAL_LENGTH)).filter(|header| header.starts_with(LOCAL));
    let header = header.ok_or_else(|| format!("its member `{name}` is not where its zip directory says"))?;
    let start = local + LOCAL_LENGTH + index(number(header, 26, 2)?)? + index(number(header, 28, 2)?)?;
    let end = start.checked_add(index(size)?).filter(|&end| end <= file.len());
    let end = end.ok_or_else(|| format!("its member `{name}` is cut off"))?;
    Ok((Some(ZipMember { name, range: start..end }), length))
}

/// Replaces the sizes and the offset that 32 bits could not hold by those of the zip64 extra field.
fn widened(extra: &[u8], mut numbers: [u64; 3]) -> Result<[u64; 3], String> {
    let mut rest = extra;
    while rest.len() >= 4 {
        let (id, length) = (number(rest, 0, 2)?, index(number(rest, 2, 2)?)?);
        let Some(field) = rest.get(4..4 + length) else { break };
        if id == 1 {
            let mut at = 0;
            for value in numbers.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
                *value = number(field, at, 8)?;
                at += 8;
            }
        }
        rest = &rest[4 + length..];
    }
    Ok(numbers)
}

/// The little-endian number in `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Result<u64, String> {
    let field = at.checked_add(width).and_then(|end| bytes.get(at..end)).ok_or("its zip directory is cut off")?;
    Ok(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

fn index(value: u64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("its zip directory points to byte {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &[u8] = include_bytes!("../../tests/fixtures/parity/checkpoint_micro_full.pth");

    #[test]
    fn every_member_is_found_where_it_lies() {
        let members = members(STORED).unwrap();
        let version = members.iter().find(|m| m.name.ends_with("/version")).unwrap();
        assert_eq!(&STORED[version.range.clone()], b"3\n");
        assert_eq!((members.len(), members.iter().filter(|m| m.name.contains("/data/")).count()), (479, 475));
    }

    #[test]
    fn a_truncated_archive_says_so() {
        let message = members(&STORED[..STORED.len() - 30_000]).unwrap_err();
        assert!(message.contains("truncated"), "{message}");
        assert!(members(&[]).is_err() && members(END).is_err());
    }
}
