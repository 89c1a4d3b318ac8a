//! Two sets whose windows are pairs: what changed, and would chance alone change as much?

use replay::Seed;
use serde::{Deserialize, Serialize};

use super::{Bootstrap, Interval, Measured, Transitions};

/// A change relative to what was before: 0.02 is two per cent more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `(after - before) / before`.
    pub relative: f64,
    /// Bootstrap interval over pairs of windows; absent for fewer than two.
    pub interval: Option<Interval>,
}

/// How the dynamic MSE of one set differs from that of another, where window `i` of both grew from the same prompt.
///
/// Pairs of windows are drawn together, so what a prompt brings to both cancels: the intervals are narrower than those
/// of either set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DynamicsChange {
    /// Of the mean over transitions.
    pub mean: Change,
    /// Of the median.
    pub median: Change,
    /// Of the 90% quantile.
    pub quantile_90: Change,
}

impl DynamicsChange {
    /// The change from one measured set to another; `None` where a set has no transition that could be judged.
    ///
    /// # Panics
    /// If the sets have different numbers of windows, or what was measured is not of these sets.
    pub fn between(
        before: (&Transitions, &Measured),
        after: (&Transitions, &Measured),
        bootstrap: &Bootstrap,
        seed: &Seed,
    ) -> Option<Self> {
        let windows = before.0.window_count();
        assert_eq!(windows, after.0.window_count(), "windows of two sets of pairs");
        Self::of_errors(windows, &Errors::of(before), &Errors::of(after), bootstrap, seed)
    }

    fn of_errors(windows: usize, before: &Errors, after: &Errors, bootstrap: &Bootstrap, seed: &Seed) -> Option<Self> {
        let change = |figure: fn(&Errors, &[usize]) -> f64| {
            let relative = |times: &[usize]| {
                let (old, new) = (figure(before, times), figure(after, times));
                (new - old) / old
            };
            let mut times = vec![0; windows];
            // The same seed for all figures: they are of the same draws.
            let interval = bootstrap.interval(windows, seed, |drawn| {
                times.fill(0);
                drawn.iter().for_each(|&window| times[window] += 1);
                relative(&times)
            });
            let relative = relative(&vec![1; windows]);
            relative.is_finite().then_some(Change { relative, interval })
        };
        Some(Self {
            mean: change(Errors::mean)?,
            median: change(|errors, times| errors.quantile(0.5, times))?,
            quantile_90: change(|errors, times| errors.quantile(0.9, times))?,
        })
    }
}

/// The dynamic MSE of each judged transition and its window, rising, so that a resample needs no sorting.
struct Errors(Vec<(f64, usize)>);

impl Errors {
    fn of((set, measured): (&Transitions, &Measured)) -> Self {
        assert_eq!(set.len(), measured.transitions.len(), "transitions of the set and of what was measured");
        let judged = set.windows().iter().zip(&measured.transitions);
        Self::new(judged.filter_map(|(&window, j)| Some((j.as_ref()?.dynamic_mse, window))).collect())
    }

    fn new(mut errors: Vec<(f64, usize)>) -> Self {
        errors.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Self(errors)
    }

    /// Transitions, where each window counts so many times.
    fn count(&self, times: &[usize]) -> usize {
        self.0.iter().map(|&(_, window)| times[window]).sum()
    }

    fn mean(&self, times: &[usize]) -> f64 {
        self.0.iter().map(|&(error, window)| error * times[window] as f64).sum::<f64>() / self.count(times) as f64
    }

    /// Linear between the two nearest, as [`super::quantile`].
    fn quantile(&self, q: f64, times: &[usize]) -> f64 {
        let Some(last) = self.count(times).checked_sub(1) else { return f64::NAN };
        let position = q * last as f64;
        let (low, high) = (self.nth(position.floor() as usize, times), self.nth(position.ceil() as usize, times));
        low + (high - low) * position.fract()
    }

    /// The `n`-th smallest, counted from 0.
    fn nth(&self, n: usize, times: &[usize]) -> f64 {
        let mut before = 0;
        let found = self.0.iter().find(|&&(_, window)| {
            before += times[window];
            before > n
        });
        found.map_or(f64::NAN, |&(error, _)| error)
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::{mean, quantile};
    use super::*;

    #[test]
    fn figures_of_a_resample_are_those_of_its_members() {
        let mut rng = Seed::new(3).rng();
        let members: Vec<(f64, usize)> = (0..200).map(|_| (rng.random::<f64>(), rng.random_range(0..7))).collect();
        let mut sorted = members.clone();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let errors = Errors(sorted);
        for times in [[1; 7], [0, 3, 0, 1, 2, 0, 1]] {
            let drawn: Vec<f64> = members.iter().flat_map(|&(e, w)| std::iter::repeat_n(e, times[w])).collect();
            assert!((errors.mean(&times) - mean(&drawn)).abs() < 1e-12);
            for q in [0.0, 0.5, 0.9, 1.0] {
                assert!((errors.quantile(q, &times) - quantile(&drawn, q)).abs() < 1e-12, "{q}");
            }
        }
        assert!(errors.quantile(0.5, &[0; 7]).is_nan());
    }

    #[test]
    fn a_change_common_to_all_pairs_is_found_though_the_pairs_differ_widely() {
        let mut rng = Seed::new(4).rng();
        let old: Vec<(f64, usize)> = (0..400).map(|row| (rng.random::<f64>().powi(4), row / 4)).collect();
        let new = old.iter().map(|&(error, window)| (error * 1.05, window)).collect();
        let (old, new) = (Errors::new(old), Errors::new(new));
        let bootstrap = Bootstrap { resamples: 200, level: 0.95 };
        let change = DynamicsChange::of_errors(100, &old, &new, &bootstrap, &Seed::new(0)).unwrap();
        for change in [change.mean, change.median, change.quantile_90] {
            let interval = change.interval.unwrap();
            assert!((change.relative - 0.05).abs() < 1e-9, "{change:?}");
            assert!((interval.low - 0.05).abs() < 1e-9 && (interval.high - 0.05).abs() < 1e-9, "{interval:?}");
        }
        assert_eq!(DynamicsChange::of_errors(100, &old, &Errors::new(vec![]), &bootstrap, &Seed::new(0)), None);
    }

    #[test]
    fn an_interval_of_noise_holds_zero_and_has_width() {
        let mut rng = Seed::new(5).rng();
        let mut draw = || Errors::new((0..400).map(|row| (rng.random::<f64>(), row / 4)).collect());
        let (old, new) = (draw(), draw());
        let change = DynamicsChange::of_errors(100, &old, &new, &Bootstrap::default(), &Seed::new(0)).unwrap();
        let interval = change.mean.interval.unwrap();
        assert!(interval.low < 0.0 && interval.high > 0.0, "{interval:?}");
        // Two means of 400 uniform numbers: the ratio's deviation is about 0.041, four of them 0.16.
        assert!((0.1..0.25).contains(&(interval.high - interval.low)), "{interval:?}");
    }
}
