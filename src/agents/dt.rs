//! Decision Transformer (Chen et al., 2021, "Decision Transformer: Reinforcement Learning via Sequence Modeling"):
//! actions are predicted from the states and actions before them and the return still wanted.
//!
//! Differences between the authors' code and the one that the GTA paper ran (CORL's), and what is the default here:
//!
//! | | authors (default) | CORL, [`DtConfig::published`] |
//! |---|---|---|
//! | loss | mean over the steps that exist | mean over all, padding counted as 0: shorter sequences weigh less |
//! | nonlinearity | ReLU | exact GELU |
//! | padding | at the start | at the end |
//!
//! On which side a sequence is padded has no effect: padding is never attended to, and steps are embedded by their
//! number in the episode. Here it is at the end, where causality does what a mask would have to.

mod actor;
mod dropout;
#[cfg(test)]
mod golden;
mod sequences;
mod transformer;

use std::path::Path;

use replay::{Dataset, Seed};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use self::actor::Contextual;
use self::dropout::Dropout;
use self::sequences::{Drawing, Episodes};
use self::transformer::{Sequences, Transformer};
use super::learner::{GPU_CHECK, check_sizes};
use super::metrics::Metrics;
use super::settings::Check;
use super::trained::{self, Start, Trained};
use super::units::{RewardScale, UnitTensors, Units};
use super::{Actor, Agent, AgentConfig, Experience};
use crate::training::{AdamWConfig, norm};
use crate::{Domain, Error, Result};

pub use self::sequences::WindowReturns;
pub use self::transformer::{Activation, TransformerConfig};

/// Updates between two looks at the buffer's trajectories, which may grow and may be dear to ask for.
const REFRESH: u64 = 100;

/// Added to the standard deviation of observations (the authors' value; the other agents' is larger).
const FLOOR: f64 = 1e-6;

/// Over what the loss is a mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SequenceLoss {
    /// The steps that exist.
    #[default]
    Steps,
    /// All steps, padding counted as 0.
    Padded,
}

/// Settings of the Decision Transformer; the defaults are the authors' for Gym.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DtConfig {
    /// Sub-trajectories in a batch.
    pub batch_size: usize,
    /// Most steps of a sub-trajectory (`K`).
    pub context: usize,
    /// The network.
    pub network: TransformerConfig,
    /// Over what the loss is a mean.
    pub loss: SequenceLoss,
    /// Learning rate after the warm-up.
    pub learning_rate: f64,
    /// Updates over which the rate rises to its value.
    pub warmup: u64,
    /// Share of every weight (biases, norms and embeddings, too) taken away per unit of learning rate.
    pub weight_decay: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// What the network sees of a return is the return times this.
    pub return_scale: f64,
    /// Undiscounted return wanted of an episode in evaluation, in the data's units; without a number, the largest of an
    /// episode in the data. The authors report a second one, half as large, beside each preset.
    pub target_return: Option<f64>,
    /// What the return-to-go of a generated window begins with.
    pub window_returns: WindowReturns,
    /// Updates between two checks for divergence; 1 on the CPU and 100 on a GPU without a number.
    pub check_every: Option<u64>,
}

impl Default for DtConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            context: 20,
            network: TransformerConfig::default(),
            loss: SequenceLoss::default(),
            learning_rate: 1e-4,
            warmup: 10_000,
            weight_decay: 1e-4,
            clip: 0.25,
            return_scale: 1e-3,
            target_return: None,
            window_returns: WindowReturns::default(),
            check_every: None,
        }
    }
}

impl DtConfig {
    /// The form that the GTA paper ran.
    pub fn published() -> Self {
        let network = TransformerConfig { activation: Activation::Gelu, ..TransformerConfig::default() };
        Self { network, loss: SequenceLoss::Padded, ..Self::default() }
    }

    /// The return to ask for and its scale; both codes' numbers.
    pub(super) fn preset(domain: Domain) -> Self {
        let (target_return, return_scale) = match domain {
            Domain::HalfCheetah => (Some(12_000.0), 1e-3),
            Domain::Hopper => (Some(3600.0), 1e-3),
            Domain::Walker2d => (Some(5000.0), 1e-3),
            Domain::AntMaze => (Some(1.0), 1.0),
            // Maze2d's targets were published by size (160, 280, 280): about the best returns of its data.
            _ => (None, 1e-3),
        };
        Self { target_return, return_scale, ..Self::default() }
    }

    /// Refuses settings that mean nothing.
    pub fn validate(&self) -> Result<()> {
        let check = Check(NAME);
        self.network.validate(&check)?;
        check.count("batch_size", self.batch_size)?;
        check.count("context", self.context)?;
        check.positive("learning_rate", self.learning_rate)?;
        check.not_negative("weight_decay", self.weight_decay)?;
        check.positive("clip", self.clip)?;
        check.positive("return_scale", self.return_scale)?;
        check.finite("target_return", self.target_return.unwrap_or(0.0))?;
        check.count("check_every", self.check_every.unwrap_or(1) as usize)
    }

    /// Learning rate of update `update`, from 1.
    fn rate(&self, update: u64) -> f64 {
        self.learning_rate * (update as f64 / self.warmup.max(1) as f64).min(1.0)
    }
}

const NAME: &str = "dt";

