//! Our physics against that of D4RL and dm_control, on recordings of the originals with MuJoCo 3.17.0.
//!
//! Parts of the recordings lie in `tests/fixtures/replays`, put there by `tests/fixtures/trim_replays.py`. Where all of
//! them lie beside the repository, all are replayed. `replays_assets.rs` has the tasks whose models are read from files.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use npyz::npz::NpzArchive;

use super::task::MujocoEnv;
use crate::{Env, EnvId, Maze, MazeReward, Oracle, Queries, StatesRef};

/// Episodes replay to the last bit on the machine they were recorded on; a mathematical library that rounds otherwise
/// stays far below this.
pub(super) const TOLERANCE: f64 = 1e-9;

/// One recorded episode of `T` steps.
pub(super) struct Episode {
    pub qpos: Vec<f64>,
    pub qvel: Vec<f64>,
    pub observations: Vec<f64>,
    pub actions: Vec<f32>,
    pub rewards: Vec<f64>,
    pub terminated: Vec<bool>,
    pub context: Vec<f64>,
    /// The solver's first guesses, for as many rows as were kept.
    pub guesses: Vec<f64>,
    /// What was written to MuJoCo, where it was kept.
    pub controls: Vec<f64>,
}

pub(super) fn files(name: &str) -> Vec<PathBuf> {
    let root = env!("CARGO_MANIFEST_DIR");
    let all =
        [format!("{root}/tests/fixtures/replays/{name}.npz"), format!("{root}/../../shared/golden/envs/{name}.npz")];
    all.into_iter().map(PathBuf::from).filter(|path| path.exists()).collect()
}

pub(super) fn column<T: npyz::Deserialize>(archive: &mut NpzArchive<BufReader<File>>, name: &str) -> Option<Vec<T>> {
    archive.by_name(name).unwrap().map(|array| array.into_vec().unwrap())
}

pub(super) fn episodes(path: &PathBuf) -> Vec<Episode> {
    let mut archive = NpzArchive::open(path).unwrap();
    let mut episodes = Vec::new();
    for number in 0.. {
        let mut numbers = |name: &str| column::<f64>(&mut archive, &format!("ep{number}_{name}"));
        let Some(actions) = numbers("actions") else { break };
        let (qpos, qvel, rewards) = (numbers("qpos").unwrap(), numbers("qvel").unwrap(), numbers("rewards").unwrap());
        let wide = |q: &[f64]| q.len() / (rewards.len() + 1);
        // D4RL's observations are all of the state.
        let both = || {
            let rows = qpos.chunks_exact(wide(&qpos)).zip(qvel.chunks_exact(wide(&qvel)));
            rows.flat_map(|(p, v)| p.iter().chain(v).copied()).collect()
        };
        episodes.push(Episode {
            observations: numbers("observations").unwrap_or_else(both),
            context: ["init_goal", "init_desired_orien", "init_door_body_pos"]
                .into_iter()
                .find_map(&mut numbers)
                .unwrap_or_default(),
            controls: numbers("ctrl").unwrap_or_default(),
            guesses: numbers("qacc_warmstart").unwrap_or_default(),
            terminated: column(&mut archive, &format!("ep{number}_terminated")).unwrap_or(vec![false; rewards.len()]),
            actions: actions.iter().map(|&a| a as f32).collect(),
            qpos,
            qvel,
            rewards,
        });
    }
    assert!(!episodes.is_empty(), "{} holds no episode", path.display());
    episodes
}

pub(super) fn row(values: &[f64], index: usize, width: usize) -> &[f64] {
    &values[index * width..][..width]
}

/// The largest difference, relative to numbers above one.
pub(super) fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
}

