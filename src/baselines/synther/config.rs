//! All settings of a SynthER buffer in one place.

use serde::{Deserialize, Serialize};

use crate::augment::{AugmentConfig, GuideConfig};
use crate::diffusion::{
    AdamWConfig, DenoiserConfig, Edm, EmaConfig, RateSchedule, ResidualMlpConfig, Solver, TrainerConfig,
};
use crate::{Error, Result};

/// Settings of a SynthER buffer. `Default` is what suits two CPU cores; [`SynthErConfig::paper`] is the published
/// setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthErConfig {
    /// Mixing, pool, filter, threads, seed. Its horizon is 1, and nothing else of its guide has an effect: transitions
    /// come from pure noise and no return is aimed at.
    pub augment: AugmentConfig,
    /// The network.
    pub denoiser: DenoiserConfig,
    /// Preconditioning and noise levels.
    pub edm: Edm,
    /// Training. There is no condition to drop.
    pub trainer: TrainerConfig,
    /// How transitions are sampled.
    pub solver: Solver,
    /// Steps between two checkpoints, where the buffer has a folder.
    pub checkpoint_every: u64,
}

/// Transitions below which the published code trains with the smaller batch.
const FEW: usize = 800_000;

impl SynthErConfig {
    /// The published setting for a dataset of so many transitions: a residual MLP of 25.6 million weights, 100,000
    /// steps at batch 1024 (256 below 800,000 transitions), 128 steps of stochastic Heun.
    pub fn paper(transitions: usize) -> Self {
        Self {
            augment: augment(),
            denoiser: DenoiserConfig::ResidualMlp(ResidualMlpConfig::default()),
            edm: Edm::default(),
            trainer: TrainerConfig {
                steps: 100_000,
                batch: if transitions < FEW { 256 } else { 1024 },
                learning_rate: 3e-4,
                schedule: RateSchedule::CosineRestarts { cycles: 1 },
                optimizer: AdamWConfig::default(),
                ema: EmaConfig::published(),
                clip: 1.0,
                condition_dropout: 0.0,
                parts: 2,
            },
            solver: Solver::default(),
            checkpoint_every: 1000,
        }
    }

    /// Fails where a number lies outside of what its field's documentation allows.
    pub fn validate(&self) -> Result<()> {
        self.edm.validate()?;
        self.solver.validate()?;
        self.trainer.validate()?;
        if self.augment.guide.horizon != 1 {
            let why = format!("must be 1, is {}: SynthER generates single transitions", self.augment.guide.horizon);
            return Err(Error::Config { name: "augment.guide.horizon".into(), why });
        }
        if self.checkpoint_every == 0 {
            return Err(Error::Config { name: "checkpoint_every".into(), why: "must be at least 1".into() });
        }
        Ok(())
    }
}

impl Default for SynthErConfig {
    fn default() -> Self {
        let paper = Self::paper(0);
        Self {
            denoiser: DenoiserConfig::ResidualMlp(ResidualMlpConfig { width: 512, depth: 4, embedding: 128 }),
            trainer: TrainerConfig {
                steps: 20_000,
                learning_rate: 1e-3,
                schedule: RateSchedule::Trapezoid { warmup: 100, cooldown: 0.5 },
                ema: EmaConfig::PowerFunction { exponent: 8.0 },
                ..paper.trainer
            },
            solver: Solver::DpmSolver { steps: 20, eta: 1.0, lowest: 0.0 },
            ..paper
        }
    }
}

/// Only generated rows, as in both papers; chunks of as many transitions as GTA's default ones have.
fn augment() -> AugmentConfig {
    let guide = GuideConfig { horizon: 1, ..GuideConfig::default() };
    AugmentConfig { ratio: 1.0, guide, chunk_windows: 4096, ..AugmentConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_file_and_mistakes_are_named() {
        for config in [SynthErConfig::default(), SynthErConfig::paper(1_000_000)] {
            config.validate().unwrap();
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<SynthErConfig>(&text).unwrap(), config);
        }
        assert_eq!(SynthErConfig::paper(799_999).trainer.batch, 256);
        assert_eq!(SynthErConfig::paper(800_000).trainer.batch, 1024);
        let mut config = SynthErConfig::default();
        config.augment.guide.horizon = 31;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("augment.guide.horizon") && error.contains("31"), "{error}");
        assert!(serde_json::from_str::<SynthErConfig>(r#"{"mu": 0.5}"#).is_err(), "nothing is partly noised");
    }
}
