//! Datasets collected from policies: columns in the order of D4RL's files.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rand_chacha::rand_core::Rng as _;

use crate::oracle::thread_count;
use crate::policy::check_policy;
use crate::rollout::{episode_rng, run_episodes};
use crate::{Env, EnvId, EnvSpec, Error, Policy, Result, make};

/// What to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collect {
    /// The task.
    pub id: EnvId,
    /// Transitions in all. The policies share them equally, one after the other.
    pub steps: usize,
    /// Seed of all starts and all action noise.
    pub seed: u64,
    /// Threads; one per core without a number. The result does not depend on it.
    pub threads: Option<usize>,
}

/// Collected transitions, `N` rows in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// The task that they come from.
    pub spec: EnvSpec,
    /// Observations, `[N, O]`.
    pub observations: Vec<f32>,
    /// Actions, `[N, A]`.
    pub actions: Vec<f32>,
    /// Rewards, `[N]`.
    pub rewards: Vec<f32>,
    /// Next observations, `[N, O]`.
    pub next_observations: Vec<f32>,
    /// Whether each transition ended the task, `[N]`.
    pub terminated: Vec<bool>,
    /// Whether each transition was cut, by the time limit or because enough was collected, `[N]`. Never set together
    /// with `terminated`.
    pub truncated: Vec<bool>,
    /// Simulator positions from which each transition started, `[N, nq]`.
    pub qpos: Vec<f64>,
    /// Simulator velocities from which each transition started, `[N, nv]`.
    pub qvel: Vec<f64>,
    /// Context that each transition started with, `[N, C]`: for most tasks the goal that its reward is for.
    pub contexts: Vec<f64>,
    /// The episodes, in order; together they cover all rows.
    pub episodes: Vec<CollectedEpisode>,
}

/// One transition, and the state and the context that it started from.
pub(crate) struct Row<'a> {
    pub observation: &'a [f64],
    pub action: &'a [f32],
    pub reward: f64,
    pub next_observation: &'a [f64],
    pub terminated: bool,
    pub truncated: bool,
    pub qpos: &'a [f64],
    pub qvel: &'a [f64],
    pub context: &'a [f64],
}

/// Consecutive rows of [`Collected`] from one policy.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectedEpisode {
    /// Its rows.
    pub rows: Range<usize>,
    /// Index of the policy that acted.
    pub policy: usize,
    /// Undiscounted return of its rows.
    pub total_reward: f64,
    /// False where it was cut because enough was collected.
    pub complete: bool,
}

impl Collected {
    /// Transitions collected.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether nothing was collected.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    pub(crate) fn new(spec: EnvSpec, rows: usize) -> Self {
        Self {
            observations: Vec::with_capacity(rows * spec.obs_dim),
            actions: Vec::with_capacity(rows * spec.action_dim),
            rewards: Vec::with_capacity(rows),
            next_observations: Vec::with_capacity(rows * spec.obs_dim),
            terminated: Vec::with_capacity(rows),
            truncated: Vec::with_capacity(rows),
            qpos: Vec::with_capacity(rows * spec.nq),
            qvel: Vec::with_capacity(rows * spec.nv),
            contexts: Vec::with_capacity(rows * spec.context_dim),
            episodes: Vec::new(),
            spec,
        }
    }

    /// Appends one transition, with the state and the context that it started from.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        let narrow = |values: &[f64], column: &mut Vec<f32>| column.extend(values.iter().map(|&v| v as f32));
        narrow(row.observation, &mut self.observations);
        self.actions.extend_from_slice(row.action);
        self.rewards.push(row.reward as f32);
        narrow(row.next_observation, &mut self.next_observations);
        self.terminated.push(row.terminated);
        self.truncated.push(row.truncated && !row.terminated);
        self.qpos.extend_from_slice(row.qpos);
        self.qvel.extend_from_slice(row.qvel);
        self.contexts.extend_from_slice(row.context);
    }

    /// Appends the first `rows` rows of another collection, which is one episode.
    pub(crate) fn append(&mut self, episode: &Self, rows: usize, policy: usize) {
        let start = self.len();
        let s = &self.spec;
        self.observations.extend_from_slice(&episode.observations[..rows * s.obs_dim]);
        self.actions.extend_from_slice(&episode.actions[..rows * s.action_dim]);
        self.rewards.extend_from_slice(&episode.rewards[..rows]);
        self.next_observations.extend_from_slice(&episode.next_observations[..rows * s.obs_dim]);
        self.terminated.extend_from_slice(&episode.terminated[..rows]);
        self.truncated.extend_from_slice(&episode.truncated[..rows]);
        self.qpos.extend_from_slice(&episode.qpos[..rows * s.nq]);
        self.qvel.extend_from_slice(&episode.qvel[..rows * s.nv]);
        self.contexts.extend_from_slice(&episode.contexts[..rows * s.context_dim]);
        let last = self.len() - 1;
        let complete = self.terminated[last] || self.truncated[last];
        self.truncated[last] = !self.terminated[last];
        let total_reward = episode.rewards[..rows].iter().map(|&r| f64::from(r)).sum();
        self.episodes.push(CollectedEpisode { rows: start..start + rows, policy, total_reward, complete });
    }
}

