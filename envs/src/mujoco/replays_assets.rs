//! Adroit and FrankaKitchen against D4RL, on recordings of its classes with MuJoCo 3.17.0 and the models of
//! gymnasium-robotics; see `replays.rs`. Where there are no models nothing is tested.

use std::path::Path;

use npyz::npz::NpzArchive;

use super::kitchen::{self, FrankaKitchen};
use super::replays::{self, Episode, TOLERANCE, column, difference, files, row};
use super::task::{MujocoEnv, Task};
use crate::assets::found;
use crate::dynamics::Outcome;
use crate::{Answers, Collect, Env, EnvId, Kitchen, MlpPolicy, Oracle, Queries, StatesRef, collect};

/// What a single step from a recorded state may be off by: the solver's first guess, which oracles do not know, changes it
/// by up to 1.3e-5 where hand and door touch.
const FROM_STATES: f64 = 5e-5;

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Answers from the recorded states, with `contexts` or with what the observations show.
fn from_states(oracle: &Oracle, episode: &Episode, contexts: Option<&[f64]>) -> Answers {
    let (rows, spec) = (episode.rewards.len(), oracle.spec());
    let states = StatesRef { qpos: &episode.qpos[..rows * spec.nq], qvel: &episode.qvel[..rows * spec.nv] };
    let observations = narrow(&episode.observations[..rows * spec.obs_dim]);
    let queries = Queries {
        observations: &observations,
        actions: &episode.actions,
        states: Some(states),
        contexts,
        ..Queries::default()
    };
    oracle.step_from(&queries).unwrap()
}

/// Answers from the observations alone.
fn from_observations(oracle: &Oracle, episode: &Episode, contexts: Option<&[f64]>) -> Answers {
    let (rows, o) = (episode.rewards.len(), oracle.spec().obs_dim);
    let observations = narrow(&episode.observations[..rows * o]);
    let mut previous = vec![f32::NAN; o];
    previous.extend(&observations[..(rows - 1) * o]);
    let queries = Queries {
        observations: &observations,
        previous: Some(&previous),
        actions: &episode.actions,
        contexts,
        ..Queries::default()
    };
    oracle.step_from(&queries).unwrap()
}

/// Root of the mean square of what answers to rows after the first are off by, and of how far a step goes, over the first
/// `width` numbers of an observation; and the root of the mean square of the rewards' error.
fn floors(episode: &Episode, answers: &Answers, o: usize, width: usize) -> [f64; 3] {
    let (mut sums, rows) = ([0.0; 3], episode.rewards.len());
    for step in 1..rows {
        let [now, next] = [step, step + 1].map(|step| row(&episode.observations, step, o));
        let answer = row(&answers.next_observations, step, o);
        for i in 0..width {
            sums[0] += (answer[i] - next[i]).powi(2) / width as f64;
            sums[1] += (now[i] - next[i]).powi(2) / width as f64;
        }
        sums[2] += (answers.rewards[step] - episode.rewards[step]).powi(2);
    }
    sums.map(|sum| (sum / (rows - 1) as f64).sqrt())
}

fn adroit_oracle(id: EnvId, name: &str, bound: f64) {
    let oracle = Oracle::new(id, None).unwrap();
    let o = oracle.spec().obs_dim;
    for path in files(name) {
        for episode in replays::episodes(&path) {
            let contexts = episode.context.repeat(episode.rewards.len());
            for contexts in [Some(&contexts[..]), None] {
                let answers = from_states(&oracle, &episode, contexts);
                assert_eq!((answers.unrebuilt_rows(), answers.diverged_rows()), (0, 0), "{id}");
                let off = difference(&answers.next_observations, &episode.observations[o..]);
                println!("{id}, states, context {}: off by {off:e}", contexts.is_some());
                assert!(off < FROM_STATES, "{id}: {off}");
                assert!(difference(&answers.rewards, &episode.rewards) < FROM_STATES, "{id}");
                assert_eq!(answers.terminated, episode.terminated, "{id}");

                let answers = from_observations(&oracle, &episode, contexts);
                assert_eq!(
                    (answers.unrebuilt_rows(), answers.diverged_rows()),
                    (1, 0),
                    "{id}: only the first has none before"
                );
                let floors = floors(&episode, &answers, o, o);
                println!("{id}, observations, context {}: error, step, reward {floors:?}", contexts.is_some());
                assert!(floors[0] < bound && floors[0] < floors[1], "{id}: {floors:?}");
            }
        }
    }
}

#[test]
fn pen_episodes() {
    if found() {
        replays::replays(EnvId::Pen, "d4rl_adroit_pen");
    }
}

#[test]
fn door_episodes() {
    if found() {
        replays::replays(EnvId::Door, "d4rl_adroit_door");
    }
}

