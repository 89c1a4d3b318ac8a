//! Measures quality: asks a simulator what really follows from each transition, and compares.

use replay::{Batch, Dataset, Seed, States};
use serde::{Deserialize, Serialize};

use super::quality::{Excluded, Judged, Measured, Quality, RewardError, Terminals, WindowReturn};
use super::report::{Floor, NamedQuality, QualityReport};
use super::stats::{column_moments, mean, pearson};
use super::{
    Bootstrap, Error, Interval, Novelty, NoveltyConfig, Result, Simulator, Summary, Transitions, Truth, novelty,
};

/// Transitions that a simulator is asked about at a time.
const CHUNK: usize = 1 << 16;

/// How quality is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QualityConfig {
    /// Least standard deviation that errors of a dimension are divided by, so that a dimension that is constant in
    /// the data does not decide the dynamic MSE. In the locomotion tasks every dimension varies more.
    pub std_floor: f64,
    /// Intervals over windows.
    pub bootstrap: Bootstrap,
    /// Seed of the intervals.
    pub seed: u64,
    /// Novelty; with `most_queries` zero it is not measured.
    pub novelty: NoveltyConfig,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self { std_floor: 1e-3, bootstrap: Bootstrap::default(), seed: 0, novelty: NoveltyConfig::default() }
    }
}

