//! The sample table of an mp4 track (ISO/IEC 14496-12 §8.5–8.7): offset, size, time and key flag of every sample.

use super::bits::Bytes;
use super::mp4_boxes::{child, versioned};
use super::track::Sample;
use crate::frames::MOST_FRAMES;

/// The samples of a `stbl` box and the duration of the last one, in a file of `length` bytes; `None` if a needed table is
/// missing or broken.
pub(super) fn samples(stbl: &[u8], length: u64) -> Option<(Vec<Sample>, i64)> {
    let sizes = sizes(stbl, length)?;
    let offsets = offsets(stbl, &sizes)?;
    let (times, last_duration) = times(stbl, sizes.len())?;
    let keys = keys(stbl, sizes.len());
    let mut samples = Vec::with_capacity(offsets.len());
    for (i, (&offset, &size)) in offsets.iter().zip(&sizes).enumerate() {
        samples.push(Sample { offset, size, time: *times.get(i)?, key: keys.as_ref().is_none_or(|keys| keys[i]) });
    }
    Some((samples, last_duration))
}

/// Whether samples refer to another sample description than the first.
pub(super) fn has_other_descriptions(stbl: &[u8]) -> bool {
    let runs = child(stbl, b"stsc").and_then(versioned);
    let runs = runs.and_then(|(_, _, mut bytes)| entries(&mut bytes, |b| Some((b.u32()?, b.u32()?, b.u32()?))));
    runs.is_some_and(|runs| runs.iter().any(|(_, _, description)| *description > 1))
}

fn sizes(stbl: &[u8], length: u64) -> Option<Vec<usize>> {
    let (_, _, mut bytes) = versioned(child(stbl, b"stsz")?)?;
    let (common, count) = (bytes.u32()? as usize, bytes.u32()? as usize);
    if count > MOST_FRAMES {
        return None;
    }
    if common > 0 {
        // A count that costs no bytes of the table: more samples than the file has room for are none.
        let room = usize::try_from(length / common as u64).unwrap_or(usize::MAX).saturating_add(1);
        return Some(vec![common; count.min(room)]);
    }
    (0..count).map(|_| Some(bytes.u32()? as usize)).collect()
}

/// Where the chunks of a `stbl` box begin.
pub(super) fn chunk_offsets(stbl: &[u8]) -> Option<Vec<u64>> {
    let (table, bytes_each) = match child(stbl, b"stco") {
        Some(table) => (table, 4),
        None => (child(stbl, b"co64")?, 8),
    };
    let (_, _, mut bytes) = versioned(table)?;
    (0..bytes.u32()?).map(|_| bytes.number(bytes_each)).collect()
}

fn offsets(stbl: &[u8], sizes: &[usize]) -> Option<Vec<u64>> {
    let (_, _, mut bytes) = versioned(child(stbl, b"stsc")?)?;
    let runs = entries(&mut bytes, |b| Some((b.u32()? as usize, b.u32()? as usize, b.u32()?)))?;
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut run = 0;
    for (chunk, &start) in chunk_offsets(stbl)?.iter().enumerate() {
        while runs.get(run + 1).is_some_and(|next| next.0 <= chunk + 1) {
            run += 1;
        }
        let mut offset = start;
        for _ in 0..runs.get(run)?.1 {
            let Some(&size) = sizes.get(offsets.len()) else { break };
            offsets.push(offset);
            offset = offset.checked_add(size as u64)?;
        }
    }
    Some(offsets)
}

/// Presentation times before any edit list, and the duration of the last sample.
fn times(stbl: &[u8], count: usize) -> Option<(Vec<i64>, i64)> {
    let (_, _, mut bytes) = versioned(child(stbl, b"stts")?)?;
    let mut times = Vec::with_capacity(count);
    let (mut time, mut last) = (0i64, 0);
    for (repeat, delta) in entries(&mut bytes, |b| Some((b.u32()? as usize, i64::from(b.i32()?))))? {
        for _ in 0..repeat.min(count - times.len()) {
            times.push(time);
            time = time.checked_add(delta)?;
            last = delta;
        }
    }
    // A table that is too short goes on with its last step, as ffmpeg has it.
    while times.len() < count {
        times.push(time);
        time = time.checked_add(last)?;
    }
    if let Some((_, _, mut bytes)) = child(stbl, b"ctts").and_then(versioned) {
        let mut next = 0;
        for (repeat, offset) in entries(&mut bytes, |b| Some((b.u32()? as usize, i64::from(b.i32()?))))? {
            let end = next + repeat.min(count - next);
            times[next..end].iter_mut().for_each(|time| *time = time.saturating_add(offset));
            next = end;
        }
    }
    Some((times, last))
}

/// Which samples are random access points; `None`: all of them.
fn keys(stbl: &[u8], count: usize) -> Option<Vec<bool>> {
    let (_, _, mut bytes) = versioned(child(stbl, b"stss")?)?;
    let mut keys = vec![false; count];
    for _ in 0..bytes.u32()? {
        if let Some(key) = bytes.u32().and_then(|n| keys.get_mut((n as usize).wrapping_sub(1))) {
            *key = true;
        }
    }
    keys.contains(&true).then_some(keys)
}

/// A counted list; the count is checked against the bytes there are by the reads themselves.
fn entries<'a, T>(bytes: &mut Bytes<'a>, mut read: impl FnMut(&mut Bytes<'a>) -> Option<T>) -> Option<Vec<T>> {
    let count = bytes.u32()?;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(read(bytes)?);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_size_are_no_more_than_the_file_has_room_for() {
        let stsz: Vec<u8> = [0u32, 10, 4_000_000].iter().flat_map(|word| word.to_be_bytes()).collect();
        let stbl = [&(8 + stsz.len() as u32).to_be_bytes()[..], b"stsz", &stsz].concat();
        assert_eq!(sizes(&stbl, 1000).unwrap(), vec![10; 101]);
    }
}
