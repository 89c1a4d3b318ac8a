//! What training steps learn from, drawn ahead in a thread of its own.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, bounded};
use rand::RngExt;
use replay::{Seed, fill_normal};
use tch::{Device, Tensor};

use super::model::ModelConfig;
use super::{Condition, Examples};
use crate::{Error, Result, tensor};

/// What one step, or a part of it, learns from, on the device.
pub(super) struct TrainingBatch {
    /// Clean windows, normalised, `[B, T, D]`.
    pub(super) values: Tensor,
    /// Which numbers count, `[B, T, D]`, each 0 or 1.
    pub(super) mask: Tensor,
    /// What each window is told, `[B, 1]`.
    pub(super) condition: Condition,
    /// Noise levels, `[B]`.
    pub(super) sigma: Tensor,
    /// Standard normal noise, `[B, T, D]`.
    pub(super) noise: Tensor,
}

impl TrainingBatch {
    /// Windows.
    pub(super) fn rows(&self) -> i64 {
        self.sigma.size()[0]
    }

    /// `rows` of the windows from `start` on, as views.
    pub(super) fn part(&self, start: i64, rows: i64) -> Self {
        self.map(|tensor| Ok(tensor.f_narrow(0, start, rows)?)).expect("a part lies within its batch")
    }

    /// All its tensors, to enter work that is recorded; [`of_tensors`](Self::of_tensors) is the way back.
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let Self { values, mask, condition, sigma, noise } = self;
        [values, mask, sigma, noise, &condition.value].into_iter().chain(&condition.keep).collect()
    }

    /// The batch whose tensors these are.
    ///
    /// # Panics
    /// If there are not as many as [`tensors`](Self::tensors) gives.
    pub(super) fn of_tensors(tensors: &[Tensor]) -> Self {
        let own = |index: usize| tensors[index].shallow_clone();
        let condition = Condition { value: own(4), keep: tensors.get(5).map(Tensor::shallow_clone) };
        Self { values: own(0), mask: own(1), sigma: own(2), noise: own(3), condition }
    }

    fn map(&self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let Self { values, mask, condition: Condition { value, keep }, sigma, noise } = self;
        let condition = Condition { value: f(value)?, keep: keep.as_ref().map(&f).transpose()? };
        Ok(Self { values: f(values)?, mask: f(mask)?, condition, sigma: f(sigma)?, noise: f(noise)? })
    }
}

/// How batches are drawn: that of a step is a function of the seed and the step's number alone.
#[derive(Clone)]
pub(super) struct Draw {
    pub(super) examples: Arc<dyn Examples>,
    pub(super) model: ModelConfig,
    pub(super) seed: Seed,
    /// Windows in a batch.
    pub(super) batch: usize,
    /// Probability that a window loses its condition.
    pub(super) condition_dropout: f64,
}

impl Draw {
    /// The batch of step `step` (counted from 0), in the host's memory.
    fn draw(&self, step: u64) -> Result<TrainingBatch> {
        let mut rng = self.seed.fork("step", step).rng();
        let ModelConfig { rows, row_dim: dim, normalizer, condition, edm, .. } = &self.model;
        let (count, size) = (self.batch, rows * dim);
        let (mut values, mut mask) = (vec![0.0; count * size], vec![0.0; count * size]);
        let mut conditions = vec![0.0; count];
        for ((values, mask), condition) in
            values.chunks_exact_mut(size).zip(mask.chunks_exact_mut(size)).zip(&mut conditions)
        {
            *condition = self.examples.read(rng.random_range(0..self.examples.len()), values, mask);
        }
        normalizer.normalize(&mut values);
        condition.normalize(&mut conditions);
        let keep = |_| if rng.random::<f64>() < self.condition_dropout { 0.0 } else { 1.0 };
        let keep: Vec<f32> = (0..count).map(keep).collect();
        let (mut sigma, mut noise) = (vec![0.0; count], vec![0.0; count * size]);
        fill_normal(&mut rng, &mut sigma);
        fill_normal(&mut rng, &mut noise);
        sigma.iter_mut().for_each(|s| *s = edm.training_sigma(f64::from(*s)) as f32);
        let (b, t, d) = (count as i64, *rows as i64, *dim as i64);
        let host = |values: &[f32], shape: &[i64]| tensor::from_host(values, shape, Device::Cpu);
        Ok(TrainingBatch {
            values: host(&values, &[b, t, d])?,
            mask: host(&mask, &[b, t, d])?,
            condition: Condition { value: host(&conditions, &[b, 1])?, keep: Some(host(&keep, &[b, 1])?) },
            sigma: host(&sigma, &[b])?,
            noise: host(&noise, &[b, t, d])?,
        })
    }
}

