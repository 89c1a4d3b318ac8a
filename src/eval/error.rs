//! What can go wrong while judging data.

use tch::Device;

use super::SimulatorError;
use crate::native::DeviceError;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about data that is judged, or about what judges it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value or size that breaks a rule.
    #[error("{what}: {why}")]
    Invalid {
        /// The thing that is wrong.
        what: String,
        /// The rule and the value that breaks it.
        why: String,
    },
    /// No transition of a set could be judged.
    #[error(
        "none of {transitions} transitions could be judged: {not_finite} not finite, {not_rebuilt} without a simulator state, {diverged} where the simulation diverged"
    )]
    NothingMeasured {
        /// Transitions in the set.
        transitions: usize,
        /// Transitions with a number that is not finite.
        not_finite: usize,
        /// Transitions whose simulator state could not be rebuilt.
        not_rebuilt: usize,
        /// Transitions whose simulated next state is not finite.
        diverged: usize,
    },
    /// The simulator failed.
    #[error("the simulator failed on {rows} transitions: {source}")]
    Simulator {
        /// Transitions it was asked about.
        rows: usize,
        /// Its answer.
        source: SimulatorError,
    },
    /// A device that cannot be had.
    #[error(transparent)]
    NoDevice(#[from] DeviceError),
    /// A device that neighbours were searched on failed.
    #[error("the search for neighbours failed on {device}: {source}")]
    Device {
        /// The device.
        device: String,
        /// Its answer.
        source: Box<crate::Error>,
    },
}

impl Error {
    /// An [`Error::Invalid`].
    pub(super) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }

    /// An [`Error::Device`].
    pub(super) fn device(device: Device, source: crate::Error) -> Self {
        Self::Device { device: format!("{device:?}").to_lowercase(), source: Box::new(source) }
    }
}
