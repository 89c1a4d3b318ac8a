//! The decorator that makes a buffer serve generated windows beside its own rows.
//!
//! ```text
//!              first sample                 chunk numbers, as consumption allows
//!   inner R ──── dataset ───▶ Learner ───▶ Blueprint ───▶ Generator (one a worker)
//!      │                                                      ▲          │
//!      │ real rows                              Guide: prompts, returns  │ windows
//!      │                                                                 ▼
//!      └──────▶ batch ◀── generated rows ── Pool ◀── in order ── Filter, Store
//! ```
//!
//! [`Augmented`] names no model and no task: what learns and generates comes through [`Learner`], [`Blueprint`] and
//! [`Generator`]. What the pool holds after `n` chunks is a function of the data, the settings, the seed and the model
//! alone, not of timing or of the number of workers: each window has a random stream of its own, and chunks are
//! published strictly in the order of their numbers.

mod aim;
mod buffer;
mod check;
mod choice;
mod chunk;
mod config;
mod error;
mod exchange;
mod filter;
mod generator;
mod guide;
mod mixed;
mod pacing;
mod pool;
mod reweighting;
mod status;
mod store;
mod worker;

pub use aim::{Aim, Alpha};
pub use buffer::{Augmented, Monitor};
pub use check::{Amendments, Check, Parts};
pub use chunk::Chunk;
pub use config::{AugmentConfig, Until};
pub use error::{BoxError, Error, Failure};
pub use filter::{Filter, FilterConfig, Filtered, Rejections};
pub use generator::{Blueprint, Generator, Learner, Learning, Progress, Prompts, Stop};
pub use guide::{Condition, Guide, GuideConfig};
pub use mixed::Mixed;
pub use pacing::Pacing;
pub use pool::Pool;
pub use reweighting::{Eq13, Reweighting, by_return};
pub use status::{Phase, Status};
pub use store::dataset_hash;