#[test]
fn the_oracle_of_pen() {
    if found() {
        adroit_oracle(EnvId::Pen, "d4rl_adroit_pen", 0.05);
    }
}

#[test]
fn the_oracle_of_door() {
    if found() {
        adroit_oracle(EnvId::Door, "d4rl_adroit_door", 0.02);
    }
}

/// Experts move more smoothly than the recordings' random actions. Their policies are tested where they lie beside the
/// repository.
#[test]
fn the_oracle_of_experts() {
    for (id, name, bound) in [(EnvId::Pen, "pen", 0.05), (EnvId::Door, "door", 0.01)] {
        let path = format!("{}/../../shared/policies/{name}-dapg.safetensors", env!("CARGO_MANIFEST_DIR"));
        if !Path::new(&path).exists() || !found() {
            continue;
        }
        let expert = MlpPolicy::load(path).unwrap();
        for (policy, what) in [(&expert, "sampled"), (&expert.without_noise(), "mean")] {
            let plan = Collect { id, steps: 1000, seed: 0, threads: None };
            let data = collect(&plan, &[policy], &|_| {}).unwrap();
            let o = data.spec.obs_dim;
            let oracle = Oracle::new(id, None).unwrap();
            let mut previous = vec![f32::NAN; data.observations.len()];
            for rows in data.episodes.iter().map(|episode| episode.rows.clone()) {
                previous[(rows.start + 1) * o..rows.end * o]
                    .copy_from_slice(&data.observations[rows.start * o..(rows.end - 1) * o]);
            }
            let queries = Queries {
                observations: &data.observations,
                previous: Some(&previous),
                actions: &data.actions,
                ..Queries::default()
            };
            let answers = oracle.step_from(&queries).unwrap();
            assert_eq!(answers.unrebuilt_rows(), data.episodes.len(), "{id}");
            let (mut sums, mut known) = ([0.0; 2], 0.0);
            for row in (0..data.len()).filter(|&row| answers.known(row)) {
                known += 1.0;
                for number in row * o..(row + 1) * o {
                    let next = f64::from(data.next_observations[number]);
                    sums[0] += (answers.next_observations[number] - next).powi(2) / o as f64;
                    sums[1] += (f64::from(data.observations[number]) - next).powi(2) / o as f64;
                }
            }
            let [error, step] = sums.map(|sum: f64| (sum / known).sqrt());
            let reward = data.rewards.iter().sum::<f32>() / data.len() as f32;
            println!("{id}, {what} expert: error {error}, step {step}, {known} rows, mean reward {reward}");
            assert!(error < bound && error < step, "{id}, {what}: {error} of {step}");
        }
    }
}

const KITCHENS: [(Kitchen, &str); 2] = [(Kitchen::Complete, "partial_complete"), (Kitchen::Mixed, "mixed")];

/// The context before each step: D4RL's noise, which is not drawn again, comes in with the positions observed.
fn kitchen_contexts(episode: &Episode) -> Vec<f64> {
    let rows = (0..episode.rewards.len()).map(|step| &row(&episode.observations, step, 60)[..9]);
    rows.flat_map(|robot| robot.iter().copied().chain([1.0; 4])).collect()
}

#[test]
fn kitchen_episodes() {
    if !found() {
        return;
    }
    for (tasks, name) in KITCHENS {
        for path in files(&format!("d4rl_kitchen_{name}")) {
            let episode = replays::episodes(&path).remove(0);
            let mut env = MujocoEnv::new(Box::new(FrankaKitchen(tasks))).unwrap();
            env.reset(0);
            assert!(difference(env.state().0, row(&episode.qpos, 0, 30)) < 1e-15, "there is one start");
            let contexts = kitchen_contexts(&episode);
            let mut largest: f64 = 0.0;
            for (step, action) in episode.actions.chunks_exact(9).enumerate() {
                env.set_context(row(&contexts, step, 13)).unwrap();
                let got = env.step(action);
                largest = largest.max(difference(env.controls(), row(&episode.controls, step, 9)));
                let (qpos, seen) = (row(&episode.qpos, step + 1, 30), row(&episode.observations, step + 1, 60));
                largest = largest.max(difference(env.state().0, qpos));
                largest = largest.max(difference(env.state().1, row(&episode.qvel, step + 1, 29)));
                assert!(largest <= TOLERANCE, "{tasks:?}, step {step}: off by {largest}");
                assert_eq!((got.reward, got.terminated), (episode.rewards[step], episode.terminated[step]));
                for (position, (ours, theirs)) in env.observation().iter().zip(seen).enumerate() {
                    let off = |seen: f64| (seen - if position < 30 { qpos[position] } else { *theirs }).abs();
                    let most = if position < 30 { kitchen::noise(position) } else { 0.0 };
                    assert!(off(*ours) <= most && off(*theirs) <= most, "{tasks:?}, step {step}, number {position}");
                }
            }
            println!("kitchen {tasks:?}, {}: {} steps, off by {largest:e}", path.display(), episode.rewards.len());
        }
    }
}

