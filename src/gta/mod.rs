//! GTA on any buffer: the diffusion model as what an augmented buffer learns and generates with.
//!
//! [`GtaBuffer::wrap`] is all most users need. [`GtaConfig`] holds every setting; [`GtaLearner`] is stage A of the paper
//! (training), [`GtaBlueprint`] stage B (partial noising and guided denoising).

mod config;
mod examples;
mod generator;
mod presets;
mod suggest;

use std::sync::Arc;

use serde_json::json;
use tch::Device;

use crate::Result;
use crate::augment::{Aim, AugmentConfig, Guide};
use crate::diffusion::{Snapshot, TrainerConfig};
use crate::method::{Lesson, Method, MethodBuffer, MethodBuilder, MethodLearner, in_words};

pub use config::{ConditionUnits, Conditioning, GtaConfig, Mu, Terminals};
use examples::{TerminalCode, TrainingWindows};
pub use generator::{GtaBlueprint, GtaGenerator};
pub use suggest::{Findings, Suggestion};

/// A buffer that serves, beside the rows of `R`, transitions generated from its trajectories under amplified returns.
///
/// Nothing runs until the first sample; see [`Augmented`](crate::augment::Augmented), to which this dereferences, for
/// what happens then and for `start`, `status`, `pause`, `wait_ready`, `fill_to` and `pool`.
///
/// ```no_run
/// use gta::{GtaBuffer, replay::{Replay, Seed, formats}};
///
/// let (dataset, report) = formats::open("halfcheetah_medium-v2.hdf5")?;
/// println!("{report}");
/// let mut buffer = GtaBuffer::wrap(dataset)?;
/// let mut rng = Seed::new(0).rng();
/// let batch = buffer.sample(256, &mut rng)?; // real rows now, half generated ones once the pool is ready
/// println!("{} rows; {}", batch.len(), buffer.status());
/// # Ok::<(), gta::Error>(())
/// ```
pub type GtaBuffer<R> = MethodBuffer<R, GtaConfig>;

/// Settings of a [`GtaBuffer`] that are not in its [`GtaConfig`].
pub type GtaBuilder<R> = MethodBuilder<R, GtaConfig>;

/// Trains, or goes on training, the diffusion model of a [`GtaConfig`].
pub type GtaLearner = MethodLearner<GtaConfig>;

impl Method for GtaConfig {
    type Model = GtaBlueprint;

    const NAME: &'static str = "GTA (Lee et al., NeurIPS 2024)";

    const CITATION: Option<&'static str> = Some(
        "Jaewoo Lee, Sujin Yun, Taeyoung Yun, Jinkyoo Park: GTA: Generative Trajectory Augmentation with Guidance for \
         Offline Reinforcement Learning. NeurIPS 2024.",
    );

    fn presets() -> Vec<(&'static str, Self)> {
        vec![("compact", Self::default()), ("paper", Self::paper())]
    }

    fn in_brief(&self) -> Vec<(&'static str, String)> {
        let guide = self.guide();
        let asked = match (self.conditioning, guide.aim) {
            (Conditioning::None, _) => "none".into(),
            (Conditioning::RewardInpainting, _) => format!("rewards of the prompt, amplified by {}", guide.alpha.get()),
            (Conditioning::Return, Aim::Amplified) => format!("that of the prompt, amplified by {}", guide.alpha.get()),
            (Conditioning::Return, Aim::Fixed { quantile }) => format!("quantile {quantile} of the data's"),
        };
        let guidance = match (self.conditioning, self.guidance.above) {
            (Conditioning::Return, 0.0) => self.guidance.weight.to_string(),
            (Conditioning::Return, above) => format!("{} at noise levels of {above} and more", self.guidance.weight),
            _ => "none".into(),
        };
        vec![
            ("horizon", format!("{} transitions", guide.horizon)),
            ("noise, mu", self.mu.get().to_string()),
            ("alpha", guide.alpha.get().to_string()),
            ("return asked for", asked),
            ("what a return is", in_words(&guide.condition)),
            ("guidance, w", guidance),
            ("solver", in_words(&self.solver)),
            ("ends of the task", in_words(&self.terminals)),
        ]
    }

    fn validate(&self) -> Result<()> {
        GtaConfig::validate(self)
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
        let Self { augment, denoiser, edm, trainer, terminals, condition_units, .. } = self;
        let guide = &augment.guide;
        json!({
            "method": Self::NAME,
            "denoiser": denoiser,
            "edm": edm,
            "trainer": trainer,
            "terminals": terminals,
            "condition_units": condition_units,
            "windows": [json!(guide.horizon), json!(guide.condition), json!(guide.scale), json!(guide.terminal_penalty)],
            "learn_from": augment.learn_from,
            "seed": augment.seed,
        })
    }

    fn lesson(&self, guide: &Guide) -> Result<Lesson> {
        let code = TerminalCode::new(self.terminals, guide);
        Ok(Lesson {
            model: self.model_config(guide.dataset(), guide.conditions())?,
            examples: Arc::new(TrainingWindows::new(guide, code)),
        })
    }

    fn model(&self, trained: Snapshot, guide: &Guide, device: Device) -> GtaBlueprint {
        GtaBlueprint::new(trained, self, TerminalCode::new(self.terminals, guide), device)
    }
}
