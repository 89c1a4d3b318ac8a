//! What a task adds to the simulator (its [`Task`]), and the environment and the oracle's steps that follow from it.

use rand_chacha::rand_core::SeedableRng;

use super::simulation::Simulation;
use crate::dynamics::{Dynamics, Outcome};
use crate::env::{check_context, check_state};
use crate::{Env, EnvId, EnvSpec, Result, Rng, Step};

/// The rules of a task and the model that it is played with. It holds no state: that is the simulation's, but for the
/// context, which is handed in.
pub(crate) trait Task: Send {
    fn id(&self) -> EnvId;

    /// The model, as MJCF text.
    fn mjcf(&self) -> String;

    /// Simulation steps per control step.
    fn frame_skip(&self) -> usize;

    /// Steps of an episode.
    fn time_limit(&self) -> usize;

    /// Numbers in an observation.
    fn obs_dim(&self) -> usize;

    /// The context of rows and episodes that name none: see [`EnvSpec::context_dim`].
    fn usual_context(&self) -> Vec<f64> {
        Vec::new()
    }

    /// Starts an episode ([`Simulation::start`]) from the task's distribution and returns its context.
    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64>;

    /// Applies `action` for one control step; `None` where the simulation cannot take it, or the reward is not finite.
    fn advance(&self, simulation: &mut Simulation, context: &[f64], action: &[f32]) -> Option<Outcome>;

    /// Writes the observation of where the simulation stands, after `start` or `advance`.
    fn observe(&self, simulation: &Simulation, observation: &mut [f64]);

    /// Writes the state that `observation` shows; false where it does not determine one.
    fn rebuild(&self, observation: &[f32], qpos: &mut [f64], qvel: &mut [f64]) -> bool;
}

fn spec(task: &dyn Task, simulation: &Simulation) -> EnvSpec {
    let (nq, nv, nu) = (simulation.qpos().len(), simulation.qvel().len(), simulation.model().nu() as usize);
    EnvSpec {
        id: task.id(),
        obs_dim: task.obs_dim(),
        action_dim: nu,
        action_low: vec![-1.0; nu],
        action_high: vec![1.0; nu],
        nq,
        nv,
        context_dim: task.usual_context().len(),
        time_limit: task.time_limit(),
        dt: simulation.model().opt().timestep * task.frame_skip() as f64,
    }
}

/// A MuJoCo task as an environment.
pub(crate) struct MujocoEnv {
    task: Box<dyn Task>,
    simulation: Simulation,
    spec: EnvSpec,
    context: Vec<f64>,
    observation: Vec<f64>,
    elapsed: usize,
}

impl MujocoEnv {
    pub fn new(task: Box<dyn Task>) -> Result<Self> {
        let simulation = Simulation::new(&*task)?;
        let spec = spec(&*task, &simulation);
        let (context, observation) = (task.usual_context(), vec![0.0; spec.obs_dim]);
        let mut env = Self { task, simulation, spec, context, observation, elapsed: 0 };
        env.reset(0);
        Ok(env)
    }

    /// Sets the solver's first guess for the next step.
    #[cfg(test)]
    pub fn guess(&mut self, acceleration: &[f64]) {
        self.simulation.guess(acceleration);
    }

    fn observe(&mut self) {
        self.task.observe(&self.simulation, &mut self.observation);
    }
}

impl Env for MujocoEnv {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64) -> &[f64] {
        self.context = self.task.start(&mut self.simulation, &mut Rng::seed_from_u64(seed));
        self.elapsed = 0;
        self.observe();
        &self.observation
    }

    fn step(&mut self, action: &[f32]) -> Step {
        assert_eq!(action.len(), self.spec.action_dim, "numbers in an action of {}", self.spec.id);
        let outcome = self.task.advance(&mut self.simulation, &self.context, action);
        self.observe();
        self.elapsed += 1;
        match outcome {
            None => Step { reward: f64::NAN, terminated: false, truncated: true },
            Some(Outcome { reward, terminated }) => {
                Step { reward, terminated, truncated: self.elapsed >= self.spec.time_limit }
            }
        }
    }

    fn observation(&self) -> &[f64] {
        &self.observation
    }

    fn state(&self) -> (&[f64], &[f64]) {
        (self.simulation.qpos(), self.simulation.qvel())
    }

    fn set_state(&mut self, qpos: &[f64], qvel: &[f64]) -> Result<()> {
        check_state(&self.spec, qpos, qvel)?;
        self.simulation.start(qpos, qvel);
        self.elapsed = 0;
        self.observe();
        Ok(())
    }

    fn context(&self) -> &[f64] {
        &self.context
    }

    fn set_context(&mut self, context: &[f64]) -> Result<()> {
        check_context(&self.spec, context)?;
        self.context.copy_from_slice(context);
        Ok(())
    }
}

/// Single steps of a MuJoCo task from any state, for the oracle.
pub(crate) struct MujocoDynamics {
    task: Box<dyn Task>,
    simulation: Simulation,
    spec: EnvSpec,
    usual: Vec<f64>,
}

impl MujocoDynamics {
    pub fn new(task: Box<dyn Task>) -> Result<Self> {
        let simulation = Simulation::new(&*task)?;
        Ok(Self { spec: spec(&*task, &simulation), usual: task.usual_context(), simulation, task })
    }
}

impl Dynamics for MujocoDynamics {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn rebuild(&self, observation: &[f32], qpos: &mut [f64], qvel: &mut [f64]) -> bool {
        self.task.rebuild(observation, qpos, qvel)
    }

    fn advance(
        &mut self,
        qpos: &[f64],
        qvel: &[f64],
        context: Option<&[f64]>,
        action: &[f32],
        next: &mut [f64],
    ) -> Option<Outcome> {
        self.simulation.place(qpos, qvel);
        let outcome = self.task.advance(&mut self.simulation, context.unwrap_or(&self.usual), action)?;
        self.task.observe(&self.simulation, next);
        Some(outcome)
    }
}
