//! Sampled transitions, as columns.

use crate::Spec;

/// Where a row of a batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Row of the real data.
    Real(usize),
    /// Transition of a generated window: the window's number since the pool began, and the step in it.
    Generated {
        /// Number of the window since the pool began.
        window: u64,
        /// Step in the window.
        step: u32,
    },
}

/// One transition, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition<'a> {
    /// What was seen, `[O]`.
    pub observation: &'a [f32],
    /// What was done, `[A]`.
    pub action: &'a [f32],
    /// What was paid.
    pub reward: f32,
    /// What was seen next, `[O]`.
    pub next_observation: &'a [f32],
    /// Whether the task ended in the next state (its value is zero).
    pub terminated: bool,
    /// Whether the episode was cut there (its value is not zero).
    pub truncated: bool,
}

/// Sampled transitions as columns, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    obs_dim: usize,
    action_dim: usize,
    /// `[B, O]`.
    pub observations: Vec<f32>,
    /// `[B, A]`.
    pub actions: Vec<f32>,
    /// `[B]`.
    pub rewards: Vec<f32>,
    /// `[B, O]`.
    pub next_observations: Vec<f32>,
    /// `[B]`.
    pub terminated: Vec<bool>,
    /// `[B]`.
    pub truncated: Vec<bool>,
    /// `[B]`.
    pub sources: Vec<Source>,
}

impl Batch {
    /// An empty batch with room for `rows` transitions.
    pub fn with_capacity(spec: &Spec, rows: usize) -> Self {
        Self {
            obs_dim: spec.obs_dim,
            action_dim: spec.action_dim,
            observations: Vec::with_capacity(rows * spec.obs_dim),
            actions: Vec::with_capacity(rows * spec.action_dim),
            rewards: Vec::with_capacity(rows),
            next_observations: Vec::with_capacity(rows * spec.obs_dim),
            terminated: Vec::with_capacity(rows),
            truncated: Vec::with_capacity(rows),
            sources: Vec::with_capacity(rows),
        }
    }

    /// Rows held (`B`).
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Numbers in an observation (`O`).
    pub fn obs_dim(&self) -> usize {
        self.obs_dim
    }

    /// Numbers in an action (`A`).
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Empties the batch for transitions of `spec`, keeping its memory.
    pub fn reset(&mut self, spec: &Spec) {
        (self.obs_dim, self.action_dim) = (spec.obs_dim, spec.action_dim);
        self.observations.clear();
        self.actions.clear();
        self.rewards.clear();
        self.next_observations.clear();
        self.terminated.clear();
        self.truncated.clear();
        self.sources.clear();
    }

    /// Makes room for `rows` more transitions.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.observations.reserve(rows * self.obs_dim);
        self.actions.reserve(rows * self.action_dim);
        self.rewards.reserve(rows);
        self.next_observations.reserve(rows * self.obs_dim);
        self.terminated.reserve(rows);
        self.truncated.reserve(rows);
        self.sources.reserve(rows);
    }

    /// Appends one transition.
    ///
    /// # Panics
    /// If the observation or action is not of the batch's size.
    #[inline]
    pub fn push(&mut self, row: Transition<'_>, source: Source) {
        assert_eq!(
            (row.observation.len(), row.action.len(), row.next_observation.len()),
            (self.obs_dim, self.action_dim, self.obs_dim),
            "sizes of observation, action and next observation"
        );
        self.observations.extend_from_slice(row.observation);
        self.actions.extend_from_slice(row.action);
        self.rewards.push(row.reward);
        self.next_observations.extend_from_slice(row.next_observation);
        self.terminated.push(row.terminated);
        self.truncated.push(row.truncated);
        self.sources.push(source);
    }

    /// Row `index`, borrowed.
    pub fn row(&self, index: usize) -> Transition<'_> {
        let (o, a) = (self.obs_dim, self.action_dim);
        Transition {
            observation: &self.observations[index * o..][..o],
            action: &self.actions[index * a..][..a],
            reward: self.rewards[index],
            next_observation: &self.next_observations[index * o..][..o],
            terminated: self.terminated[index],
            truncated: self.truncated[index],
        }
    }
}
