//! A set of transitions to be judged, and the windows they belong to.

use std::collections::HashMap;

use replay::{Batch, Dataset, Source, Spec, States, WindowIndex, Windows};

use super::{Error, Result};

/// Transitions in order, each in one window (the cluster of transitions that depend on one another).
#[derive(Clone, Debug, Default)]
pub struct Transitions {
    columns: Batch,
    /// The window of each transition.
    windows: Vec<usize>,
    window_count: usize,
    /// Whether windows are complete, so that sums over them are returns.
    complete: bool,
    asked: Option<Vec<f64>>,
    states: Option<States>,
}

impl Transitions {
    /// All transitions of generated windows; their `returns` are the asked ones.
    pub fn of_windows(windows: &Windows) -> Self {
        let spec = Spec::new(windows.obs_dim(), windows.action_dim());
        let mut columns = Batch::with_capacity(&spec, windows.transitions());
        windows.append_to(0, &mut columns);
        let lengths = windows.lengths.iter().enumerate();
        Self {
            columns,
            windows: lengths.flat_map(|(window, &length)| std::iter::repeat_n(window, length as usize)).collect(),
            window_count: windows.len(),
            complete: true,
            asked: Some(windows.returns.iter().map(|&r| f64::from(r)).collect()),
            states: None,
        }
    }

    /// All transitions of what is left of generated windows, some of which a check took apart: `of` names the window that
    /// each is a part of. Parts of one window depend on one another and form one cluster; sums of their rewards are no
    /// window's return, so no returns are measured.
    ///
    /// # Panics
    /// If there is not one name for each of `windows`.
    pub fn of_parts(windows: &Windows, of: &[u64]) -> Self {
        assert_eq!(of.len(), windows.len(), "names of {} parts", windows.len());
        let mut known = HashMap::new();
        let cluster: Vec<usize> = of
            .iter()
            .map(|of| {
                let next = known.len();
                *known.entry(of).or_insert(next)
            })
            .collect();
        let mut set = Self::of_windows(windows);
        set.windows.iter_mut().for_each(|part| *part = cluster[*part]);
        Self { window_count: known.len(), complete: false, asked: None, ..set }
    }

    /// The windows `picked` of a dataset, with the simulator states that the dataset has. Nothing was asked of them.
    ///
    /// Fails where there is no such window.
    pub fn of_data(index: &WindowIndex, picked: &[usize]) -> Result<Self> {
        if let Some(bad) = picked.iter().find(|&&window| window >= index.len()) {
            return Err(Error::invalid("windows", format!("there is no window {bad} of {}", index.len())));
        }
        let dataset = index.dataset();
        let mut set = Self {
            columns: Batch::with_capacity(dataset.spec(), picked.len() * index.horizon()),
            window_count: picked.len(),
            complete: true,
            ..Self::default()
        };
        for (window, &picked) in picked.iter().enumerate() {
            let (start, length) = index.span(picked);
            for row in start..start + length {
                set.columns.push(dataset.row(row), Source::Real(row));
                set.windows.push(window);
            }
        }
        set.states = set.states_of(dataset);
        Ok(set)
    }

    /// Sampled transitions. Those of one generated window form a cluster; each real one stands alone. Windows are not
    /// complete, so no returns are measured.
    pub fn of_batch(batch: &Batch) -> Self {
        let mut known = HashMap::new();
        let mut window_count = 0;
        let mut another = || {
            window_count += 1;
            window_count - 1
        };
        let windows = batch
            .sources
            .iter()
            .map(|source| match *source {
                Source::Real(_) => another(),
                Source::Generated { window, .. } => *known.entry(window).or_insert_with(&mut another),
            })
            .collect();
        Self { columns: batch.clone(), windows, window_count, ..Self::default() }
    }

    /// The simulator states of transitions that are rows of `dataset`; `None` where it has none.
    fn states_of(&self, dataset: &Dataset) -> Option<States> {
        let states = dataset.states()?;
        let row = |source: &Source| if let Source::Real(row) = *source { Some(row) } else { None };
        let rows = self.columns.sources.iter().map(row).collect::<Option<Vec<usize>>>()?;
        Some(states.of_rows(&rows))
    }

    /// The same transitions without simulator states, to be judged as generated ones are: from observations.
    pub fn without_states(mut self) -> Self {
        self.states = None;
        self
    }

    /// The same transitions of which nothing was asked: those of methods that copy windows with the return they have.
    pub fn unasked(mut self) -> Self {
        self.asked = None;
        self
    }

    /// Transitions in the set.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no transition.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The transitions.
    pub fn columns(&self) -> &Batch {
        &self.columns
    }

    /// The window of each transition, below [`window_count`](Self::window_count).
    pub fn windows(&self) -> &[usize] {
        &self.windows
    }

    /// Number of windows.
    pub fn window_count(&self) -> usize {
        self.window_count
    }

