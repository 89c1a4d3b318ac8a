//! Simulator states of D4RL files: read, held against the observations, and moved to the start of their transitions.

use crate::formats::Oddity;
use crate::formats::h5::Folder;
use crate::{Result, States};

/// Contexts by their names below `infos`: our own, the place of Adroit's door and the pose its pen is to have.
/// `goal` is none of them: it is where the collector of a maze was heading, not what the rewards are for.
const CONTEXTS: [&str; 3] = ["context", "door_body_pos", "desired_orien"];

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

/// The states of `rows` rows as the file has them: positions and velocities, contexts, both or nothing.
pub(super) fn read(root: &Folder<'_>, rows: usize, oddities: &mut Vec<Oddity>) -> Result<Option<States>> {
    let mut ignore = |key: &str, why: &str| oddities.push(Oddity::Ignored { key: key.into(), why: why.into() });
    if !root.has("infos") {
        return Ok(None);
    }
    let Some(infos) = root.folder("infos") else {
        ignore("infos", "it is a dataset, not a group");
        return Ok(None);
    };
    let mut states = States::default();
    if infos.has("qpos") && infos.has("qvel") {
        let (qpos, qvel) = (infos.column("qpos")?, infos.column("qvel")?);
        let ((q_rows, nq), (v_rows, nv)) = (qpos.table()?, qvel.table()?);
        if (q_rows, v_rows) == (rows, rows) {
            (states.qpos, states.qvel, states.nq, states.nv) = (qpos.read_f64(nq)?, qvel.read_f64(nv)?, nq, nv);
        } else {
            ignore("infos/qpos", "it is not one a row");
        }
    }
    if let Some(name) = CONTEXTS.into_iter().find(|name| infos.has(name)) {
        let context = infos.column(name)?;
        let (found, nc) = context.table()?;
        if found == rows {
            (states.contexts, states.nc) = (context.read_f64(nc)?, nc);
        } else {
            ignore(&format!("infos/{name}"), "it is not one a row");
        }
    }
    if infos.has("goal") {
        ignore("infos/goal", "it is where the collector was heading, not what the rewards are for");
    }
    Ok((states.has_positions() || states.nc > 0).then_some(states))
}

/// Observations that are all positions and velocities, or all but the first position (gym-mujoco leaves out the root's
/// x), held against the states; velocities may be clipped to 10 there.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    states: &'a States,
    observations: &'a [f32],
    obs_dim: usize,
    /// Positions at the front that the observation leaves out: 0 or 1.
    skipped: usize,
}

impl<'a> Shown<'a> {
    /// `None` where the observations are made of something else.
    pub(super) fn new(states: &'a States, observations: &'a [f32], obs_dim: usize) -> Option<Self> {
        let skipped = skipped_positions(states, obs_dim)?;
        Some(Self { states, observations, obs_dim, skipped })
    }

    /// Whether observations are whole states.
    pub(super) fn is_whole(&self) -> bool {
        self.skipped == 0
    }

    /// Whether the observation of row `of` shows the state of row `state`.
    pub(super) fn shows(&self, of: usize, state: usize) -> bool {
        let observation = &self.observations[of * self.obs_dim..][..self.obs_dim];
        observation.iter().zip(self.numbers(state)).all(|(&o, s)| {
            let o = f64::from(o);
            (o - s).abs() <= TOLERANCE * (1.0 + s.abs()) || (o.abs() == 10.0 && s.abs() > 10.0 && o * s > 0.0)
        })
    }

    /// Whether row `row`, whose state is that after its step, leads to the row after it.
    pub(super) fn leads_on(&self, row: usize) -> bool {
        row + 1 < self.rows() && self.shows(row + 1, row)
    }

    /// What an observation of the state of row `row` is.
    pub(super) fn numbers(&self, row: usize) -> impl Iterator<Item = f64> {
        let States { qpos, qvel, nq, nv, .. } = self.states;
        let positions = qpos[row * nq..][..*nq].iter().skip(self.skipped);
        positions.chain(&qvel[row * nv..][..*nv]).copied()
    }

    fn rows(&self) -> usize {
        self.observations.len() / self.obs_dim
    }

