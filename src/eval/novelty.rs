//! Novelty: how far generated transitions lie from the data (eq. 12 and 15 of the paper).

use std::ops::Range;

use rand::RngExt;
use replay::{Dataset, Seed, column_moments};
use serde::{Deserialize, Serialize};

use super::nearest::Columns;
use super::{Bootstrap, Interval, Nearest, NearestIndex, Result, SearchOptions, Summary};
use crate::native::DeviceChoice;

/// The units in which distances are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoveltyScale {
    /// The numbers as they are, as in the equation. Dimensions with large numbers decide.
    #[default]
    Raw,
    /// Each dimension divided by the dataset's standard deviation of it, or by `std_floor` where that is larger.
    Dataset,
}

/// How novelty is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoveltyConfig {
    /// Units of distances.
    pub scale: NoveltyScale,
    /// Least standard deviation that [`NoveltyScale::Dataset`] divides by.
    pub std_floor: f64,
    /// Most transitions of a set that are searched for: of more, one from each of as many equal stretches.
    /// With zero, a [`QualityMeter`](super::QualityMeter) does not measure novelty.
    pub most_queries: usize,
    /// Where neighbours are searched; see [`SearchOptions::device`]. The figures do not depend on it.
    pub device: DeviceChoice,
}

impl Default for NoveltyConfig {
    /// Raw units, at most 10,000 transitions of a set, on the CPU.
    fn default() -> Self {
        Self { scale: NoveltyScale::Raw, std_floor: 1e-3, most_queries: 10_000, device: DeviceChoice::Cpu }
    }
}

/// Novelty of a set of transitions.
///
/// The paper's appendix D.2 speaks of "the average l2 distance" while its formula squares it. The figures here are
/// the formula's, squared; the `distance` fields are the roots' means. Both searches are exact and over the whole
/// dataset. The paper's own figures are not comparable: its 1.39 for S4RL's noise on HalfCheetah is far from the
/// noise it adds, so those distances cannot be to the nearest row of the whole dataset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// Units of all figures.
    pub scale: NoveltyScale,
    /// Squared distance of each observation to the nearest one of the data.
    pub state: Summary,
    /// Squared distance of each action to the nearest one of the data.
    pub action: Summary,
    /// Squared distance of each pair of observation and action to the nearest pair: eq. (12).
    pub both: Summary,
    /// Mean distance (not squared) of observations.
    pub state_distance: f64,
    /// Mean distance (not squared) of actions.
    pub action_distance: f64,
    /// Mean distance (not squared) of pairs.
    pub both_distance: f64,
    /// Bootstrap interval over windows of the mean of `state`; absent where windows are not known or fewer than two.
    #[serde(default)]
    pub state_interval: Option<Interval>,
    /// The same of `action`.
    #[serde(default)]
    pub action_interval: Option<Interval>,
    /// The same of `both`.
    #[serde(default)]
    pub both_interval: Option<Interval>,
}

/// For each transition that was searched for, the nearest rows of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct NoveltyValues {
    /// Units of the distances.
    pub scale: NoveltyScale,
    /// The transition, as a row of the set.
    pub rows: Vec<usize>,
    /// Nearest by observation.
    pub state: Vec<Nearest>,
    /// Nearest by action.
    pub action: Vec<Nearest>,
    /// Nearest by observation and action.
    pub both: Vec<Nearest>,
}

impl NoveltyValues {
    /// The figures to report, without intervals; `None` where nothing was searched for.
    pub fn summary(&self) -> Option<Novelty> {
        let of = |found: &[Nearest]| {
            let squares: Vec<f64> = found.iter().map(|n| n.squared_distance).collect();
            let distance = squares.iter().map(|s| s.sqrt()).sum::<f64>() / squares.len() as f64;
            Some((Summary::of(&squares)?, distance))
        };
        let ((state, state_distance), (action, action_distance), (both, both_distance)) =
            (of(&self.state)?, of(&self.action)?, of(&self.both)?);
        Some(Novelty {
            scale: self.scale,
            state,
            action,
            both,
            state_distance,
            action_distance,
            both_distance,
            state_interval: None,
            action_interval: None,
            both_interval: None,
        })
    }

    /// [`summary`](Self::summary) with intervals, where row `r` of the set belongs to the window `windows[r]`.
    ///
    /// Of each window only the transitions that were searched for count. The same seed gives the same intervals.
    ///
    /// # Panics
    /// If there is no window for a row that was searched for.
    pub fn summary_over(&self, windows: &[usize], bootstrap: &Bootstrap, seed: &Seed) -> Option<Novelty> {
        let count = self.rows.iter().map(|&row| windows[row] + 1).max().unwrap_or(0);
        let interval = |name: &str, found: &[Nearest]| {
            let (mut sums, mut counts) = (vec![0.0; count], vec![0; count]);
            for (&row, nearest) in self.rows.iter().zip(found) {
                sums[windows[row]] += nearest.squared_distance;
                counts[windows[row]] += 1;
            }
            bootstrap.mean_over_clusters(&sums, &counts, &seed.fork(name, 0))
        };
        Some(Novelty {
            state_interval: interval("state", &self.state),
            action_interval: interval("action", &self.action),
            both_interval: interval("both", &self.both),
            ..self.summary()?
        })
    }
}

