//! What agents of border are trained on.

use border_core::TransitionBatch;
use replay::Source;

/// A batch of `B` transitions whose observations and actions are of an agent's own types.
///
/// Terminated and truncated stay apart. There are no indices and no weights: our buffers have no priorities, and
/// generated rows are no rows of the data; [`sources`](Self::sources) tells them apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Transitions<O, A = O> {
    /// `[B, O]`.
    pub observations: O,
    /// `[B, A]`.
    pub actions: A,
    /// `[B, O]`.
    pub next_observations: O,
    /// `[B]`.
    pub rewards: Vec<f32>,
    /// Whether the task ended in the next state, 0 or 1, `[B]`.
    pub terminated: Vec<i8>,
    /// Whether the episode was cut there, 0 or 1, `[B]`.
    pub truncated: Vec<i8>,
    /// Where each row comes from, `[B]`.
    pub sources: Vec<Source>,
}

impl<O, A> TransitionBatch for Transitions<O, A> {
    type ObsBatch = O;
    type ActBatch = A;

    fn unpack(self) -> (O, A, O, Vec<f32>, Vec<i8>, Vec<i8>, Option<Vec<usize>>, Option<Vec<f32>>) {
        let Self { observations, actions, next_observations, rewards, terminated, truncated, sources: _ } = self;
        (observations, actions, next_observations, rewards, terminated, truncated, None, None)
    }

    fn len(&self) -> usize {
        self.rewards.len()
    }

    fn obs(&self) -> &O {
        &self.observations
    }

    fn act(&self) -> &A {
        &self.actions
    }
}

/// Flags as border has them.
pub(super) fn flags(flags: Vec<bool>) -> Vec<i8> {
    flags.into_iter().map(i8::from).collect()
}
