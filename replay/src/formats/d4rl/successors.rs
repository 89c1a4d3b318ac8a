//! Next observations of files that do not store them.

use crate::States;
use crate::formats::RewardTiming;

/// Columns as stored, without next observations.
pub(super) struct Rows {
    pub(super) observations: Vec<f32>,
    pub(super) actions: Vec<f32>,
    pub(super) rewards: Vec<f32>,
    pub(super) terminated: Vec<bool>,
    pub(super) truncated: Vec<bool>,
    pub(super) states: Option<States>,
}

/// What became of the rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Rows that completed the row before and are no transition.
    pub(super) dropped: usize,
    /// Episodes that were such a row alone.
    pub(super) vanished: usize,
    /// Terminated rows that are their own next state.
    pub(super) own: usize,
    /// Rows, after dropping, before which an episode begins.
    pub(super) breaks: Vec<usize>,
}

/// Makes transitions of `rows` in place by the rules of [`super`] and returns the next observations.
pub(super) fn succeed(rows: &mut Rows, obs_dim: usize, action_dim: usize, timing: RewardTiming) -> (Vec<f32>, Outcome) {
    let count = rows.rewards.len();
    let mut next_observations = Vec::with_capacity(rows.observations.len());
    let mut outcome = Outcome::default();
    let (mut kept, mut first) = (0, 0);
    for row in 0..count {
        let ends = rows.terminated[row] || rows.truncated[row] || row + 1 == count;
        if ends && !rows.terminated[row] {
            outcome.dropped += 1;
            if row > first {
                // The row before is the last one kept; its next observation already is this row's observation.
                rows.truncated[kept - 1] = rows.truncated[row];
            } else {
                outcome.vanished += 1;
            }
        } else {
            if ends {
                outcome.own += 1;
            }
            let successor = if ends { row } else { row + 1 };
            next_observations.extend_from_slice(&rows.observations[successor * obs_dim..][..obs_dim]);
            let paid = if timing == RewardTiming::NextObservation { successor } else { row };
            let reward = rows.rewards[paid];
            move_row(rows, row, kept, obs_dim, action_dim);
            rows.rewards[kept] = reward;
            kept += 1;
        }
        if ends {
            outcome.breaks.push(kept);
            first = row + 1;
        }
    }
    rows.observations.truncate(kept * obs_dim);
    rows.actions.truncate(kept * action_dim);
    rows.rewards.truncate(kept);
    rows.terminated.truncate(kept);
    rows.truncated.truncate(kept);
    if let Some(states) = &mut rows.states {
        states.truncate(kept);
    }
    (next_observations, outcome)
}

fn move_row(rows: &mut Rows, from: usize, to: usize, obs_dim: usize, action_dim: usize) {
    if from == to {
        return;
    }
    rows.observations.copy_within(from * obs_dim..(from + 1) * obs_dim, to * obs_dim);
    rows.actions.copy_within(from * action_dim..(from + 1) * action_dim, to * action_dim);
    rows.rewards[to] = rows.rewards[from];
    rows.terminated[to] = rows.terminated[from];
    rows.truncated[to] = rows.truncated[from];
    if let Some(states) = &mut rows.states {
        states.copy_row(from, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows whose observation, action and reward are their number.
    fn rows(terminated: &[bool], truncated: &[bool]) -> Rows {
        let numbers: Vec<f32> = (0..terminated.len()).map(|i| i as f32).collect();
        let states: Vec<f64> = numbers.iter().map(|&n| f64::from(n)).collect();
        Rows {
            observations: numbers.clone(),
            actions: numbers.clone(),
            rewards: numbers,
            terminated: terminated.to_vec(),
            truncated: truncated.to_vec(),
            states: Some(States { qpos: states.clone(), qvel: states, nq: 1, nv: 1, ..States::default() }),
        }
    }

    const F: bool = false;
    const T: bool = true;

    #[test]
    fn a_timed_out_row_completes_the_row_before() {
        let mut rows = rows(&[F, F, F, F, F], &[F, F, T, F, F]);
        let (next, outcome) = succeed(&mut rows, 1, 1, RewardTiming::AsPublished);
        assert_eq!(rows.observations, [0.0, 1.0, 3.0]);
        assert_eq!(next, [1.0, 2.0, 4.0]);
        assert_eq!(rows.truncated, [F, T, F]);
        assert_eq!(outcome, Outcome { dropped: 2, vanished: 0, own: 0, breaks: vec![2, 3] });
    }

    #[test]
    fn a_transition_gets_the_reward_of_the_row_that_it_leads_to() {
        let mut rows = rows(&[F, F, F, F, F], &[F, F, T, F, F]);
        succeed(&mut rows, 1, 1, RewardTiming::NextObservation);
        assert_eq!((rows.observations, rows.rewards), (vec![0.0, 1.0, 3.0], vec![1.0, 2.0, 4.0]));
    }

    #[test]
    fn a_terminated_row_is_kept_with_itself_as_next() {
        let mut rows = rows(&[F, T, F, T], &[F, F, F, F]);
        let (next, outcome) = succeed(&mut rows, 1, 1, RewardTiming::AsPublished);
        assert_eq!(rows.rewards, [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(next, [1.0, 1.0, 3.0, 3.0]);
        assert_eq!(outcome, Outcome { dropped: 0, vanished: 0, own: 2, breaks: vec![2, 4] });
    }

    #[test]
    fn episodes_of_one_cut_row_vanish_without_a_trace_in_their_neighbours() {
        let mut rows = rows(&[F, F, F, F], &[F, T, T, F]);
        let (next, outcome) = succeed(&mut rows, 1, 1, RewardTiming::AsPublished);
        assert_eq!(rows.observations, [0.0]);
        assert_eq!(next, [1.0]);
        assert_eq!(outcome, Outcome { dropped: 3, vanished: 2, own: 0, breaks: vec![1, 1, 1] });
    }

    proptest! {
        #[test]
        fn every_transition_is_two_rows_of_one_episode(flags in prop::collection::vec((0_u8..8, 0_u8..8), 1..60)) {
            let terminated: Vec<bool> = flags.iter().map(|f| f.0 == 0).collect();
            let truncated: Vec<bool> = flags.iter().map(|f| f.1 == 0).collect();
            let mut rows = rows(&terminated, &truncated);
            let (next, outcome) = succeed(&mut rows, 1, 1, RewardTiming::AsPublished);
            prop_assert_eq!(rows.rewards.len() + outcome.dropped, flags.len());
            for (index, (&from, &to)) in rows.observations.iter().zip(&next).enumerate() {
                let row = from as usize;
                prop_assert_eq!(rows.actions[index], from);
                prop_assert_eq!(rows.states.as_ref().unwrap().qvel[index], f64::from(from));
                prop_assert_eq!(rows.terminated[index], terminated[row]);
                if terminated[row] {
                    prop_assert_eq!(to, from);
                } else {
                    prop_assert!(!truncated[row] && to == from + 1.0);
                    // The flag of a cut row moved to the transition that leads into it.
                    prop_assert_eq!(rows.truncated[index], !terminated[row + 1] && truncated[row + 1]);
                }
            }
        }
    }
}
