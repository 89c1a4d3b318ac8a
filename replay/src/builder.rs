//! Making a dataset one transition at a time.

use crate::{Columns, Dataset, Error, Result, Spec, States, Transition};

/// Collects transitions in order and finds their episodes.
#[derive(Debug)]
pub struct DatasetBuilder {
    spec: Spec,
    columns: Columns,
    /// Rows before which [`DatasetBuilder::end_episode`] was called.
    breaks: Vec<usize>,
    states: Option<States>,
}

impl DatasetBuilder {
    /// A builder of transitions of `spec`.
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, columns: Columns::default(), breaks: Vec::new(), states: None }
    }

    /// Makes room for `rows` more transitions, which is faster than to grow by and by.
    pub fn reserve(&mut self, rows: usize) {
        self.columns.reserve(&self.spec, rows);
    }

    /// Appends a transition. An episode ends after it where it is terminated or truncated.
    ///
    /// Fails where its sizes are not the spec's or a number is not finite; the builder is unchanged then.
    pub fn push(&mut self, row: Transition<'_>) -> Result<()> {
        row.check(&self.spec, self.len())?;
        self.columns.push(row);
        Ok(())
    }

    /// Appends an episode of another dataset, as an episode of its own. Its simulator states are left behind.
    ///
    /// # Errors
    /// Where its sizes are not the spec's.
    ///
    /// # Panics
    /// If `dataset` has no such episode.
    pub fn push_episode(&mut self, dataset: &Dataset, number: usize) -> Result<()> {
        let episode = &dataset.episodes()[number];
        self.end_episode();
        for row in episode.rows.clone() {
            self.push(dataset.row(row))?;
        }
        self.end_episode();
        Ok(())
    }

    /// Transitions collected.
    pub fn len(&self) -> usize {
        self.columns.rewards.len()
    }

    /// Whether no transition was collected.
    pub fn is_empty(&self) -> bool {
        self.columns.rewards.is_empty()
    }

    /// Ends the current episode, if it has a transition, without a flag: what follows begins another.
    pub fn end_episode(&mut self) {
        self.breaks.push(self.len());
    }

    /// Adds the simulator states from which the transitions started; one row each.
    pub fn states(&mut self, states: States) -> &mut Self {
        self.states = Some(states);
        self
    }

    /// The dataset; fails where it has no transition or its states are not one a row.
    pub fn build(self) -> Result<Dataset> {
        Dataset::from_columns(self.spec, self.columns, &self.breaks, self.states)
    }
}

impl Transition<'_> {
    /// Fails where the sizes are not the spec's or a number is not finite; `index` names the transition.
    pub(crate) fn check(&self, spec: &Spec, index: usize) -> Result<()> {
        for (what, values, size) in [
            ("observation", self.observation, spec.obs_dim),
            ("action", self.action, spec.action_dim),
            ("reward", &[self.reward], 1),
            ("next observation", self.next_observation, spec.obs_dim),
        ] {
            let invalid = |why| Err(Error::Invalid { what: format!("{what} of transition {index}"), why });
            if values.len() != size {
                return invalid(format!("expected {size} numbers, got {}", values.len()));
            }
            if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                return invalid(format!("{bad} is not finite"));
            }
        }
        Ok(())
    }
}
