//! Measures quality: asks a simulator what really follows from each transition, and compares.

use replay::{Batch, Dataset, Seed, States, column_moments};

use super::quality::{
    Excluded, Judged, Measured, Quality, QualityConfig, RewardError, Successor, Terminals, WindowReturn,
};
use super::report::{Floor, NamedQuality, QualityReport};
use super::stats::{mean, pearson};
use super::{Error, Interval, Novelty, Questions, Result, Simulator, Summary, Transitions, Truth, novelty};

/// Transitions that a simulator is asked about at a time.
const CHUNK: usize = 1 << 16;

/// Measures sets of transitions against one dataset and one simulator.
#[derive(Clone, Debug)]
pub struct QualityMeter<S> {
    dataset: Dataset,
    simulator: S,
    config: QualityConfig,
    /// What errors of each observation dimension are divided by.
    scale: Vec<f64>,
    /// The context of all rows of the dataset, where they have one in common: that of what is generated from them, too.
    context: Option<Vec<f64>>,
}

impl<S: Simulator> QualityMeter<S> {
    /// A meter in units of `dataset`, to which also novelty refers.
    ///
    /// Fails where the settings are out of range.
    pub fn new(dataset: &Dataset, simulator: S, config: QualityConfig) -> Result<Self> {
        for (what, floor) in [("std_floor", config.std_floor), ("novelty.std_floor", config.novelty.std_floor)] {
            if !(floor > 0.0 && floor.is_finite()) {
                return Err(Error::invalid(what, format!("must be positive and finite, not {floor}")));
            }
        }
        let level = config.bootstrap.level;
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::invalid("bootstrap.level", format!("must be in (0, 1), not {level}")));
        }
        let (_, deviations) =
            column_moments(dataset.spec().obs_dim, dataset.observations().chunks_exact(dataset.spec().obs_dim));
        let scale = deviations.into_iter().map(|std| std.max(config.std_floor)).collect();
        let context = dataset.states().and_then(States::common_context).map(<[f64]>::to_vec);
        Ok(Self { dataset: dataset.clone(), simulator, config, scale, context })
    }

    /// The settings.
    pub fn config(&self) -> &QualityConfig {
        &self.config
    }

    /// The dataset that quality is measured against.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Judges a set of transitions; from their simulator states where the set has them, else from observations.
    ///
    /// Fails where their sizes are not the dataset's, the simulator fails, or no transition could be judged.
    pub fn measure(&self, set: &Transitions) -> Result<Measured> {
        self.check_sizes(set)?;
        let (columns, spec) = (set.columns(), self.dataset.spec());
        let mut transitions = vec![None; set.len()];
        let excluded = self.judge(set, |row, judged, _| transitions[row] = Some(judged))?;
        let rows: Vec<(usize, Judged)> =
            transitions.iter().enumerate().filter_map(|(row, judged)| Some((row, (*judged)?))).collect();
        let values =
            |of: &dyn Fn(usize, &Judged) -> f64| -> Vec<f64> { rows.iter().map(|(row, j)| of(*row, j)).collect() };
        let dynamic_mse = values(&|_, j| j.dynamic_mse);
        let oracle_reward = values(&|_, j| j.oracle_reward);
        let reward = values(&|row, _| f64::from(columns.rewards[row]));
        let (Some(dynamic_mse_summary), Some(oracle_summary), Some(reward_summary)) =
            (Summary::of(&dynamic_mse), Summary::of(&oracle_reward), Summary::of(&reward))
        else {
            return Err(Error::NothingMeasured {
                transitions: set.len(),
                not_finite: excluded.not_finite,
                not_rebuilt: excluded.not_rebuilt,
                diverged: excluded.diverged,
            });
        };
        let seed = Seed::new(self.config.seed);
        let interval = |name: &str, values: &[f64]| self.interval(set, &rows, values, &seed.fork(name, 0));
        let window_returns = window_returns(set, &transitions);
        let pair = |other: &dyn Fn(&WindowReturn) -> Option<f64>| {
            let pairs = window_returns.iter().filter_map(|w| Some((w.asked?, other(w)?)));
            let (asked, got): (Vec<f64>, Vec<f64>) = pairs.unzip();
            pearson(&asked, &got)
        };
        let claimed: Vec<f64> = window_returns.iter().map(|w| w.claimed).collect();
        let oracle: Vec<f64> = window_returns.iter().filter_map(|w| w.oracle).collect();
        let quality = Quality {
            transitions: set.len(),
            windows: set.window_count(),
            excluded,
            obs_dim: spec.obs_dim,
            dynamic_mse: dynamic_mse_summary,
            dynamic_mse_interval: interval("dynamic_mse", &dynamic_mse),
            oracle_reward: oracle_summary,
            oracle_reward_interval: interval("oracle_reward", &oracle_reward),
            reward: reward_summary,
            reward_error: reward_error(&reward, &oracle_reward),
            window_return: Summary::of(&claimed),
            oracle_window_return: Summary::of(&oracle),
            asked_return: Summary::of(&window_returns.iter().filter_map(|w| w.asked).collect::<Vec<f64>>()),
            asked_vs_generated: pair(&|w| Some(w.claimed)),
            asked_vs_oracle: pair(&|w| w.oracle),
            terminals: terminals(columns, &rows),
            novelty: self.novelty(set, &seed.fork("novelty", 0))?,
        };
        Ok(Measured { quality, transitions, rewards: columns.rewards.clone(), window_returns })
    }

    /// What the simulator says of each transition, in order; absent where it cannot judge one. No figures are made.
    ///
    /// Fails where the set's sizes are not the dataset's, and where the simulator fails.
    pub fn judge_each(&self, set: &Transitions) -> Result<Vec<Option<Judged>>> {
        self.check_sizes(set)?;
        let mut each = vec![None; set.len()];
        self.judge(set, |row, judged, _| each[row] = Some(judged))?;
        Ok(each)
    }

    /// The same with the true next observations.
    pub fn successors(&self, set: &Transitions) -> Result<Vec<Option<Successor>>> {
        self.check_sizes(set)?;
        let mut each = vec![None; set.len()];
        self.judge(set, |row, judged, next| {
            let next_observation = next.iter().map(|&v| v as f32).collect();
            each[row] = Some(Successor { judged, next_observation });
        })?;
        Ok(each)
    }

    /// What the figures are for real transitions, which are beyond doubt: the error that is the oracle's own, by
    /// rebuilding states from observations (as for generated transitions) and, where the set has them, from states.
    pub fn floor(&self, real: &Transitions) -> Result<Floor> {
        let states = match real.states() {
            Some(_) => Some(self.measure(real)?.quality),
            None => None,
        };
        Ok(Floor { observations: self.measure(&real.clone().without_states())?.quality, states })
    }

    /// Measures named sets and the floor by `real` transitions, to be shown beside one another.
    pub fn report(&self, real: &Transitions, sets: &[(&str, &Transitions)]) -> Result<QualityReport> {
        let rows = sets
            .iter()
            .map(|(name, set)| Ok(NamedQuality { name: (*name).into(), quality: self.measure(set)?.quality }));
        Ok(QualityReport { floor: Some(self.floor(real)?), rows: rows.collect::<Result<_>>()? })
    }

    fn check_sizes(&self, set: &Transitions) -> Result<()> {
        let (columns, spec) = (set.columns(), self.dataset.spec());
        let (sizes, ours) = ((columns.obs_dim(), columns.action_dim()), (spec.obs_dim, spec.action_dim));
        if sizes != ours {
            let why = format!("observation and action sizes {sizes:?}, the dataset's are {ours:?}");
            return Err(Error::invalid("transitions", why));
        }
        Ok(())
    }

    /// Asks the simulator about all transitions with finite numbers, and shows for each that it can judge the row, what
    /// it says and the true next observation; says how many the others are.
    fn judge(&self, set: &Transitions, mut show: impl FnMut(usize, Judged, &[f64])) -> Result<Excluded> {
        let columns = set.columns();
        let (o, dims) = (columns.obs_dim(), self.scale.len() as f64);
        let mut excluded = Excluded::default();
        let finite: Vec<usize> = (0..set.len()).filter(|&row| is_finite(columns, row)).collect();
        excluded.not_finite = set.len() - finite.len();
        for rows in finite.chunks(CHUNK) {
            let truth = self.ask(set, rows)?;
            for (answer, &row) in rows.iter().enumerate() {
                let next = &truth.next_observations[answer * o..][..o];
                if !truth.rebuilt[answer] {
                    excluded.not_rebuilt += 1;
                } else if !truth.rewards[answer].is_finite() || next.iter().any(|v| !v.is_finite()) {
                    excluded.diverged += 1;
                } else {
                    let claimed = &columns.next_observations[row * o..][..o];
                    let errors = next.iter().zip(claimed).zip(&self.scale);
                    let squares: f64 = errors.map(|((truth, &v), std)| ((truth - f64::from(v)) / std).powi(2)).sum();
                    let judged = Judged {
                        dynamic_mse: squares / dims,
                        oracle_reward: truth.rewards[answer],
                        oracle_terminated: truth.terminated[answer],
                    };
                    show(row, judged, next);
                }
            }
        }
        Ok(excluded)
    }

    /// The simulator's answer for some rows of a set, with its sizes checked.
    fn ask(&self, set: &Transitions, rows: &[usize]) -> Result<Truth> {
        let columns = set.columns();
        let (o, a) = (columns.obs_dim(), columns.action_dim());
        let observations = gather(&columns.observations, o, rows);
        let actions = gather(&columns.actions, a, rows);
        let states = set.states().map(|states| states.of_rows(rows));
        let states = states.or_else(|| {
            let context = self.context.as_ref()?;
            Some(States { contexts: context.repeat(rows.len()), nc: context.len(), ..States::default() })
        });
        let mut previous = Vec::with_capacity(observations.len());
        for &row in rows {
            match set.before(row) {
                Some(before) => previous.extend_from_slice(&columns.observations[before * o..][..o]),
                None => previous.resize(previous.len() + o, f32::NAN),
            }
        }
        let (observations, previous, actions) = (&observations, &previous, &actions);
        let truth = self
            .simulator
            .answer(&Questions { observations, previous, actions, states: states.as_ref() })
            .map_err(|source| Error::Simulator { rows: rows.len(), source })?;
        let n = rows.len();
        for (what, found, expected) in [
            ("next observations", truth.next_observations.len(), n * o),
            ("rewards", truth.rewards.len(), n),
            ("terminated flags", truth.terminated.len(), n),
            ("rebuilt flags", truth.rebuilt.len(), n),
        ] {
            if found != expected {
                let why = format!("expected {expected} numbers for {n} transitions, got {found}");
                return Err(Error::invalid(format!("the simulator's {what}"), why));
            }
        }
        Ok(truth)
    }

    /// Interval over windows of the mean of one value for each judged row.
    fn interval(&self, set: &Transitions, rows: &[(usize, Judged)], values: &[f64], seed: &Seed) -> Option<Interval> {
        let (mut sums, mut counts) = (vec![0.0; set.window_count()], vec![0; set.window_count()]);
        for ((row, _), value) in rows.iter().zip(values) {
            let window = set.windows()[*row];
            sums[window] += value;
            counts[window] += 1;
        }
        self.config.bootstrap.mean_over_clusters(&sums, &counts, seed)
    }

    /// Novelty of all transitions with finite numbers, where it is to be measured.
    fn novelty(&self, set: &Transitions, seed: &Seed) -> Result<Option<Novelty>> {
        if self.config.novelty.most_queries == 0 {
            return Ok(None);
        }
        let columns = set.columns();
        let rows: Vec<usize> = (0..columns.len()).filter(|&row| is_finite(columns, row)).collect();
        let observations = gather(&columns.observations, columns.obs_dim(), &rows);
        let actions = gather(&columns.actions, columns.action_dim(), &rows);
        let values = novelty(&self.dataset, &observations, &actions, &self.config.novelty)?;
        Ok(values.summary_over(&gather(set.windows(), 1, &rows), &self.config.bootstrap, seed))
    }
}

