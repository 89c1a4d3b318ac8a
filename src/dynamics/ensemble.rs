//! Doubt about generated windows, from networks that learned the task's dynamics from real ones.

use replay::{Dataset, Seed, Transition, Windows, column_moments};

use super::regression::{Problem, Regression};
use super::split::Split;
use super::{EnsembleConfig, LeaveOut};
use crate::augment::{BoxError, Check, Parts};
use crate::{Error, Result};

/// Least standard deviation of a state's dimension that errors are divided by, as in the dynamic MSE.
const STD_FLOOR: f64 = 1e-3;

/// How much a transition is doubted, in units of the dynamic MSE (eq. 11): squares in units of the data's standard
/// deviation, the mean over a state's dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Doubt {
    /// Distance of its next state from what the networks predict on average.
    pub error: f64,
    /// Variance of the networks' predictions: how little is known of such a state and action.
    pub disagreement: f64,
}

/// Networks that learned from a dataset what follows from a state and an action.
#[derive(Clone, Debug)]
pub struct Ensemble {
    config: EnsembleConfig,
    seed: Seed,
    regression: Regression,
    /// What errors of each dimension are divided by.
    scale: Vec<f64>,
    /// Doubt of each real transition held out, in stretches of consecutive ones.
    real: Vec<Vec<f64>>,
}

/// A check for [`GtaBuilder::check`](crate::GtaBuilder::check) that asks no simulator: an [`Ensemble`] learns the
/// dynamics from `dataset`, now and by `seed`, and what it doubts more than nearly all real data that it did not see is
/// left out. Learning takes some tens of seconds of one core by default.
///
/// Of 60,000 transitions that a model of 2,500 steps generated for HalfCheetah (`examples/results/filters.txt`), the
/// doubt finds the tenth with the largest dynamic MSE with an area under the curve of 0.93 of single transitions, 0.95
/// of windows. What it leaves out at a quantile of 0.99 is little; 0.8 leaves out two fifths, and of the mean dynamic MSE
/// less than a third is left.
///
/// Fails for settings out of range, a dataset too small to hold a part of it out, and where the loss diverges.
pub fn ensemble_check(dataset: &Dataset, config: &EnsembleConfig, seed: Seed) -> Result<Check> {
    Ok(Ensemble::learn(dataset, config, seed)?.into_check())
}

impl Ensemble {
    /// Learns from `dataset` by `seed` on one thread: the same weights whatever the number of cores.
    ///
    /// Fails for settings out of range, a dataset too small to hold a part of it out, and where the loss diverges.
    pub fn learn(dataset: &Dataset, config: &EnsembleConfig, seed: Seed) -> Result<Self> {
        config.validate()?;
        let split = Split::new(dataset, config.network.held_out, seed.fork("held out", 0))?;
        let (o, a) = (dataset.spec().obs_dim, dataset.spec().action_dim);
        let mut inputs = Vec::with_capacity(dataset.len() * (o + a));
        let mut targets = Vec::with_capacity(dataset.len() * o);
        for t in (0..dataset.len()).map(|row| dataset.row(row)) {
            inputs.extend(t.observation.iter().chain(t.action));
            targets.extend(t.next_observation.iter().zip(t.observation).map(|(next, here)| next - here));
        }
        let (held, learned) = (split.held_rows(), split.learned);
        let problem = Problem { inputs, targets, dims: (o + a, o), learned, held };
        let regression = Regression::learn(&problem, &config.network, seed.fork("network", 0))?;
        let (_, deviations) = column_moments(o, dataset.observations().chunks_exact(o));
        let scale = deviations.into_iter().map(|std| std.max(STD_FLOOR)).collect();
        let mut ensemble = Self { config: config.clone(), seed, regression, scale, real: Vec::new() };
        for stretch in split.held {
            let rows: Vec<_> = stretch.map(|row| dataset.row(row)).collect();
            ensemble.real.push(ensemble.judge(&rows)?.iter().map(|doubt| ensemble.weigh(doubt)).collect());
        }
        Ok(ensemble)
    }

    /// The same networks with other settings of what to leave out, which cost nothing to change.
    ///
    /// Fails for settings out of range, and for others of the networks or of their disagreement's weight.
    pub fn with_config(self, config: &EnsembleConfig) -> Result<Self> {
        config.validate()?;
        if (&config.network, config.disagreement) != (&self.config.network, self.config.disagreement) {
            let why = "networks and the weight of their disagreement are those that were learned with".to_owned();
            return Err(Error::Config { name: "network".into(), why });
        }
        Ok(Self { config: config.clone(), ..self })
    }

    /// Mean squared error of a single network on the transitions held out, as a share of the variance of what is
    /// predicted, the change of the state: 1 would be had by always saying the mean.
    pub fn unexplained(&self) -> f64 {
        self.regression.error
    }