    /// Next observations of states recorded after each step: those of the next rows where they follow, else the states
    /// themselves. Also returns the rows whose state no row follows.
    pub(super) fn successors(&self) -> (Vec<f32>, Vec<usize>) {
        let (mut next, mut last) = (Vec::with_capacity(self.observations.len()), Vec::new());
        for row in 0..self.rows() {
            if self.leads_on(row) {
                next.extend_from_slice(&self.observations[(row + 1) * self.obs_dim..][..self.obs_dim]);
            } else {
                next.extend(self.numbers(row).map(|number| number as f32));
                last.push(row);
            }
        }
        (next, last)
    }

    /// Finds the alignment from the rows that have a successor in their episode.
    pub(super) fn alignment(&self, ends: impl Fn(usize) -> bool) -> Alignment {
        let (mut seen, mut before, mut after) = (0_usize, 0_usize, 0_usize);
        for row in (0..self.rows().saturating_sub(1)).filter(|&row| !ends(row)) {
            seen += 1;
            before += usize::from(self.shows(row, row));
            after += usize::from(self.leads_on(row));
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
}

/// Moves states recorded after each step to the row that starts there. The state of a row that follows none is taken
/// from its observation (a root's x that is not observed becomes 0). Returns how many rows that were.
pub(super) fn move_to_start(states: &mut States, observations: &[f32], obs_dim: usize) -> usize {
    let Some(shown) = Shown::new(states, observations, obs_dim) else { return 0 };
    let (skipped, rows) = (shown.skipped, shown.rows());
    let follows: Vec<bool> = (0..rows).map(|row| row > 0 && shown.leads_on(row - 1)).collect();
    let (nq, nv) = (states.nq, states.nv);
    for row in (0..rows).rev() {
        if follows[row] {
            states.qpos.copy_within((row - 1) * nq..row * nq, row * nq);
            states.qvel.copy_within((row - 1) * nv..row * nv, row * nv);
        } else {
            let observation = &observations[row * obs_dim..][..obs_dim];
            let (positions, velocities) = observation.split_at(nq - skipped);
            let qpos = &mut states.qpos[row * nq..][..nq];
            qpos[..skipped].fill(0.0);
            qpos[skipped..].iter_mut().zip(positions).for_each(|(q, &o)| *q = f64::from(o));
            states.qvel[row * nv..][..nv].iter_mut().zip(velocities).for_each(|(v, &o)| *v = f64::from(o));
        }
    }
    follows.iter().filter(|&&follows| !follows).count()
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

    fn alignment(states: &States, observations: &[f32], obs_dim: usize) -> Alignment {
        Shown::new(states, observations, obs_dim).map_or(Alignment::Unknown, |shown| shown.alignment(ends))
    }

    #[test]
    fn states_of_their_own_row_are_left_alone() {
        let (states, observations) = walk(12);
        assert_eq!(alignment(&states, &observations, 2), Alignment::Before);
    }

    #[test]
    fn states_after_the_step_are_next_observations_then_moved_and_first_ones_rebuilt() {
        let (truth, observations) = walk(12);
        let mut after = truth.clone();
        after.qpos.iter_mut().for_each(|q| *q += 0.5);
        assert_eq!(alignment(&after, &observations, 2), Alignment::After);
        let (next, last) = Shown::new(&after, &observations, 2).unwrap().successors();
        assert_eq!(last, [3, 7, 11]);
        assert!(next.iter().step_by(2).zip(observations.iter().step_by(2)).all(|(next, from)| next - from == 0.5));
        assert_eq!(move_to_start(&mut after, &observations, 2), 3);
        assert_eq!(after, truth);
    }

    #[test]
    fn states_of_something_else_and_of_unknown_observations_are_told_apart() {
        let (mut states, observations) = walk(12);
        assert_eq!(alignment(&states, &observations, 4), Alignment::Unknown);
        states.qpos.iter_mut().for_each(|q| *q += 7.0);
        assert_eq!(alignment(&states, &observations, 2), Alignment::Neither);
    }

    #[test]
    fn clipped_velocities_and_an_unobserved_root_agree() {
        let (qpos, qvel) = (vec![5.0, 1.0, 6.0, 2.0], vec![-12.0, 3.0, 11.0, 3.0]);
        let states = States { qpos, qvel, nq: 2, nv: 2, ..States::default() };
        let observations = [1.0, -10.0, 3.0, 2.0, 10.0, 3.0];
        assert_eq!(alignment(&states, &observations, 3), Alignment::Before);
    }
}
