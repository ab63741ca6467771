//! The sequence parameter set of H.264 (ISO/IEC 14496-10 §7.3.2.1): size, colour and what we do not decode.

use super::bits::Bits;
use super::track::ColourSpace;

/// What is needed of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub width: usize,
    pub height: usize,
    /// 1 is 4:2:0.
    pub chroma_format: u32,
    pub bit_depth: u32,
    /// Pictures that are kept for others to refer to.
    pub kept: usize,
    /// Macroblock-adaptive field coding.
    pub interlaced: bool,
    /// Matrix, where the stream names one.
    pub matrix: Option<u8>,
    /// Range, where the stream names one.
    pub full_range: Option<bool>,
}

impl Sps {
    /// Parses a whole NAL unit, header byte included.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let rbsp = without_emulation(nal.get(1..)?);
        let mut bits = Bits::new(&rbsp);
        let profile = bits.take(8)?;
        bits.take(16)?;
        bits.golomb()?;
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if matches!(profile, 44 | 83 | 86 | 100 | 110 | 118 | 122 | 128 | 134 | 138 | 139 | 144 | 244) {
            (chroma_format, bit_depth) = high_profile_fields(&mut bits)?;
        }
        bits.golomb()?;
        skip_picture_order(&mut bits)?;
        let kept = bits.golomb()? as usize;
        bits.bit()?;
        let (columns, rows) = (bits.golomb()? as usize + 1, bits.golomb()? as usize + 1);
        let frames_only = bits.bit()?;
        let interlaced = !frames_only && bits.bit()?;
        bits.bit()?;
        let fields = if frames_only { 1 } else { 2 };
        let (cut_x, cut_y) = if bits.bit()? { crop(&mut bits)? } else { (0, 0) };
        let (matrix, full_range) = if bits.bit()? { colour(&mut bits).unwrap_or((None, None)) } else { (None, None) };
        let width = (columns * 16).checked_sub(cut_x * 2)?;
        let height = (rows * 16 * fields).checked_sub(cut_y * 2 * fields)?;
        Some(Self { width, height, chroma_format, bit_depth, kept, interlaced, matrix, full_range })
    }

    /// The colour space to convert with: the stream's value wins over the container's.
    pub fn colour(&self, container: ColourSpace) -> ColourSpace {
        ColourSpace {
            matrix: self.matrix.unwrap_or(container.matrix),
            full_range: self.full_range.unwrap_or(container.full_range),
        }
    }
}

fn high_profile_fields(bits: &mut Bits) -> Option<(u32, u32)> {
    let chroma_format = bits.golomb()?;
    if chroma_format == 3 {
        bits.bit()?;
    }
    let depth = 8 + bits.golomb()?.max(bits.golomb()?);
    bits.bit()?;
    if bits.bit()? {
        for list in 0..if chroma_format == 3 { 12 } else { 8 } {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((chroma_format, depth))
}

fn skip_scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

fn skip_picture_order(bits: &mut Bits) -> Option<()> {
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.bit()?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// Cropped columns and rows, in units of two.
fn crop(bits: &mut Bits) -> Option<(usize, usize)> {
    let mut next = || bits.golomb().map(|value| value as usize);
    let (left, right, top, bottom) = (next()?, next()?, next()?, next()?);
    Some((left + right, top + bottom))
}

/// Matrix and range of the video usability information (annex E).
fn colour(bits: &mut Bits) -> Option<(Option<u8>, Option<bool>)> {
    if bits.bit()? && bits.take(8)? == 255 {
        bits.take(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if !bits.bit()? {
        return Some((None, None));
    }
    bits.take(3)?;
    let full_range = bits.bit()?;
    let matrix = if bits.bit()? { Some(bits.take(24)? as u8) } else { None };
    Some((matrix, Some(full_range)))
}

/// The payload without the bytes that keep start codes from appearing in it.
fn without_emulation(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