/// Whole episodes from their first state and the actions alone.
pub(super) fn replays(id: EnvId, name: &str) {
    let files = files(name);
    assert!(!files.is_empty(), "no recording {name}");
    for path in files {
        for (number, episode) in episodes(&path).iter().enumerate() {
            let mut env = MujocoEnv::new(id.task().unwrap()).unwrap();
            let spec = env.spec().clone();
            env.set_state(row(&episode.qpos, 0, spec.nq), row(&episode.qvel, 0, spec.nv)).unwrap();
            env.set_context(&episode.context).unwrap();
            if let Some(guess) = episode.guesses.get(..spec.nv) {
                env.guess(guess);
            }
            let mut largest = difference(env.observation(), row(&episode.observations, 0, spec.obs_dim));
            for (step, action) in episode.actions.chunks_exact(spec.action_dim).enumerate() {
                let got = env.step(action);
                let seen = row(&episode.observations, step + 1, spec.obs_dim);
                largest = largest.max(difference(env.observation(), seen));
                largest = largest.max(difference(&[got.reward], &[episode.rewards[step]]));
                let state = [env.state().0, env.state().1].concat();
                let [qpos, qvel] = [row(&episode.qpos, step + 1, spec.nq), row(&episode.qvel, step + 1, spec.nv)];
                largest = largest.max(difference(&state, &[qpos, qvel].concat()));
                assert!(largest <= TOLERANCE, "{id}, episode {number}, step {step}: off by {largest}");
                assert_eq!(got.terminated, episode.terminated[step], "{id}, episode {number}, step {step}");
            }
            println!("{id}, {}, episode {number}: {} steps, off by {largest:e}", path.display(), episode.rewards.len());
        }
    }
}

/// Single steps by the oracle, which does not know the solver's first guess. `bound` is what that may change.
fn oracle_agrees(id: EnvId, name: &str, bound: f64) {
    let oracle = Oracle::new(id, None).unwrap();
    let spec = oracle.spec().clone();
    for path in files(name) {
        for episode in episodes(&path) {
            let rows = episode.rewards.len();
            let states = StatesRef { qpos: &episode.qpos[..rows * spec.nq], qvel: &episode.qvel[..rows * spec.nv] };
            let contexts = episode.context.repeat(rows);
            let observations: Vec<f32> =
                episode.observations[..rows * spec.obs_dim].iter().map(|&o| o as f32).collect();
            // Observations in single precision show the state to 1e-7 or so, and a step magnifies what is missing.
            for (states, bound) in [(Some(states), bound), (None, 1e-3)] {
                let queries = Queries {
                    observations: &observations,
                    actions: &episode.actions,
                    states,
                    contexts: Some(&contexts),
                    ..Queries::default()
                };
                let answers = oracle.step_from(&queries).unwrap();
                assert_eq!((answers.unrebuilt_rows(), answers.diverged_rows()), (0, 0), "{id}");
                let theirs = &episode.observations[spec.obs_dim..];
                let largest = difference(&answers.next_observations, theirs);
                println!("{id}, oracle with{} states: off by {largest:e}", if states.is_some() { "" } else { "out" });
                assert!(largest < bound, "{id}: off by {largest}");
                assert!(difference(&answers.rewards, &episode.rewards) < bound, "{id}, rewards");
                assert_eq!(answers.terminated, episode.terminated, "{id}");
            }
        }
    }
}

/// A task, the name of its recording, and the bound of the oracle's single steps: some times what they were off by on
/// 30 November 2026.
macro_rules! replays {
    ($($name:ident: $id:expr, $bound:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn episodes() {
                super::replays($id, stringify!($name));
            }

            #[test]
            fn the_oracle() {
                super::oracle_agrees($id, stringify!($name), $bound);
            }
        }
    )*};
}

replays! {
    d4rl_maze2d_umaze: EnvId::Maze2d(Maze::Umaze, MazeReward::Sparse), 1e-6;
    d4rl_maze2d_large: EnvId::Maze2d(Maze::Large, MazeReward::Sparse), 1e-6;
    d4rl_antmaze_umaze: EnvId::AntMaze(Maze::Umaze), 1e-5;
    d4rl_antmaze_large: EnvId::AntMaze(Maze::Large), 1e-5;
    dmc_cheetah_run: EnvId::CheetahRun, 1e-5;
    dmc_walker_walk: EnvId::WalkerWalk, 1e-5;
}
