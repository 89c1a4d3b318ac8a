//! All settings of a GTA buffer in one place, with the paper's and our own presets.

use replay::{Dataset, Spec};
use serde::{Deserialize, Serialize};

use crate::augment::{AugmentConfig, Condition, GuideConfig};
use crate::diffusion::{
    AdamWConfig, DenoiserConfig, Edm, EmaConfig, Guidance, ModelConfig, Normalizer, RateSchedule, Solver, TrainerConfig,
};
use crate::{Error, Result};

/// Share of the noise schedule that a window is noised to (the paper's mu), in (0, 1]. At 1 it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Mu(f64);

impl Mu {
    /// Fails outside of (0, 1].
    pub fn new(mu: f64) -> Result<Self> {
        if mu > 0.0 && mu <= 1.0 {
            return Ok(Self(mu));
        }
        Err(Error::Config { name: "mu".into(), why: format!("must be in (0, 1], is {mu}") })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Mu {
    type Error = Error;
    fn try_from(mu: f64) -> Result<Self> {
        Self::new(mu)
    }
}

impl From<Mu> for f64 {
    fn from(mu: Mu) -> f64 {
        mu.0
    }
}

/// How a model of windows knows that the task ended (appendix A.1 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Terminals {
    /// By a mark on the reward: the model learns the terminal reward lowered by this many standard deviations of the
    /// data's rewards, and a generated window ends where it pays less than half of that below the lowest reward.
    ///
    /// The paper subtracts 100 whatever the task's rewards. In units of a network that sees rewards with deviation 1
    /// that is over 100 deviations for Hopper: one number in a thousand then makes nearly all of the loss.
    Marked {
        /// Standard deviations of the data's rewards.
        deviations: f64,
    },
    /// A generated window ends the task where its prompt did, as in the published code.
    Copied,
}

/// What the network sees of the condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionUnits {
    /// Mean 0 and standard deviation 1 over all windows.
    #[default]
    Standardised,
    /// The return times the guide's scale, as published.
    Scaled,
}

/// What windows are denoised towards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// The return asked for ([`Aim`](crate::augment::Aim)), by guidance: the paper's.
    #[default]
    Return,
    /// Nothing: windows come from the unconditional distribution, whatever was asked for (appendix F.1).
    None,
    /// Rewards: those of the prompt, each amplified by [`Alpha`](crate::augment::Alpha), stand in the place of the generated
    /// ones at every noise level. There is no condition (appendix E.6).
    RewardInpainting,
}

/// Settings of a GTA buffer. `Default` is what suits two CPU cores; [`GtaConfig::paper`] is the published setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GtaConfig {
    /// Mixing, prompts and returns asked for, pool, filter, threads, seed.
    pub augment: AugmentConfig,
    /// The network.
    pub denoiser: DenoiserConfig,
    /// Preconditioning and noise levels.
    pub edm: Edm,
    /// Training.
    pub trainer: TrainerConfig,
    /// How far prompts are noised.
    pub mu: Mu,
    /// How windows are sampled.
    pub solver: Solver,
    /// What windows are denoised towards.
    pub conditioning: Conditioning,
    /// How strongly the return asked for pulls.
    pub guidance: Guidance,
    /// How the end of a task is modelled.
    pub terminals: Terminals,
    /// What the network sees of the condition.
    pub condition_units: ConditionUnits,
    /// Steps between two checkpoints, where the buffer has a folder.
    pub checkpoint_every: u64,
}

impl GtaConfig {
    /// The paper's setting: tables 6 and 7, MixerUnet, a million steps, 128 steps of stochastic Heun, w = 2.
    pub fn paper() -> Self {
        Self {
            augment: AugmentConfig::default(),
            denoiser: DenoiserConfig::paper(),
            edm: Edm::default(),
            trainer: TrainerConfig {
                steps: 1_000_000,
                batch: 256,
                learning_rate: 3e-4,
                schedule: RateSchedule::CosineRestarts { cycles: 10 },
                optimizer: AdamWConfig::default(),
                ema: EmaConfig::published(),
                clip: 1.0,
                condition_dropout: 0.25,
                parts: 2,
            },
            mu: Mu(0.5),
            solver: Solver::default(),
            conditioning: Conditioning::Return,
            guidance: Guidance::default(),
            terminals: Terminals::Marked { deviations: 5.0 },
            condition_units: ConditionUnits::Scaled,
            checkpoint_every: 1000,
        }
    }

