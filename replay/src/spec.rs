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
        let ordered = low.iter().zip(&high).all(|(l, h)| l < h); // false for NaN, too
        if low.len() != self.action_dim || high.len() != self.action_dim || !ordered {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_must_fit_and_be_ordered() {
        let spec = || Spec::new(3, 2);
        assert_eq!((spec().row_dim(), spec().action_low), (6, vec![-1.0, -1.0]));
        let bounded = spec().with_action_bounds(vec![0.0, -2.0], vec![1.0, 2.0]).unwrap();
        assert_eq!(bounded.action_high, [1.0, 2.0]);
        for (low, high) in
            [(vec![0.0], vec![1.0]), (vec![0.0, 1.0], vec![1.0, 1.0]), (vec![f32::NAN, 0.0], vec![1.0, 1.0])]
        {
            assert!(spec().with_action_bounds(low, high).is_err());
        }
    }
}
