//! Simulated tasks and physics oracles.
//!
//! - [`Env`] is a task: [`make`] builds HalfCheetah, Hopper and Walker2d (Gymnasium's versions 2 to 4), Maze2d and
//!   AntMaze (D4RL's versions 1 and 2), cheetah-run and walker-walk (dm_control's, observed by their states), Adroit's pen
//!   and door and FrankaKitchen (D4RL's, with models that [`assets`] finds) on MuJoCo, and a point mass with dynamics in
//!   closed form.
//! - [`Oracle`] simulates single transitions, many rows at once on all cores: what truly follows from a state and an
//!   action, to compare generated data with.
//! - [`collect`] makes a dataset from [`Policy`]s and [`rollouts`] judges one; [`behaviour`] holds policies to start
//!   with. [`collect_maze2d`] and [`collect_antmaze`] collect as D4RL did, with its controllers. [`Episodic`] is the least
//!   that a task of another crate has to be for [`rollouts_in`].
//! - [`ReferenceReturns`] turns returns into D4RL's normalised scores.
//!
//! Whatever runs on several threads gives the same result, bit for bit, for any number of them. MuJoCo's messages go to
//! `tracing` (target `mujoco`); no log file is written.

#[cfg(feature = "render")]
mod animation;
mod assets;
pub mod behaviour;
mod collect;
mod dynamics;
mod env;
mod episodic;
mod error;
mod id;
mod maze;
mod maze_data;
mod mlp;
mod mujoco;
mod navigator;
mod oracle;
#[cfg(feature = "render")]
mod pixels;
mod point_mass;
mod policy;
#[cfg(feature = "render")]
mod render;
mod rollout;
mod score;
mod success;
mod throughput;
mod waypoint;

#[cfg(feature = "render")]
pub use animation::Animation;
pub use assets::assets;
pub use collect::{Collect, Collected, CollectedEpisode, collect};
pub use env::{Env, EnvSpec, Rng, Step};
pub use episodic::Episodic;
pub use error::{Error, Result};
pub use id::{EnvId, Kitchen, MazeReward, make};
pub use maze::{Maze, Tile};
pub use maze_data::{AntMazeCollect, Maze2dCollect, MazeData, collect_antmaze, collect_maze2d};
pub use mlp::MlpPolicy;
pub use navigator::AntNavigator;
pub use oracle::{Answers, Oracle, Queries, Rebuilt, StatesRef};
#[cfg(feature = "render")]
pub use pixels::{PixelSettings, PixelTask};
pub use point_mass::PointMass;
pub use policy::{Actor, GaussianPolicy, LinearPolicy, Policy, Provenance, UniformPolicy};
#[cfg(feature = "render")]
pub use render::{Frame, Renderer};
pub use rollout::{
    EpisodeOutcome, Situations, rollouts, rollouts_batched, rollouts_batched_in, rollouts_in, start_seed,
};
pub use score::ReferenceReturns;
pub use throughput::throughput;
pub use waypoint::WaypointController;
