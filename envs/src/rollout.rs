//! Episodes to judge a policy by.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::rand_core::{Rng as _, SeedableRng};

use crate::oracle::thread_count;
use crate::policy::check_policy;
use crate::{EnvId, Episodic, Error, Policy, Result, Rng, Step, make};

/// How an episode went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EpisodeOutcome {
    /// Undiscounted return.
    pub total_reward: f64,
    /// Steps.
    pub length: usize,
    /// Whether the task ended, and not only the time.
    pub terminated: bool,
    /// Steps after which the goal of the task was met ([`Episodic::achieves`]).
    pub achieved: usize,
}

impl EpisodeOutcome {
    /// Counts one more step.
    fn add(&mut self, step: &Step, achieved: bool) {
        self.total_reward += step.reward;
        self.length += 1;
        self.terminated = step.terminated;
        self.achieved += usize::from(achieved);
    }
}

/// The random stream of one episode; its first number seeds the task's start.
pub(crate) fn episode_rng(seed: u64, policy: usize, episode: usize) -> Rng {
    let mut rng = Rng::seed_from_u64(seed);
    rng.set_stream(((policy as u64) << 32) | episode as u64);
    rng
}

/// The seed of [`Env::reset`](crate::Env::reset) that [`rollouts`] and [`rollouts_batched`] start episode `episode` with for `seed`.
pub fn start_seed(seed: u64, episode: usize) -> u64 {
    episode_rng(seed, 0, episode).next_u64()
}

/// Runs `job` for `0..count` on `threads` threads, each with a task of its own that it makes itself; the results come in
/// order.
///
/// Threads live only as long as the call. The first error, by index, is returned.
pub(crate) fn run_episodes<E: Episodic, T: Send>(
    make: impl Fn() -> Result<E> + Sync,
    count: usize,
    threads: usize,
    job: impl Fn(&mut E, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<T>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let work = || -> Result<()> {
        let mut env = make()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = results.get(index) else { return Ok(()) };
            let result = job(&mut env, index);
            *slot.lock().expect("a slot is written once") = Some(result);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(work)).collect();
        let own = work();
        workers.into_iter().map(|worker| worker.join().expect("an episode does not panic")).fold(own, Result::and)
    })?;
    let taken = |slot: Mutex<Option<Result<T>>>| slot.into_inner().expect("no holder panicked").expect("all jobs ran");
    results.into_iter().map(taken).collect()
}

/// Runs whole episodes of `policy` on all cores, or on `threads` threads.
///
/// Episode `i` depends on `seed` and `i` alone, so that the outcomes are the same for any number of threads.
///
/// # Errors
/// If the policy does not fit the task, `threads` is 0, or MuJoCo refuses the task's model.
pub fn rollouts(
    id: EnvId,
    policy: &dyn Policy,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
) -> Result<Vec<EpisodeOutcome>> {
    rollouts_in(|| make(id), policy, episodes, seed, threads)
}

/// [`rollouts`] in a task that `make` makes, one for each thread.
///
/// # Errors
/// If the policy does not fit the task, `threads` is 0, or `make` or the task fails.
pub fn rollouts_in<E: Episodic>(
    make: impl Fn() -> Result<E> + Sync,
    policy: &dyn Policy,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
) -> Result<Vec<EpisodeOutcome>> {
    let task = make()?;
    check_policy(policy, task.obs_dim(), task.action_dim())?;
    drop(task);
    run_episodes(make, episodes, thread_count(threads)?, |env, index| {
        let mut rng = episode_rng(seed, 0, index);
        let mut action = vec![0.0; env.action_dim()];
        let mut outcome = EpisodeOutcome::default();
        env.begin(rng.next_u64())?;
        let mut actor = policy.begin(env.episode_context());
        loop {
            actor.act(env.current(), &mut rng, &mut action);
            let step = env.advance(&action)?;
            outcome.add(&step, env.achieves(step.reward));
            if step.done() {
                return Ok(outcome);
            }
        }
    })
}

