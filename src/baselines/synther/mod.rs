//! SynthER (Lu et al., "Synthetic Experience Replay", NeurIPS 2023): single transitions, their ends included, drawn from
//! an unconditional diffusion model. Where GTA starts from a real sub-trajectory and a return to reach, this starts
//! from noise and reaches what the data has.

mod config;
mod model;

use std::sync::Arc;

use serde_json::json;
use tch::Device;

use crate::Result;
use crate::augment::{AugmentConfig, Guide};
use crate::diffusion::{Snapshot, TrainerConfig};
use crate::method::{Lesson, Method, MethodBuffer, MethodBuilder, MethodLearner, in_words};

pub use config::SynthErConfig;
pub use model::{SynthErBlueprint, SynthErGenerator};

/// A buffer that serves, once its pool is ready, transitions drawn from a diffusion model of `R`'s transitions; by
/// default these only.
///
/// Nothing runs until the first sample; see [`Augmented`](crate::augment::Augmented), to which this dereferences, for
/// what happens then and for `start`, `status`, `pause`, `wait_ready`, `fill_to` and `pool`.
///
/// ```no_run
/// use gta::baselines::SynthErBuffer;
/// use gta::replay::{Replay, Seed, formats};
///
/// let (dataset, _) = formats::open("halfcheetah_medium-v2.hdf5")?;
/// let mut buffer = SynthErBuffer::wrap(dataset)?;
/// buffer.fill_to(100_000)?;
/// let batch = buffer.sample(256, &mut Seed::new(0).rng())?;
/// # Ok::<(), gta::Error>(())
/// ```
pub type SynthErBuffer<R> = MethodBuffer<R, SynthErConfig>;

/// Settings of a [`SynthErBuffer`] that are not in its [`SynthErConfig`].
pub type SynthErBuilder<R> = MethodBuilder<R, SynthErConfig>;

/// Trains, or goes on training, the diffusion model of a [`SynthErConfig`].
pub type SynthErLearner = MethodLearner<SynthErConfig>;

impl Method for SynthErConfig {
    type Model = SynthErBlueprint;

    const NAME: &'static str = "SynthER (Lu et al., NeurIPS 2023)";

    const CITATION: Option<&'static str> =
        Some("Cong Lu, Philip J. Ball, Yee Whye Teh, Jack Parker-Holder: Synthetic Experience Replay. NeurIPS 2023.");

    fn presets() -> Vec<(&'static str, Self)> {
        // The paper's batch is smaller for small datasets.
        vec![
            ("compact", Self::default()),
            ("paper", Self::paper(usize::MAX)),
            ("paper for small datasets", Self::paper(0)),
        ]
    }

    fn in_brief(&self) -> Vec<(&'static str, String)> {
        vec![("solver", in_words(&self.solver))]
    }

    fn validate(&self) -> Result<()> {
        SynthErConfig::validate(self)
    }

    fn augment(&self) -> &AugmentConfig {
        &self.augment
    }

    fn augment_mut(&mut self) -> &mut AugmentConfig {
        &mut self.augment
    }

    fn trainer(&self) -> &TrainerConfig {
        &self.trainer
    }

    fn checkpoint_every(&self) -> u64 {
        self.checkpoint_every
    }

    fn training_key(&self) -> serde_json::Value {
        let Self { augment, denoiser, edm, trainer, .. } = self;
        json!({
            "method": Self::NAME,
            "denoiser": denoiser,
            "edm": edm,
            "trainer": trainer,
            "learn_from": augment.learn_from,
            "seed": augment.seed,
        })
    }

    fn lesson(&self, guide: &Guide) -> Result<Lesson> {
        let dataset = guide.dataset();
        let examples = Arc::new(model::TransitionExamples(dataset.clone()));
        Ok(Lesson { model: model::model_config(self, dataset)?, examples })
    }

    fn model(&self, trained: Snapshot, _: &Guide, device: Device) -> SynthErBlueprint {
        SynthErBlueprint::new(trained, self.solver, device)
    }
}
