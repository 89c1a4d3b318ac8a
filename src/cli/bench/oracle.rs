//! Transitions a second that the simulator judges.

use anyhow::Result;
use gta::envs::{EnvId, Maze, MazeReward, Oracle, Queries, StatesRef, make};
use gta::replay::{Seed, fill_normal};

use super::{Plan, Show};

/// States that are stepped from, of HalfCheetah.
const ROWS: usize = 4096;

/// Tasks that are measured besides HalfCheetah: one of each kind.
const OTHERS: [EnvId; 4] =
    [EnvId::Maze2d(Maze::Umaze, MazeReward::Sparse), EnvId::AntMaze(Maze::Umaze), EnvId::CheetahRun, EnvId::WalkerWalk];
/// Starts that these are stepped from.
const STARTS: u64 = 512;

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
            let queries = Queries { observations: &observations, actions: &actions, states, ..Queries::default() };
            let figure = plan.measure(format!("oracle.{name}.{threads}_threads"), "transitions/s", || {
                Ok(oracle.step_from(&queries)?.len() as f64)
            })?;
            show(figure)?;
        }
        for id in OTHERS {
            from_starts(plan, show, id, threads)?;
        }
    }
    Ok(())
}

/// From states that episodes of a task start with.
fn from_starts(plan: &Plan, show: &Show, id: EnvId, threads: usize) -> Result<()> {
    let oracle = Oracle::new(id, Some(threads))?;
    let (mut qpos, mut qvel, mut env) = (Vec::new(), Vec::new(), make(id)?);
    for seed in 0..STARTS {
        env.reset(seed);
        qpos.extend_from_slice(env.state().0);
        qvel.extend_from_slice(env.state().1);
    }
    let rows = STARTS as usize;
    let mut noise = vec![0.0; rows * oracle.spec().action_dim];
    fill_normal(&mut Seed::new(0).fork("actions", 0).rng(), &mut noise);
    let actions: Vec<f32> = noise.iter().map(|a| a.tanh()).collect();
    let states = Some(StatesRef { qpos: &qpos, qvel: &qvel });
    let queries = Queries { observations: &[], actions: &actions, states, ..Queries::default() };
    let figure = plan.measure(format!("oracle.{id}.states.{threads}_threads"), "transitions/s", || {
        Ok(oracle.step_from(&queries)?.len() as f64)
    })?;
    show(figure)
}
