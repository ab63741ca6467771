//! Axes: the span of some values, and round numbers to mark on it.

/// The span of an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Value at the start of the axis.
    pub low: f64,
    /// Value at its end, above `low`.
    pub high: f64,
}

impl Scale {
    /// The span of the finite ones of `values`; widened where it would be empty.
    pub fn over(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match (low.is_finite(), low < high) {
            (true, true) => Self { low, high },
            (true, false) => Self { low: low - 0.5, high: low + 0.5 },
            (false, _) => Self { low: 0.0, high: 1.0 },
        }
    }

    /// The same, begun and ended on a mark.
    pub fn rounded(self) -> Self {
        let step = self.step();
        Self { low: (self.low / step).floor() * step, high: (self.high / step).ceil() * step }
    }

    /// Where `value` lies: 0 at `low`, 1 at `high`.
    pub fn place(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Marks inside the span, at 1, 2 or 5 times a power of ten, four to nine of them.
    pub fn ticks(self) -> Vec<f64> {
        let step = self.step();
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).take(20).map(|n| n as f64 * step).collect()
    }

    fn step(self) -> f64 {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        match rough / power {
            ratio if ratio < 1.5 => power,
            ratio if ratio < 3.5 => 2.0 * power,
            ratio if ratio < 7.5 => 5.0 * power,
            _ => 10.0 * power,
        }
    }
}

/// A mark as people write it: no trailing zeros, thousands as k, millions as M, tiny ones in powers of ten.
pub fn label(value: f64) -> String {
    let trim = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1e-3 => format!("{value:.0e}"),
        size if size < 1e4 => trim(format!("{value:.4}")),
        size if size < 1e6 => format!("{}k", trim(format!("{:.2}", value / 1e3))),
        _ => format!("{}M", trim(format!("{:.2}", value / 1e6))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round() {
        assert_eq!(Scale { low: 0.0, high: 100.0 }.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let ticks = Scale::over([0.13, f64::NAN, 0.71].into_iter()).rounded().ticks();
        assert_eq!(
            ticks.iter().map(|&t| label(t)).collect::<Vec<_>>(),
            ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8"]
        );
        assert_eq!(Scale::over(std::iter::empty()), Scale { low: 0.0, high: 1.0 });
        assert_eq!(Scale::over([3.0, 3.0].into_iter()), Scale { low: 2.5, high: 3.5 });
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(
            [0.0, 0.0001, 0.25, 1500.0, 20_000.0, 2.5e6].map(label),
            ["0", "1e-4", "0.25", "1500", "20k", "2.5M"]
        );
    }
}
