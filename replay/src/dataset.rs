//! An immutable offline dataset: columns of transitions and the episodes they form.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::{
    Batch, Columns, DatasetBuilder, Error, Replay, Result, Rng, Source, Spec, States, Trajectories, Transition, gather,
};

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The task ended (its last transition is `terminated`).
    Terminated,
    /// A time limit cut it (its last transition is `truncated`).
    Truncated,
    /// The recording just stops: neither flag is set on its last transition.
    Unfinished,
}

/// Consecutive rows of a dataset that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Rows of the dataset.
    pub rows: Range<usize>,
    /// How it ended.
    pub ending: Ending,
}

/// Transitions in order, with their episodes. Cloning shares the columns.
#[derive(Clone)]
pub struct Dataset(Arc<Content>);

struct Content {
    spec: Spec,
    columns: Columns,
    states: Option<States>,
    episodes: Vec<Episode>,
    /// A bit for each row, set where it has a flag: few have, and of the others the flags need not be looked at.
    flagged: Vec<u64>,
}

impl Content {
    #[inline]
    fn is_flagged(&self, row: usize) -> bool {
        self.flagged[row / 64] >> (row % 64) & 1 == 1
    }
}

impl Dataset {
    /// A builder to push transitions into.
    pub fn builder(spec: Spec) -> DatasetBuilder {
        DatasetBuilder::new(spec)
    }

    /// A dataset of these columns, which are moved, not copied.
    ///
    /// An episode ends at every row that is terminated or truncated, before every row in `breaks` (whatever their
    /// order), and at the last row.
    ///
    /// Fails where there is no row, a column or the states are not of `N` rows, a break lies beyond the last row, or a
    /// number is not finite; the error names the row.
    pub fn from_columns(spec: Spec, columns: Columns, breaks: &[usize], states: Option<States>) -> Result<Self> {
        columns.check(&spec)?;
        let rows = columns.len();
        states.iter().try_for_each(|states| states.check(rows))?;
        if let Some(&beyond) = breaks.iter().find(|&&b| b > rows) {
            let why = format!("row {beyond} of {rows}");
            return Err(Error::Invalid { what: "start of an episode".into(), why });
        }
        let episodes = episodes(&columns, breaks);
        columns.prefer_large_pages();
        let mut flagged = vec![0; rows.div_ceil(64)];
        for row in (0..rows).filter(|&row| columns.terminated[row] || columns.truncated[row]) {
            flagged[row / 64] |= 1 << (row % 64);
        }
        Ok(Self(Arc::new(Content { spec, columns, states, episodes, flagged })))
    }

    /// Sizes and bounds of the transitions.
    pub fn spec(&self) -> &Spec {
        &self.0.spec
    }

    /// Transitions held (`N`).
    pub fn len(&self) -> usize {
        self.0.columns.rewards.len()
    }

    /// Whether no transition is held; never true of a built dataset.
    pub fn is_empty(&self) -> bool {
        self.0.columns.rewards.is_empty()
    }

    /// The episodes, in order; together they cover all rows.
    pub fn episodes(&self) -> &[Episode] {
        &self.0.episodes
    }

    /// All observations, `[N, O]`.
    pub fn observations(&self) -> &[f32] {
        &self.0.columns.observations
    }

    /// All actions, `[N, A]`.
    pub fn actions(&self) -> &[f32] {
        &self.0.columns.actions
    }

    /// All rewards, `[N]`.
    pub fn rewards(&self) -> &[f32] {
        &self.0.columns.rewards
    }

    /// All next observations, `[N, O]`.
    pub fn next_observations(&self) -> &[f32] {
        &self.0.columns.next_observations
    }

    /// Whether each transition ended the task, `[N]`.
    pub fn terminated(&self) -> &[bool] {
        &self.0.columns.terminated
    }

    /// Whether each transition was cut by a time limit, `[N]`.
    pub fn truncated(&self) -> &[bool] {
        &self.0.columns.truncated
    }

    /// Simulator states, where the file has them.
    pub fn states(&self) -> Option<&States> {
        self.0.states.as_ref()
    }