/// Whether all numbers of a transition are finite.
fn is_finite(columns: &Batch, row: usize) -> bool {
    let t = columns.row(row);
    let numbers = t.observation.iter().chain(t.action).chain(t.next_observation);
    t.reward.is_finite() && numbers.into_iter().all(|v| v.is_finite())
}

/// The given rows of a row-major matrix.
fn gather<T: Copy>(values: &[T], dim: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| values[row * dim..][..dim].iter().copied()).collect()
}

/// Claimed against true rewards; neither is empty.
fn reward_error(claimed: &[f64], truth: &[f64]) -> RewardError {
    let differences: Vec<f64> = claimed.iter().zip(truth).map(|(c, t)| c - t).collect();
    let of = |f: fn(f64) -> f64| mean(&differences.iter().map(|&d| f(d)).collect::<Vec<f64>>());
    RewardError { mean_absolute: of(f64::abs), bias: mean(&differences), rmse: of(|d| d * d).sqrt() }
}

/// Agreement of `terminated` flags over the judged rows.
fn terminals(columns: &Batch, rows: &[(usize, Judged)]) -> Terminals {
    let mut counts = Terminals::default();
    for (row, judged) in rows {
        *match (columns.terminated[*row], judged.oracle_terminated) {
            (true, true) => &mut counts.both,
            (true, false) => &mut counts.only_data,
            (false, true) => &mut counts.only_oracle,
            (false, false) => &mut counts.neither,
        } += 1;
    }
    counts
}

/// Returns of complete windows; those with a claimed reward that is not finite are left out.
fn window_returns(set: &Transitions, judged: &[Option<Judged>]) -> Vec<WindowReturn> {
    if !set.windows_are_complete() {
        return Vec::new();
    }
    let asked = |window: usize| set.asked().map(|asked| asked[window]);
    let mut returns: Vec<WindowReturn> = (0..set.window_count())
        .map(|window| WindowReturn { asked: asked(window), claimed: 0.0, oracle: Some(0.0) })
        .collect();
    for ((&window, &reward), judged) in set.windows().iter().zip(&set.columns().rewards).zip(judged) {
        let sums = &mut returns[window];
        sums.claimed += f64::from(reward);
        sums.oracle = sums.oracle.zip(*judged).map(|(sum, j)| sum + j.oracle_reward);
    }
    returns.retain(|w| w.claimed.is_finite());
    returns
}

#[cfg(test)]
mod tests;
