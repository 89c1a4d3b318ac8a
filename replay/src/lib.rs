//! Offline reinforcement-learning data: transitions, episodes, windows, and the files they are kept in.
//!
//! Data flows one way: a file becomes a [`Dataset`] (immutable columns and an episode index), a dataset is sampled
//! into a [`Batch`] of transitions or cut into [`Windows`] of consecutive rows. Terminated and truncated stay apart
//! from file to batch, and nothing crosses an episode's end.
//!
//! Letters used in shapes: `B` rows of a batch, `H` transitions of a window (the horizon), `O` observation size,
//! `A` action size, `D = O + A + 1` numbers of a window's row.

mod batch;
mod dataset;
mod error;
pub mod returns;
mod rng;
mod spec;
mod traits;
mod windows;

pub use batch::{Batch, Source, Transition};
pub use dataset::{Dataset, DatasetBuilder, Ending, Episode, States};
pub use error::{Error, Result};
pub use rng::{Rng, Seed, fill_normal};
pub use spec::Spec;
pub use traits::{Replay, Trajectories};
pub use windows::{WindowIndex, Windows};
