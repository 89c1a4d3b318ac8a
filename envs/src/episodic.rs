//! The least that episodes ask of a task, so that those of other crates can be judged by the same code.

use crate::{Env, Result, Step};

/// A task that is played in episodes: all that [`rollouts_in`](crate::rollouts_in) and
/// [`rollouts_batched_in`](crate::rollouts_batched_in) ask for.
///
/// Every [`Env`] is one. An environment of another crate becomes one by these five functions; it needs no simulator
/// whose state can be set.
///
/// ```
/// use envs::{EnvId, Episodic, Step, UniformPolicy, rollouts_in};
///
/// /// Pays the action, three times.
/// struct Three([f64; 1]);
///
/// impl Episodic for Three {
///     fn obs_dim(&self) -> usize { 1 }
///     fn action_dim(&self) -> usize { 1 }
///     fn begin(&mut self, _seed: u64) -> envs::Result<()> {
///         self.0 = [0.0];
///         Ok(())
///     }
///     fn advance(&mut self, action: &[f32]) -> envs::Result<Step> {
///         self.0[0] += 1.0;
///         Ok(Step { reward: f64::from(action[0]), terminated: self.0[0] == 3.0, truncated: false })
///     }
///     fn current(&self) -> &[f64] { &self.0 }
/// }
///
/// let policy = UniformPolicy { obs_dim: 1, action_dim: 1 };
/// let outcomes = rollouts_in(|| Ok(Three([0.0])), &policy, 2, 0, None)?;
/// assert!(outcomes.iter().all(|outcome| outcome.length == 3 && outcome.terminated));
/// # Ok::<(), envs::Error>(())
/// ```
pub trait Episodic {
    /// Numbers in an observation (`O`).
    fn obs_dim(&self) -> usize;

    /// Numbers in an action (`A`).
    fn action_dim(&self) -> usize;

    /// Starts the episode that `seed` stands for.
    ///
    /// # Errors
    /// If the task cannot start, or its first observation has not `O` numbers.
    fn begin(&mut self, seed: u64) -> Result<()>;

    /// Applies `action`, `[A]`. An episode has to end some time: a task without an end needs a time limit.
    ///
    /// # Errors
    /// If the task cannot take the action, or its observation has not `O` numbers.
    fn advance(&mut self, action: &[f32]) -> Result<Step>;

    /// The current observation, `[O]`.
    fn current(&self) -> &[f64];

    /// Whether a step that paid `reward` met the goal of the task; tasks without one say no.
    fn achieves(&self, reward: f64) -> bool {
        let _ = reward;
        false
    }

    /// What a policy may plan the episode by ([`Env::context`]); most tasks have nothing of the kind.
    fn episode_context(&self) -> &[f64] {
        &[]
    }
}

impl<E: Env + ?Sized> Episodic for E {
    fn obs_dim(&self) -> usize {
        self.spec().obs_dim
    }

    fn action_dim(&self) -> usize {
        self.spec().action_dim
    }

    fn begin(&mut self, seed: u64) -> Result<()> {
        self.reset(seed);
        Ok(())
    }

    fn advance(&mut self, action: &[f32]) -> Result<Step> {
        crate::error::check_len("action", action.len(), self.spec().action_dim)?;
        Ok(self.step(action))
    }

    fn current(&self) -> &[f64] {
        self.observation()
    }

    fn achieves(&self, reward: f64) -> bool {
        self.spec().id.achieves(reward)
    }

    fn episode_context(&self) -> &[f64] {
        self.context()
    }
}
