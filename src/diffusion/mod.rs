//! Diffusion over windows of numbers under one condition (Karras et al., 2022, "Elucidating the Design Space of
//! Diffusion-Based Generative Models", EDM). Nothing here knows of rewards, agents or tasks.
//!
//! A [`Denoiser`] is the raw network; [`Edm`] wraps it into the denoising function `D(x; sigma)` and its training
//! loss; a [`Solver`] walks from noise, or from a partly noised window, to a clean one, each of its slopes mixed by
//! [`Guidance`]. Randomness always comes in from outside: normals for the loss, a [`NoiseSource`] for sampling.
//!
//! Letters used in shapes: `B` windows, `T` rows of a window (`H` transitions and the state they end in), `D` numbers
//! in a row, `C` numbers in a condition.

mod batch;
mod denoiser;
mod edm;
mod ema;
mod embedding;
#[cfg(test)]
mod gaussian;
mod guidance;
mod mixer_unet;
mod model;
mod noise;
mod normalizer;
mod repeated;
mod replica;
mod residual_mlp;
mod schedule;
mod solver;
mod trainer;
mod vectors;
mod window_mixer;

pub use crate::training::{AdamW, AdamWConfig, Gradient, Layout, Parameters, RateSchedule, clip, norm};
pub use denoiser::{Condition, Denoiser, DenoiserConfig, Pass};
pub use edm::{Edm, Preconditioning};
pub use ema::{Ema, EmaConfig};
pub use guidance::{Guidance, GuidanceKind, Inpainting};
pub use mixer_unet::{MixerUnet, MixerUnetConfig};
pub use model::{Model, ModelConfig, Snapshot};
pub use noise::{NoiseSource, WindowNoise};
pub use normalizer::Normalizer;
pub use residual_mlp::{ResidualMlp, ResidualMlpConfig};
pub use schedule::{Churn, Schedule};
pub use solver::{Request, Solver, Start};
pub use trainer::{Examples, StepReport, Trainer, TrainerConfig};
pub use window_mixer::{WindowMixer, WindowMixerConfig};