    /// The mean of one value for each transition over each window, `[windows]`; absent values count for nothing, and a
    /// window without any has none.
    ///
    /// # Panics
    /// If there is not one for each transition.
    pub fn mean_over_windows(&self, values: &[Option<f64>]) -> Vec<Option<f64>> {
        assert_eq!(values.len(), self.len(), "values for transitions");
        let mut sums = vec![(0.0, 0_u64); self.window_count];
        for (value, &window) in values.iter().zip(&self.windows) {
            if let Some(value) = value {
                sums[window] = (sums[window].0 + value, sums[window].1 + 1);
            }
        }
        sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / count as f64)).collect()
    }

    /// Whether windows are complete, so that the sum of rewards over one is its return.
    pub fn windows_are_complete(&self) -> bool {
        self.complete
    }

    /// The return that each window was asked to have, where one was asked.
    pub fn asked(&self) -> Option<&[f64]> {
        self.asked.as_deref()
    }

    /// The transition of the same window that leads to where transition `row` begins; `None` at a window's begin.
    pub fn before(&self, row: usize) -> Option<usize> {
        let before = row.checked_sub(1).filter(|&before| self.windows[before] == self.windows[row])?;
        let o = self.columns.obs_dim();
        let leads = self.columns.next_observations[before * o..][..o] == self.columns.observations[row * o..][..o];
        leads.then_some(before)
    }

    /// The simulator state each transition started from, where known.
    pub fn states(&self) -> Option<&States> {
        self.states.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use replay::Transition;

    use super::*;

    fn dataset() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for row in 0..7 {
            let (here, next) = ([row as f32], [row as f32 + 1.0]);
            let truncated = row == 3;
            let row = Transition {
                observation: &here,
                action: &here,
                reward: row as f32,
                next_observation: &next,
                terminated: false,
                truncated,
            };
            builder.push(row).unwrap();
        }
        let rows = |step: f64| (0..7).map(|r| f64::from(r) * step).collect();
        builder.states(States { qpos: rows(10.0), qvel: rows(100.0), nq: 1, nv: 1, ..States::default() });
        builder.build().unwrap()
    }

    #[test]
    fn parts_of_a_window_are_one_cluster_without_a_return() {
        let index = WindowIndex::new(&dataset(), 2).unwrap();
        let mut windows = Windows::with_capacity(dataset().spec(), 2, 3);
        [4, 1, 0].into_iter().for_each(|number| index.gather(number, 9.0, &mut windows));
        let whole = Transitions::of_windows(&windows);
        assert_eq!((whole.windows(), whole.asked()), (&[0, 0, 1, 1, 2, 2][..], Some(&[9.0; 3][..])));
        assert!(whole.clone().unasked().asked().is_none());
        let parts = Transitions::of_parts(&windows, &[7, 7, 3]);
        assert_eq!((parts.windows(), parts.window_count()), (&[0, 0, 0, 0, 1, 1][..], 2));
        assert!(parts.asked().is_none() && !parts.windows_are_complete() && whole.windows_are_complete());
        assert_eq!(parts.columns(), whole.columns());
    }

    #[test]
    fn windows_of_data_bring_their_states() {
        let index = WindowIndex::new(&dataset(), 2).unwrap();
        let set = Transitions::of_data(&index, &[4, 1]).unwrap();
        assert_eq!((set.len(), set.window_count(), set.windows()), (4, 2, &[0, 0, 1, 1][..]));
        assert_eq!(set.columns().rewards, [5.0, 6.0, 1.0, 2.0]);
        let states = set.states().unwrap();
        assert_eq!(
            (&states.qpos[..], &states.qvel[..]),
            (&[50.0, 60.0, 10.0, 20.0][..], &[500.0, 600.0, 100.0, 200.0][..])
        );
        assert!(set.asked().is_none() && set.windows_are_complete());
        assert!(set.without_states().states().is_none());
        assert_eq!(Transitions::of_data(&index, &[5]).unwrap_err().to_string(), "windows: there is no window 5 of 5");
    }

    #[test]
    fn generated_windows_bring_what_was_asked() {
        let index = WindowIndex::new(&dataset(), 4).unwrap();
        let mut windows = Windows::with_capacity(dataset().spec(), 4, 2);
        index.gather(0, 2.5, &mut windows);
        index.gather(1, 3.5, &mut windows);
        let set = Transitions::of_windows(&windows);
        // The second episode has three transitions only.
        assert_eq!(set.windows(), [0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(set.asked(), Some(&[2.5, 3.5][..]));
        let before: Vec<Option<usize>> = (0..7).map(|row| set.before(row)).collect();
        assert_eq!(before, [None, Some(0), Some(1), Some(2), None, Some(4), Some(5)]);
        assert_eq!(set.columns().rewards, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(set.columns().next_observations, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn a_batch_is_clustered_by_generated_window() {
        let mut batch = Batch::with_capacity(&Spec::new(1, 1), 5);
        let data = dataset();
        let generated = |window, step| Source::Generated { window, step };
        for source in [generated(9, 1), Source::Real(3), generated(2, 0), generated(9, 0), Source::Real(3)] {
            batch.push(data.row(0), source);
        }
        let set = Transitions::of_batch(&batch);
        assert_eq!((set.windows(), set.window_count()), (&[0, 1, 2, 0, 3][..], 4));
        let means = set.mean_over_windows(&[Some(1.0), None, Some(4.0), Some(2.0), Some(8.0)]);
        assert_eq!(means, [Some(1.5), None, Some(4.0), Some(8.0)]);
        assert!(!set.windows_are_complete());
    }
}