/// Measures sets of transitions against one dataset and one simulator.
#[derive(Clone, Debug)]
pub struct QualityMeter<S> {
    dataset: Dataset,
    simulator: S,
    config: QualityConfig,
    /// What errors of each observation dimension are divided by.
    scale: Vec<f64>,
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
        let (_, deviations) = column_moments(dataset.observations(), dataset.spec().obs_dim);
        let scale = deviations.into_iter().map(|std| std.max(config.std_floor)).collect();
        Ok(Self { dataset: dataset.clone(), simulator, config, scale })
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
        let columns = set.columns();
        let spec = self.dataset.spec();
        if (columns.obs_dim(), columns.action_dim()) != (spec.obs_dim, spec.action_dim) {
            let sizes = (columns.obs_dim(), columns.action_dim());
            let why = format!(
                "observation and action sizes {sizes:?}, the dataset's are {:?}",
                (spec.obs_dim, spec.action_dim)
            );
            return Err(Error::invalid("transitions", why));
        }
        let (transitions, excluded) = self.judge(set)?;
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
            asked_vs_generated: pair(&|w| Some(w.claimed)),
            asked_vs_oracle: pair(&|w| w.oracle),
            terminals: terminals(columns, &rows),
            novelty: self.novelty(columns)?,
        };
        Ok(Measured { quality, transitions, rewards: columns.rewards.clone(), window_returns })
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

    /// Asks the simulator about all transitions with finite numbers.
    fn judge(&self, set: &Transitions) -> Result<(Vec<Option<Judged>>, Excluded)> {
        let columns = set.columns();
        let (o, dims) = (columns.obs_dim(), self.scale.len() as f64);
        let mut judged = vec![None; set.len()];
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
                    judged[row] = Some(Judged {
                        dynamic_mse: squares / dims,
                        oracle_reward: truth.rewards[answer],
                        oracle_terminated: truth.terminated[answer],
                    });
                }
            }
        }
        Ok((judged, excluded))
    }

    /// The simulator's answer for some rows of a set, with its sizes checked.
    fn ask(&self, set: &Transitions, rows: &[usize]) -> Result<Truth> {
        let columns = set.columns();
        let (o, a) = (columns.obs_dim(), columns.action_dim());
        let observations = gather(&columns.observations, o, rows);
        let actions = gather(&columns.actions, a, rows);
        let states = set.states().map(|s| States {
            qpos: gather(&s.qpos, s.nq, rows),
            qvel: gather(&s.qvel, s.nv, rows),
            nq: s.nq,
            nv: s.nv,
        });
        let truth = self
            .simulator
            .answer(&observations, &actions, states.as_ref())
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
    fn novelty(&self, columns: &Batch) -> Result<Option<Novelty>> {
        if self.config.novelty.most_queries == 0 {
            return Ok(None);
        }
        let rows: Vec<usize> = (0..columns.len()).filter(|&row| is_finite(columns, row)).collect();
        let observations = gather(&columns.observations, columns.obs_dim(), &rows);
        let actions = gather(&columns.actions, columns.action_dim(), &rows);
        Ok(novelty(&self.dataset, &observations, &actions, &self.config.novelty)?.summary())
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
mod tests {
    use replay::{Source, Spec, Transition, WindowIndex, Windows};

    use super::super::SimulatorError;
    use super::*;

    /// A cart: position and velocity, pushed by an action. Its velocity is seen with an error of 1e-3, so that states
    /// rebuilt from observations are a little wrong; positions beyond 900 cannot be rebuilt; pushes beyond 50 diverge.
    #[derive(Debug)]
    struct Cart;

    impl Simulator for Cart {
        fn answer(
            &self,
            observations: &[f32],
            actions: &[f32],
            states: Option<&States>,
        ) -> Result<Truth, SimulatorError> {
            let mut truth = Truth::default();
            for (row, (observation, &action)) in observations.chunks_exact(2).zip(actions).enumerate() {
                let (x, v) = match states {
                    Some(states) => (states.qpos[row], states.qvel[row]),
                    None => (f64::from(observation[0]), f64::from(observation[1]) + 1e-3),
                };
                let (next, reward) = step(x, v, f64::from(action));
                truth.next_observations.extend(if action > 50.0 { [f64::NAN; 2] } else { next });
                truth.rewards.push(reward);
                truth.terminated.push(next[0] > END);
                truth.rebuilt.push(x < 900.0);
            }
            Ok(truth)
        }
    }

    /// Where the road ends: only the last row of the last episode goes beyond.
    const END: f64 = 9.2;

    fn step(x: f64, v: f64, a: f64) -> ([f64; 2], f64) {
        ([x + 0.1 * v, v + 0.1 * a], v - 0.5 * a * a)
    }

    /// Eight episodes of twelve rows of the cart.
    fn dataset() -> Dataset {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        let mut states = States { nq: 1, nv: 1, ..States::default() };
        for episode in 0..8 {
            let (mut x, mut v) = (f64::from(episode), 0.25 * f64::from(episode));
            for t in 0..12 {
                let a = (f64::from(t) + f64::from(episode)).sin();
                let (next, reward) = step(x, v, a);
                states.qpos.push(x);
                states.qvel.push(v);
                let row = Transition {
                    observation: &[x as f32, v as f32],
                    action: &[a as f32],
                    reward: reward as f32,
                    next_observation: &next.map(|v| v as f32),
                    terminated: next[0] > END,
                    truncated: t == 11,
                };
                builder.push(row).unwrap();
                [x, v] = next;
            }
        }
        builder.states(states);
        builder.build().unwrap()
    }

    fn meter() -> QualityMeter<Cart> {
        QualityMeter::new(&dataset(), Cart, QualityConfig::default()).unwrap()
    }

    fn real(length: usize) -> Transitions {
        let index = WindowIndex::new(&dataset(), length).unwrap();
        Transitions::of_data(&index, &(0..index.len()).collect::<Vec<_>>()).unwrap()
    }

    /// The data's windows of six transitions as if generated; the asked return is twice the real one, plus one.
    fn generated() -> Windows {
        let index = WindowIndex::new(&dataset(), 6).unwrap();
        let mut windows = Windows::with_capacity(index.dataset().spec(), 6, index.len());
        for window in 0..index.len() {
            let (start, length) = index.span(window);
            let sum: f32 = index.dataset().rewards()[start..start + length].iter().sum();
            index.gather(window, 2.0 * sum + 1.0, &mut windows);
        }
        windows
    }

    #[test]
    fn real_data_is_perfect_from_states_and_nearly_so_from_observations() {
        let floor = meter().floor(&real(6)).unwrap();
        let states = floor.states.unwrap();
        assert!(states.dynamic_mse.max < 1e-12 && states.reward_error.rmse < 1e-6, "{states:?}");
        assert_eq!(states.terminals.only_data + states.terminals.only_oracle, 0);
        assert_eq!((states.transitions, states.windows, states.excluded.total()), (8 * 7 * 6, 56, 0));
        assert_eq!(states.novelty.unwrap().both.max, 0.0);
        // Seen 1e-3 too fast: x is off by 1e-4 and v by 1e-3, the reward by 1e-3.
        let (_, scale) = column_moments(dataset().observations(), 2);
        let expected = ((1e-4 / scale[0]).powi(2) + (1e-3 / scale[1]).powi(2)) / 2.0;
        let seen = floor.observations;
        assert!((seen.dynamic_mse.mean / expected - 1.0).abs() < 1e-2, "{} but {expected}", seen.dynamic_mse.mean);
        assert!((seen.reward_error.bias + 1e-3).abs() < 1e-6 && (seen.reward_error.mean_absolute - 1e-3).abs() < 1e-6);
        assert_eq!(seen.dynamic_squared_error(), 2.0 * seen.dynamic_mse.mean);
        assert_eq!(seen.asked_vs_generated, None);
    }

    #[test]
    fn errors_put_into_windows_are_found() {
        let mut windows = generated();
        let truth = meter().measure(&Transitions::of_windows(&windows)).unwrap();
        assert!((truth.quality.asked_vs_generated.unwrap() - 1.0).abs() < 1e-9);
        assert!((truth.quality.asked_vs_oracle.unwrap() - 1.0).abs() < 1e-6);
        assert_eq!(truth.window_returns.len(), 56);
        let sum = |of: fn(&WindowReturn) -> f64| truth.window_returns.iter().map(of).sum::<f64>();
        assert!((sum(|w| w.asked.unwrap()) - 2.0 * sum(|w| w.claimed) - 56.0).abs() < 1e-3);
        // The state before the last one of each window is pushed 3 up in its first dimension: the transition to it
        // and the one from it are each off by 3, and it promises 2 more than it gives.
        for window in 0..windows.len() {
            let row = &mut windows.window_mut(window)[5 * 4..];
            row[0] += 3.0;
            row[3] += 2.0;
        }
        let measured = meter().measure(&Transitions::of_windows(&windows)).unwrap();
        let (_, scale) = column_moments(dataset().observations(), 2);
        let quality = &measured.quality;
        let expected = (3.0 / scale[0]).powi(2) / 2.0 / 3.0;
        assert!(
            (quality.dynamic_mse.mean / expected - 1.0).abs() < 1e-2,
            "{} but {expected}",
            quality.dynamic_mse.mean
        );
        assert!(quality.dynamic_mse.median < 1e-5, "four of six transitions are right");
        assert!((quality.dynamic_mse.quantile_90 / (3.0 * expected) - 1.0).abs() < 1e-2);
        let (bias, rmse) = (2.0 / 6.0 - 1e-3, (4.0_f64 / 6.0).sqrt());
        assert!((quality.reward_error.bias - bias).abs() < 1e-4 && (quality.reward_error.rmse - rmse).abs() < 1e-3);
        let interval = quality.dynamic_mse_interval.unwrap();
        assert!(interval.low <= quality.dynamic_mse.mean && quality.dynamic_mse.mean <= interval.high);
        let reward = quality.oracle_reward_interval.unwrap();
        assert!(reward.low < quality.oracle_reward.mean && quality.oracle_reward.mean < reward.high);
        assert!(quality.novelty.unwrap().state.mean > 0.0 && quality.novelty.unwrap().action.max == 0.0);
        assert!(measured.window_returns.iter().all(|w| (w.claimed - w.oracle.unwrap() - 2.0).abs() < 0.01));
    }

    #[test]
    fn terminal_flags_are_counted_against_the_oracle() {
        let mut windows = generated();
        let set = Transitions::of_windows(&windows);
        let right = meter().measure(&set).unwrap().quality.terminals;
        assert!(right.both > 0 && right.only_data == 0 && right.neither > 0);
        windows.terminated.iter_mut().for_each(|t| *t = !*t);
        let wrong = meter().measure(&Transitions::of_windows(&windows)).unwrap().quality.terminals;
        // One flag a window is turned.
        let ends = windows.terminated.iter().filter(|t| !**t).count();
        assert_eq!((wrong.both, wrong.only_data), (right.both - ends, 56 - ends));
        assert_eq!((wrong.only_oracle, wrong.neither), (right.only_oracle + ends, right.neither - (56 - ends)));
    }

    #[test]
    fn what_cannot_be_judged_is_left_out_and_counted() {
        let mut windows = generated();
        windows.window_mut(0)[3] = f32::NAN;
        windows.window_mut(1)[4] = 1000.0;
        windows.window_mut(2)[2] = 60.0;
        let measured = meter().measure(&Transitions::of_windows(&windows)).unwrap();
        assert_eq!(measured.quality.excluded, Excluded { not_finite: 1, not_rebuilt: 1, diverged: 1 });
        assert_eq!(measured.quality.dynamic_mse.count, 56 * 6 - 3);
        let missing: Vec<usize> = (0..56 * 6).filter(|&row| measured.transitions[row].is_none()).collect();
        assert_eq!(missing, [0, 7, 12]);
        assert_eq!(measured.oracle_rewards().len(), 56 * 6 - 3);
        // The window with a claimed reward that is no number has no return; two have no oracle return.
        assert_eq!(measured.window_returns.len(), 55);
        assert_eq!(measured.window_returns.iter().filter(|w| w.oracle.is_none()).count(), 2);
        assert_eq!(measured.quality.oracle_window_return.unwrap().count, 53);
        let mut hopeless = generated();
        hopeless.values.iter_mut().for_each(|v| *v = f32::INFINITY);
        let error = meter().measure(&Transitions::of_windows(&hopeless)).unwrap_err();
        assert!(matches!(error, Error::NothingMeasured { transitions: 336, not_finite: 336, .. }), "{error}");
    }

    #[test]
    fn batches_are_judged_without_returns() {
        let data = dataset();
        let mut batch = Batch::with_capacity(data.spec(), 20);
        for row in 0..20 {
            let source = if row < 10 { Source::Real(row) } else { Source::Generated { window: 0, step: row as u32 } };
            batch.push(data.row(row), source);
        }
        let measured = meter().measure(&Transitions::of_batch(&batch)).unwrap();
        assert_eq!((measured.quality.windows, measured.quality.transitions), (11, 20));
        assert_eq!((measured.window_returns.len(), measured.quality.window_return), (0, None));
        assert!(measured.quality.oracle_reward_interval.is_some());
    }

    #[test]
    fn figures_are_reproducible_and_survive_json() {
        let sets = [Transitions::of_windows(&generated()), real(3)];
        let report = || meter().report(&real(6), &[("as generated", &sets[0]), ("short", &sets[1])]).unwrap();
        let first = report();
        assert_eq!(first, report());
        let read: QualityReport = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
        // Decimal text keeps every digit of most numbers; the tables show if a figure went astray.
        assert_eq!(read.table(), first.table());
        let text = first.table().to_text();
        let header: Vec<&str> =
            text.lines().next().unwrap().split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(header, ["real, from states", "real, from observations", "as generated", "short"]);
        let asked = text.lines().find(|line| line.starts_with("correlation, asked and claimed")).unwrap();
        assert_eq!(asked.split_whitespace().skip(5).collect::<Vec<_>>(), ["-", "-", "1", "-"]);
        let csv = first.to_csv();
        assert_eq!(csv.lines().count(), 5);
        assert!(csv.lines().nth(1).unwrap().starts_with("\"real, from states\",336,56,0,0,0,"));
    }

    #[test]
    fn without_queries_novelty_is_not_measured() {
        let mut config = QualityConfig::default();
        config.novelty.most_queries = 0;
        let quality = QualityMeter::new(&dataset(), Cart, config).unwrap().measure(&real(6)).unwrap().quality;
        assert_eq!(quality.novelty, None);
    }

    #[test]
    fn a_constant_dimension_is_divided_by_the_floor() {
        let mut builder = Dataset::builder(Spec::new(2, 1));
        let still = Transition {
            observation: &[1.0, 1.0],
            action: &[0.0],
            reward: 0.0,
            next_observation: &[1.0, 1.0],
            terminated: false,
            truncated: false,
        };
        builder.push(still).unwrap();
        let data = builder.build().unwrap();
        let config = QualityConfig { std_floor: 0.5, ..QualityConfig::default() };
        let index = WindowIndex::new(&data, 1).unwrap();
        let set = Transitions::of_data(&index, &[0]).unwrap();
        let quality = QualityMeter::new(&data, Cart, config).unwrap().measure(&set).unwrap().quality;
        let expected = ((0.1 * 1.001 / 0.5_f64).powi(2) + (0.001 / 0.5_f64).powi(2)) / 2.0;
        assert!((quality.dynamic_mse.mean - expected).abs() < 1e-12);
        assert_eq!(quality.dynamic_mse_interval, None);
    }

    #[test]
    fn bad_settings_sizes_and_simulators_are_named() {
        let config = QualityConfig { std_floor: 0.0, ..QualityConfig::default() };
        let error = QualityMeter::new(&dataset(), Cart, config).unwrap_err();
        assert_eq!(error.to_string(), "std_floor: must be positive and finite, not 0");
        let mut config = QualityConfig::default();
        config.bootstrap.level = 1.0;
        assert!(QualityMeter::new(&dataset(), Cart, config).unwrap_err().to_string().contains("bootstrap.level"));
        let other = Transitions::of_batch(&Batch::with_capacity(&Spec::new(3, 1), 0));
        assert!(meter().measure(&other).unwrap_err().to_string().contains("sizes (3, 1), the dataset's are (2, 1)"));
        struct Broken(bool);
        impl Simulator for Broken {
            fn answer(&self, _: &[f32], _: &[f32], _: Option<&States>) -> Result<Truth, SimulatorError> {
                if self.0 { Err("no such model".into()) } else { Ok(Truth::default()) }
            }
        }
        let of = |broken| QualityMeter::new(&dataset(), Broken(broken), QualityConfig::default()).unwrap();
        let error = of(true).measure(&real(6)).unwrap_err();
        assert_eq!(error.to_string(), "the simulator failed on 336 transitions: no such model");
        let error = of(false).measure(&real(6)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the simulator's next observations: expected 672 numbers for 336 transitions, got 0"
        );
    }
}
