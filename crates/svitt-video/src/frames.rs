//! Decoded frames in memory.

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
