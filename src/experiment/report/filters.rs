//! What filters would leave of generated data: the simulator itself, and an ensemble that has learned the dynamics from the
//! data and needs none.

use replay::Windows;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::dynamics::Ensemble;
use crate::eval::{Judged, RejectionCurve, Transitions, auc, worst};

/// Share of windows or transitions that is rejected.
pub(super) const REJECTED: f64 = 0.4;
/// By how much rejecting is to lower the mean dynamic MSE.
pub(super) const FACTOR: f64 = 5.0;
/// Share of windows or transitions, the worst, that are to be found.
const WORST: f64 = 0.1;

/// What rejecting would leave of an augmentation's windows, and of their transitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// Where whole windows are rejected by their mean.
    pub windows: Filtering,
    /// Where single transitions are.
    pub transitions: Filtering,
}

/// What rejecting by a score would leave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filtering {
    /// Mean dynamic MSE with nothing rejected.
    pub before: f64,
    /// The same when the worst 40% by the simulator are rejected: the least that any filter can leave.
    pub by_simulator: f64,
    /// The same when the 40% that the ensemble doubts most are rejected.
    pub by_ensemble: f64,
    /// The least share that the simulator must reject for a fifth of the dynamic MSE; absent where none is enough.
    pub for_a_fifth: Option<f64>,
    /// The same for the ensemble.
    pub for_a_fifth_by_ensemble: Option<f64>,
    /// Area under the curve of the ensemble's doubt as a test for the worst tenth by the simulator.
    pub auc: Option<f64>,
}

impl Filters {
    /// What filters would leave of `windows`, whose transitions are `set` and of which the simulator says `judged`; nothing where it judges
    /// none.
    pub(super) fn of(
        windows: &Windows,
        set: &Transitions,
        judged: &[Option<Judged>],
        ensemble: &Ensemble,
    ) -> Result<Option<Self>> {
        let doubts = ensemble.doubts(windows)?;
        // What the simulator cannot judge is left out on both sides.
        let doubts = doubts.iter().zip(judged).map(|(doubt, judged)| judged.map(|_| ensemble.weigh(doubt)));
        let (doubts, errors): (Vec<_>, Vec<_>) =
            (doubts.collect(), judged.iter().map(|j| Some(j.as_ref()?.dynamic_mse)).collect());
        let known = |values: Vec<Option<f64>>| values.into_iter().flatten().collect::<Vec<f64>>();
        let by_window = |values: &[Option<f64>]| known(set.mean_over_windows(values));
        let windows = Filtering::of(&by_window(&errors), &by_window(&doubts));
        let transitions = Filtering::of(&known(errors), &known(doubts));
        Ok(windows.zip(transitions).map(|(windows, transitions)| Self { windows, transitions }))
    }
}

impl Filtering {
    fn of(errors: &[f64], doubts: &[f64]) -> Option<Self> {
        let (best, learned) = (RejectionCurve::new(errors, errors)?, RejectionCurve::new(doubts, errors)?);
        let least = |curve: &RejectionCurve| curve.least_for(FACTOR).map(|kept| kept.rejected);
        Some(Self {
            before: best.before(),
            by_simulator: best.at(REJECTED).mean,
            by_ensemble: learned.at(REJECTED).mean,
            for_a_fifth: least(&best),
            for_a_fifth_by_ensemble: least(&learned),
            auc: auc(doubts, &worst(errors, WORST)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_was_not_rejected() {
        // The two worst of ten carry nearly all of the error; the learned score finds the worst and trusts the other.
        let errors = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 41.0, 51.0];
        let mut doubts = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0, 9.0];
        let found = Filtering::of(&errors, &doubts).unwrap();
        let is_two_tenths = |share: Option<f64>| share.is_some_and(|share| (share - 0.2).abs() < 1e-9);
        assert_eq!((found.before, found.by_simulator), (10.0, 1.0));
        assert!(is_two_tenths(found.for_a_fifth));
        // Of the six left five have 1, one has 41.
        assert_eq!((found.by_ensemble, found.auc), (46.0 / 6.0, Some(1.0)));
        assert_eq!(found.for_a_fifth_by_ensemble, None);
        doubts[8] = 8.5;
        assert!(is_two_tenths(Filtering::of(&errors, &doubts).unwrap().for_a_fifth_by_ensemble));
        assert!(Filtering::of(&[], &[]).is_none());
    }
}
