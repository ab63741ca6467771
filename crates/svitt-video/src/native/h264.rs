//! H.264 through `rusty_h264-decoder`: length-prefixed samples in, 4:2:0 pictures out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use rusty_h264_decoder::Decoder;

use super::picture::Picture;
use super::sps::Sps;
use super::track::{Codec, Sample};
use crate::frames::MOST_PIXELS;

/// Bytes of a sample that are read to find the kind of its first slice, which messages may precede.
const MOST_HEAD: u64 = 1 << 20;

/// Pixels of all pictures that a decoder keeps: what the highest level allows (ISO/IEC 14496-10 table A-1, `MaxDpbMbs`).
const MOST_KEPT_PIXELS: usize = 696_320 * 256;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
const IDR_SLICE: u8 = 5;
const PARAMETER_SET: u8 = 7;

/// The fields of an `avcC` box (ISO/IEC 14496-15 §5.3.3.1.2).
pub(super) fn codec_of(avcc: &[u8]) -> Option<Codec> {
    let length_bytes = usize::from(avcc.get(4)? & 3) + 1;
    let mut bytes = super::bits::Bytes(avcc.get(5..)?);
    let mut parameter_sets = Vec::new();
    for mask in [0x1f, 0xff] {
        for _ in 0..bytes.u8()? & mask {
            let size = usize::from(bytes.u16()?);
            parameter_sets.push(bytes.take(size)?.to_vec());
        }
    }
    Some(Codec::H264 { parameter_sets, length_bytes })
}

/// The first sequence parameter set among `nals`.
pub(super) fn find_sps<'a>(mut nals: impl Iterator<Item = &'a [u8]>) -> Option<Sps> {
    nals.find(|nal| nal.first().is_some_and(|header| header & 31 == PARAMETER_SET)).and_then(Sps::parse)
}

/// The NAL units of a sample; ends at the first length that overruns it.
pub(super) fn nals(sample: &[u8], length_bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut bytes = super::bits::Bytes(sample);
    std::iter::from_fn(move || {
        let size = bytes.number(length_bytes)?;
        bytes.take(usize::try_from(size).ok()?)
    })
}

/// Whether decoding can start at this sample with nothing before it; its last NAL unit may be cut.
pub(super) fn starts_anew(sample: &[u8], length_bytes: usize) -> bool {
    let mut bytes = super::bits::Bytes(sample);
    while let Some(size) = bytes.number(length_bytes) {
        if bytes.0.first().is_some_and(|header| header & 31 == IDR_SLICE) {
            return true;
        }
        if usize::try_from(size).ok().and_then(|size| bytes.take(size)).is_none() {
            break;
        }
    }
    false
}

/// Whether decoding can start at this sample of the file.
pub(super) fn starts_in(file: &File, sample: Sample, length_bytes: usize) -> bool {
    let mut data = Vec::new();
    let mut file = file;
    let read = file.seek(SeekFrom::Start(sample.offset));
    let read = read.and_then(|_| file.take((sample.size as u64).min(MOST_HEAD)).read_to_end(&mut data));
    read.is_ok() && starts_anew(&data, length_bytes)
}

/// Whether no other picture refers to this one, so that it need not be decoded unless it is wanted.
pub(super) fn is_disposable(sample: &[u8], length_bytes: usize) -> bool {
    let mut slices = nals(sample, length_bytes).filter_map(|nal| nal.first()).filter(|h| matches!(*h & 31, 1..=5));
    slices.next().is_some_and(|header| header >> 5 & 3 == 0) && slices.all(|header| header >> 5 & 3 == 0)
}

/// The decoder takes the memory that a parameter set asks for, whoever wrote it.
fn check_sizes<'a>(nals: impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
    let sets = nals.filter(|nal| nal.first().is_some_and(|header| header & 31 == PARAMETER_SET)).filter_map(Sps::parse);
    let excessive = |sps: &Sps| {
        let pixels = sps.width.saturating_mul(sps.height);
        pixels > MOST_PIXELS || pixels.saturating_mul(sps.kept) > MOST_KEPT_PIXELS
    };
    match { sets }.find(excessive) {
        None => Ok(()),
        Some(Sps { width, height, kept, .. }) => Err(format!("{kept} pictures of {width} x {height} to refer to")),
    }
}

/// A decoder that has seen the parameter sets.
pub(super) struct H264 {
    decoder: Decoder,
    length_bytes: usize,
    unit: Vec<u8>,
}

impl H264 {
    pub fn new(parameter_sets: &[Vec<u8>], length_bytes: usize) -> Result<Self, String> {
        check_sizes(parameter_sets.iter().map(Vec::as_slice))?;
        let mut decoder = Decoder::new();
        let unit: Vec<u8> = parameter_sets.iter().flat_map(|set| START_CODE.iter().chain(set)).copied().collect();
        decoder.decode(&unit).map_err(|error| error.to_string())?;
        Ok(Self { decoder, length_bytes, unit })
    }

    /// The picture of one sample.
    pub fn decode(&mut self, sample: &[u8]) -> Result<Option<Picture>, String> {
        check_sizes(nals(sample, self.length_bytes))?;
        self.unit.clear();
        for nal in nals(sample, self.length_bytes) {
            self.unit.extend_from_slice(&START_CODE);
            self.unit.extend_from_slice(nal);
        }
        let frame = self.decoder.decode(&self.unit).map_err(|error| error.to_string())?;
        Ok(frame.map(|frame| Picture {
            width: frame.width,
            height: frame.height,
            strides: [frame.width, frame.width / 2, frame.width / 2],
            planes: [frame.y, frame.u, frame.v],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_classified_by_their_nal_headers() {
        let sample = [0, 2, 0x06, 0x01, 0, 3, 0x65, 1, 2, 0, 2, 0x45, 9];
        assert_eq!(nals(&sample, 2).map(<[u8]>::len).collect::<Vec<_>>(), [2, 3, 2]);
        assert!(starts_anew(&sample, 2) && !is_disposable(&sample, 2));
        assert!(is_disposable(&[0, 2, 0x01, 9], 2) && !is_disposable(&[0, 2, 0x41, 9], 2));
        assert!(!is_disposable(&[0, 2, 0x01, 9, 0, 2, 0x41, 9], 2), "one referenced slice is enough");
        assert!(!is_disposable(&[0, 200, 0x01], 2), "an overrunning length ends the walk");
    }
}
