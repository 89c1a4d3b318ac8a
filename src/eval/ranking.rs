//! How well a score finds what is bad, and what rejecting by it leaves.

use serde::{Deserialize, Serialize};

/// Area under the receiver operating characteristic: the probability that a randomly drawn positive has a higher score
/// than a randomly drawn negative, ties counting half (the Mann-Whitney statistic). 1 is perfect, 0.5 is chance.
///
/// `None` where there is no positive, no negative, or a score that is not a number.
///
/// # Panics
/// If there is not one score for each.
pub fn auc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    assert_eq!(scores.len(), positive.len(), "one score for each");
    let positives = positive.iter().filter(|&&p| p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 || scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let order = rising(scores);
    let (mut rank_sum, mut before) = (0.0, 0);
    for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        // Ranks from one; tied scores share the middle of theirs.
        let rank = before as f64 + (ties.len() + 1) as f64 / 2.0;
        rank_sum += rank * ties.iter().filter(|&&index| positive[index]).count() as f64;
        before += ties.len();
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Which of `errors` are the worst `share` of them, at least one: those to be found by a score. Of equal errors at the
/// border all are taken or none, so that no order among them matters.
///
/// # Panics
/// If `share` is not in (0, 1).
pub fn worst(errors: &[f64], share: f64) -> Vec<bool> {
    assert!(share > 0.0 && share < 1.0, "share {share} is not in (0, 1)");
    let order = rising(errors);
    let count = ((errors.len() as f64 * share).round() as usize).max(1);
    let Some(&least) = order.iter().rev().nth(count - 1) else { return Vec::new() };
    errors.iter().map(|error| error.total_cmp(&errors[least]).is_ge()).collect()
}

/// Errors that are left when what scores highest is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Share rejected, in `[0, 1]`.
    pub rejected: f64,
    /// Highest score kept.
    pub threshold: f64,
    /// Mean error of what is kept.
    pub mean: f64,
}

/// What rejecting by a score does to a mean error, for every share that can be rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct RejectionCurve {
    /// From nothing rejected to all but one.
    points: Vec<Kept>,
}

impl RejectionCurve {
    /// The curve of rejecting by `scores`, highest first, what has `errors`. With the errors as scores it is the best
    /// there can be. Equal scores are rejected together; what has a score that is not a number, first.
    ///
    /// `None` where there is nothing.
    ///
    /// # Panics
    /// If there is not one score for each error.
    pub fn new(scores: &[f64], errors: &[f64]) -> Option<Self> {
        assert_eq!(scores.len(), errors.len(), "one score for each error");
        let (count, mut sum, mut kept) = (errors.len() as f64, 0.0, 0);
        let mut points = Vec::new();
        let order = rising(scores);
        for ties in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            kept += ties.len();
            sum += ties.iter().map(|&index| errors[index]).sum::<f64>();
            let rejected = 1.0 - kept as f64 / count;
            points.push(Kept { rejected, threshold: scores[ties[0]], mean: sum / kept as f64 });
        }
        points.reverse();
        (!points.is_empty()).then_some(Self { points })
    }

    /// All points, from nothing rejected on.
    pub fn points(&self) -> &[Kept] {
        &self.points
    }

    /// Mean error with nothing rejected.
    pub fn before(&self) -> f64 {
        self.points[0].mean
    }

    /// What is left when at least `share` is rejected, and as little more as can be.
    pub fn at(&self, share: f64) -> Kept {
        // What is rejected was computed as a difference: a rounding error must not skip a point.
        let reached = self.points.iter().find(|kept| kept.rejected >= share - 1e-9);
        *reached.unwrap_or(&self.points[self.points.len() - 1])
    }

    /// What is left when only scores up to `threshold` are kept; `None` where that is nothing.
    pub fn up_to(&self, threshold: f64) -> Option<Kept> {
        self.points.iter().find(|kept| kept.threshold <= threshold).copied()
    }

    /// The least that must be rejected for the mean error to fall to `before / factor`; `None` where it never does.
    pub fn least_for(&self, factor: f64) -> Option<Kept> {
        self.points.iter().find(|kept| kept.mean * factor <= self.before()).copied()
    }
}

