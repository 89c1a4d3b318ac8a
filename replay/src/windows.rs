//! Windows: sub-trajectories as dense rows, the form a generative model works on.

use crate::{Batch, Dataset, Error, Result, Source, Spec, Transition};

/// Sub-trajectories of up to `H` transitions as `[B, H + 1, D]` rows of observation, action and reward.
///
/// Row `t` holds `(s_t, a_t, r_t)`; the row after the last transition holds the state it led to, with action and
/// reward zero. A window shorter than `H` repeats that last row to its end, and `lengths` says where it ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Windows {
    horizon: usize,
    obs_dim: usize,
    action_dim: usize,
    /// The rows, `[B, H + 1, D]`, row-major.
    pub values: Vec<f32>,
    /// Transitions in each window, 1 to `H`, `[B]`.
    pub lengths: Vec<u32>,
    /// Whether each window's last transition ended the task, `[B]`.
    pub terminated: Vec<bool>,
    /// The condition: the return each window has, or was asked to have, `[B]`.
    pub returns: Vec<f32>,
    /// The dataset's row each window starts at, or grew from, `[B]`.
    pub origins: Vec<usize>,
}

impl Windows {
    /// No windows yet, with room for `count` of up to `horizon` transitions.
    pub fn with_capacity(spec: &Spec, horizon: usize, count: usize) -> Self {
        Self {
            horizon,
            obs_dim: spec.obs_dim,
            action_dim: spec.action_dim,
            values: Vec::with_capacity(count * (horizon + 1) * spec.row_dim()),
            lengths: Vec::with_capacity(count),
            terminated: Vec::with_capacity(count),
            returns: Vec::with_capacity(count),
            origins: Vec::with_capacity(count),
        }
    }

    /// Windows held (`B`).
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether no window is held.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Most transitions of a window (`H`).
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Numbers in an observation (`O`).
    pub fn obs_dim(&self) -> usize {
        self.obs_dim
    }

    /// Numbers in an action (`A`).
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Numbers in a row (`D`).
    pub fn row_dim(&self) -> usize {
        self.obs_dim + self.action_dim + 1
    }

    /// Transitions of all windows together.
    pub fn transitions(&self) -> usize {
        self.lengths.iter().map(|&l| l as usize).sum()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.values.clear();
        self.lengths.clear();
        self.terminated.clear();
        self.returns.clear();
        self.origins.clear();
    }

    /// Keeps the first `count` windows; all, where there are no more.
    pub fn truncate(&mut self, count: usize) {
        self.values.truncate(count * (self.horizon + 1) * self.row_dim());
        self.lengths.truncate(count);
        self.terminated.truncate(count);
        self.returns.truncate(count);
        self.origins.truncate(count);
    }

    /// The rows of window `index`, `[H + 1, D]`.
    pub fn window(&self, index: usize) -> &[f32] {
        let size = (self.horizon + 1) * self.row_dim();
        &self.values[index * size..][..size]
    }

    /// The rows of window `index`, `[H + 1, D]`, to change.
    pub fn window_mut(&mut self, index: usize) -> &mut [f32] {
        let size = (self.horizon + 1) * self.row_dim();
        &mut self.values[index * size..][..size]
    }

    /// Ends window `index` after its first `length` transitions, the last of which ended the task if `terminated`: the
    /// rows after them repeat the state that it led to, with action and reward zero.
    ///
    /// # Panics
    /// If there is no such window, or `length` is not in `1..=H`.
    pub fn end(&mut self, index: usize, length: usize, terminated: bool) {
        assert!((1..=self.horizon).contains(&length), "{length} transitions of a window of up to {}", self.horizon);
        let (o, d) = (self.obs_dim, self.row_dim());
        let (kept, padding) = self.window_mut(index)[length * d..].split_at_mut(d);
        kept[o..].fill(0.0);
        padding.chunks_exact_mut(d).for_each(|row| row.copy_from_slice(kept));
        self.lengths[index] = length as u32;
        self.terminated[index] = terminated;
    }

    /// No windows, of the same sizes.
    pub fn emptied(&self) -> Self {
        let (horizon, obs_dim, action_dim) = (self.horizon, self.obs_dim, self.action_dim);
        Self { horizon, obs_dim, action_dim, ..Self::default() }
    }

