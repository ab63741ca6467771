//! In which order a decoder puts pictures on screen.
//!
//! A decoder knows the order from the bitstream; times are what the container says of it. They agree while the clock
//! runs, so that sorting by time is enough between two places where the clock starts again.

use super::track::{DisplayedFrame, Sample};

/// Pictures that H.264 may hold back at most (ISO/IEC 14496-10 §A.3.1).
const MOST_REORDERED: usize = 16;

/// The samples in the order in which they are shown, or `None` where times do not tell it.
///
/// `shows` says which samples put a picture on screen (`None`: all). `reorders` says whether the codec shows pictures
/// in another order than it decodes them. `starts_anew` says whether decoding can start at a sample with nothing before
/// it: all earlier pictures are shown before that one.
pub(super) fn presentation(
    samples: &[Sample],
    shows: Option<&[bool]>,
    reorders: bool,
    mut starts_anew: impl FnMut(usize) -> bool,
) -> Option<Vec<DisplayedFrame>> {
    let visible = |sample: &usize| shows.is_none_or(|shows| shows[*sample]);
    let shown = |sample: usize| DisplayedFrame { sample, time: samples[sample].time };
    if !reorders {
        return Some((0..samples.len()).filter(visible).map(shown).collect());
    }
    let mut starts = vec![0];
    let mut top = i64::MIN;
    for (place, sample) in samples.iter().enumerate() {
        if place > 0 && sample.key && sample.time <= top {
            if !starts_anew(place) {
                return None;
            }
            starts.push(place);
            top = i64::MIN;
        }
        top = top.max(sample.time);
    }
    starts.push(samples.len());
    let mut order = Vec::with_capacity(samples.len());
    for run in starts.windows(2) {
        let mut part: Vec<DisplayedFrame> = (run[0]..run[1]).filter(visible).map(shown).collect();
        let decoded: Vec<usize> = part.iter().map(|picture| picture.sample).collect();
        part.sort_by_key(|picture| picture.time);
        let moved = part.iter().zip(&decoded).any(|(picture, sample)| picture.sample != *sample);
        let equal = part.windows(2).any(|pair| pair[0].time == pair[1].time);
        let far = part.iter().zip(&decoded).any(|(picture, sample)| picture.sample.abs_diff(*sample) > MOST_REORDERED);
        if (moved && equal) || far {
            return None;
        }
        order.append(&mut part);
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(times: &[i64], keys: &[usize], reorders: bool) -> Option<Vec<usize>> {
        let sample =
            |(place, time): (usize, &i64)| Sample { offset: 0, size: 1, time: *time, key: keys.contains(&place) };
        let samples: Vec<Sample> = times.iter().enumerate().map(sample).collect();
        let order = presentation(&samples, None, reorders, |place| place != 5)?;
        Some(order.into_iter().map(|shown| shown.sample).collect())
    }

    #[test]
    fn clocks_that_start_again_begin_a_new_run() {
        assert_eq!(order(&[0, 3, 1, 2, 0, 3, 1], &[0, 4], true).unwrap(), [0, 2, 3, 1, 4, 6, 5]);
        assert_eq!(order(&[0, 3, 1, 2, 1, 0], &[0, 5], true), None, "nothing says that decoding starts anew");
        assert_eq!(order(&[0, 1, 2, 0, 1], &[0, 3], false).unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn equal_times_are_told_apart_only_where_nothing_is_reordered() {
        assert_eq!(order(&[0, 0, 1, 1, 2], &[0], true).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(order(&[0, 2, 1, 1, 3], &[0], true), None);
        assert_eq!(order(&[0, 2, 1, 1, 3], &[0], false).unwrap(), [0, 1, 2, 3, 4]);
        let late: Vec<i64> = (0..40).map(|time| if time == 1 { 100 } else { time }).collect();
        assert_eq!(order(&late, &[0], true), None, "no decoder holds a picture back for 38 others");
    }
}
