//! Summary statistics and bootstrap intervals.

use rand::RngExt;
use replay::Seed;
use serde::{Deserialize, Serialize};

/// Arithmetic mean; not a number where `values` is empty.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation with `n - ddof` in the denominator: 0 for a population, 1 for a sample of one.
///
/// Not a number where there are not more than `ddof` values.
pub fn standard_deviation(values: &[f64], ddof: usize) -> f64 {
    if values.len() <= ddof {
        return f64::NAN;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (squares / (values.len() - ddof) as f64).sqrt()
}

/// The value below which a share `q` of the values lies, interpolated linearly between the two nearest (NumPy's
/// default, type 7 of Hyndman and Fan). Not a number where `values` is empty.
///
/// # Panics
/// If `q` is not in [0, 1].
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted_quantile(&sorted, q)
}

/// [`quantile`] of values already in ascending order.
pub(super) fn sorted_quantile(sorted: &[f64], q: f64) -> f64 {
    assert!((0.0..=1.0).contains(&q), "quantile {q} is not in [0, 1]");
    if sorted.is_empty() {
        return f64::NAN;
    }
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    // Equal neighbours are returned as they are: infinite ones have no difference to interpolate. Rounding must not
    // carry a quantile past its upper neighbour.
    if low == high { low } else { (low + (high - low) * position.fract()).min(high) }
}

/// Pearson's correlation of pairs, in [-1, 1]; `None` for fewer than two pairs or where either side does not vary.
///
/// # Panics
/// If the sides are of different lengths.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "pairs");
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (dx, dy) = (x - mean_x, y - mean_y);
        (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy);
    }
    // The mean of equal values can miss them by a rounding error, which is no variation.
    let varies = |values: &[f64]| values.iter().any(|v| *v != values[0]);
    let correlates = x.len() >= 2 && varies(x) && varies(y) && xx > 0.0 && yy > 0.0;
    // Two square roots: the product of the sums may leave the range of numbers where neither does.
    correlates.then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// What a list of numbers looks like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their (population) standard deviation.
    pub standard_deviation: f64,
    /// The smallest.
    pub min: f64,
    /// The 50% quantile.
    pub median: f64,
    /// The 90% quantile.
    pub quantile_90: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// The summary of `values`; `None` where there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(Self {
            count: values.len(),
            mean: mean(values),
            standard_deviation: standard_deviation(values, 0),
            min: *sorted.first()?,
            median: sorted_quantile(&sorted, 0.5),
            quantile_90: sorted_quantile(&sorted, 0.9),
            max: *sorted.last()?,
        })
    }
}

/// A range that holds a statistic with a given confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The confidence, in (0, 1).
    pub level: f64,
}

/// How bootstrap intervals are made: percentile intervals over resampled clusters.
///
/// Transitions of a window depend on one another, so whole windows (clusters) are drawn with replacement; intervals
/// from single transitions would be several times too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// Times the clusters are drawn anew.
    pub resamples: usize,
    /// Confidence of the interval, in (0, 1).
    pub level: f64,
}

impl Default for Bootstrap {
    /// 1,000 resamples, 95%.
    fn default() -> Self {
        Self { resamples: 1_000, level: 0.95 }
    }
}

impl Bootstrap {
    /// Interval of the mean over all members of all clusters, from each cluster's sum and number of members.
    ///
    /// `None` for fewer than two clusters with members, which say nothing about how clusters differ, and for no
    /// resamples. The same seed gives the same interval.
    ///
    /// # Panics
    /// If there is not one count a sum, or the level is not in (0, 1).
    pub fn mean_over_clusters(&self, sums: &[f64], counts: &[usize], seed: &Seed) -> Option<Interval> {
        assert_eq!(sums.len(), counts.len(), "one count for each cluster's sum");
        let clusters: Vec<(f64, f64)> =
            sums.iter().zip(counts).filter(|&(_, &n)| n > 0).map(|(&sum, &n)| (sum, n as f64)).collect();
        self.interval(clusters.len(), seed, |drawn| {
            let (sum, n) = drawn.iter().fold((0.0, 0.0), |(sum, n), &i| (sum + clusters[i].0, n + clusters[i].1));
            sum / n
        })
    }