    /// What the guide is told.
    pub fn guide(&self) -> &GuideConfig {
        &self.augment.guide
    }

    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        self.edm.validate()?;
        self.solver.validate()?;
        self.trainer.validate()?;
        self.guidance.validate()?;
        if !self.denoiser.is_conditional() {
            let why = "must see the return that is asked for; residual_mlp does not".into();
            return Err(Error::Config { name: "denoiser".into(), why });
        }
        if let Terminals::Marked { deviations } = self.terminals
            && !(deviations > 0.0 && deviations.is_finite())
        {
            let why = format!("must be above 0, is {deviations}");
            return Err(Error::Config { name: "terminals.marked.deviations".into(), why });
        }
        if self.conditioning != Conditioning::Return && self.trainer.condition_dropout == 0.0 {
            let why = "needs a trainer.condition_dropout above 0: the network must have learned to do without a return";
            return Err(Error::Config { name: "conditioning".into(), why: why.into() });
        }
        if self.checkpoint_every == 0 {
            return Err(Error::Config { name: "checkpoint_every".into(), why: "must be at least 1".into() });
        }
        Ok(())
    }

    /// The model for windows of `dataset`, whose conditions are `conditions`.
    pub(super) fn model_config(&self, dataset: &Dataset, conditions: &[f32]) -> Result<ModelConfig> {
        let spec = dataset.spec();
        let condition = match self.condition_units {
            ConditionUnits::Standardised => Normalizer::fit(1, conditions.chunks(1))?,
            ConditionUnits::Scaled => Normalizer { mean: vec![0.0], std: vec![1.0] },
        };
        Ok(ModelConfig {
            denoiser: self.denoiser.clone(),
            edm: self.edm,
            rows: self.guide().horizon + 1,
            row_dim: spec.row_dim(),
            normalizer: units(dataset, spec)?,
            condition,
        })
    }
}

impl Default for GtaConfig {
    fn default() -> Self {
        let guide = GuideConfig { condition: Condition::WindowReturn { discount: 1.0 }, ..GuideConfig::default() };
        Self {
            augment: AugmentConfig { guide, ..AugmentConfig::default() },
            denoiser: DenoiserConfig::default(),
            trainer: TrainerConfig {
                steps: 20_000,
                batch: 128,
                learning_rate: 2e-3,
                schedule: RateSchedule::Trapezoid { warmup: 100, cooldown: 0.5 },
                ema: EmaConfig::PowerFunction { exponent: 8.0 },
                ..Self::paper().trainer
            },
            solver: Solver::DpmSolver { steps: 8, eta: 1.5, lowest: 0.05 },
            guidance: Guidance { above: 0.5, ..Guidance::default() },
            condition_units: ConditionUnits::Standardised,
            ..Self::paper()
        }
    }
}

/// Mean and deviation of observation, action and reward over all transitions.
fn units(dataset: &Dataset, spec: &Spec) -> Result<Normalizer> {
    let column = |values, dim: usize| Normalizer::fit(dim, <[f32]>::chunks_exact(values, dim));
    let parts = [
        column(dataset.observations(), spec.obs_dim)?,
        column(dataset.actions(), spec.action_dim)?,
        column(dataset.rewards(), 1)?,
    ];
    let [mean, std] =
        [|n: &Normalizer| n.mean.clone(), |n: &Normalizer| n.std.clone()].map(|f| parts.iter().flat_map(f).collect());
    Ok(Normalizer { mean, std })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::ResidualMlpConfig;

    #[test]
    fn a_network_that_sees_no_return_is_refused() {
        let denoiser = DenoiserConfig::ResidualMlp(ResidualMlpConfig::default());
        let error = GtaConfig { denoiser, ..GtaConfig::default() }.validate().unwrap_err().to_string();
        assert!(error.contains("'denoiser'") && error.contains("residual_mlp"), "{error}");
        assert!(GtaConfig::default().validate().is_ok() && GtaConfig::paper().validate().is_ok());
    }
}