/// What the episodes that still run show before each step of [`rollouts_batched`], `n` rows.
#[derive(Clone, Copy, Debug)]
pub struct Situations<'a> {
    /// Number of each row's episode, `[n]`, rising; an agent that remembers keeps its memory by it.
    pub episodes: &'a [usize],
    /// Observations, `[n, O]`.
    pub observations: &'a [f32],
    /// What the step before paid, `[n]`; 0 before the first.
    pub rewards: &'a [f32],
}

/// Runs whole episodes side by side, for policies that act on many observations at once.
///
/// `act` gets the situations of the episodes that still run and writes their actions, `[n, A]`; `n` falls as episodes
/// end. The starts are those of [`rollouts`] for the same seed.
///
/// # Errors
/// The error of `act`; or if `threads` is 0 or MuJoCo refuses the task's model.
pub fn rollouts_batched<F: From<Error>>(
    id: EnvId,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
    act: impl FnMut(&Situations<'_>, &mut [f32]) -> Result<(), F>,
) -> Result<Vec<EpisodeOutcome>, F> {
    rollouts_batched_in(|| make(id), episodes, seed, threads, act)
}

/// [`rollouts_batched`] in a task that `make` makes, one for each episode.
///
/// # Errors
/// The error of `act`, of `make`, or the first of a task; or if `threads` is 0.
pub fn rollouts_batched_in<E: Episodic + Send, F: From<Error>>(
    make: impl Fn() -> Result<E>,
    episodes: usize,
    seed: u64,
    threads: Option<usize>,
    mut act: impl FnMut(&Situations<'_>, &mut [f32]) -> Result<(), F>,
) -> Result<Vec<EpisodeOutcome>, F> {
    struct Running<E> {
        env: E,
        index: usize,
        outcome: EpisodeOutcome,
        reward: f64,
        done: bool,
    }
    let threads = thread_count(threads)?;
    let start = |index| -> Result<Running<E>> {
        let mut env = make()?;
        env.begin(start_seed(seed, index))?;
        let outcome = EpisodeOutcome::default();
        Ok(Running { env, index, outcome, reward: 0.0, done: false })
    };
    let mut running = (0..episodes).map(start).collect::<Result<Vec<_>>>()?;
    let mut outcomes = vec![EpisodeOutcome::default(); episodes];
    let (mut numbers, mut observations, mut rewards, mut actions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    while let Some(first) = running.first() {
        let width = first.env.action_dim();
        observations.clear();
        running.iter().for_each(|run| observations.extend(run.env.current().iter().map(|&o| o as f32)));
        numbers.clear();
        numbers.extend(running.iter().map(|run| run.index));
        rewards.clear();
        rewards.extend(running.iter().map(|run| run.reward as f32));
        actions.clear();
        actions.resize(running.len() * width, 0.0);
        act(&Situations { episodes: &numbers, observations: &observations, rewards: &rewards }, &mut actions)?;
        let advance = |runs: &mut [Running<E>], actions: &[f32]| -> Result<()> {
            for (run, action) in runs.iter_mut().zip(actions.chunks_exact(width)) {
                let step = run.env.advance(action)?;
                run.reward = step.reward;
                run.outcome.add(&step, run.env.achieves(step.reward));
                run.done = step.done();
            }
            Ok(())
        };
        // Starting a thread costs about as much as a step: worth it only for several steps each.
        let share = running.len().div_ceil(threads).max(4);
        if share >= running.len() {
            advance(&mut running, &actions)?;
        } else {
            std::thread::scope(|scope| {
                let parts = running.chunks_mut(share).zip(actions.chunks(share * width));
                let parts: Vec<_> = parts.map(|(runs, actions)| scope.spawn(move || advance(runs, actions))).collect();
                let done = parts.into_iter().map(|part| part.join().expect("an episode does not panic"));
                done.fold(Ok(()), Result::and)
            })?;
        }
        running.retain(|run| {
            if run.done {
                outcomes[run.index] = run.outcome;
            }
            !run.done
        });
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinearPolicy, UniformPolicy};

    #[test]
    fn outcomes_do_not_depend_on_threads_nor_on_batching() {
        let policy = crate::behaviour::point_mass(0.0).unwrap().pop().unwrap();
        let one = rollouts(EnvId::PointMass, &policy, 9, 5, Some(1)).unwrap();
        assert_eq!(one, rollouts(EnvId::PointMass, &policy, 9, 5, Some(3)).unwrap());
        assert!(one.iter().any(|o| o.total_reward != one[0].total_reward), "episodes differ");
        // The batch sees observations in single precision: the outcomes are close, not equal.
        let mut rng = Rng::seed_from_u64(0);
        let batched = rollouts_batched(EnvId::PointMass, 9, 5, Some(2), |situations, actions| {
            for (o, a) in situations.observations.chunks_exact(4).zip(actions.chunks_exact_mut(2)) {
                let wide: Vec<f64> = o.iter().map(|&v| f64::from(v)).collect();
                policy.act(&wide, &mut rng, a);
            }
            Ok::<(), Error>(())
        })
        .unwrap();
        for (a, b) in one.iter().zip(&batched) {
            assert!((a.total_reward - b.total_reward).abs() < 1e-3 && a.length == b.length, "{a:?} {b:?}");
        }
    }

    #[test]
    fn episodes_keep_their_numbers_and_hand_on_their_rewards() {
        // Full force to one side: the episodes leave the arena at different times.
        let (mut paid, mut steps) = ([0.0; 6], 0);
        let outcomes = rollouts_batched(EnvId::PointMass, 6, 3, Some(2), |situations, actions| {
            assert!(situations.episodes.is_sorted() && situations.episodes.len() == situations.rewards.len());
            for (&episode, &reward) in situations.episodes.iter().zip(situations.rewards) {
                assert!(steps > 0 || reward == 0.0, "nothing was paid before the first step");
                paid[episode] += f64::from(reward);
            }
            actions.fill(1.0);
            steps += 1;
            Ok::<(), Error>(())
        })
        .unwrap();
        assert!(outcomes.iter().any(|o| o.length != outcomes[0].length), "{outcomes:?}");
        for (paid, outcome) in paid.iter().zip(&outcomes) {
            // All but the last reward were shown; it is at least what being three units away pays.
            let last = outcome.total_reward - paid;
            assert!((-6.0..0.0).contains(&last), "{paid} of {outcome:?}");
        }
    }

    #[test]
    fn episodes_end_when_the_task_does_and_otherwise_at_the_time_limit() {
        let random = UniformPolicy { obs_dim: 11, action_dim: 3 };
        let falls = rollouts(EnvId::Hopper, &random, 5, 0, Some(2)).unwrap();
        assert!(falls.iter().all(|o| o.terminated && o.length < 200), "{falls:?}");
        let still = LinearPolicy { weights: vec![vec![0.0; 4]; 2], ..behaviour_shape() };
        let stays = rollouts(EnvId::PointMass, &still, 2, 0, None).unwrap();
        assert!(stays.iter().all(|o| !o.terminated && o.length == 200), "{stays:?}");
    }

    fn behaviour_shape() -> LinearPolicy {
        crate::behaviour::point_mass(0.0).unwrap().pop().unwrap().mean().clone()
    }

    #[test]
    fn a_policy_of_another_task_and_a_failing_batch_are_errors() {
        let other = UniformPolicy { obs_dim: 17, action_dim: 6 };
        let error = rollouts(EnvId::Hopper, &other, 1, 0, None).unwrap_err().to_string();
        assert!(error.contains("expected 11 numbers, got 17"), "{error}");
        let failing = |_: &Situations<'_>, _: &mut [f32]| Err(Error::invalid("agent", "broken"));
        assert!(rollouts_batched(EnvId::PointMass, 1, 0, None, failing).unwrap_err().to_string().contains("broken"));
        assert!(rollouts(EnvId::PointMass, &behaviour_shape(), 1, 0, Some(0)).is_err());
    }
}