/// A thread that draws the batches of steps to come, one ahead of the one that waits, and for a GPU puts them where it copies
/// from by itself.
///
/// It starts with the first batch asked for. Dropping it ends and joins the thread; a panic in it reaches the owner at
/// the next batch.
pub(super) struct Ahead {
    draw: Draw,
    device: Device,
    /// The step whose batch comes next, and the thread.
    running: Option<(u64, Receiver<Result<TrainingBatch>>, JoinHandle<()>)>,
}

impl Ahead {
    pub(super) fn new(draw: Draw, device: Device) -> Self {
        Self { draw, device, running: None }
    }

    /// The batch of step `step`, on the device. Steps are asked for one after the other; any other order costs a new
    /// thread.
    pub(super) fn take(&mut self, step: u64) -> Result<TrainingBatch> {
        if self.running.as_ref().is_none_or(|running| running.0 != step) {
            self.stop();
            self.running = Some(self.start(step)?);
        }
        let (next, batches, _) = self.running.as_mut().expect("it was started");
        *next += 1;
        match batches.recv() {
            Ok(batch) => batch?.map(|pinned| tensor::queued(pinned, self.device)),
            Err(_) => {
                // The thread ends early only by a panic.
                match self.running.take().map(|(_, _, thread)| thread.join()) {
                    Some(Err(panic)) => resume_unwind(panic),
                    _ => Err(Error::Stopped),
                }
            }
        }
    }

    fn start(&self, first: u64) -> Result<(u64, Receiver<Result<TrainingBatch>>, JoinHandle<()>)> {
        let (sender, batches) = bounded(1);
        let (draw, device) = (self.draw.clone(), self.device);
        let work = move || {
            for step in first.. {
                let batch =
                    draw.draw(step).and_then(|batch| batch.map(|host| tensor::pinned(host.shallow_clone(), device)));
                if sender.send(batch).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("gta-batches".into()).spawn(work);
        Ok((first, batches, thread.map_err(Error::io("thread for training"))?))
    }

    fn stop(&mut self) {
        if let Some((_, batches, thread)) = self.running.take() {
            drop(batches);
            // A panic was handed to the owner already, or is of no interest to it any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::diffusion::{DenoiserConfig, Edm, Normalizer};

    /// Windows whose every number is their own; the last one cannot be read.
    struct Numbers {
        readable: usize,
    }

    impl Examples for Numbers {
        fn len(&self) -> usize {
            1000
        }

        fn read(&self, index: usize, values: &mut [f32], mask: &mut [f32]) -> f32 {
            assert!(index < self.readable, "window {index} cannot be read");
            values.fill(index as f32);
            mask.fill(1.0);
            index as f32
        }
    }

    fn ahead(readable: usize) -> Ahead {
        let units = |dim: usize| Normalizer { mean: vec![0.0; dim], std: vec![1.0; dim] };
        let model = ModelConfig {
            denoiser: DenoiserConfig::default(),
            edm: Edm::default(),
            rows: 2,
            row_dim: 3,
            normalizer: units(3),
            condition: units(1),
        };
        let examples = Arc::new(Numbers { readable });
        Ahead::new(Draw { examples, model, seed: Seed::new(1), batch: 8, condition_dropout: 0.5 }, Device::Cpu)
    }

    fn numbers(batch: &TrainingBatch) -> Vec<Vec<f32>> {
        let TrainingBatch { values, mask, condition, sigma, noise } = batch;
        let keep = condition.keep.as_ref().unwrap();
        [values, mask, &condition.value, keep, sigma, noise].map(|t| tensor::to_host(t).unwrap()).to_vec()
    }

    #[test]
    fn a_steps_batch_is_the_same_in_whatever_order_steps_are_asked_for() {
        let mut in_order = ahead(1000);
        let batches: Vec<_> = (0..6).map(|step| numbers(&in_order.take(step).unwrap())).collect();
        assert!(batches.windows(2).all(|pair| pair[0] != pair[1]));
        let mut jumping = ahead(1000);
        for step in [4, 5, 0, 3] {
            assert_eq!(numbers(&jumping.take(step).unwrap()), batches[step as usize], "step {step}");
        }
        // What each window is told goes with it.
        assert_eq!(batches[0][0].iter().step_by(6).collect::<Vec<_>>(), batches[0][2].iter().collect::<Vec<_>>());
    }

    #[test]
    fn its_tensors_make_the_batch_again() {
        let batch = ahead(1000).take(0).unwrap();
        let tensors: Vec<Tensor> = batch.tensors().into_iter().map(Tensor::shallow_clone).collect();
        assert_eq!((numbers(&TrainingBatch::of_tensors(&tensors)), tensors.len()), (numbers(&batch), 6));
        assert!(TrainingBatch::of_tensors(&tensors[..5]).condition.keep.is_none());
    }

    #[test]
    fn a_panic_while_drawing_reaches_the_step_that_needs_the_batch() {
        let mut broken = ahead(0);
        for _ in 0..2 {
            let panic = catch_unwind(AssertUnwindSafe(|| broken.take(0).map(|_| ()))).unwrap_err();
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.contains("cannot be read"), "{text}");
        }
    }
}
