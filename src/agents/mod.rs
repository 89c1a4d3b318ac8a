//! Offline reinforcement learning on any buffer, one paper a file.
//!
//! An [`AgentConfig`] builds an [`Agent`]; [`Agent::update`] samples from a buffer and makes one gradient step of each
//! network that is due; [`Agent::actor`] is the policy to evaluate. Agents know no task and no augmentation: a
//! [`Dataset`], a [`GtaBuffer`](crate::GtaBuffer) and a buffer of your own are the same to them.
//!
//! Inside, all is in the agent's units: observations normalised by the real data's mean and standard deviation,
//! actions in `[-1, 1]`, rewards scaled as the configuration says. Every random number comes from the fork of the
//! agent's seed that the update's number gives, so an update depends on nothing but the state before it.
//!
//! Letters in shapes: `B` rows of a batch, `O` observation size, `A` action size, `N` critics.

mod bc;
mod cql;
mod dt;
#[cfg(test)]
mod golden;
mod iql;
mod learner;
mod mcq;
mod metrics;
mod network;
mod noise;
mod policy;
mod rebrac;
mod rows;
mod settings;
mod squashed;
mod td3_bc;
mod trained;
mod twin_delayed;
mod units;

use std::path::Path;

use replay::{Dataset, Replay, Seed, Trajectories};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::{Error, Result};

pub use bc::BcConfig;
pub use cql::CqlConfig;
pub use dt::{Activation, DtConfig, SequenceLoss, TransformerConfig, WindowReturns};
pub use iql::{IqlConfig, IqlForm};
pub use mcq::McqConfig;
pub use policy::MlpActor;
pub use rebrac::RebracConfig;
pub use td3_bc::Td3BcConfig;
pub use units::RewardScale;

/// What agents learn from: any buffer that knows its episodes.
pub trait Experience: Replay + Trajectories {}

impl<R: Replay + Trajectories + ?Sized> Experience for R {}

/// An offline RL algorithm in the middle of its training.
///
/// It owns its networks, optimisers and counters, and no thread.
pub trait Agent {
    /// The algorithm, as in [`AgentConfig`]'s `kind`: `"td3_bc"`, `"iql"`, ...
    fn name(&self) -> &'static str;

    /// Updates made since the beginning.
    fn updates(&self) -> u64;

    /// Samples what it needs from `data` and makes one update.
    ///
    /// # Errors
    /// What sampling fails with; [`Error::Diverged`], naming step and quantity, where a loss is no longer finite or a
    /// value estimate is beyond what the data's rewards could ever add up to. The numbers are looked at every
    /// `check_every` updates (see the configurations), because on a GPU each look is a wait.
    fn update(&mut self, data: &mut dyn Experience) -> Result<()>;

    /// Means of losses and value estimates since the last call, by name, and the largest absolute value estimate.
    ///
    /// They are not part of what [`save`](Self::save) writes: to have the same curves after going on, call this
    /// before saving.
    fn metrics(&mut self) -> Result<Vec<(&'static str, f64)>>;

    /// The evaluation policy as it is now, with weights of its own.
    fn actor(&self) -> Result<Box<dyn Actor>>;

    /// Writes the evaluation policy as a safetensors file that [`envs::MlpPolicy`] reads and
    /// `gta collect --policy` runs.
    ///
    /// # Errors
    /// [`Error::Config`] where the file's format has no place for the policy: it is no multi-layer perceptron, or its
    /// actions are not in `[-1, 1]`.
    fn export_policy(&self, path: &Path) -> Result<()>;

    /// Writes everything needed to go on exactly: weights, targets, moments, counters, units and configuration. The
    /// file holds no time, and `path` always holds either the old content or the new.
    fn save(&self, path: &Path) -> Result<()>;
}

/// A policy that acts in several episodes side by side.
pub trait Actor: Send {
    /// Writes one action for each situation, `[n, A]` in the task's units.
    fn act(&mut self, situations: &Situations<'_>, actions: &mut [f32]) -> Result<()>;
}

/// Where `n` episodes stand.
#[derive(Clone, Copy, Debug)]
pub struct Situations<'a> {
    /// Number of each episode, from 0 at the start of an evaluation; numbers fall away as episodes end.
    pub episodes: &'a [usize],
    /// Observations in the task's units, `[n, O]`.
    pub observations: &'a [f32],
    /// Reward of the step before, `[n]`; 0 at the first.
    pub rewards: &'a [f32],
}

/// Which algorithm, with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AgentConfig {
    /// Behaviour cloning.
    Bc(BcConfig),
    /// TD3+BC (Fujimoto and Gu, 2021).
    Td3Bc(Td3BcConfig),
    /// IQL (Kostrikov, Nair and Levine, 2022).
    Iql(IqlConfig),
    /// CQL (Kumar et al., 2020).
    Cql(CqlConfig),
    /// MCQ (Lyu et al., 2022).
    Mcq(McqConfig),
    /// Decision Transformer (Chen et al., 2021).
    Dt(DtConfig),
    /// ReBRAC (Tarasov et al., 2023).
    Rebrac(RebracConfig),
}

