//! Training the model behind a buffer, with checkpoints where it has a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tch::Device;

use super::{Lesson, Method};
use crate::Result;
use crate::augment::{self, Blueprint, BoxError, Guide, Learner, Learning, Progress};
use crate::diffusion::{StepReport, Trainer};

/// Trains, or goes on training, the diffusion model of a [`Method`].
pub struct MethodLearner<M: Method> {
    method: M,
    folder: Option<PathBuf>,
    device: Device,
    model: Arc<OnceLock<M::Model>>,
}

impl<M: Method> MethodLearner<M> {
    /// Name of the training checkpoint in a buffer's folder.
    pub const CHECKPOINT: &str = "model.safetensors";

    /// A learner that keeps its checkpoint in `folder`, if any, and goes on from the one it finds there.
    pub fn new(method: M, folder: Option<PathBuf>, device: Device) -> Self {
        Self { method, folder, device, model: Arc::default() }
    }

    /// Puts the trained model into `slot` too.
    pub(super) fn publishing(self, slot: Arc<OnceLock<M::Model>>) -> Self {
        Self { model: slot, ..self }
    }

    /// The trainer, where it was left or at its start.
    fn trainer(&self, task: &Learning<'_>, guide: &Guide, checkpoint: Option<&Path>) -> Result<Trainer> {
        let Lesson { model, examples } = self.method.lesson(guide)?;
        let (config, device) = (self.method.trainer().clone(), self.device);
        match checkpoint.filter(|path| path.exists()) {
            Some(path) => Trainer::resume(path, config, model, examples, task.seed(), device),
            None => Trainer::new(config, model, examples, task.seed(), device),
        }
    }

    /// Trains to the end and returns the model as it is sampled.
    ///
    /// A span `training` of the log (`tracing`) holds all of it.
    pub fn train(&mut self, task: &Learning<'_>) -> Result<M::Model, BoxError> {
        self.method.validate()?;
        let _span = tracing::info_span!("training", method = M::NAME, steps = self.method.trainer().steps).entered();
        let part = self.method.augment().learned(task.guide())?;
        let guide = part.as_ref().unwrap_or(task.guide());
        let path = self.folder.as_ref().map(|folder| folder.join(Self::CHECKPOINT));
        let mut trainer = self.trainer(task, guide, path.as_deref())?;
        let (began, first) = (Instant::now(), trainer.steps_done());
        take_steps(&mut trainer, path.as_deref().map(|path| (path, self.method.checkpoint_every())), task)?;
        let (seconds, now) = (began.elapsed().as_secs_f64(), trainer.steps() - first);
        tracing::info!(seconds, steps_now = now, "model trained");
        Ok(self.method.model(trainer.snapshot()?, guide, self.device))
    }
}

/// Takes the steps that `trainer` has left, with a checkpoint at `saved` after every so many.
fn take_steps(trainer: &mut Trainer, saved: Option<(&Path, u64)>, task: &Learning<'_>) -> Result<(), BoxError> {
    let total = trainer.steps();
    let mut smoothed = f64::NAN;
    while !trainer.is_done() {
        if !task.proceed() {
            return Err(augment::Error::Stopped.into());
        }
        let StepReport { step, loss, .. } = trainer.step()?;
        smoothed = if smoothed.is_nan() { loss } else { smoothed + 0.02 * (loss - smoothed) };
        task.report(Progress { step, total, loss: smoothed });
        if let Some((path, every)) = saved
            && (step.is_multiple_of(every) || trainer.is_done())
        {
            trainer.save(path)?;
        }
    }
    Ok(())
}

impl<M: Method> Learner for MethodLearner<M> {
    fn learn(&mut self, task: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> {
        let model = self.train(task)?;
        // A learner learns once, so the slot is free.
        let _ = self.model.set(model.clone());
        Ok(Arc::new(model))
    }
}
