//! D4RL's HDF5 files: flat columns of all rows, one file a dataset.
//!
//! All of its domains are read: gym-mujoco, Maze2D, AntMaze, Adroit and FrankaKitchen differ in what they leave out.
//!
//! | in the file | shape | read as |
//! |---|---|---|
//! | `observations`, `actions`, `rewards` | `[N, O]`, `[N, A]`, `[N]` | needed; any type of number, held in 32 bits |
//! | `next_observations` | `[N, O]` | used where present (gym-mujoco), else rebuilt, see below |
//! | `terminals` | `[N]` | terminated; boolean, integer or float, each 0 or 1 |
//! | `timeouts` | `[N]` | truncated; may be missing (FrankaKitchen) |
//! | `infos/qpos`, `infos/qvel` | `[N, nq]`, `[N, nv]` | [`States`](crate::States), where both are one a row |
//! | `metadata/*`, attributes | scalars | [`LoadReport::provenance`](crate::formats::LoadReport::provenance) |
//!
//! # Where episodes end
//! After a row that is terminated or timed out, where a stored next observation differs from the next row's observation
//! by more than 1e-6 in any number (a state jump), and at the last row, which then is
//! [`Unfinished`](crate::Ending::Unfinished). A transition that timed out is kept: its next observation is real.
//! Files of our own say themselves where episodes end, in `metadata/episode_ends`, which then decides.
//!
//! # Without `next_observations`
//! Inside an episode the next row holds the next observation. At an episode's end it does not: the row after belongs
//! to a new start (and in Maze2D, where nothing is reset, the row after a reached goal is one step stale). So
//! - a row that times out, and the last row of an unfinished episode, has no known next state. Its observation serves
//!   as the next observation of the row before, which takes over its `truncated` flag, and it is no transition;
//! - a terminated row stays, with its own observation as next observation: no value is taken of the state after
//!   a terminated transition, while losing the row would lose the reward of a success.
//!
//! How often either happened stands in the report.

mod read;
mod states;
mod successors;
mod write;

use std::path::PathBuf;

pub use read::read;
pub use write::{Layout, write, write_as};

/// Where our own files keep the row after each episode, below `metadata`.
const EPISODE_ENDS: &str = "episode_ends";

/// The folder where the D4RL library keeps its datasets: `$D4RL_DATASET_DIR`, or `.d4rl/datasets` in the home folder;
/// `None` where neither is known.
pub fn root() -> Option<PathBuf> {
    super::kept_in("D4RL_DATASET_DIR", ".d4rl")
}