impl AgentConfig {
    /// The settings published for algorithm `kind` on a D4RL dataset such as `hopper-medium-v2`, with the batch of
    /// 1024 that the GTA paper uses for all Q-learning.
    pub fn preset(kind: &str, dataset_id: &str) -> Result<Self> {
        let domain = crate::Domain::of(dataset_id);
        Ok(match kind {
            "bc" => Self::Bc(BcConfig::preset(domain)),
            "td3_bc" => Self::Td3Bc(Td3BcConfig::preset(domain)),
            "iql" => Self::Iql(IqlConfig::preset(domain)),
            "cql" => Self::Cql(CqlConfig::preset(domain)),
            "mcq" => Self::Mcq(McqConfig::preset(domain)),
            "dt" => Self::Dt(DtConfig::preset(domain)),
            "rebrac" => Self::Rebrac(RebracConfig::preset(dataset_id)),
            _ => {
                let why = format!("there is no algorithm '{kind}'; there are bc, td3_bc, iql, cql, mcq, dt and rebrac");
                return Err(Error::Config { name: "kind".into(), why });
            }
        })
    }

    /// Refuses settings that mean nothing, by name.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Bc(config) => config.validate(),
            Self::Td3Bc(config) => config.validate(),
            Self::Iql(config) => config.validate(),
            Self::Cql(config) => config.validate(),
            Self::Mcq(config) => config.validate(),
            Self::Dt(config) => config.validate(),
            Self::Rebrac(config) => config.validate(),
        }
    }

    /// Rows of a batch; of a Decision Transformer, sub-trajectories.
    pub fn batch_size(&self) -> usize {
        match self {
            Self::Bc(config) => config.batch_size,
            Self::Td3Bc(config) => config.batch_size,
            Self::Iql(config) => config.batch_size,
            Self::Cql(config) => config.batch_size,
            Self::Mcq(config) => config.batch_size,
            Self::Dt(config) => config.batch_size,
            Self::Rebrac(config) => config.batch_size,
        }
    }

    /// A fresh agent: sizes and action bounds from the data's spec, units from the real data.
    pub fn build(&self, data: &Dataset, seed: Seed, device: Device) -> Result<Box<dyn Agent + Send>> {
        self.begin(trained::Start::fresh(seed, device), data)
    }

    /// The agent that [`Agent::save`] wrote to `path`, with the units it was trained in.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file is broken, or another algorithm's, configuration's, seed's or task's.
    pub fn resume(&self, path: &Path, data: &Dataset, seed: Seed, device: Device) -> Result<Box<dyn Agent + Send>> {
        self.begin(trained::Start::resumed(self, path, seed, device)?, data)
    }

    fn begin(&self, start: trained::Start, data: &Dataset) -> Result<Box<dyn Agent + Send>> {
        self.validate()?;
        match self {
            Self::Bc(config) => learner::begin::<bc::Bc>(config, start, data),
            Self::Td3Bc(config) => learner::begin::<td3_bc::Td3Bc>(config, start, data),
            Self::Iql(config) => learner::begin::<iql::Iql>(config, start, data),
            Self::Cql(config) => learner::begin::<cql::Cql>(config, start, data),
            Self::Mcq(config) => learner::begin::<mcq::Mcq>(config, start, data),
            Self::Dt(config) => dt::begin(config, start, data),
            Self::Rebrac(config) => learner::begin::<rebrac::Rebrac>(config, start, data),
        }
    }
}
