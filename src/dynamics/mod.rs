//! Small networks that learn from a dataset what follows from an action, where no simulator can be asked.
//!
//! An [`Ensemble`] predicts the next state; where a generated window goes elsewhere, or where the ensemble's members
//! disagree, its transitions are doubted, and [`ensemble_check`] rejects those that are doubted more than real windows
//! are. A [`RewardProxy`] predicts the reward, and [`reward_check`] writes it over the generated one (appendix E.7 of the
//! paper). Both are [`Check`](crate::augment::Check)s for a buffer to be given.

mod config;
mod ensemble;
mod regression;
mod reward;
mod scale;
mod split;

pub use config::{EnsembleConfig, LeaveOut, RegressionConfig, RewardConfig};
pub use ensemble::{Doubt, Ensemble, ensemble_check};
pub use reward::{RewardProxy, reward_check};
