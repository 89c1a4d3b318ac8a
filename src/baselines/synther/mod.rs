//! SynthER (Lu et al., "Synthetic Experience Replay", NeurIPS 2023): single transitions, their ends included, drawn from
//! an unconditional diffusion model. Where GTA starts from a real sub-trajectory and a return to reach, this starts
//! from noise and reaches what the data has.

mod buffer;
mod config;
mod model;

pub use buffer::{SynthErBuffer, SynthErBuilder};
pub use config::SynthErConfig;
pub use model::{SynthErBlueprint, SynthErGenerator, SynthErLearner};
