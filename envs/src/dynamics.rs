//! Single steps from given states: what an oracle needs of a task.

use crate::mujoco::MujocoDynamics;
use crate::point_mass::PointMassDynamics;
use crate::{EnvId, EnvSpec, Result};

/// Reward and termination of a simulated step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub reward: f64,
    pub terminated: bool,
}

/// What a row shows of the state that it starts from.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// `[O]`.
    pub observation: &'a [f32],
    /// The observation one step before, `[O]`.
    pub previous: Option<&'a [f32]>,
    /// `[C]`.
    pub context: Option<&'a [f64]>,
}

/// What a step starts from.
pub(crate) struct State {
    pub qpos: Vec<f64>,
    pub qvel: Vec<f64>,
    pub context: Vec<f64>,
}

impl State {
    pub fn new(spec: &EnvSpec) -> Self {
        Self { qpos: vec![0.0; spec.nq], qvel: vec![0.0; spec.nv], context: vec![0.0; spec.context_dim] }
    }

    pub fn is_finite(&self) -> bool {
        self.qpos.iter().chain(&self.qvel).chain(&self.context).all(|value| value.is_finite())
    }
}

/// A task's transition function. A step depends on nothing but its arguments.
pub(crate) trait Dynamics: Send {
    fn spec(&self) -> &EnvSpec;

    /// Writes the state that a row shows; false where it does not determine one. A context that is given is taken as it
    /// is; otherwise it is what the row shows of it, or the usual one.
    fn rebuild(&mut self, shown: &Shown<'_>, state: &mut State) -> bool;

    /// Writes the context of a state whose row names none: what its observation, where there is one, or the state itself
    /// shows of it, or the usual one.
    fn infer_context(&mut self, observation: Option<&[f32]>, state: &mut State);

    /// Writes the observation after one step and returns the rest; `None` where the step cannot be simulated. The state
    /// is finite; its context becomes that of the next step.
    fn advance(&mut self, state: &mut State, action: &[f32], next: &mut [f64]) -> Option<Outcome>;
}

/// The transition function of a task.
pub(crate) fn dynamics(id: EnvId) -> Result<Box<dyn Dynamics>> {
    Ok(match id.task() {
        Some(task) => Box::new(MujocoDynamics::new(task)?),
        None => Box::new(PointMassDynamics::new()),
    })
}
