//! Our tasks as border's environments.

use std::fmt;
use std::marker::PhantomData;

use anyhow::{Context, Result};
use border_core::record::Record;
use border_core::{Act, Env, Obs, Step};
use envs::{EnvId, EnvSpec, make, start_seed};

use super::{Numbers, Rows};

/// A task of ours as an environment of border, with observations `O` and actions `A` of an agent's own types.
///
/// An episode is cut at the task's time limit, and where the simulator cannot go on: there the reward is not a number.
/// border's steps cannot fail; an action that is none of the task's ends the episode in the same way, and the next reset
/// says why.
pub struct Task<O = Rows, A = O> {
    env: Box<dyn envs::Env + Send>,
    seed: u64,
    /// Episodes started by [`Env::reset`].
    started: usize,
    /// What was seen last.
    seen: O,
    total_reward: f64,
    length: usize,
    failure: Option<anyhow::Error>,
    actions: PhantomData<fn() -> A>,
}

impl<O: Numbers, A: Numbers> Task<O, A> {
    /// The task `id`; its `n`-th episode starts as that of [`envs::rollouts`] for `seed` does.
    ///
    /// # Errors
    /// Where MuJoCo refuses the task's model, or `O` its observations.
    pub fn new(id: EnvId, seed: u64) -> Result<Self> {
        let mut env = make(id)?;
        env.reset(start_seed(seed, 0));
        let (seen, actions) = (look(&*env)?, PhantomData);
        Ok(Self { env, seed, started: 0, seen, total_reward: 0.0, length: 0, failure: None, actions })
    }

    /// Sizes, bounds and times.
    pub fn spec(&self) -> &EnvSpec {
        self.env.spec()
    }

    /// Undiscounted return of the episode so far.
    pub fn total_reward(&self) -> f64 {
        self.total_reward
    }

    /// Steps of the episode so far.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Why the episode ended where an action was none of the task's; [`Env::reset`] would report it otherwise.
    pub(super) fn take_failure(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Starts episode `number`.
    fn start(&mut self, number: usize) -> Result<O> {
        self.take_failure()?;
        self.env.reset(start_seed(self.seed, number));
        (self.total_reward, self.length) = (0.0, 0);
        self.seen = look(&*self.env)?;
        Ok(self.seen.clone())
    }

    fn advance(&mut self, action: &A) -> Result<envs::Step> {
        let action = action.to_rows().context("action")?;
        // Numbers that are not finite are the simulator's to answer.
        let (expected, got) = ((1, self.env.spec().action_dim), (action.len(), action.width()));
        anyhow::ensure!(
            expected == got,
            "action: expected 1 row of {} numbers for {}, got {} of {}",
            expected.1,
            self.env.spec().id,
            got.0,
            got.1
        );
        let step = self.env.step(action.row(0));
        self.seen = look(&*self.env)?;
        Ok(step)
    }
}

/// What the task shows, `[1, O]`.
fn look<O: Numbers>(env: &dyn envs::Env) -> Result<O> {
    let observation: Vec<f32> = env.observation().iter().map(|&number| number as f32).collect();
    let width = observation.len();
    Rows::new(observation, width).and_then(O::from_rows).context("observation")
}

impl<O: Obs + Numbers, A: Act + Numbers> Env for Task<O, A> {
    type Config = EnvId;
    type Obs = O;
    type Act = A;
    type Info = ();

    fn build(config: &EnvId, seed: i64) -> Result<Self> {
        Self::new(*config, seed as u64)
    }

    fn step(&mut self, action: &A) -> (Step<Self>, Record) {
        let step = self.advance(action).unwrap_or_else(|error| {
            tracing::error!(cause = %format!("{error:#}"), "the episode ends");
            self.failure = Some(error);
            envs::Step { reward: f64::NAN, terminated: false, truncated: true }
        });
        self.total_reward += step.reward;
        self.length += 1;
        let (reward, terminated) = (vec![step.reward as f32], vec![i8::from(step.terminated)]);
        let truncated = vec![i8::from(step.truncated && !step.terminated)];
        let step = Step::new(self.seen.clone(), action.clone(), reward, terminated, truncated, (), None);
        (step, Record::empty())
    }

    /// The first observation of the next episode; the current one where `is_done` says that none ended.
    fn reset(&mut self, is_done: Option<&Vec<i8>>) -> Result<O> {
        if is_done.is_some_and(|done| done.first() == Some(&0)) {
            return Ok(self.seen.clone());
        }
        self.started += 1;
        self.start(self.started - 1)
    }

    /// The first observation of episode `ix`, the same one each time.
    fn reset_with_index(&mut self, ix: usize) -> Result<O> {
        self.start(ix)
    }
}

impl<O, A> fmt::Debug for Task<O, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, started, length, failure, .. } = self;
        f.debug_struct("Task")
            .field("id", &self.env.spec().id)
            .field("seed", seed)
            .field("started", started)
            .field("length", length)
            .field("failure", failure)
            .finish()
    }
}
