//! The tasks by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::maze::Maze;
use crate::mujoco::antmaze::AntMaze;
use crate::mujoco::maze2d::Maze2d;
use crate::mujoco::{CheetahRun, Door, FrankaKitchen, MujocoEnv, Pen, Source, Task, WalkerWalk};
use crate::{Env, Error, PointMass, Result};

/// A task of this crate: its physics and its reward, both of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EnvId {
    /// Gymnasium's HalfCheetah, versions 2 to 4.
    HalfCheetah,
    /// Gymnasium's Hopper, versions 2 to 4.
    Hopper,
    /// Gymnasium's Walker2d, versions 2 to 4.
    Walker2d,
    /// The point mass of this crate, with dynamics in closed form.
    PointMass,
    /// D4RL's Maze2d, version 1.
    Maze2d(Maze, MazeReward),
    /// D4RL's AntMaze, version 2. "Play" and "diverse" are datasets of one task.
    AntMaze(Maze),
    /// dm_control's cheetah-run, observed by its state.
    CheetahRun,
    /// dm_control's walker-walk, observed by its state.
    WalkerWalk,
    /// D4RL's Adroit pen, versions 0 and 1, which differ in their data alone. Needs [`assets`](crate::assets).
    Pen,
    /// D4RL's Adroit door, versions 0 and 1, which differ in their data alone. Needs [`assets`](crate::assets).
    Door,
    /// D4RL's FrankaKitchen, version 0. Needs [`assets`](crate::assets).
    Kitchen(Kitchen),
}

/// D4RL's datasets of FrankaKitchen, by which its tasks are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kitchen {
    /// Microwave, kettle, light switch and slide cabinet, in demonstrations that do all four in this order.
    Complete,
    /// The same tasks, in demonstrations that do others too.
    Partial,
    /// Microwave, kettle, bottom burner and light switch, which no demonstration does all.
    Mixed,
}

/// What Maze2d pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MazeReward {
    /// 1 within 0.5 of the goal, 0 elsewhere.
    Sparse,
    /// exp(-distance to the goal).
    Dense,
}

impl EnvId {
    /// Every task.
    pub const ALL: [Self; 20] = [
        Self::HalfCheetah,
        Self::Hopper,
        Self::Walker2d,
        Self::PointMass,
        Self::Maze2d(Maze::Umaze, MazeReward::Sparse),
        Self::Maze2d(Maze::Medium, MazeReward::Sparse),
        Self::Maze2d(Maze::Large, MazeReward::Sparse),
        Self::Maze2d(Maze::Umaze, MazeReward::Dense),
        Self::Maze2d(Maze::Medium, MazeReward::Dense),
        Self::Maze2d(Maze::Large, MazeReward::Dense),
        Self::AntMaze(Maze::Umaze),
        Self::AntMaze(Maze::Medium),
        Self::AntMaze(Maze::Large),
        Self::CheetahRun,
        Self::WalkerWalk,
        Self::Pen,
        Self::Door,
        Self::Kitchen(Kitchen::Complete),
        Self::Kitchen(Kitchen::Partial),
        Self::Kitchen(Kitchen::Mixed),
    ];