/// Novelty of transitions, given as `observations` (`[N, O]`) and `actions` (`[N, A]`), against `dataset`.
///
/// Fails where sizes do not fit the dataset's or a number is not finite.
pub fn novelty(
    dataset: &Dataset,
    observations: &[f32],
    actions: &[f32],
    config: &NoveltyConfig,
) -> Result<NoveltyValues> {
    // Checked as a whole before any row is picked from it.
    let spec = dataset.spec();
    Columns::new("transitions", [observations, actions], [spec.obs_dim, spec.action_dim])?;
    let rows = thinned(observations.len() / spec.obs_dim.max(1), config.most_queries);
    measure(dataset, observations, actions, rows, |_| 0..0, config)
}

/// Novelty that the data's own rows would have, were they not in the data: each row of `rows` against all others.
///
/// The figure to hold a generated set's novelty against. Neighbouring rows of an episode are near one another; to
/// see the distance between episodes, `whole_episodes` hides a row's own episode from it.
pub fn spacing(
    dataset: &Dataset,
    rows: &[usize],
    whole_episodes: bool,
    config: &NoveltyConfig,
) -> Result<NoveltyValues> {
    if let Some(bad) = rows.iter().find(|&&row| row >= dataset.len()) {
        return Err(super::Error::invalid("rows", format!("there is no row {bad} of {}", dataset.len())));
    }
    let picked: Vec<usize> = thinned(rows.len(), config.most_queries).into_iter().map(|i| rows[i]).collect();
    let episodes = dataset.episodes();
    let hidden = |row: usize| {
        if !whole_episodes {
            return row..row + 1;
        }
        episodes[episodes.partition_point(|e| e.rows.end <= row)].rows.clone()
    };
    measure(dataset, dataset.observations(), dataset.actions(), picked, hidden, config)
}

/// At most `most` of `count` indices: one from each of as many equal stretches, always the same.
///
/// Drawn at random inside each stretch: at equal steps, a step of a window's length would see only one step of each
/// window.
fn thinned(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let mut rng = Seed::new(0).fork("novelty", 0).rng();
    let edge = |i: usize| (i as u128 * count as u128 / most as u128) as usize;
    (0..most).map(|i| rng.random_range(edge(i)..edge(i + 1))).collect()
}

/// Searches the data for the picked `rows` of a set, each of which does not see the data's rows `hidden(row)`.
fn measure(
    dataset: &Dataset,
    observations: &[f32],
    actions: &[f32],
    rows: Vec<usize>,
    hidden: impl Fn(usize) -> Range<usize> + Sync,
    config: &NoveltyConfig,
) -> Result<NoveltyValues> {
    let (o, a) = (dataset.spec().obs_dim, dataset.spec().action_dim);
    let pick = |values: &[f32], dim: usize| -> Vec<f32> {
        rows.iter().flat_map(|&row| values[row * dim..][..dim].iter().copied()).collect()
    };
    let (picked_observations, picked_actions) = (pick(observations, o), pick(actions, a));
    let weights = |values: &[f32], dim: usize| -> Vec<f64> {
        match config.scale {
            NoveltyScale::Raw => vec![1.0; dim],
            NoveltyScale::Dataset => column_moments(dim, values.chunks_exact(dim))
                .1
                .iter()
                .map(|std| std.max(config.std_floor).powi(-2))
                .collect(),
        }
    };
    let (state_weights, action_weights) = (weights(dataset.observations(), o), weights(dataset.actions(), a));
    let options = SearchOptions { device: config.device, ..SearchOptions::default() };
    let find = |use_state: bool, use_action: bool| -> Result<Vec<Nearest>> {
        let dims = [if use_state { o } else { 0 }, if use_action { a } else { 0 }];
        let of = |state, action| [if use_state { state } else { &[][..] }, if use_action { action } else { &[][..] }];
        let data = Columns::new("dataset", of(dataset.observations(), dataset.actions()), dims)?;
        let queries = Columns::new("transitions", of(&picked_observations, &picked_actions), dims)?;
        let weights: Vec<f64> = [&state_weights[..dims[0]], &action_weights[..dims[1]]].concat();
        NearestIndex::of(data, &weights, options)?.search_unseen(&queries, |query| hidden(rows[query]))
    };
    let (state, action, both) = (find(true, false)?, find(false, true)?, find(true, true)?);
    Ok(NoveltyValues { scale: config.scale, rows, state, action, both })
}

