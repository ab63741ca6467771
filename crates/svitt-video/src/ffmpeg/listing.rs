//! Which frames a file holds, as the `ffmpeg` program tells it: line by line of its packets or of its decoded frames.

use crate::clock::{continued, usual_gap};

/// Frames of the first video stream in the order of presentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FrameIndex {
    /// Time of each frame in seconds, never going back.
    pub times: Vec<f64>,
    /// Packets that are decoded before each frame comes out when reading starts at its key frame, itself included;
    /// empty where frames cannot be sought.
    pub cost: Vec<usize>,
    /// How long the last frame is shown, in seconds.
    pub last_duration: f64,
    /// Width and height.
    pub size: (usize, usize),
    /// The pictures change size or format on the way, where the program starts counting frames anew.
    pub changes: bool,
    /// Frames in the order in which the program puts them out are numbered by this index.
    pub packets: usize,
}

impl FrameIndex {
    /// Seconds between the two frames that are nearest to each other, .02 at most.
    pub fn least_gap(&self) -> f64 {
        self.times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.02, f64::min)
    }
}

/// The packets of a stream, from the `framecrc` format.
#[derive(Default)]
pub(super) struct Packets {
    unit: f64,
    size: (usize, usize),
    lines: Vec<Packet>,
}

/// One line: decoding time, presentation time, duration, flags.
struct Packet {
    dts: i64,
    time: Option<i64>,
    duration: i64,
    key: bool,
    discarded: bool,
}

impl Packets {
    /// Takes one line of the listing.
    pub fn line(&mut self, line: &str) {
        match line.strip_prefix('#') {
            Some(header) => self.header(header),
            None => self.lines.extend(Packet::parse(line)),
        }
    }

    /// Packets there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// The frames of the stream; `None` if packets do not tell them: some have no time, times are equal, the clock
    /// starts again (the program then repeats its last time), or pictures before the first key frame may not decode.
    ///
    /// `hidden` says which packets hold reference pictures that are never shown, where that is known.
    pub fn index(self, hidden: Option<&[bool]>) -> Option<FrameIndex> {
        let hidden = hidden.filter(|hidden| hidden.len() == self.lines.len());
        let mut shown = Vec::with_capacity(self.lines.len());
        let (mut since_key, mut last_dts) = (0, None);
        for (place, packet) in self.lines.iter().enumerate() {
            since_key = if packet.key { 1 } else { since_key + 1 };
            if packet.discarded || hidden.is_some_and(|hidden| hidden[place]) {
                continue;
            }
            if last_dts.is_some_and(|last| packet.dts <= last) {
                return None;
            }
            last_dts = Some(packet.dts);
            shown.push((packet.time?, since_key, packet.duration));
        }
        let first = shown.first()?.0;
        shown.sort_unstable();
        let sound = self.lines.first()?.key && shown[0].0 == first;
        if !sound || shown.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        let raw: Vec<i64> = shown.iter().map(|frame| frame.0).collect();
        let known: Vec<Option<i64>> = raw.iter().copied().map(Some).collect();
        // A time that had to be corrected cannot be sought.
        if continued(&known, 1, self.unit) != raw {
            return None;
        }
        Some(FrameIndex {
            times: raw.iter().map(|time| *time as f64 * self.unit).collect(),
            cost: shown.iter().map(|frame| frame.1).collect(),
            last_duration: shown.last().map_or(0.0, |frame| frame.2 as f64 * self.unit),
            size: self.size,
            changes: false,
            packets: self.lines.len(),
        })
    }

    fn header(&mut self, header: &str) {
        let Some((name, value)) = header.split_once(": ") else { return };
        match name.split(' ').next() {
            Some("tb") => self.unit = ratio(value, '/').map_or(0.0, |(a, b)| a / b),
            Some("dimensions") => self.size = ratio(value, 'x').map_or((0, 0), |(a, b)| (a as usize, b as usize)),
            _ => {}
        }
    }
}

