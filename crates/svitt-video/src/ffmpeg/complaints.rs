//! What the `ffmpeg` program complains of, and whether that means damage.

use crate::error::plain;

/// Levels of messages that are complaints.
const LEVELS: [&str; 3] = ["[error] ", "[fatal] ", "[panic] "];

/// Words of complaints that are ours to make, not the file's: its clock is dealt with by the order of the frames.
const OURS: [&str; 2] = ["non monotonically increasing dts", "non monotonous DTS"];

/// Words of complaints about pictures that refer to some from before the start of a cut file. Where all frames come out
/// in spite of them, as players show them, nothing is wrong. The last one is how a second segment is reported.
const REFERENCES: [&str; 8] = [
    "co located POCs unavailable",
    "mmco: unref short failure",
    "reference picture missing during reorder",
    "Missing reference picture",
    "illegal short term buffer state",
    "Could not find ref with POC",
    "number of reference frames",
    "Found unknown-length element",
];

/// Words about what became of other complaints: they say less than these.
const CONSEQUENCES: [&str; 5] = [
    "Error while decoding stream",
    "Error marking filters as finished",
    "Cannot determine format of input stream",
    "Conversion failed",
    "End of file",
];

/// Complaints of one run.
#[derive(Default)]
pub(crate) struct Complaints {
    /// The program refused pictures that are larger than it was told to decode.
    pub too_large: Option<String>,
    damage: Option<String>,
    references: Option<String>,
}

impl Complaints {
    /// Takes one line of the program's messages.
    pub fn line(&mut self, line: &str) {
        let Some(words) = LEVELS.iter().find_map(|level| line.split_once(level)).map(|(_, words)| words.trim()) else {
            return;
        };
        let contains = |list: &[&str]| list.iter().any(|part| words.contains(part));
        if contains(&OURS) {
            return;
        }
        if words.contains("max pixel count") {
            self.too_large = Some(plain(words.split(',').next().unwrap_or(words)));
        }
        let place = if contains(&REFERENCES) { &mut self.references } else { &mut self.damage };
        if place.is_none() || !contains(&CONSEQUENCES) {
            *place = Some(plain(words));
        }
    }

    /// The last complaint, the worst kind first.
    pub fn worst(&self) -> Option<&str> {
        self.damage.as_deref().or(self.references.as_deref())
    }

    /// The last complaint that matters where `whole` says that every packet became a frame.
    pub fn damage(&self, whole: bool) -> Option<&str> {
        if whole { self.damage.as_deref() } else { self.worst() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_references_are_damage_only_where_frames_are_missing() {
        let mut complaints = Complaints::default();
        complaints
            .line("[null @ 0x56] [error] Application provided invalid, non monotonically increasing dts to muxer");
        complaints.line("[mpegts @ 0x56] [warning] Packet corrupt (stream = 0, dts = 399600).");
        assert_eq!(complaints.worst(), None);
        complaints.line("[h264 @ 0x56] [error] co located POCs unavailable");
        assert_eq!((complaints.damage(true), complaints.damage(false)), (None, Some("co located POCs unavailable")));
        complaints.line("[h264 @ 0x56] [error] error while decoding MB 23 12, bytestream -5\u{1b}[2J");
        complaints.line("[error] Error while decoding stream #0:0: Invalid data found when processing input");
        assert_eq!(complaints.damage(true), Some("error while decoding MB 23 12, bytestream -5\\u{1b}[2J"));
    }
}
