//! What every task offers: reset, step, and access to the simulator's state.

use crate::{EnvId, Result};

/// The random stream that tasks, policies and collectors draw from. Its output for a given seed is stable.
pub type Rng = rand_chacha::ChaCha8Rng;

/// Sizes, bounds and times of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvSpec {
    /// Which task it is.
    pub id: EnvId,
    /// Numbers in an observation (`O`).
    pub obs_dim: usize,
    /// Numbers in an action (`A`).
    pub action_dim: usize,
    /// Smallest action, `[A]`.
    pub action_low: Vec<f32>,
    /// Largest action, `[A]`.
    pub action_high: Vec<f32>,
    /// Generalised positions in the simulator's state.
    pub nq: usize,
    /// Generalised velocities in the simulator's state.
    pub nv: usize,
    /// Numbers in the context (`C`): what the steps of an episode depend on besides positions and velocities, such as a
    /// goal. It is drawn at a reset and stays through the episode; only FrankaKitchen's changes with each step. No
    /// observation shows that of the mazes, which rewards and terminations alone depend on.
    pub context_dim: usize,
    /// Steps after which an episode is truncated.
    pub time_limit: usize,
    /// Simulated seconds per step.
    pub dt: f64,
}

/// What a step brought; the new observation is [`Env::observation`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward of the transition. Not a number where the simulation could not take the step.
    pub reward: f64,
    /// The task ended: nothing follows this state.
    pub terminated: bool,
    /// The episode was cut, by the time limit or because the simulation became unstable.
    pub truncated: bool,
}

impl Step {
    /// Whether the episode is over.
    pub fn done(&self) -> bool {
        self.terminated || self.truncated
    }
}

/// A simulated task.
///
/// ```
/// use envs::{EnvId, make};
///
/// let mut env = make(EnvId::HalfCheetah)?;
/// env.reset(0);
/// let step = env.step(&[0.0; 6]);
/// assert!(step.reward.is_finite() && !step.done());
/// assert_eq!(env.observation().len(), 17);
/// # Ok::<(), envs::Error>(())
/// ```
pub trait Env {
    /// Sizes, bounds and times.
    fn spec(&self) -> &EnvSpec;

    /// Starts an episode and returns its first observation, `[O]`.
    ///
    /// The start is drawn from the original's distribution with a stream of its own: the same seed gives the same
    /// episode on every machine, but not the episode that Gymnasium, D4RL or dm_control draws for that seed.
    fn reset(&mut self, seed: u64) -> &[f64];

    /// Applies `action`, `[A]`, for one control step. Actions outside the bounds are cut to them by the actuators,
    /// but are charged in the reward as given, as in Gymnasium.
    ///
    /// Where the action or its cost is not finite, or the simulation becomes unstable, the episode is
    /// truncated with a reward that is not a number.
    ///
    /// # Panics
    /// If `action` has not `A` numbers.
    fn step(&mut self, action: &[f32]) -> Step;

    /// The current observation, `[O]`.
    fn observation(&self) -> &[f64];

    /// The simulator's positions, `[nq]`, and velocities, `[nv]`.
    fn state(&self) -> (&[f64], &[f64]);

    /// Starts an episode at a state: the solver's memory is cleared and the time limit counts from here. The context
    /// stays, but for what of it is kept from the last observation (FrankaKitchen).
    ///
    /// # Errors
    /// If the sizes are not `[nq]` and `[nv]`, or a number is not finite.
    fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()>;

    /// The context of the episode, `[C]`: see [`EnvSpec::context_dim`]. Empty for most tasks.
    fn context(&self) -> &[f64] {
        &[]
    }

    /// Sets the context of the episode that runs. Where it is a part of the model (Adroit) the solver's memory is cleared,
    /// and the observation shows it.
    ///
    /// # Errors
    /// If the size is not `[C]`, or a number is not finite.
    fn set_context(&mut self, context: &[f64]) -> Result<()> {
        check_context(self.spec(), context)
    }
}

/// Fails unless `context` can be one of the task's.
pub(crate) fn check_context(spec: &EnvSpec, context: &[f64]) -> Result<()> {
    crate::error::check_len("context", context.len(), spec.context_dim)?;
    match context.iter().find(|value| !value.is_finite()) {
        Some(bad) => Err(crate::Error::invalid("context", format!("{bad} is not finite"))),
        None => Ok(()),
    }
}

impl<E: Env + ?Sized> Env for Box<E> {
    fn spec(&self) -> &EnvSpec {
        (**self).spec()
    }

    fn reset(&mut self, seed: u64) -> &[f64] {
        (**self).reset(seed)
    }

    fn step(&mut self, action: &[f32]) -> Step {
        (**self).step(action)
    }

    fn observation(&self) -> &[f64] {
        (**self).observation()
    }

    fn state(&self) -> (&[f64], &[f64]) {
        (**self).state()
    }

    fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()> {
        (**self).set_state(qpos, qvel)
    }

    fn context(&self) -> &[f64] {
        (**self).context()
    }

    fn set_context(&mut self, context: &[f64]) -> Result<()> {
        (**self).set_context(context)
    }
}

/// Fails unless `qpos` and `qvel` can be a state of the task.
pub(crate) fn check_state(spec: &EnvSpec, qpos: &[f64], qvel: &[f64]) -> Result<()> {
    crate::error::check_len("qpos", qpos.len(), spec.nq)?;
    crate::error::check_len("qvel", qvel.len(), spec.nv)?;
    if let Some(bad) = qpos.iter().chain(qvel).find(|value| !value.is_finite()) {
        return Err(crate::Error::invalid("state", format!("{bad} is not finite")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Episodic, Maze, make};

    /// As [`rollouts`](crate::rollouts) sees the boxes that [`make`] makes.
    fn goals<E: Env>(env: &mut E) -> [Vec<f64>; 2] {
        let drawn = env.episode_context().to_vec();
        env.set_context(&[1.0, 2.0]).unwrap();
        [drawn, env.context().to_vec()]
    }

    #[test]
    fn a_boxed_task_has_the_context_of_the_task_inside() {
        let mut env = make(EnvId::AntMaze(Maze::ALL[0])).unwrap();
        env.reset(0);
        let [drawn, set] = goals(&mut env);
        assert_eq!(drawn.len(), env.spec().context_dim);
        assert!(!drawn.is_empty() && drawn != set);
        assert_eq!(set, [1.0, 2.0]);
    }
}
