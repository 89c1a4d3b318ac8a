//! The quality of a set of transitions: are they physical, are they good, do they know how good they are?

use serde::{Deserialize, Serialize};

use super::{Bootstrap, Interval, Novelty, NoveltyConfig, Summary};

/// How quality is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Least standard deviation that errors of a dimension are divided by, so that a dimension that is constant in
    /// the data does not decide the dynamic MSE. In the locomotion tasks every dimension varies more.
    pub std_floor: f64,
    /// Intervals over windows.
    pub bootstrap: Bootstrap,
    /// Seed of the intervals.
    pub seed: u64,
    /// Novelty; with `most_queries` zero it is not measured.
    pub novelty: NoveltyConfig,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { std_floor: 1e-3, bootstrap: Bootstrap::default(), seed: 0, novelty: NoveltyConfig::default() }
    }
}

/// Transitions that no figure includes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// A number of the transition is not finite.
    pub not_finite: usize,
    /// The simulator state could not be rebuilt.
    pub not_rebuilt: usize,
    /// The simulated next observation or reward is not finite.
    pub diverged: usize,
}

impl Excluded {
    /// All of them.
    pub fn total(&self) -> usize {
        self.not_finite + self.not_rebuilt + self.diverged
    }
}

/// Difference of a set's rewards to the oracle's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RewardError {
    /// Mean of the absolute differences.
    pub mean_absolute: f64,
    /// Mean difference: positive where the set promises too much.
    pub bias: f64,
    /// Root of the mean squared difference.
    pub rmse: f64,
}

/// Agreement of a set's `terminated` flags with the oracle's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminals {
    /// Both say that the task ends.
    pub both: usize,
    /// Only the set says so: an invented end.
    pub only_data: usize,
    /// Only the oracle says so: a missed end.
    pub only_oracle: usize,
    /// Both say that it goes on.
    pub neither: usize,
}

impl Terminals {
    /// Share of transitions on which they agree.
    pub fn agreement(&self) -> f64 {
        let agreed = self.both + self.neither;
        agreed as f64 / (agreed + self.only_data + self.only_oracle) as f64
    }
}

/// The quality of a set of transitions, as reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Transitions in the set.
    pub transitions: usize,
    /// Windows they belong to.
    pub windows: usize,
    /// Transitions left out of all figures below.
    pub excluded: Excluded,
    /// Numbers in an observation (`O`).
    pub obs_dim: usize,
    /// Dynamic MSE (eq. 11 and 14), one value a transition: squared error of the next observation in units of the
    /// dataset's standard deviation, the **mean** over dimensions.
    ///
    /// The equations leave open whether dimensions are averaged or summed. The mean is what the paper's figures
    /// (0.0085 on HalfCheetah) fit; [`dynamic_squared_error`](Self::dynamic_squared_error) is the sum.
    pub dynamic_mse: Summary,
    /// Bootstrap interval over windows of the mean dynamic MSE; absent for fewer than two windows.
    pub dynamic_mse_interval: Option<Interval>,
    /// True reward of each transition (appendix D.3).
    pub oracle_reward: Summary,
    /// Bootstrap interval over windows of the mean oracle reward; absent for fewer than two windows.
    pub oracle_reward_interval: Option<Interval>,
    /// Reward that each transition claims.
    pub reward: Summary,
    /// Claimed against true reward.
    pub reward_error: RewardError,
    /// Sum of claimed rewards over each window; absent where windows are not complete.
    pub window_return: Option<Summary>,
    /// Sum of true rewards over each window all of whose transitions could be judged.
    pub oracle_window_return: Option<Summary>,
    /// Return that each window was asked to have; absent where nothing was asked.
    #[serde(default)]
    pub asked_return: Option<Summary>,
    /// Pearson's correlation of the asked return with the sum of claimed rewards (Fig. 7); absent where nothing was
    /// asked or one side does not vary.
    pub asked_vs_generated: Option<f64>,
    /// The same with the sum of true rewards.
    pub asked_vs_oracle: Option<f64>,
    /// Agreement of the `terminated` flags.
    pub terminals: Terminals,
    /// Novelty, where measured.
    pub novelty: Option<Novelty>,
}

impl Quality {
    /// Mean squared error of the next observation, **summed** over dimensions: `O` times the mean dynamic MSE.
    pub fn dynamic_squared_error(&self) -> f64 {
        self.dynamic_mse.mean * self.obs_dim as f64
    }
}

/// What the oracle says of one transition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Squared error of the next observation, normalised, the mean over dimensions.
    pub dynamic_mse: f64,
    /// True reward.
    pub oracle_reward: f64,
    /// Whether the task really ends there.
    pub oracle_terminated: bool,
}

/// What the oracle says of one transition, and what really follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// How the transition compares.
    pub judged: Judged,
    /// The true next observation, `[O]`.
    pub next_observation: Vec<f32>,
}

/// Returns of one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowReturn {
    /// The return it was asked to have.
    pub asked: Option<f64>,
    /// Sum of the rewards it claims.
    pub claimed: f64,
    /// Sum of the true rewards; absent where a transition could not be judged.
    pub oracle: Option<f64>,
}

/// A quality and the values it was made from.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures to report.
    pub quality: Quality,
    /// For each transition of the set, in order; absent where it is excluded.
    pub transitions: Vec<Option<Judged>>,
    /// Claimed reward of each transition.
    pub rewards: Vec<f32>,
    /// For each window, where windows are complete and all their rewards are finite.
    pub window_returns: Vec<WindowReturn>,
}

impl Measured {
    /// The true rewards of all transitions that could be judged.
    pub fn oracle_rewards(&self) -> Vec<f64> {
        self.transitions.iter().flatten().map(|j| j.oracle_reward).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_the_share_of_equal_flags() {
        let terminals = Terminals { both: 3, only_data: 1, only_oracle: 2, neither: 14 };
        assert_eq!(terminals.agreement(), 0.85);
    }
}