/// Indices by rising value, those that are no numbers last.
fn rising(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].is_nan().cmp(&values[b].is_nan()).then(values[a].total_cmp(&values[b])));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_areas() {
        // By hand: of 2 x 3 pairs, 0.8 beats all three, 0.35 beats two of (0.1, 0.2, 0.4).
        let area = auc(&[0.1, 0.2, 0.4, 0.35, 0.8], &[false, false, false, true, true]).unwrap();
        assert!((area - 5.0 / 6.0).abs() < 1e-15);
        assert_eq!(auc(&[1.0, 1.0, 1.0], &[true, false, false]), Some(0.5));
        assert_eq!(auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auc(&[1.0, f64::NAN], &[true, false]), None);
        assert_eq!(auc(&[], &[]), None);
    }

    #[test]
    fn the_worst_are_a_share_of_all_and_ties_stay_together() {
        assert_eq!(worst(&[5.0, 1.0, 9.0, 2.0, 3.0], 0.4), [true, false, true, false, false]);
        assert_eq!(worst(&[5.0, 5.0, 1.0, 1.0], 0.25), [true, true, false, false]);
        assert_eq!(worst(&[2.0, 1.0], 0.01), [true, false]);
        assert!(worst(&[], 0.5).is_empty());
    }

    #[test]
    fn a_curve_by_hand() {
        let curve = RejectionCurve::new(&[1.0, 2.0, 2.0, 8.0], &[1.0, 2.0, 5.0, 32.0]).unwrap();
        let point = |rejected, threshold, mean| Kept { rejected, threshold, mean };
        assert_eq!(curve.points(), [point(0.0, 8.0, 10.0), point(0.25, 2.0, 8.0 / 3.0), point(0.75, 1.0, 1.0)]);
        assert_eq!((curve.before(), curve.at(0.1), curve.at(0.25)), (10.0, curve.points()[1], curve.points()[1]));
        assert_eq!((curve.at(1.0), curve.least_for(3.0)), (curve.points()[2], Some(curve.points()[1])));
        assert_eq!((curve.least_for(11.0), curve.up_to(5.0), curve.up_to(0.5)), (None, Some(curve.points()[1]), None));
        assert_eq!(RejectionCurve::new(&[], &[]), None);
        let doubtful = RejectionCurve::new(&[1.0, f64::NAN], &[1.0, 3.0]).unwrap();
        assert_eq!((doubtful.before(), doubtful.at(0.5).mean), (2.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_in_order(pairs in prop::collection::vec((0_u8..6, any::<bool>()), 2..40)) {
            let (scores, positive): (Vec<f64>, Vec<bool>) = pairs.iter().map(|&(s, p)| (f64::from(s), p)).unzip();
            let (mut won, mut all) = (0.0, 0.0);
            for (a, _) in pairs.iter().filter(|(_, p)| *p) {
                for (b, _) in pairs.iter().filter(|(_, p)| !*p) {
                    won += match a.cmp(b) { std::cmp::Ordering::Greater => 1.0, std::cmp::Ordering::Equal => 0.5, _ => 0.0 };
                    all += 1.0;
                }
            }
            match auc(&scores, &positive) {
                None => prop_assert_eq!(all, 0.0),
                Some(area) => {
                    prop_assert!((area - won / all).abs() < 1e-12);
                    // Neither units nor the sign's meaning matter.
                    let turned: Vec<f64> = scores.iter().map(|s| 3.0 - s).collect();
                    prop_assert!((auc(&turned, &positive).unwrap() - (1.0 - area)).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn no_score_beats_the_error_itself(pairs in prop::collection::vec((0.0..9.0, 0.0..9.0), 1..40), share in 0.0..1.0) {
            let (scores, errors): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (by_score, by_error) = (RejectionCurve::new(&scores, &errors), RejectionCurve::new(&errors, &errors));
            let (by_score, by_error) = (by_score.unwrap(), by_error.unwrap());
            prop_assert!((by_score.before() - by_error.before()).abs() < 1e-9);
            prop_assert!(by_error.at(share).mean <= by_score.at(share).mean + 1e-9);
            let up_to = by_score.up_to(by_score.at(share).threshold);
            prop_assert_eq!(up_to, Some(by_score.at(share)));
        }
    }
}
