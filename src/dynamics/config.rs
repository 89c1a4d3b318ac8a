//! Settings of the networks and of what they decide.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a map from numbers to numbers is learned: several networks side by side, which differ in their start and in the
/// batches they see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegressionConfig {
    /// Networks.
    pub members: usize,
    /// Numbers in each hidden layer, with SiLU behind each.
    pub hidden: Vec<i64>,
    /// Steps of Adam, at most. The learning rate falls linearly to zero over the second half.
    pub steps: u64,
    /// Transitions in a batch of each network.
    pub batch: usize,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Share of the transitions, in whole episodes, that nothing is learned from: they tell when to stop.
    pub held_out: f64,
    /// Steps between two looks at the held-out transitions; the best weights seen are kept.
    pub look_every: u64,
    /// Looks in a row without anything better after which learning stops.
    pub patience: u64,
}

impl Default for RegressionConfig {
    fn default() -> Self {
        Self {
            members: 5,
            hidden: vec![200, 200],
            steps: 4_000,
            batch: 256,
            learning_rate: 1e-3,
            held_out: 0.1,
            look_every: 200,
            patience: 8,
        }
    }
}

impl RegressionConfig {
    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        let rules = [
            ("members", self.members > 0, "must be at least 1"),
            ("hidden", self.hidden.iter().all(|&n| n > 0), "layers must have at least 1 number each"),
            ("steps", self.steps > 0, "must be at least 1"),
            ("batch", self.batch > 0, "must be at least 1"),
            ("learning_rate", self.learning_rate > 0.0 && self.learning_rate.is_finite(), "must be above 0"),
            ("held_out", self.held_out > 0.0 && self.held_out <= 0.5, "must be above 0 and at most 0.5"),
            ("look_every", self.look_every > 0, "must be at least 1"),
            ("patience", self.patience > 0, "must be at least 1"),
        ];
        match rules.iter().find(|rule| !rule.1) {
            Some((name, _, why)) => Err(Error::Config { name: format!("network.{name}"), why: (*why).into() }),
            None => Ok(()),
        }
    }
}

/// What an ensemble's doubt is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveOut {
    /// Single transitions: a window is taken apart where one is doubted. A part takes the memory of a whole window.
    #[default]
    Transitions,
    /// Whole windows, by their transitions' doubt on average.
    Windows,
}

/// Settings of [`ensemble_check`](super::ensemble_check).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleConfig {
    /// The networks.
    pub network: RegressionConfig,
    /// What is left out where it is doubted.
    pub leave_out: LeaveOut,
    /// Share of the real transitions or windows held out whose doubt is at most the threshold.
    pub quantile: f64,
    /// The threshold is that quantile times this: less rejects more.
    pub factor: f64,
    /// Weight of the members' disagreement beside the distance from their mean.
    pub disagreement: f64,
}

impl Default for EnsembleConfig {
    fn default() -> Self {
        let (network, leave_out) = Default::default();
        Self { network, leave_out, quantile: 0.99, factor: 1.0, disagreement: 1.0 }
    }
}

impl EnsembleConfig {
    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        let rules = [
            ("quantile", self.quantile > 0.0 && self.quantile <= 1.0, "must be above 0 and at most 1"),
            ("factor", self.factor > 0.0 && self.factor.is_finite(), "must be above 0"),
            ("disagreement", self.disagreement >= 0.0 && self.disagreement.is_finite(), "must be at least 0"),
        ];
        match rules.iter().find(|rule| !rule.1) {
            Some((name, _, why)) => Err(Error::Config { name: (*name).into(), why: (*why).into() }),
            None => Ok(()),
        }
    }
}

/// Settings of a [`RewardProxy`](super::RewardProxy).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardConfig {
    /// The networks; the reward is their mean.
    pub network: RegressionConfig,
    /// Whether the next state is seen too. The paper's proxy sees state and action.
    pub next_state: bool,
}

impl RewardConfig {
    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()
    }
}
