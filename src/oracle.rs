//! MuJoCo as the judge of data: the only place where quality, and the filter of the pool, meet a task.

use envs::{Oracle, Queries, StatesRef};
use replay::{Dataset, States};

use crate::Result;
use crate::augment::Check;
use crate::eval::{NoveltyConfig, QualityConfig, QualityMeter, Simulator, SimulatorError, Transitions, Truth, mean};

impl Simulator for Oracle {
    fn answer(&self, observations: &[f32], actions: &[f32], states: Option<&States>) -> Result<Truth, SimulatorError> {
        let states = states.map(|s| StatesRef { qpos: &s.qpos, qvel: &s.qvel });
        let answers = self.step_from(&Queries { observations, actions, states })?;
        let envs::Answers { next_observations, rewards, terminated, rebuilt, .. } = answers;
        Ok(Truth { next_observations, rewards, terminated, rebuilt })
    }
}

/// A check for [`GtaBuilder::check`](crate::GtaBuilder::check) that keeps a generated window only if its dynamic MSE
/// (eq. 11, in units of `dataset`'s states), averaged over its transitions, is at most `most_error`. A window without
/// one transition that the simulator can judge is rejected too.
///
/// This is for tasks that can be simulated; it is beyond the paper.
pub fn dynamics_check<S>(dataset: &Dataset, simulator: S, most_error: f64) -> Result<Check>
where
    S: Simulator + Send + Sync + 'static,
{
    if most_error.is_nan() || most_error <= 0.0 {
        let why = format!("must be above 0, is {most_error}");
        return Err(crate::Error::Config { name: "most_error".into(), why });
    }
    let novelty = NoveltyConfig { most_queries: 0, ..NoveltyConfig::default() };
    let meter = QualityMeter::new(dataset, simulator, QualityConfig { novelty, ..QualityConfig::default() })?;
    // The threshold is part of the name, and so of what a stored pool must agree in.
    Ok(Check::new(format!("dynamic MSE above {most_error}"), move |windows| {
        let set = Transitions::of_windows(windows);
        let mut errors = vec![Vec::new(); set.window_count()];
        for (judged, &window) in meter.judge_each(&set)?.iter().zip(set.windows()) {
            errors[window].extend(judged.map(|j| j.dynamic_mse));
        }
        Ok(errors.iter().map(|of| !of.is_empty() && mean(of) <= most_error).collect())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Filter, FilterConfig, Guide, GuideConfig};
    use envs::{Collect, EnvId, behaviour, collect};
    use replay::Seed;

    #[test]
    fn windows_that_break_the_dynamics_are_rejected_and_real_ones_kept() {
        let policies = behaviour::point_mass(0.3).unwrap();
        let plan = Collect { id: EnvId::PointMass, steps: 400, seed: 1, threads: Some(1) };
        let dataset = crate::recorded(collect(&plan, &[&policies[1]], &|_| ()).unwrap()).unwrap();
        let guide = Guide::new(&dataset, GuideConfig { horizon: 5, ..GuideConfig::default() }, Seed::new(0)).unwrap();
        let mut windows = guide.windows(&[0, 50, 100]);
        // The second window jumps in its third row.
        let row_dim = windows.row_dim();
        windows.window_mut(1)[2 * row_dim] += 1.0;
        let check = |most| dynamics_check(&dataset, Oracle::new(EnvId::PointMass, Some(1)).unwrap(), most).unwrap();
        let kept = |most| {
            Filter::new(&dataset, FilterConfig::default(), Some(check(most))).unwrap().apply(windows.clone()).unwrap()
        };
        assert_eq!(kept(1e-3).windows.origins, [0, 100]);
        assert_eq!(kept(1e3).windows.origins.len(), 3);
        assert!(dynamics_check(&dataset, Oracle::new(EnvId::PointMass, Some(1)).unwrap(), 0.0).is_err());
    }
}
