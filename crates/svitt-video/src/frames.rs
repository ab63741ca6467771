//! Decoded frames in memory.

use std::path::Path;

use super::error::{Result, VideoError};

/// Pixels of the largest picture that is decoded: the largest of any H.264 or VP9 level, 8192 × 4352.
pub(crate) const MOST_PIXELS: usize = 139_264 * 256;

/// Bytes of the frames that one call may return: 21 frames of 4K, 86 of 1080p.
pub(crate) const MOST_BYTES: usize = 512 << 20;

/// Frames of the longest video: a day at 48 frames per second.
pub(crate) const MOST_FRAMES: usize = 4 << 20;

/// RGB frames at the video's own resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Frames.
    pub count: usize,
    /// Pixels per column, after rotation.
    pub height: usize,
    /// Pixels per row, after rotation.
    pub width: usize,
    /// `[count, height, width, 3]`, row-major.
    pub data: Vec<u8>,
}

impl Frames {
    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.height * self.width * 3
    }

    /// Frame `index` as `[height, width, 3]`; empty past the end.
    pub fn frame(&self, index: usize) -> &[u8] {
        let bytes = self.frame_bytes();
        self.data.get(index * bytes..(index + 1) * bytes).unwrap_or(&[])
    }

    /// Frame `index` alone.
    pub fn one(&self, index: usize) -> Self {
        Self { count: 1, height: self.height, width: self.width, data: self.frame(index).to_vec() }
    }

    /// These frames and then those of another video, which have the same size.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.count += other.count;
        self.data.extend_from_slice(&other.data);
        self
    }

    /// Mean of red, green and blue over frame `index`, 0 to 255.
    pub fn mean_rgb(&self, index: usize) -> [f64; 3] {
        let frame = self.frame(index);
        let mut sums = [0u64; 3];
        for pixel in frame.chunks_exact(3) {
            (0..3).for_each(|c| sums[c] += u64::from(pixel[c]));
        }
        sums.map(|sum| sum as f64 / (frame.len() / 3).max(1) as f64)
    }
}

/// Checks that `count` frames of this size may be held at once.
///
/// # Errors
/// [`VideoError::TooLarge`] with the sizes.
pub(crate) fn check_memory(path: &Path, count: usize, width: usize, height: usize) -> Result<()> {
    let pixels = width.saturating_mul(height);
    if pixels > MOST_PIXELS {
        let detail = format!("its pictures of {width} x {height} exceed the limit of {MOST_PIXELS} pixels");
        return Err(VideoError::too_large(path, detail));
    }
    let bytes = pixels.saturating_mul(3).saturating_mul(count);
    if bytes > MOST_BYTES {
        let detail = format!(
            "{count} frames of {width} x {height} take {} MB, more than the limit of {} MB",
            bytes >> 20,
            MOST_BYTES >> 20
        );
        return Err(VideoError::too_large(path, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_limited_by_picture_and_by_call() {
        let check = |count, width, height| check_memory(Path::new("a.gif"), count, width, height);
        assert!(check(21, 3840, 2160).is_ok() && check(86, 1920, 1080).is_ok() && check(1, 8192, 4352).is_ok());
        assert!(check(1, 15_000, 15_000).unwrap_err().to_string().contains("15000 x 15000"));
        assert!(check(22, 3840, 2160).unwrap_err().to_string().contains("522 MB"));
        assert!(check(usize::MAX, usize::MAX, 2).is_err());
    }
}
