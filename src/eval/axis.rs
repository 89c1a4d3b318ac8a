//! Axes of pictures: from numbers to places, with round ticks.

/// A linear axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// An axis from `low` to `high` with a small margin and round ticks inside, about `ticks` of them.
    ///
    /// Equal ends are moved apart, ends that are not finite taken as 0 and 1.
    pub(super) fn around(low: f64, high: f64, ticks: usize) -> Self {
        let (mut low, mut high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let least = 1e-9 * low.abs().max(high.abs()).max(1e-290);
        if high - low < least {
            let apart = if low == 0.0 { 1.0 } else { 0.1 * low.abs() };
            (low, high) = (low - apart, high + apart);
        }
        let (step, margin) = (round_step((high - low) / ticks.max(1) as f64), 0.02 * (high - low));
        let mut axis = Self { low: low - margin, high: high + margin, step };
        // A step nearly as long as the axis may pass over it: then the next shorter one.
        while axis.ticks().is_empty() {
            axis.step = round_step(0.4 * axis.step);
        }
        axis
    }

    /// An axis from 0 to the first round tick that is not below `high`.
    pub(super) fn up_to(high: f64, ticks: usize) -> Self {
        let step = round_step(if high > 0.0 { high / ticks.max(1) as f64 } else { 1.0 });
        Self { low: 0.0, high: (high / step).ceil().max(1.0) * step, step }
    }

    /// Its two ends.
    pub(super) fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Where `value` lies, 0 at the low end and 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The ticks with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.low / self.step - 1e-9, self.high / self.step + 1e-9);
        let count = (last.floor() - first.ceil()) as i64;
        let tick = |i: i64| (first.ceil() + i as f64) * self.step;
        (0..=count).map(|i| (tick(i), self.label(tick(i)))).collect()
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

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::around(0.03, 0.97, 5)), ["0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&Axis::around(-63.0, 212.0, 6)), ["\u{2212}50", "0", "50", "100", "150", "200"]);
        assert_eq!(labels(&Axis::around(5.2, 6.1, 4)), ["5.5", "6.0"]);
        assert_eq!(labels(&Axis::around(5.0, 48.0, 2)), ["20", "40"]);
        assert_eq!(labels(&Axis::up_to(2e-5, 2)), ["0", "1e-5", "2e-5"]);
        assert_eq!(labels(&Axis::up_to(25e5, 3)), ["0", "1e6", "2e6", "3e6"]);
        assert_eq!(labels(&Axis::up_to(13.6, 5)), ["0", "5", "10", "15"]);
    }

    #[test]
    fn odd_ends_are_moved_apart() {
        assert_eq!(labels(&Axis::around(7.0, 7.0, 2)), ["7"]);
        assert_eq!(labels(&Axis::around(0.0, 0.0, 2)), ["\u{2212}1", "0", "1"]);
        assert_eq!(labels(&Axis::around(f64::NAN, 3.0, 1)), ["0", "1"]);
        assert_eq!(labels(&Axis::up_to(0.0, 3)), ["0", "1"]);
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_data(a in -1e8..1e8, width in 1e-3..1e8, ticks in 2_usize..10) {
            let axis = Axis::around(a, a + width, ticks);
            prop_assert!(axis.share(a) >= 0.0 && axis.share(a + width) <= 1.0);
            let marks = axis.ticks();
            prop_assert!(!marks.is_empty() && marks.len() <= ticks + 2, "{:?}", marks);
            prop_assert!(marks.iter().all(|(tick, _)| (-1e-6..=1.0 + 1e-6).contains(&axis.share(*tick))));
            prop_assert!(marks.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 != w[1].1));
            let up = Axis::up_to(width, ticks);
            let marks = up.ticks();
            prop_assert!(up.share(width) <= 1.0 + 1e-9 && (2..=ticks + 1).contains(&marks.len()), "{:?}", marks);
            prop_assert!((up.share(marks[marks.len() - 1].0) - 1.0).abs() < 1e-9);
        }
    }
}
