//! Maze datasets as D4RL collected them: a controller runs after goals that no observation shows, and rewards are those
//! of the task's own goal.

use std::sync::{Mutex, PoisonError};

use rand::RngExt;
use rand_chacha::rand_core::Rng as _;
use rand_distr::{Distribution, StandardNormal};

use crate::collect::{Collected, CollectedEpisode, Row};
use crate::maze::Maze;
use crate::mujoco::{antmaze, maze2d};
use crate::oracle::thread_count;
use crate::rollout::{episode_rng, run_episodes};
use crate::waypoint::Navigation;
use crate::{AntNavigator, Env, EnvId, Error, GaussianPolicy, MazeReward, Policy, Result, make};

/// Samples of an AntMaze episode while data is collected: D4RL counts to 1,000 from 0.
const ANT_SAMPLES: usize = 1001;

/// Transitions in a maze, and where the controller was heading.
#[derive(Clone, Debug, PartialEq)]
pub struct MazeData {
    /// The transitions. Their contexts are the goal that rewards are for.
    pub transitions: Collected,
    /// The goal that the controller was heading for, `[N, 2]`: `infos/goal` in D4RL's files.
    pub headings: Vec<f64>,
}

/// Maze2d data to collect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Maze2dCollect {
    /// The maze.
    pub maze: Maze,
    /// What pays.
    pub reward: MazeReward,
    /// Transitions.
    pub steps: usize,
    /// Seed of goals, waypoints and noise.
    pub seed: u64,
    /// Standard deviation of Gaussian noise on actions; D4RL's `--noisy` is 0.5.
    pub noise: f32,
    /// Whether rows have the quirks of D4RL's published files: the reward of row `t` is that of observation `t`, not of
    /// the one that follows, and the observation after a reached goal, and the action that it leads to, are those of one
    /// step before.
    pub as_published: bool,
}

/// Collects Maze2d data: one run in which nothing is ever reset. The controller draws a new goal where it reached one, or
/// after the task's time limit; there rows are marked as truncated, D4RL's `timeouts`, and an episode ends.
///
/// `progress` is called now and then with the transitions simulated so far.
///
/// # Errors
/// If there is no step to collect, the noise is negative or not finite, or MuJoCo refuses the model.
pub fn collect_maze2d(plan: &Maze2dCollect, progress: &(dyn Fn(usize) + Sync)) -> Result<MazeData> {
    check(plan.steps, plan.noise)?;
    let mut env = make(EnvId::Maze2d(plan.maze, plan.reward))?;
    let spec = env.spec().clone();
    let mut rng = episode_rng(plan.seed, 0, 0);
    let mut transitions = Collected::new(spec.clone(), plan.steps);
    let mut headings = Vec::with_capacity(2 * plan.steps);
    env.reset(rng.next_u64());
    let goal = maze2d::goal(plan.maze);
    let mut navigation = Navigation::new(plan.maze);
    let (mut heading, mut elapsed, mut first) = (maze2d::free_position(plan.maze, &mut rng), 0, 0);
    let mut observed = env.observation().to_vec();
    for row in 0..plan.steps {
        let (force, arrived) = navigation.steer(&observed, heading, &mut rng);
        let noisy = |force: f64| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            (force + f64::from(plan.noise) * noise).clamp(-1.0, 1.0) as f32
        };
        let action = force.map(noisy);
        let over = arrived || elapsed >= spec.time_limit;
        let (qpos, qvel) = env.state();
        let (qpos, qvel) = (qpos.to_vec(), qvel.to_vec());
        let step = env.step(&action);
        let published = || maze2d::reward(plan.reward, &observed, &goal);
        transitions.push(Row {
            observation: &observed,
            action: &action,
            reward: if plan.as_published { published() } else { step.reward },
            next_observation: env.observation(),
            terminated: false,
            truncated: over || (row + 1 == plan.steps && !plan.as_published),
            qpos: &qpos,
            qvel: &qvel,
            context: &goal,
        });
        headings.extend(heading);
        elapsed += 1;
        if over || row + 1 == plan.steps {
            let total_reward = transitions.rewards[first..].iter().map(|&r| f64::from(r)).sum();
            transitions.episodes.push(CollectedEpisode {
                rows: first..row + 1,
                policy: 0,
                total_reward,
                complete: over,
            });
            (heading, elapsed, first) = (maze2d::free_position(plan.maze, &mut rng), 0, row + 1);
        }
        if !(over && plan.as_published) {
            observed.copy_from_slice(env.observation());
        }
        if (row + 1) % 1000 == 0 || row + 1 == plan.steps {
            progress(row + 1);
        }
    }
    Ok(MazeData { transitions, headings })
}

