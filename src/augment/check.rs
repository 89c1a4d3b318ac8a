//! A judgement from outside the filter, such as a simulator's: which generated windows to keep, and with which numbers.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use replay::Windows;
use serde::{Deserialize, Serialize};

use super::pool::well_formed;
use super::{BoxError, Error};

/// A check from outside, such as a physics oracle: says of each window whether to keep it, and may put it right.
#[derive(Clone)]
pub struct Check {
    name: String,
    judge: Arc<Judge>,
    amends: bool,
}

/// One answer for each window. It must be a function of the windows alone.
type Judge = dyn Fn(&mut Windows) -> Result<Vec<bool>, BoxError> + Send + Sync;

impl Check {
    /// A check called `name`, which identifies it and its settings in stores. It runs in the worker threads.
    pub fn new(
        name: impl Into<String>,
        keep: impl Fn(&Windows) -> Result<Vec<bool>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), judge: Arc::new(move |windows| keep(windows)), amends: false }
    }

    /// A check that may also change the windows it keeps: their numbers, where they end, and whether the task ends
    /// there. Their count and their sizes must stay. What it changed is not asked of it but found by comparing, see
    /// [`Amendments`]; a changed window must pass the rest of the filter once more.
    pub fn amending(
        name: impl Into<String>,
        judge: impl Fn(&mut Windows) -> Result<Vec<bool>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), judge: Arc::new(judge), amends: true }
    }

    /// This check and then, of the windows it keeps and as it leaves them, `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let (name, amends) = (format!("{}; then {}", self.name, next.name), self.amends || next.amends);
        let judge = move |windows: &mut Windows| {
            let mut keep = self.judged(windows)?;
            // The second one sees them all, since answers are counted by place; those that are out stay out.
            let second = next.judged(windows)?;
            keep.iter_mut().zip(second).for_each(|(keep, second)| *keep &= second);
            Ok(keep)
        };
        Self { name, judge: Arc::new(judge), amends }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Judges, and changes, `windows`: whether to keep each, and which transitions of it were changed. Fails where the
    /// check fails, does not answer once for each window, or leaves something that is none.
    pub(super) fn apply(&self, windows: &mut Windows) -> Result<Vec<Judged>, BoxError> {
        if !self.amends {
            let kept = |keep| Judged { keep, replaced: 0, cut: 0 };
            return Ok(self.judged(windows)?.into_iter().map(kept).collect());
        }
        let before = windows.clone();
        let keep = self.judged(windows)?;
        let sizes = |w: &Windows| (w.len(), w.horizon(), w.obs_dim(), w.action_dim());
        if sizes(windows) != sizes(&before) {
            let why = format!("check '{}' made (B, H, O, A) = {:?} of {:?}", self.name, sizes(windows), sizes(&before));
            return Err(Error::Malformed { why }.into());
        }
        well_formed(windows)?;
        Ok(keep.into_iter().enumerate().map(|(index, keep)| Judged::new(keep, &before, windows, index)).collect())
    }

    /// The check's own answers, of which there must be one a window.
    fn judged(&self, windows: &mut Windows) -> Result<Vec<bool>, BoxError> {
        let count = windows.len();
        let keep = (self.judge)(windows)?;
        if keep.len() != count {
            let why = format!("check '{}' gave {} answers for {count} windows", self.name, keep.len());
            return Err(Error::Malformed { why }.into());
        }
        Ok(keep)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// What a check made of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub keep: bool,
    /// Transitions that are there still, with other numbers.
    replaced: u64,
    /// Transitions that are no longer there.
    cut: u64,
}

impl Judged {
    fn new(keep: bool, before: &Windows, after: &Windows, index: usize) -> Self {
        let (old, new) = (before.lengths[index] as usize, after.lengths[index] as usize);
        let same = |step| {
            let (old, new) = (before.transition(index, step), after.transition(index, step));
            // Where it ends only because the window does, it ended nothing in the task.
            old.observation == new.observation
                && old.action == new.action
                && old.reward == new.reward
                && old.next_observation == new.next_observation
                && old.terminated == new.terminated
        };
        let replaced = (0..old.min(new)).filter(|&step| !same(step)).count() + new.saturating_sub(old);
        Self { keep, replaced: replaced as u64, cut: old.saturating_sub(new) as u64 }
    }

    /// Whether anything is other than it was generated.
    pub fn is_amended(&self) -> bool {
        self.replaced + self.cut > 0
    }

    /// As counted in the status.
    pub fn amendments(&self) -> Amendments {
        Amendments { windows: u64::from(self.is_amended()), replaced: self.replaced, cut: self.cut }
    }
}

/// What a check changed of the windows that were kept, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendments {
    /// Windows of which anything was changed.
    pub windows: u64,
    /// Transitions with other numbers than were generated.
    pub replaced: u64,
    /// Transitions cut off the windows' ends.
    pub cut: u64,
}

impl Amendments {
    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Amendments {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.replaced += other.replaced;
        self.cut += other.cut;
    }
}

impl fmt::Display for Amendments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, replaced, cut } = self;
        write!(f, "{windows} windows: {replaced} transitions replaced, {cut} cut off")
    }
}
