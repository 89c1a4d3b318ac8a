//! All checks of generated windows together: those learned from the data and the simulator's.

use envs::{EnvId, Oracle};
use replay::{Dataset, Seed};

use crate::augment::Check;
use crate::dynamics::{EnsembleConfig, RewardConfig, ensemble_check, reward_check};
use crate::{Repair, Result, dynamics_check, dynamics_repair};

/// What generated windows must pass, or are changed by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    /// Has rewards paid by what was learned of the data's, rather than by the model of windows.
    pub reward_proxy: Option<RewardConfig>,
    /// Leaves out what an ensemble doubts that has learned the data's dynamics.
    pub ensemble: Option<EnsembleConfig>,
    /// The task whose simulator judges, the dynamic MSE it tolerates, and what it does about more than that, if not reject.
    pub simulator: Option<(EnvId, f64, Option<Repair>)>,
}

impl Checks {
    /// All of them, one after another, or none. Rewards come first: the simulator's, where it puts transitions right, are
    /// better. `learning` is told what is about to be learned.
    ///
    /// # Errors
    /// Where the data is not enough to learn from, or there is no simulator of the task.
    pub fn learned(&self, dataset: &Dataset, seed: Seed, learning: &mut dyn FnMut(&str)) -> Result<Option<Check>> {
        let mut checks = Vec::new();
        if let Some(config) = &self.reward_proxy {
            learning("the data's rewards");
            checks.push(reward_check(dataset, config, seed.fork("reward_proxy", 0))?);
        }
        if let Some(config) = &self.ensemble {
            learning("the data's dynamics");
            checks.push(ensemble_check(dataset, config, seed.fork("ensemble", 0))?);
        }
        if let Some((env, most, repair)) = self.simulator {
            let oracle = Oracle::new(env, None)?;
            checks.push(match repair {
                None => dynamics_check(dataset, oracle, most)?,
                Some(repair) => dynamics_repair(dataset, oracle, most, repair)?,
            });
        }
        Ok(checks.into_iter().reduce(Check::then))
    }
}

#[cfg(test)]
mod tests {
    use envs::{Collect, behaviour};

    use super::*;
    use crate::dynamics::RegressionConfig;

    #[test]
    fn checks_are_made_as_asked_for_and_in_order() {
        let policies = behaviour::point_mass(0.3).unwrap();
        let plan = Collect { id: EnvId::PointMass, steps: 300, seed: 1, threads: Some(1) };
        let dataset = crate::recorded(envs::collect(&plan, &[&policies[1]], &|_| ()).unwrap()).unwrap();
        let network = RegressionConfig { members: 1, hidden: vec![4], steps: 2, ..RegressionConfig::default() };
        let name =
            |checks: Checks| Some(checks.learned(&dataset, Seed::new(0), &mut |_| ()).unwrap()?.name().to_owned());
        assert_eq!(name(Checks::default()), None);
        let all = name(Checks {
            reward_proxy: Some(RewardConfig { network: network.clone(), ..RewardConfig::default() }),
            ensemble: Some(EnsembleConfig { network, quantile: 0.7, ..EnsembleConfig::default() }),
            simulator: Some((EnvId::PointMass, 0.25, Some(Repair::Split))),
        });
        let all = all.unwrap();
        let each: Vec<&str> = all.split("; then ").collect();
        assert!(each[0].starts_with("reward") && each[1].starts_with("ensemble"), "{all}");
        assert!(
            each[1].contains(r#""quantile":0.7"#) && each[2] == "PointMass-v0: split at dynamic MSE above 0.25",
            "{all}"
        );
    }
}
