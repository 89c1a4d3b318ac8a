//! Minari 0.5 datasets: a folder `<root>/<namespace>/<name>-v<version>` with an HDF5 group for each episode.
//!
//! | in the folder | holds | read as |
//! |---|---|---|
//! | `data/metadata.json` | `total_episodes`, spaces as JSON inside strings (with bare `Infinity`), anything else | number of episodes, bounds of actions, [`LoadReport::provenance`](crate::formats::LoadReport::provenance) |
//! | `data/main_data.hdf5`: `episode_<i>/observations` | `[T + 1, O]` | observations and next observations |
//! | `episode_<i>/{actions, rewards}` | `[T, A]`, `[T]` | actions, rewards |
//! | `episode_<i>/{terminations, truncations}` | `[T]` | terminated, truncated; an episode ends at each |
//! | `episode_<i>/infos/{qpos, qvel}` | `[T + 1, .]` | [`States`](crate::States), where all episodes have them |
//!
//! Numbers of any type are held in 32 bits. A dictionary of observations (or actions) is flattened in the order
//! `observation`, `achieved_goal`, `desired_goal`, then the other names by alphabet, and so within each; names and sizes
//! stand in [`LoadReport::observation_parts`](crate::formats::LoadReport::observation_parts). Images and
//! discrete spaces are refused.
//!
//! In the mazes and in FrankaKitchen (`D4RL/pointmaze/*`, `D4RL/antmaze/*`, `D4RL/kitchen/*`) the dictionary has goals. The
//! `desired_goal` that a step starts from is its context ([`States::contexts`](crate::States::contexts)), with
//! FrankaKitchen's goals in the order of their names. It is a part of the observation, too, since a policy has to see a
//! goal that changes; [`Goals::InContext`](crate::formats::Goals::InContext) leaves both goals out of it. An episode whose
//! maze goal was reached is truncated there, by the scripts that recorded these sets.
//!
//! D4RL and Minari share names for different data: `halfcheetah-medium-v2` and `mujoco/halfcheetah/medium-v0` are not
//! the same set.

mod id;
mod metadata;
mod read;
mod space;
mod write;

use std::path::PathBuf;

pub(crate) use id::is_id;
pub use read::{read, read_with};
pub use write::write;

/// Name of the file with the episodes.
pub(crate) const DATA_FILE: &str = "main_data.hdf5";
/// Name of the file with the metadata.
const METADATA_FILE: &str = "metadata.json";

/// The folder where the Minari library keeps its datasets: `$MINARI_DATASETS_PATH`, or `.minari/datasets` in the home
/// folder; `None` where neither is known.
pub fn root() -> Option<PathBuf> {
    super::kept_in("MINARI_DATASETS_PATH", ".minari")
}