/// AntMaze data to collect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AntMazeCollect {
    /// The maze.
    pub maze: Maze,
    /// Transitions.
    pub steps: usize,
    /// Seed of starts, goals, waypoints and noise.
    pub seed: u64,
    /// Standard deviation of Gaussian noise on actions: 0.2 in all of D4RL's sets.
    pub noise: f32,
    /// Whether episodes start in any free tile that is no goal's, and not only at the origin.
    pub anywhere: bool,
    /// Whether rows have the quirks of D4RL's published files: episodes go on at the goal, with a terminal at every step
    /// there, and simulator states are those after the step.
    pub as_published: bool,
    /// Threads; one per core without a number. The result does not depend on it.
    pub threads: Option<usize>,
}

/// Collects AntMaze data: a navigator with `walker` runs after goals in the tiles that D4RL has for that, for 1,001 steps
/// each, and a reward is paid where it happens to be within 0.5 of one goal for all data, drawn from those of evaluation.
/// There the episode terminates, unless `as_published`.
///
/// `progress` is called, from any thread, with the transitions simulated so far.
///
/// # Errors
/// If there is no step to collect, the noise is negative or not finite, the walker does not fit ([`AntNavigator::new`]),
/// a simulation is unstable from its first step, `threads` is 0, or MuJoCo refuses the model.
pub fn collect_antmaze(
    plan: &AntMazeCollect,
    walker: &dyn Policy,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<MazeData> {
    check(plan.steps, plan.noise)?;
    let threads = thread_count(plan.threads)?;
    let id = EnvId::AntMaze(plan.maze);
    let navigator = GaussianPolicy::new(AntNavigator::new(plan.maze, walker)?, plan.noise)?;
    let goal = antmaze::draw_goal(antmaze::goal_tile(plan.maze), &mut episode_rng(plan.seed, 1, 0));
    let mut data = MazeData {
        transitions: Collected::new(make(id)?.spec().clone(), plan.steps),
        headings: Vec::with_capacity(2 * plan.steps),
    };
    let (mut begun, simulated) = (0, Mutex::new(0));
    while data.transitions.len() < plan.steps {
        let wave = (plan.steps - data.transitions.len()).div_ceil(ANT_SAMPLES);
        let episodes = run_episodes(
            || make(id),
            wave,
            threads,
            |env, index| {
                let episode = run_ant(env, plan, &navigator, goal, begun + index)?;
                let mut simulated = simulated.lock().unwrap_or_else(PoisonError::into_inner);
                *simulated = (*simulated + episode.0.len()).min(plan.steps);
                progress(*simulated);
                Ok(episode)
            },
        )?;
        begun += wave;
        for (rows, heading) in episodes {
            let missing = plan.steps - data.transitions.len();
            if missing == 0 {
                break;
            }
            data.transitions.append(&rows, rows.len().min(missing), 0);
            data.headings.extend(heading.repeat(rows.len().min(missing)));
        }
    }
    Ok(data)
}

/// One episode, and where it was heading.
fn run_ant(
    env: &mut dyn Env,
    plan: &AntMazeCollect,
    navigator: &dyn Policy,
    goal: [f64; 2],
    episode: usize,
) -> Result<(Collected, [f64; 2])> {
    let mut rng = episode_rng(plan.seed, 0, episode);
    let goals = antmaze::collection_goal_tiles(plan.maze);
    let heading = antmaze::draw_goal(goals[rng.random_range(0..goals.len())], &mut rng);
    let (mut qpos, mut qvel) = antmaze::draw_start(&mut rng);
    if plan.anywhere {
        let tiles: Vec<_> = plan.maze.free_tiles().into_iter().filter(|tile| !goals.contains(tile)).collect();
        let corner = antmaze::middle(tiles[rng.random_range(0..tiles.len())]);
        let place = corner.map(|v| (v + rng.random_range(0.0..1.0)).max(0.0));
        qpos[..2].copy_from_slice(&place);
    }
    env.set_state(&qpos, &qvel)?;
    env.set_context(&goal)?;
    let mut actor = navigator.begin(&heading);
    let mut rows = Collected::new(env.spec().clone(), ANT_SAMPLES);
    let (mut observation, mut action) = (env.observation().to_vec(), [0.0; 8]);
    for sample in 1..=ANT_SAMPLES {
        actor.act(&observation, &mut rng, &mut action);
        let step = env.step(&action);
        if !step.reward.is_finite() {
            let why =
                format!("the simulation is unstable at step {sample} of episode {episode}: are its actions finite?");
            return Err(Error::Policy { name: "AntMaze walker".into(), why });
        }
        if plan.as_published {
            let (after, velocity) = env.state();
            qpos.copy_from_slice(after);
            qvel.copy_from_slice(velocity);
        }
        rows.push(Row {
            observation: &observation,
            action: &action,
            reward: step.reward,
            next_observation: env.observation(),
            terminated: step.terminated,
            truncated: sample == ANT_SAMPLES,
            qpos: &qpos,
            qvel: &qvel,
            context: &goal,
        });
        if step.terminated && !plan.as_published {
            break;
        }
        observation.copy_from_slice(env.observation());
        let (after, velocity) = env.state();
        qpos.copy_from_slice(after);
        qvel.copy_from_slice(velocity);
    }
    Ok((rows, heading))
}

fn check(steps: usize, noise: f32) -> Result<()> {
    if steps == 0 {
        return Err(Error::invalid("collection", "0 transitions are none"));
    }
    if !(noise.is_finite() && noise >= 0.0) {
        return Err(Error::invalid("action noise", format!("{noise} is not a standard deviation")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UniformPolicy;

    const PLAN: Maze2dCollect = Maze2dCollect {
        maze: Maze::Umaze,
        reward: MazeReward::Sparse,
        steps: 3000,
        seed: 5,
        noise: 0.0,
        as_published: false,
    };

    fn row(values: &[f32], row: usize) -> &[f32] {
        &values[4 * row..][..4]
    }

    #[test]
    fn a_maze2d_run_is_continuous_and_pays_what_follows() {
        let MazeData { transitions: data, headings } = collect_maze2d(&PLAN, &|_| ()).unwrap();
        assert_eq!((data.len(), headings.len(), data.contexts.len()), (3000, 6000, 6000));
        assert!(data.contexts.chunks_exact(2).all(|goal| goal == [1.0, 1.0]));
        for t in 0..2999 {
            assert_eq!(row(&data.next_observations, t), row(&data.observations, t + 1), "row {t}");
            // The goal changes where the one before was reached, and only there.
            let same = headings[2 * t..][..2] == headings[2 * t + 2..][..2];
            assert_eq!(same, !data.truncated[t], "row {t}");
            if data.truncated[t] {
                let [x, y] = [0, 1].map(|axis| f64::from(row(&data.observations, t)[axis]) - headings[2 * t + axis]);
                assert!(x.hypot(y) < 0.3, "row {t} is {x} {y} from its goal");
            }
        }
        let reward = |o: &[f32]| f32::from((o[0] - 1.0).hypot(o[1] - 1.0) <= 0.5);
        assert!((0..3000).all(|t| data.rewards[t] == reward(row(&data.next_observations, t))));
        assert!(data.episodes.len() > 20 && data.rewards.contains(&1.0));
        let ends: Vec<usize> = data.episodes.iter().map(|e| e.rows.end - 1).collect();
        assert!((0..3000).all(|t| data.truncated[t] == ends.contains(&t)));
        assert_eq!(collect_maze2d(&PLAN, &|_| ()).unwrap().headings, headings, "the same seed, the same data");
    }

    #[test]
    fn published_maze2d_rows_are_stale_after_a_goal_and_pay_what_is() {
        let MazeData { transitions: data, .. } =
            collect_maze2d(&Maze2dCollect { as_published: true, noise: 0.5, ..PLAN }, &|_| ()).unwrap();
        let reward = |o: &[f32]| f32::from((o[0] - 1.0).hypot(o[1] - 1.0) <= 0.5);
        assert!((0..3000).all(|t| data.rewards[t] == reward(row(&data.observations, t))));
        for t in 0..2999 {
            let follows = if data.truncated[t] { &data.observations } else { &data.next_observations };
            assert_eq!(row(follows, t), row(&data.observations, t + 1), "row {t}");
            let moved: Vec<f32> = data.qpos[2 * t + 2..][..2].iter().map(|&q| q as f32).collect();
            assert_eq!(&row(&data.next_observations, t)[..2], &moved, "states are never stale");
        }
        assert!(data.truncated.iter().filter(|&&t| t).count() > 10);
    }

    #[test]
    fn antmaze_episodes_have_one_goal_of_rewards_and_their_own_heading() {
        let plan = AntMazeCollect {
            maze: Maze::Medium,
            steps: 2500,
            seed: 1,
            noise: 0.2,
            anywhere: true,
            as_published: false,
            threads: Some(2),
        };
        let walker = UniformPolicy { obs_dim: 29, action_dim: 8 };
        let data = collect_antmaze(&plan, &walker, &|_| ()).unwrap();
        let rows = &data.transitions;
        assert_eq!((rows.len(), data.headings.len(), rows.qpos.len()), (2500, 5000, 2500 * 15));
        assert_eq!(rows.episodes.iter().map(|e| e.rows.len()).collect::<Vec<_>>(), [1001, 1001, 498]);
        assert!(rows.contexts.chunks_exact(2).all(|goal| goal == &rows.contexts[..2]));
        let starts: Vec<&[f64]> = rows.episodes.iter().map(|e| &rows.qpos[15 * e.rows.start..][..2]).collect();
        assert!(starts[0] != starts[1] && starts.iter().any(|place| place[0] > 2.0 || place[1] > 2.0), "{starts:?}");
        let one = collect_antmaze(&AntMazeCollect { threads: Some(1), ..plan }, &walker, &|_| ()).unwrap();
        assert_eq!(one, data, "the same for any number of threads");
        let published = AntMazeCollect { as_published: true, anywhere: false, ..plan };
        let published = collect_antmaze(&published, &walker, &|_| ()).unwrap().transitions;
        let after: Vec<f32> = published.qpos[..15].iter().map(|&q| q as f32).collect();
        assert_eq!(after, published.next_observations[..15], "states after the step");
        assert!(published.qpos[..2].iter().all(|v| v.abs() < 0.3));
    }

    #[test]
    fn impossible_plans_are_errors() {
        assert!(collect_maze2d(&Maze2dCollect { steps: 0, ..PLAN }, &|_| ()).is_err());
        let error = collect_maze2d(&Maze2dCollect { noise: -1.0, ..PLAN }, &|_| ()).unwrap_err().to_string();
        assert!(error.contains("-1 is not a standard deviation"), "{error}");
    }
}
