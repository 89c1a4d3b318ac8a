//! Plugs into [border](https://docs.rs/border-core): its agents train on our buffers, unchanged, and are judged in our
//! tasks. With the feature `border` only.
//!
//! | border's | ours |
//! |---|---|
//! | `ReplayBufferBase` | [`BorderBuffer`] around any [`Replay`](replay::Replay): a dataset, an augmented buffer, your own |
//! | `SimpleReplayBuffer` | [`EpisodicBuffer`], which is one and knows its episodes; items and batches stay border's |
//! | either of them, augmented | [`GtaBuffer`](crate::GtaBuffer) around it, which is again a buffer of border |
//! | `TransitionBatch` | [`Transitions`], terminated and truncated apart |
//! | `Env` | [`Task`]: HalfCheetah, Hopper, Walker2d, point mass |
//! | `Evaluator` | [`TaskEvaluator`], D4RL's normalised scores |
//! | `Recorder` | [`Journal`], scalars in memory, parameters on disk |
//!
//! # With and without augmentation
//!
//! The buffer is all that changes; trainer, agent and evaluator do not know:
//!
//! ```no_run
//! use border_core::ReplayBufferBase;
//! use gta::border::{BorderBuffer, Rows, Serving};
//! use gta::{GtaBuffer, replay::formats};
//!
//! let (dataset, _) = formats::open("halfcheetah_medium-v2.hdf5")?;
//! let mut plain = BorderBuffer::<_, Rows>::new(dataset.clone(), Serving::default());
//! let mut augmented = GtaBuffer::wrap(BorderBuffer::<_, Rows>::new(dataset, Serving::default()))?;
//! let batches = (plain.batch(256)?, augmented.batch(256)?); // of one type
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! Augmentations that need no thread of their own go inside: `BorderBuffer::new(Mixed::new(dataset, pool, 0.5)?, ..)`.
//! `examples/border_iql` trains border-candle-agent's IQL, AWAC and BC both ways through border's offline trainer.
//!
//! # Tensors
//!
//! Agents have tensors of their own, and this library does not depend on theirs. What observations and actions are to
//! be is said once by a type that implements [`Numbers`], two functions, and given as `O` and `A`; `agents.rs` of the
//! example has it for candle. [`EpisodicBuffer`] takes the two functions as values ([`Conversion`]), so that
//! `SimpleReplayBuffer<TensorBatch, TensorBatch>` stays what it is.
//!
//! # What border cannot say
//!
//! - `ReplayBufferBase::build` cannot fail. What goes wrong there, such as a file that is missing or settings that make
//!   no sense, is reported by every `batch`. A failing batch makes border-candle-agent's agents panic, with the whole
//!   error in the message; [`wait_ready`](crate::augment::Augmented::wait_ready) before training returns it instead.
//! - `Env::step` cannot fail: see [`Task`].
//! - The agents of border-candle-agent take truncated for terminated. [`Serving::truncations`] hides the flag from them.
//! - They draw their first weights from the operating system's randomness: what is ours repeats by seed, they do not.

mod augmented;
mod batch;
mod buffer;
mod episodic;
mod evaluator;
mod journal;
mod rows;
mod task;

pub use batch::Transitions;
pub use buffer::{BorderBuffer, BorderConfig, BorderReplay, Serving};
pub use episodic::{EpisodicBuffer, EpisodicConfig};
pub use evaluator::TaskEvaluator;
pub use journal::Journal;
pub use rows::{Conversion, Numbers, Rows};
pub use task::Task;
