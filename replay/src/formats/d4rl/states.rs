//! Simulator states of D4RL files, moved to the start of their transitions.

use crate::States;

/// How `infos/qpos` and `infos/qvel` stand to the observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alignment {
    /// A row's state is the one its observation shows.
    Before,
    /// A row's state is the one the next row's observation shows (AntMaze).
    After,
    /// The observations show another state than either.
    Neither,
    /// The observations are not made of positions and velocities, so that nothing can be told (Adroit).
    Unknown,
}

/// Difference allowed, in the observation's 32 bits and relative where it is large.
const TOLERANCE: f64 = 1e-4;

/// Finds the alignment from the rows that have a successor in their episode.
///
/// Observations that are all positions and velocities, or all but the first position (gym-mujoco leaves out the root's
/// x), tell; velocities may be clipped to 10 there.
pub(super) fn alignment(
    states: &States,
    observations: &[f32],
    obs_dim: usize,
    ends: impl Fn(usize) -> bool,
) -> Alignment {
    let Some(skipped) = skipped_positions(states, obs_dim) else { return Alignment::Unknown };
    let rows = observations.len() / obs_dim;
    let (mut seen, mut before, mut after) = (0_usize, 0_usize, 0_usize);
    for row in (0..rows.saturating_sub(1)).filter(|&row| !ends(row)) {
        let shows = |of: usize| {
            let observation = &observations[of * obs_dim..][..obs_dim];
            let positions = states.qpos[row * states.nq..][..states.nq].iter().skip(skipped);
            let velocities = &states.qvel[row * states.nv..][..states.nv];
            observation.iter().zip(positions.chain(velocities)).all(|(&o, &s)| {
                let o = f64::from(o);
                (o - s).abs() <= TOLERANCE * (1.0 + s.abs()) || (o.abs() == 10.0 && s.abs() > 10.0 && o * s > 0.0)
            })
        };
        seen += 1;
        before += usize::from(shows(row));
        after += usize::from(shows(row + 1));
    }
    // Most rows must agree, not all: Maze2D's are stale after a goal.
    let most = |count: usize| 2 * count > seen;
    match (seen, most(before), most(after)) {
        (0, ..) => Alignment::Unknown,
        // A resting system shows the same state in both rows.
        (_, true, _) => Alignment::Before,
        (_, _, true) => Alignment::After,
        _ => Alignment::Neither,
    }
}

/// Moves states recorded after each step to the row that starts there. The state of an episode's first row is taken
/// from its observation (a root's x that is not observed becomes 0). Returns how many rows that were.
pub(super) fn move_to_start(
    states: &mut States,
    observations: &[f32],
    obs_dim: usize,
    ends: impl Fn(usize) -> bool,
) -> usize {
    let Some(skipped) = skipped_positions(states, obs_dim) else { return 0 };
    let (nq, nv) = (states.nq, states.nv);
    let mut rebuilt = 0;
    for row in (0..observations.len() / obs_dim).rev() {
        if row > 0 && !ends(row - 1) {
            states.qpos.copy_within((row - 1) * nq..row * nq, row * nq);
            states.qvel.copy_within((row - 1) * nv..row * nv, row * nv);
        } else {
            let observation = &observations[row * obs_dim..][..obs_dim];
            let (positions, velocities) = observation.split_at(nq - skipped);
            let qpos = &mut states.qpos[row * nq..][..nq];
            qpos[..skipped].fill(0.0);
            qpos[skipped..].iter_mut().zip(positions).for_each(|(q, &o)| *q = f64::from(o));
            states.qvel[row * nv..][..nv].iter_mut().zip(velocities).for_each(|(v, &o)| *v = f64::from(o));
            rebuilt += 1;
        }
    }
    rebuilt
}

/// Positions at the front that the observation leaves out: 0 or 1, or `None` where it is made of something else.
fn skipped_positions(states: &States, obs_dim: usize) -> Option<usize> {
    (states.nq + states.nv).checked_sub(obs_dim).filter(|&skipped| skipped <= 1 && skipped < states.nq)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A point that moves by its velocity, one row a step, in episodes of four rows.
    fn walk(rows: usize) -> (States, Vec<f32>) {
        let (mut states, mut observations) = (States { nq: 1, nv: 1, ..States::default() }, Vec::new());
        for row in 0..rows {
            let (q, v) = (10.0 * (row / 4) as f64 + (row % 4) as f64 * 0.5, 0.5);
            states.qpos.push(q);
            states.qvel.push(v);
            observations.extend([q as f32, v as f32]);
        }
        (states, observations)
    }

    fn ends(row: usize) -> bool {
        row % 4 == 3
    }

    #[test]
    fn states_of_their_own_row_are_left_alone() {
        let (states, observations) = walk(12);
        assert_eq!(alignment(&states, &observations, 2, ends), Alignment::Before);
    }

    #[test]
    fn states_after_the_step_are_moved_and_first_ones_rebuilt() {
        let (truth, observations) = walk(12);
        let mut after = truth.clone();
        after.qpos.iter_mut().for_each(|q| *q += 0.5);
        assert_eq!(alignment(&after, &observations, 2, ends), Alignment::After);
        assert_eq!(move_to_start(&mut after, &observations, 2, ends), 3);
        assert_eq!(after, truth);
    }

    #[test]
    fn states_of_something_else_and_of_unknown_observations_are_told_apart() {
        let (mut states, observations) = walk(12);
        assert_eq!(alignment(&states, &observations, 4, ends), Alignment::Unknown);
        states.qpos.iter_mut().for_each(|q| *q += 7.0);
        assert_eq!(alignment(&states, &observations, 2, ends), Alignment::Neither);
    }

    #[test]
    fn clipped_velocities_and_an_unobserved_root_agree() {
        let states = States { qpos: vec![5.0, 1.0, 6.0, 2.0], qvel: vec![-12.0, 3.0, 11.0, 3.0], nq: 2, nv: 2 };
        let observations = [1.0, -10.0, 3.0, 2.0, 10.0, 3.0];
        assert_eq!(alignment(&states, &observations, 3, |_| false), Alignment::Before);
    }
}
