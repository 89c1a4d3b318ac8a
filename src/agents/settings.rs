//! Checks and choices that the configurations of all agents share.

use super::RewardScale;
use crate::{Error, Result};

/// Refuses settings of one agent, naming agent and setting.
pub(super) struct Check(pub(super) &'static str);

impl Check {
    fn refuse(&self, name: &str, rule: &str, value: impl std::fmt::Display) -> Result<()> {
        Err(Error::Config { name: format!("{}.{name}", self.0), why: format!("must be {rule}, is {value}") })
    }

    /// A count of at least one.
    pub(super) fn count(&self, name: &str, value: usize) -> Result<()> {
        if value == 0 { self.refuse(name, "at least 1", value) } else { Ok(()) }
    }

    /// At least one layer, none empty.
    pub(super) fn layers(&self, name: &str, widths: &[i64]) -> Result<()> {
        if widths.is_empty() || widths.iter().any(|&w| w < 1) {
            return self.refuse(name, "one or more widths of at least 1", format!("{widths:?}"));
        }
        Ok(())
    }

    /// Finite and above zero.
    pub(super) fn positive(&self, name: &str, value: f64) -> Result<()> {
        if value.is_finite() && value > 0.0 { Ok(()) } else { self.refuse(name, "finite and above 0", value) }
    }

    /// Finite.
    pub(super) fn finite(&self, name: &str, value: f64) -> Result<()> {
        if value.is_finite() { Ok(()) } else { self.refuse(name, "finite", value) }
    }

    /// Finite and at least zero.
    pub(super) fn not_negative(&self, name: &str, value: f64) -> Result<()> {
        if value.is_finite() && value >= 0.0 { Ok(()) } else { self.refuse(name, "finite and at least 0", value) }
    }

    /// In `[0, 1]`.
    pub(super) fn share(&self, name: &str, value: f64) -> Result<()> {
        if (0.0..=1.0).contains(&value) { Ok(()) } else { self.refuse(name, "from 0 to 1", value) }
    }

    /// In `[0, 1)`: a discount of 1 has no bound on returns, a dropout of 1 leaves nothing.
    pub(super) fn below_one(&self, name: &str, value: f64) -> Result<()> {
        if (0.0..1.0).contains(&value) { Ok(()) } else { self.refuse(name, "at least 0 and below 1", value) }
    }
}

/// How an agent takes data in, and when it gives up: what the configurations of all that learn from single transitions
/// say alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Intake {
    /// Rows of a batch.
    pub(super) batch_size: usize,
    /// Whether observations are normalised.
    pub(super) normalize_states: bool,
    /// How rewards are scaled.
    pub(super) reward_scale: RewardScale,
    /// Updates between two looks at the numbers; `None` is 1 on the CPU and 100 on a GPU, where a look waits for it.
    pub(super) check_every: Option<u64>,
    /// Largest absolute value estimate; `None` is ten times what the data's largest reward adds up to.
    pub(super) largest_q: Option<f64>,
    /// Of the returns whose size bounds value estimates.
    pub(super) discount: f64,
}

impl Intake {
    /// Refuses empty batches, returns without a bound, and a watch that never looks or always stops.
    pub(super) fn validate(&self, check: &Check) -> Result<()> {
        check.count("batch_size", self.batch_size)?;
        check.below_one("discount", self.discount)?;
        check.count("check_every", self.check_every.unwrap_or(1) as usize)?;
        check.positive("largest_q", self.largest_q.unwrap_or(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_agent_setting_rule_and_value() {
        let check = Check("iql");
        let text = check.below_one("discount", 1.0).unwrap_err().to_string();
        assert_eq!(text, "setting 'iql.discount': must be at least 0 and below 1, is 1");
        assert!(check.positive("rate", f64::NAN).is_err() && check.not_negative("rate", -1.0).is_err());
        assert!(check.layers("hidden", &[]).is_err() && check.layers("hidden", &[256, 0]).is_err());
        assert!(check.share("tau", 1.0).is_ok() && check.count("batch_size", 0).is_err());
    }
}