    /// Steps of learning after which that was least.
    pub fn steps(&self) -> u64 {
        self.regression.steps
    }

    /// Doubts of all transitions, window by window.
    ///
    /// Fails where the windows' sizes are not those of the dataset.
    pub fn doubts(&self, windows: &Windows) -> Result<Vec<Doubt>> {
        let (ours, theirs) = (self.regression.dims(), (windows.obs_dim() + windows.action_dim(), windows.obs_dim()));
        if ours != theirs {
            let why = format!("(O + A, O) = {theirs:?}, those learned from have {ours:?}");
            return Err(Error::Replay(replay::Error::Invalid { what: "windows".into(), why }));
        }
        let steps = |index| (0..windows.lengths[index] as usize).map(move |step| (index, step));
        let rows = (0..windows.len()).flat_map(steps).map(|(index, step)| windows.transition(index, step));
        self.judge(&rows.collect::<Vec<_>>())
    }

    /// The doubt about each transition as one number: its error, and its disagreement by its weight.
    pub fn weigh(&self, doubt: &Doubt) -> f64 {
        doubt.error + self.config.disagreement * doubt.disagreement
    }

    /// The doubt that real runs of `length` transitions, on average over a run, stay below in the share of cases that the
    /// settings say, times their factor. Runs are those of the transitions held out, which also told when to stop
    /// learning: that is a choice among few weights.
    pub fn threshold(&self, length: usize) -> f64 {
        let runs = self.real.iter().flat_map(|doubts| doubts.windows(length.clamp(1, doubts.len())));
        let mut means: Vec<f64> = runs.map(mean).collect();
        means.sort_unstable_by(f64::total_cmp);
        // One more than there are: a new run is as likely to lie above all of them as between any two.
        let rank = ((means.len() + 1) as f64 * self.config.quantile).ceil() as usize;
        means[rank.clamp(1, means.len()) - 1] * self.config.factor
    }

    /// The check. Its name tells the settings, the seed and the weights apart.
    pub fn into_check(self) -> Check {
        let settings = serde_json::to_string(&self.config).expect("settings are plain data");
        let seed = serde_json::to_string(&self.seed).expect("a seed is plain data");
        let name = format!("ensemble {} of {settings} by {seed}", self.regression.fingerprint());
        Check::amending(name, move |windows| self.leave(windows))
    }

    /// What is left of windows without what is doubted.
    fn leave(&self, windows: &Windows) -> Result<Parts, BoxError> {
        let doubts: Vec<f64> = self.doubts(windows)?.iter().map(|doubt| self.weigh(doubt)).collect();
        let (mut parts, mut doubts) = (Parts::none_of(windows), doubts.as_slice());
        let single = self.threshold(1);
        // What is left of windows mostly has few lengths.
        let mut by_length = std::collections::BTreeMap::new();
        for index in 0..windows.len() {
            let length = windows.lengths[index] as usize;
            let of_window;
            (of_window, doubts) = doubts.split_at(length);
            match self.config.leave_out {
                LeaveOut::Windows => {
                    if mean(of_window) <= *by_length.entry(length).or_insert_with(|| self.threshold(length)) {
                        parts.keep(windows, index);
                    }
                }
                LeaveOut::Transitions => {
                    let mut start = 0;
                    for run in of_window.chunk_by(|a, b| (*a <= single) == (*b <= single)) {
                        if run[0] <= single {
                            parts.push(windows, index, start, run.len());
                        }
                        start += run.len();
                    }
                }
            }
        }
        Ok(parts)
    }

    /// Doubts of transitions of the dataset's sizes.
    fn judge(&self, rows: &[Transition<'_>]) -> Result<Vec<Doubt>> {
        let (_, o) = self.regression.dims();
        let inputs: Vec<f32> = rows.iter().flat_map(|t| t.observation.iter().chain(t.action).copied()).collect();
        let predicted = self.regression.predict(&inputs)?;
        let members = self.regression.members();
        let doubt = |(row, t): (usize, &Transition<'_>)| {
            let mut doubt = Doubt::default();
            for d in 0..o {
                let of = |member: usize| {
                    let change = predicted[(member * rows.len() + row) * o + d];
                    f64::from(t.observation[d]) + self.regression.targets.undo(d, change)
                };
                let centre = (0..members).map(of).sum::<f64>() / members as f64;
                let spread = (0..members).map(|member| (of(member) - centre).powi(2)).sum::<f64>() / members as f64;
                let unit = self.scale[d].powi(2) * o as f64;
                doubt.error += (f64::from(t.next_observation[d]) - centre).powi(2) / unit;
                doubt.disagreement += spread / unit;
            }
            doubt
        };
        Ok(rows.iter().enumerate().map(doubt).collect())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
