//! Movie fragments (ISO/IEC 14496-12 §8.8): samples that `moof` boxes add to a track.

use super::bits::Bytes;
use super::mp4_boxes::{child, children, descend, versioned};
use super::track::Sample;
use crate::frames::MOST_FRAMES;

/// FragmentDefaults of a track in fragments (`trex`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FragmentDefaults {
    duration: u32,
    size: u32,
    flags: u32,
}

impl FragmentDefaults {
    /// The defaults of track `id` inside `moov`.
    pub fn of(moov: &[u8], id: u32) -> Self {
        let parse = |trex: &[u8]| -> Option<(u32, Self)> {
            let (_, _, mut bytes) = versioned(trex)?;
            let id = bytes.u32()?;
            bytes.u32()?;
            Some((id, Self { duration: bytes.u32()?, size: bytes.u32()?, flags: bytes.u32()? }))
        };
        let boxes = descend(moov, &[b"mvex"]).into_iter().flat_map(children);
        let mut found = boxes.filter(|(kind, _)| kind == b"trex").filter_map(|(_, trex)| parse(trex));
        found.find(|(track, _)| *track == id).map(|(_, defaults)| defaults).unwrap_or_default()
    }
}

/// Collects the samples of one track over all fragments.
pub(super) struct FragmentSamples {
    pub track: u32,
    /// Byte of the file from which its own positions count: not 0 in the later parts of a joined file.
    pub origin: u64,
    /// Bytes of the file.
    pub length: u64,
    pub defaults: FragmentDefaults,
    pub samples: Vec<Sample>,
    /// Decoding time of the next sample.
    pub time: i64,
    /// Duration of the last sample.
    pub last_duration: i64,
    /// Samples refer to another sample description than the first.
    pub other_descriptions: bool,
}

/// The header of a track fragment (`tfhd`).
struct Header {
    base: Option<u64>,
    from_moof: bool,
    defaults: FragmentDefaults,
}

impl FragmentSamples {
    /// Begins with the samples of the `moov` box and the duration of the last of them.
    pub fn new(track: u32, origin: u64, length: u64, defaults: FragmentDefaults, first: (Vec<Sample>, i64)) -> Self {
        let (samples, last_duration) = first;
        Self { track, origin, length, defaults, samples, time: 0, last_duration, other_descriptions: false }
    }

    /// Adds what the `moof` at byte `start` of the file says of the track. `None`: it is broken from here on.
    pub fn add(&mut self, moof: &[u8], start: u64) -> Option<()> {
        let mut previous_end = start;
        for (_, traf) in children(moof).filter(|(kind, _)| kind == b"traf") {
            let (track, header) = self.header(child(traf, b"tfhd")?)?;
            let base = header.base.and_then(|base| base.checked_add(self.origin)).unwrap_or(if header.from_moof {
                start
            } else {
                previous_end
            });
            if track == self.track
                && let Some(time) = child(traf, b"tfdt").and_then(decode_time)
            {
                self.time = time;
            }
            let mut offset = base;
            for (_, trun) in children(traf).filter(|(kind, _)| kind == b"trun") {
                offset = self.run(trun, base, offset, &header.defaults, track == self.track)?;
            }
            previous_end = offset;
        }
        Some(())
    }

    fn header(&mut self, tfhd: &[u8]) -> Option<(u32, Header)> {
        let (_, flags, mut bytes) = versioned(tfhd)?;
        let track = bytes.u32()?;
        let mut optional = |bit: u32, size: usize| match flags & bit {
            0 => Some(None),
            _ => bytes.number(size).map(Some),
        };
        let base = optional(1, 8)?;
        if optional(2, 4)?.is_some_and(|description| description > 1) {
            self.other_descriptions = true;
        }
        let duration = optional(8, 4)?.map_or(self.defaults.duration, |v| v as u32);
        let size = optional(0x10, 4)?.map_or(self.defaults.size, |v| v as u32);
        let flag_word = optional(0x20, 4)?.map_or(self.defaults.flags, |v| v as u32);
        let defaults = FragmentDefaults { duration, size, flags: flag_word };
        Some((track, Header { base, from_moof: flags & 0x2_0000 != 0, defaults }))
    }

    /// One run of samples; returns where its data ends.
    fn run(&mut self, trun: &[u8], base: u64, next: u64, defaults: &FragmentDefaults, ours: bool) -> Option<u64> {
        let (_, flags, mut bytes) = versioned(trun)?;
        let count = bytes.u32()?;
        let mut offset = next;
        if flags & 1 != 0 {
            offset = base.checked_add_signed(i64::from(bytes.i32()?))?;
        }
        let first_flags = if flags & 4 != 0 { Some(bytes.u32()?) } else { None };
        for i in 0..count {
            let field = |bit: u32, default: u32, bytes: &mut Bytes| match flags & bit {
                0 => Some(default),
                _ => bytes.u32(),
            };
            let duration = field(0x100, defaults.duration, &mut bytes)?;
            let size = field(0x200, defaults.size, &mut bytes)? as usize;
            let default_flags = first_flags.filter(|_| i == 0).unwrap_or(defaults.flags);
            let sample_flags = field(0x400, default_flags, &mut bytes)?;
            let shift = field(0x800, 0, &mut bytes)? as i32;
            if ours {
                let time = self.time.checked_add(i64::from(shift))?;
                // Bit 16 says that the sample is no random access point.
                self.samples.push(Sample { offset, size, time, key: sample_flags >> 16 & 1 == 0 });
                self.time = self.time.checked_add(i64::from(duration))?;
                self.last_duration = i64::from(duration);
            }
            offset = offset.checked_add(size as u64)?;
            // Samples of default size cost the run no bytes: without this a count of 2³² would fill the memory.
            if (flags & 0xf00 == 0 && (size == 0 || offset > self.length)) || self.samples.len() > MOST_FRAMES {
                return None;
            }
        }
        Some(offset)
    }
}

fn decode_time(tfdt: &[u8]) -> Option<i64> {
    let (version, _, mut bytes) = versioned(tfdt)?;
    i64::try_from(bytes.number(if version == 1 { 8 } else { 4 })?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes()[..], kind, content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A run may claim 2³² samples of default size in twelve bytes; the file has room for 50.
    #[test]
    fn a_run_ends_where_the_file_does() {
        let header = boxed(b"tfhd", &words(&[0x2_0000, 7]));
        let run = boxed(b"trun", &words(&[0, u32::MAX]));
        let moof = boxed(b"traf", &[header, run].concat());
        let defaults = FragmentDefaults { duration: 1, size: 20, flags: 0 };
        let mut collector = FragmentSamples::new(7, 0, 1000, defaults, (vec![], 0));
        assert!(collector.add(&moof, 0).is_none());
        assert!((50..=51).contains(&collector.samples.len()), "{}", collector.samples.len());
    }
}
