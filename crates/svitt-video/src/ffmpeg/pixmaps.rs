//! Pictures in the portable pixmap format, taken from a stream as it arrives.

use std::path::{Path, PathBuf};

use crate::error::{Result, VideoError};
use crate::frames::{Frames, check_memory};

/// Bytes of the longest header: `P6`, two sizes and a depth.
const MOST_HEADER: usize = 64;

/// Collects the pictures of a stream that are wanted; the others are passed over without being stored.
pub(super) struct Pixmaps {
    path: PathBuf,
    /// For each picture of the stream, whether it is wanted.
    wanted: Vec<bool>,
    frames: Frames,
    seen: usize,
    header: Vec<u8>,
    /// Bytes of the current picture that are still to come.
    left: usize,
    error: Option<VideoError>,
    /// A picture of another size than the first came.
    changed: bool,
}

impl Pixmaps {
    pub fn new(path: &Path, wanted: Vec<bool>) -> Self {
        let frames = Frames { count: 0, height: 0, width: 0, data: Vec::new() };
        Self {
            path: path.to_path_buf(),
            wanted,
            frames,
            seen: 0,
            header: Vec::new(),
            left: 0,
            error: None,
            changed: false,
        }
    }

    /// Takes what came; false: nothing more is needed.
    pub fn take(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() && !self.over() {
            if self.left == 0 {
                bytes = self.take_header(bytes);
            } else {
                let count = self.left.min(bytes.len());
                if self.wanted[self.seen] {
                    self.frames.data.extend_from_slice(&bytes[..count]);
                }
                (self.left, bytes) = (self.left - count, &bytes[count..]);
                if self.left == 0 {
                    self.frames.count += usize::from(self.wanted[self.seen]);
                    self.seen += 1;
                }
            }
        }
        !self.over()
    }

    /// Pictures that came, wanted or not.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// The wanted pictures as far as they came whole; `None` if they are of different sizes.
    pub fn into_frames(mut self) -> Result<Option<Frames>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.frames.data.truncate(self.frames.count * self.frames.frame_bytes());
        Ok((!self.changed).then_some(self.frames))
    }

    fn over(&self) -> bool {
        self.error.is_some() || self.changed || self.seen == self.wanted.len()
    }

    /// Moves bytes into the header until it is whole; returns the rest.
    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (place, byte) in bytes.iter().enumerate() {
            self.header.push(*byte);
            if let Some((width, height)) = size_of(&self.header) {
                self.header.clear();
                self.begin(width, height);
                return &bytes[place + 1..];
            }
            if self.header.len() > MOST_HEADER {
                self.error = Some(VideoError::corrupt(&self.path, "ffmpeg wrote something that is no picture"));
                break;
            }
        }
        &[]
    }

    fn begin(&mut self, width: usize, height: usize) {
        let first = self.frames.width == 0;
        let count = self.wanted.iter().filter(|wanted| **wanted).count();
        if !first && (width, height) != (self.frames.width, self.frames.height) {
            self.changed = true;
        } else if let Err(error) = check_memory(&self.path, count, width, height) {
            self.error = Some(error);
        } else if first {
            (self.frames.width, self.frames.height) = (width, height);
            self.frames.data.reserve_exact(count * width * height * 3);
        }
        self.left = width * height * 3;
    }
}

/// Width and height of a whole header: `P6 WIDTH HEIGHT 255` and one white space.
fn size_of(header: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(header).ok()?.strip_prefix("P6")?;
    let mut fields = text.strip_suffix(['\n', ' '])?.split_ascii_whitespace();
    let [width, height, depth] = [fields.next()?, fields.next()?, fields.next()?];
    let (width, height): (usize, usize) = (width.parse().ok()?, height.parse().ok()?);
    (depth == "255" && width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_pictures_are_kept_however_the_stream_is_cut() {
        let picture = |value: u8| [&b"P6\n2 1\n255\n"[..], &[value; 6]].concat();
        let stream = [picture(10), picture(32), picture(80), picture(54)].concat();
        for piece in [1, 5, 16, 17, 1000] {
            let mut pixmaps = Pixmaps::new(Path::new("a"), vec![true, false, true]);
            let more: Vec<bool> = stream.chunks(piece).map(|chunk| pixmaps.take(chunk)).collect();
            assert!(more.iter().filter(|more| **more).count() * piece < stream.len(), "it says when it has enough");
            let frames = pixmaps.into_frames().unwrap().unwrap();
            assert_eq!((frames.count, frames.width, frames.height), (2, 2, 1), "pieces of {piece}");
            assert_eq!(frames.data, [[10; 6], [80; 6]].concat());
        }
    }

    #[test]
    fn cut_wrong_and_huge_pictures() {
        let run = |bytes: &[u8], count| {
            let mut pixmaps = Pixmaps::new(Path::new("a"), vec![true; count]);
            pixmaps.take(bytes);
            pixmaps.into_frames()
        };
        assert_eq!(run(b"P6\n2 1\n255\nabcdefP6\n2 1\n255\nabc", 2).unwrap().unwrap().data, b"abcdef");
        assert!(run(b"P6\n2 1\n255\nabcdefP6\n1 2\n255\nabc", 2).unwrap().is_none(), "another size");
        assert!(run(&[b'x'; 100], 2).is_err());
        assert!(matches!(run(b"P6\n15000 15000\n255\n", 1), Err(VideoError::TooLarge { .. })));
        assert!(matches!(run(b"P6\n3840 2160\n255\n", 40), Err(VideoError::TooLarge { .. })));
    }
}
