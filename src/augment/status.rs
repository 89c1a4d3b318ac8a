//! What an augmented buffer is doing.

use std::fmt;

use serde::Serialize;

use super::{Amendments, Rejections};

/// What the background threads are doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was sampled yet, so nothing runs.
    Idle,
    /// The model is being learned.
    Learning {
        /// Steps taken.
        step: u64,
        /// Steps to take.
        total: u64,
        /// The loss now; not a number before the first is known.
        loss: f64,
    },
    /// Windows are being generated.
    Filling,
    /// Everything that the consumption so far allows was generated.
    Resting,
    /// Held by [`pause`](super::Augmented::pause); current steps and chunks are finished first.
    Paused,
    /// Ended by [`stop`](super::Augmented::stop); the pool stays.
    Stopped,
    /// Ended by an error, which every sample reports.
    Failed {
        /// What was being done.
        during: String,
        /// What went wrong.
        cause: String,
    },
}

/// A moment's figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// What is being done.
    pub phase: Phase,
    /// Chunks held.
    pub chunks: u64,
    /// Windows held.
    pub windows: u64,
    /// Generated transitions held.
    pub transitions: u64,
    /// Transitions accepted since the pool began, evicted ones included.
    pub generated: u64,
    /// Transitions that the pool holds when full.
    pub target: u64,
    /// Rows handed out in batches, real and generated.
    pub consumed: u64,
    /// Windows rejected since the pool began, by reason.
    pub rejected: Rejections,
    /// What an external check changed of the windows accepted since the pool began.
    pub amended: Amendments,
    /// Transitions accepted a second while at least one worker was busy; 0 before the first chunk.
    pub transitions_per_second: f64,
}

impl fmt::Display for Status {
    /// One line, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.phase {
            Phase::Idle => return write!(f, "idle: nothing was sampled yet"),
            Phase::Learning { total: 0, .. } => return write!(f, "learning: about to begin"),
            Phase::Learning { step, total, loss } => {
                write!(f, "learning: step {step} of {total}")?;
                return if loss.is_finite() { write!(f, ", loss {loss:.4}") } else { Ok(()) };
            }
            Phase::Failed { during, cause } => return write!(f, "failed while {during}: {cause}"),
            Phase::Filling => write!(f, "filling")?,
            Phase::Resting => write!(f, "resting")?,
            Phase::Paused => write!(f, "paused")?,
            Phase::Stopped => write!(f, "stopped")?,
        }
        let Self { transitions, target, transitions_per_second, windows, rejected, amended, .. } = self;
        write!(f, ": {transitions} of {target} transitions in {windows} windows, {transitions_per_second:.0}/s")?;
        let rejected = rejected.total();
        if rejected > 0 {
            write!(f, ", {rejected} windows rejected")?;
        }
        if amended.is_empty() { Ok(()) } else { write!(f, ", {} windows amended", amended.windows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_yet_is_not_shown() {
        let shown = |step, total, loss| {
            let phase = Phase::Learning { step, total, loss };
            let (rejected, amended, transitions_per_second) = (Rejections::default(), Amendments::default(), 0.0);
            let [chunks, windows, transitions, generated, target, consumed] = [0; 6];
            Status {
                phase,
                chunks,
                windows,
                transitions,
                generated,
                target,
                consumed,
                rejected,
                amended,
                transitions_per_second,
            }
            .to_string()
        };
        assert_eq!(shown(0, 0, f64::NAN), "learning: about to begin");
        assert_eq!(shown(0, 9, f64::NAN), "learning: step 0 of 9");
        assert_eq!(shown(3, 9, 0.51239), "learning: step 3 of 9, loss 0.5124");
    }
}
