//! What a demuxer knows of a video track: where its samples lie and when each is shown.

/// A codec that is decoded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// H.264; parameter sets as NAL units without start codes, and the bytes of a sample's length fields.
    H264 { parameter_sets: Vec<Vec<u8>>, length_bytes: usize },
    /// VP9; everything is in the samples.
    Vp9,
}

/// One coded picture in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub size: usize,
    /// Presentation time in track units, before any edit list.
    pub time: i64,
    /// Decoding may start here.
    pub key: bool,
}

/// One picture on screen, in the order of presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DisplayedFrame {
    /// Which sample, in decoding order.
    pub sample: usize,
    /// Presentation time in track units.
    pub time: i64,
}

/// How the picture is turned when it is shown: `x' = a·x + c·y`, `y' = b·x + d·y`, y pointing down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation {
    pub a: i8,
    pub b: i8,
    pub c: i8,
    pub d: i8,
}

impl Orientation {
    /// DisplayedFrame as it is stored.
    pub const UPRIGHT: Self = Self { a: 1, b: 0, c: 0, d: 1 };
}

/// YUV to RGB: which matrix and which range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColourSpace {
    /// `matrix_coefficients` of ISO/IEC 23091-2; 2 is unspecified.
    pub matrix: u8,
    /// Luma uses 0–255 instead of 16–235.
    pub full_range: bool,
}

impl ColourSpace {
    /// Nothing said.
    pub const UNSPECIFIED: Self = Self { matrix: 2, full_range: false };
}

/// One of the files that a joined file consists of; most consist of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its first sample.
    pub first: usize,
    pub codec: Codec,
    pub orientation: Orientation,
    /// What the container says; the bitstream may say otherwise.
    pub colour: ColourSpace,
}

/// A video track.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// At least one, in the order of the file.
    pub parts: Vec<Part>,
    /// In decoding order.
    pub samples: Vec<Sample>,
    /// In the order of presentation.
    pub shown: Vec<DisplayedFrame>,
    /// Seconds per track unit.
    pub unit: f64,
    /// How long the last picture is shown, in track units.
    pub last_duration: i64,
    /// Samples lie past the end of the file: it was cut.
    pub truncated: bool,
    /// The structure of the file is broken after these samples: another reader may find more.
    pub damaged: bool,
}

impl Track {
    /// Keeps the first `count` samples in decoding order.
    pub fn truncate(&mut self, count: usize) {
        self.samples.truncate(count);
        self.shown.retain(|shown| shown.sample < count);
        let mut first = true;
        self.parts.retain(|part| std::mem::take(&mut first) || part.first < count);
    }

    /// The number of the part that holds a sample.
    pub fn part_of(&self, sample: usize) -> usize {
        self.parts.partition_point(|part| part.first <= sample).saturating_sub(1)
    }
}
