//! Single transitions as what a diffusion model learns and generates.

use replay::{Dataset, Spec, Windows};
use sha2::{Digest, Sha256};
use tch::Device;

use super::config::SynthErConfig;
use crate::augment::{Blueprint, BoxError, Generator, Prompts, Stop};
use crate::diffusion::{Examples, Guidance, Model, ModelConfig, Normalizer, Request, Snapshot, Solver, Start};
use crate::{Result, method, native};

/// A generated mark above this ends the task.
const TERMINAL: f32 = 0.5;

/// Numbers of a transition: observation, action, reward, next observation, and whether it ended the task (0 or 1).
fn numbers(spec: &Spec) -> usize {
    2 * spec.obs_dim + spec.action_dim + 2
}

/// The transitions of a dataset.
pub(super) struct TransitionExamples(pub(super) Dataset);

impl Examples for TransitionExamples {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, index: usize, values: &mut [f32], mask: &mut [f32]) -> f32 {
        let row = self.0.row(index);
        let parts = [row.observation, row.action, &[row.reward], row.next_observation];
        let numbers = parts.into_iter().flatten().copied().chain([f32::from(u8::from(row.terminated))]);
        values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        mask.fill(1.0);
        0.0
    }
}

/// Everything about the model but its weights. Terminals keep their units, as published.
pub(super) fn model_config(config: &SynthErConfig, dataset: &Dataset) -> Result<ModelConfig> {
    let (examples, dim) = (TransitionExamples(dataset.clone()), numbers(dataset.spec()));
    let (mut values, mut mask) = (vec![0.0; dataset.len() * dim], vec![0.0; dim]);
    for (index, row) in values.chunks_exact_mut(dim).enumerate() {
        examples.read(index, row, &mut mask);
    }
    let mut normalizer = Normalizer::fit(dim, values.chunks_exact(dim))?;
    (normalizer.mean[dim - 1], normalizer.std[dim - 1]) = (0.0, 1.0);
    Ok(ModelConfig {
        denoiser: config.denoiser.clone(),
        edm: config.edm,
        rows: 1,
        row_dim: dim,
        normalizer,
        condition: Normalizer { mean: vec![0.0], std: vec![1.0] },
    })
}

/// A trained model and how to sample from it, at rest.
#[derive(Clone, Debug)]
pub struct SynthErBlueprint {
    snapshot: Snapshot,
    solver: Solver,
    device: Device,
}

impl SynthErBlueprint {
    pub(super) fn new(snapshot: Snapshot, solver: Solver, device: Device) -> Self {
        Self { snapshot, solver, device }
    }