/// Collects transitions from policies, whole episodes in parallel.
///
/// Policy `p` collects its share in episodes `0, 1, ..` until the share is reached; the last one is cut there and
/// marked as truncated. An episode depends on the seed, its policy and its number alone, so that the same arguments
/// give the same columns for any number of threads. `progress` is called, from any thread, with the transitions
/// simulated so far.
///
/// A step at which the simulation became unstable is left out and the episode truncated before it.
///
/// # Errors
/// If there is no policy or no step to collect, a policy does not fit the task, an episode is unstable from its first
/// step (a policy whose actions are not finite), or MuJoCo refuses the task's model.
pub fn collect(plan: &Collect, policies: &[&dyn Policy], progress: &(dyn Fn(usize) + Sync)) -> Result<Collected> {
    let threads = thread_count(plan.threads)?;
    let spec = make(plan.id)?.spec().clone();
    if policies.is_empty() || plan.steps == 0 {
        let why = format!("{} policies cannot collect {} transitions", policies.len(), plan.steps);
        return Err(Error::invalid("collection", why));
    }
    policies.iter().try_for_each(|policy| check_policy(*policy, spec.obs_dim, spec.action_dim))?;
    let mut all = Collected::new(spec.clone(), plan.steps);
    let simulated = Mutex::new(0);
    for (number, policy) in policies.iter().enumerate() {
        // Equal shares that sum to `steps` exactly.
        let target = (number + 1) * plan.steps / policies.len();
        let (first_row, mut next_episode) = (all.len(), 0);
        while all.len() < target {
            let missing = target - all.len();
            // As many episodes as the ones before suggest; what turns out to be too much is thrown away.
            let length =
                if next_episode == 0 { spec.time_limit } else { (all.len() - first_row).div_ceil(next_episode) };
            let wave = missing.div_ceil(length);
            let episodes = run_episodes(
                || make(plan.id),
                wave,
                threads,
                |env, index| {
                    let episode = run(&mut **env, *policy, plan.seed, number, next_episode + index, missing);
                    let mut done = simulated.lock().unwrap_or_else(PoisonError::into_inner);
                    *done = (*done + episode.len()).min(target);
                    progress(*done);
                    Ok(episode)
                },
            )?;
            for episode in &episodes {
                if episode.is_empty() {
                    let why =
                        format!("episode {next_episode} is unstable from its first step: are its actions finite?");
                    return Err(Error::Policy { name: format!("number {number}"), why });
                }
                next_episode += 1;
                all.append(episode, episode.len().min(target - all.len()), number);
                if all.len() == target {
                    break;
                }
            }
        }
    }
    Ok(all)
}

/// One episode of at most `most` steps.
fn run(env: &mut dyn Env, policy: &dyn Policy, seed: u64, number: usize, episode: usize, most: usize) -> Collected {
    let spec = env.spec().clone();
    let mut rng = episode_rng(seed, number, episode);
    let mut action = vec![0.0; spec.action_dim];
    let mut rows = Collected::new(spec, 0);
    env.reset(rng.next_u64());
    let mut actor = policy.begin(env.context());
    while rows.len() < most {
        let (observation, (qpos, qvel)) = (env.observation().to_vec(), env.state());
        let (qpos, qvel, context) = (qpos.to_vec(), qvel.to_vec(), env.context().to_vec());
        actor.act(&observation, &mut rng, &mut action);
        let step = env.step(&action);
        if !step.reward.is_finite() {
            if let Some(last) = rows.truncated.last_mut() {
                *last = true;
            }
            break;
        }
        rows.push(Row {
            observation: &observation,
            action: &action,
            reward: step.reward,
            next_observation: env.observation(),
            terminated: step.terminated,
            truncated: step.truncated,
            qpos: &qpos,
            qvel: &qvel,
            context: &context,
        });
        if step.done() {
            break;
        }
    }
    rows
}