    /// The task's name with its version, as Gymnasium or D4RL writes it; dm_control's as Shimmy
    /// registers them in Gymnasium.
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfCheetah => "HalfCheetah-v4",
            Self::Hopper => "Hopper-v4",
            Self::Walker2d => "Walker2d-v4",
            Self::PointMass => "PointMass-v0",
            Self::Maze2d(Maze::Umaze, MazeReward::Sparse) => "maze2d-umaze-v1",
            Self::Maze2d(Maze::Medium, MazeReward::Sparse) => "maze2d-medium-v1",
            Self::Maze2d(Maze::Large, MazeReward::Sparse) => "maze2d-large-v1",
            Self::Maze2d(Maze::Umaze, MazeReward::Dense) => "maze2d-umaze-dense-v1",
            Self::Maze2d(Maze::Medium, MazeReward::Dense) => "maze2d-medium-dense-v1",
            Self::Maze2d(Maze::Large, MazeReward::Dense) => "maze2d-large-dense-v1",
            Self::AntMaze(Maze::Umaze) => "antmaze-umaze-v2",
            Self::AntMaze(Maze::Medium) => "antmaze-medium-v2",
            Self::AntMaze(Maze::Large) => "antmaze-large-v2",
            Self::CheetahRun => "dm_control/cheetah-run-v0",
            Self::WalkerWalk => "dm_control/walker-walk-v0",
            Self::Pen => "pen-v0",
            Self::Door => "door-v0",
            Self::Kitchen(Kitchen::Complete) => "kitchen-complete-v0",
            Self::Kitchen(Kitchen::Partial) => "kitchen-partial-v0",
            Self::Kitchen(Kitchen::Mixed) => "kitchen-mixed-v0",
        }
    }

    /// Whose physics and reward these are, and in which version.
    pub fn origin(self) -> &'static str {
        match self {
            Self::HalfCheetah | Self::Hopper | Self::Walker2d => "Gymnasium 1.4.0 on MuJoCo 3.17.0",
            Self::PointMass => "closed form",
            Self::Maze2d(..) | Self::AntMaze(_) => "D4RL 89141a6 on MuJoCo 3.17.0",
            Self::CheetahRun | Self::WalkerWalk => "dm_control 1.0.50 on MuJoCo 3.17.0",
            Self::Pen | Self::Door | Self::Kitchen(_) => {
                "D4RL 89141a6 on MuJoCo 3.17.0, models of gymnasium-robotics 1.4.2"
            }
        }
    }

    /// The MuJoCo model that this crate builds for the task, as MJCF text; `None` for tasks without one, and for those
    /// whose model is read from files ([`EnvId::needs_assets`]).
    pub fn mjcf(self) -> Option<String> {
        match self.task()?.model() {
            Source::Text(text) => Some(text),
            Source::Asset(_) => None,
        }
    }

    /// Whether the task's model is one of those that [`assets`](crate::assets) finds. Without them the task cannot be made.
    pub fn needs_assets(self) -> bool {
        self.task().is_some_and(|task| matches!(task.model(), Source::Asset(_)))
    }

    /// Whether the task can be made here: its model, where it is one of [`assets`](crate::assets), is found.
    pub fn is_ready(self) -> bool {
        !self.needs_assets() || crate::assets().is_ok()
    }

    /// The rules of the task, if MuJoCo simulates it.
    pub(crate) fn task(self) -> Option<Box<dyn Task>> {
        Some(match self {
            Self::HalfCheetah => Box::new(crate::mujoco::HALF_CHEETAH),
            Self::Hopper => Box::new(crate::mujoco::HOPPER),
            Self::Walker2d => Box::new(crate::mujoco::WALKER2D),
            Self::Maze2d(maze, reward) => Box::new(Maze2d { maze, reward }),
            Self::AntMaze(maze) => Box::new(AntMaze(maze)),
            Self::CheetahRun => Box::new(CheetahRun),
            Self::WalkerWalk => Box::new(WalkerWalk),
            Self::Pen => Box::new(Pen),
            Self::Door => Box::new(Door),
            Self::Kitchen(data) => Box::new(FrankaKitchen(data)),
            Self::PointMass => return None,
        })
    }
}

impl fmt::Display for EnvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<EnvId> for String {
    fn from(id: EnvId) -> Self {
        id.name().to_owned()
    }
}

impl TryFrom<String> for EnvId {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl FromStr for EnvId {
    type Err = Error;

