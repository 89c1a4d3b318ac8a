//! Training: one step at a time, resumable after any of them.

use std::path::Path;
use std::sync::Arc;

use replay::Seed;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::batch::TrainingBatch;
use super::batch::{Ahead, Draw};
use super::ema::{Ema, EmaConfig};
use super::model::{Model, ModelConfig, Snapshot};
use super::replica::Replicas;
use crate::training::{AdamW, AdamWConfig, Checkpoint, RateSchedule, clip};
use crate::{Error, Result, native, tensor};

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
    /// Parts that a batch is cut into on the CPU, one thread each; the cores are shared among them. Sums are rounded
    /// differently for another number of parts, so it belongs to the settings rather than to the machine.
    pub parts: usize,
}

impl TrainerConfig {
    /// Fails where a number lies outside of what training can use.
    pub fn validate(&self) -> Result<()> {
        let rules = [
            ("batch", self.batch > 0, "must be at least 1"),
            ("learning_rate", self.learning_rate > 0.0 && self.learning_rate.is_finite(), "must be above 0"),
            ("clip", self.clip > 0.0, "must be above 0"),
            ("parts", (1..=self.batch).contains(&self.parts), "must be at least 1 and at most the batch"),
            ("condition_dropout", (0.0..=1.0).contains(&self.condition_dropout), "must be in 0 to 1"),
        ];
        match rules.iter().find(|rule| !rule.1) {
            Some((name, _, why)) => Err(Error::Config { name: format!("trainer.{name}"), why: (*why).into() }),
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
    batches: Ahead,
    model: Model,
    replicas: Replicas,
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
    /// A trainer at step 0 with fresh weights, for the calling thread, whose LibTorch threads it sets.
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
        let TrainerConfig { batch, condition_dropout, .. } = config;
        let draw = Draw { examples, model: model.clone(), seed, batch, condition_dropout };
        let batches = Ahead::new(draw, device);
        let model = Model::new(model, seed.fork("weights", 0), device)?;
        let parts = if device.is_cuda() { 1 } else { config.parts };
        let threads = (std::thread::available_parallelism().map_or(1, usize::from) / parts).max(1);
        if !device.is_cuda() {
            native::set_threads(threads);
        }
        let replicas = Replicas::start(&model, parts - 1, threads)?;
        let optimizer = AdamW::new(config.optimizer.clone(), model.parameters().values());
        let ema = Ema::new(config.ema.clone(), model.parameters().values());
        Ok(Self { config, seed, batches, model, replicas, optimizer, ema, step: 0 })
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

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.config.steps
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
        let batch = self.batches.take(self.step)?;
        self.step_on(&batch)
    }

    /// Loss of the next step's batch and its gradient, `[P]`, on the host, with nothing changed: what devices are compared by.
    pub fn gradient(&mut self) -> Result<(f64, Vec<f32>)> {
        let batch = self.batches.take(self.step)?;
        let (loss, gradient, _) = self.replicas.gradient(&self.model, &batch)?;
        Ok((loss.double_value(&[]), tensor::to_host(&gradient)?))
    }

    fn step_on(&mut self, batch: &TrainingBatch) -> Result<StepReport> {
        let (loss, gradient, norm) = self.replicas.gradient(&self.model, batch)?;
        // One transfer for both numbers: on a GPU each is a wait.
        let both = Tensor::f_stack(&[loss, norm], 0)?;
        let both = tensor::to_host(&both)?;
        let (loss, norm) = (f64::from(both[0]), f64::from(both[1]));
        let step = self.step + 1;
        for (quantity, value) in [("the loss", loss), ("the gradient norm", norm)] {
            if !value.is_finite() {
                return Err(Error::Diverged { step, quantity, value });
            }
        }
        let rate = self.config.learning_rate * self.config.schedule.factor(self.step, self.config.steps);
        let (weights, scale) = (self.model.parameters_mut().values_mut(), clip(norm, self.config.clip));
        self.optimizer.step_averaged(weights, &gradient, scale, rate, self.ema.due(step))?;
        self.step = step;
        Ok(StepReport { step, loss, gradient_norm: norm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{DenoiserConfig, Edm, Normalizer, WindowMixerConfig};
    use tch::Kind;

    /// Windows whose every number is their condition.
    struct Constant {
        poisoned: Option<usize>,
    }

    impl Examples for Constant {
        fn len(&self) -> usize {
            64
        }

        fn read(&self, index: usize, values: &mut [f32], mask: &mut [f32]) -> f32 {
            let value = (index as f32 - 31.5) / 16.0;
            values.fill(if self.poisoned == Some(index) { f32::NAN } else { value });
            mask.fill(1.0);
            value
        }
    }

    fn trainer_config() -> TrainerConfig {
        TrainerConfig {
            steps: 40,
            batch: 16,
            learning_rate: 5e-3,
            schedule: RateSchedule::Constant,
            optimizer: AdamWConfig::default(),
            ema: EmaConfig::PowerFunction { exponent: 8.0 },
            clip: 1.0,
            condition_dropout: 0.1,
            parts: 2,
        }
    }

    fn model_config() -> ModelConfig {
        let mixer = WindowMixerConfig {
            width: 16,
            depth: 1,
            rows_per_token: 2,
            token_hidden: 4,
            channel_hidden: 16,
            embedding: 16,
            ..Default::default()
        };
        let units = |dim: usize| Normalizer { mean: vec![0.0; dim], std: vec![1.0; dim] };
        ModelConfig {
            denoiser: DenoiserConfig::WindowMixer(mixer),
            edm: Edm::default(),
            rows: 4,
            row_dim: 3,
            normalizer: units(3),
            condition: units(1),
        }
    }

    fn trainer(poisoned: Option<usize>) -> Trainer {
        let examples = Arc::new(Constant { poisoned });
        Trainer::new(trainer_config(), model_config(), examples, Seed::new(5), Device::Cpu).unwrap()
    }

    fn resume(path: &Path, config: TrainerConfig, seed: u64) -> Result<Trainer> {
        Trainer::resume(
            path,
            config,
            model_config(),
            Arc::new(Constant { poisoned: None }),
            Seed::new(seed),
            Device::Cpu,
        )
    }

    #[test]
    fn resumed_at_any_step_it_ends_with_the_same_checkpoint_and_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut whole = trainer(None);
        while !whole.is_done() {
            whole.step().unwrap();
        }
        whole.save(&path("whole")).unwrap();
        for stop in [1, 17, 39] {
            let mut first = trainer(None);
            for _ in 0..stop {
                first.step().unwrap();
            }
            first.save(&path("part")).unwrap();
            drop(first);
            let mut second = resume(&path("part"), trainer_config(), 5).unwrap();
            assert_eq!(second.steps_done(), stop);
            while !second.is_done() {
                second.step().unwrap();
            }
            second.save(&path("resumed")).unwrap();
            assert_eq!(std::fs::read(path("whole")).unwrap(), std::fs::read(path("resumed")).unwrap(), "from {stop}");
            assert_eq!(whole.snapshot().unwrap().hash(), second.snapshot().unwrap().hash());
        }
    }

    #[test]
    fn a_checkpoint_of_another_training_is_refused_by_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        trainer(None).save(&path).unwrap();
        assert!(resume(&path, trainer_config(), 5).is_ok());
        let error = resume(&path, trainer_config(), 6).err().unwrap().to_string();
        assert!(error.contains("a seed other than now asked for") && error.contains("model.safetensors"), "{error}");
        let error = resume(&path, TrainerConfig { batch: 8, ..trainer_config() }, 5).err().unwrap().to_string();
        assert!(error.contains("training settings other"), "{error}");
    }

    #[test]
    fn it_learns_and_its_snapshot_denoises_as_the_average_does() {
        let mut trainer = trainer(None);
        let first: f64 = (0..5).map(|_| trainer.step().unwrap().loss).sum::<f64>() / 5.0;
        let mut last = 0.0;
        while !trainer.is_done() {
            last = 0.8 * last + 0.2 * trainer.step().unwrap().loss;
        }
        assert!(last < 0.8 * first, "{last} against {first} at first");

        let snapshot = trainer.snapshot().unwrap();
        let model = snapshot.instantiate(Device::Cpu).unwrap();
        assert_eq!(
            tensor::to_host(model.parameters().values()).unwrap(),
            tensor::to_host(trainer.ema.average()).unwrap()
        );
        assert_eq!(model.parameters().fixed()[0].1, trainer.model.parameters().fixed()[0].1);
        let x = Tensor::ones([2, 4, 3], (Kind::Float, Device::Cpu));
        let sigma = Tensor::from_slice(&[0.5f32, 0.5]);
        let _guard = tch::no_grad_guard();
        let again = snapshot.instantiate(Device::Cpu).unwrap();
        assert_eq!(
            model.edm().denoise(model.denoiser(), &x, &sigma, None),
            again.edm().denoise(again.denoiser(), &x, &sigma, None)
        );
    }

    #[test]
    fn a_number_that_is_not_finite_stops_it_with_the_step_and_leaves_the_weights() {
        let mut trainer = trainer(Some(11));
        let (mut before, mut steps) = (tensor::to_host(trainer.model.parameters().values()).unwrap(), 0);
        let error = loop {
            match trainer.step() {
                Ok(report) => steps = report.step,
                Err(error) => break error,
            }
            before = tensor::to_host(trainer.model.parameters().values()).unwrap();
        };
        assert!(
            error.to_string().starts_with(&format!("training stopped at step {}: the loss is NaN", steps + 1)),
            "{error}"
        );
        assert_eq!(before, tensor::to_host(trainer.model.parameters().values()).unwrap());
        assert_eq!(trainer.steps_done(), steps);
    }

    #[test]
    fn parts_give_the_gradient_of_the_whole_batch() {
        let build = |parts| {
            let config = TrainerConfig { parts, batch: 15, ..trainer_config() };
            Trainer::new(config, model_config(), Arc::new(Constant { poisoned: None }), Seed::new(5), Device::Cpu)
                .unwrap()
        };
        let (mut one, mut four) = (build(1), build(4));
        for _ in 0..10 {
            let (a, b) = (one.step().unwrap(), four.step().unwrap());
            assert!((a.loss / b.loss - 1.0).abs() < 1e-4, "{a:?} {b:?}");
            assert!((a.gradient_norm / b.gradient_norm - 1.0).abs() < 1e-3, "{a:?} {b:?}");
        }
    }

    #[test]
    fn senseless_settings_are_refused_by_name() {
        for (name, bad) in [
            ("trainer.batch", TrainerConfig { batch: 0, ..trainer_config() }),
            ("trainer.learning_rate", TrainerConfig { learning_rate: f64::NAN, ..trainer_config() }),
            ("trainer.condition_dropout", TrainerConfig { condition_dropout: 1.5, ..trainer_config() }),
        ] {
            assert!(bad.validate().unwrap_err().to_string().contains(name));
        }
    }
}
