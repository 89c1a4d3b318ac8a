//! Sizes and bounds of a task's observations and actions.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a task's transitions look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Numbers in an observation (`O`).
    pub obs_dim: usize,
    /// Numbers in an action (`A`).
    pub action_dim: usize,
    /// Smallest allowed action, `[A]`.
    pub action_low: Vec<f32>,
    /// Largest allowed action, `[A]`.
    pub action_high: Vec<f32>,
}

impl Spec {
    /// A task with actions in `[-1, 1]`.
    pub fn new(obs_dim: usize, action_dim: usize) -> Self {
        Self { obs_dim, action_dim, action_low: vec![-1.0; action_dim], action_high: vec![1.0; action_dim] }
    }

    /// The same sizes with other action bounds; fails unless both have `A` entries and low is below high.
    pub fn with_action_bounds(mut self, low: Vec<f32>, high: Vec<f32>) -> Result<Self> {
        if low.len() != self.action_dim || high.len() != self.action_dim || low.iter().zip(&high).any(|(l, h)| l >= h) {
            return Err(Error::Invalid {
                what: "action bounds".into(),
                why: format!("expected {} pairs with low < high, got {low:?} and {high:?}", self.action_dim),
            });
        }
        (self.action_low, self.action_high) = (low, high);
        Ok(self)
    }

    /// Numbers in a window's row: observation, action, reward (`D = O + A + 1`).
    pub fn row_dim(&self) -> usize {
        self.obs_dim + self.action_dim + 1
    }
}