impl Packet {
    /// `stream, dts, pts, duration, size, checksum[, F=0xflags][, S=…]`; without flags it is a key frame.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, dts, time, duration, ..] = fields[..] else { return None };
        let time: i64 = time.parse().ok()?;
        let flags = fields.iter().find_map(|field| field.strip_prefix("F=0x"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(1);
        Some(Self {
            dts: dts.parse().ok()?,
            time: (time != i64::MIN).then_some(time),
            duration: duration.parse().ok()?,
            key: flags & 1 != 0,
            discarded: flags & 4 != 0,
        })
    }
}

/// The decoded frames of a stream, from the filter `showinfo` and the program's closing report.
#[derive(Default)]
pub(super) struct Decoded {
    unit: f64,
    /// Seconds per frame that the stream announces.
    frame: f64,
    size: (usize, usize),
    format: String,
    graphs: usize,
    changes: bool,
    times: Vec<Option<i64>>,
    packets: usize,
}

impl Decoded {
    /// Takes one line of the program's messages.
    pub fn line(&mut self, line: &str) {
        if let Some((place, words)) = line.split_once("] [info] ").filter(|(place, _)| place.contains("showinfo")) {
            debug_assert!(place.starts_with('['));
            match words.strip_prefix("config in ") {
                Some(config) => self.configured(config),
                None if words.starts_with("n:") => self.frame(words),
                None => {}
            }
        } else if line.contains("(video): ") && line.contains(" packets read ") {
            let count = line.split("(video): ").nth(1).and_then(|rest| rest.split(' ').next());
            self.packets = count.and_then(|count| count.parse().ok()).unwrap_or(0).max(self.packets);
        }
    }

    /// Frames so far.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Pixels of all frames together.
    pub fn pixels(&self) -> u64 {
        let (width, height) = self.size;
        (self.times.len() as u64).saturating_mul((width * height) as u64)
    }

    /// The frames of the stream.
    pub fn index(self) -> FrameIndex {
        let known: Vec<i64> = self.times.iter().copied().flatten().collect();
        let announced = if self.unit > 0.0 { (self.frame / self.unit).round() as i64 } else { 0 };
        let step = if announced > 0 { announced } else { usual_gap(&known) };
        let times = continued(&self.times, step, self.unit);
        let ends = continued(&[Some(0), Some(step)], step, self.unit);
        FrameIndex {
            times: times.iter().map(|time| *time as f64 * self.unit).collect(),
            cost: Vec::new(),
            last_duration: ends[1] as f64 * self.unit,
            size: self.size,
            changes: self.changes,
            packets: self.packets,
        }
    }

    /// `time_base: 1/90000, frame_rate: 25/1`: once for every graph of filters.
    fn configured(&mut self, config: &str) {
        self.graphs += 1;
        self.changes |= self.graphs > 1;
        if self.graphs == 1 {
            let value = |name| config.split(name).nth(1).and_then(|value| ratio(value.split(',').next()?, '/'));
            self.unit = value("time_base: ").filter(|(_, b)| *b > 0.0).map_or(0.0, |(a, b)| a / b);
            self.frame = value("frame_rate: ").filter(|(a, b)| *a > 0.0 && *b > 0.0).map_or(0.0, |(a, b)| b / a);
        }
    }

