//! GTA on any buffer: the diffusion model as what an augmented buffer learns and generates with.
//!
//! [`GtaBuffer::wrap`] is all most users need. [`GtaConfig`] holds every setting, [`GtaLearner`] is stage A of the
//! paper (training), [`GtaBlueprint`] stage B (partial noising and guided denoising).

mod buffer;
mod config;
mod examples;
mod export;
mod generator;
mod learner;
mod watch;

pub(crate) use buffer::pick;
pub use buffer::{GtaBuffer, GtaBuilder};
pub use config::{ConditionUnits, GtaConfig, Mu, Terminals};
pub use export::{Contents, Target};
pub use generator::{GtaBlueprint, GtaGenerator};
pub use learner::GtaLearner;
pub use watch::{QualityRecord, QualityWatch};
