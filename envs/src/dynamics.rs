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

/// A task's transition function. A step depends on nothing but its arguments.
pub(crate) trait Dynamics: Send {
    fn spec(&self) -> &EnvSpec;

    /// Writes the state that `observation` shows; false where it does not determine one.
    fn rebuild(&self, observation: &[f32], qpos: &mut [f64], qvel: &mut [f64]) -> bool;

    /// Writes the observation after one step and returns the rest; `None` where the step cannot be simulated. State
    /// and context are finite; without a context the task's usual one is taken.
    fn advance(
        &mut self,
        qpos: &[f64],
        qvel: &[f64],
        context: Option<&[f64]>,
        action: &[f32],
        next: &mut [f64],
    ) -> Option<Outcome>;
}

/// The transition function of a task.
pub(crate) fn dynamics(id: EnvId) -> Result<Box<dyn Dynamics>> {
    Ok(match id.task() {
        Some(task) => Box::new(MujocoDynamics::new(task)?),
        None => Box::new(PointMassDynamics::new()),
    })
}
