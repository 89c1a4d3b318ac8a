//! How good transitions and agents are: the paper's quality metrics, scores, the statistics behind them, and their tables
//! and pictures.
//!
//! [`evaluate`] runs an agent's policy in its task, [`evaluate_in`] in any other; [`references`] and [`OverSeeds`] make
//! scores of what it returned.
//!
//! The flow: a [`QualityMeter`] knows the dataset, a [`Simulator`] of the task and the settings. It takes
//! [`Transitions`] (windows, a batch, or rows of a dataset) and gives [`Measured`] values: one [`Quality`] to report,
//! and the per-transition and per-window numbers it was made from. Several named qualities form a [`QualityReport`],
//! which prints as a [`Table`]; measured values are drawn by a [`Picture`].
//!
//! | metric | paper | here |
//! |---|---|---|
//! | dynamic MSE | eq. (11), (14) | [`Quality::dynamic_mse`] |
//! | oracle reward | D.3 | [`Quality::oracle_reward`] |
//! | novelty | eq. (12), (15) | [`Novelty`] |
//! | correlation of asked and generated return | Fig. 7 | [`Quality::asked_vs_generated`] |
//! | distribution of rewards | Fig. 8 | [`Picture::of_quality`] |
//! | Welch's t-test | Table 20 | [`welch()`] |

mod axis;
mod curves;
mod error;
mod meter;
mod nearest;
mod novelty;
mod paired;
mod picture;
mod quality;
mod radar;
mod ranking;
mod report;
mod rollout;
mod score;
mod simulator;
mod spread;
mod stats;
mod svg;
mod table;
mod transitions;
mod ways;
mod welch;

pub use curves::{Curve, Level};
pub use error::{Error, Result};
pub use meter::QualityMeter;
pub use nearest::{Nearest, NearestIndex, SearchOptions, nearest};
pub use novelty::{Novelty, NoveltyConfig, NoveltyScale, NoveltyValues, novelty, spacing};
pub use paired::{Change, DynamicsChange};
pub use picture::{Panel, Picture, Points, Series};
pub use quality::{
    Excluded, Judged, Measured, Quality, QualityConfig, RewardError, Successor, Terminals, WindowReturn,
};
pub use radar::{Spoke, SpokeScale};
pub use ranking::{Kept, RejectionCurve, auc, worst};
pub use report::{Floor, NamedQuality, QualityReport};
pub use rollout::{Evaluation, evaluate, evaluate_in};
pub(crate) use score::number;
pub use score::{OverSeeds, references};
pub use simulator::{Questions, Simulator, SimulatorError, Truth};
pub use spread::spread;
pub use stats::{Bootstrap, Interval, Summary, mean, pearson, quantile, standard_deviation};
pub(crate) use svg::{dark_rules, escaped};
pub use table::Table;
pub use transitions::Transitions;
pub use ways::Ways;
pub use welch::{Moments, Welch, student_t_tail, welch};