/// The Decision Transformer in training.
struct DecisionTransformer {
    config: DtConfig,
    seed: Seed,
    device: Device,
    kind: Kind,
    network: Trained<Transformer>,
    units: Units,
    own: UnitTensors,
    /// The largest return of an episode in the data.
    best_return: f64,
    updates: u64,
    episodes: Option<Episodes>,
    metrics: Metrics,
    check_every: u64,
}

/// The agent, fresh or resumed.
pub(super) fn begin(config: &DtConfig, mut start: Start, data: &Dataset) -> Result<Box<dyn Agent + Send>> {
    let units = start.units(Units::fit_with_floor(data, true, RewardScale::None, FLOOR)?)?;
    let best_return = data.episode_returns().into_iter().fold(f64::NEG_INFINITY, f64::max);
    Ok(Box::new(DecisionTransformer::assemble(config, start, units, best_return)?))
}

impl DecisionTransformer {
    /// An agent that learns in `units` and whose data's best episode returns `best_return`.
    fn assemble(config: &DtConfig, mut start: Start, units: Units, best_return: f64) -> Result<Self> {
        let (seed, device, kind) = (start.seed, start.device, start.kind);
        let adam = AdamWConfig { weight_decay: config.weight_decay, ..trained::ADAM };
        let sizes = (units.mean.len() as i64, units.half.len() as i64);
        let network = start.network("transformer", adam, |init| Transformer::new(init, &config.network, sizes))?;
        Ok(Self {
            own: UnitTensors::new(&units, kind, device)?,
            units,
            best_return,
            episodes: None,
            metrics: Metrics::new(f64::INFINITY),
            check_every: config.check_every.unwrap_or(if device.is_cuda() { GPU_CHECK } else { 1 }),
            config: config.clone(),
            seed,
            device,
            kind,
            network,
            updates: start.finish()?,
        })
    }

    /// One update on given sequences.
    fn learn(&mut self, batch: &Sequences, dropout: &mut Dropout) -> Result<()> {
        let predicted = self.network.net.forward(batch, dropout)?;
        let loss = loss(self.config.loss, &predicted, batch)?;
        let mut gradient = self.network.gradient(&loss)?;
        let norm = norm(&gradient)?;
        self.metrics.mean("loss", &loss);
        self.metrics.mean("gradient_norm", &norm);
        // As PyTorch clips, without a look at the norm.
        let factor = ((norm + 1e-6).f_reciprocal()? * self.config.clip).f_clamp_max(1.0)?;
        let _ = gradient.f_mul_(&factor)?;
        self.updates += 1;
        self.network.apply(&gradient, self.config.rate(self.updates))
    }

    /// The policy that wants an undiscounted return of `target` of each episode, in the data's units.
    fn wanting(&self, target: f64) -> Result<Contextual> {
        let sizes = (self.units.mean.len(), self.units.half.len());
        let transformer = self.network.net.copy(self.network.parameters().values())?;
        Contextual::new(transformer, &self.units, sizes, &self.config, target, (self.kind, self.device))
    }
}

/// Squared error of the actions, a mean over their numbers and over steps.
fn loss(kind: SequenceLoss, predicted: &Tensor, batch: &Sequences) -> Result<Tensor> {
    let errors = predicted.f_sub(&batch.actions)?.f_square()?;
    let errors = errors.f_mean_dim([-1i64].as_slice(), false, predicted.kind())?.f_mul(&batch.mask)?;
    match kind {
        SequenceLoss::Steps => Ok(errors.f_sum(errors.kind())?.f_div(&batch.mask.f_sum(errors.kind())?)?),
        SequenceLoss::Padded => Ok(errors.f_mean(errors.kind())?),
    }
}

impl Agent for DecisionTransformer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn updates(&self) -> u64 {
        self.updates
    }

    fn update(&mut self, data: &mut dyn Experience) -> Result<()> {
        check_sizes(&self.units, data)?;
        let episodes = match self.episodes.take() {
            Some(episodes) if !self.updates.is_multiple_of(REFRESH) => episodes,
            _ => Episodes::new(data.dataset()?),
        };
        let drawing = Drawing {
            rows: self.config.batch_size,
            context: self.config.context,
            return_scale: self.config.return_scale,
            window_returns: self.config.window_returns,
        };
        let columns = episodes.sample(data, &drawing, &mut self.seed.fork("batch", self.updates).rng())?;
        self.episodes = Some(episodes);
        let batch = columns.load(&self.own, self.kind, self.device)?;
        let mut dropout = Dropout::new(self.config.network.dropout, self.seed.fork("dropout", self.updates).rng());
        self.learn(&batch, &mut dropout)?;
        if self.updates.is_multiple_of(self.check_every) {
            self.metrics.check(self.updates)?;
        }
        Ok(())
    }

    fn metrics(&mut self) -> Result<Vec<(&'static str, f64)>> {
        self.metrics.report(self.updates)
    }

    fn actor(&self) -> Result<Box<dyn Actor>> {
        Ok(Box::new(self.wanting(self.config.target_return.unwrap_or(self.best_return))?))
    }

    fn export_policy(&self, _: &Path) -> Result<()> {
        let why = "a decision transformer acts by its past and the return still wanted, for which a policy file has no \
                   place; evaluate it by its actor";
        Err(Error::Config { name: "policy".into(), why: why.into() })
    }

    fn save(&self, path: &Path) -> Result<()> {
        let config = AgentConfig::Dt(self.config.clone());
        trained::save(path, config, self.seed, self.updates, &self.units, &[&self.network])
    }
}
