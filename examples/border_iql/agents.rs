//! border-candle-agent's IQL, AWAC and BC for any task of ours, and candle's tensors as what they are fed with.

use anyhow::Result;
use border_candle_agent::Activation;
use border_candle_agent::awac::{Awac, AwacConfig};
use border_candle_agent::bc::{Bc, BcActionType, BcConfig, BcModelConfig};
use border_candle_agent::iql::{Iql, IqlConfig, ValueConfig};
use border_candle_agent::mlp::{Mlp, Mlp3, MlpConfig};
use border_candle_agent::opt::OptimizerConfig;
use border_candle_agent::util::actor::{ActionLimit, GaussianActorConfig};
use border_candle_agent::util::critic::MultiCriticConfig;
use border_core::{Act, Agent, Configurable, Obs, ReplayBufferBase, TransitionBatch};
use candle_core::{Device, Tensor};
use gta::border::{Numbers, Rows, Task};

/// A tensor of `[B, O]` or `[B, A]` numbers: what buffers and tasks serve, and what the agents take and give.
#[derive(Clone, Debug)]
pub struct Tensors(Tensor);

impl Numbers for Tensors {
    fn from_rows(rows: Rows) -> Result<Self> {
        let shape = (rows.len(), rows.width());
        Ok(Self(Tensor::from_vec(rows.into_values(), shape, &Device::Cpu)?))
    }

    fn to_rows(&self) -> Result<Rows> {
        let (_, width) = self.0.dims2()?;
        Rows::new(self.0.flatten_all()?.to_vec1()?, width)
    }
}

impl Obs for Tensors {
    fn len(&self) -> usize {
        self.0.dims()[0]
    }
}

impl Act for Tensors {}

impl From<Tensors> for Tensor {
    fn from(tensors: Tensors) -> Self {
        tensors.0
    }
}

impl From<Tensor> for Tensors {
    fn from(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

/// An algorithm of border-candle-agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Algorithm {
    /// Implicit Q-learning.
    Iql,
    /// Advantage weighted actor critic.
    Awac,
    /// Behaviour cloning.
    Bc,
}

/// What the agents differ by from one task to the next.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Numbers in an observation.
    pub obs_dim: usize,
    /// Numbers in an action; all lie in [-1, 1].
    pub action_dim: usize,
    /// Units of each of the two hidden layers.
    pub hidden: usize,
    /// Rows of a batch.
    pub batch_size: usize,
    /// Learning rate of Adam.
    pub rate: f64,
}

/// The environment that the agents act in.
pub type Env = Task<Tensors>;

impl Algorithm {
    /// An untrained agent. The other settings are those of the papers' authors for locomotion, where border's differ.
    pub fn agent<R>(self, settings: Settings) -> Box<dyn Agent<Env, R>>
    where
        R: ReplayBufferBase + 'static,
        R::Batch: TransitionBatch<ObsBatch = Tensors, ActBatch = Tensors>,
    {
        let Settings { obs_dim, action_dim, hidden, batch_size, rate } = settings;
        let network = |inputs: usize, outputs: usize, last| {
            MlpConfig::new(inputs as i64, vec![hidden as i64; 2], outputs as i64, last)
        };
        let adam = || OptimizerConfig::Adam { lr: rate };
        let critic = MultiCriticConfig::default()
            .q_config(network(obs_dim + action_dim, 1, Activation::None))
            .opt_config(adam());
        // Means within the bounds by clamping; deviations that do not depend on the observation.
        let actor = GaussianActorConfig::default()
            .policy_config(network(obs_dim, action_dim, Activation::None))
            .action_limit(ActionLimit::Clamp { action_min: -1.0, action_max: 1.0 })
            .min_log_std(-5.0)
            .max_log_std(2.0)
            .opt_config(adam());
        match self {
            Self::Iql => {
                let value =
                    ValueConfig::default().value_config(network(obs_dim, 1, Activation::None)).opt_config(adam());
                let config = IqlConfig::<Mlp, Mlp3, Mlp>::default()
                    .actor_config(actor)
                    .critic_config(critic)
                    .value_config(value)
                    .lambda(1.0 / 3.0)
                    .batch_size(batch_size)
                    .device(Device::Cpu);
                Box::new(Iql::<Env, Mlp, Mlp3, Mlp, R, Tensor, Tensor>::build(config))
            }
            Self::Awac => {
                let config = AwacConfig::<Mlp, Mlp3>::default()
                    .actor_config(actor)
                    .critic_config(critic)
                    .lambda(1.0)
                    .batch_size(batch_size)
                    .device(Device::Cpu);
                Box::new(Awac::<Env, Mlp, Mlp3, R>::build(config))
            }
            Self::Bc => {
                let model = BcModelConfig::default()
                    .policy_model_config(network(obs_dim, action_dim, Activation::Tanh))
                    .opt_config(adam());
                let config = BcConfig::<Mlp>::default()
                    .policy_model_config(model)
                    .action_type(BcActionType::Continuous)
                    .batch_size(batch_size)
                    .device(Device::Cpu);
                Box::new(Bc::<Env, Mlp, R>::build(config))
            }
        }
    }
}