    /// Row `index`, borrowed.
    pub fn row(&self, index: usize) -> Transition<'_> {
        self.0.columns.row(&self.0.spec, index)
    }

    /// Undiscounted return of each episode.
    pub fn episode_returns(&self) -> Vec<f64> {
        let total = |e: &Episode| self.0.columns.rewards[e.rows.clone()].iter().map(|&r| f64::from(r)).sum();
        self.0.episodes.iter().map(total).collect()
    }
}

/// The episodes of `columns`: see [`Dataset::from_columns`].
fn episodes(columns: &Columns, breaks: &[usize]) -> Vec<Episode> {
    let rows = columns.rewards.len();
    let flagged = |row: usize| columns.terminated[row] || columns.truncated[row];
    let mut ends: Vec<usize> = (0..rows).filter(|&row| flagged(row)).map(|row| row + 1).collect();
    ends.extend(breaks.iter().filter(|&&b| b > 0));
    ends.push(rows);
    ends.sort_unstable();
    ends.dedup();
    let mut start = 0;
    let episode = |end: usize| {
        let ending = match (columns.terminated[end - 1], columns.truncated[end - 1]) {
            (true, _) => Ending::Terminated,
            (false, true) => Ending::Truncated,
            (false, false) => Ending::Unfinished,
        };
        Episode { rows: std::mem::replace(&mut start, end)..end, ending }
    };
    ends.into_iter().map(episode).collect()
}

/// Sizes only: the columns of a real dataset would fill the screen.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("spec", self.spec())
            .field("len", &self.len())
            .field("episodes", &self.episodes().len())
            .field("states", &self.states().is_some())
            .finish()
    }
}

impl Replay for Dataset {
    fn spec(&self) -> &Spec {
        &self.0.spec
    }

    fn len(&self) -> usize {
        self.0.columns.rewards.len()
    }

    /// Uniform over all rows, with replacement.
    fn sample_into(&mut self, rows: usize, rng: &mut Rng, batch: &mut Batch) -> Result<()> {
        batch.reset(&self.0.spec);
        if self.is_empty() {
            return Err(Error::Empty);
        }
        let Content { spec, columns, .. } = &*self.0;
        let len = columns.len();
        let ask = |index| {
            columns.ask_for_inside(spec, index);
            index
        };
        let row = |index| {
            let row = if self.0.is_flagged(index) { columns.row(spec, index) } else { columns.row_inside(spec, index) };
            (row, Source::Real(index))
        };
        gather(rows, batch, || rng.random_range(0..len), ask, row);
        Ok(())
    }
}

