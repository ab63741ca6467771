//! VP9 through `rusty_vp9`, and the few header bits that an index needs (VP9 specification §6.2).

use rusty_vp9::{Error, Vp9Decoder};

use super::bits::Bits;
use super::picture::Picture;
use super::track::ColourSpace;

/// Header fields of the first frame in a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub profile: u32,
    pub key: bool,
    /// The frame, or an earlier one, appears on screen.
    pub shown: bool,
    /// Width, height and colour; key frames alone carry them.
    pub format: Option<(usize, usize, ColourSpace)>,
}

impl FrameHeader {
    pub fn parse(sample: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(sample);
        if bits.take(2)? != 2 {
            return None;
        }
        let profile = u32::from(bits.bit()?) | u32::from(bits.bit()?) << 1;
        if profile == 3 {
            bits.bit()?;
        }
        if bits.bit()? {
            return Some(Self { profile, key: false, shown: true, format: None });
        }
        let (key, shown) = (!bits.bit()?, bits.bit()?);
        bits.bit()?;
        let format = if key { format(&mut bits, profile) } else { None };
        Some(Self { profile, key, shown, format })
    }
}

fn format(bits: &mut Bits, profile: u32) -> Option<(usize, usize, ColourSpace)> {
    if bits.take(24)? != 0x49_8342 || profile != 0 {
        return None;
    }
    // The eight colour spaces of §7.2.2, as matrices of ISO/IEC 23091-2.
    let matrix = [2, 5, 1, 6, 7, 9, 2, 0][bits.take(3)? as usize];
    let full_range = bits.bit()?;
    let (width, height) = (bits.take(16)? as usize + 1, bits.take(16)? as usize + 1);
    Some((width, height, ColourSpace { matrix, full_range }))
}

/// Whether the last byte of a sample closes a superframe: several frames, the last of which is shown.
pub(super) fn ends_superframe(last: u8) -> bool {
    last & 0xe0 == 0xc0
}

/// Decodes one sample after another.
#[derive(Default)]
pub(super) struct Vp9 {
    decoder: Vp9Decoder,
}

impl Vp9 {
    /// The picture that a sample puts on screen, if it does.
    pub fn decode(&mut self, sample: &[u8]) -> Result<Option<Picture>, String> {
        self.decoder.push(sample, None).map_err(|error| error.to_string())?;
        let mut shown = None;
        // A superframe holds at most eight frames, and each one may report `Again` after a hidden frame.
        for _ in 0..16 {
            match self.decoder.next_frame() {
                Ok(frame) => shown = Some(frame),
                Err(Error::Again) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let Some(frame) = shown else { return Ok(None) };
        if (frame.bit_depth, frame.subsampling_x, frame.subsampling_y) != (8, 1, 1) {
            return Err("not 8-bit 4:2:0".to_owned());
        }
        let (Ok(planes), Ok(strides)) = (frame.planes.try_into(), frame.strides.try_into()) else { return Ok(None) };
        Ok(Some(Picture { width: frame.width as usize, height: frame.height as usize, planes, strides }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_key_hidden_and_size() {
        // frame marker 10, profile 0 0, not a repeat, key frame 0, shown 1, not error resilient; sync code;
        // BT.709, limited range; 425 and 239 in 16 bits; then padding.
        let key = [0x82, 0x49, 0x83, 0x42, 0b0100_0000, 0b0001_1010, 0b1001_0000, 0b0000_1110, 0b1111_0000];
        let head = FrameHeader::parse(&key).unwrap();
        assert_eq!((head.key, head.shown, head.profile), (true, true, 0));
        assert_eq!(head.format, Some((426, 240, ColourSpace { matrix: 1, full_range: false })));
        let hidden = FrameHeader::parse(&[0x84, 0]).unwrap();
        assert_eq!((hidden.key, hidden.shown), (false, false));
        assert!(FrameHeader::parse(&[0x86, 0]).unwrap().shown);
        assert!(ends_superframe(0xc1) && !ends_superframe(0x21));
    }
}
