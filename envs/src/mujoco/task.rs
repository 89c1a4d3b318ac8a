//! What a task adds to the simulator (its [`Task`]), and the environment and the oracle's steps that follow from it.

use rand_chacha::rand_core::SeedableRng;

use mujoco_rs::wrappers::MjModel;

use super::simulation::{Simulation, Source};
use crate::dynamics::{Dynamics, Outcome, Shown, State};
use crate::env::{check_context, check_state};
use crate::{Env, EnvId, EnvSpec, Result, Rng, Step};

/// From where a task is seen.
#[cfg(feature = "render")]
pub(crate) enum View {
    /// A camera of the model.
    Camera(&'static str),
    /// From `distance` towards a point; angles in degrees.
    Around { point: [f64; 3], distance: f64, azimuth: f64, elevation: f64 },
}

/// The rules of a task and the model that it is played with. It holds no state: that is the simulation's, but for the
/// context, which is handed in.
pub(crate) trait Task: Send {
    fn id(&self) -> EnvId;

    /// Where the model comes from.
    fn model(&self) -> Source;

    /// The task whose compiled model this one is played with.
    fn model_of(&self) -> EnvId {
        self.id()
    }

    /// Looks whether a model read from a file is the expected one, and changes in it what the task has otherwise. The
    /// error is what is wrong with it.
    fn prepare(&self, model: &mut MjModel) -> std::result::Result<(), String> {
        let _ = model;
        Ok(())
    }

    /// From where frames are drawn.
    #[cfg(feature = "render")]
    fn view(&self) -> View {
        View::Camera(super::figure::CAMERA)
    }

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

    /// Writes a context into the simulation's model; false, and nothing is done, where it is no part of the model.
    fn install(&self, simulation: &mut Simulation, context: &[f64]) -> bool {
        let _ = (simulation, context);
        false
    }

    /// Starts an episode ([`Simulation::start`]) from the task's distribution and returns its context.
    fn start(&self, simulation: &mut Simulation, rng: &mut Rng) -> Vec<f64>;

    /// Applies `action` for one control step; `None` where the simulation cannot take it, or the reward is not finite.
    fn advance(&self, simulation: &mut Simulation, context: &[f64], action: &[f32]) -> Option<Outcome>;

    /// Writes the observation of where the simulation stands, after `start` or `advance`.
    fn observe(&self, simulation: &Simulation, observation: &mut [f64]);

    /// Adds the sensors' noise to an observation, and keeps in the context what the next step needs of it.
    fn sense(&self, rng: &mut Rng, observation: &mut [f64], context: &mut [f64]) {
        let _ = (rng, observation, context);
    }

    /// The outcome of a step for tasks that judge it by the observation that it led to; `outcome` is what `advance` said.
    fn judge(&self, observation: &[f64], context: &mut [f64], outcome: Outcome) -> Outcome {
        let _ = (observation, context);
        outcome
    }

    /// See [`Dynamics::rebuild`]; the state comes with the context that is given, or the usual one. The simulation is
    /// there to derive things with.
    fn rebuild(&self, shown: &Shown<'_>, state: &mut State, simulation: &mut Simulation) -> bool;

    /// See [`Dynamics::infer_context`]; the state comes with the usual context.
    fn infer_context(&self, observation: Option<&[f32]>, state: &mut State, simulation: &mut Simulation) {
        let _ = (observation, state, simulation);
    }
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
    /// The stream of the episode.
    rng: Rng,
    elapsed: usize,
}

impl MujocoEnv {
    pub fn new(task: Box<dyn Task>) -> Result<Self> {
        let simulation = Simulation::new(&*task)?;
        let spec = spec(&*task, &simulation);
        let (context, observation) = (task.usual_context(), vec![0.0; spec.obs_dim]);
        let rng = Rng::seed_from_u64(0);
        let mut env = Self { task, simulation, spec, context, observation, rng, elapsed: 0 };
        env.reset(0);
        Ok(env)
    }

    /// Sets the solver's first guess for the next step.
    #[cfg(test)]
    pub fn guess(&mut self, acceleration: &[f64]) {
        self.simulation.guess(acceleration);
    }

    /// The controls of the last step.
    #[cfg(test)]
    pub fn controls(&self) -> &[f64] {
        self.simulation.controls()
    }

    fn observe(&mut self) {
        self.task.observe(&self.simulation, &mut self.observation);
        self.task.sense(&mut self.rng, &mut self.observation, &mut self.context);
    }
}

impl Env for MujocoEnv {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn reset(&mut self, seed: u64) -> &[f64] {
        self.rng = Rng::seed_from_u64(seed);
        self.context = self.task.start(&mut self.simulation, &mut self.rng);
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
            Some(outcome) => {
                let Outcome { reward, terminated } = self.task.judge(&self.observation, &mut self.context, outcome);
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
        if self.task.install(&mut self.simulation, context) {
            let (qpos, qvel) = (self.simulation.qpos().to_vec(), self.simulation.qvel().to_vec());
            self.simulation.start(&qpos, &qvel);
            self.observe();
        }
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

    fn rebuild(&mut self, shown: &Shown<'_>, state: &mut State) -> bool {
        state.context.copy_from_slice(shown.context.unwrap_or(&self.usual));
        self.task.rebuild(shown, state, &mut self.simulation)
    }

    fn infer_context(&mut self, observation: Option<&[f32]>, state: &mut State) {
        state.context.copy_from_slice(&self.usual);
        self.task.infer_context(observation, state, &mut self.simulation);
    }

    fn advance(&mut self, state: &mut State, action: &[f32], next: &mut [f64]) -> Option<Outcome> {
        self.task.install(&mut self.simulation, &state.context);
        self.simulation.place(&state.qpos, &state.qvel);
        let outcome = self.task.advance(&mut self.simulation, &state.context, action)?;
        self.task.observe(&self.simulation, next);
        Some(self.task.judge(next, &mut state.context, outcome))
    }
}
