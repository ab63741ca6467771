//! Edit lists (ISO/IEC 14496-12 §8.6.6): which samples are shown, and when.

use super::mp4_boxes::versioned;
use super::track::DisplayedFrame;
use crate::frames::MOST_FRAMES;

/// How often all samples may be shown.
const MOST_REPEATS: usize = 16;

/// One entry: so long, from this media time on (`None`: nothing is shown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// In units of the movie.
    pub duration: u64,
    /// In units of the track.
    pub media_time: Option<i64>,
}

/// The entries of an `elst` box.
pub(super) fn edits(elst: &[u8]) -> Option<Vec<Edit>> {
    let (version, _, mut bytes) = versioned(elst)?;
    let wide = if version == 1 { 8 } else { 4 };
    let count = bytes.u32()?;
    let mut list = Vec::new();
    for _ in 0..count {
        let duration = bytes.number(wide)?;
        let raw = bytes.number(wide)?;
        let time = if version == 1 { raw as i64 } else { i64::from(raw as u32 as i32) };
        bytes.u32()?;
        list.push(Edit { duration, media_time: (time >= 0).then_some(time) });
    }
    Some(list)
}

/// The pictures of `order`, which is sorted by time, after `edits`. `scale` is track units per movie unit.
///
/// As the ffmpeg program has it: samples outside an edit are decoded but not shown, an edit of zero length runs to the
/// end, and if the first picture would then come late without an empty edit asking for it, all move to the front.
pub(super) fn edited(order: &[DisplayedFrame], edits: &[Edit], scale: f64) -> Vec<DisplayedFrame> {
    let mut shown = Vec::with_capacity(order.len());
    let (mut start, mut empty) = (0i64, 0i64);
    for edit in edits {
        let duration = (edit.duration as f64 * scale).round() as i64;
        let Some(from) = edit.media_time else {
            start = start.saturating_add(duration);
            empty = empty.saturating_add(duration);
            continue;
        };
        let until = if duration == 0 { i64::MAX } else { from.saturating_add(duration) };
        let [first, end] = [from, until].map(|time| order.partition_point(|picture| picture.time < time));
        let inside = order.get(first..end).unwrap_or_default();
        // A list may show samples again; one that shows thousands of times what there is, is damaged.
        if shown.len() + inside.len() > (MOST_REPEATS * order.len()).min(MOST_FRAMES) {
            break;
        }
        let moved = |time: i64| time.saturating_sub(from).saturating_add(start);
        shown.extend(inside.iter().map(|picture| DisplayedFrame { sample: picture.sample, time: moved(picture.time) }));
        start = start.saturating_add(duration);
    }
    let late = shown.iter().map(|picture| picture.time).min().unwrap_or(0).saturating_sub(empty);
    if late > 0 {
        shown.iter_mut().for_each(|picture| picture.time = picture.time.saturating_sub(late));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five samples with one reordered picture, 512 units apart, the first shown at 1024.
    const ORDER: [DisplayedFrame; 5] = [
        DisplayedFrame { sample: 0, time: 1024 },
        DisplayedFrame { sample: 2, time: 1536 },
        DisplayedFrame { sample: 3, time: 2048 },
        DisplayedFrame { sample: 1, time: 2560 },
        DisplayedFrame { sample: 4, time: 3072 },
    ];

    fn run(edits: &[Edit]) -> Vec<(usize, i64)> {
        edited(&ORDER, edits, 12.0).into_iter().map(|shown| (shown.sample, shown.time)).collect()
    }

    #[test]
    fn edits_shift_cut_and_repeat() {
        let all = Edit { duration: 0, media_time: Some(1024) };
        assert_eq!(run(&[all]), [(0, 0), (2, 512), (3, 1024), (1, 1536), (4, 2048)]);
        let inner = Edit { duration: 86, media_time: Some(1536) }; // 86 · 12 = 1032 units
        assert_eq!(run(&[inner]), [(2, 0), (3, 512), (1, 1024)]);
        assert_eq!(run(&[inner, all]).len(), 8);
        assert_eq!(run(&[all; 1000]).len(), 16 * 5, "a damaged list does not fill the memory");
        let late = Edit { duration: 100, media_time: None };
        assert_eq!(run(&[late, all])[0], (0, 1200));
        let early = Edit { duration: 0, media_time: Some(0) };
        assert_eq!(run(&[early])[0], (0, 0), "pictures without an empty edit begin at zero");
    }
}