    /// `n:   0 pts: 133200 pts_time:1.48 … fmt:yuv420p sar:1/1 s:320x240 …`
    fn frame(&mut self, words: &str) {
        let value = |name: &str| words.split(name).nth(1).and_then(|rest| rest.split_whitespace().next());
        self.times.push(value(" pts:").and_then(|time| time.parse().ok()));
        let size = value(" s:").and_then(|size| ratio(size, 'x')).map_or((0, 0), |(a, b)| (a as usize, b as usize));
        let format = value(" fmt:").unwrap_or_default();
        if self.times.len() == 1 {
            (self.size, self.format) = (size, format.to_owned());
        }
        self.changes |= size != self.size || format != self.format;
    }
}

fn ratio(text: &str, separator: char) -> Option<(f64, f64)> {
    let (a, b) = text.trim().split_once(separator)?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(text: &str) -> Packets {
        let mut packets = Packets::default();
        text.lines().for_each(|line| packets.line(line));
        packets
    }

    #[test]
    fn packets_become_frames_in_the_order_of_presentation() {
        let text = "#software: Lavf59\n#tb 0: 1/1000\n#dimensions 0: 480x360\n\
            0, -40, 0, 40, 900, 0x01\n0, 0, 120, 40, 90, 0x01, F=0x0\n0, 40, 40, 40, 70, 0x01, F=0x0\n\
            0, 80, 40, 40, 60, 0x01, F=0x0\n0, 120, 80, 40, 50, 0x01, F=0x4\n0, 160, 160, 33, 800, 0x01, S=1, 40\n";
        assert_eq!(packets(text).index(None), None, "two packets of one time, and nothing says that one is hidden");
        let index = packets(text).index(Some(&[false, false, true, false, false, false])).unwrap();
        assert_eq!(index.times, [0.0, 0.04, 0.12, 0.16]);
        assert_eq!(index.cost, [1, 4, 2, 1]);
        assert_eq!((index.size, index.packets, index.last_duration), ((480, 360), 6, 0.033));
    }

    #[test]
    fn packets_that_do_not_tell_the_frames_are_not_believed() {
        let none = |lines: &str| packets(&format!("#tb 0: 1/25\n{lines}")).index(None).is_none();
        assert!(none("0, 0, -9223372036854775808, 1, 9, 0x01\n0, 1, 1, 1, 9, 0x01, F=0x0\n"), "no time");
        assert!(none("0, 0, 0, 1, 9, 0x01\n0, 1, 1, 1, 9, 0x01\n0, 1, 2, 1, 9, 0x01\n"), "a clock held by the program");
        assert!(none("0, 0, 0, 1, 9, 0x01, F=0x0\n0, 1, 1, 1, 9, 0x01\n"), "the first is no key frame");
        assert!(none("0, 0, 2, 1, 9, 0x01\n0, 1, 0, 1, 9, 0x01, F=0x0\n"), "shown before the first key frame");
        assert!(none("0, 0, 0, 1, 9, 0x01\n0, 1, 900000, 1, 9, 0x01\n"), "ten hours of one picture");
        assert!(none(""));
    }

    #[test]
    fn decoded_frames_are_counted_by_their_order() {
        let mut decoded = Decoded::default();
        let place = "[Parsed_showinfo_0 @ 0x55] [info] ";
        decoded.line(&format!("{place}config in time_base: 1/1000, frame_rate: 25/1"));
        for (n, time) in ["1000", "1040", "NOPTS", "0", "40"].iter().enumerate() {
            decoded.line(&format!(
                "{place}n:{n:4} pts:{time:>7} pts_time:1.4  pos: 564 fmt:yuv420p sar:1/1 s:320x240 i:P"
            ));
            decoded.line(&format!("{place}color_range:unknown color_space:unknown"));
        }
        decoded.line("[verbose]   Input stream #0:0 (video): 6 packets read (124934 bytes); 5 frames decoded; ");
        let index = decoded.index();
        assert_eq!(index.times, [1.0, 1.04, 1.08, 1.12, 1.16]);
        assert_eq!((index.last_duration, index.size, index.changes, index.packets), (0.04, (320, 240), false, 6));
        let mut decoded = Decoded::default();
        for size in ["320x240", "240x320"] {
            decoded.line(&format!("{place}n:   0 pts:      0 fmt:yuv420p sar:1/1 s:{size} i:P"));
        }
        assert!(decoded.index().changes);
    }
}