    /// Reads a task's name (`HalfCheetah-v4`, `halfcheetah`, `hopper-v2`) or a D4RL dataset's
    /// (`walker2d-medium-replay-v2`, `maze2d-umaze-dense-v1`, `antmaze-large-play-v2`), or dm_control's (`cheetah-run`,
    /// `dm_control/walker-walk-v0`, V-D4RL's dataset `vd4rl/cheetah-run-medium`). Case does not matter. Versions with another physics, reward or start are refused:
    /// Gymnasium's 5, Maze2d's 0, AntMaze's 0 and 1, gymnasium-robotics' Adroit (`AdroitHandPen-v1`).
    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let (stem, version) = match lower.rsplit_once("-v") {
            Some((stem, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => (stem, digits.parse::<u32>().ok()),
            _ => (lower.as_str(), None),
        };
        let (suite, stem) = match stem.strip_prefix("dm_control/").or_else(|| stem.strip_prefix("vd4rl/")) {
            Some(rest) => (true, rest),
            None => (false, stem),
        };
        let words: Vec<&str> = stem.split(['-', '_']).collect();
        let maze = |word: &str| Maze::ALL.into_iter().find(|maze| maze.name() == word);
        let gymnasium = version.is_none_or(|v| v < 5);
        let found = match words[..] {
            ["cheetah", "run", ..] if version.is_none_or(|v| v == 0) => Some(Self::CheetahRun),
            ["walker", "walk", ..] if version.is_none_or(|v| v == 0) => Some(Self::WalkerWalk),
            _ if suite => None,
            ["halfcheetah", ..] if gymnasium => Some(Self::HalfCheetah),
            ["hopper", ..] if gymnasium => Some(Self::Hopper),
            ["walker2d", ..] if gymnasium => Some(Self::Walker2d),
            ["pointmass", ..] | ["point", "mass", ..] if gymnasium => Some(Self::PointMass),
            ["maze2d", word] | ["maze2d", word, "sparse"] if version.is_none_or(|v| v == 1) => {
                maze(word).map(|maze| Self::Maze2d(maze, MazeReward::Sparse))
            }
            ["maze2d", word, "dense"] if version.is_none_or(|v| v == 1) => {
                maze(word).map(|maze| Self::Maze2d(maze, MazeReward::Dense))
            }
            ["antmaze", word] | ["antmaze", word, "play" | "diverse"] if version.is_none_or(|v| v == 2) => {
                maze(word).map(Self::AntMaze)
            }
            ["pen"] | ["pen", "human" | "cloned" | "expert"] if version.is_none_or(|v| v < 2) => Some(Self::Pen),
            ["door"] | ["door", "human" | "cloned" | "expert"] if version.is_none_or(|v| v < 2) => Some(Self::Door),
            ["kitchen", "complete"] if version.is_none_or(|v| v == 0) => Some(Self::Kitchen(Kitchen::Complete)),
            ["kitchen", "partial"] if version.is_none_or(|v| v == 0) => Some(Self::Kitchen(Kitchen::Partial)),
            ["kitchen", "mixed"] if version.is_none_or(|v| v == 0) => Some(Self::Kitchen(Kitchen::Mixed)),
            _ => None,
        };
        found.ok_or_else(|| Error::UnknownTask {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", ") + " (Gymnasium's in versions 0 to 4)",
        })
    }
}

/// Builds a task.
///
/// # Errors
/// If MuJoCo refuses the task's model, or the task needs [`assets`](crate::assets) and there are none.
pub fn make(id: EnvId) -> Result<Box<dyn Env + Send>> {
    Ok(match id.task() {
        Some(task) => Box::new(MujocoEnv::new(task)?),
        None => Box::new(PointMass::new()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_spelled_freely() {
        for id in EnvId::ALL {
            assert_eq!(id.to_string().parse::<EnvId>().unwrap(), id);
            assert_eq!(serde_json::from_str::<EnvId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        }
        for (name, id) in [
            ("halfcheetah", EnvId::HalfCheetah),
            ("HALFCHEETAH-V2", EnvId::HalfCheetah),
            ("hopper-medium-v2", EnvId::Hopper),
            ("walker2d-medium-replay-v2", EnvId::Walker2d),
            ("walker2d_medium", EnvId::Walker2d),
            ("point-mass", EnvId::PointMass),
            ("Maze2d-UMaze", EnvId::Maze2d(Maze::Umaze, MazeReward::Sparse)),
            ("maze2d-large-sparse-v1", EnvId::Maze2d(Maze::Large, MazeReward::Sparse)),
            ("antmaze-medium-diverse-v2", EnvId::AntMaze(Maze::Medium)),
            ("antmaze-umaze", EnvId::AntMaze(Maze::Umaze)),
            ("cheetah_run", EnvId::CheetahRun),
            ("vd4rl/cheetah-run-medium-replay-64px", EnvId::CheetahRun),
            ("dm_control/walker-walk-v0", EnvId::WalkerWalk),
            ("maze2d_medium_dense-v1", EnvId::Maze2d(Maze::Medium, MazeReward::Dense)),
            ("pen-human-v1", EnvId::Pen),
            ("pen-cloned-v0", EnvId::Pen),
            ("Pen", EnvId::Pen),
            ("door_expert-v0", EnvId::Door),
            ("door-v1", EnvId::Door),
            ("kitchen-partial", EnvId::Kitchen(Kitchen::Partial)),
            ("kitchen_mixed-v0", EnvId::Kitchen(Kitchen::Mixed)),
        ] {
            assert_eq!(name.parse::<EnvId>().unwrap(), id, "{name}");
        }
    }

    #[test]
    fn unknown_names_and_versions_of_other_rewards_are_refused() {
        for name in [
            "",
            "ant",
            "halfcheetahs",
            "Hopper-v5",
            "-v2",
            "v4",
            "maze2d",
            "maze2d-open-v0",
            "maze2d-umaze-v0",
            "antmaze-umaze-v0",
            "D4RL/antmaze/umaze-v1",
            "walker",
            "dm_control/hopper-v0",
            "pen-v2",
            "pencil-v0",
            "door-medium-v0",
            "hammer-human-v1",
            "AdroitHandDoor-v1",
            "FrankaKitchen-v1",
            "kitchen-v0",
            "kitchen-mixed-v1",
        ] {
            let error = name.parse::<EnvId>().unwrap_err().to_string();
            assert!(error.contains("HalfCheetah-v4") && error.contains(&format!("{name:?}")), "{error}");
        }
    }
}