#[cfg(test)]
mod tests {
    use replay::{Spec, Transition, fill_normal};

    use super::*;

    /// Three episodes of 40 rows, with action numbers ten times as large as observation numbers.
    fn dataset() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(3, 2));
        let mut rng = Seed::new(0).rng();
        for row in 0..120 {
            let mut numbers = [0.0; 8];
            fill_normal(&mut rng, &mut numbers);
            let action = [10.0 * numbers[3], 10.0 * numbers[4]];
            let (observation, next_observation) = (&numbers[..3], &numbers[5..]);
            let truncated = row % 40 == 39;
            builder
                .push(Transition {
                    observation,
                    action: &action,
                    reward: 0.0,
                    next_observation,
                    terminated: false,
                    truncated,
                })
                .unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn rows_of_the_data_are_not_novel() {
        let data = dataset();
        let values = novelty(&data, data.observations(), data.actions(), &NoveltyConfig::default()).unwrap();
        let figures = values.summary().unwrap();
        assert_eq!(
            (figures.state.max, figures.action.max, figures.both.max, figures.both_distance),
            (0.0, 0.0, 0.0, 0.0)
        );
        assert_eq!(figures.both.count, 120);
    }

    #[test]
    fn a_known_step_is_measured_squared_and_not() {
        // Far beyond the data, the nearest row is the outermost: moved on by 3 and 4, the distance is 5, squared 25.
        let mut builder = Dataset::builder(Spec::new(1, 1));
        for x in 0..5 {
            let at = [x as f32 * 100.0];
            let row = Transition {
                observation: &at,
                action: &at,
                reward: 0.0,
                next_observation: &at,
                terminated: false,
                truncated: false,
            };
            builder.push(row).unwrap();
        }
        let data = builder.build().unwrap();
        let found = novelty(&data, &[403.0], &[404.0], &NoveltyConfig::default()).unwrap();
        let figures = found.summary().unwrap();
        assert_eq!((figures.state.mean, figures.action.mean, figures.both.mean), (9.0, 16.0, 25.0));
        assert_eq!((figures.state_distance, figures.action_distance, figures.both_distance), (3.0, 4.0, 5.0));
        // The data's standard deviation is 100 sqrt(2).
        let scaled = NoveltyConfig { scale: NoveltyScale::Dataset, ..NoveltyConfig::default() };
        let scaled = novelty(&data, &[403.0], &[404.0], &scaled).unwrap().summary().unwrap();
        assert!((scaled.both.mean - 25.0 / 20_000.0).abs() < 1e-15);
    }

    #[test]
    fn spacing_hides_the_row_or_its_episode() {
        let data = dataset();
        let rows: Vec<usize> = (0..120).collect();
        let config = NoveltyConfig::default();
        let (near, far) =
            (spacing(&data, &rows, false, &config).unwrap(), spacing(&data, &rows, true, &config).unwrap());
        for row in rows {
            assert_ne!(near.both[row].row, row);
            assert_ne!(far.both[row].row / 40, row / 40);
            assert!(far.both[row].squared_distance >= near.both[row].squared_distance);
        }
        assert!(spacing(&data, &[120], false, &config).is_err());
    }

    #[test]
    fn many_transitions_are_thinned() {
        let picked = thinned(1000, 40);
        assert!(picked.iter().enumerate().all(|(i, row)| row / 25 == i), "one from each stretch of 25: {picked:?}");
        assert!(picked.iter().any(|row| row % 25 != picked[0] % 25) && picked == thinned(1000, 40));
        assert_eq!(thinned(3, 10), [0, 1, 2]);
        assert_eq!(thinned(0, 10), [] as [usize; 0]);
        let data = dataset();
        let config = NoveltyConfig { most_queries: 30, ..NoveltyConfig::default() };
        let values = novelty(&data, data.observations(), data.actions(), &config).unwrap();
        assert_eq!(values.rows.len(), 30);
        assert!(values.rows.iter().zip(&values.both).all(|(row, n)| *row == n.row));
    }

    #[test]
    fn nothing_and_wrong_sizes_are_said() {
        let data = dataset();
        assert_eq!(novelty(&data, &[], &[], &NoveltyConfig::default()).unwrap().summary(), None);
        assert!(novelty(&data, &[0.0; 6], &[0.0; 2], &NoveltyConfig::default()).is_err());
        let error = novelty(&data, &[0.0, f32::INFINITY, 0.0], &[0.0; 2], &NoveltyConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "transitions, row 0: inf is not finite");
    }
}