    /// Appends a window of the `length` transitions from step `start` on of another set's window `index`, with its return
    /// and its origin moved on. It terminates where it is the end of a window that does.
    ///
    /// # Panics
    /// If the window has no such transitions, there are none, or the sets are of other sizes.
    pub fn push_part(&mut self, other: &Self, index: usize, start: usize, length: usize) {
        let sizes = |w: &Self| (w.horizon, w.obs_dim, w.action_dim);
        assert_eq!(sizes(self), sizes(other), "sizes of windows");
        let (whole, d) = (other.lengths[index] as usize, other.row_dim());
        assert!(length > 0 && start + length <= whole, "steps {start}..{} of {whole}", start + length);
        self.values.extend_from_slice(&other.window(index)[start * d..][..(length + 1) * d]);
        self.values.resize((self.len() + 1) * (self.horizon + 1) * d, 0.0);
        self.lengths.push(length as u32);
        self.terminated.push(false);
        self.returns.push(other.returns[index]);
        self.origins.push(other.origins[index] + start);
        self.end(self.len() - 1, length, other.terminated[index] && start + length == whole);
    }

    /// Transition `step` of window `index`, borrowed. The window's end is truncated unless it terminated.
    ///
    /// # Panics
    /// If the window has no such step.
    #[inline]
    pub fn transition(&self, index: usize, step: usize) -> Transition<'_> {
        let length = self.lengths[index] as usize;
        assert!(step < length, "step {step} of a window of {length} transitions");
        let terminated = step + 1 == length && self.terminated[index];
        let truncated = step + 1 == length && !terminated;
        Transition { terminated, truncated, ..self.transition_inside(index, step) }
    }

    /// The same for a step that is known not to be the window's last, or beyond it: nothing but the row is read.
    ///
    /// # Panics
    /// If there is no such window, or it has no room for such a step.
    #[inline]
    pub fn transition_inside(&self, index: usize, step: usize) -> Transition<'_> {
        let (o, a, d) = (self.obs_dim, self.action_dim, self.row_dim());
        let rows = &self.window(index)[step * d..][..d + o];
        Transition {
            observation: &rows[..o],
            action: &rows[o..o + a],
            reward: rows[o + a],
            next_observation: &rows[d..],
            terminated: false,
            truncated: false,
        }
    }

    /// Appends all transitions to `batch`; window `i` is named `first + i` in their sources.
    pub fn append_to(&self, first: u64, batch: &mut Batch) {
        for index in 0..self.len() {
            for step in 0..self.lengths[index] {
                let source = Source::Generated { window: first + index as u64, step };
                batch.push(self.transition(index, step as usize), source);
            }
        }
    }
}

/// Where the windows of a dataset lie: every run of `H` transitions inside an episode, and each shorter episode whole.
#[derive(Clone, Debug)]
pub struct WindowIndex {
    dataset: Dataset,
    horizon: usize,
    /// For each episode: number of windows before it.
    before: Vec<usize>,
}

