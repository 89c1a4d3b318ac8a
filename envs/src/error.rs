//! What can go wrong, and with what.

use crate::EnvId;
use crate::assets::ASSETS_VERSION;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No task has this name.
    #[error("unknown task {name:?}: expected one of {known}")]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// MuJoCo refused a task's model or could not allocate its data.
    #[error("MuJoCo cannot simulate {task}: {why}")]
    Simulator {
        /// The task.
        task: EnvId,
        /// MuJoCo's words.
        why: String,
    },
    /// The models of Adroit and FrankaKitchen, which this crate does not have, are missing or not the right ones.
    #[error(
        "the models of Adroit and FrankaKitchen: {why}. They are those of gymnasium-robotics {ASSETS_VERSION}: run \
         `cargo xtask setup --assets`, or set GTA_ASSETS to the folder of that Python package \
         (`pip install gymnasium-robotics=={ASSETS_VERSION}`)"
    )]
    Assets {
        /// What is wrong with them, and where.
        why: String,
    },
    /// An argument has the wrong size or an impossible value.
    #[error("{what}: {why}")]
    Invalid {
        /// The argument.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A policy's file cannot be read or does not hold a policy.
    #[error("policy {name}: {why}")]
    Policy {
        /// The file or the embedded policy.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Frames cannot be drawn.
    #[error("cannot render {task}: {why}")]
    Render {
        /// The task.
        task: EnvId,
        /// The reason.
        why: String,
    },
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }
}

/// Fails unless `values`, called `what`, has exactly `expected` numbers.
pub(crate) fn check_len(what: &str, len: usize, expected: usize) -> Result<()> {
    if len == expected {
        return Ok(());
    }
    Err(Error::invalid(what, format!("expected {expected} numbers, got {len}")))
}
