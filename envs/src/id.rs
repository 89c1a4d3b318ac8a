//! The tasks by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mujoco::{Locomotion, Task};
use crate::{Env, Error, PointMass, Result};

/// A task of this crate.
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
}

impl EnvId {
    /// Every task.
    pub const ALL: [Self; 4] = [Self::HalfCheetah, Self::Hopper, Self::Walker2d, Self::PointMass];

    /// The task's name, as Gymnasium writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfCheetah => "HalfCheetah-v4",
            Self::Hopper => "Hopper-v4",
            Self::Walker2d => "Walker2d-v4",
            Self::PointMass => "PointMass-v0",
        }
    }

    /// The MuJoCo model that this crate builds for the task, as MJCF text; `None` for tasks without one.
    pub fn mjcf(self) -> Option<String> {
        self.task().map(|task| task.figure.mjcf())
    }

    /// The MuJoCo task of this name, if it is one.
    pub(crate) fn task(self) -> Option<&'static Task> {
        match self {
            Self::HalfCheetah => Some(&crate::mujoco::HALF_CHEETAH),
            Self::Hopper => Some(&crate::mujoco::HOPPER),
            Self::Walker2d => Some(&crate::mujoco::WALKER2D),
            Self::PointMass => None,
        }
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
    /// (`walker2d-medium-replay-v2`). Case does not matter. Version 5 is refused: its rewards differ.
    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let (stem, version) = match lower.rsplit_once("-v") {
            Some((stem, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => (stem, digits.parse::<u32>().ok()),
            _ => (lower.as_str(), None),
        };
        let family = match stem.strip_prefix("point-mass") {
            Some(rest) => format!("pointmass{rest}"),
            None => stem.to_owned(),
        };
        let id = match family.split(['-', '_']).next().unwrap_or_default() {
            "halfcheetah" => Some(Self::HalfCheetah),
            "hopper" => Some(Self::Hopper),
            "walker2d" => Some(Self::Walker2d),
            "pointmass" => Some(Self::PointMass),
            _ => None,
        };
        id.filter(|_| version.is_none_or(|v| v < 5)).ok_or_else(|| Error::UnknownTask {
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", ") + " (versions 0 to 4)",
        })
    }
}

/// Builds a task.
///
/// # Errors
/// If MuJoCo refuses the task's model.
pub fn make(id: EnvId) -> Result<Box<dyn Env + Send>> {
    Ok(match id.task() {
        Some(task) => Box::new(Locomotion::new(task)?),
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
        ] {
            assert_eq!(name.parse::<EnvId>().unwrap(), id, "{name}");
        }
    }

    #[test]
    fn unknown_names_and_the_other_rewards_of_version_5_are_refused() {
        for name in ["", "ant", "halfcheetahs", "Hopper-v5", "-v2", "v4"] {
            let error = name.parse::<EnvId>().unwrap_err().to_string();
            assert!(error.contains("HalfCheetah-v4") && error.contains(&format!("{name:?}")), "{error}");
        }
    }
}
