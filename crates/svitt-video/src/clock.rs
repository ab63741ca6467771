//! Times of frames whose order is known, from a clock that may stop, jump or start again.
//!
//! Joined recordings begin again at zero, transport streams wrap around, damaged files name any time at all. The order
//! of the frames is the decoder's; this file only makes their times follow that order.

/// Seconds that one picture may stand. A longer gap is an error of the clock: eight frames that claim to last 544 years
/// would otherwise become millions of clips.
const LONGEST: f64 = 3600.0;

/// Seconds of a frame where the clock says nothing that can be believed.
const USUAL: f64 = 0.04;

/// Frames that may be named in the wrong order before a step back counts as a new start.
const JITTER: usize = 8;

/// Times that never go back, in the unit of the clock, one for each of `times` (in the order of presentation; `None`:
/// the file names none). `step` is what one frame takes where the clock does not say, `unit` the seconds per tick.
pub(crate) fn continued(times: &[Option<i64>], step: i64, unit: f64) -> Vec<i64> {
    let (longest, usual) = if unit > 0.0 { ((LONGEST / unit) as i64, (USUAL / unit) as i64) } else { (i64::MAX, 1) };
    let step = if (1..=longest).contains(&step) { step } else { usual.max(1) };
    let mut out = Vec::with_capacity(times.len());
    // The highest time of the file's clock since it last started, and the time that was made of it.
    let mut top: Option<i64> = None;
    let mut now = 0i64;
    for (place, time) in times.iter().enumerate() {
        let (next_top, advance) = match (top, *time) {
            (None, None) => (None, if place == 0 { 0 } else { step }),
            (None, Some(time)) if place == 0 => {
                now = time.clamp(i64::MIN / 4, i64::MAX / 4);
                (Some(time), 0)
            }
            (None, Some(time)) => (Some(time), step),
            (Some(top), None) => (Some(top.saturating_add(step)), step),
            (Some(top), Some(time)) => match time.checked_sub(top) {
                Some(gap) if (0..=longest).contains(&gap) => (Some(time), gap),
                Some(gap) if gap < 0 && catches_up(&times[place + 1..], top) => (Some(top), 0),
                _ => (Some(time), step),
            },
        };
        top = next_top;
        now = now.saturating_add(advance);
        out.push(now);
    }
    out
}

/// Whether the clock is soon past `top` again, so that a step back was only a frame out of order.
fn catches_up(following: &[Option<i64>], top: i64) -> bool {
    following.iter().take(JITTER).flatten().any(|time| *time > top)
}

/// The middle one of the gaps between neighbours, gaps of nothing left out; 1 if there is none.
pub(crate) fn usual_gap(times: &[i64]) -> i64 {
    let gaps = times.windows(2).filter_map(|pair| pair[1].checked_sub(pair[0]));
    let mut gaps: Vec<i64> = gaps.filter(|gap| *gap > 0).collect();
    let middle = gaps.len() / 2;
    if gaps.is_empty() { 1 } else { *gaps.select_nth_unstable(middle).1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: &[i64], unit: f64) -> Vec<i64> {
        let known: Vec<Option<i64>> = times.iter().map(|time| Some(*time)).collect();
        continued(&known, 40, unit)
    }

    #[test]
    fn a_second_start_goes_on_where_the_first_ended() {
        assert_eq!(run(&[7, 47, 87, 0, 40, 80], 1e-3), [7, 47, 87, 127, 167, 207]);
        let joined: Vec<i64> = (0..30).chain(15..45).map(|i| i * 40).collect();
        assert_eq!(run(&joined, 1e-3), (0..60).map(|i| i * 40).collect::<Vec<_>>(), "an overlap of 15 frames");
        assert_eq!(run(&[0, 40, 1, 41, 2, 42], 1e-3), [0, 40, 40, 41, 41, 42], "frames named out of order wait");
    }

    #[test]
    fn equal_missing_and_absurd_times() {
        assert_eq!(run(&[0, 0, 1, 1, 2], 1e-3), [0, 0, 1, 1, 2], "more frames than the clock has ticks");
        assert_eq!(run(&[0, 1 << 31, 1 << 32, i64::MAX, i64::MIN], 1.0), [0, 40, 80, 120, 160]);
        let known = [0, 1 << 31, 1 << 32].map(Some);
        assert_eq!(continued(&known, 1 << 31, 1.0), [0, 1, 2], "a step of 68 years is none");
        assert_eq!(run(&[0, 90_000, 3_690_000], 1e-3), [0, 90_000, 3_690_000], "an hour of one picture is believed");
        assert_eq!(continued(&[None, None, Some(500), None, Some(580)], 40, 1e-3), [0, 40, 80, 120, 160]);
        assert_eq!((usual_gap(&[0, 0, 5, 9, 14]), usual_gap(&[3]), usual_gap(&[3, 3])), (5, 1, 1));
    }
}
