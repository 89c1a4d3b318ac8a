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
//! | `infos/door_body_pos` or `infos/desired_orien` (Adroit), `infos/context` (ours) | `[N, nc]` | the states' contexts; `infos/goal` of the mazes is none: it is where the collector was heading |
//! | `metadata/*`, attributes | scalars | [`LoadReport::provenance`](crate::formats::LoadReport::provenance) |
//!
//! # Where episodes end
//! After a row that is terminated or timed out, where a next observation differs from the next row's observation
//! by more than 1e-6 in any number (a state jump), and at the last row, which then is
//! [`Unfinished`](crate::Ending::Unfinished). A transition that timed out is kept: its next observation is real.
//! Files of our own say themselves where episodes end, in `metadata/episode_ends`, which then decides.
//!
//! # Without `next_observations`
//! Where the file holds the simulator's state after each step and observations are whole states (AntMaze), these are the
//! next observations of the rows that no row follows: timed out, before a state jump, last. All rows are transitions
//! then. Otherwise, inside an episode the next row holds the next observation. At an episode's end it does not: the row
//! after belongs to a new start. So
//! - a row that times out, and the last row of an unfinished episode, has no known next state. Its observation serves
//!   as the next observation of the row before, which takes over its `truncated` flag, and it is no transition. These
//!   are the transitions that D4RL's own `qlearning_dataset` makes;
//! - a terminated row stays, with its own observation as next observation: no value is taken of the state after
//!   a terminated transition, while losing the row would lose the reward of a success.
//!
//! How often either happened stands in the report.
//!
//! # Maze2D
//! One endless trajectory, whose timeouts are the instants at which the collector reached its goal. By default they end
//! episodes, and the transition `(s_t, a_t, s_{t+1})` has the reward of row `t`: so do D4RL's own functions and what is
//! built on them. Two facts make this inexact, and [`ReadOptions`](crate::formats::ReadOptions) has a remedy for each:
//! - the reward of row `t` is that of its own observation, while the environment pays for `s_{t+1}` (D4RL, issue 194):
//!   [`RewardTiming::NextObservation`](crate::formats::RewardTiming::NextObservation) takes the reward of row `t + 1`;
//! - nothing is reset at a timeout (issue 85), so that no transition has to be lost there:
//!   [`Timeouts::GoOn`](crate::formats::Timeouts::GoOn) makes one episode of all. The observation after a timeout is one
//!   step old in these files, its state is not; it is taken from the state then, and only reported otherwise.
//!
//! # AntMaze
//! Rewards and terminations are those of the next observation already. Up to 1001 rows an episode; the ant does not stop
//! at the goal, so that terminated rows come in runs, each of which is an episode of one row.

mod read;
mod states;
mod successors;
mod timeouts;
mod write;

use std::path::PathBuf;

pub use read::{read, read_with};
pub use write::{Layout, write, write_as};

/// Where our own files keep the row after each episode, below `metadata`.
const EPISODE_ENDS: &str = "episode_ends";

/// The folder where the D4RL library keeps its datasets: `$D4RL_DATASET_DIR`, or `.d4rl/datasets` in the home folder;
/// `None` where neither is known.
pub fn root() -> Option<PathBuf> {
    super::kept_in("D4RL_DATASET_DIR", ".d4rl")
}
