//! Offline reinforcement-learning data: transitions, episodes, windows, and the files they are kept in.
//!
//! Data flows one way: a file becomes a [`Dataset`] (immutable columns and an episode index), a dataset is sampled
//! into a [`Batch`] of transitions or cut into [`Windows`] of consecutive rows. Terminated and truncated stay apart
//! from file to batch, and nothing crosses an episode's end.
//! [`formats`] reads and writes D4RL and Minari files, and V-D4RL's pixels ([`Frames`]); [`ReplayBuffer`] grows; a [`Sampler`] says what is drawn next.
//! [`catalog`] finds datasets by id, and the module `fetch` downloads them, where the feature `fetch` is on.
//!
//! ```no_run
//! use replay::{Replay, Seed, WindowIndex};
//!
//! let (mut dataset, report) = replay::formats::open("halfcheetah_medium-v2.hdf5")?;
//! println!("{report}");
//! let batch = dataset.sample(256, &mut Seed::new(0).rng())?;
//! let windows = WindowIndex::new(&dataset, 31)?;
//! println!("{} transitions drawn, {} windows", batch.len(), windows.len());
//! # Ok::<(), replay::Error>(())
//! ```
//!
//! Letters used in shapes: `B` rows of a batch, `H` transitions of a window (the horizon), `O` observation size,
//! `A` action size, `D = O + A + 1` numbers of a window's row.

mod ahead;
mod batch;
mod buffer;
mod builder;
pub mod catalog;
mod columns;
mod dataset;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
pub mod formats;
mod frames;
mod moments;
mod pages;
pub mod returns;
mod rng;
mod sampler;
mod spec;
mod states;
mod traits;
mod windows;

pub use ahead::{ask_for, gather};
pub use batch::{Batch, Source, Transition};
pub use buffer::{Eviction, ReplayBuffer};
pub use builder::DatasetBuilder;
pub use catalog::D4rlDataset;
pub use columns::Columns;
pub use dataset::{Dataset, Ending, Episode};
pub use error::{Error, Result};
pub use frames::{FrameShape, Frames};
pub use moments::{column_moments, standardise};
pub use pages::{prefer_large_pages, take_large_pages};
pub use rng::{Rng, Seed, fill_normal};
pub use sampler::{Sampler, Uniform, Weighted};
pub use spec::Spec;
pub use states::States;
pub use traits::{Replay, ShowWindow, Trajectories};
pub use windows::{WindowIndex, Windows};
