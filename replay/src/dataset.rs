//! An immutable offline dataset: columns of transitions and the episodes they form.

use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{Batch, Error, Replay, Result, Rng, Source, Spec, Trajectories, Transition};

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The task ended (its last transition is `terminated`).
    Terminated,
    /// A time limit cut it (its last transition is `truncated`).
    Truncated,
    /// The recording just stops: neither flag is set on its last transition.
    Unfinished,
}

/// Consecutive rows of a dataset that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Rows of the dataset.
    pub rows: Range<usize>,
    /// How it ended.
    pub ending: Ending,
}

/// Simulator states from which each transition started, for exact oracles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct States {
    /// Generalised positions, `[N, nq]`.
    pub qpos: Vec<f64>,
    /// Generalised velocities, `[N, nv]`.
    pub qvel: Vec<f64>,
    /// Numbers in a position.
    pub nq: usize,
    /// Numbers in a velocity.
    pub nv: usize,
}

/// Transitions in order, with their episodes. Cloning shares the columns.
#[derive(Clone, Debug)]
pub struct Dataset(Arc<Columns>);

#[derive(Debug, Default)]
struct Columns {
    spec: Spec,
    observations: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    next_observations: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
    states: Option<States>,
    episodes: Vec<Episode>,
}

impl Dataset {
    /// A builder to push transitions into.
    pub fn builder(spec: Spec) -> DatasetBuilder {
        DatasetBuilder { columns: Columns { spec, ..Columns::default() }, ends: Vec::new() }
    }

    /// Sizes and bounds of the transitions.
    pub fn spec(&self) -> &Spec {
        &self.0.spec
    }

    /// Transitions held (`N`).
    pub fn len(&self) -> usize {
        self.0.rewards.len()
    }

    /// Whether no transition is held; never true of a built dataset.
    pub fn is_empty(&self) -> bool {
        self.0.rewards.is_empty()
    }

    /// The episodes, in order; together they cover all rows.
    pub fn episodes(&self) -> &[Episode] {
        &self.0.episodes
    }

    /// All observations, `[N, O]`.
    pub fn observations(&self) -> &[f32] {
        &self.0.observations
    }

    /// All actions, `[N, A]`.
    pub fn actions(&self) -> &[f32] {
        &self.0.actions
    }

    /// All rewards, `[N]`.
    pub fn rewards(&self) -> &[f32] {
        &self.0.rewards
    }

    /// All next observations, `[N, O]`.
    pub fn next_observations(&self) -> &[f32] {
        &self.0.next_observations
    }

    /// Whether each transition ended the task, `[N]`.
    pub fn terminated(&self) -> &[bool] {
        &self.0.terminated
    }

    /// Whether each transition was cut by a time limit, `[N]`.
    pub fn truncated(&self) -> &[bool] {
        &self.0.truncated
    }

    /// Simulator states, where the file has them.
    pub fn states(&self) -> Option<&States> {
        self.0.states.as_ref()
    }

    /// Row `index`, borrowed.
    pub fn row(&self, index: usize) -> Transition<'_> {
        let (o, a) = (self.0.spec.obs_dim, self.0.spec.action_dim);
        Transition {
            observation: &self.0.observations[index * o..][..o],
            action: &self.0.actions[index * a..][..a],
            reward: self.0.rewards[index],
            next_observation: &self.0.next_observations[index * o..][..o],
            terminated: self.0.terminated[index],
            truncated: self.0.truncated[index],
        }
    }

    /// Undiscounted return of each episode.
    pub fn episode_returns(&self) -> Vec<f64> {
        let total = |e: &Episode| self.0.rewards[e.rows.clone()].iter().map(|&r| f64::from(r)).sum();
        self.0.episodes.iter().map(total).collect()
    }
}

impl Replay for Dataset {
    fn spec(&self) -> &Spec {
        &self.0.spec
    }

    fn len(&self) -> usize {
        self.0.rewards.len()
    }

    /// Uniform over all rows, with replacement.
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        batch.reset(&self.0.spec);
        if self.is_empty() {
            return Err(Error::Empty);
        }
        for _ in 0..rows {
            let index = rng.random_range(0..self.0.rewards.len());
            batch.push(self.row(index), Source::Real(index));
        }
        Ok(())
    }
}

impl Trajectories for Dataset {
    fn dataset(&self) -> Result<Dataset> {
        Ok(self.clone())
    }
}

/// Collects transitions in order and finds their episodes.
#[derive(Debug)]
pub struct DatasetBuilder {
    columns: Columns,
    ends: Vec<usize>,
}

impl DatasetBuilder {
    /// Appends a transition. An episode ends after it where it is terminated or truncated.
    ///
    /// Fails where its sizes are not the spec's or a number is not finite.
    pub fn push(&mut self, row: Transition<'_>) -> Result<()> {
        let c = &mut self.columns;
        let index = c.rewards.len();
        for (what, values, size) in [
            ("observation", row.observation, c.spec.obs_dim),
            ("action", row.action, c.spec.action_dim),
            ("reward", &[row.reward], 1),
            ("next observation", row.next_observation, c.spec.obs_dim),
        ] {
            if values.len() != size {
                let why = format!("expected {size} numbers, got {}", values.len());
                return Err(Error::Invalid { what: format!("{what} of transition {index}"), why });
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                return Err(Error::Invalid { what: format!("{what} of transition {index}"), why: format!("{bad} is not finite") });
            }
        }
        c.observations.extend_from_slice(row.observation);
        c.actions.extend_from_slice(row.action);
        c.rewards.push(row.reward);
        c.next_observations.extend_from_slice(row.next_observation);
        c.terminated.push(row.terminated);
        c.truncated.push(row.truncated);
        if row.terminated || row.truncated {
            self.end_episode();
        }
        Ok(())
    }

    /// Ends the current episode, if it has a transition, without a flag: what follows begins another.
    pub fn end_episode(&mut self) {
        let rows = self.columns.rewards.len();
        if rows > self.ends.last().copied().unwrap_or(0) {
            self.ends.push(rows);
        }
    }

    /// Adds the simulator states from which the transitions started; one row each.
    pub fn states(&mut self, states: States) -> &mut Self {
        self.columns.states = Some(states);
        self
    }

    /// The dataset; fails where it has no transition or its states are not one a row.
    pub fn build(mut self) -> Result<Dataset> {
        let rows = self.columns.rewards.len();
        if rows == 0 {
            return Err(Error::Empty);
        }
        if let Some(s) = &self.columns.states
            && (s.qpos.len() != rows * s.nq || s.qvel.len() != rows * s.nv)
        {
            let why = format!("{} positions of {} and {} velocities of {} for {rows} rows", s.qpos.len(), s.nq, s.qvel.len(), s.nv);
            return Err(Error::Invalid { what: "simulator states".into(), why });
        }
        self.end_episode();
        let mut start = 0;
        for end in self.ends {
            let last = end - 1;
            let ending = match (self.columns.terminated[last], self.columns.truncated[last]) {
                (true, _) => Ending::Terminated,
                (false, true) => Ending::Truncated,
                (false, false) => Ending::Unfinished,
            };
            self.columns.episodes.push(Episode { rows: start..end, ending });
            start = end;
        }
        Ok(Dataset(Arc::new(self.columns)))
    }
}
