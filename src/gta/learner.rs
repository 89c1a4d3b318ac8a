//! Stage A of the paper: training the model behind a buffer, with checkpoints where it has a folder.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tch::Device;

use super::config::GtaConfig;
use super::examples::{TerminalCode, TrainingWindows};
use super::generator::{GtaBlueprint, share};
use crate::augment::{Blueprint, BoxError, Guide, Learner, Learning};
use crate::diffusion::Trainer;
use crate::{Result, background};

/// Trains, or goes on training, the diffusion model of a [`GtaConfig`].
pub struct GtaLearner {
    config: GtaConfig,
    folder: Option<PathBuf>,
    device: Device,
    model: Arc<OnceLock<GtaBlueprint>>,
}

impl GtaLearner {
    /// Name of the training checkpoint in a buffer's folder.
    pub const CHECKPOINT: &str = "model.safetensors";

    /// A learner that keeps its checkpoint in `folder`, if any, and goes on from the one it finds there.
    pub fn new(config: GtaConfig, folder: Option<PathBuf>, device: Device) -> Self {
        Self { config, folder, device, model: Arc::default() }
    }

    /// Puts the trained model into `slot` too.
    pub(super) fn publishing(self, slot: Arc<OnceLock<GtaBlueprint>>) -> Self {
        Self { model: slot, ..self }
    }

    /// The trainer, where it was left or at its start.
    fn trainer(&self, task: &Learning<'_>, code: TerminalCode) -> Result<Trainer> {
        let guide = task.guide();
        let model = self.config.model(guide.dataset(), guide.conditions())?;
        let examples = Arc::new(TrainingWindows::new(guide, code));
        let trainer = self.config.trainer.clone();
        match self.checkpoint().filter(|path| path.exists()) {
            Some(path) => Trainer::resume(&path, trainer, model, examples, task.seed(), self.device),
            None => Trainer::new(trainer, model, examples, task.seed(), self.device),
        }
    }

    fn checkpoint(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(Self::CHECKPOINT))
    }

    /// Trains to the end and returns the model as it is sampled.
    pub fn train(&mut self, task: &Learning<'_>) -> Result<GtaBlueprint, BoxError> {
        self.config.validate()?;
        let code = code(&self.config, task.guide());
        let mut trainer = self.trainer(task, code)?;
        let path = self.checkpoint();
        let saved = path.as_deref().map(|path| (path, self.config.checkpoint_every));
        background::train(&mut trainer, saved, task)?;
        Ok(GtaBlueprint::new(trainer.snapshot()?, &self.config, code, self.device))
    }
}

impl Learner for GtaLearner {
    fn learn(&mut self, task: &Learning<'_>) -> Result<Arc<dyn Blueprint>, BoxError> {
        let blueprint = self.train(task)?;
        // A learner learns once, so the slot is free.
        let _ = self.model.set(blueprint.clone());
        Ok(share(blueprint))
    }
}

/// How terminals are written for this data.
fn code(config: &GtaConfig, guide: &Guide) -> TerminalCode {
    TerminalCode::new(config.terminals, guide)
}
