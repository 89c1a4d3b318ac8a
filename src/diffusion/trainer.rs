//! Training: one step at a time, resumable after any of them.

use std::path::Path;
use std::sync::Arc;

use rand::RngExt;
use replay::{Seed, fill_normal};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::checkpoint::Checkpoint;
use super::denoiser::Condition;
use super::ema::{Ema, EmaConfig};
use super::model::{Model, ModelConfig, Snapshot};
use super::optimizer::{AdamW, AdamWConfig, RateSchedule};
use crate::{Error, Result, tensor};

/// What a diffusion model learns from: windows of numbers, each with one condition.
pub trait Examples: Send + Sync {
    /// Number of windows.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes window `index` in the data's units, `[T, D]`, and which of its numbers the loss counts (1) or not (0),
    /// `[T, D]`; returns its condition in the data's units.
    fn read(&self, index: usize, values: &mut [f32], mask: &mut [f32]) -> f32;
}

/// Settings of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerConfig {
    /// Steps in all.
    pub steps: u64,
    /// Windows in a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// How the rate moves.
    pub schedule: RateSchedule,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// The average that is sampled from.
    pub ema: EmaConfig,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Probability that a window loses its condition, which trains the unconditional model of guidance.
    pub condition_dropout: f64,
}

impl TrainerConfig {
    /// Fails where a number lies outside of what training can use.
    pub fn validate(&self) -> Result<()> {
        let rules = [
            ("batch", self.batch > 0, "must be at least 1"),
            ("learning_rate", self.learning_rate > 0.0 && self.learning_rate.is_finite(), "must be above 0"),
            ("clip", self.clip > 0.0, "must be above 0"),
            ("condition_dropout", (0.0..=1.0).contains(&self.condition_dropout), "must be in 0 to 1"),
        ];
        match rules.iter().find(|rule| !rule.1) {
            Some((name, _, why)) => {
                Err(Error::Config { name: format!("trainer.{name}"), why: (*why).into() })
            }
            None => Ok(()),
        }
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: u64,
    /// Loss of the batch.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
}

/// Trains one model. All randomness of step `n` comes from `seed.fork("step", n)`, so nothing but the step number
/// need be kept to resume exactly.
pub struct Trainer {
    config: TrainerConfig,
    seed: Seed,
    examples: Arc<dyn Examples>,
    model: Model,
    optimizer: AdamW,
    ema: Ema,
    step: u64,
}

/// The header of a training checkpoint.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    trainer: TrainerConfig,
    model: ModelConfig,
    seed: Seed,
    step: u64,
}

impl Trainer {
    /// A trainer at step 0 with fresh weights.
    pub fn new(
        config: TrainerConfig,
        model: ModelConfig,
        examples: Arc<dyn Examples>,
        seed: Seed,
        device: Device,
    ) -> Result<Self> {
        config.validate()?;
        if examples.is_empty() {
            return Err(Error::Replay(replay::Error::Empty));
        }
        let model = Model::new(model, seed.fork("weights", 0), device)?;
        let optimizer = AdamW::new(config.optimizer.clone(), model.parameters().values());
        let ema = Ema::new(config.ema.clone(), model.parameters().values());
        Ok(Self { config, seed, examples, model, optimizer, ema, step: 0 })
    }

    /// A trainer that goes on from the checkpoint at `path`; fails where it is of another training.
    pub fn resume(
        path: &Path,
        config: TrainerConfig,
        model: ModelConfig,
        examples: Arc<dyn Examples>,
        seed: Seed,
        device: Device,
    ) -> Result<Self> {
        let mut file = Checkpoint::read(path)?;
        let header: Header = file.header(path)?;
        for (what, same) in [
            ("training settings", header.trainer == config),
            ("a model or data", header.model == model),
            ("a seed", header.seed == seed),
        ] {
            if !same {
                let why = format!("it was made with {what} other than now asked for; use another folder to start anew");
                return Err(Error::Checkpoint { path: path.into(), why });
            }
        }
        let mut trainer = Self::new(config, model, examples, seed, device)?;
        let count = trainer.model.parameters().len();
        trainer.model.parameters_mut().load(&file.take("weights", count, path)?, device)?;
        let mut vector = |name: &str| tensor::from_host(&file.take(name, count, path)?, &[count as i64], device);
        let (first, second) = (vector("adam.first")?, vector("adam.second")?);
        trainer.optimizer = AdamW::resume(trainer.config.optimizer.clone(), first, second, header.step);
        trainer.ema = Ema::new(trainer.config.ema.clone(), &vector("ema")?);
        trainer.step = header.step;
        Ok(trainer)
    }

