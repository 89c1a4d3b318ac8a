//! A judgement from outside the filter, such as a simulator's: which generated windows to keep, which parts of them, and
//! with which numbers.

use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;

use replay::Windows;
use serde::{Deserialize, Serialize};

use super::chunk::well_formed;
use super::{BoxError, Error};

/// A check from outside, such as a physics oracle: says of each window whether to keep it, and may put it right.
#[derive(Clone)]
pub struct Check {
    name: String,
    judge: Judge,
}

#[derive(Clone)]
enum Judge {
    /// One answer for each window.
    Keep(Of<Vec<bool>>),
    Amend(Of<Parts>),
}

/// A function of the windows alone.
type Of<T> = Arc<dyn Fn(&Windows) -> Result<T, BoxError> + Send + Sync>;

impl Check {
    /// A check called `name`, which identifies it and its settings in stores, that keeps or rejects whole windows. It runs
    /// in the worker threads.
    pub fn new(
        name: impl Into<String>,
        keep: impl Fn(&Windows) -> Result<Vec<bool>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), judge: Judge::Keep(Arc::new(keep)) }
    }

    /// A check that may also change windows and take them apart: what it gives back takes their place.
    ///
    /// What it changed is not asked of it but found by comparing, see [`Amendments`]; what was changed must pass the
    /// rest of the filter once more.
    pub fn amending(
        name: impl Into<String>,
        amend: impl Fn(&Windows) -> Result<Parts, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), judge: Judge::Amend(Arc::new(amend)) }
    }

    /// This check and then, of what it leaves, `next`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let name = format!("{}; then {}", self.name, next.name);
        Self::amending(name, move |windows| {
            let first = self.apply(windows)?;
            let second = next.apply(&first.windows)?;
            let mut parts = Parts { windows: second.windows, ..Parts::default() };
            for (&window, &start) in second.of.iter().zip(&second.starts) {
                parts.of.push(first.of[window as usize]);
                parts.starts.push(first.starts[window as usize] + start);
            }
            Ok(parts)
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it leaves of `windows`. Fails where it fails, does not answer once for each window, or gives back what are no
    /// parts of these windows.
    pub(super) fn apply(&self, windows: &Windows) -> Result<Parts, BoxError> {
        match &self.judge {
            Judge::Keep(keep) => {
                let keep = keep(windows)?;
                if keep.len() != windows.len() {
                    let (name, answers, asked) = (&self.name, keep.len(), windows.len());
                    let why = format!("check '{name}' gave {answers} answers for {asked} windows");
                    return Err(Error::Malformed { why }.into());
                }
                let mut parts = Parts::none_of(windows);
                (0..windows.len()).filter(|&index| keep[index]).for_each(|index| parts.keep(windows, index));
                Ok(parts)
            }
            Judge::Amend(amend) => {
                let parts = amend(windows)?;
                let malformed = |why| Error::Malformed { why: format!("check '{}': {why}", self.name) };
                parts.fit(windows).map_err(malformed)?;
                Ok(parts)
            }
        }
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// What a check leaves of the windows it was given: whole ones, or several parts of one, in order and without overlap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The parts, each a window of its own.
    pub windows: Windows,
    /// Which of the windows given each is of, never falling.
    pub of: Vec<u32>,
    /// The step of that window at which each begins.
    pub starts: Vec<u32>,
}

impl Parts {
    /// No part of windows like these yet.
    pub fn none_of(windows: &Windows) -> Self {
        Self { windows: windows.emptied(), ..Self::default() }
    }

    /// All of `windows`, whole.
    pub fn all(windows: Windows) -> Self {
        let count = windows.len();
        Self { windows, of: (0..count as u32).collect(), starts: vec![0; count] }
    }

    /// Appends window `index` of those given, whole.
    pub fn keep(&mut self, given: &Windows, index: usize) {
        self.push(given, index, 0, given.lengths[index] as usize);
    }

    /// Appends the `length` transitions from step `start` on of window `index` of those given. It ended the task if it
    /// is the end of a window that did.
    ///
    /// # Panics
    /// If the window has no such transitions, or there are none.
    pub fn push(&mut self, given: &Windows, index: usize, start: usize, length: usize) {
        self.windows.push_part(given, index, start, length);
        self.of.push(index as u32);
        self.starts.push(start as u32);
    }

    /// Says what is wrong where these are no parts of `given`.
    fn fit(&self, given: &Windows) -> Result<(), String> {
        let sizes = |w: &Windows| (w.horizon(), w.obs_dim(), w.action_dim());
        let (ours, theirs) = (&self.windows, given);
        if sizes(ours) != sizes(theirs) {
            return Err(format!("(H, O, A) became {:?}, it was {:?}", sizes(ours), sizes(theirs)));
        }
        well_formed(ours).map_err(|error| error.to_string())?;
        if [self.of.len(), self.starts.len()] != [ours.len(); 2] {
            let (count, of, starts) = (ours.len(), self.of.len(), self.starts.len());
            return Err(format!("{count} parts, but {of} windows that they are of and {starts} starts"));
        }
        let mut free = (0, 0);
        for (part, (&of, &start)) in self.of.iter().zip(&self.starts).enumerate() {
            let end = start.saturating_add(ours.lengths[part]);
            let fits = theirs.lengths.get(of as usize).is_some_and(|&length| end <= length);
            if !fits || (of, start) < free {
                return Err(format!("part {part} is not one of window {of}, or out of order"));
            }
            free = (of, end);
        }
        Ok(())
    }

    /// Steps of part `index` that are other than they were in `given`.
    pub(super) fn changed(&self, given: &Windows, index: usize) -> u64 {
        let (of, start) = (self.of[index] as usize, self.starts[index] as usize);
        let is_other = |step: &usize| {
            let (new, old) = (self.windows.transition(index, *step), given.transition(of, start + step));
            // Ends that are only a window's are no matter of the task.
            (new.observation, new.action, new.reward, new.next_observation, new.terminated)
                != (old.observation, old.action, old.reward, old.next_observation, old.terminated)
        };
        (0..self.windows.lengths[index] as usize).filter(is_other).count() as u64
    }
}

/// What a check changed of the windows that were kept, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amendments {
    /// Generated windows of which anything was changed or left out. One that was taken apart counts once.
    pub windows: u64,
    /// Transitions with other numbers than were generated.
    pub replaced: u64,
    /// Transitions left out of windows of which others were kept.
    pub dropped: u64,
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
        self.dropped += other.dropped;
    }
}

