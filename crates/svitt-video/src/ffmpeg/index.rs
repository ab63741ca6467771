//! The frames of a file, as listed by the `ffmpeg` program in its `framecrc` format.

use std::collections::BTreeMap;

/// Frames of the first video stream in the order of presentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FrameIndex {
    /// Time of each frame in seconds.
    pub times: Vec<f64>,
    /// Packets to decode before each frame comes out, counted from its key frame, itself included.
    pub cost: Vec<usize>,
    /// How long the last frame is shown, in seconds.
    pub last_duration: f64,
    /// Width and height.
    pub size: (usize, usize),
    /// Every packet has a time, so that one can be sought.
    pub timed: bool,
}

/// One line: presentation time, duration, flags.
struct Line {
    time: Option<i64>,
    duration: i64,
    key: bool,
    discarded: bool,
}

impl FrameIndex {
    /// Parses the listing of packets or of decoded frames.
    pub fn parse(text: &str) -> Self {
        let mut index = Self { timed: true, ..Self::default() };
        let mut unit = 0.0;
        let mut frames = BTreeMap::new();
        let (mut since_key, mut untimed) = (0, Vec::new());
        for line in text.lines() {
            if let Some(header) = line.strip_prefix('#') {
                index.header(header, &mut unit);
            } else if let Some(line) = Line::parse(line) {
                since_key = if line.key { 1 } else { since_key + 1 };
                match line.time {
                    // Hidden reference pictures of VP8 share their time with the picture shown.
                    Some(time) if !line.discarded => drop(frames.insert(time, (since_key, line.duration))),
                    Some(_) => {}
                    None => untimed.push(since_key),
                }
            }
        }
        index.timed = untimed.is_empty();
        index.last_duration = frames.values().next_back().map_or(0.0, |(_, duration)| *duration as f64 * unit);
        index.times = frames.keys().map(|time| *time as f64 * unit).collect();
        index.cost = frames.values().map(|(cost, _)| *cost).collect();
        index
    }

    fn header(&mut self, header: &str, unit: &mut f64) {
        let Some((name, value)) = header.split_once(": ") else { return };
        let pair = |separator| -> Option<(f64, f64)> {
            let (a, b) = value.trim().split_once(separator)?;
            Some((a.parse().ok()?, b.parse().ok()?))
        };
        match name.split(' ').next() {
            Some("tb") => *unit = pair('/').map_or(0.0, |(a, b)| a / b),
            Some("dimensions") => self.size = pair('x').map_or((0, 0), |(a, b)| (a as usize, b as usize)),
            _ => {}
        }
    }
}

impl Line {
    /// `stream, dts, pts, duration, size, checksum[, F=0xflags][, S=…]`; without flags it is a key frame.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, _, time, duration, ..] = fields[..] else { return None };
        let time: i64 = time.parse().ok()?;
        let flags = fields.iter().find_map(|field| field.strip_prefix("F=0x"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(1);
        Some(Self {
            time: (time != i64::MIN).then_some(time),
            duration: duration.parse().ok()?,
            key: flags & 1 != 0,
            discarded: flags & 4 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_become_frames_in_the_order_of_presentation() {
        let text = "#software: Lavf59\n#tb 0: 1/1000\n#dimensions 0: 480x360\n\
            0, -40, 0, 40, 900, 0x01\n0, 0, 120, 40, 90, 0x01, F=0x0\n0, 40, 40, 40, 70, 0x01, F=0x0\n\
            0, 80, 40, 40, 60, 0x01, F=0x0\n0, 120, 80, 40, 50, 0x01, F=0x4\n0, 160, 160, 33, 800, 0x01, S=1, 40\n";
        let index = FrameIndex::parse(text);
        assert_eq!(index.times, [0.0, 0.04, 0.12, 0.16]);
        assert_eq!(index.cost, [1, 4, 2, 1]);
        assert_eq!((index.size, index.timed, index.last_duration), ((480, 360), true, 0.033));
        let untimed =
            FrameIndex::parse("#tb 0: 1/25\n0, 0, -9223372036854775808, 1, 9, 0x01\n0, 1, 1, 1, 9, 0x01, F=0x0\n");
        assert!(!untimed.timed);
    }
}
