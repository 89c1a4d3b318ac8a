//! Which return is asked of a window.

use replay::{Error, Result};
use serde::{Deserialize, Serialize};

/// The multiplier of the amplified return: `R + (alpha - 1) |R|` is asked of a window with return `R`.
///
/// That is the paper's `alpha R` where `R` is positive and `(2 - alpha) R` where it is negative (as the published code
/// has it), so that more than 1 always asks for more. Beyond 2 a negative return turns positive.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Alpha(f64);

impl Alpha {
    /// The paper's for locomotion.
    pub(super) const PAPER: Self = Self(1.3);

    /// Fails unless `alpha` is finite and above zero.
    pub fn new(alpha: f64) -> Result<Self> {
        if alpha > 0.0 && alpha.is_finite() {
            return Ok(Self(alpha));
        }
        Err(Error::Invalid { what: "alpha".into(), why: format!("{alpha} is not a finite number above 0") })
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The amplified return of a window with return `value`.
    pub fn amplify(self, value: f64) -> f64 {
        value + (self.0 - 1.0) * value.abs()
    }
}

impl TryFrom<f64> for Alpha {
    type Error = Error;
    fn try_from(alpha: f64) -> Result<Self> {
        Self::new(alpha)
    }
}

impl From<Alpha> for f64 {
    fn from(alpha: Alpha) -> f64 {
        alpha.0
    }
}

/// What a window is to be turned into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Aim {
    /// A window of its own return, amplified by [`Alpha`]: the paper's.
    #[default]
    Amplified,
    /// A window of one return, the same for all: fixed conditioning, which appendix F.1 compares with.
    Fixed {
        /// The quantile of the data's returns that is asked for, in (0, 1]; 1 is their maximum.
        quantile: f64,
    },
}