/// Positions and goal, without D4RL's noise.
fn noiseless(mut episode: Episode) -> Episode {
    for (seen, qpos) in episode.observations.chunks_exact_mut(60).zip(episode.qpos.chunks_exact(30)) {
        seen[..30].copy_from_slice(qpos);
    }
    episode
}

#[test]
fn the_oracle_of_kitchen() {
    if !found() {
        return;
    }
    for (tasks, name) in KITCHENS {
        let oracle = Oracle::new(EnvId::Kitchen(tasks), None).unwrap();
        for path in files(&format!("d4rl_kitchen_{name}")) {
            let noisy = replays::episodes(&path).remove(0);
            let contexts = kitchen_contexts(&noisy);
            let guessed = from_observations(&oracle, &noisy, None);
            assert_eq!((guessed.unrebuilt_rows(), guessed.diverged_rows()), (1, 0));
            let from_states_noisy = from_states(&oracle, &noisy, None);
            let episode = noiseless(noisy);
            let answers = from_states(&oracle, &episode, Some(&contexts));
            let off = difference(&answers.next_observations, &episode.observations[60..]);
            let alike = difference(&from_states_noisy.next_observations, &episode.observations[60..]);
            println!("kitchen {tasks:?}, states: off by {off:e}, with the observations' context {alike:e}");
            assert!(off < FROM_STATES && alike < FROM_STATES, "{tasks:?}: {off} {alike}");
            assert_eq!((&answers.rewards, &answers.terminated), (&episode.rewards, &episode.terminated));
            let [robot, all] = [9, 30].map(|width| floors(&episode, &guessed, 60, width));
            println!("kitchen {tasks:?}, observations: error, step, reward {robot:?} of the robot, {all:?} of all");
            assert!(robot[0] < 0.008 && all[0] < 0.005, "{tasks:?}: {robot:?} {all:?}");
        }
    }
}

/// Objects put to their goals: what is paid, that it is paid once, and when the task ends.
#[test]
fn kitchen_rewards() {
    for (tasks, name) in KITCHENS {
        let task = FrankaKitchen(tasks);
        for path in files("d4rl_kitchen_reward_cases") {
            for case in 0..4 {
                kitchen_case(&task, &path, &format!("{name}_case{case}"));
            }
        }
    }
}

fn kitchen_case(task: &FrankaKitchen, path: &Path, case: &str) {
    let mut archive = NpzArchive::open(path).unwrap();
    let mut numbers = |name: &str| column::<f64>(&mut archive, &format!("{case}_{name}")).unwrap();
    let (qpos, qvel, seen, rewards) = (numbers("qpos"), numbers("qvel"), numbers("observations"), numbers("rewards"));
    let terminated: Vec<bool> = column(&mut archive, &format!("{case}_terminated")).unwrap();
    // By the recorded observations.
    let mut context = task.usual_context();
    for (step, (&reward, &terminated)) in rewards.iter().zip(&terminated).enumerate() {
        let paid = task.judge(row(&seen, step, 60), &mut context, Outcome { reward: 0.0, terminated: false });
        assert_eq!(paid, Outcome { reward, terminated }, "{case}, step {step}");
    }
    if !found() {
        return;
    }
    // By our own motion and noise; what D4RL observed before the first step is not recorded.
    let mut env = MujocoEnv::new(Box::new(FrankaKitchen(match task.id() {
        EnvId::Kitchen(tasks) => tasks,
        other => panic!("{other}"),
    })))
    .unwrap();
    env.set_state(&qpos[..30], &qvel[..29]).unwrap();
    for (step, (&reward, &terminated)) in rewards.iter().zip(&terminated).enumerate() {
        let got = env.step(&[0.0; 9]);
        assert_eq!((got.reward, got.terminated), (reward, terminated), "{case}, step {step}");
    }
    // The motion from the second step on, where the controls are known.
    let oracle = Oracle::new(task.id(), Some(1)).unwrap();
    for step in 1..rewards.len() {
        let states = StatesRef { qpos: row(&qpos, step, 30), qvel: row(&qvel, step, 29) };
        let contexts = [&row(&seen, step - 1, 60)[..9], &[1.0; 4]].concat();
        let queries =
            Queries { actions: &[0.0; 9], states: Some(states), contexts: Some(&contexts), ..Queries::default() };
        let answers = oracle.step_from(&queries).unwrap();
        let off = difference(&answers.next_observations[..30], row(&qpos, step + 1, 30));
        assert!(off < FROM_STATES, "{case}, step {step}: {off}");
    }
}
