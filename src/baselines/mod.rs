//! Other augmentations behind the same traits as GTA, to compare with.

mod s4rl;

pub use s4rl::{S4rl, S4rlBuffer};
