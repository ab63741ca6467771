//! Ranges of the numbers people give: what is out of range is refused before anything is allocated or written.

use crate::{Error, Result};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// Frames of a clip: 4096 are a minute at 60 a second, and 65 times the longest clip of any published model.
pub const FRAMES: usize = 4_096;
/// Frames that are read of one video.
pub const VIDEO_FRAMES: usize = 100_000;
/// Clips of one video.
pub const CLIPS: usize = 1_024;
/// Items per forward.
pub const BATCH: usize = 65_536;
/// Threads, workers or jobs at a time.
pub const THREADS: usize = 1_024;
/// Items of a list that is asked for: results, candidates, videos, texts.
pub const ITEMS: usize = 100_000_000;
/// Jobs that share out work.
pub const SHARDS: usize = 100_000;
/// Optimizer steps.
pub const STEPS: usize = 1_000_000_000;
/// Tokens of one text.
pub const TOKENS: usize = 100_000;

/// Reads a whole number from `low` to `high`: a value parser of command lines.
pub fn count(low: usize, high: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let problem = match text.parse::<usize>() {
            Ok(value) => return within(value, low, high),
            // Too long for the type, but a number.
            Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => most(high),
            Err(_) => format!("give a whole number from {low} to {high}"),
        };
        Err(problem)
    }
}

/// Reads a number from `low` to `high`; neither NaN nor infinite ones are.
pub fn number(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match f64::from_str(text) {
        Ok(value) if !value.is_nan() => within(value, low, high),
        _ => Err(format!("give a number from {low} to {high}")),
    }
}

fn within<T: PartialOrd + Display>(value: T, low: T, high: T) -> Result<T, String> {
    match () {
        () if value < low => Err(format!("use {low} or more")),
        () if value > high => Err(most(high)),
        () => Ok(value),
    }
}

fn most(high: impl Display) -> String {
    format!("use {high} at most")
}

/// Checks that `value` lies from `low` to `high`; NaN does not.
///
/// # Errors
/// Names `setting`, its value and the range.
pub fn check<T: PartialOrd + Display + Debug>(setting: impl Into<String>, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    let [value, low, high] = [value, low, high].map(short);
    Err(Error::setting(setting, format!("is {value}"), format!("use a number from {low} to {high}")))
}

/// `value` as it is, or with a power of ten where that has hundreds of digits.
fn short<T: Display + Debug>(value: T) -> String {
    let digits = value.to_string();
    if digits.len() > 20 { format!("{value:?}") } else { digits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named_with_the_bound() {
        let read = count(1, 4_096);
        assert_eq!(read("4096"), Ok(4_096));
        assert_eq!(read("0").unwrap_err(), "use 1 or more");
        assert_eq!(read("4097").unwrap_err(), "use 4096 at most");
        assert_eq!(read("99999999999999999999999").unwrap_err(), "use 4096 at most");
        for wrong in ["-1", "1e18", "", "x", "1.5"] {
            assert!(read(wrong).unwrap_err().contains("whole number from 1 to 4096"), "{wrong}");
        }
        let read = number(0.0, 1.0);
        assert_eq!(read("0.5"), Ok(0.5));
        for wrong in ["nan", "inf", "-0.1", "1.1", "x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let message = check("stages.a.learning_rate", f64::NAN, 0.0, 10.0).unwrap_err().to_string();
        assert!(message.contains("`stages.a.learning_rate`: is NaN; use a number from 0 to 10"), "{message}");
        assert!(check("x", f64::INFINITY, 0.0, f64::MAX).is_err() && check("x", 3, 1, 3).is_ok());
    }
}
