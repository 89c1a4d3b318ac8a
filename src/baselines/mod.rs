//! Other augmentations behind the same traits as GTA, to compare with.

mod repeat;
mod s4rl;
mod synther;

pub use repeat::Repeat;
pub use s4rl::{S4rl, S4rlBuffer};
pub use synther::{SynthErBlueprint, SynthErBuffer, SynthErBuilder, SynthErConfig, SynthErGenerator, SynthErLearner};