    /// Interval of any `statistic` of clusters, which is given the indices that were drawn.
    ///
    /// `None` for fewer than two clusters or no resamples.
    ///
    /// # Panics
    /// If the level is not in (0, 1).
    pub fn interval(
        &self,
        clusters: usize,
        seed: &Seed,
        mut statistic: impl FnMut(&[usize]) -> f64,
    ) -> Option<Interval> {
        assert!(self.level > 0.0 && self.level < 1.0, "confidence level {} is not in (0, 1)", self.level);
        if clusters < 2 || self.resamples == 0 {
            return None;
        }
        let mut rng = seed.rng();
        let mut drawn = vec![0; clusters];
        let mut statistics: Vec<f64> = (0..self.resamples)
            .map(|_| {
                drawn.iter_mut().for_each(|index| *index = rng.random_range(0..clusters));
                statistic(&drawn)
            })
            .collect();
        statistics.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval {
            low: sorted_quantile(&statistics, tail),
            high: sorted_quantile(&statistics, 1.0 - tail),
            level: self.level,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1.0)
    }

    #[test]
    fn known_figures() {
        // numpy 2.4: quantile([3, 1, 2, 10], [.25, .5, .9]) and std with ddof 0 and 1.
        let values = [3.0, 1.0, 2.0, 10.0];
        assert!(near(quantile(&values, 0.25), 1.75) && near(quantile(&values, 0.5), 2.5));
        assert!(near(quantile(&values, 0.9), 7.9));
        assert!(near(mean(&values), 4.0));
        assert!(near(standard_deviation(&values, 0), 12.5_f64.sqrt()));
        assert!(near(standard_deviation(&values, 1), (50.0_f64 / 3.0).sqrt()));
        // Anscombe's first quartet: r = 0.816420516344844.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        assert!((pearson(&x, &y).unwrap() - 0.816_420_516_344_843_6).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_summarise_is_said() {
        assert!(mean(&[]).is_nan() && quantile(&[], 0.5).is_nan() && standard_deviation(&[1.0], 1).is_nan());
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(pearson(&[1.0], &[2.0]), None);
        assert_eq!(pearson(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]), None);
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.mean_over_clusters(&[1.0], &[4], &Seed::new(0)), None);
        assert_eq!(bootstrap.mean_over_clusters(&[1.0, 0.0], &[4, 0], &Seed::new(0)), None);
    }

    #[test]
    fn bootstrap_covers_the_true_mean_as_often_as_it_says() {
        // 200 sets of 40 clusters of 8 members that share a cluster effect: intervals over clusters hold the true mean
        // 0 in about 95% of sets; percentile intervals of 40 clusters fall a little short of their level.
        let normal = Normal::new(0.0, 1.0).unwrap();
        let (mut by_cluster, mut by_member) = (0, 0);
        for set in 0..200 {
            let mut rng = Seed::new(set).fork("data", 0).rng();
            let clusters: Vec<Vec<f64>> = (0..40)
                .map(|_| {
                    let shared: f64 = normal.sample(&mut rng);
                    (0..8).map(|_| shared + 0.2 * normal.sample(&mut rng)).collect()
                })
                .collect();
            let bootstrap = Bootstrap { resamples: 300, level: 0.95 };
            let holds_zero = |i: Interval| usize::from(i.low <= 0.0 && 0.0 <= i.high);
            let sums: Vec<f64> = clusters.iter().map(|c| c.iter().sum()).collect();
            let seed = Seed::new(set).fork("bootstrap", 0);
            by_cluster += holds_zero(bootstrap.mean_over_clusters(&sums, &[8; 40], &seed).unwrap());
            let members = clusters.concat();
            by_member += holds_zero(bootstrap.mean_over_clusters(&members, &[1; 320], &seed).unwrap());
        }
        assert!((178..=198).contains(&by_cluster), "{by_cluster} of 200");
        assert!(by_member < 140, "single members pretend to know too much: {by_member} of 200");
    }

    #[test]
    fn bootstrap_weighs_clusters_by_their_members() {
        // One member worth 100 among 999 worth 1: the mean is near 1.1, not near 50.
        let interval = Bootstrap::default().mean_over_clusters(&[999.0, 100.0, 999.0], &[999, 1, 999], &Seed::new(1));
        let interval = interval.unwrap();
        assert!(interval.low >= 1.0 && interval.low < 1.01 && interval.high <= 100.0);
        let again = Bootstrap::default().mean_over_clusters(&[999.0, 100.0, 999.0], &[999, 1, 999], &Seed::new(1));
        assert_eq!(again, Some(interval));
    }

    proptest! {
        #[test]
        fn quantiles_are_ordered_and_inside(values in prop::collection::vec(-1e6..1e6, 1..60), a in 0.0..=1.0, b in 0.0..=1.0) {
            let s = Summary::of(&values).unwrap();
            let (low, high) = (f64::min(a, b), f64::max(a, b));
            let (at_low, at_high) = (quantile(&values, low), quantile(&values, high));
            prop_assert!(s.min <= at_low && at_low <= at_high && at_high <= s.max);
            prop_assert!(s.min <= s.mean + 1e-6 && s.mean <= s.max + 1e-6);
            prop_assert!(s.median <= s.quantile_90);
            let below = values.iter().filter(|v| **v <= at_low).count() as f64;
            prop_assert!(below >= (low * (values.len() - 1) as f64).floor() + 1.0);
        }

        #[test]
        fn deviation_ignores_shifts_and_follows_scales(values in prop::collection::vec(-1e3..1e3, 2..60), shift in -1e3..1e3_f64, scale in 0.1..10.0_f64) {
            let moved: Vec<f64> = values.iter().map(|v| shift + scale * v).collect();
            let expected = scale * standard_deviation(&values, 1);
            prop_assert!((standard_deviation(&moved, 1) - expected).abs() < 1e-8);
        }

        #[test]
        fn correlation_is_bounded_symmetric_and_free_of_units(pairs in prop::collection::vec((-1e3..1e3, -1e3..1e3), 3..60), scale in 0.1..10.0) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let r = pearson(&x, &y).unwrap();
            prop_assert!((-1.0..=1.0).contains(&r));
            prop_assert_eq!(pearson(&y, &x), Some(r));
            let flipped: Vec<f64> = y.iter().map(|v| 5.0 - scale * v).collect();
            prop_assert!((pearson(&x, &flipped).unwrap() + r).abs() < 1e-9);
            let line: Vec<f64> = x.iter().map(|v| 1.0 + scale * v).collect();
            prop_assert!((pearson(&x, &line).unwrap() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn intervals_widen_with_confidence(sums in prop::collection::vec(-10.0..10.0, 2..40), seed in 0_u64..100) {
            let counts = vec![3; sums.len()];
            let at = |level| Bootstrap { resamples: 200, level }.mean_over_clusters(&sums, &counts, &Seed::new(seed)).unwrap();
            let (narrow, wide) = (at(0.5), at(0.95));
            prop_assert!(wide.low <= narrow.low && narrow.low <= narrow.high && narrow.high <= wide.high);
            let (least, most) = (sums.iter().copied().fold(f64::MAX, f64::min), sums.iter().copied().fold(f64::MIN, f64::max));
            prop_assert!(wide.low >= least / 3.0 - 1e-9 && wide.high <= most / 3.0 + 1e-9);
        }
    }
}
