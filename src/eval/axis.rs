//! Axes of pictures: from numbers to places, with round ticks.

/// A linear axis between two ticks or data ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// An axis that holds `low` to `high`, widened to whole ticks, with about `ticks` of them.
    ///
    /// Equal ends are moved apart, ends that are not finite taken as 0 and 1.
    pub(super) fn holding(low: f64, high: f64, ticks: usize) -> Self {
        let (mut low, mut high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let least = 1e-9 * low.abs().max(high.abs()).max(1e-290);
        if high - low < least {
            let apart = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
            (low, high) = (low - apart, high + apart);
        }
        // Halved first: the ends of the range of numbers are further apart than a number can say.
        let step = round_step((high / 2.0 - low / 2.0) / ticks.max(1) as f64 * 2.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step }
    }

    /// The first and last tick.
    pub(super) fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Where `value` lies, 0 at the low end and 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The ticks with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let count = ((self.high - self.low) / self.step).round() as i64;
        let first = (self.low / self.step).round();
        (0..=count).map(|i| (first + i as f64) * self.step).map(|tick| (tick, self.label(tick))).collect()
    }

    /// A tick with as many decimals as the step has.
    fn label(&self, tick: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        if !(1e-3..1e6).contains(&largest) {
            let digits = (largest.log10().floor() - self.step.log10().floor()).max(0.0) as usize;
            return if tick == 0.0 { "0".into() } else { format!("{tick:.digits$e}") };
        }
        let decimals = (-self.step.log10() - 1e-9).ceil().max(0.0) as usize;
        let text = format!("{tick:.decimals$}");
        // A typographic minus is as wide as a plus.
        if tick < 0.0 { text.replacen('-', "\u{2212}", 1) } else { text }
    }
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|s| *s >= step * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(low: f64, high: f64, ticks: usize) -> Vec<String> {
        Axis::holding(low, high, ticks).ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.03, 0.97, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-3.0, 212.0, 5), ["\u{2212}50", "0", "50", "100", "150", "200", "250"]);
        assert_eq!(labels(5.2, 6.1, 4), ["5.0", "5.5", "6.0", "6.5"]);
        assert_eq!(labels(0.0, 2e-5, 2), ["0", "1e-5", "2e-5"]);
        assert_eq!(labels(0.0, 25e5, 3), ["0", "1e6", "2e6", "3e6"]);
    }

    #[test]
    fn odd_ends_are_moved_apart() {
        assert_eq!(labels(7.0, 7.0, 2), ["6", "7", "8"]);
        assert_eq!(labels(0.0, 0.0, 2), ["\u{2212}1", "0", "1"]);
        assert_eq!(labels(f64::NAN, 3.0, 1), ["0", "1"]);
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_data(a in -1e8..1e8, width in 1e-3..1e8, ticks in 2_usize..10) {
            let axis = Axis::holding(a, a + width, ticks);
            prop_assert!(axis.share(a) >= -1e-6 && axis.share(a + width) <= 1.0 + 1e-6);
            let marks = axis.ticks();
            prop_assert!(marks.len() >= 2 && marks.len() <= ticks + 3, "{:?}", marks);
            prop_assert!((axis.share(marks[0].0)).abs() < 1e-6);
            prop_assert!((axis.share(marks[marks.len() - 1].0) - 1.0).abs() < 1e-6);
            prop_assert!(marks.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 != w[1].1));
        }
    }
}
