//! What all augmentations by a diffusion model have in common: a buffer that learns, generates and serves in background
//! threads, checkpoints, judging, exports. What sets them apart is a [`Method`]: [`GtaConfig`](crate::GtaConfig) makes a
//! [`GtaBuffer`](crate::GtaBuffer) of it, [`SynthErConfig`](crate::baselines::SynthErConfig) a
//! [`SynthErBuffer`](crate::baselines::SynthErBuffer).

mod buffer;
mod card;
mod export;
mod learner;
mod picked;
mod sampling;
mod watch;

use std::sync::Arc;

use serde::Serialize;
use tch::Device;

use crate::Result;
use crate::augment::{AugmentConfig, Blueprint, Guide};
use crate::diffusion::{Examples, ModelConfig, Snapshot, TrainerConfig};

pub use buffer::{MethodBuffer, MethodBuilder};
pub(crate) use card::in_words;
pub use export::{Contents, Exported, Origin, Target};
pub use learner::MethodLearner;
pub(crate) use picked::{Picked, pick};
pub(crate) use sampling::sample;
pub use watch::{QualityRecord, QualityWatch};

/// An augmentation by a diffusion model: all its settings, what its model learns, and how that model generates.
pub trait Method: Clone + Serialize + Send + 'static {
    /// The trained model with the settings of sampling, at rest.
    type Model: Blueprint + Clone + 'static;

    /// What provenance calls it, with its source.
    const NAME: &'static str;

    /// The paper to cite for it, if there is one.
    const CITATION: Option<&'static str> = None;

    /// Settings with a name, which an export's card tells others by.
    fn presets() -> Vec<(&'static str, Self)> {
        Vec::new()
    }

    /// What decides how windows are generated, for an export's card: names and values.
    fn in_brief(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Fails where a number lies outside of what its field's documentation allows.
    fn validate(&self) -> Result<()>;

    /// Mixing, prompts, pool, filter, threads, seed.
    fn augment(&self) -> &AugmentConfig;

    /// The same, to be changed.
    fn augment_mut(&mut self) -> &mut AugmentConfig;

    /// How the model is trained.
    fn trainer(&self) -> &TrainerConfig;

    /// Steps between two checkpoints, where there is a folder.
    fn checkpoint_every(&self) -> u64;

    /// All settings that decide what model training ends with: methods that agree in these can share one.
    fn training_key(&self) -> serde_json::Value;

    /// What is learned from the windows of `guide`.
    fn lesson(&self, guide: &Guide) -> Result<Lesson>;

    /// The model for sampling, when training on the windows of `guide` is done.
    fn model(&self, trained: Snapshot, guide: &Guide, device: Device) -> Self::Model;
}

/// What a model learns.
pub struct Lesson {
    /// Everything about the model but its weights.
    pub model: ModelConfig,
    /// What it is shown.
    pub examples: Arc<dyn Examples>,
}
