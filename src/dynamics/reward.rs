//! A reward proxy: rewards predicted from states and actions in the place of generated ones (appendix E.7).

use replay::{Dataset, Seed, Transition, Windows};

use super::RewardConfig;
use super::regression::{Problem, Regression};
use super::split::Split;
use crate::augment::{Check, Parts};
use crate::{Error, Result};

/// Networks that learned from a dataset what a transition pays.
///
/// A transition that ends the task is one like the others, learned and predicted from the same numbers: what ends tasks
/// is not predicted, and the mark by which a model of windows knows ends
/// ([`Terminals::Marked`](crate::Terminals::Marked)) is taken off before rewards are looked at here.
#[derive(Clone, Debug)]
pub struct RewardProxy {
    config: RewardConfig,
    seed: Seed,
    regression: Regression,
    /// Numbers in a state and in an action.
    sizes: (usize, usize),
}

/// A check for [`GtaBuilder::check`](crate::GtaBuilder::check) that rejects nothing, and pays each transition what a
/// [`RewardProxy`] says, which learns from `dataset` now and by `seed`.
///
/// Fails for settings out of range, a dataset too small to hold a part of it out, and where the loss diverges.
pub fn reward_check(dataset: &Dataset, config: &RewardConfig, seed: Seed) -> Result<Check> {
    Ok(RewardProxy::learn(dataset, config, seed)?.into_check())
}

impl RewardProxy {
    /// Learns from `dataset` by `seed` on one thread: the same weights whatever the number of cores.
    ///
    /// Fails for settings out of range, a dataset too small to hold a part of it out, and where the loss diverges.
    pub fn learn(dataset: &Dataset, config: &RewardConfig, seed: Seed) -> Result<Self> {
        config.validate()?;
        let split = Split::new(dataset, config.network.held_out, seed.fork("held out", 0))?;
        let sizes = (dataset.spec().obs_dim, dataset.spec().action_dim);
        let inputs = inputs((0..dataset.len()).map(|row| dataset.row(row)), config.next_state);
        let (held, targets) = (split.held_rows(), dataset.rewards().to_vec());
        let dims = (inputs.len() / dataset.len(), 1);
        let problem = Problem { inputs, targets, dims, learned: split.learned, held };
        let regression = Regression::learn(&problem, &config.network, seed.fork("network", 0))?;
        Ok(Self { config: config.clone(), seed, regression, sizes })
    }

    /// Mean squared error of a single network on the transitions held out, as a share of the rewards' variance.
    pub fn unexplained(&self) -> f64 {
        self.regression.error
    }

    /// What every transition pays, window by window: the networks' mean.
    ///
    /// Fails where the windows' sizes are not those of the dataset.
    pub fn rewards(&self, windows: &Windows) -> Result<Vec<f32>> {
        let sizes = (windows.obs_dim(), windows.action_dim());
        if sizes != self.sizes {
            let why = format!("(O, A) = {sizes:?}, those learned from have {:?}", self.sizes);
            return Err(Error::Replay(replay::Error::Invalid { what: "windows".into(), why }));
        }
        let steps = |index| (0..windows.lengths[index] as usize).map(move |step| (index, step));
        let rows = (0..windows.len()).flat_map(steps).map(|(index, step)| windows.transition(index, step));
        let predicted = self.regression.predict(&inputs(rows, self.config.next_state))?;
        let (count, members) = (windows.transitions(), self.regression.members());
        let mean = |row| (0..members).map(|m| f64::from(predicted[m * count + row])).sum::<f64>() / members as f64;
        Ok((0..count).map(|row| self.regression.targets.undo(0, mean(row) as f32) as f32).collect())
    }

    /// Writes what every transition pays into the windows.
    ///
    /// Fails where the windows' sizes are not those of the dataset.
    pub fn relabel(&self, windows: &mut Windows) -> Result<()> {
        let rewards = self.rewards(windows)?;
        let (mut rewards, dim) = (rewards.into_iter(), windows.row_dim());
        for index in 0..windows.len() {
            let length = windows.lengths[index] as usize;
            let rows = windows.window_mut(index).chunks_exact_mut(dim).take(length);
            rows.zip(&mut rewards).for_each(|(row, reward)| row[dim - 1] = reward);
        }
        Ok(())
    }

    /// The check. Its name tells the settings, the seed and the weights apart.
    pub fn into_check(self) -> Check {
        let settings = serde_json::to_string(&self.config).expect("settings are plain data");
        let seed = serde_json::to_string(&self.seed).expect("a seed is plain data");
        let name = format!("reward proxy {} of {settings} by {seed}", self.regression.fingerprint());
        Check::amending(name, move |windows| {
            let mut relabelled = windows.clone();
            self.relabel(&mut relabelled)?;
            Ok(Parts::all(relabelled))
        })
    }
}

/// What the networks see of transitions, row by row.
fn inputs<'a>(rows: impl Iterator<Item = Transition<'a>>, next_state: bool) -> Vec<f32> {
    let mut inputs = Vec::new();
    for t in rows {
        inputs.extend(t.observation.iter().chain(t.action));
        if next_state {
            inputs.extend(t.next_observation);
        }
    }
    inputs
}
