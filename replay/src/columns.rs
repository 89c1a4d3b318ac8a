//! Transitions as owned columns.

use crate::{Error, Result, Spec, Transition, ask_for, prefer_large_pages};

/// Transitions in order as owned columns, row-major: what a [`Dataset`](crate::Dataset) is made from without a copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// `[N, O]`.
    pub observations: Vec<f32>,
    /// `[N, A]`.
    pub actions: Vec<f32>,
    /// `[N]`.
    pub rewards: Vec<f32>,
    /// `[N, O]`.
    pub next_observations: Vec<f32>,
    /// `[N]`.
    pub terminated: Vec<bool>,
    /// `[N]`.
    pub truncated: Vec<bool>,
}

impl Columns {
    /// No rows yet, with room for `rows` transitions of `spec`.
    pub fn with_capacity(spec: &Spec, rows: usize) -> Self {
        let mut columns = Self::default();
        columns.reserve(spec, rows);
        columns
    }

    /// Makes room for `rows` more transitions of `spec`.
    pub(crate) fn reserve(&mut self, spec: &Spec, rows: usize) {
        self.observations.reserve(rows * spec.obs_dim);
        self.actions.reserve(rows * spec.action_dim);
        self.rewards.reserve(rows);
        self.next_observations.reserve(rows * spec.obs_dim);
        self.terminated.reserve(rows);
        self.truncated.reserve(rows);
        // Before they are touched.
        self.prefer_large_pages();
    }

    /// Whether another row does not fit into the room there is.
    pub(crate) fn is_full(&self) -> bool {
        self.rewards.len() == self.rewards.capacity()
    }

    /// Has the columns of numbers lie in large pages, where there are any.
    pub(crate) fn prefer_large_pages(&self) {
        for column in [&self.observations, &self.actions, &self.rewards, &self.next_observations] {
            prefer_large_pages(column);
        }
    }

    /// Rows held (`N`).
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Appends one row, whatever its sizes.
    pub fn push(&mut self, row: Transition<'_>) {
        self.observations.extend_from_slice(row.observation);
        self.actions.extend_from_slice(row.action);
        self.rewards.push(row.reward);
        self.next_observations.extend_from_slice(row.next_observation);
        self.terminated.push(row.terminated);
        self.truncated.push(row.truncated);
    }

    /// Writes a row of `spec`'s sizes over row `index`.
    pub(crate) fn replace(&mut self, spec: &Spec, index: usize, row: Transition<'_>) {
        let (o, a) = (spec.obs_dim, spec.action_dim);
        self.observations[index * o..][..o].copy_from_slice(row.observation);
        self.actions[index * a..][..a].copy_from_slice(row.action);
        self.rewards[index] = row.reward;
        self.next_observations[index * o..][..o].copy_from_slice(row.next_observation);
        self.terminated[index] = row.terminated;
        self.truncated[index] = row.truncated;
    }

    /// Row `index` of columns of `spec`, borrowed.
    #[inline]
    pub(crate) fn row(&self, spec: &Spec, index: usize) -> Transition<'_> {
        let (terminated, truncated) = (self.terminated[index], self.truncated[index]);
        Transition { terminated, truncated, ..self.row_inside(spec, index) }
    }

    /// The same for a row that is known to have neither flag, which saves two accesses to memory.
    #[inline]
    pub(crate) fn row_inside(&self, spec: &Spec, index: usize) -> Transition<'_> {
        let (o, a) = (spec.obs_dim, spec.action_dim);
        Transition {
            observation: &self.observations[index * o..][..o],
            action: &self.actions[index * a..][..a],
            reward: self.rewards[index],
            next_observation: &self.next_observations[index * o..][..o],
            terminated: false,
            truncated: false,
        }
    }

    /// Asks for the memory of row `index` of columns of `spec`.
    #[inline]
    pub(crate) fn ask_for(&self, spec: &Spec, index: usize) {
        self.ask_for_inside(spec, index);
        ask_for(&self.terminated[index..=index]);
        ask_for(&self.truncated[index..=index]);
    }

    /// The same without the flags.
    #[inline]
    pub(crate) fn ask_for_inside(&self, spec: &Spec, index: usize) {
        let (o, a) = (spec.obs_dim, spec.action_dim);
        ask_for(&self.observations[index * o..][..o]);
        ask_for(&self.actions[index * a..][..a]);
        ask_for(&self.next_observations[index * o..][..o]);
        ask_for(&self.rewards[index..=index]);
    }

    /// Fails unless there is a row, all columns have as many rows of `spec`'s sizes, and all numbers are finite.
    pub(crate) fn check(&self, spec: &Spec) -> Result<()> {
        let rows = self.len();
        if rows == 0 {
            return Err(Error::Empty);
        }
        for (what, values, width) in [
            ("observations", &self.observations, spec.obs_dim),
            ("actions", &self.actions, spec.action_dim),
            ("rewards", &self.rewards, 1),
            ("next observations", &self.next_observations, spec.obs_dim),
        ] {
            if values.len() != rows * width {
                let why = format!("expected {rows} rows of {width} numbers, got {} numbers", values.len());
                return Err(Error::Invalid { what: what.into(), why });
            }
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                let (row, value) = (at / width, values[at]);
                return Err(Error::Invalid {
                    what: format!("{what}, row {row}"),
                    why: format!("{value} is not finite"),
                });
            }
        }
        for (what, flags) in [("terminated", &self.terminated), ("truncated", &self.truncated)] {
            if flags.len() != rows {
                let why = format!("expected {rows} flags, got {}", flags.len());
                return Err(Error::Invalid { what: what.into(), why });
            }
        }
        Ok(())
    }
}