    /// The model.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Blueprint for SynthErBlueprint {
    fn build(&self) -> Result<Box<dyn Generator>, BoxError> {
        // As for GTA: one intra-op thread for each worker.
        native::set_threads(1);
        let model = self.snapshot.instantiate(self.device)?;
        Ok(Box::new(SynthErGenerator { model, solver: self.solver, stop: Stop::default() }))
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update("synther");
        hash.update(self.snapshot.hash());
        hash.update(serde_json::to_vec(&self.solver).expect("settings are plain data"));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Draws transitions from pure noise. Of its prompts only the random streams matter.
pub struct SynthErGenerator {
    model: Model,
    solver: Solver,
    stop: Stop,
}

impl Generator for SynthErGenerator {
    fn generate(&mut self, prompts: &Prompts) -> Result<Windows, BoxError> {
        let request = Request { start: Start::Noise, condition: None, guidance: Guidance::none(), inpainting: None };
        let values = method::sample(&self.model, &self.solver, &request, prompts, &self.stop)?;
        let mut windows = prompts.windows.clone();
        for (index, numbers) in values.chunks_exact(self.model.config().row_dim).enumerate() {
            write(&mut windows, index, numbers);
        }
        Ok(windows)
    }

    fn stop_when(&mut self, stop: Stop) {
        self.stop = stop;
    }
}

/// Puts a transition's numbers in the place of a window of one transition.
fn write(windows: &mut Windows, index: usize, numbers: &[f32]) {
    let (dim, obs) = (windows.row_dim(), windows.obs_dim());
    let (first, rest) = numbers.split_at(dim);
    let (next, terminal) = rest.split_at(obs);
    let rows = windows.window_mut(index);
    rows[..dim].copy_from_slice(first);
    rows[dim..dim + obs].copy_from_slice(next);
    rows[dim + obs..].fill(0.0);
    windows.lengths[index] = 1;
    windows.terminated[index] = terminal[0] > TERMINAL;
}

#[cfg(test)]
mod tests {
    use super::super::SynthErLearner;
    use super::*;
    use crate::augment::{Guide, GuideConfig, Learner, Learning};
    use crate::diffusion::{DenoiserConfig, EmaConfig, RateSchedule, ResidualMlpConfig, TrainerConfig};
    use replay::{Seed, Transition, fill_normal};

    /// Episodes of one to four steps: `s' = s + a`, reward `2 s`, over where `s' > 1`.
    fn dataset() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        let mut draws = vec![0.0; 4000];
        fill_normal(&mut Seed::new(3).rng(), &mut draws);
        for (step, draw) in draws.chunks_exact(2).enumerate() {
            let (s, a) = (draw[0], 0.5 * draw[1]);
            let (next, terminated) = (s + a, s + a > 1.0);
            let row = Transition {
                observation: &[s],
                action: &[a],
                reward: 2.0 * s,
                next_observation: &[next],
                terminated,
                truncated: !terminated && step % 4 == 3,
            };
            builder.push(row).unwrap();
        }
        builder.build().unwrap()
    }

    fn config() -> SynthErConfig {
        SynthErConfig {
            denoiser: DenoiserConfig::ResidualMlp(ResidualMlpConfig { width: 64, depth: 2, embedding: 32 }),
            trainer: TrainerConfig {
                steps: 1500,
                batch: 128,
                learning_rate: 3e-3,
                schedule: RateSchedule::Trapezoid { warmup: 50, cooldown: 0.5 },
                ema: EmaConfig::PowerFunction { exponent: 8.0 },
                parts: 1,
                ..SynthErConfig::default().trainer
            },
            ..SynthErConfig::default()
        }
    }

    fn guide() -> Guide {
        Guide::new(&dataset(), GuideConfig { horizon: 1, ..GuideConfig::default() }, Seed::new(1)).unwrap()
    }

    #[test]
    fn an_example_written_back_is_the_transition() {
        let (guide, dataset) = (guide(), dataset());
        let examples = TransitionExamples(dataset.clone());
        let mut windows = guide.prompts(0, 1).windows;
        let (mut numbers, mut mask) = (vec![0.0; 5], vec![0.0; 5]);
        let ends = (0..dataset.len()).filter(|&row| dataset.row(row).terminated).count();
        assert!(ends > 100, "{ends}");
        for index in 0..dataset.len() {
            examples.read(index, &mut numbers, &mut mask);
            assert_eq!(mask, [1.0; 5]);
            write(&mut windows, 0, &numbers);
            let (got, expected) = (windows.transition(0, 0), dataset.row(index));
            assert_eq!((got.observation, got.action), (expected.observation, expected.action));
            assert_eq!((got.reward, got.next_observation), (expected.reward, expected.next_observation));
            assert_eq!((got.terminated, got.truncated), (expected.terminated, !expected.terminated));
        }
        assert_eq!(examples.len(), dataset.len());
    }

    #[test]
    fn terminals_keep_their_units() {
        let model = model_config(&config(), &dataset()).unwrap();
        assert_eq!((model.rows, model.row_dim), (1, 5));
        assert_eq!((model.normalizer.mean[4], model.normalizer.std[4]), (0.0, 1.0));
        assert!((model.normalizer.std[2] - 2.0).abs() < 0.1, "rewards are normalised: {:?}", model.normalizer);
    }

    #[test]
    fn it_draws_from_the_joint_distribution_of_a_transition() {
        let guide = guide();
        let task = Learning::new(&guide, Seed::new(2));
        let blueprint = SynthErLearner::new(config(), None, Device::Cpu).learn(&task).unwrap();
        let mut generator = blueprint.build().unwrap();
        let windows = generator.generate(&guide.prompts(0, 2000)).unwrap();
        let rows: Vec<Transition<'_>> = (0..windows.len()).map(|index| windows.transition(index, 0)).collect();
        let mean = |of: &dyn Fn(&Transition<'_>) -> f32| {
            rows.iter().map(|row| f64::from(of(row))).sum::<f64>() / rows.len() as f64
        };
        let state = |row: &Transition<'_>| row.observation[0];
        assert!(mean(&state).abs() < 0.1 && (mean(&|row| state(row).powi(2)) - 1.0).abs() < 0.2);
        // What follows from state and action, in units of its own deviation: 1.1 for the next state, 2 for the reward.
        let next = mean(&|row| (row.next_observation[0] - state(row) - row.action[0]).powi(2)).sqrt();
        let reward = mean(&|row| (row.reward - 2.0 * state(row)).powi(2)).sqrt();
        assert!(next < 0.15 && reward < 0.3, "errors of {next} and {reward}");
        let wrong = mean(&|row| if row.terminated == (row.next_observation[0] > 1.0) { 0.0 } else { 1.0 });
        let ended = mean(&|row| if row.terminated { 1.0 } else { 0.0 });
        assert!(wrong < 0.05 && (0.1..0.28).contains(&ended), "{wrong} of the ends are wrong, {ended} ended");

        // A transition does not depend on its company, but for how products of other sizes are rounded.
        let part = generator.generate(&guide.prompts(7, 2)).unwrap();
        let apart = part.window(1).iter().zip(windows.window(8)).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) < 1e-4);
    }
}