impl fmt::Display for Amendments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, replaced, dropped } = self;
        write!(f, "{windows} windows: {replaced} transitions replaced, {dropped} left out")
    }
}

#[cfg(test)]
mod tests {
    use replay::Spec;

    use super::*;

    /// Windows of three steps whose states count on, 10 apart from one window to the next.
    fn windows(count: usize) -> Windows {
        let mut windows = Windows::with_capacity(&Spec::new(1, 1), 3, count);
        for window in 0..count {
            windows.values.extend((0..4).flat_map(|row| [(10 * window + row) as f32, 0.5, 1.0]));
            windows.lengths.push(3);
            windows.terminated.push(true);
            windows.returns.push(0.0);
            windows.origins.push(window);
        }
        (0..count).for_each(|window| windows.end(window, 3, true));
        windows
    }

    /// Takes the middle step of every window out.
    fn without_the_middle() -> Check {
        Check::amending("without the middle", |windows: &Windows| {
            let mut parts = Parts::none_of(windows);
            for index in 0..windows.len() {
                parts.push(windows, index, 0, 1);
                parts.push(windows, index, 2, 1);
            }
            Ok(parts)
        })
    }

    #[test]
    fn checks_in_a_row_say_what_is_left_of_the_first_ones_windows() {
        let late = |w: &Windows| Ok((0..w.len()).map(|i| w.transition(i, 0).observation[0] % 10.0 == 2.0).collect());
        let both = without_the_middle().then(Check::new("late", late));
        assert_eq!(both.name(), "without the middle; then late");
        let left = both.apply(&windows(2)).unwrap();
        assert_eq!((left.of.clone(), left.starts.clone()), (vec![0, 1], vec![2, 2]));
        assert_eq!((left.windows.window(1)[0], left.windows.terminated[1]), (12.0, true));
        assert_eq!(left.changed(&windows(2), 1), 0, "it is the step that was there");
    }

    #[test]
    fn only_the_end_of_a_window_ends_the_task() {
        let left = without_the_middle().apply(&windows(1)).unwrap();
        assert_eq!((left.windows.terminated, left.windows.lengths), (vec![false, true], vec![1, 1]));
    }

    #[test]
    fn what_are_no_parts_of_the_windows_given_is_refused() {
        type Spoil = fn(&mut Parts);
        let spoils: [(&str, Spoil); 5] = [
            ("out of order", |parts| parts.of.swap(0, 1)),
            ("part 1 is not one", |parts| parts.starts[1] = 1),
            ("2 starts", |parts| parts.starts.truncate(2)),
            ("not 1 to 3", |parts| parts.windows.lengths[0] = 4),
            ("(H, O, A)", |parts| parts.windows = Windows::with_capacity(&Spec::new(2, 1), 3, 0)),
        ];
        for (said, spoil) in spoils {
            let check = Check::amending("spoilt", move |windows: &Windows| {
                let mut parts = Parts::all(windows.clone());
                spoil(&mut parts);
                Ok(parts)
            });
            let error = check.apply(&windows(3)).unwrap_err().to_string();
            assert!(error.contains("spoilt") && error.contains(said), "{error}");
        }
    }
}