    /// Writes everything needed to resume, atomically.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = Checkpoint::new(&Header {
            trainer: self.config.clone(),
            model: self.model.config().clone(),
            seed: self.seed,
            step: self.step,
        });
        let (first, second) = self.optimizer.moments();
        for (name, vector) in [
            ("weights", self.model.parameters().values()),
            ("ema", self.ema.average()),
            ("adam.first", first),
            ("adam.second", second),
        ] {
            file.add(name, tensor::to_host(vector)?);
        }
        file.write(path)
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.config.steps
    }

    /// The model as it trains.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The averaged model, to sample from.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::new(&self.model, tensor::to_host(self.ema.average())?)
    }

    /// One step; fails where the loss or its gradient is not finite, with the weights as they were.
    pub fn step(&mut self) -> Result<StepReport> {
        let batch = self.batch(self.step)?;
        self.step_on(&batch)
    }

    /// The batch of step `step` (counted from 0), a function of the seed alone.
    fn batch(&self, step: u64) -> Result<TrainingBatch> {
        let mut rng = self.seed.fork("step", step).rng();
        let (rows, dim) = (self.model.config().rows, self.model.config().row_dim);
        let (count, size) = (self.config.batch, rows * dim);
        let (mut values, mut mask) = (vec![0.0; count * size], vec![0.0; count * size]);
        let mut conditions = vec![0.0; count];
        for ((values, mask), condition) in
            values.chunks_exact_mut(size).zip(mask.chunks_exact_mut(size)).zip(&mut conditions)
        {
            *condition = self.examples.read(rng.random_range(0..self.examples.len()), values, mask);
        }
        self.model.config().normalizer.normalize(&mut values);
        self.model.config().condition.normalize(&mut conditions);
        let keep = |_| if rng.random::<f64>() < self.config.condition_dropout { 0.0 } else { 1.0 };
        let keep: Vec<f32> = (0..count).map(keep).collect();
        let (mut sigma, mut noise) = (vec![0.0; count], vec![0.0; count * size]);
        fill_normal(&mut rng, &mut sigma);
        fill_normal(&mut rng, &mut noise);
        sigma.iter_mut().for_each(|s| *s = self.model.edm().training_sigma(f64::from(*s)) as f32);
        let device = self.model.device();
        let (b, t, d) = (count as i64, rows as i64, dim as i64);
        Ok(TrainingBatch {
            values: tensor::from_host(&values, &[b, t, d], device)?,
            mask: tensor::from_host(&mask, &[b, t, d], device)?,
            condition: Condition {
                value: tensor::from_host(&conditions, &[b, 1], device)?,
                keep: Some(tensor::from_host(&keep, &[b, 1], device)?),
            },
            sigma: tensor::from_host(&sigma, &[b], device)?,
            noise: tensor::from_host(&noise, &[b, t, d], device)?,
        })
    }

    fn step_on(&mut self, batch: &TrainingBatch) -> Result<StepReport> {
        let TrainingBatch { values, mask, condition, sigma, noise } = batch;
        let loss = self.model.edm().loss(self.model.denoiser(), values, sigma, noise, Some(condition), Some(mask));
        let mut gradient = self.model.parameters().gradient(&loss)?;
        // One transfer for both numbers: on a GPU each is a wait.
        let both = Tensor::f_stack(&[loss.detach(), gradient.f_norm()?], 0)?;
        let both = tensor::to_host(&both)?;
        let (loss, norm) = (f64::from(both[0]), f64::from(both[1]));
        let step = self.step + 1;
        for (quantity, value) in [("the loss", loss), ("the gradient norm", norm)] {
            if !value.is_finite() {
                return Err(Error::Diverged { step, quantity, value });
            }
        }
        if norm > self.config.clip {
            let _ = gradient.f_mul_scalar_(self.config.clip / (norm + 1e-6))?;
        }
        let rate = self.config.learning_rate * self.config.schedule.factor(self.step, self.config.steps);
        self.optimizer.step(self.model.parameters_mut().values_mut(), &gradient, rate)?;
        self.ema.update(self.model.parameters().values(), step)?;
        self.step = step;
        Ok(StepReport { step, loss, gradient_norm: norm })
    }
}

/// What one step learns from, on the device.
struct TrainingBatch {
    values: Tensor,
    mask: Tensor,
    condition: Condition,
    sigma: Tensor,
    noise: Tensor,
}
