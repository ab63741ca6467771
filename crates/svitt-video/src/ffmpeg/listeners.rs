//! What is done with what the `ffmpeg` program writes: packets and frames are listed, pictures are taken.

use super::child::Listener;
use super::complaints::Complaints;
use super::listing::{Decoded, Packets};
use super::pixmaps::Pixmaps;
use crate::frames::MOST_FRAMES;

/// Packets as they are listed.
#[derive(Default)]
pub(super) struct PacketListing {
    pub packets: Packets,
    pub complaints: Complaints,
    /// The end of the output that is no whole line yet.
    rest: Vec<u8>,
}

impl Listener for PacketListing {
    fn output(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if *byte == b'\n' {
                self.packets.line(&String::from_utf8_lossy(&self.rest));
                self.rest.clear();
            } else {
                self.rest.push(*byte);
            }
        }
        self.packets.len() <= MOST_FRAMES
    }

    fn message(&mut self, line: &str) -> bool {
        self.complaints.line(line);
        true
    }

    fn progress(&self) -> usize {
        self.packets.len()
    }
}

/// Pixels of all pictures that any file may have: some seconds of decoding.
const ALWAYS: u64 = 1 << 30;
/// Pixels that a byte of a file may stand for beyond that. A still screen at 4K takes 100 bytes a frame, 80,000 pixels a
/// byte.
const PIXELS_PER_BYTE: u64 = 1 << 17;
/// The same of formats that draw small pictures on a canvas, and have no sound: a recorded screen of 1080p has 20,000; a
/// GIF or PNG of one-pixel pictures on the largest canvas half a million and more.
const CANVAS_PIXELS_PER_BYTE: u64 = 1 << 15;

/// Frames as they are decoded.
pub(super) struct FrameListing {
    pub decoded: Decoded,
    pub complaints: Complaints,
    most_pixels: u64,
}

impl FrameListing {
    /// The frames of a file of `bytes` bytes that `demuxer` reads.
    pub fn of_file(bytes: u64, demuxer: &str) -> Self {
        let canvas = matches!(demuxer, "gif" | "apng");
        let each = if canvas { CANVAS_PIXELS_PER_BYTE } else { PIXELS_PER_BYTE };
        let most_pixels = ALWAYS.max(bytes.saturating_mul(each));
        Self { decoded: Decoded::default(), complaints: Complaints::default(), most_pixels }
    }

    /// Whether so few bytes hold no more pictures of this size.
    pub fn is_inflated(&self) -> bool {
        self.decoded.pixels() > self.most_pixels
    }
}

impl Listener for FrameListing {
    fn output(&mut self, _: &[u8]) -> bool {
        true
    }

    fn message(&mut self, line: &str) -> bool {
        self.decoded.line(line);
        self.complaints.line(line);
        self.decoded.len() <= MOST_FRAMES && !self.is_inflated()
    }

    fn progress(&self) -> usize {
        self.decoded.len()
    }
}

/// Pictures as they are written.
pub(super) struct Taker {
    pub pixmaps: Pixmaps,
    pub complaints: Complaints,
}

impl Listener for Taker {
    fn output(&mut self, bytes: &[u8]) -> bool {
        self.pixmaps.take(bytes)
    }

    fn message(&mut self, line: &str) -> bool {
        self.complaints.line(line);
        true
    }

    fn progress(&self) -> usize {
        self.pixmaps.seen()
    }
}
