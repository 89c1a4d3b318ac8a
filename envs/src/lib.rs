//! Simulated tasks and physics oracles.
//!
//! - [`Env`] is a task: [`make`] builds HalfCheetah, Hopper and Walker2d on MuJoCo (Gymnasium's versions 2 to 4) and a
//!   point mass with dynamics in closed form.
//! - [`Oracle`] simulates single transitions, many rows at once on all cores: what truly follows from a state and an
//!   action, to compare generated data with.
//! - [`collect`] makes a dataset from [`Policy`]s and [`rollouts`] judges one; [`behaviour`] holds policies to start
//!   with. [`Episodic`] is the least that a task of another crate has to be for that.
//! - [`ReferenceReturns`] turns returns into D4RL's normalised scores.
//!
//! Whatever runs on several threads gives the same result, bit for bit, for any number of them. MuJoCo's messages go to
//! `tracing` (target `mujoco`); no log file is written.

pub mod behaviour;
mod collect;
mod dynamics;
mod env;
mod episodic;
mod error;
mod id;
mod mlp;
mod mujoco;
mod oracle;
mod point_mass;
mod policy;
#[cfg(feature = "render")]
mod render;
mod rollout;
mod score;

pub use collect::{Collect, Collected, CollectedEpisode, collect};
pub use env::{Env, EnvSpec, Rng, Step};
pub use episodic::Episodic;
pub use error::{Error, Result};
pub use id::{EnvId, make};
pub use mlp::MlpPolicy;
pub use oracle::{Answers, Oracle, Queries, StatesRef};
pub use point_mass::PointMass;
pub use policy::{GaussianPolicy, LinearPolicy, Policy, Provenance, UniformPolicy};
#[cfg(feature = "render")]
pub use render::{Frame, Renderer};
pub use rollout::{EpisodeOutcome, Situations, rollouts, rollouts_batched, rollouts_batched_in, rollouts_in};
pub use score::ReferenceReturns;
