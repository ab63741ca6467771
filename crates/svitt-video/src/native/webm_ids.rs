//! The tags of Matroska and WebM that are looked at (RFC 9559, section 5).

pub const EBML: u32 = 0x1A45_DFA3;
pub const SEGMENT: u32 = 0x1853_8067;
pub const INFO: u32 = 0x1549_A966;
pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
pub const TRACKS: u32 = 0x1654_AE6B;
pub const TRACK: u32 = 0xAE;
pub const TRACK_NUMBER: u32 = 0xD7;
pub const TRACK_TYPE: u32 = 0x83;
pub const CODEC: u32 = 0x86;
pub const CODEC_PRIVATE: u32 = 0x63A2;
pub const DEFAULT_DURATION: u32 = 0x23_E383;
pub const ENCODINGS: u32 = 0x6D80;
pub const VIDEO: u32 = 0xE0;
pub const COLOUR: u32 = 0x55B0;
pub const MATRIX: u32 = 0x55B1;
pub const RANGE: u32 = 0x55B9;
pub const PROJECTION: u32 = 0x7670;
/// Yaw, pitch and roll.
pub const POSES: [u32; 3] = [0x7673, 0x7674, 0x7675];
pub const CLUSTER: u32 = 0x1F43_B675;
pub const TIMESTAMP: u32 = 0xE7;
pub const SIMPLE_BLOCK: u32 = 0xA3;
pub const GROUP: u32 = 0xA0;
pub const BLOCK: u32 = 0xA1;
pub const REFERENCE: u32 = 0xFB;
/// Further tags of a segment or a cluster: indexes, attachments, chapters, tags, fillers, checksums, positions.
pub const OTHERS: [u32; 10] =
    [0x114D_9B74, 0x1C53_BB6B, 0x1941_A469, 0x1043_A770, 0x1254_C367, 0xEC, 0xBF, 0xA7, 0xAB, 0x5854];
/// The tags that the walk over a file meets.
pub const KNOWN: [u32; 7] = [EBML, INFO, TRACKS, CLUSTER, TIMESTAMP, SIMPLE_BLOCK, GROUP];

pub fn is_known(id: u32) -> bool {
    KNOWN.contains(&id) || OTHERS.contains(&id)
}