impl WindowIndex {
    /// The windows of `dataset` with up to `horizon` transitions; fails for a horizon of zero.
    pub fn new(dataset: &Dataset, horizon: usize) -> Result<Self> {
        if horizon == 0 {
            return Err(Error::Invalid { what: "horizon".into(), why: "must be at least 1".into() });
        }
        let mut before = Vec::with_capacity(dataset.episodes().len() + 1);
        let mut count = 0;
        for episode in dataset.episodes() {
            before.push(count);
            count += episode.rows.len().saturating_sub(horizon) + 1;
        }
        before.push(count);
        Ok(Self { dataset: dataset.clone(), horizon, before })
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Most transitions of a window (`H`).
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Number of windows; never zero.
    pub fn len(&self) -> usize {
        self.before[self.before.len() - 1]
    }

    /// Whether there is no window; never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First row and number of transitions of window `index`.
    ///
    /// # Panics
    /// If there is no such window.
    pub fn span(&self, index: usize) -> (usize, usize) {
        assert!(index < self.len(), "window {index} of {}", self.len());
        let episode = self.before.partition_point(|&b| b <= index) - 1;
        let rows = &self.dataset.episodes()[episode].rows;
        (rows.start + index - self.before[episode], rows.len().min(self.horizon))
    }

    /// The episode window `index` lies in.
    pub fn episode(&self, index: usize) -> usize {
        self.before.partition_point(|&b| b <= index) - 1
    }

    /// Appends window `index` to `windows`, with `condition` as its return.
    ///
    /// # Panics
    /// If there is no such window, or `windows` is of other sizes.
    pub fn gather(&self, index: usize, condition: f32, windows: &mut Windows) {
        let spec = self.dataset.spec();
        assert_eq!(
            (windows.horizon, windows.obs_dim, windows.action_dim),
            (self.horizon, spec.obs_dim, spec.action_dim)
        );
        let (start, length) = self.span(index);
        for row in start..start + length {
            let t = self.dataset.row(row);
            windows.values.extend_from_slice(t.observation);
            windows.values.extend_from_slice(t.action);
            windows.values.push(t.reward);
        }
        let last = self.dataset.row(start + length - 1);
        for _ in length..=self.horizon {
            windows.values.extend_from_slice(last.next_observation);
            windows.values.resize(windows.values.len() + spec.action_dim + 1, 0.0);
        }
        windows.lengths.push(length as u32);
        windows.terminated.push(last.terminated);
        windows.returns.push(condition);
        windows.origins.push(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ending;
    use proptest::prelude::*;

    /// Episodes of the given lengths. Observation `n` is `[n, -n]`, and each episode begins 1000 further on.
    fn dataset(episodes: &[(usize, Ending)]) -> Dataset {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        for (number, &(length, ending)) in episodes.iter().enumerate() {
            for step in 0..length {
                let (from, last) = ((1000 * number + step) as f32, step + 1 == length);
                let row = Transition {
                    observation: &[from, -from],
                    action: &[from / 2.0],
                    reward: from / 4.0 + 1.0,
                    next_observation: &[from + 1.0, -from - 1.0],
                    terminated: last && ending == Ending::Terminated,
                    truncated: last && ending == Ending::Truncated,
                };
                builder.push(row).unwrap();
            }
            builder.end_episode();
        }
        builder.build().unwrap()
    }

    fn episodes() -> impl Strategy<Value = Vec<(usize, Ending)>> {
        let ending = prop_oneof![Just(Ending::Terminated), Just(Ending::Truncated), Just(Ending::Unfinished)];
        prop::collection::vec((1_usize..12, ending), 1..8)
    }

    proptest! {
        #[test]
        fn windows_lie_inside_episodes_and_cover_all_rows(episodes in episodes(), horizon in 1_usize..14) {
            let dataset = dataset(&episodes);
            let index = WindowIndex::new(&dataset, horizon).unwrap();
            let expected: usize = episodes.iter().map(|(length, _)| length.saturating_sub(horizon) + 1).sum();
            prop_assert_eq!(index.len(), expected);
            let mut covered = vec![false; dataset.len()];
            let mut previous = None;
            for window in 0..index.len() {
                let (start, length) = index.span(window);
                let rows = &dataset.episodes()[index.episode(window)].rows;
                prop_assert!(rows.start <= start && start + length <= rows.end);
                prop_assert_eq!(length, horizon.min(rows.len()));
                prop_assert!(previous < Some(start));
                previous = Some(start);
                covered[start..start + length].fill(true);
            }
            prop_assert!(covered.into_iter().all(|row| row));
        }

        #[test]
        fn an_ended_window_is_the_one_of_an_episode_that_ended_there(length in 1_usize..9, to in 1_usize..9, last: bool) {
            let to = to.min(length);
            let ending = if last { Ending::Terminated } else { Ending::Truncated };
            let window = |length, horizon| {
                let dataset = dataset(&[(length, ending)]);
                let mut windows = Windows::with_capacity(dataset.spec(), horizon, 1);
                WindowIndex::new(&dataset, horizon).unwrap().gather(0, 0.5, &mut windows);
                windows
            };
            let mut windows = window(length, 9);
            windows.end(0, to, last);
            prop_assert_eq!(&windows, &window(to, 9));
        }

        #[test]
        fn a_part_holds_the_transitions_it_is_made_of(length in 1_usize..9, from in 0_usize..9, to in 1_usize..9) {
            let (from, to) = (from.min(length - 1), to.min(length));
            prop_assume!(from < to);
            let dataset = dataset(&[(length, Ending::Terminated)]);
            let mut windows = Windows::with_capacity(dataset.spec(), 9, 1);
            WindowIndex::new(&dataset, 9).unwrap().gather(0, 0.5, &mut windows);
            let mut parts = windows.emptied();
            parts.push_part(&windows, 0, from, to - from);
            prop_assert_eq!((parts.len(), parts.returns[0], parts.origins[0]), (1, 0.5, from));
            prop_assert_eq!((parts.lengths[0] as usize, parts.terminated[0]), (to - from, to == length));
            for step in from..to {
                let (part, whole) = (parts.transition(0, step - from), windows.transition(0, step));
                prop_assert_eq!((part.observation, part.action), (whole.observation, whole.action));
                prop_assert_eq!((part.reward, part.next_observation), (whole.reward, whole.next_observation));
            }
            // Its padding is that of any window.
            let before = parts.clone();
            parts.end(0, to - from, to == length);
            prop_assert_eq!(parts, before);
        }

        #[test]
        fn transitions_of_windows_are_those_of_the_dataset(episodes in episodes(), horizon in 1_usize..14) {
            let dataset = dataset(&episodes);
            let index = WindowIndex::new(&dataset, horizon).unwrap();
            let mut windows = Windows::with_capacity(dataset.spec(), horizon, index.len());
            for window in 0..index.len() {
                index.gather(window, window as f32, &mut windows);
            }
            prop_assert_eq!(windows.values.len(), index.len() * (horizon + 1) * 4);
            let mut batch = Batch::with_capacity(dataset.spec(), windows.transitions());
            windows.append_to(7, &mut batch);
            prop_assert_eq!(batch.len(), windows.transitions());
            let mut at = 0;
            for window in 0..index.len() {
                let (start, length) = index.span(window);
                prop_assert_eq!((windows.origins[window], windows.lengths[window] as usize), (start, length));
                prop_assert_eq!(windows.returns[window], window as f32);
                for step in 0..length {
                    let (got, expected) = (batch.row(at), dataset.row(start + step));
                    prop_assert_eq!(got.observation, expected.observation);
                    prop_assert_eq!(got.action, expected.action);
                    prop_assert_eq!(got.reward, expected.reward);
                    prop_assert_eq!(got.next_observation, expected.next_observation);
                    let last = step + 1 == length;
                    prop_assert_eq!(got.terminated, last && expected.terminated);
                    prop_assert_eq!(got.truncated, last && !expected.terminated);
                    let source = Source::Generated { window: 7 + window as u64, step: step as u32 };
                    prop_assert_eq!(batch.sources[at], source);
                    at += 1;
                }
                // From the last transition on, the state that was reached is repeated.
                let reached = dataset.row(start + length - 1).next_observation;
                for row in windows.window(window).chunks_exact(4).skip(length) {
                    prop_assert_eq!(row, [reached[0], reached[1], 0.0, 0.0]);
                }
            }
        }
    }

    #[test]
    fn a_horizon_of_zero_is_refused() {
        let error = WindowIndex::new(&dataset(&[(3, Ending::Truncated)]), 0).unwrap_err();
        assert_eq!(error.to_string(), "horizon: must be at least 1");
    }

    #[test]
    fn windows_can_be_changed_and_cleared() {
        let dataset = dataset(&[(2, Ending::Terminated)]);
        let index = WindowIndex::new(&dataset, 3).unwrap();
        let mut windows = Windows::with_capacity(dataset.spec(), 3, 1);
        index.gather(0, 1.0, &mut windows);
        windows.window_mut(0)[3] = 9.0;
        assert_eq!(windows.transition(0, 0).reward, 9.0);
        assert!(windows.transition(0, 1).terminated);
        windows.clear();
        assert!(windows.is_empty() && windows.values.is_empty() && windows.transitions() == 0);
    }
}
