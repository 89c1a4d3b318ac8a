//! Transitions a second that the simulator judges.

use anyhow::Result;
use gta::envs::{EnvId, Oracle, Queries, StatesRef};
use gta::replay::{Seed, fill_normal};

use super::{Plan, Show};

/// States that are stepped from, of HalfCheetah.
const ROWS: usize = 4096;

/// With the states given, and with states rebuilt from observations.
pub(super) fn steps(plan: &Plan, show: &Show) -> Result<()> {
    for threads in 1..=usize::from(plan.threads) {
        let oracle = Oracle::new(EnvId::HalfCheetah, Some(threads))?;
        let spec = oracle.spec();
        let draw = |name: &str, count: usize, scale: f32| {
            let mut numbers = vec![0.0; count];
            fill_normal(&mut Seed::new(0).fork(name, 0).rng(), &mut numbers);
            numbers.iter_mut().for_each(|number| *number *= scale);
            numbers
        };
        let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect::<Vec<f64>>();
        let observations = draw("observations", ROWS * spec.obs_dim, 0.1);
        let actions: Vec<f32> = draw("actions", ROWS * spec.action_dim, 0.5).iter().map(|a| a.tanh()).collect();
        let (qpos, qvel) = (wide(draw("qpos", ROWS * spec.nq, 0.1)), wide(draw("qvel", ROWS * spec.nv, 0.1)));
        for (name, states) in [("states", Some(StatesRef { qpos: &qpos, qvel: &qvel })), ("observations", None)] {
            let queries = Queries { observations: &observations, actions: &actions, states };
            let figure = plan.measure(format!("oracle.{name}.{threads}_threads"), "transitions/s", || {
                Ok(oracle.step_from(&queries)?.len() as f64)
            })?;
            show(figure)?;
        }
    }
    Ok(())
}