impl Trajectories for Dataset {
    fn dataset(&self) -> Result<Dataset> {
        Ok(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;
    use proptest::prelude::*;

    fn columns(rows: usize) -> Columns {
        let numbers: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        Columns {
            observations: numbers.clone(),
            actions: numbers.clone(),
            rewards: numbers.clone(),
            next_observations: numbers,
            terminated: vec![false; rows],
            truncated: vec![false; rows],
        }
    }

    fn refusal(change: impl FnOnce(&mut Columns), breaks: &[usize], states: Option<States>) -> String {
        let mut columns = columns(3);
        change(&mut columns);
        Dataset::from_columns(Spec::new(1, 1), columns, breaks, states).unwrap_err().to_string()
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        assert_eq!(
            refusal(|c| c.actions.truncate(2), &[], None),
            "actions: expected 3 rows of 1 numbers, got 2 numbers"
        );
        assert_eq!(refusal(|c| c.truncated.truncate(2), &[], None), "truncated: expected 3 flags, got 2");
        assert_eq!(refusal(|c| c.rewards[1] = f32::NAN, &[], None), "rewards, row 1: NaN is not finite");
        assert_eq!(refusal(|_| {}, &[4], None), "start of an episode: row 4 of 3");
        let states = States { qpos: vec![0.0; 6], qvel: vec![0.0; 2], nq: 2, nv: 1, ..States::default() };
        assert!(refusal(|_| {}, &[], Some(states)).starts_with("simulator states: expected 3 rows of 2 positions"));
        assert!(matches!(Dataset::from_columns(Spec::new(1, 1), Columns::default(), &[], None), Err(Error::Empty)));
    }

    #[test]
    fn terminated_wins_over_truncated() {
        let mut columns = columns(1);
        (columns.terminated[0], columns.truncated[0]) = (true, true);
        let dataset = Dataset::from_columns(Spec::new(1, 1), columns, &[], None).unwrap();
        assert_eq!(dataset.episodes()[0].ending, Ending::Terminated);
        assert!(dataset.truncated()[0]);
    }

    #[test]
    fn clones_share_and_debug_is_short() {
        let dataset = Dataset::from_columns(Spec::new(1, 1), columns(1000), &[], None).unwrap();
        assert_eq!(dataset.clone().rewards().as_ptr(), dataset.dataset().unwrap().rewards().as_ptr());
        let text = format!("{dataset:?}");
        assert!(text.contains("len: 1000") && text.len() < 300, "{text}");
    }

    #[test]
    fn a_builder_refuses_what_does_not_fit_and_goes_on() {
        let mut builder = Dataset::builder(Spec::new(1, 1));
        let good = Transition {
            observation: &[1.0],
            action: &[0.0],
            reward: 2.0,
            next_observation: &[3.0],
            terminated: false,
            truncated: false,
        };
        builder.end_episode();
        builder.push(good).unwrap();
        let why = |error: Result<()>| error.unwrap_err().to_string();
        let short = Transition { action: &[], ..good };
        assert_eq!(why(builder.push(short)), "action of transition 1: expected 1 numbers, got 0");
        let infinite = Transition { reward: f32::INFINITY, ..good };
        assert_eq!(why(builder.push(infinite)), "reward of transition 1: inf is not finite");
        builder.end_episode();
        builder.end_episode();
        builder.push(good).unwrap();
        let dataset = builder.build().unwrap();
        assert_eq!(dataset.episodes().iter().map(|e| e.rows.clone()).collect::<Vec<_>>(), [0..1, 1..2]);
        assert_eq!(dataset.row(1), good);
        assert_eq!(dataset.episode_returns(), [2.0, 2.0]);
        assert!(matches!(Dataset::builder(Spec::new(1, 1)).build(), Err(Error::Empty)));
    }

    proptest! {
        #[test]
        fn episodes_cover_all_rows_and_end_at_flags_and_breaks(
            flags in prop::collection::vec((prop::bool::weighted(0.2), prop::bool::weighted(0.2)), 1..60),
            breaks in prop::collection::vec(0_usize..60, 0..6),
        ) {
            let rows = flags.len();
            let breaks: Vec<usize> = breaks.into_iter().filter(|&b| b <= rows).collect();
            let mut columns = columns(rows);
            (columns.terminated, columns.truncated) = flags.iter().copied().unzip();
            let dataset = Dataset::from_columns(Spec::new(1, 1), columns, &breaks, None).unwrap();
            let mut next = 0;
            for Episode { rows: range, ending } in dataset.episodes() {
                prop_assert!(range.start == next && range.end > next);
                next = range.end;
                let (terminated, truncated) = flags[range.end - 1];
                prop_assert_eq!(*ending == Ending::Terminated, terminated);
                prop_assert_eq!(*ending == Ending::Truncated, truncated && !terminated);
                let inside = range.start..range.end - 1;
                prop_assert!(flags[inside.clone()].iter().all(|&flags| flags == (false, false)));
                prop_assert!(!inside.into_iter().any(|row| breaks.contains(&(row + 1))));
                prop_assert!(terminated || truncated || breaks.contains(&range.end) || range.end == rows);
            }
            prop_assert_eq!(next, rows);
        }

        #[test]
        fn samples_are_the_rows_of_plain_draws(
            flags in prop::collection::vec((prop::bool::weighted(0.2), prop::bool::weighted(0.2)), 1..200),
            rows in 0_usize..100,
            seed: u64,
        ) {
            let mut columns = columns(flags.len());
            (columns.terminated, columns.truncated) = flags.iter().copied().unzip();
            let mut dataset = Dataset::from_columns(Spec::new(1, 1), columns, &[], None).unwrap();
            let batch = dataset.sample(rows, &mut Seed::new(seed).rng()).unwrap();
            let mut rng = Seed::new(seed).rng();
            prop_assert_eq!(batch.len(), rows);
            for (index, source) in batch.sources.iter().enumerate() {
                let row = rng.random_range(0..flags.len());
                prop_assert_eq!(*source, Source::Real(row));
                prop_assert_eq!(batch.row(index), dataset.row(row));
                prop_assert_eq!((batch.terminated[index], batch.truncated[index]), flags[row]);
            }
        }
    }
}
